//! Who is asking: the cost of finding out, beside what cannot be done without; and whether a failure's time says why.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the yardstick is written straight down")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::hint::black_box;

use annul::client::{
    Assertions, AuthMethod, Client, ClientAuthenticator, ClientMetadata, ClientTable, Credentials,
    RegisteredClients,
};
use annul::wire::basic;
use annul::wire::basic::Scratch;
use annul::wire::form::Form;
use annul::{Clock, Issuer, Policy, Request, SystemClock};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use support::report::Target;
use support::{CLIENT_ID, CLIENT_SECRET, FORM, processor_time, report, run};

const ISSUER: &str = "https://as.example";

/// A client's key pair: ECDSA on P-256.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("the key just made"))
    }

    /// The coordinates of the public key, in base64url.
    fn point(&self) -> (String, String) {
        let point = self.0.public_key().as_ref();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        (encode(&point[1..33]), encode(&point[33..65]))
    }

    fn client(&self, id: &str) -> Client {
        let (x, y) = self.point();
        let keys =
            format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"1","x":"{x}","y":"{y}"}}]}}"#);
        let metadata = ClientMetadata::new(id, AuthMethod::PrivateKeyJwt);
        Client::new(metadata.with_jwks(&keys).expect("a key set"))
    }

    /// An assertion as a client makes it, each with a `jti` of its own.
    fn assertion(&self, client_id: &str, serial: usize) -> String {
        let now = SystemClock.now().as_unix_seconds();
        let header = r#"{"alg":"ES256","typ":"client-authentication+jwt","kid":"1"}"#;
        let claims = format!(
            r#"{{"iss":"{client_id}","sub":"{client_id}","aud":"{ISSUER}","jti":"bench-{serial:016x}-{serial:016x}","iat":{now},"exp":{}}}"#,
            now + 600
        );
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn body(assertion: &str) -> String {
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    format!("client_assertion_type={kind}&client_assertion={assertion}")
}

/// Whether the body, or the header, authenticates: reading the credentials, and the authenticator's answer.
fn authenticates(
    clients: &RegisteredClients,
    policy: &Policy,
    header: Option<&str>,
    body: &str,
) -> bool {
    let mut request = Request::post(body.as_bytes()).header("content-type", FORM);
    if let Some(header) = header {
        request = request.header("authorization", header.as_bytes());
    }
    let form = Form::read(&request, policy).expect("a form");
    let mut scratch = Scratch::default();
    let credentials = Credentials::read(&request, &form, &mut scratch, policy);
    credentials.is_ok_and(|credentials| run(clients.authenticate(credentials)).is_ok())
}

/// Nanoseconds of each call, of processor time.
fn time<T>(cases: &[T], mut call: impl FnMut(&T) -> bool, good: bool) -> f64 {
    let begin = processor_time();
    for case in cases {
        assert_eq!(black_box(call(black_box(case))), good);
    }
    (processor_time() - begin).as_nanos() as f64 / cases.len() as f64
}

fn rounds() -> usize {
    if support::is_test() { 1 } else { 15 }
}

/// `private_key_jwt` beside the one signature that it is made of.
fn assertions() {
    report::title("private_key_jwt, ES256");
    let signer = Signer::new();
    let issuer = Issuer::new(ISSUER).expect("an issuer");
    let clients = RegisteredClients::new(ClientTable::from_iter([signer.client(CLIENT_ID)]))
        .assertions(Assertions::new(issuer));
    let policy = Policy::default();
    let (x, y) = signer.point();
    let key = DecodingKey::from_ec_components(&x, &y).expect("a key");
    let each = if support::is_test() { 20 } else { 1_000 };
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        let assertions: Vec<String> =
            (0..each).map(|n| signer.assertion(CLIENT_ID, round * each + n)).collect();
        let bodies: Vec<String> = assertions.iter().map(|assertion| body(assertion)).collect();
        bare.push(time(
            &assertions,
            |assertion| {
                let (message, signature) = assertion.rsplit_once('.').expect("a signature");
                jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::ES256)
                    .expect("a key of the right kind")
            },
            true,
        ));
        ours.push(time(&bodies, |body| authenticates(&clients, &policy, None, body), true));
    }
    let ratios = bare.iter().zip(&ours).map(|(bare, ours)| ours / bare);
    let ratio = report::median(ratios);
    report::note("the signature alone, by jsonwebtoken", report::median(bare), "ns");
    report::note("form, credentials, client, claims, signature, jti", report::median(ours), "ns");
    report::line("authentication / bare signature", ratio, Target::AtMost(1.25));
}

/// Basic credentials beside base64, one SHA-256 and one comparison.
fn digests() {
    report::title("client_secret_basic, a digested secret");
    let metadata = ClientMetadata::new(CLIENT_ID, AuthMethod::ClientSecretBasic);
    let client = Client::new(metadata).secret(CLIENT_SECRET);
    let clients = RegisteredClients::new(ClientTable::from_iter([client]));
    let policy = Policy::default();
    let header = basic::header_value(CLIENT_ID, CLIENT_SECRET);
    let expected: [u8; 32] = Sha256::digest(CLIENT_SECRET).into();
    let straight = |header: &&str| {
        let mut room = [0; 96];
        let encoded = header.strip_prefix("Basic ").unwrap_or_default();
        let len = STANDARD.decode_slice(encoded, &mut room).unwrap_or_default();
        let text = std::str::from_utf8(&room[..len]).unwrap_or_default();
        let (client_id, secret) = text.split_once(':').unwrap_or_default();
        let plain = |half: &str| {
            let decoded = percent_encoding::percent_decode_str(half).decode_utf8();
            decoded.is_ok_and(|decoded| decoded == half)
        };
        let presented: [u8; 32] = Sha256::digest(secret).into();
        plain(client_id)
            && plain(secret)
            && client_id == CLIENT_ID
            && bool::from(presented.ct_eq(&expected))
    };
    let request =
        Request::post(b"").header("content-type", FORM).header("authorization", header.as_bytes());
    let form = Form::read(&request, &policy).expect("an empty form");
    let ours = |_: &&str| {
        let mut scratch = Scratch::default();
        let credentials =
            Credentials::read(&request, &form, &mut scratch, &policy).expect("one mechanism");
        run(clients.authenticate(black_box(credentials))).is_ok()
    };
    let cases = vec![header.as_str(); if support::is_test() { 100 } else { 20_000 }];
    let (mut yardstick, mut measured) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        yardstick.push(time(&cases, straight, true));
        measured.push(time(&cases, ours, true));
    }
    let ratio = report::median(yardstick.iter().zip(&measured).map(|(bare, ours)| ours / bare));
    report::note("base64, percent escapes, SHA-256, comparison", report::median(yardstick), "ns");
    report::note("credentials, client, secret", report::median(measured), "ns");
    report::line("authentication / straight", ratio, Target::AtMost(1.5));
}

/// One way to fail.
struct Failure {
    name: &'static str,
    header: Option<String>,
    body: String,
}

/// Whether the time of a failure tells what was wrong: medians, and how far each is from the unknown client's in
/// standard errors of the difference (Welch's t). Nothing is judged: below 4.5 leakage tests find nothing.
fn timing() {
    let known = Signer::new();
    let stranger = Signer::new();
    let secret_client = |id: &str| {
        Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretBasic)).secret(CLIENT_SECRET)
    };
    let issuer = Issuer::new(ISSUER).expect("an issuer");
    let table = ClientTable::from_iter([
        secret_client(CLIENT_ID),
        secret_client("disabled-web").disabled(),
        known.client("asserting-ap"),
        known.client("disabled-app").disabled(),
    ]);
    let clients = RegisteredClients::new(table).assertions(Assertions::new(issuer));
    let wrong = CLIENT_SECRET.replace('7', "8");
    let basic = |name, id: &str, secret: &str| Failure {
        name,
        header: Some(basic::header_value(id, secret)),
        body: String::new(),
    };
    let signed = |name, signer: &Signer, id: &str| Failure {
        name,
        header: None,
        body: body(&signer.assertion(id, 0)),
    };
    compare(
        "Failures of client_secret_basic",
        &clients,
        &[
            basic("unknown client", "s6BhdRkqt3Xb", CLIENT_SECRET),
            basic("unknown client, again", "s6BhdRkqt3Xc", CLIENT_SECRET),
            basic("wrong secret", CLIENT_ID, &wrong),
            basic("disabled client, right secret", "disabled-web", CLIENT_SECRET),
            basic("client of another method", "asserting-ap", CLIENT_SECRET),
        ],
    );
    compare(
        "Failures of private_key_jwt (ES256)",
        &clients,
        &[
            signed("unknown client", &known, "unknown-appl"),
            signed("unknown client, again", &known, "unknown-appm"),
            signed("wrong key", &stranger, "asserting-ap"),
            signed("disabled client, right key", &known, "disabled-app"),
            signed("client of another method", &known, CLIENT_ID),
        ],
    );
}

fn compare(title: &str, clients: &RegisteredClients, failures: &[Failure]) {
    report::title(title);
    let policy = Policy::default();
    let samples = if support::is_test() { 20 } else { 30_000 };
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(samples); failures.len()];
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..samples * failures.len() {
        // In no order: what one leaves in the caches, each of the others finds there as often.
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let index = (dice % failures.len() as u64) as usize;
        let Failure { header, body, .. } = &failures[index];
        let cases = [(header.as_deref(), body.as_str())];
        let call = |case: &(Option<&str>, &str)| authenticates(clients, &policy, case.0, case.1);
        times[index].push(time(&cases, call, false));
    }
    let kept: Vec<Vec<f64>> = times.iter().map(|times| without_interruptions(times)).collect();
    println!("{:<40} {:>12} {:>12} {:>10}", "", "median ns", "mean ns", "t");
    for (failure, times) in failures.iter().zip(&kept) {
        let (mean, _) = mean_and_variance(times);
        let (median, t) = (report::median(times.iter().copied()), welch(times, &kept[0]));
        println!("{:<40} {median:>12.0} {mean:>12.1} {t:>10.1}", failure.name);
    }
}

/// The fastest nine tenths: the rest are interrupts and page faults.
fn without_interruptions(times: &[f64]) -> Vec<f64> {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 9 / 10);
    times
}

fn mean_and_variance(times: &[f64]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let squares = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
    (mean, squares / (count - 1.0).max(1.0))
}

fn welch(times: &[f64], others: &[f64]) -> f64 {
    let ((mean, variance), (other_mean, other_variance)) =
        (mean_and_variance(times), mean_and_variance(others));
    let error = variance / times.len() as f64 + other_variance / others.len() as f64;
    if error > 0.0 { (mean - other_mean) / error.sqrt() } else { 0.0 }
}

fn main() {
    assertions();
    digests();
    timing();
}
