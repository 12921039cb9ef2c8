//! Authorization server metadata (RFC 8414 section 2) and client metadata (RFC 7591 section 2): the members about
//! revocation and introspection.

use annul::client::{
    Assertions, AuthMethod, AuthMethods, ClientMetadata, InvalidMetadata, RegisteredClients,
};
use annul::jose::Algorithms;
use annul::metadata::{Offer, ServerMetadata};
use annul::{InvalidUrl, Issuer, Policy, profile};
use serde_json::{Value, json};

use crate::index::{Index, Status};

pub(crate) const INDEX: Index = Index {
    source: include_str!("metadata.rs"),
    requirements: &[
        (
            "MET-01",
            Status::Tested(&[
                "met_01_the_revocation_endpoint_is_published_as_it_was_given",
                "met_01_only_an_absolute_https_url_without_fragment_is_published",
                "met_01_a_loopback_issuer_may_publish_loopback_urls_and_no_other_plain_ones",
            ]),
        ),
        (
            "MET-02",
            Status::Tested(&[
                "met_02_the_auth_methods_are_always_listed_and_none_only_when_allowed",
            ]),
        ),
        (
            "MET-03",
            Status::Tested(&[
                "met_03_algorithms_are_listed_with_the_methods_that_need_them_and_never_without",
                "met_03_what_is_listed_is_what_is_switched_on",
            ]),
        ),
        ("MET-04", Status::Tested(&["met_04_the_introspection_endpoint_never_lists_none"])),
        ("MET-05", Status::Tested(&["met_05_members_with_nothing_to_say_are_left_out"])),
        // Status lists and grant management are announced by the features that bring them.
        (
            "MET-07",
            Status::Tested(&[
                "met_07_the_aliases_for_mutual_tls_stand_in_an_object_of_their_own",
                "met_07_an_alias_is_https_like_the_endpoint_itself",
            ]),
        ),
        (
            "MET-08",
            Status::Tested(&[
                "met_08_a_client_that_names_no_method_uses_basic",
                "met_08_every_registered_method_is_read_and_written_by_its_name",
                "met_08_an_unknown_method_is_an_error_and_never_the_default",
            ]),
        ),
        (
            "MET-09",
            Status::Tested(&[
                "met_09_client_metadata_survives_a_round_trip",
                "met_09_unknown_members_are_ignored_and_null_means_absent",
                "met_09_what_excludes_each_other_is_refused",
            ]),
        ),
        (
            "MET-10",
            Status::Tested(&[
                "met_10_an_issuer_is_https_without_query_and_fragment",
                "met_10_an_issuer_is_never_normalised",
            ]),
        ),
    ],
};

const METHODS: [(AuthMethod, &str); 7] = [
    (AuthMethod::ClientSecretBasic, "client_secret_basic"),
    (AuthMethod::ClientSecretJwt, "client_secret_jwt"),
    (AuthMethod::ClientSecretPost, "client_secret_post"),
    (AuthMethod::None, "none"),
    (AuthMethod::PrivateKeyJwt, "private_key_jwt"),
    (AuthMethod::SelfSignedTlsClientAuth, "self_signed_tls_client_auth"),
    (AuthMethod::TlsClientAuth, "tls_client_auth"),
];

fn server() -> ServerMetadata {
    ServerMetadata::new(Issuer::new("https://as.example").unwrap())
}

fn document(metadata: &ServerMetadata) -> Value {
    serde_json::from_str(&metadata.to_json()).unwrap()
}

#[test]
fn met_01_the_revocation_endpoint_is_published_as_it_was_given() {
    for url in [
        "https://as.example/revoke",
        "https://as.example/revoke?tenant=a",
        "https://revoke.as.example:8443/",
        "https://as.example",
        "https://[2001:db8::1]:8443/revoke",
    ] {
        let metadata = server().revocation(url, &[AuthMethod::ClientSecretBasic]).unwrap();
        assert_eq!(document(&metadata)["revocation_endpoint"], url);
    }
}

#[test]
fn met_01_only_an_absolute_https_url_without_fragment_is_published() {
    let refused = [
        ("https://as.example/revoke#x", InvalidUrl::Fragment),
        ("https://as.example/revoke#", InvalidUrl::Fragment),
        ("http://as.example/revoke", InvalidUrl::NotHttps),
        ("http://127.0.0.1/revoke", InvalidUrl::NotHttps),
        ("ftp://as.example/revoke", InvalidUrl::NotHttps),
        ("/revoke", InvalidUrl::NotHttps),
        ("", InvalidUrl::NotHttps),
        ("https://", InvalidUrl::NotAbsolute),
        ("https:///revoke", InvalidUrl::NotAbsolute),
        ("https://?x=y", InvalidUrl::NotAbsolute),
        ("https://:8443/revoke", InvalidUrl::NotAbsolute),
        ("https://as.example/re voke", InvalidUrl::NotAbsolute),
        ("https://as.example/revoke\r\n", InvalidUrl::NotAbsolute),
        ("https://ás.example/revoke", InvalidUrl::NotAbsolute),
    ];
    for (url, error) in refused {
        let revocation = server().revocation(url, &[AuthMethod::ClientSecretBasic]);
        assert_eq!(revocation.unwrap_err(), error, "{url}");
        let introspection = server().introspection(url, &[AuthMethod::ClientSecretBasic]);
        assert_eq!(introspection.unwrap_err(), error, "{url}");
    }
}

#[test]
fn met_01_a_loopback_issuer_may_publish_loopback_urls_and_no_other_plain_ones() {
    let revocation = |url: &str| {
        let issuer = Issuer::loopback("http://127.0.0.1:8080").unwrap();
        ServerMetadata::new(issuer).revocation(url, &[AuthMethod::None])
    };
    for url in [
        "http://127.0.0.1:8080/revoke",
        "http://localhost/revoke",
        "http://[::1]:8080/revoke",
        "https://as.example/revoke",
    ] {
        assert!(revocation(url).is_ok(), "{url}");
    }
    for url in [
        "http://as.example/revoke",
        "http://127.0.0.1.as.example/revoke",
        "http://localhost.as.example/revoke",
        "http://localhost@as.example/revoke",
        "http://localhost:80@as.example/revoke",
        "http://[::1].as.example/revoke",
        "http://as.example/?localhost",
    ] {
        assert!(revocation(url).is_err(), "{url}");
    }
}

#[test]
fn met_02_the_auth_methods_are_always_listed_and_none_only_when_allowed() {
    let member = "revocation_endpoint_auth_methods_supported";
    let listed = |methods: &[AuthMethod]| {
        let metadata = server().revocation("https://as.example/revoke", methods);
        document(&metadata.unwrap())[member].clone()
    };
    let (basic, none) = (AuthMethod::ClientSecretBasic, AuthMethod::None);
    // The default of a document that leaves it out; said all the same.
    assert_eq!(listed(&[basic]), json!(["client_secret_basic"]));
    assert_eq!(listed(&[basic, none]), json!(["client_secret_basic", "none"]));
    assert_eq!(listed(&[none, none]), json!(["none"]));
    for (method, name) in METHODS {
        assert_eq!(listed(&[method]), json!([name]));
    }
}

#[test]
fn met_04_the_introspection_endpoint_never_lists_none() {
    let methods = [AuthMethod::None, AuthMethod::ClientSecretPost];
    let metadata = server().introspection("https://as.example/introspect", &methods);
    assert_eq!(
        document(&metadata.unwrap()),
        json!({
            "issuer": "https://as.example",
            "introspection_endpoint": "https://as.example/introspect",
            "introspection_endpoint_auth_methods_supported": ["client_secret_post"],
        })
    );
}

const ALGORITHMS: [&str; 2] = [
    "revocation_endpoint_auth_signing_alg_values_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
];

fn algorithms(offer: Offer) -> [Value; 2] {
    let metadata = server()
        .revocation("https://as.example/revoke", offer)
        .and_then(|metadata| metadata.introspection("https://as.example/introspect", offer));
    let document = document(&metadata.unwrap());
    ALGORITHMS.map(|member| document.get(member).cloned().unwrap_or_default())
}

#[test]
fn met_03_algorithms_are_listed_with_the_methods_that_need_them_and_never_without() {
    let macs = json!(["HS256", "HS384", "HS512"]);
    let signatures = json!([
        "ES256", "ES384", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"
    ]);
    for (method, _) in METHODS {
        let expected = if method == AuthMethod::ClientSecretJwt {
            macs.clone()
        } else if method == AuthMethod::PrivateKeyJwt {
            signatures.clone()
        } else {
            Value::Null
        };
        let listed = algorithms(Offer::from(&[method]));
        assert_eq!(listed, [expected.clone(), expected], "{method:?}");
    }
    // None of them, where the policy allows no algorithm: members without elements are left out.
    let nothing = Offer::new(AuthMethods::ALL, Algorithms::default());
    assert_eq!(algorithms(nothing), [Value::Null, Value::Null]);
}

#[test]
fn met_03_what_is_listed_is_what_is_switched_on() {
    let offer = |clients: &RegisteredClients, policy: &Policy| {
        let offer = Offer::new(clients.auth_methods(policy), policy.assertions.algorithms);
        let metadata = server().revocation("https://as.example/revoke", offer).unwrap();
        let document = document(&metadata);
        let members = ["revocation_endpoint_auth_methods_supported", ALGORITHMS[0]];
        members.map(|member| document.get(member).cloned().unwrap_or_default())
    };
    let plain = RegisteredClients::default();
    let secrets = json!(["client_secret_basic", "client_secret_post", "none"]);
    assert_eq!(offer(&plain, &Policy::default()), [secrets, Value::Null]);
    assert_eq!(offer(&plain, &profile::fapi2().policy), [Value::Null, Value::Null]);

    let issuer = Issuer::new("https://as.example").unwrap();
    let asserting = RegisteredClients::default().assertions(Assertions::new(issuer));
    let [methods, algorithms] = offer(&asserting, &Policy::default());
    let all = [
        "client_secret_basic",
        "client_secret_jwt",
        "client_secret_post",
        "none",
        "private_key_jwt",
    ];
    assert_eq!(methods, json!(all));
    assert_eq!(algorithms.as_array().unwrap().len(), 13);
    // FAPI 2.0 section 5.4.1.
    let fapi = offer(&asserting, &profile::fapi2().policy);
    assert_eq!(fapi, [json!(["private_key_jwt"]), json!(["ES256", "EdDSA", "Ed25519", "PS256"])]);
}

#[test]
fn met_05_members_with_nothing_to_say_are_left_out() {
    assert_eq!(document(&server()), json!({ "issuer": "https://as.example" }));
    let bare = server()
        .revocation("https://as.example/revoke", &[])
        .and_then(|bare| bare.introspection("https://as.example/introspect", &[AuthMethod::None]))
        .unwrap();
    let document = document(&bare);
    for (name, value) in document.as_object().unwrap() {
        assert!(value.is_string(), "{name}: {value}");
    }
}

#[test]
fn met_07_the_aliases_for_mutual_tls_stand_in_an_object_of_their_own() {
    let methods = [AuthMethod::TlsClientAuth];
    let metadata = server()
        .revocation("https://as.example/revoke", &methods)
        .and_then(|metadata| metadata.mtls_revocation("https://mtls.as.example/revoke"))
        .unwrap();
    // An endpoint without an alias has no member.
    assert_eq!(
        document(&metadata),
        json!({
            "issuer": "https://as.example",
            "revocation_endpoint": "https://as.example/revoke",
            "revocation_endpoint_auth_methods_supported": ["tls_client_auth"],
            "mtls_endpoint_aliases": { "revocation_endpoint": "https://mtls.as.example/revoke" },
        })
    );
    let metadata = metadata.mtls_introspection("https://mtls.as.example/introspect").unwrap();
    assert_eq!(
        document(&metadata)["mtls_endpoint_aliases"],
        json!({
            "revocation_endpoint": "https://mtls.as.example/revoke",
            "introspection_endpoint": "https://mtls.as.example/introspect",
        })
    );
}

#[test]
fn met_07_an_alias_is_https_like_the_endpoint_itself() {
    for (url, error) in [
        ("http://mtls.as.example/revoke", InvalidUrl::NotHttps),
        ("http://127.0.0.1/revoke", InvalidUrl::NotHttps),
        ("https://mtls.as.example/revoke#x", InvalidUrl::Fragment),
        ("https:///revoke", InvalidUrl::NotAbsolute),
    ] {
        assert_eq!(server().mtls_revocation(url).unwrap_err(), error, "{url}");
        assert_eq!(server().mtls_introspection(url).unwrap_err(), error, "{url}");
    }
    let local = ServerMetadata::new(Issuer::loopback("http://127.0.0.1:8080").unwrap());
    assert!(local.mtls_revocation("https://127.0.0.1:8443/revoke").is_ok());
}

#[test]
fn met_08_a_client_that_names_no_method_uses_basic() {
    let metadata: ClientMetadata = serde_json::from_value(json!({ "client_id": "web" })).unwrap();
    let method = metadata.token_endpoint_auth_method;
    assert_eq!(method, AuthMethod::ClientSecretBasic);
}

#[test]
fn met_08_every_registered_method_is_read_and_written_by_its_name() {
    for (method, name) in METHODS {
        assert_eq!(method.as_str(), name);
        assert_eq!(serde_json::to_value(method).unwrap(), json!(name));
        let read: AuthMethod = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(read, method);
    }
}

#[test]
fn met_08_an_unknown_method_is_an_error_and_never_the_default() {
    for name in ["attest_jwt_client_auth", "None", "CLIENT_SECRET_BASIC", ""] {
        let json = json!({ "client_id": "web", "token_endpoint_auth_method": name });
        assert!(serde_json::from_value::<ClientMetadata>(json).is_err(), "{name}");
    }
}

#[test]
fn met_09_client_metadata_survives_a_round_trip() {
    let registered = json!({
        "client_id": "web",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": { "keys": [{ "kty": "EC", "crv": "P-256", "x": "x", "y": "y" }] },
        "application_type": "web",
        "id_token_signed_response_alg": "RS256",
        "post_logout_redirect_uris": ["https://web.example/bye"],
        "backchannel_logout_uri": "https://web.example/bcl",
        "backchannel_logout_session_required": true,
        "frontchannel_logout_uri": "https://web.example/fcl",
        "frontchannel_logout_session_required": true,
        "tls_client_auth_san_dns": "web.example",
    });
    let read: ClientMetadata = serde_json::from_value(registered.clone()).unwrap();
    assert!(read.has_jwks());
    read.validate().unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), registered);
}

#[test]
fn met_09_unknown_members_are_ignored_and_null_means_absent() {
    let json = json!({
        "client_id": "spa",
        "token_endpoint_auth_method": "none",
        "revocation_endpoint_auth_method": "client_secret_basic",
        "logo_uri": "https://spa.example/logo.png",
        "grant_types": ["authorization_code", "refresh_token"],
        "backchannel_logout_uri": null,
        "jwks": null,
    });
    let read: ClientMetadata = serde_json::from_value(json).unwrap();
    assert_eq!(read, ClientMetadata::new("spa", AuthMethod::None));
}

#[test]
fn met_09_what_excludes_each_other_is_refused() {
    let validate = |json: Value| {
        let metadata: ClientMetadata = serde_json::from_value(json).unwrap();
        metadata.validate()
    };
    let two_key_sets = json!({
        "client_id": "web", "jwks": { "keys": [] }, "jwks_uri": "https://web.example/jwks",
    });
    assert_eq!(validate(two_key_sets), Err(InvalidMetadata::TwoKeySets));
    let two_subjects = json!({
        "client_id": "web", "tls_client_auth_san_dns": "web.example",
        "tls_client_auth_subject_dn": "CN=web",
    });
    assert_eq!(validate(two_subjects), Err(InvalidMetadata::TwoSubjects));
    for client_id in ["", "wéb", "web\n"] {
        let json = json!({ "client_id": client_id });
        assert_eq!(validate(json), Err(InvalidMetadata::ClientId), "{client_id:?}");
    }
    assert_eq!(validate(json!({ "client_id": "a b~" })), Ok(()));
}

#[test]
fn met_10_an_issuer_is_https_without_query_and_fragment() {
    let refused = [
        ("https://as.example?x=y", InvalidUrl::Query),
        ("https://as.example/?", InvalidUrl::Query),
        ("https://as.example/#x", InvalidUrl::Fragment),
        ("http://as.example", InvalidUrl::NotHttps),
        ("as.example", InvalidUrl::NotHttps),
        ("https://", InvalidUrl::NotAbsolute),
    ];
    for (url, error) in refused {
        assert_eq!(Issuer::new(url).unwrap_err(), error, "{url}");
    }
    assert_eq!(Issuer::new("http://localhost").unwrap_err(), InvalidUrl::NotHttps);
    assert!(Issuer::loopback("http://localhost?x=y").is_err());
}

#[test]
fn met_10_an_issuer_is_never_normalised() {
    let spellings = [
        "https://as.example",
        "https://as.example/",
        "https://AS.example",
        "https://as.example:443",
        "https://as.example/a/../b",
        "https://as.example/%61",
    ];
    for (n, url) in spellings.into_iter().enumerate() {
        let issuer = Issuer::new(url).unwrap();
        assert_eq!(issuer.as_str(), url);
        assert_eq!(issuer.to_string(), url);
        assert_eq!(document(&ServerMetadata::new(issuer.clone()))["issuer"], url);
        for (m, other) in spellings.into_iter().enumerate() {
            assert_eq!(issuer == Issuer::new(other).unwrap(), n == m, "{url} {other}");
        }
    }
}
