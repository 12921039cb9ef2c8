//! The contract of [`Sweep`](crate::store::Sweep), for a store that is a
//! [`TokenLedger`](crate::store::TokenLedger) too: only time decides what goes, and what a live token needs stays.

mod clocks;
mod keeping;
mod lasting;
mod taking;

use crate::testkit::fixture::Fixture;
use crate::testkit::model;
use crate::testkit::suite::suite;

suite! {
    "Sweep" of Fixture:

    Basis {
        /// A sweep that takes one token too many logs somebody out.
        keeping::a_sweep_takes_nothing_that_is_good,

        /// The worst a sweep can do: a revocation goes before the token that it covers, and the token is good again.
        keeping::a_revocation_outlives_every_token_it_covers,
    }

    Rule {
        /// A token that was born dead lives longer than what the revocation was written for. If the revocation is not
        /// kept for it, it comes to life in the middle of its days.
        keeping::a_token_that_came_later_prolongs_its_revocation,

        /// Between an approval and its first token there is no token that would keep a revocation, for up to an hour. A
        /// sweep in between must not lose it.
        keeping::a_revocation_waits_for_what_is_in_flight,

        /// The operator revokes once more what was revoked before, and is told that it was. What is in flight by then
        /// is older than that, and the first revocation was kept for what was in flight at its own time.
        keeping::a_repeated_revocation_is_kept_as_a_new_one_would_be,

        /// A key is known to be stolen since last week, so the cutoff is of last week. What is in flight is so from now
        /// on: an entry counts from when it is recorded, however old its cutoff.
        lasting::a_revocation_counts_from_when_it_is_recorded,

        /// A device polls for up to an hour after its user has approved it (RFC 8628). If the password is changed
        /// meanwhile, it gets nothing that is good.
        lasting::a_device_that_polls_within_the_hour_gets_nothing_live,

        /// A password change ends the thief's browser session, which has no tokens yet and asks for some an hour later.
        keeping::a_password_change_outlasts_the_sessions_it_ended,

        /// A session that is prolonged needs the revocations longer that were written before.
        keeping::a_revocation_outlasts_a_session_that_was_prolonged_after_it,

        /// A browser session is prolonged for weeks, and one more client joins it. What ended logins of that client, or
        /// of all, before the session was prolonged ends this one too.
        lasting::a_cutoff_lasts_as_long_as_a_session_whoever_joins_it,

        /// The second password change ends a session that the first one spared. It counts for as long as that session
        /// lasts.
        lasting::a_cutoff_that_moves_lasts_as_long_as_the_sessions_before_it,

        /// For as long as it would have lasted, a session that was logged out is not opened again.
        keeping::a_logged_out_session_stays_spent,

        /// A family in daily use outlives its first token by months. If that is forgotten, its thief is not recognised.
        keeping::a_consumed_token_is_remembered_while_its_family_lives,

        /// A sweep shares the engine with requests that wait for it: it does what it may, says that there is more, and
        /// the next one goes on.
        taking::a_budget_is_kept_and_the_rest_is_done_later,

        /// What nobody can need any more must go, or the store grows for ever.
        taking::what_has_expired_is_gone_at_last,
    }

    Trial {
        /// A token that never expires is never due, nor is what revokes it; what is due goes all the same.
        clocks::what_never_expires_is_never_due,

        /// Sweeps before, between and after a revocation with an old cutoff, the session, and the issue that it covers,
        /// in every order, a few rows at a time.
        lasting::sweeps_in_any_order_around_a_revocation_revive_nothing,

        /// A clock is hours or days ahead, sweeps run, and the clock is put right. If the revocation went before the
        /// token, the token is good again.
        clocks::a_clock_that_was_ahead_revives_nothing,

        /// A node whose clock is two hours behind revokes. Its entry is kept from when the store has seen the time to
        /// be, not from two hours ago.
        clocks::a_revocation_by_a_clock_that_is_behind_is_kept_as_long,

        /// Every process runs its timer: two sweeps at once must not trip over each other, or over those who look.
        taking::sweepers_beside_each_other_take_nothing_that_is_good,

        /// A revocation, an issue and a sweep at the same moment, in a store that is empty but for them: the revocation
        /// must not be swept between being written and being needed.
        taking::a_sweep_beside_a_revocation_and_an_issue_leaves_nothing_live,

        /// A grant was revoked so long ago that its entry is due, and a token is issued in it. Either the sweep was
        /// first and the token lives, or the issue was and the entry stays. The token endpoint must not be given the
        /// other answer.
        taking::an_issue_beside_a_sweep_says_what_becomes_of_its_tokens,

        /// A sweep that is given up has done a part. It has broken nothing, and the next one does the rest.
        taking::dropping_a_sweep_at_any_await_takes_nothing_that_is_good,

        /// One engine, one timer, many tenants: each one's revocations stay as long as its own tokens need them.
        taking::a_sweep_keeps_what_the_neighbour_needs,

        /// Thousands of random steps, sweeps of every size among them, against a model that forgets nothing.
        model::a_naive_model_that_forgets_nothing_agrees,
    }
}
