//! One signature, one key, one algorithm: right or wrong.

use jsonwebtoken::Algorithm as Jwa;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use crate::jose::Algorithm;
use crate::jose::PublicKey;
use crate::secret::Secret;

/// What a signature is verified with.
#[derive(Clone, Copy)]
pub(crate) enum Key<'k> {
    Mac(&'k Secret),
    /// Nobody's: the work is done, and the answer is no.
    Nobody,
    Public(&'k PublicKey),
}

/// Whether `signature` is the key's over `message`.
///
/// Without a key of the right kind, and for an RSA signature that is not as long as the key, a key of nobody's is used
/// instead: how long a failure takes depends on what was sent, and not on who is registered.
pub(crate) fn verify(
    algorithm: Algorithm,
    key: Key<'_>,
    message: &[u8],
    signature: &Vec<u8>,
) -> bool {
    let (key, is_somebodys) = match decoding_key(algorithm, key, signature.len()) {
        Some(key) => (key, true),
        None => (nobodys_key(algorithm, signature.len()), false),
    };
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&jwa(algorithm), &key);
    let right = verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok());
    right && is_somebodys
}

fn decoding_key(algorithm: Algorithm, key: Key<'_>, signature_len: usize) -> Option<DecodingKey> {
    match (key, algorithm) {
        // RFC 7518 s3.2; OpenID Connect Core s9: "the octets of the UTF-8 representation of the client_secret".
        (Key::Mac(secret), Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512) => {
            Some(DecodingKey::from_secret(secret.expose_secret().as_bytes()))
        }
        (Key::Public(PublicKey::Ec { point, .. }), Algorithm::Es256 | Algorithm::Es384) => {
            Some(DecodingKey::from_ec_der(point))
        }
        (Key::Public(PublicKey::Ed25519(x)), Algorithm::EdDsa) => Some(DecodingKey::from_ed_der(x)),
        (
            Key::Public(PublicKey::Rsa { n, e }),
            Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512,
        ) if n.len() == signature_len => Some(DecodingKey::from_rsa_raw_components(n, e)),
        (Key::Mac(_) | Key::Nobody | Key::Public(_), _) => None,
    }
}

/// The base point of P-256, uncompressed (FIPS 186-4 appendix D.1.2.3).
const P256: &[u8] = b"\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

/// The base point of P-384, uncompressed (FIPS 186-4 appendix D.1.2.4).
const P384: &[u8] = b"\x04\
    \xaa\x87\xca\x22\xbe\x8b\x05\x37\x8e\xb1\xc7\x1e\xf3\x20\xad\x74\x6e\x1d\x3b\x62\x8b\xa7\x9b\x98\
    \x59\xf7\x41\xe0\x82\x54\x2a\x38\x55\x02\xf2\x5d\xbf\x55\x29\x6c\x3a\x54\x5e\x38\x72\x76\x0a\xb7\
    \x36\x17\xde\x4a\x96\x26\x2c\x6f\x5d\x9e\x98\xbf\x92\x92\xdc\x29\xf8\xf4\x1d\xbd\x28\x9a\x14\x7c\
    \xe9\xda\x31\x13\xb5\xf0\xb8\xc0\x0a\x60\xb1\xce\x1d\x7e\x81\x9d\x7a\x43\x1d\x7c\x90\xea\x0e\x5f";

/// The base point of Ed25519 (RFC 8032 section 5.1).
const ED25519: [u8; 32] = {
    let mut y = [0x66; 32];
    y[0] = 0x58;
    y
};

/// A key that verifies nothing, as expensive as one that would.
fn nobodys_key(algorithm: Algorithm, signature_len: usize) -> DecodingKey {
    match algorithm {
        Algorithm::Es256 => DecodingKey::from_ec_der(P256),
        Algorithm::Es384 => DecodingKey::from_ec_der(P384),
        Algorithm::EdDsa => DecodingKey::from_ed_der(&ED25519),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            DecodingKey::from_secret(&[0; 32])
        }
        Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512 => {
            // Odd, and as long as the signature, as the modulus of a real key would be: that no two primes make it up does not
            // show.
            let modulus = vec![0xc5; signature_len];
            DecodingKey::from_rsa_raw_components(&modulus, &[1, 0, 1])
        }
    }
}

const fn jwa(algorithm: Algorithm) -> Jwa {
    match algorithm {
        Algorithm::Es256 => Jwa::ES256,
        Algorithm::Es384 => Jwa::ES384,
        Algorithm::EdDsa => Jwa::EdDSA,
        Algorithm::Hs256 => Jwa::HS256,
        Algorithm::Hs384 => Jwa::HS384,
        Algorithm::Hs512 => Jwa::HS512,
        Algorithm::Ps256 => Jwa::PS256,
        Algorithm::Ps384 => Jwa::PS384,
        Algorithm::Ps512 => Jwa::PS512,
        Algorithm::Rs256 => Jwa::RS256,
        Algorithm::Rs384 => Jwa::RS384,
        Algorithm::Rs512 => Jwa::RS512,
    }
}
