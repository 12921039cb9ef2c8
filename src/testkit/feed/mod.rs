//! The contract of [`RevocationFeed`](crate::store::RevocationFeed): whoever follows it knows, in the end and without a
//! hole, what the store knows.
//!
//! The hint, [`changed`](crate::store::RevocationFeed::changed), is not looked at: never to be ready is allowed.

use crate::testkit::fixture::Fixture;
use crate::testkit::suite::suite;
mod following;
mod losing;
mod reader;
mod telling;

suite! {
    "RevocationFeed" of Fixture:

    Basis {
        /// A replica decides by what it is told: the target, the cutoff, and for audit why and by whom.
        telling::each_revocation_is_told_as_it_was_made,

        /// A replica starts, or starts anew after a gap: it must be given everything in force, in pages of any size.
        following::a_reader_that_begins_is_told_what_is_in_force,
    }

    Rule {
        /// Back-channel logout and audit hear of a client's revocations by the feed, and want to know whose they were.
        telling::a_clients_revocation_is_told_with_its_name,

        /// The revocation that nobody asked for: a rotated-out refresh token came back, and the family is dead.
        telling::the_end_of_a_family_is_told,

        /// The second password change ends what was granted since the first. A replica that heard of the first alone
        /// lets it live.
        telling::a_cutoff_that_moved_is_told_again,

        /// A replica forgets an entry when it is told that it may. If that is before the last token under it has
        /// expired, the token is good again.
        telling::what_is_told_lasts_as_long_as_what_it_covers,

        /// Ten thousand replicas that poll every second must not be sent the whole ledger every second.
        following::a_reader_that_knows_everything_is_told_nothing,

        /// A cursor is kept in somebody's database, as text, and is taken up by another process.
        following::a_reader_goes_on_where_it_stopped,

        /// A client reads 200, and the resource server's next poll must know.
        following::what_was_acknowledged_is_told_to_who_asks_next,
    }

    Trial {
        /// Two writers draw 1 and 2, and 2 is committed first: a reader that has passed 2 never sees 1, and a
        /// logged-out user stays logged in at one resource server for as long as it runs.
        following::nothing_appears_behind_a_reader,

        /// Every process of the authorization server writes, and a reader may ask any of them.
        following::every_handle_tells_the_same,

        /// The server restarts more often than the replicas do; they go on with the cursors that they have.
        following::a_cursor_survives_a_restart,

        /// Which users another tenant has logged out is nobody's business.
        following::a_neighbour_is_told_nothing,

        /// A feed that was written apart from the ledger: the token is dead here, and good wherever a replica decides.
        losing::dropping_a_revocation_at_any_await_never_leaves_it_untold,

        /// A reader's time-out drops its call half way. Asking again must bring what that call would have brought.
        losing::dropping_a_reader_at_any_await_loses_nothing,

        /// A reader that was away for longer than entries last has missed some, and must be told so: a worker that
        /// sends logout notifications would otherwise never send these.
        losing::what_was_swept_unread_is_a_gap,

        /// Sweeps go on while a replica reads itself in. If each made it begin again, it would never be done.
        losing::a_sweep_is_no_gap_to_who_still_reads_itself_in,

        /// A backup was restored, the wrong database configured, a line of a file cut off: a reader that is given
        /// nothing instead of a gap believes for ever that nothing was revoked.
        losing::a_cursor_of_another_feed_is_a_gap,

        /// Thousands of random steps: after each, a copy made of nothing but the feed says of every token what the
        /// store says.
        losing::a_copy_agrees_with_the_store,
    }
}
