//! The contract of [`TokenStore`](crate::store::TokenStore): find, and revoke.

mod covering;
mod finding;
mod naming;
mod writing;

use crate::testkit::fixture::Fixture;
use crate::testkit::model;
use crate::testkit::suite::suite;

suite! {
    "TokenStore" of Fixture:

    Basis {
        /// Ownership, introspection and every covering rule read the record: a field that is lost or mixed up is a
        /// token that nobody, or somebody else, can revoke.
        finding::a_token_is_found_as_it_was_put_in,

        /// What is not there is an ordinary answer, 200, and no failure, 503, that a client would retry for ever.
        finding::what_was_never_issued_is_not_found,

        /// Of the seven targets each ends what `Target::covers` says: less leaves a thief's token alive, more logs
        /// strangers out. And the answer says which one did it.
        covering::each_target_ends_what_it_covers_and_nothing_else,
    }

    Rule {
        /// RFC 7009 section 2.1: a server that finds nothing of the hinted kind looks at all others. A hint that
        /// filters answers 200 for a token that lives on.
        finding::a_hint_never_hides_a_token,

        /// Two tokens that differ in case, or by a blank at the end, are two tokens. Many a database's text comparison
        /// says otherwise, and then one client revokes another's.
        finding::tokens_are_compared_byte_for_byte,

        /// The owner of an expired token may still want the rest of its grant dead, and an expired refresh token logs
        /// out.
        finding::an_expired_token_is_still_found,

        /// A refresh token that was rotated still leads to its grant: whoever presents it wants its successors dead.
        finding::a_consumed_token_is_still_found,

        /// Users and clients come back. Whoever logs in after a password change is welcome; whoever logged in at the
        /// very instant of the change is not.
        covering::a_cutoff_spares_who_logs_in_after_it,

        /// The second password change ends what was granted since the first; a late replay of the first takes nothing
        /// back.
        covering::a_cutoff_only_moves_forward,

        /// A caller that reads 503 repeats its request, and a proxy may do so unasked. The second time is no error, no
        /// news and no change.
        covering::a_replayed_revocation_changes_nothing,

        /// A token that was in flight when its grant, session, user or client was revoked is born dead. A store that
        /// revokes by marking the tokens it finds misses it.
        covering::a_token_that_comes_after_its_revocation_is_dead,

        /// OpenID Connect Core section 11: `offline_access` is for use when the user is not present, so logging out
        /// does not end it.
        covering::an_offline_grant_outlives_its_session,

        /// Client credentials have no user and no session. Revoking those of somebody else must not reach them, not
        /// even where "no user" and "user ''" look alike.
        covering::a_grant_without_a_user_is_no_users,

        /// A session `S1` is not `s1`, and user `a` at client `b:c` is not user `a:b` at client `c`. Text comparison
        /// and glued keys log the wrong people out.
        covering::names_are_compared_byte_for_byte,

        /// A grant, a session, a user and a client may have the same name: it is the kind that makes them different.
        covering::targets_of_different_kinds_do_not_mix,

        /// RFC 7009 section 2.1: a token is revoked for the client that it was issued to. Another one's attempt must
        /// change not a byte, at the endpoint that asks this store whose it is.
        covering::a_foreign_client_ends_nothing,

        /// The same, seen from inside: what the store holds before and after.
        covering::a_foreign_client_changes_no_byte,

        /// A token that never expires has the latest instant of all as its expiry. Where that overflows, or is taken
        /// for no instant at all, the token is dead, or cannot be revoked.
        naming::a_token_that_never_expires_is_found_and_revoked,

        /// An operator revokes a token by a name that no token of this store has. "Done" would be a lie: the token
        /// lives.
        naming::a_name_that_ends_no_token_is_not_acknowledged,
    }

    Trial {
        /// One revocation is one entry. A store that enumerates tokens stops at some limit, and the rest live on.
        covering::one_revocation_ends_ten_thousand_tokens,

        /// The reason not to enumerate: logging out must not cost more, the more there is to log out, or whoever has
        /// made ten thousand tokens cannot be stopped in time.
        covering::revoking_ten_thousand_tokens_costs_what_revoking_one_costs,

        /// Of any number of administrators with the same button one has done it: audit counts what happened once.
        writing::of_racers_that_revoke_the_same_one_brings_the_news,

        /// A token that is recorded while its grant is revoked is found dead, whichever comes first. Look-then-write
        /// without a transaction loses one of the two.
        writing::a_token_put_in_beside_its_revocation_is_dead,

        /// Dead stays dead, also for who looks while others write: an index that is rebuilt, or a row that is deleted
        /// and inserted again, opens a door for a moment.
        writing::readers_beside_writers_never_see_the_dead_alive,

        /// A caller may hang up at any moment, and the future is dropped. Then the revocation has happened or has not;
        /// part of a grant is neither.
        writing::dropping_a_revocation_at_any_await_does_all_or_nothing,

        /// "On every node": a revocation that only the process knows which wrote it leaves the token good everywhere
        /// else.
        writing::a_revocation_is_seen_by_every_handle_at_once,

        /// 200 says that the token is dead for good. A revocation that was only in memory, or in a buffer, comes undone
        /// with the next start.
        writing::an_acknowledged_revocation_survives_a_restart,

        /// One engine may serve many tenants, all with a client `web` and a session `s`. What one does, the other must
        /// neither see nor feel.
        writing::a_neighbour_sees_and_feels_nothing,

        /// Thousands of random steps, and after each what a model says that keeps every token and every revocation and
        /// looks at all of them. It finds the combinations that nobody has thought of.
        model::a_naive_model_of_tokens_and_revocations_agrees,
    }
}
