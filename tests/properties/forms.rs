//! Forms: they are read as other parsers read them, or refused for a reason.

use std::collections::{HashMap, HashSet};

use annul::policy::Duplicates;
use annul::wire::error::{EndpointError, Flaw};
use annul::wire::form::{Form, Parameter};
use annul::wire::send::{LogoutForm, TokenForm};
use annul::{Policy, Request};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{FORM, config};

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

/// Bytes that come near to being a name or a value.
pub(crate) fn text() -> impl Strategy<Value = Vec<u8>> {
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
pub(crate) fn body() -> impl Strategy<Value = Vec<u8>> {
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
pub(crate) fn is_strict(text: &[u8]) -> bool {
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
