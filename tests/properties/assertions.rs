//! Assertions: no change goes unnoticed, and times are judged by the policy.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use annul::client::{
    Assertions, AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients,
};
use annul::store::TokenLedger;
use annul::{
    Authority, FakeClock, Grant, Issuer, MemoryStore, NewToken, Policy, PresentedToken, Request,
};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{FORM, NOW, block_on, config};

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
