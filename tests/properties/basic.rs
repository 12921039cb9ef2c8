//! Credentials in the `Authorization` header, as RFC 7617 and RFC 6749 read them.

use annul::wire::basic;
use annul::wire::basic::{Basic, Scratch};
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;
use crate::forms::{is_strict, text};

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
pub(crate) fn authorization() -> impl Strategy<Value = Vec<u8>> {
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
