//! RFC 6749, The OAuth 2.0 Authorization Framework, as RFC 7009 refers to it: forms, client authentication and
//! errors; with RFC 7617 (Basic), RFC 9110 (HTTP) and the OAuth 2.1 draft where they say more.

use std::task::Poll;
use std::time::Duration;

use annul::client::{
    AuthMethod, AuthenticatedClient, Client, ClientAuthError, ClientAuthenticator, ClientMetadata,
    ClientTable, Credentials, SecretDigest,
};
use annul::metadata::ServerMetadata;
use annul::policy::{BasicDecoding, BodyAuthenticationFailure, Duplicates};
use annul::wire::basic;
use annul::wire::cors::Origins;
use annul::wire::request::PresentedCertificate;
use annul::{Authority, FakeClock, Issuer, MemoryStore, Policy, Request, Response, profile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::doubles::{FAILURES, Fault, PROFILES, Watched, policy, server_with};
use crate::index::Index;
use crate::index::Status::Tested;
use crate::support::{FORM, START, Server, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("rfc6749.rs"),
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

// ── Section 3.1 and appendix B: parameters

#[tokio::test]
async fn s3_1_a_parameter_without_a_value_is_absent() {
    let server = Server::new();
    for (client, credentials) in [
        ("web", "client_id=&client_secret=&token_type_hint="),
        ("web", "client_assertion=&client_assertion_type=&client_secret"),
        ("spa", "client_id=spa&client_secret="),
    ] {
        server.grant(credentials, client).await;
        let token = format!("rt-{}", credentials.replace('&', "%26").replace('=', "%3D"));
        let body = format!("token={token}&{credentials}");
        let answer = match client {
            "web" => server.revoke_as("web", &body).await,
            _ => server.revoke(&body).await,
        };
        assert_eq!(answer.status(), 200, "{credentials}");
        let token = format!("rt-{credentials}");
        assert!(!server.is_active(&token).await, "{credentials}");
    }
    let answer = server.revoke_as("web", "token=").await;
    assert_refused(&answer, 400, "invalid_request", "token=");
    // A secret of no characters is no attempt to authenticate by form: it is a public client's request.
    let answer = server.revoke("token=t&client_id=post&client_secret=").await;
    assert_refused(&answer, 401, "invalid_client", "client_secret=");
}

const KNOWN: [&str; 12] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "id_token_hint",
    "logout_hint",
    "post_logout_redirect_uri",
    "refresh_token",
    "state",
    "token",
    "token_type_hint",
    "ui_locales",
];

#[tokio::test]
async fn s3_1_no_known_parameter_may_stand_twice() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "spa").await;
    let rest = |name| {
        let rest = [("token", "rt-g1"), ("refresh_token", "rt-g1"), ("client_id", "spa")];
        let rest = rest.into_iter().filter(move |(known, _)| *known != name);
        rest.map(|(name, value)| format!("&{name}={value}")).collect::<String>()
    };
    for name in KNOWN {
        let value = match name {
            "client_id" => "spa",
            _ => "rt-g1",
        };
        let (first, others) = name.split_at(1);
        let escaped = format!("%{:02x}{others}", first.as_bytes()[0]);
        for twice in [
            format!("{name}={value}&{name}={value}"),
            format!("{name}={value}&{name}=another"),
            format!("{name}=&{name}={value}"),
            format!("{name}={value}&{name}"),
            format!("{name}={value}&x=y&{escaped}={value}"),
        ] {
            let body = format!("{twice}{}", rest(name));
            let revoked = server.revoke(&body).await;
            assert_refused(&revoked, 400, "invalid_request", &body);
            let logged_out = server.logout(&body).await;
            assert_refused(&logged_out, 400, "invalid_request", &body);
        }
    }
    assert_eq!(watched.journal.take(), [""; 0]);
    assert!(server.is_active("rt-g1").await);
}

#[tokio::test]
async fn par_03_unknown_parameters_may_repeat_unless_the_policy_says_no() {
    for name in PROFILES {
        let policy = profile::by_name(name).unwrap().policy;
        let refuses = policy.duplicates == Duplicates::RefuseAny;
        assert_eq!(refuses, !matches!(name, "standard" | "django_oauth_toolkit"));
        for repeated in ["zz=1&zz=2", "zz=1&zz=1", "zz&%7Az"] {
            let server = Server::with_policy(policy.clone());
            server.grant("g1", "web").await;
            let body = format!("{repeated}&token=rt-g1");
            let answer = server.revoke_as("web", &body).await;
            let status = if refuses { 400 } else { 200 };
            assert_eq!(answer.status(), status, "{name}: {body}");
            assert_eq!(server.is_active("rt-g1").await, refuses, "{name}: {body}");
        }
    }
}

#[tokio::test]
async fn s3_1_unknown_parameters_are_ignored() {
    let mut answers = Vec::new();
    for more in [
        "",
        "&grant_type=refresh_token&foo=bar",
        "&callback=x",
        "&scope=openid&redirect_uri=https%3A%2F%2Fevil.example",
        "&Token=rt-g2&token%20=rt-g2&%20token=rt-g2&token[]=rt-g2",
        "&refresh_token=rt-g2&state=x&id_token_hint=y",
    ] {
        let server = Server::new();
        server.grant("g1", "web").await;
        server.grant("g2", "web").await;
        let answer = server.revoke_as("web", &format!("token=rt-g1{more}")).await;
        assert!(!server.is_active("rt-g1").await, "{more}");
        assert!(server.is_active("rt-g2").await, "{more}");
        answers.push(seen(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn appendix_b_plus_is_a_space_and_escapes_are_utf_8() {
    for (token, coded) in [
        (" %&+£€", "+%25%26%2B%C2%A3%E2%82%AC"),
        (" %&+£€", "%20%25%26%2b%c2%a3%e2%82%ac"),
        (" %&+£€", "+%25%26%2B£€"),
        ("a=b==", "a=b=="),
        ("a=b==", "a%3Db%3d%3D"),
        ("%41", "%2541"),
        ("+", "%2B"),
        ("🔑", "%F0%9F%94%91"),
    ] {
        for name in ["token", "%74%6F%6b%65n"] {
            let server = Server::new();
            let grant = annul::Grant::new("g1", "web", START);
            server.issue(grant, token, "rt").await;
            assert!(server.is_active(token).await);
            let answer = server.revoke_as("web", &format!("{name}={coded}")).await;
            assert_eq!(answer.status(), 200, "{coded}");
            assert!(!server.is_active(token).await, "{coded}");
        }
    }
}

#[tokio::test]
async fn par_06_what_cannot_be_decoded_is_a_malformed_request() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    let header = basic::header_value("web", "web-secret");
    let flawed: [&[u8]; 16] = [
        b"%G0",
        b"%C3%28",
        b"%",
        b"%4",
        b"rt-g1%",
        b"rt-g1%2",
        b"%+41",
        b"%-1",
        b"% 41",
        b"%%41",
        b"%FF",
        b"%C3",
        b"%ED%A0%80",
        b"%C0%80",
        b"\xff",
        b"rt\xc3",
    ];
    for flaw in flawed {
        // As the token, as another value, as a name, known or not.
        for place in [
            [b"token=", flaw].concat(),
            [b"token=rt-g1&x=", flaw].concat(),
            [b"token=rt-g1&", flaw, b"=x"].concat(),
            [b"token=rt-g1&", flaw].concat(),
            [flaw, b"&token=rt-g1"].concat(),
        ] {
            let request = Request::post(&place)
                .header("content-type", FORM)
                .header("authorization", header.as_bytes());
            let answer = annul::handle_revoke(&server.authority, &request).await;
            let case = String::from_utf8_lossy(&place);
            assert_refused(&answer, 400, "invalid_request", &case);
        }
    }
    assert_eq!(watched.journal.take(), [""; 0]);
    assert!(server.is_active("rt-g1").await);
}

#[tokio::test]
async fn par_07_size_count_and_length_are_bounded() {
    let watched = Watched::new();
    let server = &watched.server;
    let limits = Policy::default().limits;
    let more = |count: usize| format!("token=t{}", "&x=".repeat(count - 1));
    let long = |name: &str, length: usize| format!("token=t&{name}={}", "v".repeat(length));
    let sized = |size: usize| format!("token={}", "t".repeat(size - "token=".len()));
    let named = |length: usize| format!("token=t&{}=v", "n".repeat(length));
    let longest = limits.value_bytes;
    // The length is that of what was meant, not of how it was spelled.
    let escaped = format!("token=t&state={}", "%76".repeat(longest));
    for (body, status) in [
        (sized(limits.body_bytes), 200),
        (sized(limits.body_bytes + 1), 413),
        (more(limits.pairs), 200),
        (more(limits.pairs + 1), 400),
        (long("state", longest), 200),
        (long("state", longest + 1), 400),
        (escaped, 200),
        (long("zz", longest), 200),
        (long("zz", longest + 1), 400),
        (long("client_id", longest + 1), 400),
        (long("token_type_hint", longest + 1), 400),
        (named(longest), 200),
        (named(longest + 1), 400),
        // Tokens are longer than other values.
        (long("refresh_token", longest + 1), 200),
    ] {
        let head: String = body.chars().take(24).collect();
        watched.journal.take();
        let answer = server.revoke_as("web", &body).await;
        assert_eq!(answer.status(), status, "{head} of {}", body.len());
        if status != 200 {
            assert_eq!(error_of(&answer), "invalid_request", "{head}");
            assert_eq!(watched.journal.take(), [""; 0], "{head}");
        }
    }
    // A host that stopped reading at the limit has only the beginning.
    watched.journal.take();
    let header = basic::header_value("web", "web-secret");
    let request = form("token=t").header("authorization", header.as_bytes()).oversized();
    for answer in [
        annul::handle_revoke(&server.authority, &request).await,
        annul::handle_logout(&server.authority, &request).await,
    ] {
        assert_refused(&answer, 413, "invalid_request", "oversized");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
}

#[tokio::test]
async fn appendix_a_control_characters_in_credentials_reach_no_authenticator() {
    let lenient = policy(|policy| policy.basic = BasicDecoding::Lenient);
    for policy in [Policy::default(), lenient] {
        let strict = policy.basic == BasicDecoding::Form;
        let watched = Watched::with_policy(policy);
        let server = &watched.server;
        for control in ["\0", "\t", "\n", "\r", "\x1f", "\x7f"] {
            let escape = format!("%{:02X}", control.as_bytes()[0]);
            for user_pass in
                [format!("web{control}:web-secret"), format!("web:web-secret{control}")]
            {
                let answer = revoke_with(server, &verbatim(&user_pass), "token=t").await;
                assert_refused(&answer, 401, "invalid_client", &format!("{user_pass:?}"));
            }
            for credentials in [
                format!("client_id=post{escape}&client_secret=post-secret"),
                format!("client_id=post&client_secret=post-secret{escape}"),
                format!("client_id=spa{escape}"),
            ] {
                let answer = server.revoke(&format!("token=t&{credentials}")).await;
                assert_refused(&answer, 401, "invalid_client", &credentials);
            }
            watched.assert_only_throttled("");
            for user_pass in [format!("web{escape}:web-secret"), format!("web:{escape}web-secret")]
            {
                let answer = revoke_with(server, &verbatim(&user_pass), "token=t").await;
                assert_refused(&answer, 401, "invalid_client", &user_pass);
            }
            // Read verbatim, an escape is three visible characters.
            let asked = watched.journal.take().iter().any(|line| line == "authenticate");
            assert_eq!(asked, !strict);
        }
    }
}

#[tokio::test]
async fn appendix_a_control_characters_in_a_token_reach_no_store() {
    let watched = Watched::new();
    for escape in ["%00", "%0A", "%0D", "%1F", "%7F"] {
        let body = format!("token=t{escape}");
        let answer = watched.server.revoke_as("web", &body).await;
        // It is not malformed as a form: it is a token that nobody issued.
        assert_eq!(answer.status(), 200, "{escape}");
        let calls = watched.journal.take();
        assert!(calls.iter().all(|call| !call.starts_with("find")), "{escape}");
    }
}

#[tokio::test]
async fn s3_1_the_query_is_kept_in_the_url_and_never_read() {
    let server = Server::new();
    server.grant("g1", "web").await;
    let header = basic::header_value("web", "web-secret");
    let query = "refresh_token=rt-g1&token=rt-g1&id_token_hint=x";
    let empty = form("").query(query).header("authorization", header.as_bytes());
    let logged_out = annul::handle_logout(&server.authority, &empty).await;
    assert_refused(&logged_out, 400, "invalid_request", "logout");
    let revoked = annul::handle_revoke(&server.authority, &empty).await;
    assert_refused(&revoked, 400, "invalid_request", "revoke");
    assert!(server.is_active("rt-g1").await);

    // A tenant in the URL, say, is no reason to refuse what the body says.
    let request =
        form("refresh_token=rt-g1").query("tenant=a").header("authorization", header.as_bytes());
    let logged_out = annul::handle_logout(&server.authority, &request).await;
    assert_eq!(logged_out.status(), 200);
    assert!(!server.is_active("rt-g1").await);
    let issuer = Issuer::new("https://as.example").unwrap();
    let published = ServerMetadata::new(issuer)
        .revocation("https://as.example/revoke?tenant=a", &[AuthMethod::None])
        .unwrap();
    assert!(published.to_json().contains("/revoke?tenant=a\""));
}

#[tokio::test]
async fn par_10_the_charset_must_be_utf_8() {
    let server = Server::new();
    server.grant("g1", "web").await;
    let header = basic::header_value("web", "web-secret");
    let declared_as = async |media_type: &str| {
        let request = Request::post(b"token=rt-g1")
            .header("content-type", media_type.as_bytes())
            .header("authorization", header.as_bytes());
        annul::handle_revoke(&server.authority, &request).await
    };
    for charset in ["utf-16", "\"utf-16\"", "ISO-8859-1", "us-ascii", "utf8-x", ""] {
        let media_type = format!("application/x-www-form-urlencoded; charset={charset}");
        let answer = declared_as(&media_type).await;
        assert_refused(&answer, 400, "invalid_request", &media_type);
    }
    let two = "application/x-www-form-urlencoded; charset=utf-8; charset=utf-16";
    assert_refused(&declared_as(two).await, 400, "invalid_request", two);
    assert!(server.is_active("rt-g1").await);

    let accepted = "Application/X-WWW-Form-UrlEncoded; charset=\"utf-8\"";
    assert_eq!(declared_as(accepted).await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

// ── Section 2.3: client authentication

#[tokio::test]
async fn s2_3_1_the_example_of_the_rfc_authenticates() {
    let server = server_of(basic_client("s6BhdRkqt3", "gX1fBat3bV"), Policy::default()).await;
    let header = b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW";
    let answer = revoke_with(&server, header, "token=rt-g1").await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn cli_02_both_halves_are_form_decoded_in_every_profile() {
    // cli%3Aent+1:p%25%2B%26%3A%C2%A3%E2%82%AC+%2F~
    let header = b"Basic Y2xpJTNBZW50KzE6cCUyNSUyQiUyNiUzQSVDMiVBMyVFMiU4MiVBQyslMkZ+";
    for name in PROFILES {
        let client = basic_client("cli:ent 1", "p%+&:£€ /~");
        let server = server_of(client, profile::by_name(name).unwrap()).await;
        let answer = revoke_with(&server, header, "token=rt-g1").await;
        assert_eq!(answer.status(), 200, "{name}");
        assert!(!server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn cli_03_verbatim_credentials_work_only_where_the_policy_is_lenient() {
    for (id, secret) in
        [("web", "50+50"), ("web", "100%"), ("web", "%41"), ("we%62", "s"), ("w+b", "s")]
    {
        for (decoding, accepted) in [(BasicDecoding::Form, false), (BasicDecoding::Lenient, true)] {
            let server = server_of(basic_client(id, secret), policy(|p| p.basic = decoding)).await;
            let header = verbatim(format!("{id}:{secret}"));
            let answer = revoke_with(&server, &header, "token=rt-g1").await;
            let case = format!("{id}:{secret} under {decoding:?}");
            assert_eq!(answer.status(), if accepted { 200 } else { 401 }, "{case}");
            assert_eq!(server.is_active("rt-g1").await, !accepted, "{case}");
        }
    }
}

#[tokio::test]
async fn cli_03_the_two_readings_are_never_mixed() {
    let lenient = || policy(|policy| policy.basic = BasicDecoding::Lenient);
    // Half of each reading would be right.
    let server = server_of(basic_client("w b", "50+50"), lenient()).await;
    let answer = revoke_with(&server, &verbatim("w+b:50+50"), "token=rt-g1").await;
    assert_refused(&answer, 401, "invalid_client", "w b");
    assert!(server.is_active("rt-g1").await);

    // Two clients, each of which one reading names: the specified reading goes first.
    let clients = [basic_client("w b", "s s"), basic_client("w+b", "s+s")];
    let server = server_with(ClientTable::from_iter(clients), lenient());
    server.grant("spaced", "w b").await;
    server.grant("plus", "w+b").await;
    for (token, status) in [("rt-plus", 400), ("rt-spaced", 200)] {
        let body = format!("token={token}");
        let answer = revoke_with(&server, &verbatim("w+b:s+s"), &body).await;
        assert_eq!(answer.status(), status, "{token}");
    }
    assert!(server.is_active("rt-plus").await && !server.is_active("rt-spaced").await);
}

#[tokio::test]
async fn cli_04_the_secret_may_hold_colons_in_every_profile() {
    for name in PROFILES {
        for secret in ["a:b:c", ":", "::a", "a:"] {
            let policy = profile::by_name(name).unwrap();
            let server = server_of(basic_client("web", secret), policy).await;
            let header = verbatim(format!("web:{secret}"));
            let answer = revoke_with(&server, &header, "token=rt-g1").await;
            assert_eq!(answer.status(), 200, "{name} {secret}");
            assert!(!server.is_active("rt-g1").await, "{name} {secret}");
        }
    }
}

#[tokio::test]
async fn cli_04_the_scheme_is_read_in_any_case() {
    for scheme in ["Basic", "basic", "BASIC", "bAsIc", "Basic  "] {
        let server = Server::new();
        server.grant("g1", "web").await;
        let header = format!("{scheme} {}", STANDARD.encode("web:web-secret"));
        let answer = revoke_with(&server, header.as_bytes(), "token=rt-g1").await;
        assert_eq!(answer.status(), 200, "{scheme}");
        assert!(!server.is_active("rt-g1").await, "{scheme}");
    }
}

#[tokio::test]
async fn cli_05_the_challenge_quotes_the_realm_and_names_utf_8() {
    for (realm, challenge) in [
        ("oauth2", r#"Basic realm="oauth2", charset="UTF-8""#),
        (r#"a "b" \c"#, r#"Basic realm="a \"b\" \\c", charset="UTF-8""#),
    ] {
        let server = Server::with_policy(policy(|policy| policy.realm = realm));
        let answer = server.revoke_as("nobody", "token=t").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }
}

#[tokio::test]
async fn cli_06_a_header_that_cannot_be_read_is_a_failed_authentication() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    let good = STANDARD.encode("web:web-secret");
    let headers: [Vec<u8>; 20] = [
        b"".into(),
        b" ".into(),
        b"Basic".into(),
        b"Basic ".into(),
        b"Basic ###".into(),
        // client1, without a colon
        b"Basic Y2xpZW50MQ==".into(),
        // a colon and nothing else
        b"Basic Og==".into(),
        // an empty identifier
        verbatim(":web-secret"),
        verbatim("web"),
        verbatim(b"web:\xff"),
        verbatim("web:web-secret%G0"),
        verbatim("web%:web-secret"),
        verbatim(format!("web:{}", "s".repeat(20_000))),
        // no padding, too much, the other alphabet, two values
        format!("Basic {}", good.trim_end_matches('=')).into(),
        format!("Basic {good}=").into(),
        format!("Basic {}-_", &good[..8]).into(),
        format!("Basic {good} {good}").into(),
        format!("Basic {good}, Basic {good}").into(),
        format!("Basic:{good}").into(),
        b"\xff\xfe \x00".into(),
    ];
    for header in headers {
        let answer = revoke_with(server, &header, "token=rt-g1").await;
        let case = String::from_utf8_lossy(&header);
        assert_refused(&answer, 401, "invalid_client", &case);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{case}");
    }
    watched.assert_only_throttled("");
    // Another scheme may be an authenticator's own; it is not the shipped one's.
    let answer = revoke_with(server, format!("Bearer {good}").as_bytes(), "token=rt-g1").await;
    assert_refused(&answer, 401, "invalid_client", "Bearer");
    assert_eq!(watched.journal.take(), ["admit", "authenticate", "report AuthenticationFailed"]);
    assert!(server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_3_1_secrets_in_the_form_work_for_clients_that_registered_them() {
    let server = Server::new();
    server.grant("g1", "post").await;
    server.grant("g2", "web").await;
    let answer = server.revoke("token=rt-g2&client_id=web&client_secret=web-secret").await;
    assert_refused(&answer, 401, "invalid_client", "web registered Basic");
    assert!(server.is_active("rt-g2").await);
    let answer = server.revoke("token=rt-g1&client_id=post&client_secret=post-secret").await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_3_1_credentials_in_the_uri_are_not_read() {
    for name in PROFILES {
        let server = Server::with_policy(profile::by_name(name).unwrap());
        server.grant("g1", "post").await;
        server.grant("g2", "spa").await;
        for (token, query) in
            [("rt-g1", "client_id=post&client_secret=post-secret"), ("rt-g2", "client_id=spa")]
        {
            let body = format!("token={token}");
            let request = form(&body).query(query);
            let answer = annul::handle_revoke(&server.authority, &request).await;
            let refused = matches!(answer.status(), 400 | 401);
            assert!(refused, "{name}: {}", answer.status());
            assert!(server.is_active(token).await, "{name}");
        }
    }
}

#[tokio::test]
async fn s2_3_two_mechanisms_are_refused_and_neither_is_tried() {
    for name in PROFILES {
        let watched = Watched::with_policy(profile::by_name(name).unwrap());
        let server = &watched.server;
        server.grant("g1", "web").await;
        let web = basic::header_value("web", "web-secret");
        let web = web.as_bytes();
        let assertion_type = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let assertion = format!("{assertion_type}&client_assertion=e30.e30.c2ln");
        let cases: [(&[&[u8]], &str); 9] = [
            (&[web], "client_secret=web-secret"),
            (&[web], "client_id=web&client_secret=web-secret"),
            (&[web], &assertion),
            (&[web], assertion_type),
            (&[web], "client_assertion=e30.e30.c2ln"),
            (&[], &format!("client_id=web&client_secret=web-secret&{assertion}")),
            (&[web, web], ""),
            (&[web, b"Bearer x"], ""),
            // A header that is of no use still is a second mechanism.
            (&[b"Bearer x"], "client_id=post&client_secret=post-secret"),
        ];
        for (headers, credentials) in cases {
            let body = format!("token=rt-g1&{credentials}");
            let request = headers
                .iter()
                .fold(form(&body), |request, header| request.header("Authorization", header));
            let answer = annul::handle_revoke(&server.authority, &request).await;
            let case = format!("{name}: {} headers, {credentials}", headers.len());
            assert_refused(&answer, 400, "invalid_request", &case);
        }
        watched.assert_only_throttled(name);
        assert!(server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn s3_2_1_a_client_id_in_the_form_must_be_the_headers() {
    for name in PROFILES {
        let watched = Watched::with_policy(profile::by_name(name).unwrap());
        let server = &watched.server;
        server.grant("g1", "web").await;
        server.grant("g2", "other").await;
        for named in ["other", "WEB", "web+", "spa"] {
            for token in ["rt-g1", "rt-g2"] {
                let body = format!("token={token}&client_id={named}");
                let answer = server.revoke_as("web", &body).await;
                assert_refused(&answer, 400, "invalid_request", &format!("{name}: {body}"));
            }
        }
        watched.assert_only_throttled(name);
        assert!(server.is_active("rt-g1").await && server.is_active("rt-g2").await);

        let answer = server.revoke_as("web", "token=rt-g1&client_id=web").await;
        assert_eq!(answer.status(), 200, "{name}");
        assert!(!server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn s2_3_a_public_client_has_no_secret_to_prove() {
    for name in PROFILES {
        // Even one that was given a secret: it is registered as a client that nobody can authenticate.
        let metadata = ClientMetadata::new("spa", AuthMethod::None);
        let client = Client::new(metadata).secret("spa-secret");
        let server = server_of(client, profile::by_name(name).unwrap()).await;
        let by_form = server.revoke("token=rt-g1&client_id=spa&client_secret=spa-secret").await;
        assert_refused(&by_form, 401, "invalid_client", name);
        let by_header = server.revoke_as("spa", "token=rt-g1").await;
        assert_refused(&by_header, 401, "invalid_client", name);
        let empty = revoke_with(&server, &verbatim("spa:"), "token=rt-g1").await;
        assert_refused(&empty, 401, "invalid_client", name);
        assert!(server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn s3_2_1_a_confidential_client_must_authenticate() {
    for name in PROFILES {
        let server = Server::with_policy(profile::by_name(name).unwrap());
        server.grant("g1", "web").await;
        server.grant("g2", "post").await;
        for (token, client) in [("rt-g1", "web"), ("rt-g2", "post")] {
            let named = server.revoke(&format!("token={token}&client_id={client}")).await;
            assert_refused(&named, 401, "invalid_client", name);
            let body = format!("token={token}");
            let empty = revoke_with(&server, &verbatim(format!("{client}:")), &body).await;
            assert_refused(&empty, 401, "invalid_client", name);
            // A certificate is no proof for a client that registered a secret.
            let body = format!("token={token}&client_id={client}");
            let request =
                form(&body).certificate(PresentedCertificate::verified(b"\x30\x03\x02\x01\x00"));
            let by_certificate = annul::handle_revoke(&server.authority, &request).await;
            assert_refused(&by_certificate, 401, "invalid_client", name);
            assert!(server.is_active(token).await, "{name}");
        }
    }
}

#[tokio::test]
async fn s2_3_1_failures_are_counted_over_all_endpoints() {
    let watched = Watched::with_limit(3);
    let server = &watched.server;
    let wrong = basic::header_value("web", "wrong");
    let right = basic::header_value("web", "web-secret");
    let body = "token=t&refresh_token=t";
    let with = |header| form(body).header("authorization", header);
    let wrong = with(wrong.as_bytes());
    let right = with(right.as_bytes());
    let authority = &server.authority;
    assert_eq!(annul::handle_revoke(authority, &wrong).await.status(), 401);
    assert_eq!(annul::handle_logout(authority, &wrong).await.status(), 401);
    assert_eq!(annul::handle_introspect(authority, &wrong).await.status(), 401);
    watched.journal.take();
    // From here on the right secret is not heard either, so guessing it would not show.
    for answer in [
        annul::handle_revoke(authority, &right).await,
        annul::handle_logout(authority, &right).await,
        annul::handle_introspect(authority, &right).await,
    ] {
        assert_refused(&answer, 429, "temporarily_unavailable", "after three");
    }
    assert_eq!(watched.journal.take(), ["admit"; 3]);
    assert_eq!(server.revoke_as("other", "token=t").await.status(), 200);
}

/// Takes its time, as a slow hash does, or keys that are being fetched.
struct Pondering;

#[async_trait::async_trait]
impl ClientAuthenticator for Pondering {
    async fn authenticate(
        &self,
        _: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn s2_3_1_guesses_are_counted_whose_sender_hangs_up() {
    /// Waits for as long as an answer takes that nobody has to ponder, and then no longer.
    async fn hang_up(answer: impl Future<Output = Response>) -> Poll<Response> {
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await
    }

    let throttle = annul::throttle::RateLimiter::default();
    let authority = Authority::new(MemoryStore::new(), Pondering)
        .throttle(throttle)
        .clock(FakeClock::at(START));
    let peer = "192.0.2.1".parse().unwrap();
    let request = form("token=t&refresh_token=t&client_id=web&client_secret=guess").peer(peer);
    for _ in 0..10 {
        assert!(hang_up(annul::handle_revoke(&authority, &request)).await.is_pending());
        assert!(hang_up(annul::handle_logout(&authority, &request)).await.is_pending());
        assert!(hang_up(annul::handle_introspect(&authority, &request)).await.is_pending());
    }
    let Poll::Ready(answer) = hang_up(annul::handle_revoke(&authority, &request)).await else {
        panic!("it is still heard");
    };
    assert_refused(&answer, 429, "temporarily_unavailable", "after thirty");
}

/// A server with the shipped throttle, as it comes.
fn limited() -> Server {
    let server = Server::new();
    let authority = server.authority.throttle(annul::throttle::RateLimiter::default());
    Server { authority, ..server }
}

/// One request with these credentials from this address, at the first, second or third endpoint.
async fn ask(server: &Server, endpoint: usize, last: u8, client: &str, secret: &str) -> Response {
    let header = basic::header_value(client, secret);
    let request = form("token=rt-g1&refresh_token=rt-g1")
        .header("authorization", header.as_bytes())
        .peer([192, 0, 2, last].into());
    match endpoint % 3 {
        0 => annul::handle_revoke(&server.authority, &request).await,
        1 => annul::handle_logout(&server.authority, &request).await,
        _ => annul::handle_introspect(&server.authority, &request).await,
    }
}

#[tokio::test]
async fn cli_13_guesses_at_any_endpoint_use_up_one_quota() {
    // All at one endpoint, or some at each: it is the same thirty.
    for step in [0, 1] {
        let server = limited();
        server.grant("g1", "web").await;
        for guess in 0..30 {
            let answer = ask(&server, guess * step, 1, "web", "a guess").await;
            assert_refused(&answer, 401, "invalid_client", &format!("guess {guess}"));
        }
        for endpoint in 0..3 {
            // The right secret is not heard either, so guessing it would not show.
            for secret in ["a guess", "web-secret"] {
                let answer = ask(&server, endpoint, 1, "web", secret).await;
                assert_refused(&answer, 429, "temporarily_unavailable", secret);
                assert_eq!(answer.header("retry-after"), Some("2"));
            }
        }
        assert!(server.is_active("rt-g1").await);

        // After the wait, it is heard: once with a guess, or for as long as it has the secret.
        server.clock.advance(Duration::from_secs(2));
        assert_eq!(ask(&server, 1, 1, "web", "a guess").await.status(), 401);
        assert_eq!(ask(&server, 0, 1, "web", "web-secret").await.status(), 429);
        server.clock.advance(Duration::from_secs(2));
        for endpoint in [2, 0, 1] {
            assert_eq!(ask(&server, endpoint, 1, "web", "web-secret").await.status(), 200);
        }
        assert!(!server.is_active("rt-g1").await);
    }
}

#[tokio::test]
async fn cli_13_guesses_from_many_addresses_are_bounded_too() {
    let server = limited();
    server.grant("g1", "web").await;
    for guess in 0..300 {
        let last = u8::try_from(guess % 100).unwrap();
        let answer = ask(&server, guess, last, "web", "a guess").await;
        assert_eq!(answer.status(), 401, "guess {guess}");
    }
    let answer = ask(&server, 0, 200, "web", "web-secret").await;
    assert_refused(&answer, 429, "temporarily_unavailable", "from an address of its own");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(server.is_active("rt-g1").await);
    assert_eq!(ask(&server, 2, 200, "other", "other-secret").await.status(), 200);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&server, 0, 200, "web", "web-secret").await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn cli_13_a_client_that_does_not_exist_runs_out_of_guesses_alike() {
    let server = limited();
    for guess in 0..40 {
        let known = ask(&server, guess, 1, "web", "a guess").await;
        let unknown = ask(&server, guess, 2, "nobody", "a guess").await;
        assert_eq!(seen(&known), seen(&unknown), "guess {guess}");
        assert_eq!(known.status(), if guess < 30 { 401 } else { 429 });
    }
}

#[tokio::test]
async fn cli_13_a_guesser_shuts_nobody_else_out() {
    let server = limited();
    server.grant("g1", "web").await;
    // From one address, as often as it likes: most of it is not even heard.
    for guess in 0..2_000 {
        ask(&server, guess, 1, "web", "a guess").await;
    }
    assert_eq!(ask(&server, 0, 1, "web", "web-secret").await.status(), 429);
    assert_eq!(ask(&server, 2, 1, "other", "other-secret").await.status(), 200, "its neighbour");
    assert!(server.is_active("rt-g1").await);
    assert_eq!(ask(&server, 0, 2, "web", "web-secret").await.status(), 200, "elsewhere");
    assert!(!server.is_active("rt-g1").await);
    // Who does nothing wrong is heard however often it asks.
    for request in 0..2_000 {
        assert_eq!(ask(&server, request, 2, "web", "web-secret").await.status(), 200);
    }
}

#[tokio::test]
async fn cli_14_a_secret_opens_no_side_door() {
    let methods = [
        AuthMethod::ClientSecretJwt,
        AuthMethod::PrivateKeyJwt,
        AuthMethod::SelfSignedTlsClientAuth,
        AuthMethod::TlsClientAuth,
    ];
    for name in PROFILES {
        for method in methods {
            let client = Client::new(ClientMetadata::new("web", method)).secret("web-secret");
            let server = server_of(client, profile::by_name(name).unwrap()).await;
            let case = format!("{name} {method:?}");
            let by_header = server.revoke_as("web", "token=rt-g1").await;
            assert_refused(&by_header, 401, "invalid_client", &case);
            let by_form = server.revoke("token=rt-g1&client_id=web&client_secret=web-secret").await;
            assert_refused(&by_form, 401, "invalid_client", &case);
            let by_name = server.revoke("token=rt-g1&client_id=web").await;
            assert_refused(&by_name, 401, "invalid_client", &case);
            assert!(server.is_active("rt-g1").await, "{case}");
        }
    }
    // Registered for one of the two ways to send a secret, used by the other: the policy decides.
    for (profile, status) in [(profile::standard(), 401), (profile::keycloak(), 200)] {
        let server = Server::with_policy(profile);
        server.grant("g1", "post").await;
        let answer = server.revoke_as("post", "token=rt-g1").await;
        assert_eq!(answer.status(), status);
        assert_eq!(server.is_active("rt-g1").await, status == 401);
    }
    // What says nothing is registered for Basic (RFC 7591 section 2).
    let client = Client::new(serde_json::from_str(r#"{"client_id":"web"}"#).unwrap());
    let server = server_of(client.secret("web-secret"), Policy::default()).await;
    assert_eq!(server.revoke_as("web", "token=rt-g1").await.status(), 200);
}

#[tokio::test]
async fn cli_15_an_empty_secret_is_none() {
    // Left empty in somebody's table, perhaps.
    let web = Client::new(ClientMetadata::new("web", AuthMethod::ClientSecretBasic)).secret("");
    let server = server_of(web, Policy::default()).await;
    let header = basic::header_value("web", "");
    assert_eq!(revoke_with(&server, header.as_bytes(), "token=t").await.status(), 401);
    let mac = Client::new(ClientMetadata::new("mac", AuthMethod::ClientSecretJwt)).secret("");
    assert_eq!(mac.mac_secrets(START).count(), 0);
}

#[tokio::test]
async fn cli_15_two_secrets_live_during_rotation_and_an_expired_one_is_dead() {
    let expiry = START + Duration::from_secs(60);
    let client = Client::new(ClientMetadata::new("web", AuthMethod::ClientSecretBasic))
        .secret_digest(SecretDigest::of("old"), Some(expiry))
        .secret("new")
        .secret_digest(SecretDigest::of("third"), Some(expiry));
    let server = server_of(client, Policy::default()).await;
    let with = async |secret: &str| {
        let header = basic::header_value("web", secret);
        revoke_with(&server, header.as_bytes(), "token=t").await.status()
    };
    for (secret, status) in [("old", 200), ("new", 200), ("third", 200), ("wrong", 401)] {
        assert_eq!(with(secret).await, status, "{secret}");
    }
    server.clock.advance(Duration::from_millis(59_999));
    assert_eq!(with("old").await, 200);
    server.clock.advance(Duration::from_millis(1));
    for (secret, status) in [("old", 401), ("new", 200), ("third", 401)] {
        assert_eq!(with(secret).await, status, "{secret} after its time");
    }
    // The digest of a secret is not a secret.
    let digest = SecretDigest::of("new");
    let hex: String = digest.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(with(&hex).await, 401);
}

#[tokio::test]
async fn cli_16_all_failures_to_authenticate_look_alike_in_every_profile() {
    let metadata = |id: &str| ClientMetadata::new(id, AuthMethod::ClientSecretBasic);
    let clients = ClientTable::from_iter([
        basic_client("web", "right"),
        basic_client("disabled", "secret").disabled(),
        Client::new(metadata("expired")).secret_digest(SecretDigest::of("secret"), Some(START)),
        Client::new(metadata("secretless")),
        Client::new(ClientMetadata::new("jwt", AuthMethod::PrivateKeyJwt)).secret("secret"),
        Client::new(ClientMetadata::new("spa", AuthMethod::None)),
    ]);
    for name in PROFILES {
        let server = server_with(clients.clone(), profile::by_name(name).unwrap());
        server.grant("g1", "web").await;
        let mut by_header = Vec::new();
        let mut by_form = Vec::new();
        for id in ["unknown", "web", "disabled", "expired", "secretless", "jwt", "spa"] {
            let header = basic::header_value(id, "secret");
            for token in ["rt-g1", "no-such-token"] {
                let body = format!("token={token}");
                let answer = revoke_with(&server, header.as_bytes(), &body).await;
                assert_refused(&answer, 401, "invalid_client", &format!("{name} {id}"));
                by_header.push(seen(&answer));
                let body = format!("token={token}&client_id={id}&client_secret=secret");
                by_form.push(seen(&server.revoke(&body).await));
            }
        }
        by_header.dedup();
        by_form.dedup();
        assert_eq!(by_header.len(), 1, "{name}: {by_header:?}");
        assert_eq!(by_form.len(), 1, "{name}: {by_form:?}");
        assert_eq!(by_header, by_form, "{name}");
        assert!(server.is_active("rt-g1").await, "{name}");
    }
}

/// Client secrets as Argon2id hashes.
#[cfg(feature = "argon2")]
mod hashed {
    use std::sync::Arc;

    use annul::client::{HashingLimits, RegisteredClients, SecretHash, SecretHashing};
    use annul::{Authority, FakeClock, MemoryStore};

    use super::*;

    // With as little memory as tests want.
    const OF_NEW: &str = "$argon2id$v=19$m=256,t=2,p=1$c2FsdCBvZiB0aGUgbmV3$ghML757C/KtPfCvreGU6wRcT7DlGyPHnEUPBhx184Yk";
    const OF_OLD: &str = "$argon2id$v=19$m=256,t=2,p=1$c2FsdCBvZiB0aGUgb2xk$Nb5bMm8N6rvjxT+SwP17hM6ECQKowCO3bAhBXVV52QE";

    fn hash(phc: &str) -> SecretHash {
        SecretHash::parse(phc).unwrap()
    }

    fn client(id: &str) -> Client {
        Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretBasic))
    }

    /// A server that hashes, as cheaply as the clients' hashes are.
    fn server(clients: ClientTable, policy: impl Into<Policy>) -> (Server, Arc<SecretHashing>) {
        let hashing = SecretHashing::start(HashingLimits::default()).unwrap();
        server_hashing_with(hashing.decoy(hash(OF_NEW)), clients, policy)
    }

    fn server_hashing_with(
        hashing: SecretHashing,
        clients: ClientTable,
        policy: impl Into<Policy>,
    ) -> (Server, Arc<SecretHashing>) {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(FakeClock::at(START));
        let hashing = Arc::new(hashing.clock(Arc::clone(&clock)));
        let clients = RegisteredClients::new(clients)
            .clock(Arc::clone(&clock))
            .secret_hashing(Arc::clone(&hashing));
        let authority =
            Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
        (Server { authority, store, clock }, hashing)
    }

    async fn revoke_by(server: &Server, id: &str, secret: &str, token: &str) -> Response {
        let header = basic::header_value(id, secret);
        revoke_with(server, header.as_bytes(), &format!("token={token}")).await
    }

    #[tokio::test]
    async fn cli_15_hashed_secrets_rotate_and_expire_beside_digests() {
        let expiry = START + Duration::from_secs(10);
        let web = client("web")
            .secret_hash(hash(OF_OLD), Some(expiry))
            .secret_hash(hash(OF_NEW), None)
            .secret("generated");
        let (server, hashing) = server(ClientTable::from_iter([web]), Policy::default());
        for grant in ["old", "new", "generated"] {
            server.grant(grant, "web").await;
            let token = format!("rt-{grant}");
            let wrong = revoke_by(&server, "web", "wrong", &token).await;
            assert_refused(&wrong, 401, "invalid_client", grant);
            assert!(server.is_active(&token).await, "{grant}");
            assert_eq!(revoke_by(&server, "web", grant, &token).await.status(), 200, "{grant}");
            assert!(!server.is_active(&token).await, "{grant}");
        }
        // A hash is not a secret.
        let answer = revoke_by(&server, "web", OF_NEW, "rt-new").await;
        assert_refused(&answer, 401, "invalid_client", "the hash");
        server.clock.advance(Duration::from_millis(9_999));
        assert_eq!(revoke_by(&server, "web", "old", "t").await.status(), 200);
        server.clock.advance(Duration::from_millis(1));
        // It was remembered to match, and has expired all the same.
        assert!(hashing.stats().remembered > 0);
        let expired = revoke_by(&server, "web", "old", "t").await;
        assert_refused(&expired, 401, "invalid_client", "old");
        for live in ["new", "generated"] {
            assert_eq!(revoke_by(&server, "web", live, "t").await.status(), 200, "{live}");
        }
    }

    #[tokio::test]
    async fn cli_15_a_hashed_secret_is_no_use_where_nobody_hashes() {
        let both = client("both").secret_hash(hash(OF_NEW), None).secret("generated");
        let clients = [client("web").secret_hash(hash(OF_NEW), None), both];
        let server = server_with(ClientTable::from_iter(clients), Policy::default());
        for id in ["web", "both"] {
            let answer = revoke_by(&server, id, "new", "t").await;
            assert_refused(&answer, 401, "invalid_client", id);
        }
        assert_eq!(revoke_by(&server, "both", "generated", "t").await.status(), 200);
    }

    #[tokio::test]
    async fn cli_16_with_hashes_all_failures_look_alike_and_cost_alike_in_every_profile() {
        let jwt = Client::new(ClientMetadata::new("jwt", AuthMethod::PrivateKeyJwt));
        let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
        let clients = ClientTable::from_iter([
            client("one").secret_hash(hash(OF_OLD), None),
            client("two").secret_hash(hash(OF_OLD), None).secret_hash(hash(OF_OLD), None),
            client("digest").secret("right"),
            client("both").secret("right").secret_hash(hash(OF_OLD), None),
            client("secretless"),
            // The secret is right, and no use.
            client("disabled").secret_hash(hash(OF_NEW), None).disabled(),
            client("disabled-digest").secret("new").disabled(),
            client("expired").secret_hash(hash(OF_NEW), Some(START)),
            client("expired-digest").secret_digest(SecretDigest::of("new"), Some(START)),
            jwt.secret_hash(hash(OF_NEW), None),
            spa.secret_hash(hash(OF_NEW), None),
        ]);
        let ids = [
            "unknown",
            "one",
            "two",
            "digest",
            "both",
            "secretless",
            "disabled",
            "disabled-digest",
            "expired",
            "expired-digest",
            "jwt",
            "spa",
        ];
        for name in PROFILES {
            let (server, hashing) = server(clients.clone(), profile::by_name(name).unwrap());
            server.grant("g1", "one").await;
            let mut failures = Vec::new();
            for id in ids {
                for by_header in [true, false] {
                    let before = hashing.stats().computed;
                    let answer = if by_header {
                        revoke_by(&server, id, "new", "rt-g1").await
                    } else {
                        let body = format!("token=rt-g1&client_id={id}&client_secret=new");
                        server.revoke(&body).await
                    };
                    assert_refused(&answer, 401, "invalid_client", &format!("{name} {id}"));
                    let cost = hashing.stats().computed - before;
                    assert_eq!(cost, 2, "{name} {id}, by header: {by_header}");
                    failures.push(seen(&answer));
                }
            }
            failures.dedup();
            assert_eq!(failures.len(), 1, "{name}: {failures:?}");
            assert!(server.is_active("rt-g1").await, "{name}");
            // A right digest is not slowed down.
            let before = hashing.stats();
            assert_eq!(revoke_by(&server, "digest", "right", "t").await.status(), 200, "{name}");
            assert_eq!(hashing.stats(), before, "{name}");
        }
    }

    #[tokio::test]
    async fn cli_16_a_flood_of_wrong_secrets_is_503_and_a_client_at_work_is_still_answered() {
        let mut limits = HashingLimits::default();
        limits.workers = 1;
        limits.queue = 2;
        let web = client("web").secret_hash(hash(OF_NEW), None);
        // Each wrong secret costs two hashes of the default cost: the queue fills before one is done.
        let hashing = SecretHashing::start(limits).unwrap();
        let clients = ClientTable::from_iter([web, basic_client("fast", "generated")]);
        let (server, hashing) = server_hashing_with(hashing, clients, Policy::default());
        let server = Arc::new(server);
        for grant in ["before", "during", "wrong"] {
            server.grant(grant, "web").await;
        }
        assert_eq!(revoke_by(&server, "web", "new", "rt-before").await.status(), 200);
        assert_eq!(hashing.stats().computed, 1);

        let mut flood = Vec::new();
        for number in 0..1_000 {
            let server = Arc::clone(&server);
            let guess = format!("guess-{number}");
            flood.push(tokio::spawn(async move {
                revoke_by(&server, ["web", "unknown"][number % 2], &guess, "rt-wrong").await
            }));
            tokio::task::yield_now().await;
            if hashing.stats().refused == 5 {
                break;
            }
        }
        assert_eq!(hashing.stats().refused, 5);
        // The queue is full, or was a moment ago.
        assert_eq!(revoke_by(&server, "web", "new", "rt-during").await.status(), 200);
        assert_eq!(hashing.stats().remembered, 1);
        assert!(!server.is_active("rt-during").await);
        assert_eq!(revoke_by(&server, "fast", "generated", "t").await.status(), 200);

        let mut refused = Vec::new();
        let mut wrong = 0;
        for asked in flood {
            let answer = asked.await.unwrap();
            match answer.status() {
                401 => wrong += 1,
                503 => refused.push(answer),
                status => panic!("{status}"),
            }
        }
        assert_eq!(refused.len(), 5);
        for answer in &refused {
            assert_refused(answer, 503, "temporarily_unavailable", "a full queue");
            assert!(answer.header("retry-after").is_some());
        }
        // Nothing was computed but the one right secret, and each wrong one that was queued.
        assert!(wrong >= 2);
        assert_eq!(hashing.stats().computed, 1 + 2 * wrong);
        assert!(server.is_active("rt-wrong").await);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn other_tasks_go_on_while_a_secret_is_hashed() {
        let web = client("web").secret_hash(SecretHash::of("new"), None);
        let (server, hashing) = server(ClientTable::from_iter([web]), Policy::default());
        server.grant("g1", "web").await;
        let asking = tokio::spawn(async move {
            let answer = revoke_by(&server, "web", "new", "rt-g1").await;
            (answer.status(), server.is_active("rt-g1").await)
        });
        // There is one thread for both tasks: this one goes on although the other has not been answered.
        tokio::task::yield_now().await;
        assert!(!asking.is_finished());
        assert_eq!(asking.await.unwrap(), (200, false));
        assert_eq!(hashing.stats().computed, 1);
    }

    #[tokio::test]
    async fn a_request_that_was_given_up_leaves_nothing_behind() {
        let web = client("web").secret_hash(SecretHash::of("new"), None);
        let (server, _) = server(ClientTable::from_iter([web]), Policy::default());
        server.grant("g1", "web").await;
        for _ in 0..3 {
            let given_up = revoke_by(&server, "web", "new", "rt-g1");
            // Polled once, and dropped before its answer.
            tokio::select! {
                biased;
                _ = given_up => panic!("it was answered at once"),
                () = std::future::ready(()) => {}
            }
        }
        assert!(server.is_active("rt-g1").await);
        assert_eq!(revoke_by(&server, "web", "new", "rt-g1").await.status(), 200);
        assert!(!server.is_active("rt-g1").await);
    }
}

#[tokio::test]
async fn cli_17_a_disabled_client_cannot_authenticate() {
    let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None)).disabled();
    let clients = ClientTable::from_iter([basic_client("web", "web-secret").disabled(), spa]);
    let server = server_with(clients, Policy::default());
    server.grant("g1", "web").await;
    server.grant("g2", "spa").await;
    let web = server.revoke_as("web", "token=rt-g1").await;
    assert_refused(&web, 401, "invalid_client", "web");
    let spa = server.revoke("token=rt-g2&client_id=spa").await;
    assert_refused(&spa, 401, "invalid_client", "spa");
    // Disabling alone kills nothing; the operator's revocation does.
    assert!(server.is_active("rt-g1").await && server.is_active("rt-g2").await);
    let disabled = annul::Revocation::by_operator(
        annul::Target::Client("web".into()),
        annul::Reason::ClientDisabled,
        server.authority.now(),
    );
    server.authority.revoke(disabled).await.unwrap();
    assert!(!server.is_active("rt-g1").await && server.is_active("rt-g2").await);
}

// ── Section 5.2: errors

/// What no answer may hold.
const MARKER: &str = "zQ9xMARKERx9Qz";

/// One answer of every sort, from every endpoint.
async fn every_answer(policy: &Policy) -> Vec<(&'static str, Response)> {
    let watched = Watched::with_policy(policy.clone());
    let server = &watched.server;
    for (id, client) in [("g1", "web"), ("g2", "web"), ("g3", "other"), ("g4", "post")] {
        server.grant(id, client).await;
    }
    let authority = server.authority.clone().origins(Origins::from_iter(["https://app.example"]));
    let web = basic::header_value("web", "web-secret");
    let web = web.as_bytes();
    let by_web = |body| form(body).header("authorization", web);
    let long = format!("token=t&state={MARKER}{}", "x".repeat(9_000));
    let many = format!("token={MARKER}{}", "&x=".repeat(70));
    let by_post = format!("token={MARKER}&client_id=post&client_secret={MARKER}");
    let unknown = format!("token={MARKER}&token_type_hint={MARKER}");
    let repeated = format!("token={MARKER}&token={MARKER}");
    let undecodable = format!("token={MARKER}%{MARKER}");
    let two = format!("token={MARKER}&client_secret={MARKER}");
    let mismatch = format!("token={MARKER}&client_id={MARKER}");
    let logout = format!("refresh_token={MARKER}");
    let bad_header = format!("{MARKER} {MARKER}");
    let json = format!("{{\"token\":\"{MARKER}\"}}");

    let mut answers = Vec::new();
    for (case, request) in [
        ("revoked", by_web("token=at-g1")),
        ("revoked again", by_web("token=at-g1")),
        ("unknown", by_web(&unknown)),
        ("foreign", by_web("token=rt-g3")),
        ("foreign to a public client", form("token=rt-g3&client_id=spa")),
        ("missing token", by_web("")),
        ("repeated", by_web(&repeated)),
        ("undecodable", by_web(&undecodable)),
        ("too long", by_web(&long)),
        ("too many", by_web(&many)),
        ("two mechanisms", by_web(&two)),
        ("mismatch", by_web(&mismatch)),
        ("bad header", form("token=t").header("authorization", bad_header.as_bytes())),
        ("bad form credentials", form(&by_post)),
        ("no credentials", form(&unknown)),
        ("not a form", Request::post(json.as_bytes()).header("authorization", web)),
        (
            "charset",
            Request::post(b"token=t")
                .header("content-type", b"application/x-www-form-urlencoded; charset=utf-16"),
        ),
        ("query", by_web(&unknown).query(MARKER)),
        ("method", Request::new(MARKER, b"")),
        ("oversized", by_web(&unknown).oversized()),
        (
            "preflight",
            Request::new("OPTIONS", b"")
                .header("origin", MARKER.as_bytes())
                .header("access-control-request-method", b"POST"),
        ),
        ("from a script", by_web(&unknown).header("origin", MARKER.as_bytes())),
    ] {
        answers.push((case, annul::handle_revoke(&authority, &request).await));
    }
    for (case, request) in [
        ("logout", by_web("refresh_token=rt-g2")),
        ("logout with an unknown token", by_web(&logout)),
        ("logout with an access token", by_web("refresh_token=at-g2")),
        ("logout with a foreign token", by_web("refresh_token=rt-g3")),
        ("logout without a token", by_web("")),
        ("logout without credentials", form(&logout)),
        ("logout by method", Request::new("GET", b"")),
    ] {
        answers.push((case, annul::handle_logout(&authority, &request).await));
    }
    for (case, request) in [
        ("introspection", by_web("token=rt-g3")),
        ("introspection of an unknown token", by_web(&unknown)),
        ("introspection without a token", by_web("")),
        ("introspection without credentials", form(&unknown)),
        ("introspection by a public client", form("token=t&client_id=spa")),
    ] {
        answers.push((case, annul::handle_introspect(&authority, &request).await));
    }
    for (failure, _) in FAILURES {
        watched.fail(Fault::Find(failure));
        let request = by_web(&unknown);
        answers.push(("failure", annul::handle_revoke(&authority, &request).await));
    }
    let throttled = Watched::with_limit(0);
    let authority = throttled.server.authority.policy(policy.clone());
    let request = by_web(&unknown);
    answers.push(("throttled", annul::handle_revoke(&authority, &request).await));
    answers
}

/// The profiles' policies, and one that answers 400 where another answers 401.
fn every_policy() -> impl Iterator<Item = Policy> {
    let bad_request = policy(|policy| {
        policy.body_authentication_failure = BodyAuthenticationFailure::BadRequest400;
    });
    let profiles = PROFILES.map(|name| profile::by_name(name).unwrap().policy);
    profiles.into_iter().chain([bad_request])
}

#[tokio::test]
async fn s5_2_who_used_the_header_is_answered_401_whatever_the_form_says_beside_it() {
    let policy = policy(|policy| {
        policy.body_authentication_failure = BodyAuthenticationFailure::BadRequest400;
    });
    let server = Server::with_policy(policy);
    let answer = revoke_with(&server, &verbatim("web:wrong"), "token=t&client_id=web%00").await;
    assert_refused(&answer, 401, "invalid_client", "in the header");
    assert!(answer.header("www-authenticate").is_some());
    let answer = server.revoke("token=t&client_id=web%00").await;
    assert_refused(&answer, 400, "invalid_client", "in the form");
}

#[tokio::test]
async fn s5_2_every_error_is_json_with_just_two_members() {
    let mut statuses = Vec::new();
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            statuses.push(answer.status());
            if answer.status() < 300 {
                continue;
            }
            assert_eq!(answer.header("content-type"), Some("application/json"), "{case}");
            let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            let members: Vec<&str> = body.as_object().unwrap().keys().map(|k| &**k).collect();
            assert_eq!(members, ["error", "error_description"], "{case}");
            assert!(body["error"].is_string() && body["error_description"].is_string());
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 204, 400, 401, 405, 413, 429, 500, 503]);
}

#[tokio::test]
async fn s5_2_every_error_is_of_the_allowed_characters_and_echoes_nothing() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            let body = String::from_utf8(answer.body().to_vec()).unwrap();
            assert!(!body.contains(MARKER), "{case}: {body}");
            for (name, value) in answer.headers() {
                assert!(!value.contains(MARKER), "{case}: {name}: {value}");
            }
            if answer.status() < 300 {
                continue;
            }
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            for member in ["error", "error_description"] {
                let text = body[member].as_str().unwrap();
                // s5.2: %x20-21 / %x23-5B / %x5D-7E
                let allowed = |b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                assert!(text.bytes().all(allowed), "{case}: {text}");
                assert!(!text.is_empty(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn s5_2_invalid_request_is_for_these() {
    let answers = every_answer(&Policy::default()).await;
    for (case, status) in [
        ("missing token", 400),
        ("repeated", 400),
        ("undecodable", 400),
        ("too long", 400),
        ("too many", 400),
        ("two mechanisms", 400),
        ("mismatch", 400),
        ("not a form", 400),
        ("charset", 400),
        ("logout without a token", 400),
        ("introspection without a token", 400),
        ("method", 405),
        ("oversized", 413),
    ] {
        let (_, answer) = answers.iter().find(|(name, _)| *name == case).unwrap();
        assert_refused(answer, status, "invalid_request", case);
    }
}

#[tokio::test]
async fn s5_2_invalid_client_is_for_these() {
    let form_status = [(Policy::default(), 401)].into_iter().chain([(
        policy(|policy| {
            policy.body_authentication_failure = BodyAuthenticationFailure::BadRequest400;
        }),
        400,
    )]);
    for (policy, form_status) in form_status {
        let answers = every_answer(&policy).await;
        for (case, status) in [
            ("bad header", 401),
            ("bad form credentials", form_status),
            ("no credentials", form_status),
            ("logout without credentials", form_status),
            ("introspection without credentials", form_status),
            ("introspection by a public client", form_status),
        ] {
            let (_, answer) = answers.iter().find(|(name, _)| *name == case).unwrap();
            assert_refused(answer, status, "invalid_client", case);
        }
    }
    // An assertion, which nothing here can check, is not an unknown method of ours but a failed proof.
    let server = Server::new();
    let assertion = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A\
                     jwt-bearer&client_assertion=e30.e30.c2ln&client_id=web";
    let answer = server.revoke(&format!("token=t&{assertion}")).await;
    assert_refused(&answer, 401, "invalid_client", "assertion");
}

#[tokio::test]
async fn s5_2_a_failed_header_is_401_with_a_basic_challenge() {
    for policy in every_policy() {
        let server = Server::with_policy(policy);
        let good_but_unknown = basic::header_value("nobody", "x");
        let headers: [&[u8]; 4] = [good_but_unknown.as_bytes(), b"Basic ###", b"Bearer token", b""];
        for header in headers {
            let request = form("token=t&refresh_token=t").header("authorization", header);
            for answer in [
                annul::handle_revoke(&server.authority, &request).await,
                annul::handle_logout(&server.authority, &request).await,
                annul::handle_introspect(&server.authority, &request).await,
            ] {
                assert_refused(&answer, 401, "invalid_client", "header");
                let challenge = answer.header("www-authenticate").unwrap();
                assert!(challenge.starts_with("Basic realm=\""), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn err_06_401_and_the_challenge_come_together() {
    let mut challenged = 0;
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            let challenge = answer.header("www-authenticate").is_some();
            assert_eq!(answer.status() == 401, challenge, "{case}");
            challenged += usize::from(challenge);
        }
    }
    assert!(challenged > 20, "{challenged}");
}

#[tokio::test]
async fn err_07_the_list_of_codes_is_closed() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            if answer.status() < 300 {
                continue;
            }
            let code = error_of(&answer);
            let statuses: &[u16] = match code.as_str() {
                "invalid_request" => &[400, 405, 413],
                "invalid_client" => &[400, 401],
                "invalid_grant" | "unsupported_token_type" => &[400],
                "server_error" => &[500],
                "temporarily_unavailable" => &[429, 503],
                _ => &[],
            };
            assert!(statuses.contains(&answer.status()), "{case}: {code}");
        }
    }
}

#[tokio::test]
async fn s5_1_no_answer_may_be_stored() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
            assert_eq!(answer.header("pragma"), Some("no-cache"), "{case}");
        }
    }
}

#[tokio::test]
async fn err_09_405_has_allow_and_retry_after_is_in_seconds() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            let allow = answer.header("allow");
            assert_eq!(allow.is_some(), answer.status() == 405, "{case}");
            assert!(allow.is_none_or(|methods| methods.contains("POST")), "{case}");
            let retry_after = answer.header("retry-after");
            let temporary = matches!(answer.status(), 429 | 503);
            assert_eq!(retry_after.is_some(), temporary, "{case}");
            if let Some(seconds) = retry_after {
                assert!(seconds.parse::<u32>().unwrap() > 0, "{case}");
                assert!(seconds.bytes().all(|b| b.is_ascii_digit()), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn err_10_hardening_headers_are_there_and_can_be_removed() {
    for (case, answer) in every_answer(&Policy::default()).await {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{case}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{case}");
    }
    let bare = policy(|policy| policy.headers = &[]);
    for (case, answer) in every_answer(&bare).await {
        assert_eq!(answer.header("x-content-type-options"), None, "{case}");
        assert_eq!(answer.header("referrer-policy"), None, "{case}");
    }
}

#[tokio::test]
async fn err_11_failures_of_ours_are_503_or_500_at_every_endpoint() {
    let faults: [fn(crate::doubles::Failure) -> Fault; 3] =
        [Fault::Authenticate, Fault::Find, Fault::Revoke];
    for fault in faults {
        for (failure, status) in FAILURES {
            let watched = Watched::new();
            let server = &watched.server;
            server.grant("g1", "web").await;
            watched.fail(fault(failure));
            let code = match status {
                503 => "temporarily_unavailable",
                _ => "server_error",
            };
            let mut answers =
                vec![server.revoke_as("web", "token=rt-g1").await, logout_as_web(server).await];
            if !matches!(fault(failure), Fault::Revoke(_)) {
                answers.push(server.introspect_as("web", "token=rt-g1").await);
            }
            for answer in answers {
                assert_refused(&answer, status, code, &format!("{:?}", failure()));
            }
            watched.heal();
            assert!(server.is_active("rt-g1").await);
        }
    }
}

async fn logout_as_web(server: &Server) -> Response {
    let header = basic::header_value("web", "web-secret");
    let request = form("refresh_token=rt-g1").header("authorization", header.as_bytes());
    annul::handle_logout(&server.authority, &request).await
}

#[tokio::test]
async fn cli_11_an_empty_secret_is_nobodys_even_where_it_was_digested() {
    let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    let web = Client::new(web).secret_digest(SecretDigest::of(""), None);
    let server = server_with(ClientTable::from_iter([web]), Policy::default());
    server.grant("g1", "web").await;
    let header = basic::header_value("web", "");
    let request = form("token=rt-g1").header("authorization", header.as_bytes());
    let answer = annul::handle_revoke(&server.authority, &request).await;
    assert!(server.is_active("rt-g1").await);
    assert_eq!((answer.status(), error_of(&answer).as_str()), (401, "invalid_client"));
}
