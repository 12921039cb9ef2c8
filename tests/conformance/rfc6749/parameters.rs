//! Section 3.1 and appendix B: parameters.

use annul::client::AuthMethod;
use annul::metadata::ServerMetadata;
use annul::policy::{BasicDecoding, Duplicates};
use annul::wire::basic;
use annul::{Issuer, Policy, Request, profile};

use crate::doubles::{PROFILES, Watched, policy};
use crate::rfc6749::{assert_refused, revoke_with, verbatim};
use crate::support::{FORM, START, Server, error_of, form, seen};

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
