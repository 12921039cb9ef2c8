//! RFC 7009, OAuth 2.0 Token Revocation.

mod answers;
mod cross_origin;
mod effect;
mod endpoint;
mod request;
mod security;

use std::time::Duration;

use annul::store::{Rotated, Rotation, TokenLedger};
use annul::wire::basic;
use annul::{ClientId, NewToken, PresentedToken, Request, Response};

use crate::index::Index;
use crate::index::Status::{NotDone, Tested};
use crate::support::{FORM, Server};

pub(crate) const INDEX: Index = Index {
    source: concat!(
        include_str!("answers.rs"),
        include_str!("cross_origin.rs"),
        include_str!("effect.rs"),
        include_str!("endpoint.rs"),
        include_str!("request.rs"),
        include_str!("security.rs"),
    ),
    requirements: &[
        ("R7009-01", Tested(&["s2_a_revoked_refresh_token_refreshes_and_introspects_no_more"])),
        ("R7009-02", Tested(&["s2_a_revoked_access_token_is_inactive_at_once"])),
        (
            "R7009-03",
            Tested(&[
                "s2_every_method_but_post_is_405_and_touches_nothing",
                "s2_405_names_options_where_preflights_are_answered",
            ]),
        ),
        ("R7009-04", Tested(&["s2_the_published_endpoint_may_have_a_query_and_never_a_fragment"])),
        ("R7009-05", Tested(&["s2_the_published_endpoint_is_https"])),
        ("R7009-06", Tested(&["s2_a_revocation_over_plain_http_is_honoured"])),
        (
            "R7009-10",
            Tested(&[
                "s2_1_a_body_that_is_not_declared_a_form_is_refused",
                "s2_1_the_media_type_is_read_in_any_case_and_with_parameters",
            ]),
        ),
        ("R7009-11", Tested(&["s2_1_a_missing_or_empty_token_is_an_error_and_never_200"])),
        ("R7009-12", Tested(&["s2_1_a_token_in_the_query_is_not_read"])),
        ("R7009-13", Tested(&["s2_1_every_hint_finds_every_kind_of_token"])),
        ("R7009-14", Tested(&["s2_1_every_hint_finds_every_kind_of_token"])),
        ("R7009-15", Tested(&["s2_1_no_hint_changes_an_answer_or_an_effect"])),
        ("R7009-16", Tested(&["s2_1_no_hint_changes_an_answer_or_an_effect"])),
        ("R7009-17", Tested(&["s4_1_2_a_registered_hint_reaches_the_store"])),
        (
            "R7009-18",
            Tested(&["s2_1_wrong_credentials_are_refused_whether_the_token_lives_or_not"]),
        ),
        ("R7009-19", Tested(&["s5_a_public_client_must_name_itself"])),
        (
            "R7009-20",
            Tested(&[
                "s2_1_no_client_revokes_another_clients_token",
                "s2_1_possession_is_proof_only_where_the_policy_says_so",
            ]),
        ),
        ("R7009-21", Tested(&["s2_1_nothing_is_written_before_both_checks"])),
        (
            "R7009-30",
            Tested(&[
                "s2_a_revoked_refresh_token_refreshes_and_introspects_no_more",
                "s2_1_the_grace_window_does_not_revive_what_was_revoked",
            ]),
        ),
        ("R7009-31", Tested(&["s2_1_every_node_of_one_store_sees_it_at_once"])),
        (
            "R7009-32",
            Tested(&["s2_1_a_refresh_token_takes_every_access_token_of_its_grant_and_no_other"]),
        ),
        (
            "R7009-33",
            Tested(&[
                "s2_1_the_policy_says_how_far_either_kind_reaches",
                "s2_1_a_client_may_have_a_reach_of_its_own",
            ]),
        ),
        ("R7009-34", Tested(&["s2_1_the_grant_is_over_and_the_users_next_grant_is_not"])),
        ("R7009-36", Tested(&["s2_2_1_the_presented_tokens_own_type_decides"])),
        (
            "R7009-37",
            NotDone(
                "no shipped store keeps JWT access tokens; one that cannot be denied is answered \
                 unsupported_token_type (R7009-45), never a false 200",
            ),
        ),
        ("R7009-40", Tested(&["s2_2_success_is_an_empty_200"])),
        ("R7009-41", Tested(&["s2_2_junk_is_200_and_writes_nothing", "s2_2_a_dead_token_is_200"])),
        ("R7009-42", Tested(&["s2_2_the_second_answer_is_the_first_byte_for_byte"])),
        ("R7009-43", Tested(&["s2_2_success_is_an_empty_200"])),
        ("R7009-44", Tested(&["s2_2_1_errors_are_those_of_rfc_6749"])),
        ("R7009-45", Tested(&["s2_2_1_the_presented_tokens_own_type_decides"])),
        (
            "R7009-46",
            Tested(&[
                "s2_2_1_a_store_that_fails_is_503_or_500_and_never_200",
                "s2_2_1_retry_after_is_the_stores_or_the_policys_in_whole_seconds",
            ]),
        ),
        ("R7009-47", Tested(&["s2_2_1_a_retry_after_503_completes_the_cascade"])),
        (
            "R7009-50",
            Tested(&[
                "s2_3_a_registered_origin_may_call_and_no_other",
                "s2_3_no_origin_starts_a_header_of_its_own",
                "s2_3_no_origins_no_cors",
            ]),
        ),
        ("R7009-51", Tested(&["s2_3_errors_can_be_read_by_a_registered_origin"])),
        ("R7009-52", Tested(&["s2_3_there_is_no_jsonp"])),
        (
            "R7009-60",
            Tested(&[
                "s5_the_throttle_is_asked_before_any_store",
                "s5_a_client_that_guesses_tokens_is_refused_until_it_has_waited",
                "s5_a_client_that_its_credentials_do_not_name_is_refused_too",
                "s5_nobody_guesses_tokens_at_a_public_clients_expense",
            ]),
        ),
        (
            "R7009-61",
            Tested(&[
                "s5_one_look_up_whatever_the_hint",
                "s5_a_token_beyond_the_limit_costs_no_look_up",
            ]),
        ),
        ("R7009-62", Tested(&["s5_nobody_unauthenticated_learns_whether_a_token_lives"])),
        (
            "R7009-63",
            Tested(&[
                "r7009_63_nothing_printable_holds_a_token_or_a_secret",
                "r7009_63_a_refused_issue_leaves_its_counterpart_to_nobody",
            ]),
        ),
        ("R7009-64", Tested(&["s5_only_the_owner_and_the_operator_revoke"])),
    ],
};

/// No hint, the two of RFC 7009, and others that a client might send.
const HINTS: [Option<&str>; 12] = [
    None,
    Some("access_token"),
    Some("refresh_token"),
    Some("foo"),
    Some(""),
    Some("ACCESS_TOKEN"),
    Some("id_token"),
    Some("pct"),
    Some("urn:ietf:params:oauth:token-type:refresh_token"),
    Some("refresh_token+"),
    Some("refresh_token,access_token"),
    Some("%C3%A9"),
];

fn body(token: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("token={token}&token_type_hint={hint}"),
        None => format!("token={token}"),
    }
}

fn credentials(client: &str) -> String {
    basic::header_value(client, &format!("{client}-secret"))
}

/// A well-formed revocation by `web`, but for this method.
async fn with_method(server: &Server, method: &str, body: &str) -> Response {
    let header = credentials("web");
    let request = Request::new(method, body.as_bytes())
        .header("content-type", FORM)
        .header("authorization", header.as_bytes());
    annul::handle_revoke(&server.authority, &request).await
}

/// A well-formed revocation by `web`, but for these media types.
async fn with_media_types(server: &Server, media_types: &[&str], body: &str) -> Response {
    let header = credentials("web");
    let request = Request::post(body.as_bytes()).header("authorization", header.as_bytes());
    let request = media_types
        .iter()
        .fold(request, |request, media_type| request.header("Content-Type", media_type.as_bytes()));
    annul::handle_revoke(&server.authority, &request).await
}

/// What the token endpoint would answer to `refresh_token`, exchanged for `at-NEXT` and `rt-NEXT`.
async fn refresh(server: &Server, client: &str, refresh_token: &str, next: &str) -> Rotated {
    let now = server.authority.now();
    let (access, refresh) = (format!("at-{next}"), format!("rt-{next}"));
    let successors = [
        NewToken::access(PresentedToken::new(&access), now + Duration::from_secs(600)),
        NewToken::refresh(PresentedToken::new(&refresh), now + Duration::from_secs(86_400)),
    ];
    let client = ClientId::new(client);
    let rotation = Rotation::new(PresentedToken::new(refresh_token), &client, &successors, now)
        .with_grace(Duration::from_secs(60));
    server.store.rotate(&rotation).await.unwrap()
}

fn is_empty_200(response: &Response) -> bool {
    response.status() == 200
        && response.body().is_empty()
        && response.header("content-type").is_none()
}
