//! Signs assertions as clients do: keys made when the tests run, JWTs put together by hand, and nothing of the crate
//! that is tested.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, signature};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::support::START;

pub(crate) const ISSUER: &str = "https://as.example";

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client signs with.
#[derive(Debug)]
pub(crate) enum SigningKey {
    Ec { pair: EcdsaKeyPair, curve: &'static str },
    Ed25519(Ed25519KeyPair),
    Mac(Vec<u8>),
    Rsa(RsaKeyPair),
}

pub(crate) static ED25519: LazyLock<SigningKey> = LazyLock::new(SigningKey::ed25519);
pub(crate) static P256: LazyLock<SigningKey> = LazyLock::new(SigningKey::p256);
pub(crate) static P384: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::Ec {
    pair: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
    curve: "P-384",
});
pub(crate) static RSA: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

impl SigningKey {
    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::Ec { pair, curve: "P-256" }
    }

    pub(crate) fn mac(key: impl AsRef<[u8]>) -> Self {
        Self::Mac(key.as_ref().to_vec())
    }

    /// A signature, or a MAC, of the algorithm of this name.
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec { pair, .. } => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Mac(key) => {
                let algorithm = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let encoding: &'static dyn signature::RsaEncoding = match algorithm {
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The public half (RFC 7517), without a `kid`.
    pub(crate) fn jwk(&self) -> Value {
        match self {
            Self::Ec { pair, curve } => {
                // Uncompressed: 4, then both coordinates.
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key()) })
            }
            Self::Mac(key) => json!({ "kty": "oct", "k": base64url(key) }),
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero().to_vec();
                let e = public.exponent().big_endian_without_leading_zero().to_vec();
                json!({ "kty": "RSA", "n": base64url(n), "e": base64url(e) })
            }
        }
    }

    /// The public half with these members besides.
    pub(crate) fn jwk_with(&self, members: Value) -> Value {
        let mut jwk = self.jwk();
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        jwk
    }

    /// Every form in which the public half might be taken for the key of a MAC.
    pub(crate) fn public_bytes(&self) -> Vec<Vec<u8>> {
        let (raw, der): (Vec<u8>, Vec<u8>) = match self {
            Self::Ec { pair, .. } => (pair.public_key().as_ref().to_vec(), spki(pair.public_key())),
            Self::Ed25519(pair) => (pair.public_key().as_ref().to_vec(), spki(pair.public_key())),
            Self::Mac(_) => (Vec::new(), Vec::new()),
            // As PKCS #1 has it.
            Self::Rsa(pair) => (pair.public_key().as_ref().to_vec(), spki(pair.public_key())),
        };
        let jwk = self.jwk();
        let text = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
        let main = [text("n"), text("x")].concat();
        let pem = |label: &str, der: &[u8], end: &str| {
            let lines: Vec<String> = STANDARD
                .encode(der)
                .as_bytes()
                .chunks(64)
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect();
            let lines = lines.join("\n");
            format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----{end}").into_bytes()
        };
        vec![
            pem("PUBLIC KEY", &der, "\n"),
            pem("PUBLIC KEY", &der, ""),
            pem("RSA PUBLIC KEY", &raw, "\n"),
            STANDARD.encode(&der).into_bytes(),
            URL_SAFE_NO_PAD.decode(&main).unwrap(),
            main.into_bytes(),
            jwk.to_string().into_bytes(),
            jwks([jwk]).into_bytes(),
            raw,
            der,
            Vec::new(),
            vec![0; 32],
        ]
    }
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}

/// A key set, as clients register it.
pub(crate) fn jwks(keys: impl IntoIterator<Item = Value>) -> String {
    json!({ "keys": keys.into_iter().collect::<Vec<Value>>() }).to_string()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A name that no other call in this process gets.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}{}", COUNT.fetch_add(1, SeqCst))
}

/// The compact serialization (RFC 7515 section 7.1) of whatever is given, signed.
pub(crate) fn compact(header: &str, payload: &str, algorithm: &str, key: &SigningKey) -> String {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    let signature = base64url(key.sign(algorithm, message.as_bytes()));
    format!("{message}.{signature}")
}

/// An assertion that is right in every respect, until a test says otherwise.
#[derive(Clone)]
pub(crate) struct Assertion<'k> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    algorithm: &'static str,
    key: &'k SigningKey,
}

impl<'k> Assertion<'k> {
    /// Of this client, addressed to the issuer, good for a minute from [`START`].
    pub(crate) fn of(client: &str, algorithm: &'static str, key: &'k SigningKey) -> Self {
        let claims = json!({
            "iss": client,
            "sub": client,
            "aud": ISSUER,
            "exp": START.as_unix_seconds() + 60,
            "jti": unique("jti-"),
        });
        let header = json!({ "alg": algorithm });
        let members = |value: Value| value.as_object().unwrap().clone();
        Self { header: members(header), claims: members(claims), algorithm, key }
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.remove(name).unwrap();
        self
    }

    /// A claim with so many seconds from [`START`].
    pub(crate) fn seconds(self, name: &str, from_start: i64) -> Self {
        self.claim(name, START.as_unix_seconds().checked_add_signed(from_start).unwrap())
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn signed_by<'l>(self, key: &'l SigningKey) -> Assertion<'l> {
        let Self { header, claims, algorithm, .. } = self;
        Assertion { header, claims, algorithm, key }
    }

    pub(crate) fn jwt(&self) -> String {
        self.encode(&Value::from(self.header.clone()).to_string(), &self.payload())
    }

    /// The claims, as JSON.
    pub(crate) fn payload(&self) -> String {
        Value::from(self.claims.clone()).to_string()
    }

    /// With another header or payload than it would have; signed all the same.
    pub(crate) fn encode(&self, header: &str, payload: &str) -> String {
        compact(header, payload, self.algorithm, self.key)
    }
}

/// The parameters that present this assertion.
pub(crate) fn presenting(assertion: &str) -> String {
    parameters(&[("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)])
}

/// A form.
pub(crate) fn parameters(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
