//! Names in DER, made by hand: with several attributes in one part, and with values of every type.

/// Tag, length and content.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap();
    assert!(len < 0x80, "too long for a sample");
    [&[tag, len], content].concat()
}

/// An attribute: its type, the tag of its value, and the value.
pub(super) fn attribute(oid: &[u8], tag: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(6, oid), tlv(tag, content)].concat())
}

/// A name of these parts, each of these attributes.
pub(super) fn name(parts: &[&[Vec<u8>]]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = parts.iter().map(|part| tlv(0x31, &part.concat())).collect();
    tlv(0x30, &parts.concat())
}
