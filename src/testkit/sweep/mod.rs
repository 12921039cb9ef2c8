//! The contract of [`Sweep`](crate::store::Sweep), for a store that is a
//! [`TokenLedger`](crate::store::TokenLedger) too: only time decides what goes, and what a live token needs stays.

mod keeping;
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
        /// A token that was born dead lives longer than what the revocation was written for. If the revocation is not kept
        /// for it, it comes to life in the middle of its days.
        keeping::a_token_that_came_later_prolongs_its_revocation,

        /// Between the authorization code and its rotation there is no token that would keep a revocation, for ten minutes at
        /// most (RFC 6749 section 4.1.2). A sweep in between must not lose it.
        keeping::a_revocation_waits_for_what_is_in_flight,

        /// The operator revokes once more what was revoked before, and is told that it was. What is in flight by then is older
        /// than that, and the first revocation was kept for what was in flight at its own time.
        keeping::a_repeated_revocation_is_kept_as_a_new_one_would_be,

        /// A password change ends the thief's browser session, which has no tokens yet and asks for some an hour later.
        keeping::a_password_change_outlasts_the_sessions_it_ended,

        /// A session that is prolonged needs the revocations longer that were written before.
        keeping::a_revocation_outlasts_a_session_that_was_prolonged_after_it,

        /// For as long as it would have lasted, a session that was logged out is not opened again.
        keeping::a_logged_out_session_stays_spent,

        /// A family in daily use outlives its first token by months. If that is forgotten, its thief is not recognised.
        keeping::a_consumed_token_is_remembered_while_its_family_lives,

        /// A sweep shares the engine with requests that wait for it: it does what it may, says that there is more, and the
        /// next one goes on.
        taking::a_budget_is_kept_and_the_rest_is_done_later,

        /// What nobody can need any more must go, or the store grows for ever.
        taking::what_has_expired_is_gone_at_last,
    }

    Trial {
        /// Every process runs its timer: two sweeps at once must not trip over each other, or over those who look.
        taking::sweepers_beside_each_other_take_nothing_that_is_good,

        /// A revocation, an issue and a sweep at the same moment, in a store that is empty but for them: the revocation must
        /// not be swept between being written and being needed.
        taking::a_sweep_beside_a_revocation_and_an_issue_leaves_nothing_live,

        /// A grant was revoked so long ago that its entry is due, and a token is issued in it. Either the sweep was first and
        /// the token lives, or the issue was and the entry stays. The token endpoint must not be given the other answer.
        taking::an_issue_beside_a_sweep_says_what_becomes_of_its_tokens,

        /// A sweep that is given up has done a part. It has broken nothing, and the next one does the rest.
        taking::dropping_a_sweep_at_any_await_takes_nothing_that_is_good,

        /// One engine, one timer, many tenants: each one's revocations stay as long as its own tokens need them.
        taking::a_sweep_keeps_what_the_neighbour_needs,

        /// Thousands of random steps, sweeps of every size among them, against a model that forgets nothing.
        model::a_naive_model_that_forgets_nothing_agrees,
    }
}
