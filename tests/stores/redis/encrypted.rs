//! Over TLS. What the operating system trusts is said by an environment variable, so a process of its own connects.

use std::fs;
use std::process::Command;
use std::time::Duration;

use annul::store::redis::{RedisConfig, RedisStartError};
use annul::{DigestKey, RedisStore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::load::{is_good, issue, revoke};
use crate::servers::Server;

const URL: &str = "ANNUL_TEST_REDIS_URL";

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn a_server_is_reached_over_tls_by_who_trusts_its_certificate() {
    let folder = std::env::temp_dir().join(format!("annul-redis-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&certificate, pem("CERTIFICATE", certified.cert.der())).unwrap();
    fs::write(&key, pem("PRIVATE KEY", &certified.signing_key.serialize_der())).unwrap();
    let port = Server::free_port();
    let options = [
        format!("tls-port {port}"),
        format!("tls-cert-file {}", certificate.display()),
        format!("tls-key-file {}", key.display()),
        "tls-auth-clients no".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = Server::start(&options);
    let url = format!("rediss://localhost:{port}");
    let connects = |trusted: bool| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "encrypted::connects", "--ignored"]).env(URL, &url);
        if trusted {
            command.env("SSL_CERT_FILE", &certificate);
        }
        command.output().unwrap()
    };
    let told = connects(true);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    assert!(!connects(false).status.success(), "a certificate that nobody trusts was trusted");
    // And the store is there, for who reaches the same server in clear.
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]));
    let store = RedisStore::connect(config).await.unwrap();
    assert!(is_good(&store, "live").await.unwrap());
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
#[ignore = "the other test runs it, in a process of its own"]
async fn connects() {
    let url = std::env::var(URL).expect("the other test says where");
    let config = RedisConfig::new(url, DigestKey::new(&[7; 32])).timeout(Duration::from_secs(2));
    let store = match RedisStore::connect(config).await {
        Ok(store) => store,
        Err(RedisStartError::Unreachable { source }) => panic!("{source}"),
        Err(error) => panic!("another error than a certificate brings: {error}"),
    };
    for name in ["dead", "live"] {
        issue(&store, name).await.unwrap();
    }
    revoke(&store, "dead").await.unwrap();
    assert!(!is_good(&store, "dead").await.unwrap());
    assert!(is_good(&store, "live").await.unwrap());
}
