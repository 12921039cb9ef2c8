//! Signatures, MACs and their algorithms.

use std::time::Duration;

use annul::Policy;
use annul::client::{AuthMethod, Client, ClientMetadata, InvalidMetadata};
use annul::jose::{Algorithm, Algorithms};
use aws_lc_rs::signature;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::doubles::policy;
use crate::rfc7523::{
    SECRET, accepts, accepts_form, assertions, job, server, server_for, server_of, server_with,
    with_keys, with_secret,
};
use crate::signer::{
    Assertion, ED25519, P256, P384, RSA, SigningKey, base64url, compact, jwks, parameters,
    presenting, unique,
};
use crate::support::START;

#[tokio::test]
async fn jwa_16_what_is_not_signed_is_refused() {
    let server = server();
    let mac = SigningKey::mac(SECRET);
    for (client, algorithm, key) in
        [("job", "EdDSA", &*ED25519), ("rsa", "RS256", &*RSA), ("mac", "HS256", &mac)]
    {
        let assertion = Assertion::of(client, algorithm, key);
        assert!(accepts(&server, client, &assertion.jwt()).await);
        let assertion = assertion.claim("jti", unique("unsigned-"));
        let payload = assertion.payload();
        for none in ["none", "None", "NONE", "nOnE", "none ", "\u{6e}one", "", "null", "HS0"] {
            let header = json!({ "alg": none }).to_string();
            let message = format!("{}.{}", base64url(&header), base64url(&payload));
            assert!(!accepts(&server, client, &format!("{message}.")).await, "{none}");
            assert!(!accepts(&server, client, &message).await, "{none}");
            assert!(!accepts(&server, client, &format!("{message}.AA")).await, "{none}");
            // Signed, but the header says that it is not.
            assert!(
                !accepts(&server, client, &assertion.encode(&header, &payload)).await,
                "{none}"
            );
        }
        let jwt = assertion.jwt();
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let another = assertion.clone().claim("scope", "admin").payload();
        let (header, _) = message.split_once('.').unwrap();
        for broken in [
            message.to_owned(),
            format!("{message}."),
            format!("{message}.{}", base64url(flipped)),
            format!("{message}.{}", base64url(vec![0; bytes.len()])),
            format!("{message}.{}", base64url(&bytes[..bytes.len() - 1])),
            format!("{message}.{}", base64url([bytes.as_slice(), &[0]].concat())),
            format!("{message}.{}", base64url([&[0], bytes.as_slice()].concat())),
            format!("{header}.{}.{signature}", base64url(another)),
            format!("{}.{signature}", jwt.split_once('.').unwrap().1),
        ] {
            assert!(!accepts(&server, client, &broken).await, "{broken}");
        }
        assert!(accepts(&server, client, &jwt).await);
    }
}

#[tokio::test]
async fn jwa_16_what_can_be_read_in_two_ways_is_refused() {
    let server = server();
    let fresh = || {
        let assertion = job();
        (assertion.payload(), assertion)
    };
    let header = r#"{"alg":"EdDSA"}"#;
    for header in [
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"none","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"1","kid":"1"}"#,
        r#"{"alg":"EdDSA","crit":["x"],"x":1}"#,
        r#"{"alg":"EdDSA","crit":[]}"#,
        r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"alg":"eddsa"}"#,
        r#"{"typ":"JWT"}"#,
        r#"["EdDSA"]"#,
        r#"{"alg":"EdDSA"}{}"#,
        "",
    ] {
        let (payload, assertion) = fresh();
        assert!(!accepts(&server, "job", &assertion.encode(header, &payload)).await, "{header}");
    }
    for more in [
        r#""sub":"job""#,
        r#""sub":"job2""#,
        r#""iss":"job""#,
        r#""aud":"https://evil.example""#,
        r#""exp":1800000060"#,
        r#""jti":"x""#,
        r#""\u0073ub":"job""#,
        r#""x":1,"x":2"#,
    ] {
        let (payload, assertion) = fresh();
        let (open, rest) = (&payload[..1], &payload[1..]);
        for payload in [format!("{open}{more},{rest}"), payload.replace('}', &format!(",{more}}}"))]
        {
            assert!(
                !accepts(&server, "job", &assertion.encode(header, &payload)).await,
                "{payload}"
            );
        }
    }
    for payload in ["", "[]", "17", "\"job\"", "null", "{", &"[".repeat(50_000)] {
        let (_, assertion) = fresh();
        let named = presenting(&assertion.encode(header, payload)) + "&client_id=job";
        assert!(!accepts_form(&server, "job", &named).await);
    }
    // What JSON allows is not forbidden: spaces, and members in any order.
    let (payload, assertion) = fresh();
    let spaced = payload.replace(':', " : ").replace(" : //", "://").replace(',', " ,\r\n\t");
    let jwt = assertion.encode("{ \"alg\" : \"EdDSA\" }", &spaced);
    assert!(accepts(&server, "job", &jwt).await);
}

#[tokio::test]
async fn jwa_16_other_serializations_are_refused() {
    let server = server();
    let jwt = job().jwt();
    let parts: Vec<&str> = jwt.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let flattened = json!({ "protected": header, "payload": payload, "signature": signature });
    let general = json!({
        "payload": payload,
        "signatures": [{ "protected": header, "signature": signature }],
    });
    let nested = compact(r#"{"alg":"EdDSA","cty":"JWT"}"#, &jwt, "EdDSA", &ED25519);
    let jwe = base64url(r#"{"alg":"dir","enc":"A256GCM"}"#);
    let mut last = signature.to_owned();
    // The last character of 64 bytes holds two bits and four that must be zero.
    let end = last.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(end).unwrap();
    last.push(alphabet.as_bytes()[index ^ 1].into());
    for other in [
        flattened.to_string(),
        general.to_string(),
        nested,
        format!("{jwe}..{header}.{payload}.{signature}"),
        format!("{jwe}.{header}.{payload}.{signature}.AA"),
        format!("{jwt}.AA.AA"),
        format!("{jwt}."),
        format!(".{jwt}"),
        format!("{header}..{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}.{last}"),
        format!("{header}=.{payload}.{signature}"),
        jwt.replace('.', " ."),
        format!("{jwt}\n"),
        format!("{jwt}\0"),
        format!("Bearer {jwt}"),
        format!("\"{jwt}\""),
        format!("{jwt} {jwt}"),
    ] {
        assert!(!accepts(&server, "job", &other).await, "{other}");
    }
    assert!(accepts(&server, "job", &jwt).await);
}

#[tokio::test]
async fn jwa_16_a_signature_is_of_one_form() {
    // RFC 7518 s3.4: both numbers at full length, and not as ASN.1 has them.
    let SigningKey::Ec { pair, .. } = &*P256 else { unreachable!("P256 is on a curve") };
    let pkcs8 = pair.to_pkcs8v1().unwrap();
    let asn1 = signature::EcdsaKeyPair::from_pkcs8(
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        pkcs8.as_ref(),
    );
    let asn1 = SigningKey::Ec { pair: asn1.unwrap(), curve: "P-256" };
    let server = server();
    let assertion = Assertion::of("p256", "ES256", &P256);
    assert!(!accepts(&server, "p256", &assertion.clone().signed_by(&asn1).jwt()).await);
    // Zeroes are not the signature of everything (CVE-2022-21449).
    let jwt = assertion.jwt();
    let (message, _) = jwt.rsplit_once('.').unwrap();
    for zeroes in [vec![0; 64], [[0; 31].as_slice(), &[1], &[0; 31], &[1]].concat()] {
        assert!(!accepts(&server, "p256", &format!("{message}.{}", base64url(zeroes))).await);
    }
    assert!(accepts(&server, "p256", &jwt).await);
}

#[tokio::test]
async fn jwa_17_a_public_key_is_no_secret() {
    let server = server();
    let mut tried = 0;
    for (client, key) in [("rsa", &*RSA), ("p256", &*P256), ("p384", &*P384), ("job", &*ED25519)] {
        for bytes in key.public_bytes() {
            let mac = SigningKey::mac(bytes);
            for algorithm in ["HS256", "HS384", "HS512"] {
                let jwt = Assertion::of(client, algorithm, &mac).jwt();
                assert!(!accepts(&server, client, &jwt).await, "{client} {algorithm}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 4 * 12 * 3);
    // The other way round: the key of `mac` is its secret, however it is spelled, and no public key that it registered too.
    let metadata = ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
    let metadata = metadata.with_jwks(&jwks([ED25519.jwk()])).unwrap();
    let server = server_for([Client::new(metadata).secret(SECRET)]);
    for bytes in ED25519.public_bytes() {
        let jwt = Assertion::of("mac", "HS256", &SigningKey::mac(bytes)).jwt();
        assert!(!accepts(&server, "mac", &jwt).await);
    }
    assert!(!accepts(&server, "mac", &Assertion::of("mac", "EdDSA", &ED25519).jwt()).await);
    assert!(
        accepts(&server, "mac", &Assertion::of("mac", "HS256", &SigningKey::mac(SECRET)).jwt())
            .await
    );
}

#[tokio::test]
async fn jwa_17_macs_and_signatures_do_not_stand_for_each_other() {
    let keys = with_keys("keys", [ED25519.jwk()]).secret(SECRET);
    let metadata = |id: &str, method| ClientMetadata::new(id, method);
    let basic = Client::new(metadata("basic", AuthMethod::ClientSecretBasic)).secret(SECRET);
    let post = Client::new(metadata("post", AuthMethod::ClientSecretPost)).secret(SECRET);
    let with_set =
        |id: &str, method| metadata(id, method).with_jwks(&jwks([ED25519.jwk()])).unwrap();
    let all = [
        keys,
        basic,
        post,
        Client::new(with_set("public", AuthMethod::None)),
        Client::new(with_set("tls", AuthMethod::SelfSignedTlsClientAuth)).secret(SECRET),
        Client::new(with_set("mac", AuthMethod::ClientSecretJwt)).secret(SECRET),
    ];
    let server = server_for(all);
    let secret = SigningKey::mac(SECRET);
    for client in ["keys", "basic", "post", "public", "tls"] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let jwt = Assertion::of(client, algorithm, &secret).jwt();
            assert!(!accepts(&server, client, &jwt).await, "{client} {algorithm}");
        }
    }
    for client in ["basic", "post", "public", "tls", "mac"] {
        let jwt = Assertion::of(client, "EdDSA", &ED25519).jwt();
        assert!(!accepts(&server, client, &jwt).await, "{client}");
    }
    assert!(accepts(&server, "keys", &Assertion::of("keys", "EdDSA", &ED25519).jwt()).await);
    assert!(accepts(&server, "mac", &Assertion::of("mac", "HS256", &secret).jwt()).await);
    // And a client registered for an assertion has no other way in: a leaked secret opens no side door.
    for client in ["keys", "mac"] {
        let body = parameters(&[("client_id", client), ("client_secret", SECRET)]);
        assert!(!accepts_form(&server, client, &body).await);
        assert!(!accepts_form(&server, client, &format!("client_id={client}")).await);
    }
}

#[tokio::test]
async fn jwa_17_the_key_of_a_mac_is_the_secret_and_only_a_live_one() {
    let metadata = || ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
    let digested = annul::client::SecretDigest::of("digested");
    let rotating = Client::new(metadata())
        .secret_until("old", START + Duration::from_secs(10))
        .secret_until("over", START)
        .secret_digest(digested, None)
        .secret("new")
        .secret("newer");
    let server = server_for([rotating, with_secret("mac2", "theirs")]);
    let by = |key: SigningKey| Assertion::of("mac", "HS256", &key).jwt();
    for (secret, before, after) in [
        ("old", true, false),
        ("over", false, false),
        ("new", true, true),
        ("newer", true, true),
        ("digested", false, false),
        ("theirs", false, false),
        ("NEW", false, false),
        ("", false, false),
    ] {
        server.clock.set(START);
        assert_eq!(accepts(&server, "mac", &by(SigningKey::mac(secret))).await, before, "{secret}");
        server.clock.advance(Duration::from_secs(10));
        assert_eq!(accepts(&server, "mac", &by(SigningKey::mac(secret))).await, after, "{secret}");
    }
    // Neither what a database has instead of it, nor another spelling of its bytes.
    let digest = annul::client::SecretDigest::of("new");
    for bytes in [digest.as_bytes().to_vec(), base64url("new").into_bytes(), b"bmV3".to_vec()] {
        assert!(!accepts(&server, "mac", &by(SigningKey::mac(bytes))).await);
    }
    // One that was digested alone cannot serve, and a client without any has none: not an empty one either.
    let server = server_for([Client::new(metadata())]);
    for nothing in [Vec::new(), vec![0; 32]] {
        assert!(!accepts(&server, "mac", &by(SigningKey::mac(nothing))).await);
    }
}

#[tokio::test]
async fn cli_17_a_disabled_client_proves_nothing_elsewhere_either() {
    let assertions = assertions();
    let policy = Policy::default().assertions;
    let client = with_keys("job", [ED25519.jwk()]);
    let jwt = job().jwt();
    let disabled = client.clone().disabled();
    assert!(!assertions.verify(Some(&disabled), &jwt, &policy, START).await.unwrap());
    // And uses nothing up.
    assert!(assertions.verify(Some(&client), &jwt, &policy, START).await.unwrap());
}

#[tokio::test]
async fn jwa_18_a_registered_algorithm_is_the_only_one() {
    let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for pinned in algorithms {
        let mut metadata = ClientMetadata::new("rsa", AuthMethod::PrivateKeyJwt);
        metadata.token_endpoint_auth_signing_alg = Some(pinned.to_owned());
        let server = server_for([Client::new(metadata.with_jwks(&jwks([RSA.jwk()])).unwrap())]);
        for algorithm in algorithms {
            let jwt = Assertion::of("rsa", algorithm, &RSA).jwt();
            assert_eq!(accepts(&server, "rsa", &jwt).await, algorithm == pinned, "{algorithm}");
        }
    }
    let secret = SigningKey::mac(SECRET);
    for pinned in ["HS256", "HS384", "HS512"] {
        let mut metadata = ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
        metadata.token_endpoint_auth_signing_alg = Some(pinned.to_owned());
        let server = server_for([Client::new(metadata).secret(SECRET)]);
        for algorithm in ["HS256", "HS384", "HS512"] {
            let jwt = Assertion::of("mac", algorithm, &secret).jwt();
            assert_eq!(accepts(&server, "mac", &jwt).await, algorithm == pinned, "{algorithm}");
        }
    }
    // Two names of one algorithm; and what this crate does not know, or what signs nothing, lets nobody in.
    for (pinned, accepted) in [
        ("EdDSA", true),
        ("Ed25519", true),
        ("ES256", false),
        ("HS256", false),
        ("none", false),
        ("ES512", false),
        ("Ed448", false),
        ("eddsa", false),
        ("", false),
        ("ML-DSA-44", false),
    ] {
        let mut metadata = ClientMetadata::new("job", AuthMethod::PrivateKeyJwt);
        metadata.token_endpoint_auth_signing_alg = Some(pinned.to_owned());
        let server = server_for([Client::new(metadata.with_jwks(&jwks([ED25519.jwk()])).unwrap())]);
        for name in ["EdDSA", "Ed25519"] {
            let jwt = Assertion::of("job", name, &ED25519).jwt();
            assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{pinned} {name}");
        }
    }
}

#[test]
fn jwa_18_metadata_with_an_unusable_algorithm_is_invalid() {
    for method in [AuthMethod::PrivateKeyJwt, AuthMethod::ClientSecretJwt] {
        for (name, valid) in [("RS256", true), ("HS512", true), ("none", false), ("x", false)] {
            let mut metadata = ClientMetadata::new("job", method);
            metadata.token_endpoint_auth_signing_alg = Some(name.to_owned());
            let expected = if valid { Ok(()) } else { Err(InvalidMetadata::SigningAlgorithm) };
            assert_eq!(metadata.validate(), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn jwa_19_every_algorithm_is_verified() {
    let server = server();
    let secret = SigningKey::mac(SECRET);
    let by_key: [(&str, &SigningKey, &[&'static str]); 5] = [
        ("rsa", &RSA, &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        ("p256", &P256, &["ES256"]),
        ("p384", &P384, &["ES384"]),
        ("job", &ED25519, &["EdDSA", "Ed25519"]),
        ("mac", &secret, &["HS256", "HS384", "HS512"]),
    ];
    let all = by_key.iter().flat_map(|(.., algorithms)| algorithms.iter().copied());
    let all: Vec<&'static str> = all.collect();
    for (client, key, own) in by_key {
        for algorithm in own {
            let assertion = Assertion::of(client, algorithm, key);
            let jwt = assertion.jwt();
            // Signed by one algorithm, and said to be by another: of the same key, or of other ones.
            for other in all.iter().filter(|other| *other != algorithm) {
                if Algorithm::from_name(other) == Algorithm::from_name(algorithm) {
                    continue;
                }
                let jwt = assertion.clone().header("alg", *other).jwt();
                assert!(!accepts(&server, client, &jwt).await, "{algorithm} as {other}");
            }
            assert!(accepts(&server, client, &jwt).await, "{algorithm}");
            assert!(!accepts(&server, client, &jwt).await, "{algorithm} again");
        }
    }
    for unknown in
        ["ES512", "ES256K", "Ed448", "RS1", "HS1", "RSA-OAEP", "dir", "ML-DSA-65", "es256"]
    {
        let jwt = Assertion::of("p256", "ES256", &P256).header("alg", unknown).jwt();
        assert!(!accepts(&server, "p256", &jwt).await, "{unknown}");
    }
}

#[tokio::test]
async fn jwa_19_a_policy_narrows_the_algorithms() {
    // FAPI 2.0 s5.4.1.
    let server = server_with(|policy| policy.assertions.algorithms = Algorithms::FAPI2);
    let secret = SigningKey::mac(SECRET);
    for (client, algorithm, key, accepted) in [
        ("rsa", "PS256", &*RSA, true),
        ("p256", "ES256", &*P256, true),
        ("job", "EdDSA", &*ED25519, true),
        ("rsa", "RS256", &*RSA, false),
        ("rsa", "RS512", &*RSA, false),
        ("rsa", "PS384", &*RSA, false),
        ("p384", "ES384", &*P384, false),
        ("mac", "HS256", &secret, false),
    ] {
        let jwt = Assertion::of(client, algorithm, key).jwt();
        assert_eq!(accepts(&server, client, &jwt).await, accepted, "{algorithm}");
    }
    // What the client registered does not widen what the policy has.
    let mut metadata = ClientMetadata::new("rsa", AuthMethod::PrivateKeyJwt);
    metadata.token_endpoint_auth_signing_alg = Some("RS256".to_owned());
    let client = Client::new(metadata.with_jwks(&jwks([RSA.jwk()])).unwrap());
    let fapi = policy(|policy| policy.assertions.algorithms = Algorithms::FAPI2);
    let server = server_of([client], fapi, assertions());
    for algorithm in ["RS256", "PS256"] {
        assert!(!accepts(&server, "rsa", &Assertion::of("rsa", algorithm, &RSA).jwt()).await);
    }
    let none = server_with(|policy| policy.assertions.algorithms = Algorithms::of(&[]));
    assert!(!accepts(&none, "job", &job().jwt()).await);
}

/// A test key of 1024 bits, and an assertion of `weak` that it signed, good until a minute after [`START`]: the library
/// that signs the others makes no such key.
const WEAK_MODULUS: &str = "yT7-ixSsZh9EISLqshlaUa-eDGVo9DrMSMQaxCs_tkVI1HFOcq2kdRZnzLlBWb9w_IzEB7VvGGSWD7UQIovpftml2OSXiCjvqOKXOIOaCWltpN0PVVDEh1vuu3BZQh7fp_-B-Ts1EJj7XJKcppOhCfuQnLwwJj4CBVYvf_oJwxM";
const WEAKLY_SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ3ZWFrIiwic3ViIjoid2VhayIsImF1ZCI6Imh0dHBzOi8vYXMuZXhhbXBsZSIsImV4cCI6MTgwMDAwMDA2MCwianRpIjoid2Vhay0xIn0.s1RdwbHfk9KOMgiXcERjJUFBys_4d8SVimOBxoIiaxW9rDEixrxsejBiOEayCa57EeDiN18Byzb_q2ugAy5ZhP8R5n3leiwwjWxaYhUTbl3zKINLyZisZi4161AzhmRhMSwVEzHv97vTAJskac6yX86TVUk57bIM4FS7IknnRpo";

#[tokio::test]
async fn jwa_19_small_and_trivial_rsa_keys_are_refused() {
    let weak = json!({ "kty": "RSA", "n": WEAK_MODULUS, "e": "AQAB" });
    // The signature is right: a library that minds no size says so.
    let (message, signature) = WEAKLY_SIGNED.rsplit_once('.').unwrap();
    let (n, e) = (URL_SAFE_NO_PAD.decode(WEAK_MODULUS).unwrap(), [1, 0, 1]);
    let components = signature::RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
    let legacy = &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    let right = URL_SAFE_NO_PAD.decode(signature).unwrap();
    components.verify(legacy, message.as_bytes(), &right).unwrap();
    let server = server_for([with_keys("weak", [weak])]);
    assert!(!accepts(&server, "weak", WEAKLY_SIGNED).await);
    // It stays too small where a certificate stands beside it.
    let certified = json!({ "kty": "RSA", "n": WEAK_MODULUS, "e": "AQAB", "x5c": ["MAMCAQA="] });
    let server = server_for([with_keys("weak", [certified])]);
    assert!(!accepts(&server, "weak", WEAKLY_SIGNED).await);
    // Zeroes before it do not make it longer.
    let padded = base64url([vec![0; 128], n].concat());
    let padded = json!({ "kty": "RSA", "n": padded, "e": "AQAB" });
    assert!(!accepts(&server_for([with_keys("weak", [padded])]), "weak", WEAKLY_SIGNED).await);

    // Under the exponent 1 the padded digest is its own signature, and anybody can write it (RFC 8017 section 9.2).
    let n = RSA.jwk()["n"].clone();
    for e in ["AQ", "", "AA", "Ag", "AAE"] {
        let trivial = json!({ "kty": "RSA", "n": n, "e": e });
        let server = server_for([with_keys("trivial", [trivial])]);
        let jwt = Assertion::of("trivial", "RS256", &RSA).jwt();
        let (message, _) = jwt.rsplit_once('.').unwrap();
        let info = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
        let digest = [info.as_slice(), &Sha256::digest(message)].concat();
        let filler = vec![0xff; 256 - 3 - digest.len()];
        let forged = [[0, 1].as_slice(), &filler, &[0], &digest].concat();
        let jwt = format!("{message}.{}", base64url(forged));
        assert!(!accepts(&server, "trivial", &jwt).await, "{e}");
    }
}
