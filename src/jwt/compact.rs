//! The compact serialization (RFC 7515 section 7.1), and JSON objects without duplicate members.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::jose::Algorithm;

/// A signed JWT, taken apart; nothing about it is verified.
pub(crate) struct Compact<'a> {
    /// What was signed: header and payload as they stand.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) claims: Members,
}

impl<'a> Compact<'a> {
    /// Three parts in base64url without padding; header and payload JSON objects without duplicate members; an algorithm
    /// that is one; no extension that has to be understood.
    ///
    /// Where a header says that the key is (`jku`, `x5u`) or what it is (`jwk`, `x5c`) is not looked at.
    pub(crate) fn read(jwt: &'a str) -> Option<Self> {
        let (message, signature) = jwt.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let header = Members::read(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        // RFC 7515 s4.1.11: extensions that are not understood make the JWS invalid, and none is.
        if header.get("crit").is_some() {
            return None;
        }
        Some(Self {
            message: message.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok().filter(|bytes| !bytes.is_empty())?,
            algorithm: Algorithm::from_name(header.text("alg").ok()??)?,
            kid: header.text("kid").ok()?.map(str::to_owned),
            typ: header.text("typ").ok()?.map(str::to_owned),
            claims: Members::read(&URL_SAFE_NO_PAD.decode(payload).ok()?)?,
        })
    }
}

/// The members of a JSON object, each name once.
pub(crate) struct Members(Vec<(String, Value)>);

/// A member is there, and is of another type than it should be.
pub(crate) struct WrongType;

/// An object with more members is refused: duplicates are looked for one by one.
const MOST_MEMBERS: usize = 64;

impl Members {
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A string, if the member is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, WrongType> {
        self.get(name).map(|value| value.as_str().ok_or(WrongType)).transpose()
    }

    /// A NumericDate (RFC 7519 section 2), if the member is there: seconds, perhaps with a fraction.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, WrongType> {
        let time = |value: &Value| match (value.as_u64(), value.as_f64()) {
            (Some(seconds), _) => Ok(Timestamp::from_unix_seconds(seconds)),
            // What is before 1970 or after the end of time is cut off there.
            (None, Some(seconds)) => Ok(Timestamp::from_unix_millis((seconds * 1000.0) as u64)),
            (None, None) => Err(WrongType),
        };
        self.get(name).map(time).transpose()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::with_capacity(8);
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            // RFC 7515 s4: "The Header Parameter names within the JOSE Header MUST be unique". Who reads the first of two
            // and who reads the last would take the same JWT for two.
            let known = members.iter().any(|(known, _)| *known == name);
            if known || members.len() >= MOST_MEMBERS {
                return Err(serde::de::Error::custom("duplicate or too many members"));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{payload}.c2ln")
    }

    #[test]
    fn jwa_16_a_header_is_read_strictly() {
        let reads = |header: &str| Compact::read(&compact(header, "{}")).is_some();
        assert!(reads(r#"{"alg":"ES256"}"#));
        assert!(reads(r#"{"alg":"ES256","kid":"1","typ":"JWT","jku":"https://evil","x":[]}"#));
        for header in [
            "",
            "[]",
            "{}",
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"NONE"}"#,
            r#"{"alg":"nOnE"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":"es256"}"#,
            r#"{"alg":null}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":"ES256","crit":[]}"#,
            r#"{"alg":"ES256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":"none","alg":"ES256"}"#,
            r#"{"alg":"ES256","\u0061lg":"ES256"}"#,
            r#"{"alg":"ES256","x":1,"x":1}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"alg":"ES256","typ":null}"#,
            r#"{"alg":"ES256"} trailing"#,
        ] {
            assert!(!reads(header), "{header}");
        }
    }

    #[test]
    fn jwa_16_the_form_is_read_strictly() {
        let good = compact(r#"{"alg":"ES256"}"#, r#"{"iss":"a"}"#);
        let (signed, _) = good.rsplit_once('.').unwrap();
        assert!(Compact::read(&good).is_some());
        for broken in [
            String::new(),
            "..".to_owned(),
            signed.to_owned(),
            format!("{signed}."),
            format!("{good}.x"),
            format!("{good}="),
            format!("{good} "),
            format!(".{good}"),
            good.replace('.', ".."),
            compact(r#"{"alg":"ES256"}"#, r#"{"iss":"a","iss":"b"}"#),
            compact(r#"{"alg":"ES256"}"#, "17"),
            compact(r#"{"alg":"ES256"}"#, &"[".repeat(10_000)),
        ] {
            assert!(Compact::read(&broken).is_none(), "{broken}");
        }
        let many: Vec<String> = (0..65).map(|n| format!(r#""{n}":1"#)).collect();
        let many = compact(r#"{"alg":"ES256"}"#, &format!("{{{}}}", many.join(",")));
        assert!(Compact::read(&many).is_none());
    }

    #[test]
    fn times_are_numbers_with_or_without_a_fraction() {
        let read = |value: &str| {
            let members = Members::read(format!(r#"{{"exp":{value}}}"#).as_bytes()).unwrap();
            members.time("exp").ok().map(|time| time.unwrap().as_unix_millis())
        };
        assert_eq!(read("17"), Some(17_000));
        assert_eq!(read("17.25"), Some(17_250));
        assert_eq!(read("-1"), Some(0));
        assert_eq!(read("1e300"), Some(u64::MAX));
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        assert_eq!(read("\"17\""), None);
        assert_eq!(read("null"), None);
    }
}
