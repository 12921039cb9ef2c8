//! Which certificates prove to be which client.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, SanType, date_time_ymd};
use serde_json::json;

use crate::tls::{Authority, Folder, authority_params, bank, named, own, pem};

#[test]
fn tls_03_a_certificate_of_the_trusted_authority_revokes() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    tls.assert_accepted(&identity, "bank");
}

#[test]
fn tls_03_both_versions_of_tls_do() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
        let tls = folder.serve(&[bank()]);
        let arguments = format!("{version} --data 'token=at-bank&client_id=bank' BASE/revoke");
        tls.curl(Some(&identity), &arguments).assert_empty(200);
        tls.server.assert_dead(&["at-bank", "rt-bank"]);
    }
}

#[test]
fn tls_03_the_authority_may_sign_through_another() {
    let folder = Folder::new();
    let params = authority_params("Clients below");
    let key = KeyPair::generate().unwrap();
    let below = Authority::signed_by(params, key, &folder.trusted).unwrap();
    let identity = folder.issue("bank", &named("bank"), &below);
    let tls = folder.serve(&[bank()]);
    // Without the certificate between, nobody can tell where it comes from.
    tls.assert_refused(Some(&identity), "bank");
    let chain = [pem("CERTIFICATE", &identity.der), pem("CERTIFICATE", below.der())].concat();
    folder.write("bank.pem", &chain);
    tls.assert_accepted(&identity, "bank");
}

#[test]
fn tls_01_no_certificate_is_no_proof() {
    let folder = Folder::new();
    let registered = folder.self_signed("own", &named("own"));
    let tls = folder.serve(&[bank(), own(&[&registered])]);
    tls.assert_refused(None, "bank");
    tls.assert_refused(None, "own");
    // Over plain HTTP there is none at all.
    let answer = tls.server.post("/revoke", &[], "token=at-bank&client_id=bank");
    answer.assert_error(401, "invalid_client");
    tls.server.assert_alive(&["at-bank"]);
}

#[test]
fn tls_01_a_certificate_without_a_client_id_is_nobody() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    tls.revoke(Some(&identity), "token=at-bank").assert_error(401, "invalid_client");
    tls.server.assert_alive(&["at-bank", "rt-bank"]);
}

#[test]
fn tls_02_the_certificate_of_another_client_is_refused() {
    let folder = Folder::new();
    let shop = json!({
        "client_id": "shop",
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_san_dns": "shop.example",
    });
    let mut params = named("shop");
    params.subject_alt_names = vec![SanType::DnsName("shop.example".try_into().unwrap())];
    let of_shop = folder.issue("shop", &params, &folder.trusted);
    let of_bank = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank(), shop]);
    tls.assert_refused(Some(&of_shop), "bank");
    tls.assert_refused(Some(&of_bank), "shop");
    // Nor does it revoke the tokens of another, once it has said who it is.
    let answer = tls.revoke(Some(&of_bank), "token=at-shop&client_id=bank");
    answer.assert_error(400, "invalid_grant");
    tls.server.assert_alive(&["at-shop", "rt-shop"]);
    tls.assert_accepted(&of_shop, "shop");
    tls.server.assert_alive(&["at-bank", "rt-bank"]);
}

#[test]
fn tls_03_the_right_subject_by_the_wrong_authority_is_refused() {
    let folder = Folder::new();
    let by_stranger = folder.issue("stranger", &named("bank"), &folder.stranger);
    let by_itself = folder.self_signed("itself", &named("bank"));
    let tls = folder.serve(&[bank()]);
    tls.assert_refused(Some(&by_stranger), "bank");
    tls.assert_refused(Some(&by_itself), "bank");
}

#[test]
fn tls_03_a_certificate_that_is_not_for_clients_or_not_for_today_is_refused() {
    let folder = Folder::new();
    let mut params = named("bank");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let for_servers = folder.issue("servers", &params, &folder.trusted);
    let mut params = named("bank");
    params.not_after = date_time_ymd(2020, 1, 1);
    let expired = folder.issue("expired", &params, &folder.trusted);
    let tls = folder.serve(&[bank()]);
    tls.assert_refused(Some(&for_servers), "bank");
    tls.assert_refused(Some(&expired), "bank");
}

#[test]
fn tls_03_where_no_authority_is_trusted_nobody_has_a_subject() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let registered = folder.self_signed("own", &named("own"));
    let tls = folder.serve_with(&[bank(), own(&[&registered])], &[]);
    tls.assert_refused(Some(&identity), "bank");
    tls.assert_accepted(&registered, "own");
}

#[test]
fn tls_04_a_registered_certificate_needs_no_authority() {
    let folder = Folder::new();
    let first = folder.self_signed("first", &named("own"));
    let second = folder.self_signed("second", &named("own"));
    let tls = folder.serve(&[own(&[&first, &second])]);
    tls.assert_accepted(&second, "own");
}

#[test]
fn tls_04_another_certificate_for_the_same_key_is_refused() {
    let folder = Folder::new();
    let registered = folder.self_signed("own", &named("own"));
    let key = KeyPair::try_from(registered.key.serialize_der()).unwrap();
    let again = named("own").signed_by(&key, &folder.trusted).unwrap().der().to_vec();
    let again = folder.keep("again", again, key);
    let tls = folder.serve(&[own(&[&registered])]);
    // Not even one that the authority vouches for.
    tls.assert_refused(Some(&again), "own");
    tls.assert_accepted(&registered, "own");
}

#[test]
fn tls_05_a_header_is_no_certificate() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let registered = folder.self_signed("own", &named("own"));
    let tls = folder.serve(&[bank(), own(&[&registered])]);
    for (client, identity) in [("bank", &identity), ("own", &registered)] {
        let der = STANDARD.encode(&identity.der);
        let pem = pem("CERTIFICATE", &identity.der).replace('\n', "%0A");
        let quoted = format!("Hash=0;Cert=\"{pem}\"");
        let structured = format!(":{der}:");
        for (name, value) in [
            ("X-SSL-Cert", &pem),
            ("SSL-Client-Cert", &pem),
            ("X-Client-Cert", &der),
            ("X-SSL-Client-Cert", &der),
            ("X-ARR-ClientCert", &der),
            ("X-Forwarded-Client-Cert", &quoted),
            // RFC 9440
            ("Client-Cert", &structured),
        ] {
            let verified = [(name, value.as_str()), ("X-SSL-Client-Verify", "SUCCESS")];
            let body = format!("token=at-{client}&client_id={client}");
            let answer = tls.server.post("/revoke", &verified, &body);
            answer.assert_error(401, "invalid_client");
            let header =
                format!("--header '{name}: {value}' --header 'X-SSL-Client-Verify: SUCCESS'");
            let answer = tls.curl(None, &format!("{header} --data '{body}' BASE/revoke"));
            answer.assert_error(401, "invalid_client");
        }
        tls.server.assert_alive(&[&format!("at-{client}"), &format!("rt-{client}")]);
    }
}

#[test]
fn a_certificate_stands_in_for_nothing_else() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let named_web = folder.issue("web", &named("web"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    // Who registered a secret shows the secret, whatever else it has.
    tls.assert_refused(Some(&named_web), "web");
    let basic = |secret: &str, body: &str| {
        tls.curl(Some(&identity), &format!("--user web:{secret} --data '{body}' BASE/revoke"))
    };
    basic("wrong", "token=at-web").assert_error(401, "invalid_client");
    tls.server.assert_alive(&["at-web"]);
    basic("web-secret", "token=at-web").assert_empty(200);
    tls.server.assert_dead(&["at-web", "rt-web"]);
    // A public client is one, with a certificate too, and without.
    tls.revoke(Some(&identity), "token=at-spa&client_id=spa").assert_empty(200);
    tls.server.assert_dead(&["at-spa", "rt-spa"]);
    tls.assert_refused(None, "bank");
}
