//! The revocation endpoint: whatever it is sent, it answers, and it kills nothing foreign.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::TokenLedger;
use annul::wire::basic;
use annul::wire::cors::Origins;
use annul::wire::send::TokenForm;
use annul::{
    Authority, FakeClock, Grant, MemoryStore, NewToken, Policy, PresentedToken, Request, Response,
    profile,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::basic::authorization;
use crate::forms::body;
use crate::{FORM, NOW, block_on, config};

/// Nowhere in any answer.
const MARKER: &str = "zQ9xMARKERx9Qz";

const ORIGIN: &str = "https://app.example";

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
