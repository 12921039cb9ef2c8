//! One signature, one key, one algorithm: right or wrong.

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm as Jwa, DecodingKey};

use crate::jose::{Algorithm, PublicKey};
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
/// Without a key of the right kind, and for an RSA signature that cannot be of the key, a key of nobody's is used
/// instead: how long a failure takes depends on what was sent, and not on who is registered.
pub(crate) fn verify(
    algorithm: Algorithm,
    key: Key<'_>,
    message: &[u8],
    signature: &Vec<u8>,
) -> bool {
    let (key, is_somebodys) = match decoding_key(algorithm, key, signature) {
        Some(key) => (key, true),
        None => (nobodys_key(algorithm, signature.len()), false),
    };
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&jwa(algorithm), &key);
    let right = verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok());
    right && is_somebodys
}

fn decoding_key(algorithm: Algorithm, key: Key<'_>, signature: &[u8]) -> Option<DecodingKey> {
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
            // Of this length, and smaller than the modulus: another one is refused before anything is computed.
        ) if n.len() == signature.len() && signature < &**n => {
            Some(DecodingKey::from_rsa_raw_components(n, e))
        }
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
            // Odd, as long as the signature, and larger than any: that no two primes make it up does not show.
            let modulus = vec![0xff; signature_len];
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    };
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::DecodingKeyKind;

    use super::*;
    use crate::jose::{Algorithms, Jwk, JwkSet};
    use crate::jwt::Compact;

    /// RFC 7515 appendix A.2.1.
    const RSA_A2: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    /// RFC 7520 section 3.3.
    const RSA_BILBO: &str = r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","e":"AQAB","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"}"#;
    /// RFC 7515 appendix A.3.1.
    const EC_A3: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    /// RFC 8037 appendix A.2.
    const ED_A2: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    /// RFC 7515 appendix A.1.1: `{"iss":"joe",` and so on, with its line breaks.
    const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    /// RFC 7520 section 4: text, and no JSON.
    const FRODO: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

    /// Key, algorithm, header, payload, signature.
    const SIGNED: [(&str, Algorithm, &str, &str, &str); 5] = [
        // RFC 7515 appendix A.2.
        (
            RSA_A2,
            Algorithm::Rs256,
            "eyJhbGciOiJSUzI1NiJ9",
            JOE,
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        // RFC 7515 appendix A.3.
        (
            EC_A3,
            Algorithm::Es256,
            "eyJhbGciOiJFUzI1NiJ9",
            JOE,
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        // RFC 7520 section 4.1.
        (
            RSA_BILBO,
            Algorithm::Rs256,
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            FRODO,
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
        // RFC 7520 section 4.2.
        (
            RSA_BILBO,
            Algorithm::Ps384,
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            FRODO,
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        // RFC 8037 appendix A.4: "Example of Ed25519 signing".
        (
            ED_A2,
            Algorithm::EdDsa,
            "eyJhbGciOiJFZERTQSJ9",
            "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];

    fn decode(base64url: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(base64url).unwrap()
    }

    /// One bit of it differs, in turn in every byte.
    fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..bytes.len()).map(|at| {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            flipped
        })
    }

    fn key(jwk: &str) -> Jwk {
        let set = JwkSet::from_json(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap();
        set.keys()[0].clone()
    }

    #[test]
    fn the_signatures_of_the_specifications_are_right_and_no_others() {
        for (jwk, algorithm, header, payload, signature) in SIGNED {
            let jwk = key(jwk);
            let public = Key::Public(jwk.key().unwrap());
            let message = format!("{header}.{payload}");
            let (message, signature) = (message.as_bytes(), decode(signature));
            assert!(jwk.fits(algorithm));
            assert!(verify(algorithm, public, message, &signature), "{algorithm:?}");
            for signature in flipped(&signature).step_by(8) {
                assert!(!verify(algorithm, public, message, &signature), "{algorithm:?}");
            }
            for message in flipped(message).step_by(8) {
                assert!(!verify(algorithm, public, &message, &signature), "{algorithm:?}");
            }
            assert!(!verify(algorithm, Key::Nobody, message, &signature), "{algorithm:?}");
            let longer = [signature.as_slice(), &[0]].concat();
            for other in [longer, signature[1..].to_vec(), Vec::new(), vec![0; signature.len()]] {
                assert!(!verify(algorithm, public, message, &other), "{algorithm:?}");
            }
            for other in Algorithms::ALL.iter().filter(|other| *other != algorithm) {
                assert!(!verify(other, public, message, &signature), "{algorithm:?} as {other:?}");
            }
        }
    }

    #[test]
    fn the_macs_of_rfc_4231_are_right_and_no_others() {
        // Test case 2. Its key is text, as a client's secret is.
        let secret = Secret::new("Jefe");
        let message = b"what do ya want for nothing?";
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        };
        for (algorithm, mac) in [
            (Algorithm::Hs256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Algorithm::Hs384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
                 8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                Algorithm::Hs512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let mac = hex(mac);
            assert!(verify(algorithm, Key::Mac(&secret), message, &mac), "{algorithm:?}");
            assert!(!verify(algorithm, Key::Mac(&Secret::new("jefe")), message, &mac));
            assert!(!verify(algorithm, Key::Nobody, message, &mac));
            for mac in flipped(&mac) {
                assert!(!verify(algorithm, Key::Mac(&secret), message, &mac), "{algorithm:?}");
            }
            for message in flipped(message) {
                assert!(!verify(algorithm, Key::Mac(&secret), &message, &mac), "{algorithm:?}");
            }
            for shorter in 0..mac.len() {
                let shorter = mac[..shorter].to_vec();
                assert!(!verify(algorithm, Key::Mac(&secret), message, &shorter));
            }
        }
    }

    #[test]
    fn the_key_of_rfc_7515_appendix_a_1_cannot_be_a_clients_secret() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let mac = decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let message = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}");
        // A secret is text (RFC 6749 appendix A.2), and this is none; so the example is verified below the secret.
        assert!(String::from_utf8(decode(key)).is_err());
        let bytes = DecodingKey::from_secret(&decode(key));
        let right = |message: &[u8], mac: &Vec<u8>| {
            let verifier = (DEFAULT_PROVIDER.verifier_factory)(&jwa(Algorithm::Hs256), &bytes);
            verifier.unwrap().verify(message, mac).is_ok()
        };
        assert!(right(message.as_bytes(), &mac));
        assert!(flipped(&mac).all(|mac| !right(message.as_bytes(), &mac)));
        assert!(flipped(message.as_bytes()).all(|message| !right(&message, &mac)));
        // Its spelling in base64url is text, and another key.
        let spelled = Secret::new(key);
        assert!(!verify(Algorithm::Hs256, Key::Mac(&spelled), message.as_bytes(), &mac));
    }

    #[test]
    fn jwa_16_the_unsecured_example_of_rfc_7515_appendix_a_5_is_refused() {
        assert!(Compact::read(&format!("eyJhbGciOiJub25lIn0.{JOE}.")).is_none());
        assert!(Compact::read(&format!("eyJhbGciOiJub25lIn0.{JOE}.AA")).is_none());
        // The same claims are read where they are signed.
        let (_, _, header, payload, signature) = SIGNED[0];
        assert!(Compact::read(&format!("{header}.{payload}.{signature}")).is_some());
    }

    #[test]
    fn jwa_17_a_key_of_one_kind_is_not_taken_for_another() {
        for (jwk, ..) in SIGNED {
            let jwk = key(jwk);
            for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
                assert!(
                    decoding_key(algorithm, Key::Public(jwk.key().unwrap()), &[0; 32]).is_none()
                );
            }
        }
        let secret = Secret::new("Jefe");
        for algorithm in Algorithms::ALL.iter() {
            assert_eq!(
                decoding_key(algorithm, Key::Mac(&secret), &[0; 64]).is_some(),
                algorithm.is_mac()
            );
            assert!(decoding_key(algorithm, Key::Nobody, &[0; 64]).is_none());
        }
    }

    #[test]
    fn nobodys_keys_accept_nothing_not_even_what_they_signed() {
        for algorithm in Algorithms::ALL.iter() {
            for len in [0, 1, 32, 64, 96, 256, 384, 512, 1_024, 5_000] {
                let signature = vec![1; len];
                assert!(!verify(algorithm, Key::Nobody, b"x", &signature), "{algorithm:?} {len}");
            }
        }
        // The private keys are known to everybody: 1, for a base point, and zeroes.
        let library_says = |algorithm, signature: &Vec<u8>| {
            let key = nobodys_key(algorithm, signature.len());
            let verifier = (DEFAULT_PROVIDER.verifier_factory)(&jwa(algorithm), &key);
            verifier.unwrap().verify(b"x", signature).is_ok()
        };
        let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
        let mac = aws_lc_rs::hmac::sign(&mac, b"x").as_ref().to_vec();
        let one = |len: usize| [vec![0; len - 1], vec![1]].concat();
        let sign = |curve, point, len| {
            let pair = EcdsaKeyPair::from_private_key_and_public_key(curve, &one(len), point);
            pair.unwrap().sign(&SystemRandom::new(), b"x").unwrap().as_ref().to_vec()
        };
        for (algorithm, signature) in [
            (Algorithm::Hs256, mac),
            (Algorithm::Es256, sign(&ECDSA_P256_SHA256_FIXED_SIGNING, P256, 32)),
            (Algorithm::Es384, sign(&ECDSA_P384_SHA384_FIXED_SIGNING, P384, 48)),
        ] {
            // So the key is one, and the work was done.
            assert!(library_says(algorithm, &signature), "{algorithm:?}");
            assert!(!verify(algorithm, Key::Nobody, b"x", &signature), "{algorithm:?}");
        }
    }

    #[test]
    fn an_rsa_signature_takes_the_same_work_whoever_it_is_from() {
        // The library refuses one that is not below the modulus at once, and would tell a modulus from nobody's.
        let jwk = key(RSA_A2);
        let Some(PublicKey::Rsa { n, .. }) = jwk.key() else { unreachable!("the example is RSA") };
        let of_key = |signature: &[u8]| {
            decoding_key(Algorithm::Ps256, Key::Public(jwk.key().unwrap()), signature).is_some()
        };
        let mut below = n.to_vec();
        below[255] -= 1;
        assert!(of_key(&below) && of_key(&[0; 256]));
        for other in [n.to_vec(), vec![0xff; 256], vec![0; 255], vec![0; 257]] {
            assert!(!of_key(&other));
        }
        // Nobody's is above all of them, but for the one that is above every key there is; and it is a key.
        for len in [256, 384, 512, 1_024] {
            let nobodys = nobodys_key(Algorithm::Ps256, len);
            let DecodingKeyKind::RsaModulusExponent { n, e } = nobodys.kind() else {
                unreachable!("it is made of numbers")
            };
            assert_eq!(*n, vec![0xff; len]);
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PSS_2048_8192_SHA256)
                .unwrap();
        }
    }
}
