//! Key sets, as clients register them (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::jose::Algorithm;

/// The public keys of one client (RFC 7517 section 5).
///
/// Keys that cannot be used are left out, as the RFC says: of an unknown type or curve, and symmetric ones among them,
/// unless they have a certificate; and so are all beyond the first 64.
///
/// ```
/// use annul::jose::{Algorithm, JwkSet};
///
/// let keys = JwkSet::from_json(
///     br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
/// )
/// .unwrap();
/// assert!(keys.select(Some("1"), Algorithm::EdDsa).is_some());
/// assert!(keys.select(Some("1"), Algorithm::Es256).is_none());
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct JwkSet(Vec<Jwk>);

/// It is not an object with an array `keys`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a JWK set")]
#[non_exhaustive]
pub struct InvalidJwkSet;

/// One public key, and what its owner says it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Jwk {
    kid: Option<Box<str>>,
    key: Option<PublicKey>,
    verifies: bool,
    algorithm: Restriction,
    certificate: Option<Box<[u8]>>,
}

/// What `alg` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Restriction {
    Anything,
    Only(Algorithm),
    /// An algorithm that signs nothing, or that this crate does not know.
    Unusable,
}

/// The numbers of a public key, big-endian.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PublicKey {
    /// A point on a curve, uncompressed: 4, then both coordinates.
    Ec {
        /// The curve.
        curve: Curve,
        /// The point.
        point: Box<[u8]>,
    },
    /// A point on Ed25519, as its 32 bytes.
    Ed25519(Box<[u8]>),
    /// An RSA key of 2048 to 8192 bits.
    Rsa {
        /// The modulus.
        n: Box<[u8]>,
        /// The exponent.
        e: Box<[u8]>,
    },
}

/// A curve (RFC 7518 section 6.2.1.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

/// Nobody rotates through more; a registration must not make every request walk a long list.
const MOST_KEYS: usize = 64;

impl JwkSet {
    /// Reads a key set.
    ///
    /// # Errors
    ///
    /// - [`InvalidJwkSet`]: not JSON, or not an object with an array `keys`.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidJwkSet> {
        let value: Value = serde_json::from_slice(json).map_err(|_| InvalidJwkSet)?;
        Self::from_value(&value)
    }

    /// Reads a key set out of metadata.
    pub(crate) fn from_value(value: &Value) -> Result<Self, InvalidJwkSet> {
        let keys = value.get("keys").and_then(Value::as_array).ok_or(InvalidJwkSet)?;
        Ok(Self(keys.iter().filter_map(Jwk::read).take(MOST_KEYS).collect()))
    }

    /// The keys that can be used.
    pub fn keys(&self) -> &[Jwk] {
        &self.0
    }

    /// Whether a key has this identifier.
    pub fn names(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid() == Some(kid))
    }

    /// The one key for a signature of `algorithm` whose header names `kid`; none where no key fits, or more than one.
    ///
    /// Without a `kid` there must be no choice (OpenID Connect Core section 10.1: "If there are multiple keys in the
    /// referenced JWK Set document, a kid value MUST be provided"). A key registered without one answers to any.
    pub fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Jwk> {
        let named = kid.filter(|kid| self.names(kid));
        let mut fitting = self.0.iter().filter(|key| {
            let answers = match (kid, named) {
                (Some(_), Some(named)) => key.kid() == Some(named),
                (Some(_), None) => key.kid().is_none(),
                (None, _) => true,
            };
            answers && key.fits(algorithm)
        });
        let first = fitting.next();
        first.filter(|_| fitting.next().is_none())
    }
}

impl Jwk {
    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let point = |curve| PublicKey::point(curve, &bytes("x")?, &bytes("y")?);
        let key = match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => point(Curve::P256),
            ("EC", Some("P-384")) => point(Curve::P384),
            ("OKP", Some("Ed25519")) => {
                let x = bytes("x").filter(|x| x.len() == 32);
                x.map(|x| PublicKey::Ed25519(x.into()))
            }
            ("RSA", _) => bytes("n").zip(bytes("e")).and_then(|(n, e)| PublicKey::rsa(&n, &e)),
            _ => None,
        };
        // RFC 7517 s4.2, s4.3: what the owner says it is for.
        let signs = text("use").is_none_or(|of| of == "sig");
        let verifies = value.get("key_ops").is_none_or(|operations| {
            operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
        });
        let algorithm = match text("alg") {
            Some(name) => {
                Algorithm::from_name(name).map_or(Restriction::Unusable, Restriction::Only)
            }
            None => Restriction::Anything,
        };
        // RFC 7517 s4.7: base64, not base64url; the key's own certificate comes first.
        let certificate = value.pointer("/x5c/0").and_then(Value::as_str);
        let certificate = certificate.and_then(|base64| STANDARD.decode(base64).ok());
        (key.is_some() || certificate.is_some()).then(|| Self {
            kid: text("kid").map(Into::into),
            key,
            verifies: signs && verifies,
            algorithm,
            certificate: certificate.map(Into::into),
        })
    }

    /// Its identifier (`kid`).
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its numbers; none where it is of a type that is not known here, and only its certificate can be used.
    pub const fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Its certificate (the first of `x5c`), in DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Whether it may verify signatures of this algorithm: by its type and curve, its `use`, `key_ops` and `alg`.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let Some(key) = &self.key else {
            return false;
        };
        let of_its_type = match (key, algorithm) {
            (PublicKey::Ec { curve: Curve::P256, .. }, Algorithm::Es256)
            | (PublicKey::Ec { curve: Curve::P384, .. }, Algorithm::Es384)
            | (PublicKey::Ed25519(_), Algorithm::EdDsa)
            | (
                PublicKey::Rsa { .. },
                Algorithm::Ps256
                | Algorithm::Ps384
                | Algorithm::Ps512
                | Algorithm::Rs256
                | Algorithm::Rs384
                | Algorithm::Rs512,
            ) => true,
            (PublicKey::Ec { .. } | PublicKey::Ed25519(_) | PublicKey::Rsa { .. }, _) => false,
        };
        let allowed = match self.algorithm {
            Restriction::Anything => true,
            Restriction::Only(only) => only == algorithm,
            Restriction::Unusable => false,
        };
        of_its_type && allowed && self.verifies
    }
}

impl PublicKey {
    fn point(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        let len = match curve {
            Curve::P256 => 32,
            Curve::P384 => 48,
        };
        let whole = x.len() == len && y.len() == len;
        whole.then(|| Self::Ec { curve, point: [&[4], x, y].concat().into() })
    }

    fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let n = without_leading_zeros(n);
        let e = without_leading_zeros(e);
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        // RFC 7518 s3.3: "A key of size 2048 bits or larger MUST be used".
        let sound = (2048..=8192).contains(&bits) && (1..=8).contains(&e.len());
        sound.then(|| Self::Rsa { n: n.into(), e: e.into() })
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn ed(members: &str) -> String {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"{members}}}"#)
    }

    fn set(keys: &[String]) -> JwkSet {
        JwkSet::from_json(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn what_is_no_key_set_is_refused_and_what_is_no_key_is_left_out() {
        for broken in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":"x"}"#] {
            assert_eq!(JwkSet::from_json(broken.as_bytes()), Err(InvalidJwkSet), "{broken}");
        }
        let small = URL_SAFE_NO_PAD.encode([0xff; 128]);
        let keys = [
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(),
            format!(r#"{{"kty":"RSA","n":"{small}","e":"AQAB"}}"#),
            "17".to_owned(),
        ];
        assert!(set(&keys).keys().is_empty());
        // Its certificate can be compared all the same.
        let certified = set(&[r#"{"kty":"EC","crv":"P-521","x5c":["MAMCAQA="]}"#.to_owned()]);
        assert_eq!(
            certified.keys().first().and_then(Jwk::certificate),
            Some(&[0x30, 3, 2, 1, 0][..])
        );
        assert!(certified.select(None, Algorithm::Es384).is_none());
        assert_eq!(set(&vec![ed(""); 100]).keys().len(), MOST_KEYS);
    }

    #[test]
    fn jwa_20_use_key_ops_and_alg_are_respected() {
        for (members, fits) in [
            ("", true),
            (r#","use":"sig""#, true),
            (r#","use":"enc""#, false),
            (r#","key_ops":["verify"]"#, true),
            (r#","key_ops":["sign"]"#, false),
            (r#","key_ops":"verify""#, false),
            (r#","alg":"EdDSA""#, true),
            (r#","alg":"Ed25519""#, true),
            (r#","alg":"ES256""#, false),
            (r#","alg":"RSA-OAEP""#, false),
            (r#","use":"sig","key_ops":["wrapKey"]"#, false),
        ] {
            let keys = set(&[ed(members)]);
            assert_eq!(keys.select(None, Algorithm::EdDsa).is_some(), fits, "{members}");
        }
    }

    #[test]
    fn jwa_20_a_key_is_chosen_by_its_identifier_and_never_among_several() {
        let (one, two) = (ed(r#","kid":"1""#), ed(r#","kid":"2""#));
        let both = set(&[one.clone(), two]);
        assert_eq!(both.select(Some("2"), Algorithm::EdDsa).and_then(Jwk::kid), Some("2"));
        assert!(both.select(Some("3"), Algorithm::EdDsa).is_none());
        assert!(both.select(None, Algorithm::EdDsa).is_none());
        assert!(set(std::slice::from_ref(&one)).select(None, Algorithm::EdDsa).is_some());
        assert!(set(&[one.clone(), one]).select(Some("1"), Algorithm::EdDsa).is_none());
        // A key without an identifier answers to any; unless another is called by it.
        assert!(set(&[ed("")]).select(Some("x"), Algorithm::EdDsa).is_some());
    }
}
