//! What stores do wrong, and which cases must notice.

/// One mistake; [`Rows`](crate::rows::Rows) makes it when told to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bug {
    AcknowledgesFirst,
    AlwaysSaysLive,
    AnybodyAddsToAGrant,
    AnybodyExchanges,
    AnybodyJoins,
    BelievesWhoeverRecords,
    ConsumedGoAtTheirExpiry,
    CountsReads,
    CutoffIgnoresTime,
    CutoffIsExclusive,
    CutoffMovesBack,
    CutsClientsShort,
    DecidesAtIssue,
    DeletesThenInserts,
    DoesNotCompareAndSwap,
    EntriesAreNotProlonged,
    EntriesCountFromTheirCutoff,
    EntriesGoFirst,
    EntriesLastAnHour,
    EntriesLastTenYears,
    Enumerates,
    ExchangesTheDead,
    FindsByPattern,
    FindsWithoutItsLedger,
    ForgetsExchangesAtTheEnd,
    ForgetsTheTenant,
    GluesNames,
    GoesByTheClockAlone,
    GraceBeforeRevocation,
    GraceForEveryGeneration,
    GraceHasOneSide,
    GraceIsProlongedByUse,
    GrantsAreTheirClients,
    HidesConsumed,
    HidesExpired,
    HintFilters,
    HoldsByTheFirstCutoff,
    HorizonIsTheExpiry,
    IgnoresClientRevocations,
    IgnoresTheBudget,
    ImportedTokensHaveGrace,
    IssuesBeforeItsGrant,
    IssuesOneByOne,
    IssuesWhatCannotBePresented,
    IssuingOverwrites,
    KeepsWhatItHasFound,
    LocksItsHandleAlone,
    LoginIsTheTimeOfIssue,
    LogoutDeletesTheSession,
    LooksThenIssues,
    LooksThenJoins,
    LooksThenRevokes,
    MarksOneByOne,
    MarksTheTokensItFinds,
    MovedCutoffsKeepTheirTime,
    NamesIgnoreCase,
    NeverIsTenYears,
    NeverOverflows,
    NobodyIsAnEmptyName,
    NothingIsInFlight,
    OfflineEndsWithItsSession,
    OneKeySpaceForAllKinds,
    OnlyParticipantsCount,
    OnlyTheLastTakesPart,
    ProlongingDoesNotCount,
    RecordsBeforeItSpends,
    RefusesWhatIsYetToCome,
    RemembersAHundredGenerations,
    RepeatsDoNotCount,
    ReplayIsNews,
    ReuseEndsTheTokenAlone,
    ReuseGoesUnnoticed,
    RevokesASpentTokenAlone,
    RevokesNamesOfNoToken,
    RollsTheConsumptionBack,
    SaysThereIsNoMore,
    SessionsAreReopened,
    SessionsDoNotCount,
    SessionsEndTheirUsers,
    StopsAtAThousand,
    StrangersSpend,
    SuccessorsAreAGrantOfTheirOwn,
    SweepsByEmptying,
    SweepsByPosition,
    SweepsNothing,
    SweepsTheNeighbours,
    SweepsWhatIsADayOld,
    TakesTokensOver,
    TenMinutesInFlight,
    TokensIgnoreCase,
    WritesBehind,
}

impl Bug {
    /// Those that mark tokens, where the honest store looks for an entry.
    pub(crate) const fn keeps_revocation_with_the_token(self) -> bool {
        matches!(
            self,
            Self::DecidesAtIssue
                | Self::MarksOneByOne
                | Self::MarksTheTokensItFinds
                | Self::StopsAtAThousand
        )
    }
}

/// Each with the cases that must notice it. Others may.
pub(crate) const STORE: &[(Bug, &[&str])] = &[
    (Bug::LoginIsTheTimeOfIssue, &["a_token_is_found_as_it_was_put_in"]),
    (Bug::FindsByPattern, &["what_was_never_issued_is_not_found"]),
    (Bug::HintFilters, &["a_hint_never_hides_a_token"]),
    (Bug::TokensIgnoreCase, &["tokens_are_compared_byte_for_byte"]),
    (Bug::HidesExpired, &["an_expired_token_is_still_found"]),
    (Bug::HidesConsumed, &["a_consumed_token_is_still_found"]),
    (
        Bug::SessionsEndTheirUsers,
        &[
            "each_target_ends_what_it_covers_and_nothing_else",
            "a_naive_model_of_tokens_and_revocations_agrees",
        ],
    ),
    (
        Bug::IgnoresClientRevocations,
        &[
            "each_target_ends_what_it_covers_and_nothing_else",
            "a_naive_model_of_tokens_and_revocations_agrees",
        ],
    ),
    (Bug::CutoffIsExclusive, &["a_cutoff_spares_who_logs_in_after_it"]),
    (Bug::CutoffIgnoresTime, &["a_cutoff_spares_who_logs_in_after_it"]),
    (
        Bug::CutoffMovesBack,
        &["a_cutoff_only_moves_forward", "a_naive_model_of_tokens_and_revocations_agrees"],
    ),
    (Bug::ReplayIsNews, &["a_replayed_revocation_changes_nothing"]),
    (
        Bug::MarksTheTokensItFinds,
        &[
            "a_token_that_comes_after_its_revocation_is_dead",
            "revoking_ten_thousand_tokens_costs_what_revoking_one_costs",
        ],
    ),
    (Bug::MarksOneByOne, &["dropping_a_revocation_at_any_await_does_all_or_nothing"]),
    (Bug::StopsAtAThousand, &["one_revocation_ends_ten_thousand_tokens"]),
    (Bug::Enumerates, &["revoking_ten_thousand_tokens_costs_what_revoking_one_costs"]),
    (Bug::DecidesAtIssue, &["a_token_put_in_beside_its_revocation_is_dead"]),
    (Bug::OfflineEndsWithItsSession, &["an_offline_grant_outlives_its_session"]),
    (Bug::NobodyIsAnEmptyName, &["a_grant_without_a_user_is_no_users"]),
    (Bug::NamesIgnoreCase, &["names_are_compared_byte_for_byte"]),
    (Bug::GluesNames, &["names_are_compared_byte_for_byte"]),
    (Bug::OneKeySpaceForAllKinds, &["targets_of_different_kinds_do_not_mix"]),
    (Bug::CutsClientsShort, &["a_foreign_client_ends_nothing"]),
    (Bug::CountsReads, &["a_foreign_client_changes_no_byte"]),
    (Bug::LooksThenRevokes, &["of_racers_that_revoke_the_same_one_brings_the_news"]),
    (Bug::DeletesThenInserts, &["readers_beside_writers_never_see_the_dead_alive"]),
    (
        Bug::AcknowledgesFirst,
        &[
            "each_target_ends_what_it_covers_and_nothing_else",
            "a_token_that_comes_after_its_revocation_is_dead",
            "dropping_a_revocation_at_any_await_does_all_or_nothing",
            "an_acknowledged_revocation_survives_a_restart",
        ],
    ),
    (
        Bug::WritesBehind,
        &[
            "a_revocation_is_seen_by_every_handle_at_once",
            "an_acknowledged_revocation_survives_a_restart",
        ],
    ),
    (Bug::KeepsWhatItHasFound, &["a_revocation_is_seen_by_every_handle_at_once"]),
    (Bug::NeverOverflows, &["a_token_that_never_expires_is_found_and_revoked"]),
    (Bug::RevokesNamesOfNoToken, &["a_name_that_ends_no_token_is_not_acknowledged"]),
    (
        Bug::LocksItsHandleAlone,
        &[
            "of_racers_that_revoke_the_same_one_brings_the_news",
            "a_token_put_in_beside_its_revocation_is_dead",
        ],
    ),
    (
        Bug::FindsWithoutItsLedger,
        &["each_target_ends_what_it_covers_and_nothing_else", "a_cutoff_only_moves_forward"],
    ),
    (Bug::ForgetsTheTenant, &["a_neighbour_sees_and_feels_nothing"]),
];

/// The same for the ledger.
pub(crate) const LEDGER: &[(Bug, &[&str])] = &[
    (Bug::AlwaysSaysLive, &["issuing_says_whether_the_tokens_are_live"]),
    (
        Bug::IssuingOverwrites,
        &[
            "issuing_again_changes_and_revives_nothing",
            "a_naive_model_of_rotations_and_sessions_agrees",
        ],
    ),
    (Bug::TakesTokensOver, &["a_token_of_another_grant_is_a_conflict"]),
    (Bug::LooksThenIssues, &["of_racers_that_issue_one_token_to_two_grants_one_is_told"]),
    (
        Bug::IssuesBeforeItsGrant,
        &["dropping_an_issue_at_any_await_leaves_nothing_beyond_revocation"],
    ),
    (
        Bug::SuccessorsAreAGrantOfTheirOwn,
        &[
            "a_rotation_consumes_the_token_and_its_successors_live",
            "revoking_after_a_rotation_leaves_nothing_live",
            "revoking_beside_a_rotation_leaves_nothing_live",
            "the_first_token_of_a_long_family_still_ends_it",
            "a_naive_model_of_rotations_and_sessions_agrees",
        ],
    ),
    (
        Bug::ReuseGoesUnnoticed,
        &[
            "a_consumed_token_that_comes_back_ends_its_family",
            "of_racers_with_one_refresh_token_one_wins",
        ],
    ),
    (
        Bug::ReuseEndsTheTokenAlone,
        &[
            "a_consumed_token_that_comes_back_ends_its_family",
            "of_racers_with_one_refresh_token_one_wins",
        ],
    ),
    (Bug::GraceForEveryGeneration, &["the_grace_window_is_for_the_previous_generation_only"]),
    (Bug::GoesByTheClockAlone, &["a_clock_that_goes_back_opens_no_grace_window"]),
    (Bug::GraceIsProlongedByUse, &["the_grace_window_ends_on_time"]),
    (Bug::GraceBeforeRevocation, &["the_grace_window_never_revives_what_was_revoked"]),
    (Bug::ImportedTokensHaveGrace, &["an_imported_consumed_token_has_no_grace"]),
    (Bug::AnybodyExchanges, &["what_cannot_be_rotated_is_refused_and_not_consumed"]),
    (Bug::StrangersSpend, &["what_cannot_be_rotated_is_refused_and_not_consumed"]),
    (Bug::ExchangesTheDead, &["revoking_before_a_rotation_leaves_nothing_live"]),
    (
        Bug::RevokesASpentTokenAlone,
        &[
            "revoking_a_token_that_was_rotated_meanwhile_ends_its_successors",
            "revoking_one_token_beside_its_rotation_leaves_nothing_live",
        ],
    ),
    (Bug::RemembersAHundredGenerations, &["the_first_token_of_a_long_family_still_ends_it"]),
    (Bug::DecidesAtIssue, &["revoking_beside_a_rotation_leaves_nothing_live"]),
    (
        Bug::DoesNotCompareAndSwap,
        &[
            "of_racers_with_one_refresh_token_one_wins",
            "within_the_grace_window_all_racers_are_served",
        ],
    ),
    (Bug::RecordsBeforeItSpends, &["dropping_a_rotation_at_any_await_fails_closed"]),
    (Bug::KeepsWhatItHasFound, &["a_rotation_is_seen_by_every_handle_at_once"]),
    (Bug::ForgetsExchangesAtTheEnd, &["a_consumed_token_stays_consumed_after_a_restart"]),
    (
        Bug::ForgetsTheTenant,
        &["a_neighbours_rotations_are_its_own", "a_neighbours_sessions_are_its_own"],
    ),
    (Bug::OnlyTheLastTakesPart, &["a_session_collects_its_participants"]),
    (Bug::AnybodyJoins, &["a_session_is_joined_by_its_own_user_only"]),
    (
        Bug::SessionsAreReopened,
        &[
            "a_session_that_was_logged_out_is_spent",
            "a_naive_model_of_rotations_and_sessions_agrees",
        ],
    ),
    (Bug::LogoutDeletesTheSession, &["participants_are_known_after_logout"]),
    (Bug::LooksThenJoins, &["clients_that_join_at_once_are_all_in_it"]),
    (
        Bug::AnybodyAddsToAGrant,
        &[
            "a_grant_id_of_another_client_or_subject_is_a_conflict",
            "of_racers_that_issue_one_grant_id_to_two_owners_one_is_told",
        ],
    ),
    (Bug::GrantsAreTheirClients, &["a_grant_id_of_another_client_or_subject_is_a_conflict"]),
    (
        Bug::IssuesOneByOne,
        &[
            "tokens_are_issued_together_or_not_at_all",
            "a_rotation_onto_a_taken_value_leaves_the_token_consumed",
        ],
    ),
    (Bug::IssuesWhatCannotBePresented, &["a_token_that_cannot_be_presented_is_not_issued"]),
    (Bug::RollsTheConsumptionBack, &["a_rotation_onto_a_taken_value_leaves_the_token_consumed"]),
    (Bug::GraceHasOneSide, &["a_clock_that_was_set_back_does_not_keep_the_grace_window_open"]),
    (Bug::RefusesWhatIsYetToCome, &["a_node_whose_clock_is_behind_rotates_as_well"]),
    (Bug::NeverOverflows, &["a_refresh_token_that_never_expires_is_rotated"]),
    (
        Bug::LocksItsHandleAlone,
        &[
            "revoking_beside_a_rotation_leaves_nothing_live",
            "revoking_one_token_beside_its_rotation_leaves_nothing_live",
            "of_racers_with_one_refresh_token_one_wins",
            "within_the_grace_window_all_racers_are_served",
            "of_racers_that_issue_one_token_to_two_grants_one_is_told",
            "of_racers_that_issue_one_grant_id_to_two_owners_one_is_told",
            "clients_that_join_at_once_are_all_in_it",
        ],
    ),
];

/// The same for sweeps.
pub(crate) const SWEEP: &[(Bug, &[&str])] = &[
    (Bug::SweepsWhatIsADayOld, &["a_sweep_takes_nothing_that_is_good"]),
    (
        Bug::EntriesLastAnHour,
        &[
            "a_revocation_outlives_every_token_it_covers",
            "a_logged_out_session_stays_spent",
            "a_naive_model_that_forgets_nothing_agrees",
        ],
    ),
    (
        Bug::EntriesAreNotProlonged,
        &[
            "a_token_that_came_later_prolongs_its_revocation",
            "an_issue_beside_a_sweep_says_what_becomes_of_its_tokens",
        ],
    ),
    (
        Bug::NothingIsInFlight,
        &[
            "a_revocation_waits_for_what_is_in_flight",
            "a_sweep_beside_a_revocation_and_an_issue_leaves_nothing_live",
        ],
    ),
    (
        Bug::SessionsDoNotCount,
        &["a_password_change_outlasts_the_sessions_it_ended", "a_logged_out_session_stays_spent"],
    ),
    (Bug::ProlongingDoesNotCount, &["a_revocation_outlasts_a_session_that_was_prolonged_after_it"]),
    (Bug::RepeatsDoNotCount, &["a_repeated_revocation_is_kept_as_a_new_one_would_be"]),
    (Bug::ConsumedGoAtTheirExpiry, &["a_consumed_token_is_remembered_while_its_family_lives"]),
    (Bug::IgnoresTheBudget, &["a_budget_is_kept_and_the_rest_is_done_later"]),
    (Bug::SaysThereIsNoMore, &["a_budget_is_kept_and_the_rest_is_done_later"]),
    (Bug::SweepsNothing, &["what_has_expired_is_gone_at_last"]),
    (Bug::SweepsByPosition, &["sweepers_beside_each_other_take_nothing_that_is_good"]),
    (Bug::SweepsByEmptying, &["dropping_a_sweep_at_any_await_takes_nothing_that_is_good"]),
    (Bug::SweepsTheNeighbours, &["a_sweep_keeps_what_the_neighbour_needs"]),
    (
        Bug::EntriesCountFromTheirCutoff,
        &[
            "a_revocation_counts_from_when_it_is_recorded",
            "sweeps_in_any_order_around_a_revocation_revive_nothing",
        ],
    ),
    (Bug::TenMinutesInFlight, &["a_device_that_polls_within_the_hour_gets_nothing_live"]),
    (Bug::OnlyParticipantsCount, &["a_cutoff_lasts_as_long_as_a_session_whoever_joins_it"]),
    (
        Bug::MovedCutoffsKeepTheirTime,
        &["a_cutoff_that_moves_lasts_as_long_as_the_sessions_before_it"],
    ),
    (Bug::HoldsByTheFirstCutoff, &["a_cutoff_that_moves_lasts_as_long_as_the_sessions_before_it"]),
    (
        Bug::EntriesGoFirst,
        &[
            "a_clock_that_was_ahead_revives_nothing",
            "sweeps_in_any_order_around_a_revocation_revive_nothing",
        ],
    ),
    (Bug::HorizonIsTheExpiry, &["a_clock_that_was_ahead_revives_nothing"]),
    (Bug::BelievesWhoeverRecords, &["a_revocation_by_a_clock_that_is_behind_is_kept_as_long"]),
    (Bug::NeverIsTenYears, &["what_never_expires_is_never_due"]),
    (Bug::EntriesLastTenYears, &["what_never_expires_is_never_due"]),
    (Bug::LocksItsHandleAlone, &["a_sweep_beside_a_revocation_and_an_issue_leaves_nothing_live"]),
];
