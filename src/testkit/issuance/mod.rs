//! The contract of [`TokenLedger`](crate::store::TokenLedger): issue, rotate, sessions.
//!
//! Run [`store::suite`](crate::testkit::store::suite) too: what issues is a store.

mod clocks;
mod issuing;
mod racing;
mod refusing;
mod rotating;
mod sessions;

use crate::testkit::fixture::Fixture;
use crate::testkit::model;
use crate::testkit::suite::suite;

suite! {
    "TokenLedger" of Fixture:

    Basis {
        /// The token endpoint must know whether what it is about to hand out was dead on arrival.
        issuing::issuing_says_whether_the_tokens_are_live,

        /// The ordinary rotation: the old token is consumed, the successors live, in the same grant.
        rotating::a_rotation_consumes_the_token_and_its_successors_live,

        /// Logout must reach every client of the session, also those that joined late, and it must last as long as the
        /// longest of them asked for.
        sessions::a_session_collects_its_participants,
    }

    Rule {
        /// A token endpoint that repeats its call, after a time-out say, must not change what is there; least of all
        /// give a dead token its life back.
        issuing::issuing_again_changes_and_revives_nothing,

        /// Two grants with one token value: whichever the store believes, the other's owner could revoke what is not
        /// theirs.
        issuing::a_token_of_another_grant_is_a_conflict,

        /// Two grants with one id, of two clients or two users: revoking one ends the other. So an id belongs to the
        /// client and the subject that it was first issued to, and nothing of the other is recorded.
        refusing::a_grant_id_of_another_client_or_subject_is_a_conflict,

        /// The access token is new and the refresh token is taken: if the first is recorded all the same, a token is
        /// good that nobody was given.
        refusing::tokens_are_issued_together_or_not_at_all,

        /// The endpoints do not look up an empty token, one with a control character, or one above their limit.
        /// Revoking it is answered 200, and it lives: so it is not issued.
        refusing::a_token_that_cannot_be_presented_is_not_issued,

        /// RFC 9700 section 4.14: a rotated-out token that comes back was stolen, or its successor was. The whole
        /// family ends, however long it is and whichever generation came back.
        rotating::a_consumed_token_that_comes_back_ends_its_family,

        /// A client whose answer got lost tries again. Within the window the previous generation is good for that, and
        /// no older one.
        rotating::the_grace_window_is_for_the_previous_generation_only,

        /// A window that is prolonged by its use never ends for a thief who keeps using it.
        rotating::the_grace_window_ends_on_time,

        /// What was revoked on purpose is dead, whatever window is open.
        rotating::the_grace_window_never_revives_what_was_revoked,

        /// Of a token that was consumed elsewhere nobody knows when: no window is open for it.
        rotating::an_imported_consumed_token_has_no_grace,

        /// A successor has a value that is taken, and the rotation is a conflict. If that gives the presented token
        /// back, two callers can rotate it.
        refusing::a_rotation_onto_a_taken_value_leaves_the_token_consumed,

        /// Unknown, expired, an access token, another client's: each is refused as what it is, and nothing is spent by
        /// the attempt. If a stranger could spend a token, it could log its owner out.
        rotating::what_cannot_be_rotated_is_refused_and_not_consumed,

        /// With the grant revoked first, there is nothing to rotate.
        rotating::revoking_before_a_rotation_leaves_nothing_live,

        /// With the rotation first, the revocation covers the successors, though it has never heard of them.
        rotating::revoking_after_a_rotation_leaves_nothing_live,

        /// A client revokes the refresh token that it holds, without cascade, while somebody rotates it. The endpoint
        /// has looked it up as live; when the entry is written it is spent, and an entry for it alone would let the
        /// successors live.
        rotating::revoking_a_token_that_was_rotated_meanwhile_ends_its_successors,

        /// A session id that is guessed or reused must not join one user's browser to another's.
        sessions::a_session_is_joined_by_its_own_user_only,

        /// A session that was logged out is over: it is not opened again, and what is issued in it is born dead.
        sessions::a_session_that_was_logged_out_is_spent,

        /// Its participants want to be told that it is over, so they are still known after it is.
        sessions::participants_are_known_after_logout,
    }

    Trial {
        /// The caller may hang up here as well. Tokens are there or are not, belong to their grant, and end with it.
        issuing::dropping_an_issue_at_any_await_leaves_nothing_beyond_revocation,

        /// A server's clock is set back by a minute. Whoever grants no window must not grant one for that minute: it is
        /// a thief's.
        rotating::a_clock_that_goes_back_opens_no_grace_window,

        /// A clock is set back by hours, or another node's is behind. If the window stays open until the clock has
        /// caught up, a thief has hours.
        clocks::a_clock_that_was_set_back_does_not_keep_the_grace_window_open,

        /// Two nodes never show the same time. What one has issued, the other rotates, also where by its clock that is
        /// yet to come.
        clocks::a_node_whose_clock_is_behind_rotates_as_well,

        /// A refresh token without an expiry is rotated and recognised as any other.
        clocks::a_refresh_token_that_never_expires_is_rotated,

        /// Reuse of the first of hundreds of rotations is found, and ends them all.
        rotating::the_first_token_of_a_long_family_still_ends_it,

        /// Both at the same time, on real threads, over and over: whichever wins, nothing is left alive.
        racing::revoking_beside_a_rotation_leaves_nothing_live,

        /// The race of `revoking_a_token_that_was_rotated_meanwhile_ends_its_successors`, with nobody to arrange it.
        racing::revoking_one_token_beside_its_rotation_leaves_nothing_live,

        /// Two rotations of one refresh token are two families, one of them a thief's. One wins, the others are the
        /// reuse that ends it.
        racing::of_racers_with_one_refresh_token_one_wins,

        /// Two tabs refresh at once: with a grace window both are served, and one of them was first.
        racing::within_the_grace_window_all_racers_are_served,

        /// Two grants given the same token value at once: one owns it, the other is told.
        racing::of_racers_that_issue_one_token_to_two_grants_one_is_told,

        /// Two first issues with one grant id, of two owners, at once: one gets the id, and of the other nothing is
        /// recorded.
        racing::of_racers_that_issue_one_grant_id_to_two_owners_one_is_told,

        /// Dropped half way, a rotation has happened or has not, or it has spent the token for nothing. It never leaves
        /// the old token and a successor both alive.
        racing::dropping_a_rotation_at_any_await_fails_closed,

        /// A second handle does not rotate what the first has rotated, and reuse through either ends the family in
        /// both.
        racing::a_rotation_is_seen_by_every_handle_at_once,

        /// Reuse detection that forgets with the process lets a thief wait for the next deployment.
        racing::a_consumed_token_stays_consumed_after_a_restart,

        /// The same token values and grants in another namespace are others: they are not spent, reused or revoked
        /// along.
        racing::a_neighbours_rotations_are_its_own,

        /// Two clients get their first token at the same time: both are participants, or one is never told of the
        /// logout.
        sessions::clients_that_join_at_once_are_all_in_it,

        /// Another tenant's session of the same name is not open, not joined and not ended.
        sessions::a_neighbours_sessions_are_its_own,

        /// Thousands of random issues, rotations, reuses, logins and revocations against a model that keeps everything
        /// and looks at all of it.
        model::a_naive_model_of_rotations_and_sessions_agrees,
    }
}
