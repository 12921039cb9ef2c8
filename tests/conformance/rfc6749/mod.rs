//! RFC 6749, The OAuth 2.0 Authorization Framework, as RFC 7009 refers to it: forms, client authentication and
//! errors; with RFC 7617 (Basic), RFC 9110 (HTTP) and the OAuth 2.1 draft where they say more.

mod client_authentication;
mod errors;
mod guessing;
#[cfg(feature = "argon2")]
mod hashed;
mod parameters;
mod secrets;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable};
use annul::{Policy, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::doubles::server_with;
use crate::index::Index;
use crate::index::Status::Tested;
use crate::support::{Server, error_of, form};

pub(crate) const INDEX: Index = Index {
    source: concat!(
        include_str!("client_authentication.rs"),
        include_str!("errors.rs"),
        include_str!("guessing.rs"),
        include_str!("hashed.rs"),
        include_str!("parameters.rs"),
        include_str!("secrets.rs"),
    ),
    requirements: &[
        ("PAR-01", Tested(&["s3_1_a_parameter_without_a_value_is_absent"])),
        ("PAR-02", Tested(&["s3_1_no_known_parameter_may_stand_twice"])),
        ("PAR-03", Tested(&["par_03_unknown_parameters_may_repeat_unless_the_policy_says_no"])),
        ("PAR-04", Tested(&["s3_1_unknown_parameters_are_ignored"])),
        ("PAR-05", Tested(&["appendix_b_plus_is_a_space_and_escapes_are_utf_8"])),
        ("PAR-06", Tested(&["par_06_what_cannot_be_decoded_is_a_malformed_request"])),
        ("PAR-07", Tested(&["par_07_size_count_and_length_are_bounded"])),
        (
            "PAR-08",
            Tested(&[
                "appendix_a_control_characters_in_credentials_reach_no_authenticator",
                "appendix_a_control_characters_in_a_token_reach_no_store",
            ]),
        ),
        ("PAR-09", Tested(&["s3_1_the_query_is_kept_in_the_url_and_never_read"])),
        ("PAR-10", Tested(&["par_10_the_charset_must_be_utf_8"])),
        ("CLI-01", Tested(&["s2_3_1_the_example_of_the_rfc_authenticates"])),
        ("CLI-02", Tested(&["cli_02_both_halves_are_form_decoded_in_every_profile"])),
        (
            "CLI-03",
            Tested(&[
                "cli_03_verbatim_credentials_work_only_where_the_policy_is_lenient",
                "cli_03_the_two_readings_are_never_mixed",
            ]),
        ),
        (
            "CLI-04",
            Tested(&[
                "cli_04_the_secret_may_hold_colons_in_every_profile",
                "cli_04_the_scheme_is_read_in_any_case",
                "appendix_a_control_characters_in_credentials_reach_no_authenticator",
            ]),
        ),
        ("CLI-05", Tested(&["cli_05_the_challenge_quotes_the_realm_and_names_utf_8"])),
        ("CLI-06", Tested(&["cli_06_a_header_that_cannot_be_read_is_a_failed_authentication"])),
        ("CLI-07", Tested(&["s2_3_1_secrets_in_the_form_work_for_clients_that_registered_them"])),
        ("CLI-08", Tested(&["s2_3_1_credentials_in_the_uri_are_not_read"])),
        ("CLI-09", Tested(&["s2_3_two_mechanisms_are_refused_and_neither_is_tried"])),
        ("CLI-10", Tested(&["s3_2_1_a_client_id_in_the_form_must_be_the_headers"])),
        ("CLI-11", Tested(&["s2_3_a_public_client_has_no_secret_to_prove"])),
        ("CLI-12", Tested(&["s3_2_1_a_confidential_client_must_authenticate"])),
        (
            "CLI-13",
            Tested(&[
                "s2_3_1_failures_are_counted_over_all_endpoints",
                "s2_3_1_guesses_are_counted_whose_sender_hangs_up",
                "cli_13_guesses_at_any_endpoint_use_up_one_quota",
                "cli_13_guesses_from_many_addresses_are_bounded_too",
                "cli_13_a_client_that_does_not_exist_runs_out_of_guesses_alike",
                "cli_13_a_guesser_shuts_nobody_else_out",
            ]),
        ),
        ("CLI-14", Tested(&["cli_14_a_secret_opens_no_side_door"])),
        (
            "CLI-15",
            Tested(&[
                "cli_15_two_secrets_live_during_rotation_and_an_expired_one_is_dead",
                "cli_15_an_empty_secret_is_none",
                "cli_15_hashed_secrets_rotate_and_expire_beside_digests",
                "cli_15_a_hashed_secret_is_no_use_where_nobody_hashes",
            ]),
        ),
        (
            "CLI-16",
            Tested(&[
                "cli_16_all_failures_to_authenticate_look_alike_in_every_profile",
                "cli_16_with_hashes_all_failures_look_alike_and_cost_alike_in_every_profile",
                "cli_16_a_flood_of_wrong_secrets_is_503_and_a_client_at_work_is_still_answered",
            ]),
        ),
        ("CLI-17", Tested(&["cli_17_a_disabled_client_cannot_authenticate"])),
        ("ERR-01", Tested(&["s5_2_every_error_is_json_with_just_two_members"])),
        ("ERR-02", Tested(&["s5_2_every_error_is_of_the_allowed_characters_and_echoes_nothing"])),
        ("ERR-03", Tested(&["s5_2_invalid_request_is_for_these"])),
        ("ERR-04", Tested(&["s5_2_invalid_client_is_for_these"])),
        (
            "ERR-05",
            Tested(&[
                "s5_2_a_failed_header_is_401_with_a_basic_challenge",
                "s5_2_who_used_the_header_is_answered_401_whatever_the_form_says_beside_it",
            ]),
        ),
        ("ERR-06", Tested(&["err_06_401_and_the_challenge_come_together"])),
        ("ERR-07", Tested(&["err_07_the_list_of_codes_is_closed"])),
        ("ERR-08", Tested(&["s5_1_no_answer_may_be_stored"])),
        ("ERR-09", Tested(&["err_09_405_has_allow_and_retry_after_is_in_seconds"])),
        ("ERR-10", Tested(&["err_10_hardening_headers_are_there_and_can_be_removed"])),
        ("ERR-11", Tested(&["err_11_failures_of_ours_are_503_or_500_at_every_endpoint"])),
    ],
};

/// A revocation with this value of the `Authorization` header.
async fn revoke_with(server: &Server, authorization: &[u8], body: &str) -> Response {
    let request = form(body).header("authorization", authorization);
    annul::handle_revoke(&server.authority, &request).await
}

/// `Basic`, and these bytes as they are in base64.
fn verbatim(user_pass: impl AsRef<[u8]>) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(user_pass)).into_bytes()
}

fn basic_client(id: &str, secret: &str) -> Client {
    Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretBasic)).secret(secret)
}

/// A server whose one client is this.
async fn server_of(client: Client, policy: impl Into<Policy>) -> Server {
    let id = client.id().as_str().to_owned();
    let server = server_with(ClientTable::from_iter([client]), policy);
    server.grant("g1", &id).await;
    server
}

fn assert_refused(answer: &Response, status: u16, code: &str, case: &str) {
    assert_eq!(answer.status(), status, "{case}");
    assert_eq!(error_of(answer), code, "{case}");
}
