//! Distinguished names: read from a certificate, read from RFC 4514 text, and compared.

use x509_parser::asn1_rs::{Any, Class, FromDer, Oid, Tag};
use x509_parser::x509::X509Name;

/// A name made ready for comparing: in the order of the certificate, the attributes of each part sorted.
///
/// Two names are the same by the rules of RFC 5280 section 7.1 (distinguishedNameMatch of RFC 4517): as many
/// parts in the same order, attribute types by their identifiers, values without regard to case, to how much
/// white space is between words, or to which string type holds them. Characters are not composed or decomposed:
/// a name that the certificate spells otherwise does not match.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct DistinguishedName(Vec<Vec<Attribute>>);

/// Its type, as the bytes of an object identifier, and its value.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Attribute(Vec<u8>, Value);

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Value {
    /// What is not text is compared byte for byte.
    Other { class: u8, constructed: bool, tag: u32, content: Vec<u8> },
    /// Folded.
    Text(String),
}

/// The short names: the table of RFC 4514 section 3, and those that tools print beside it.
const KINDS: &[(&str, &[u64])] = &[
    ("C", &[2, 5, 4, 6]),
    ("CN", &[2, 5, 4, 3]),
    ("DC", &[0, 9, 2342, 19_200_300, 100, 1, 25]),
    ("E", &[1, 2, 840, 113_549, 1, 9, 1]),
    ("emailAddress", &[1, 2, 840, 113_549, 1, 9, 1]),
    ("givenName", &[2, 5, 4, 42]),
    ("GN", &[2, 5, 4, 42]),
    ("L", &[2, 5, 4, 7]),
    ("O", &[2, 5, 4, 10]),
    ("organizationIdentifier", &[2, 5, 4, 97]),
    ("OU", &[2, 5, 4, 11]),
    ("serialNumber", &[2, 5, 4, 5]),
    ("SN", &[2, 5, 4, 4]),
    ("ST", &[2, 5, 4, 8]),
    ("STREET", &[2, 5, 4, 9]),
    ("title", &[2, 5, 4, 12]),
    ("UID", &[0, 9, 2342, 19_200_300, 100, 1, 1]),
];

impl DistinguishedName {
    /// The name of a certificate.
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let parts = name.iter_rdn().map(|part| {
            let attributes = part.iter().map(|attribute| {
                let kind = attribute.attr_type().as_bytes().to_vec();
                Attribute(kind, Value::of(attribute.attr_value()))
            });
            sorted(attributes.collect())
        });
        Self(parts.collect())
    }

    /// A name as RFC 4514 writes it: last part first. Spaces beside `,`, `+` and `=` are allowed, as in what
    /// tools print. None for anything else, the empty text too.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text, ',').into_iter().rev().map(|part| {
            let attributes = split(part, '+').into_iter().map(Attribute::parse);
            attributes.collect::<Option<Vec<_>>>().map(sorted)
        });
        parts.collect::<Option<Vec<_>>>().map(Self)
    }
}

/// A part with several attributes is a set (X.501): they stand in no order.
fn sorted(mut attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.sort_unstable();
    attributes
}

/// What stands between the separators that no backslash precedes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut escaped = false;
    text.split(|character| {
        let separates = character == separator && !escaped;
        // An escape is a backslash with one character, or with two digits, which separate nothing anyway.
        escaped = character == '\\' && !escaped;
        separates
    })
    .collect()
}

impl Attribute {
    fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once('=')?;
        Some(Self(kind_of(kind.trim_matches(' '))?, Value::parse(value)?))
    }
}

/// The identifier of an attribute type, by its short name or in dotted digits.
fn kind_of(name: &str) -> Option<Vec<u8>> {
    let known = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let oid = match known {
        Some((_, arcs)) => Oid::from(arcs),
        None => {
            let arcs = name.split('.').map(arc).collect::<Option<Vec<u64>>>()?;
            // Larger first arcs do not exist; the parser would fold them into smaller ones.
            arcs.first().filter(|first| **first <= 2)?;
            Oid::from(&arcs)
        }
    };
    Some(oid.ok()?.as_bytes().to_vec())
}

fn arc(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    if plain && canonical { digits.parse().ok() } else { None }
}

impl Value {
    /// The value of a certificate's attribute. Text in every string type, as long as it is sound.
    fn of(value: &Any<'_>) -> Self {
        let header = &value.header;
        let is_string = header.class() == Class::Universal && !header.constructed();
        let text = if is_string { text_of(header.tag(), value.data) } else { None };
        text.map_or_else(
            || Self::Other {
                class: header.class() as u8,
                constructed: header.constructed(),
                tag: header.tag().0,
                content: value.data.to_vec(),
            },
            |text| Self::Text(folded(&text)),
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(' ');
        let Some(digits) = text.strip_prefix('#') else {
            return unescaped(text).map(|text| Self::Text(folded(&text)));
        };
        let der = unhex(digits.trim_end_matches(' '))?;
        let (rest, value) = Any::from_der(&der).ok()?;
        rest.is_empty().then(|| Self::of(&value))
    }
}

fn text_of(tag: Tag, content: &[u8]) -> Option<String> {
    let units = content.as_chunks::<2>();
    let quads = content.as_chunks::<4>();
    match tag {
        Tag::Ia5String | Tag::NumericString | Tag::PrintableString | Tag::VisibleString => {
            content.is_ascii().then(|| content.iter().copied().map(char::from).collect())
        }
        Tag::Utf8String => String::from_utf8(content.to_vec()).ok(),
        // Latin-1 is what those who still write it mean.
        Tag::T61String => Some(content.iter().copied().map(char::from).collect()),
        Tag::BmpString if units.1.is_empty() => {
            let units = units.0.iter().copied().map(u16::from_be_bytes);
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UniversalString if quads.1.is_empty() => {
            quads.0.iter().copied().map(u32::from_be_bytes).map(char::from_u32).collect()
        }
        _ => None,
    }
}

/// Without regard to case, and with one space between words (RFC 4518 sections 2.2 and 2.6.1).
fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        // One character at a time: the lower case of a whole word depends on its neighbours.
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

/// RFC 4514 section 2.4, backwards.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => bytes.push(match rest.next()? {
                special @ (' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\') => {
                    u8::try_from(special).ok()?
                }
                high => hex_digit(high)? << 4 | hex_digit(rest.next()?)?,
            }),
            '\0' | '"' | '+' | ',' | ';' | '<' | '>' => return None,
            plain => bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(bytes).ok()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let mut rest = digits.chars();
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    while let Some(high) = rest.next() {
        bytes.push(hex_digit(high)? << 4 | hex_digit(rest.next()?)?);
    }
    Some(bytes)
}

fn hex_digit(digit: char) -> Option<u8> {
    digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::certificate::samples::{attribute, name, tlv};

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];
    const OU: &[u8] = &[0x55, 4, 11];
    const UTF8: u8 = 12;
    const PRINTABLE: u8 = 19;

    fn read(parts: &[&[Vec<u8>]]) -> DistinguishedName {
        let der = name(parts);
        let (rest, name) = X509Name::from_der(&der).unwrap();
        assert!(rest.is_empty());
        DistinguishedName::of(&name)
    }

    fn common_name(tag: u8, content: &[u8]) -> DistinguishedName {
        read(&[&[attribute(CN, tag, content)]])
    }

    #[track_caller]
    fn assert_same(text: &str, name: &DistinguishedName) {
        assert_eq!(DistinguishedName::parse(text).as_ref(), Some(name), "{text}");
    }

    #[track_caller]
    fn assert_other(text: &str, name: &DistinguishedName) {
        let parsed = DistinguishedName::parse(text);
        assert!(parsed.is_some(), "{text} is not read");
        assert_ne!(parsed.as_ref(), Some(name), "{text}");
    }

    #[test]
    fn rfc_4514_s2_1_the_last_part_is_written_first() {
        let name = read(&[
            &[attribute(&[0x55, 4, 6], PRINTABLE, b"DE")],
            &[attribute(O, UTF8, b"Example")],
            &[attribute(CN, UTF8, b"web")],
        ]);
        assert_same("CN=web,O=Example,C=DE", &name);
        assert_same("CN=web, O=Example, C=DE", &name);
        assert_same(" cn = WEB ,  o = example , c = de ", &name);
        assert_same("2.5.4.3=web,2.5.4.10=Example,2.5.4.6=DE", &name);
        assert_other("C=DE,O=Example,CN=web", &name);
        assert_other("CN=web,O=Example", &name);
        assert_other("O=Example,C=DE", &name);
        assert_other("CN=web,O=Example,C=DE,C=DE", &name);
        assert_other("CN=web,OU=Example,C=DE", &name);
        assert_other("CN=web+O=Example,C=DE", &name);
    }

    #[test]
    fn rfc_4514_s4_the_examples_are_read() {
        const DC: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
        const UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];
        const IA5: u8 = 22;
        let net = attribute(DC, IA5, b"net");
        let example = attribute(DC, IA5, b"example");
        let below = |part: &[Vec<u8>]| {
            read(&[std::slice::from_ref(&net), std::slice::from_ref(&example), part])
        };
        let user = [attribute(UID, UTF8, b"jsmith")];
        assert_same("UID=jsmith,DC=example,DC=net", &below(&user));
        let two = [attribute(OU, UTF8, b"Sales"), attribute(CN, UTF8, b"J.  Smith")];
        assert_same("OU=Sales+CN=J.  Smith,DC=example,DC=net", &below(&two));
        assert_same("CN=J. Smith + OU=sales,DC=example,DC=net", &below(&two));
        assert_other("CN=J. Smith,OU=sales,DC=example,DC=net", &below(&two));
        assert_other("CN=J. Smith,DC=example,DC=net", &below(&two));
        let quoted = [attribute(CN, UTF8, br#"James "Jim" Smith, III"#)];
        assert_same(r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#, &below(&quoted));
        let before = [attribute(CN, UTF8, b"Before\rAfter")];
        assert_same(r"CN=Before\0dAfter,DC=example,DC=net", &below(&before));
        let octets = [attribute(&[0x2b, 6, 1, 4, 1, 0x8b, 0x3a, 0], 4, &[0x48, 0x69])];
        let octets = read(&[&octets]);
        assert_same("1.3.6.1.4.1.1466.0=#04024869", &octets);
        assert_same("1.3.6.1.4.1.1466.0 = #04024869 ", &octets);
        assert_other("1.3.6.1.4.1.1466.0=#04024870", &octets);
        assert_other("1.3.6.1.4.1.1466.0=Hi", &octets);
        let lucic = common_name(UTF8, "Lu\u{10d}i\u{107}".as_bytes());
        assert_same(r"CN=Lu\C4\8Di\C4\87", &lucic);
        assert_same("CN=LU\u{10c}I\u{106}", &lucic);
        assert_other("CN=Lucic", &lucic);
    }

    #[test]
    fn rfc_4514_s2_4_specials_are_escaped_by_themselves_or_in_hex() {
        let comma = common_name(UTF8, b"Example, Inc. #1 a=b");
        assert_same(r"CN=Example\, Inc. #1 a=b", &comma);
        assert_same(r"CN=Example\2C Inc. \#1 a\=b", &comma);
        assert_same(r"CN=Example\2c\20Inc.\ \231 a\3Db", &comma);
        let slash = common_name(UTF8, br"a\,b+c");
        assert_same(r"CN=a\\\,b\+c", &slash);
        assert_same(r"CN=a\5C\2Cb\2Bc", &slash);
        let sharp = common_name(UTF8, b"#04");
        assert_same(r"CN=\#04", &sharp);
        assert_same(r"CN=\ \#04\ ", &sharp);
    }

    #[test]
    fn rfc_4514_s3_what_is_no_name_is_none() {
        for text in [
            "",
            " ",
            ",",
            "web",
            "CN",
            "=web",
            "CN=web,",
            ",CN=web",
            "CN=web,,O=x",
            "CN=web+",
            "+CN=web",
            "CN=a;O=b",
            "CN=\"web\"",
            "CN=<web>",
            "CN=a\0b",
            "XX=web",
            "C N=web",
            "CN=web\\",
            r"CN=web\2",
            r"CN=web\2g",
            r"CN=web\zz",
            r"CN=\ff",
            "CN=#",
            "CN=#0",
            "CN=#0c",
            "CN=#0c0577",
            "CN=#0c0377656200",
            "CN=#0c03776562 x",
            "CN=#zz",
            "2=web",
            "2.5.4.03=web",
            "2..4=web",
            "2.5.4.=web",
            "+2.5.4.3=web",
            "6.16.1=web",
            "3.1=web",
            "1.40.1=web",
            "2.5.99999999999999999999=web",
            "OID.2.5.4.3=web",
            "/CN=web/O=x",
        ] {
            assert_eq!(DistinguishedName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn rfc_5280_s7_1_the_string_type_does_not_matter_and_neither_do_case_and_white_space() {
        let utf_16 =
            |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let utf_32 =
            |text: &str| text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect::<Vec<u8>>();
        for (tag, content) in [
            (PRINTABLE, b"Web  Client".to_vec()),
            (UTF8, b" web client ".to_vec()),
            (22, b"WEB CLIENT".to_vec()),
            (26, b"web client".to_vec()),
            (20, b"Web Client".to_vec()),
            (30, utf_16("Web Client")),
            (28, utf_32("Web Client")),
            (UTF8, "web\u{a0}client".into()),
        ] {
            let name = common_name(tag, &content);
            assert_same("CN=Web Client", &name);
            assert_same(r"CN=\20web \20\20CLIENT\20", &name);
            assert_other("CN=WebClient", &name);
            // The same text, said to be of any type.
            assert_same("CN=#130A57656220436C69656E74", &name);
        }
        for (tag, content) in
            [(20, b"Z\xfcrich".to_vec()), (30, utf_16("ZÜRICH")), (28, utf_32("zürich"))]
        {
            assert_same("CN=Zürich", &common_name(tag, &content));
        }
        assert_same("CN=ΟΔΟΣ", &common_name(UTF8, "οδοσ".as_bytes()));
    }

    #[test]
    fn text_that_is_not_sound_is_compared_byte_for_byte() {
        for (tag, content) in [
            (UTF8, &b"web\xff"[..]),
            (PRINTABLE, b"web\xff"),
            (30, b"web"),
            (30, &[0xd8, 0]),
            (28, b"web"),
            (28, &[0, 0x11, 0, 0]),
            (UTF8 | 0x20, b"\x0c\x03web"),
            (0x8c, b"web"),
        ] {
            let name = common_name(tag, content);
            assert_other("CN=web", &name);
            let hex: String = tlv(tag, content).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_same(&format!("CN=#{hex}"), &name);
        }
    }

    #[test]
    fn a_certificates_zero_byte_ends_no_name() {
        let name = common_name(UTF8, b"web\0.evil.example");
        assert_other("CN=web", &name);
        assert_same(r"CN=web\00.evil.example", &name);
    }

    #[test]
    fn every_short_name_stands_for_its_identifier() {
        for (name, arcs) in KINDS {
            let dotted: Vec<String> = arcs.iter().map(u64::to_string).collect();
            let dotted = format!("{}=x", dotted.join("."));
            let short = DistinguishedName::parse(&format!("{}=x", name.to_lowercase()));
            assert!(short.is_some(), "{name}");
            assert_eq!(short, DistinguishedName::parse(&dotted), "{name}");
        }
    }
}
