//! What holds for every request, however strange: the parsers agree with other people's parsers, and the
//! revocation endpoint keeps its promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use annul::client::{
    Assertions, AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients,
};
use annul::policy::Duplicates;
use annul::store::TokenLedger;
use annul::wire::basic;
use annul::wire::basic::{Basic, Scratch};
use annul::wire::cors::Origins;
use annul::wire::error::{EndpointError, Flaw};
use annul::wire::form::{Form, Parameter};
use annul::wire::send::{LogoutForm, TokenForm};
use annul::{
    Authority, FakeClock, Grant, Issuer, MemoryStore, NewToken, Policy, PresentedToken, Request,
    Response, Timestamp, profile,
};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const FORM: &[u8] = b"application/x-www-form-urlencoded";

const PARAMETERS: [(Parameter, &str); 12] = [
    (Parameter::ClientAssertion, "client_assertion"),
    (Parameter::ClientAssertionType, "client_assertion_type"),
    (Parameter::ClientId, "client_id"),
    (Parameter::ClientSecret, "client_secret"),
    (Parameter::IdTokenHint, "id_token_hint"),
    (Parameter::LogoutHint, "logout_hint"),
    (Parameter::PostLogoutRedirectUri, "post_logout_redirect_uri"),
    (Parameter::RefreshToken, "refresh_token"),
    (Parameter::State, "state"),
    (Parameter::Token, "token"),
    (Parameter::TokenTypeHint, "token_type_hint"),
    (Parameter::UiLocales, "ui_locales"),
];

/// Those whose values only the body's own limit bounds.
const LONG: [&str; 4] = ["client_assertion", "id_token_hint", "refresh_token", "token"];

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        // A counterexample becomes a test of its own, with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

// ── Forms

/// Bytes that come near to being a name or a value.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        6 => "[a-z_0-9.-]{0,8}".prop_map(String::into_bytes),
        2 => select(vec!["+", "%20", "%2B", "%c3%A9", "é", "%F0%9F%94%91", "=", "%3D"])
            .prop_map(Vec::from),
        1 => select(vec!["%", "%4", "%G0", "%0g", "%+1", "%C3", "%ff", "%ED%A0%80"]).prop_map(Vec::from),
        1 => vec(any::<u8>(), 0..3),
    ];
    vec(pieces, 0..4).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let names = PARAMETERS.map(|(_, name)| name.as_bytes().to_vec());
    prop_oneof![
        6 => select(names.to_vec()),
        1 => Just(b"%74oken".to_vec()),
        1 => Just(b"toke%6e".to_vec()),
        1 => Just(b"z".to_vec()),
        2 => text(),
    ]
}

/// Forms, good and bad, and bytes that are none.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let pair = prop_oneof![
        8 => (name(), text()).prop_map(|(name, value)| [name, value].join(&b'=')),
        1 => name(),
        1 => Just(Vec::new()),
    ];
    prop_oneof![
        6 => vec(pair, 0..8).prop_map(|pairs| pairs.join(&b'&')),
        1 => vec(any::<u8>(), 0..64),
    ]
}

/// Whether every escape is whole and the bytes are UTF-8: what `form_urlencoded` does not mind.
fn is_strict(text: &[u8]) -> bool {
    let mut bytes = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return std::str::from_utf8(&bytes).is_ok(),
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest
            }
            [b'%', ..] => return false,
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// What `form_urlencoded` reads, and every flaw that a stricter reader may find.
fn oracle(body: &[u8], policy: &Policy) -> (HashMap<String, String>, HashSet<String>) {
    let limits = &policy.limits;
    let mut flaws = HashSet::new();
    let mut note = |flaw: EndpointError| flaws.insert(format!("{flaw:?}"));
    if body.len() > limits.body_bytes {
        note(EndpointError::TooLarge);
    }
    let pairs: Vec<&[u8]> =
        body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > limits.pairs {
        note(Flaw::TooManyParameters.into());
    }
    // Raw bytes that only make sense next to an escape (`%C3` and then 0x80) are no text either.
    if std::str::from_utf8(body).is_err() {
        note(Flaw::Undecodable.into());
    }
    for pair in pairs {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        if !halves.all(is_strict) {
            note(Flaw::Undecodable.into());
        }
    }
    let mut values = HashMap::new();
    let mut names = HashSet::new();
    for (name, value) in form_urlencoded::parse(body) {
        let known = PARAMETERS.iter().any(|(_, known)| *known == name);
        let long = LONG.contains(&&*name);
        if name.len() > limits.value_bytes || (!long && value.len() > limits.value_bytes) {
            note(Flaw::ValueTooLong.into());
        }
        let first = names.insert(name.clone());
        if !first && (known || policy.duplicates == Duplicates::RefuseAny) {
            note(Flaw::Repeated.into());
        }
        if !value.is_empty() {
            values.insert(name.into_owned(), value.into_owned());
        }
    }
    (values, flaws)
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn a_form_is_read_as_form_urlencoded_reads_it_or_refused_for_a_reason(
        body in body(),
        refuse_any in any::<bool>(),
        // Limits so small that they are met.
        limits in option::of((8..200_usize, 1..6_usize, 4..24_usize)),
    ) {
        let mut policy = Policy::default();
        if refuse_any {
            policy.duplicates = Duplicates::RefuseAny;
        }
        if let Some((body_bytes, pairs, value_bytes)) = limits {
            policy.limits.body_bytes = body_bytes;
            policy.limits.pairs = pairs;
            policy.limits.value_bytes = value_bytes;
        }
        let (values, flaws) = oracle(&body, &policy);
        let request = Request::post(&body).header("content-type", FORM);
        match Form::read(&request, &policy) {
            Ok(form) => {
                prop_assert!(flaws.is_empty(), "{:?}", flaws);
                for (parameter, name) in PARAMETERS {
                    let expected = values.get(name).map(String::as_str);
                    prop_assert_eq!(form.get(parameter), expected, "{}", name);
                }
            }
            Err(error) => {
                let error = format!("{error:?}");
                prop_assert!(flaws.contains(&error), "{} is not in {:?}", error, flaws);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_a_form_serializer_writes_comes_back(
        values in vec(option::of(vec(any::<char>(), 0..12).prop_map(String::from_iter)), 12),
    ) {
        let pairs: Vec<(&str, &str)> = PARAMETERS
            .iter()
            .zip(&values)
            .filter_map(|((_, name), value)| Some((*name, value.as_deref()?)))
            .collect();
        let mut serializer = form_urlencoded::Serializer::new(String::new());
        serializer.extend_pairs(&pairs);
        for body in [serializer.finish(), serde_urlencoded::to_string(&pairs).unwrap()] {
            let request = Request::post(body.as_bytes()).header("content-type", FORM);
            let form = Form::read(&request, &Policy::default()).unwrap();
            for ((parameter, _), value) in PARAMETERS.iter().zip(&values) {
                // RFC 6749 s3.1: a parameter without a value counts as absent.
                let expected = value.as_deref().filter(|value| !value.is_empty());
                prop_assert_eq!(form.get(*parameter), expected);
            }
        }
    }

    #[test]
    fn what_our_own_client_sends_comes_back(
        [token, hint, id, secret] in proptest::array::uniform4(
            vec(any::<char>(), 1..12).prop_map(String::from_iter),
        ),
    ) {
        let revocation = TokenForm::new(&token).hint(&hint).client(&id, Some(&secret)).to_body();
        let logout = LogoutForm::new(&token, &id, Some(&secret)).to_body();
        for (body, parameter, hint) in [
            (revocation, Parameter::Token, Some(&*hint)),
            (logout, Parameter::RefreshToken, None),
        ] {
            let request = Request::post(body.as_bytes()).header("content-type", FORM);
            let form = Form::read(&request, &Policy::default()).unwrap();
            prop_assert_eq!(form.get(parameter), Some(&*token));
            prop_assert_eq!(form.get(Parameter::TokenTypeHint), hint);
            prop_assert_eq!(form.get(Parameter::ClientId), Some(&*id));
            prop_assert_eq!(form.get(Parameter::ClientSecret), Some(&*secret));
        }
    }
}

// ── Basic credentials

/// No control characters, as RFC 7617 wants; colons, percent signs and all the world's letters.
fn credential(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let char = prop_oneof![
        Just(':'),
        Just('%'),
        Just('+'),
        any::<char>().prop_filter("no control characters", |char| !char.is_ascii_control()),
    ];
    vec(char, length).prop_map(String::from_iter)
}

/// Values of an `Authorization` header: right ones, near misses, and bytes.
fn authorization() -> impl Strategy<Value = Vec<u8>> {
    let scheme = prop_oneof![
        6 => Just("Basic "),
        1 => select(vec!["basic ", "BASIC  ", "Basic", "Bearer ", "Basic\t", " Basic ", ""]),
    ];
    let user_pass = prop_oneof![
        2 => vec(any::<u8>(), 0..12),
        2 => text(),
        4 => vec(text(), 2..4).prop_map(|parts| parts.join(&b':')),
        1 => Just(b"web:web-secret".to_vec()),
    ];
    let coded = (scheme, user_pass, 0..12_usize).prop_map(|(scheme, user_pass, damage)| {
        let mut coded = STANDARD.encode(user_pass);
        match damage {
            0 => drop(coded.pop()),
            1 => coded.push('='),
            2 => coded.push(' '),
            3 => coded.insert(coded.len() / 2, ' '),
            4 => coded.insert(coded.len() / 2, '-'),
            // The last character's spare bits, which a sloppy decoder drops.
            5 => coded = coded.replace("g==", "h==").replace("A=", "B="),
            _ => {}
        }
        [scheme.as_bytes(), coded.as_bytes()].concat()
    });
    prop_oneof![8 => coded, 1 => vec(any::<u8>(), 0..24)]
}

type Pair = (String, String);

/// What RFC 7617 says a header holds; and what RFC 6749 makes of it.
fn basic_oracle(header: &[u8]) -> Option<(Pair, Option<Pair>)> {
    let scheme = header.get(..6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let coded = header.get(6..)?.trim_ascii();
    // Decodes whatever can be decoded; only what encodes to the same again is base64.
    let sloppy = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&alphabet::STANDARD, sloppy).decode(coded).ok()?;
    if STANDARD.encode(&bytes).as_bytes() != coded {
        return None;
    }
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    if id.is_empty() || text.contains(|char: char| char.is_ascii_control()) {
        return None;
    }
    let decoded = form_decoded(id).zip(form_decoded(secret)).filter(|pair| {
        let control = |text: &str| text.contains(|char: char| char.is_ascii_control());
        !pair.0.is_empty() && !control(&pair.0) && !control(&pair.1)
    });
    Some(((id.to_owned(), secret.to_owned()), decoded))
}

fn form_decoded(text: &str) -> Option<String> {
    let value = format!("x={}", text.replace('&', "%26"));
    let (_, value) = form_urlencoded::parse(value.as_bytes()).next()?;
    is_strict(text.as_bytes()).then(|| value.into_owned())
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn credentials_come_back_from_the_header(id in credential(1..20), secret in credential(0..80)) {
        let header = basic::header_value(&id, &secret);
        let mut scratch = Scratch::default();
        let read = Basic::read(header.as_bytes(), &mut scratch).unwrap();
        prop_assert_eq!(read.decoded(), Some((&*id, &*secret)));
        let oracle = basic_oracle(header.as_bytes()).unwrap();
        prop_assert_eq!(oracle.1, Some((id, secret)));
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn a_header_is_read_as_the_specifications_say(header in authorization()) {
        let mut scratch = Scratch::default();
        let read = Basic::read(&header, &mut scratch).ok().map(|basic| {
            let owned = |(id, secret): (&str, &str)| (id.to_owned(), secret.to_owned());
            (owned(basic.verbatim()), basic.decoded().map(owned))
        });
        prop_assert_eq!(read, basic_oracle(&header));
    }
}

// ── The revocation endpoint

/// Nowhere in any answer.
const MARKER: &str = "zQ9xMARKERx9Qz";

const ORIGIN: &str = "https://app.example";

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

#[derive(Clone, Debug)]
struct Sent {
    method: String,
    media_types: Vec<Vec<u8>>,
    authorizations: Vec<Vec<u8>>,
    origin: Option<Vec<u8>>,
    query: Option<String>,
    body: Vec<u8>,
}

/// Requests that are mostly right, so that they get far, and may be wrong anywhere.
fn sent() -> impl Strategy<Value = Sent> {
    let method = prop_oneof![
        40 => Just("POST".to_owned()),
        1 => Just("OPTIONS".to_owned()),
        1 => Just(MARKER.to_owned()),
        1 => ".{0,6}",
    ];
    let media_type = prop_oneof![
        40 => Just(FORM.to_vec()),
        1 => Just(format!("application/x-www-form-urlencoded; charset={MARKER}").into_bytes()),
        1 => vec(any::<u8>(), 0..12),
    ];
    let authorization = prop_oneof![
        20 => Just(basic::header_value("web", "web-secret").into_bytes()),
        1 => Just(basic::header_value("other", MARKER).into_bytes()),
        1 => Just(format!("Bearer {MARKER}").into_bytes()),
        2 => authorization(),
    ];
    let token = select(vec![
        "token=at-own",
        "token=rt-own",
        "token=at-foreign",
        "token=rt-foreign",
        "token=rt%2Dforeign",
        "token=zQ9xMARKERx9Qz",
        "token=",
    ]);
    let pairs = select(vec![
        "token=rt-foreign",
        "token_type_hint=access_token",
        "token_type_hint=refresh_token",
        "token_type_hint=zQ9xMARKERx9Qz",
        "client_id=web",
        "client_id=other",
        "client_id=spa",
        "client_id=zQ9xMARKERx9Qz",
        "client_secret=web-secret",
        "client_secret=zQ9xMARKERx9Qz",
        "client_assertion=zQ9xMARKERx9Qz",
        "zQ9xMARKERx9Qz",
        "zQ9xMARKERx9Qz=1",
        "zQ9xMARKERx9Qz=%",
        "state=zQ9xMARKERx9Qz",
    ]);
    let body = prop_oneof![
        8 => (token, vec(pairs, 0..3))
            .prop_map(|(token, pairs)| [&[token], &*pairs].concat().join("&").into_bytes()),
        2 => body(),
        1 => vec(any::<u8>(), 0..40),
    ];
    let rarely = |text: &'static str| prop_oneof![6 => Just(None), 1 => Just(Some(text))];
    (
        method,
        prop_oneof![12 => vec(media_type.clone(), 1), 1 => vec(media_type, 0..3)],
        prop_oneof![8 => vec(authorization.clone(), 1), 1 => vec(authorization, 0..3)],
        prop_oneof![
            2 => Just(None),
            1 => Just(Some(ORIGIN.as_bytes().to_vec())),
            1 => Just(Some(MARKER.as_bytes().to_vec())),
            1 => option::of(vec(any::<u8>(), 0..8)),
        ],
        rarely("token=rt-foreign&zQ9xMARKERx9Qz"),
        body,
    )
        .prop_map(|(method, media_types, authorizations, origin, query, body)| Sent {
            method,
            media_types,
            authorizations,
            origin,
            query: query.map(str::to_owned),
            body,
        })
}

impl Sent {
    fn request(&self) -> Request<'_> {
        let mut request = Request::new(&self.method, &self.body);
        for media_type in &self.media_types {
            request = request.header("content-type", media_type);
        }
        for authorization in &self.authorizations {
            request = request.header("authorization", authorization);
        }
        if let Some(origin) = &self.origin {
            request =
                request.header("origin", origin).header("access-control-request-method", b"POST");
        }
        match &self.query {
            Some(query) => request.query(query),
            None => request,
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// `web` holds `at-own` and `rt-own`; `other`, whose secret nobody knows, `at-foreign` and `rt-foreign`.
async fn server(policy: Policy) -> Authority {
    let client = |id: &str, method| Client::new(ClientMetadata::new(id, method));
    let clients = ClientTable::from_iter([
        client("web", AuthMethod::ClientSecretBasic).secret("web-secret"),
        client("other", AuthMethod::ClientSecretBasic).secret("of no caller"),
        client("spa", AuthMethod::None),
    ]);
    let store = Arc::new(MemoryStore::new());
    for (id, client) in [("own", "web"), ("foreign", "other")] {
        let grant = Grant::new(id, client, NOW).subject("alice").session("s1");
        let expiry = NOW + Duration::from_secs(600);
        let (access, refresh) = (format!("at-{id}"), format!("rt-{id}"));
        let tokens = [
            NewToken::access(PresentedToken::new(&access), expiry),
            NewToken::refresh(PresentedToken::new(&refresh), expiry),
        ];
        store.issue(grant, &tokens, NOW).await.unwrap();
    }
    Authority::new(store, RegisteredClients::new(clients))
        .policy(policy)
        .origins(Origins::from_iter([ORIGIN]))
        .clock(FakeClock::at(NOW))
}

async fn alive(authority: &Authority) -> Vec<&'static str> {
    let mut alive = Vec::new();
    for token in ["at-own", "rt-own", "at-foreign", "rt-foreign"] {
        let verdict = authority.check(PresentedToken::new(token)).await.unwrap();
        if verdict.is_active() {
            alive.push(token);
        }
    }
    alive
}

fn policies() -> impl Strategy<Value = Policy> {
    let names = ["standard", "asgardeo", "django_oauth_toolkit", "hyperid", "keycloak", "wso2"];
    let profiles = names.map(|name| profile::by_name(name).unwrap().policy);
    select(profiles.to_vec())
}

fn all_text(response: &Response) -> String {
    let mut text = String::from_utf8_lossy(response.body()).into_owned();
    for (name, value) in response.headers() {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn the_revocation_endpoint_answers_anything_and_kills_nothing_foreign(
        sent in sent(),
        policy in policies(),
    ) {
        let (response, alive) = block_on(async {
            let authority = server(policy).await;
            let response = annul::handle_revoke(&authority, &sent.request()).await;
            (response, alive(&authority).await)
        });
        let status = response.status();
        prop_assert!(matches!(status, 200 | 204 | 400 | 401 | 405 | 413), "{}", status);
        prop_assert_eq!(status == 401, response.header("www-authenticate").is_some());
        prop_assert_eq!(status == 405, response.header("allow").is_some());
        prop_assert_eq!(response.header("cache-control"), Some("no-store"));
        prop_assert!(!all_text(&response).contains(MARKER));
        if status >= 400 {
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            for member in ["error", "error_description"] {
                let text = body.get(member).and_then(|text| text.as_str()).unwrap();
                let allowed = |b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                prop_assert!(text.bytes().all(allowed), "{}", text);
            }
        }
        prop_assert!(alive.ends_with(&["at-foreign", "rt-foreign"]), "{:?}", alive);
        if status != 200 {
            // An error means that nothing happened.
            prop_assert_eq!(alive.len(), 4, "{:?}", alive);
        }
        let allowed_origin = response.header("access-control-allow-origin");
        let from_app = sent.origin.as_deref() == Some(ORIGIN.as_bytes());
        prop_assert_eq!(allowed_origin, from_app.then_some(ORIGIN));
    }

    #[test]
    fn no_hint_changes_what_happens(
        hint in vec(any::<char>(), 0..16).prop_map(String::from_iter),
        token in select(vec!["at-own", "rt-own", "at-foreign", "rt-foreign", "unknown"]),
        policy in policies(),
    ) {
        let header = basic::header_value("web", "web-secret");
        let outcome = |body: String| {
            let policy = policy.clone();
            let request = Request::post(body.as_bytes())
                .header("content-type", FORM)
                .header("authorization", header.as_bytes());
            block_on(async {
                let authority = server(policy).await;
                let response = annul::handle_revoke(&authority, &request).await;
                (response, alive(&authority).await)
            })
        };
        let without = outcome(TokenForm::new(token).to_body());
        let with = outcome(TokenForm::new(token).hint(&hint).to_body());
        prop_assert_eq!(&with, &without);
        prop_assert_eq!(without.1.contains(&token), token.ends_with("foreign"));
    }
}

// ── Assertions

const ISSUER: &str = "https://as.example";
const SECRET: &str = "gX1fBat3bV-gX1fBat3bV-gX1fBat3bV";
/// When assertions are presented.
const TODAY: i64 = NOW.as_unix_seconds().cast_signed();

static ED25519: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

fn signed(algorithm: &str, header: &str, payload: &str) -> String {
    let message = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = match algorithm {
        "EdDSA" => ED25519.sign(message.as_bytes()).as_ref().to_vec(),
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        }
    };
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A right one, of `EdDSA` or `HS256`.
fn right(algorithm: &str) -> String {
    let header = serde_json::json!({ "alg": algorithm });
    let payload = serde_json::json!({
        "iss": algorithm, "sub": algorithm, "aud": ISSUER, "exp": TODAY + 60, "jti": "1",
    });
    signed(algorithm, &header.to_string(), &payload.to_string())
}

/// Presents one to a server that knows the clients `EdDSA` and `HS256`, and says what came of it: the status, and whether
/// the clients' tokens live.
fn present(assertion: &str, policy: Policy) -> (u16, [bool; 2]) {
    let jwk = serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(ED25519.public_key()),
    });
    let keys = ClientMetadata::new("EdDSA", AuthMethod::PrivateKeyJwt);
    let keys = keys.with_jwks(&serde_json::json!({ "keys": [jwk] }).to_string()).unwrap();
    let secret = ClientMetadata::new("HS256", AuthMethod::ClientSecretJwt);
    let table = ClientTable::from_iter([Client::new(keys), Client::new(secret).secret(SECRET)]);
    let clock = Arc::new(FakeClock::at(NOW));
    let clients = RegisteredClients::new(table).clock(Arc::clone(&clock));
    let clients = clients.assertions(Assertions::new(Issuer::new(ISSUER).unwrap()));
    let store = MemoryStore::new();
    let authority = Authority::new(store.clone(), clients).policy(policy).clock(clock);
    block_on(async {
        for client in ["EdDSA", "HS256"] {
            let token =
                [NewToken::refresh(PresentedToken::new(client), NOW + Duration::from_secs(60))];
            store.issue(Grant::new(client, client, NOW), &token, NOW).await.unwrap();
        }
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("client_assertion", assertion);
        body.append_pair(
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        );
        // Whichever client it is taken for, its token can be told from the other's.
        let claims = assertion.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let mac = claims.is_some_and(|claims| String::from_utf8_lossy(&claims).contains("HS256"));
        body.append_pair("token", if mac { "HS256" } else { "EdDSA" });
        let body = body.finish();
        let request = Request::post(body.as_bytes()).header("content-type", FORM);
        let status = annul::handle_revoke(&authority, &request).await.status();
        let lives =
            async |client| authority.check(PresentedToken::new(client)).await.unwrap().is_active();
        (status, [lives("EdDSA").await, lives("HS256").await])
    })
}

/// Text that comes near to being an assertion.
fn near_assertions() -> impl Strategy<Value = String> {
    let json = prop_oneof![
        Just(r#"{"alg":"EdDSA"}"#.to_owned()),
        Just(r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#.to_owned()),
        Just(r#"{"alg":"none"}"#.to_owned()),
        Just(format!(
            r#"{{"iss":"HS256","sub":"HS256","aud":"{ISSUER}","exp":{},"jti":"1"}}"#,
            TODAY + 60
        )),
        r#"\{("[a-z]{1,3}":("[ -~]{0,6}"|[0-9eE.+-]{1,6}|\[\]|null),?){0,4}\}"#,
        vec(any::<char>(), 0..12).prop_map(String::from_iter),
    ];
    let part = prop_oneof![
        6 => json.prop_map(|json| URL_SAFE_NO_PAD.encode(json)),
        2 => vec(any::<u8>(), 0..80).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
        1 => "[A-Za-z0-9_=+/-]{0,12}",
        1 => vec(any::<char>(), 0..12).prop_map(String::from_iter),
    ];
    vec(part, 0..6).prop_map(|parts| parts.join("."))
}

/// What is done to a right one.
#[derive(Clone, Debug)]
enum Mutation {
    Delete,
    Insert(char),
    Replace(char),
    Truncate,
    /// One bit, in what stands for the bytes.
    Flip(u8),
    /// The parts in another order.
    Rotate,
}

fn mutations() -> impl Strategy<Value = (Mutation, prop::sample::Index)> {
    let char = prop_oneof![
        4 => select("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().collect::<Vec<_>>()),
        1 => select(vec!['.', '=', '+', '/', ' ', '\0', '\n', 'é']),
    ];
    let mutation = prop_oneof![
        Just(Mutation::Delete),
        char.clone().prop_map(Mutation::Insert),
        char.prop_map(Mutation::Replace),
        Just(Mutation::Truncate),
        (0..8_u8).prop_map(Mutation::Flip),
        Just(Mutation::Rotate),
    ];
    (mutation, any::<prop::sample::Index>())
}

fn mutated(assertion: &str, (mutation, at): &(Mutation, prop::sample::Index)) -> String {
    let mut chars: Vec<char> = assertion.chars().collect();
    if chars.is_empty() {
        return String::new();
    }
    let index = at.index(chars.len());
    match *mutation {
        Mutation::Delete => drop(chars.remove(index)),
        Mutation::Insert(char) => chars.insert(index, char),
        Mutation::Replace(char) => chars.iter_mut().skip(index).take(1).for_each(|old| *old = char),
        Mutation::Truncate => chars.truncate(index),
        Mutation::Rotate => chars.rotate_left(index),
        Mutation::Flip(bit) => {
            let parts: Vec<&str> = assertion.split('.').collect();
            let which = at.index(parts.len());
            let flip = |part: &str| {
                let mut bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
                let index = index % bytes.len().max(1);
                bytes.iter_mut().skip(index).take(1).for_each(|byte| *byte ^= 1 << bit);
                URL_SAFE_NO_PAD.encode(bytes)
            };
            let parts = parts.iter().enumerate();
            let parts =
                parts.map(|(n, part)| if n == which { flip(part) } else { (*part).to_owned() });
            return parts.collect::<Vec<_>>().join(".");
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_only_comes_near_to_an_assertion_authenticates_nobody(near in near_assertions()) {
        let (status, alive) = present(&near, Policy::default());
        prop_assert_eq!((status, alive), (401, [true, true]));
    }

    #[test]
    fn no_change_to_an_assertion_goes_unnoticed(
        algorithm in select(vec!["EdDSA", "HS256"]),
        changes in vec(mutations(), 1..4),
    ) {
        let right = right(algorithm);
        let changed = changes.iter().fold(right.clone(), |jwt, change| mutated(&jwt, change));
        let (status, alive) = present(&changed, Policy::default());
        if changed == right {
            prop_assert_eq!((status, alive), (200, [algorithm != "EdDSA", algorithm != "HS256"]));
        } else {
            prop_assert_eq!((status, alive), (401, [true, true]), "{}", changed);
        }
    }

    #[test]
    fn times_are_judged_as_the_words_of_the_policy_say(
        exp in -200..400_i64,
        nbf in option::of(-200..200_i64),
        iat in option::of(-400..200_i64),
        skew in 0..90_i64,
        lifetime in 0..400_i64,
        age in option::of(0..400_i64),
    ) {
        let seconds = |seconds: i64| Duration::from_secs(seconds.cast_unsigned());
        let mut policy = Policy::default();
        policy.assertions.clock_skew = seconds(skew);
        policy.assertions.max_lifetime = seconds(lifetime);
        policy.assertions.max_age = age.map(seconds);
        let mut payload = serde_json::json!({
            "iss": "HS256", "sub": "HS256", "aud": ISSUER, "exp": TODAY + exp, "jti": "1",
        });
        for (name, offset) in [("nbf", nbf), ("iat", iat)] {
            if let Some(offset) = offset {
                payload[name] = (TODAY + offset).into();
            }
        }
        // The client's clock, were it as wrong as it may be.
        let skew = skew.min(60);
        let good = -skew < exp
            && exp <= lifetime + skew
            && nbf.is_none_or(|nbf| nbf <= skew)
            && iat.is_none_or(|iat| iat <= skew)
            && age.is_none_or(|age| iat.is_some_and(|iat| -iat <= age + skew));
        let jwt = signed("HS256", r#"{"alg":"HS256"}"#, &payload.to_string());
        let expected = if good { (200, [true, false]) } else { (401, [true, true]) };
        prop_assert_eq!(present(&jwt, policy), expected);
    }
}

/// The properties would hold for a server that refuses everything.
#[test]
fn right_assertions_are_accepted_and_mutations_do_change_them() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    assert_eq!(present(&right("EdDSA"), Policy::default()), (200, [false, true]));
    assert_eq!(present(&right("HS256"), Policy::default()), (200, [true, false]));
    let mut runner = TestRunner::deterministic();
    let right = right("HS256");
    let changed = (0..200).filter(|_| {
        let change = mutations().new_tree(&mut runner).unwrap().current();
        mutated(&right, &change) != right
    });
    assert!(changed.count() > 150);
}

/// The marker is what the strategies plant; a typing mistake there would make the property say nothing.
#[test]
fn the_marker_is_planted_and_good_requests_are_among_the_arbitrary_ones() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut statuses: HashMap<u16, usize> = HashMap::new();
    let mut planted = 0;
    let mut killed = 0;
    for _ in 0..500 {
        let sent = sent().new_tree(&mut runner).unwrap().current();
        planted += usize::from(String::from_utf8_lossy(&sent.body).contains(MARKER));
        let (status, alive) = block_on(async {
            let authority = server(Policy::default()).await;
            let response = annul::handle_revoke(&authority, &sent.request()).await;
            (response.status(), alive(&authority).await)
        });
        *statuses.entry(status).or_default() += 1;
        killed += usize::from(alive.len() < 4);
    }
    assert!(planted > 50 && killed > 20, "{planted} {killed}");
    for status in [200, 400, 401, 405] {
        assert!(statuses.get(&status).is_some_and(|times| *times > 10), "{statuses:?}");
    }
}
