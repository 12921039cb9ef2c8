//! RFC 7521 and RFC 7523, OpenID Connect Core section 9 and rfc7523bis: clients that authenticate by a signed JWT.

mod audience;
mod keys;
mod parameters;
mod signatures;
mod times;
mod used_once;

use std::sync::Arc;

use annul::client::{
    Assertions, AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients, ReplayGuard,
};
use annul::{Authority, FakeClock, Issuer, MemoryStore, Policy, Response};
use serde_json::Value;

use crate::doubles::policy;
use crate::index::{Index, Status};
use crate::signer::{Assertion, ED25519, ISSUER, P256, P384, RSA, jwks, presenting, unique};
use crate::support::{START, Server, error_of};

pub(crate) const INDEX: Index = Index {
    source: concat!(
        include_str!("audience.rs"),
        include_str!("keys.rs"),
        include_str!("parameters.rs"),
        include_str!("signatures.rs"),
        include_str!("times.rs"),
        include_str!("used_once.rs"),
    ),
    requirements: &[
        (
            "JWA-01",
            Status::Tested(&[
                "jwa_01_type_and_assertion_come_together",
                "jwa_01_an_assertion_and_another_mechanism_are_two",
            ]),
        ),
        ("JWA-02", Status::Tested(&["jwa_02_a_client_id_beside_it_names_the_same_client"])),
        ("JWA-03", Status::Tested(&["jwa_03_every_failure_is_answered_alike"])),
        ("JWA-04", Status::Tested(&["jwa_04_issuer_and_subject_are_the_client"])),
        ("JWA-05", Status::Tested(&["jwa_05_legacy_audiences_are_the_issuer_and_our_endpoints"])),
        ("JWA-06", Status::Tested(&["jwa_06_the_issuer_is_the_only_audience"])),
        ("JWA-07", Status::Tested(&["jwa_07_fapi_wants_the_audience_as_a_string"])),
        ("JWA-08", Status::Tested(&["jwa_08_without_an_issuer_there_are_no_assertions"])),
        (
            "JWA-09",
            Status::Tested(&[
                "jwa_09_another_kind_of_jwt_is_no_assertion",
                "jwa_09_the_type_can_be_required",
            ]),
        ),
        ("JWA-10", Status::Tested(&["jwa_10_an_audience_injected_by_another_server_is_refused"])),
        ("JWA-11", Status::Tested(&["jwa_11_expiry_is_required_and_bounded"])),
        (
            "JWA-12",
            Status::Tested(&[
                "jwa_12_not_before_and_age_are_respected",
                "jwa_12_times_may_have_fractions",
            ]),
        ),
        ("JWA-13", Status::Tested(&["jwa_13_clocks_may_differ_by_a_minute_at_most"])),
        (
            "JWA-14",
            Status::Tested(&[
                "jwa_14_an_assertion_is_used_once_at_whichever_endpoint",
                "jwa_14_the_identifier_is_required_unless_the_policy_says_otherwise",
                "jwa_14_a_used_assertion_is_refused_until_it_expires_and_after",
            ]),
        ),
        (
            "JWA-15",
            Status::Tested(&[
                "jwa_15_of_many_uses_at_once_one_is_the_first",
                "jwa_15_clients_may_choose_the_same_identifier",
                "jwa_15_what_is_refused_uses_nothing_up",
                "jwa_15_a_full_guard_refuses_what_it_cannot_remember",
                "jwa_15_a_guard_that_fails_lets_nobody_in",
                "jwa_15_two_processes_share_a_ledger",
                "jwa_15_what_a_ledger_remembers_opens_nothing",
                "jwa_15_revoking_what_a_ledger_remembers_does_not_forget_it",
            ]),
        ),
        (
            "JWA-16",
            Status::Tested(&[
                "jwa_16_what_is_not_signed_is_refused",
                "jwa_16_what_can_be_read_in_two_ways_is_refused",
                "jwa_16_other_serializations_are_refused",
                "jwa_16_a_signature_is_of_one_form",
            ]),
        ),
        (
            "JWA-17",
            Status::Tested(&[
                "jwa_17_a_public_key_is_no_secret",
                "jwa_17_macs_and_signatures_do_not_stand_for_each_other",
                "jwa_17_the_key_of_a_mac_is_the_secret_and_only_a_live_one",
            ]),
        ),
        (
            "JWA-18",
            Status::Tested(&[
                "jwa_18_a_registered_algorithm_is_the_only_one",
                "jwa_18_metadata_with_an_unusable_algorithm_is_invalid",
            ]),
        ),
        (
            "JWA-19",
            Status::Tested(&[
                "jwa_19_every_algorithm_is_verified",
                "jwa_19_a_policy_narrows_the_algorithms",
                "jwa_19_small_and_trivial_rsa_keys_are_refused",
            ]),
        ),
        (
            "JWA-20",
            Status::Tested(&[
                "jwa_20_a_key_is_chosen_by_its_identifier",
                "jwa_20_keys_for_something_else_verify_nothing",
                "jwa_20_a_key_in_the_header_is_not_looked_at",
                "jwa_20_a_storm_of_unknown_identifiers_fetches_once",
                "jwa_20_requests_wait_for_the_fetch_that_is_under_way",
                "jwa_20_a_rotated_key_is_fetched_after_the_interval",
                "jwa_20_a_source_that_fails_leaves_the_keys_before_in_use",
                "jwa_20_a_fetch_goes_on_when_the_request_that_began_it_is_dropped",
                "jwa_20_a_client_whose_keys_cannot_be_had_looks_unknown",
            ]),
        ),
        ("JWA-21", Status::Tested(&["jwa_21_unknown_members_are_ignored"])),
        ("JWA-22", Status::Tested(&["jwa_22_saml_assertions_are_refused"])),
    ],
};

const TOKEN_ENDPOINT: &str = "https://as.example/token";
const REVOCATION_ENDPOINT: &str = "https://as.example/revoke";

/// The secret of `mac`: not ASCII alone, since its bytes in UTF-8 are what counts.
const SECRET: &str = "gX1fBat3bV-gX1fBat3bV-gX1fBat3bV-ä";

/// A client with these keys.
fn with_keys(id: &str, keys: impl IntoIterator<Item = Value>) -> Client {
    let metadata = ClientMetadata::new(id, AuthMethod::PrivateKeyJwt);
    Client::new(metadata.with_jwks(&jwks(keys)).unwrap())
}

/// A client whose secret is the key of a MAC.
fn with_secret(id: &str, secret: &str) -> Client {
    Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretJwt)).secret(secret)
}

/// `job` and `job2` (Ed25519), `rsa`, `p256`, `p384`, `mac` and `mac2` (secrets), `web` (Basic, `web-secret`).
fn clients() -> Vec<Client> {
    let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    vec![
        with_keys("job", [ED25519.jwk()]),
        with_keys("job2", [ED25519.jwk()]),
        with_keys("rsa", [RSA.jwk()]),
        with_keys("p256", [P256.jwk()]),
        with_keys("p384", [P384.jwk()]),
        with_secret("mac", SECRET),
        with_secret("mac2", "another-secret-another-secret-another"),
        Client::new(web).secret("web-secret"),
    ]
}

fn assertions() -> Assertions {
    let issuer = Issuer::new(ISSUER).unwrap();
    // They count under one policy alone.
    Assertions::new(issuer).endpoint(TOKEN_ENDPOINT).endpoint(REVOCATION_ENDPOINT)
}

fn server_of(
    clients: impl IntoIterator<Item = Client>,
    policy: Policy,
    assertions: Assertions,
) -> Server {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let clients = RegisteredClients::new(ClientTable::from_iter(clients));
    let clients = clients.clock(Arc::clone(&clock)).assertions(assertions);
    let authority =
        Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
    Server { authority, store, clock }
}

fn server() -> Server {
    server_with(|_| {})
}

/// A server with the default policy, but for this.
fn server_with(change: impl FnOnce(&mut Policy)) -> Server {
    server_of(clients(), policy(change), assertions())
}

/// A server with these clients alone.
fn server_for(clients: impl IntoIterator<Item = Client>) -> Server {
    server_of(clients, Policy::default(), assertions())
}

fn server_remembering(guard: impl ReplayGuard + 'static) -> Server {
    server_of(clients(), Policy::default(), assertions().replay_guard(guard))
}

/// An assertion of `job`, right in every respect.
fn job() -> Assertion<'static> {
    Assertion::of("job", "EdDSA", &ED25519)
}

/// Whether the assertion authenticates `client` at the revocation endpoint.
///
/// It does if it revokes a fresh token of the client's, and its grant. If it does not, the answer is that of every failed
/// authentication, and the token lives.
async fn accepts(server: &Server, client: &str, assertion: &str) -> bool {
    accepts_form(server, client, &presenting(assertion)).await
}

async fn accepts_form(server: &Server, client: &str, credentials: &str) -> bool {
    let id = unique("g");
    server.grant(&id, client).await;
    let answer = server.revoke(&format!("token=at-{id}&{credentials}")).await;
    let access = server.is_active(&format!("at-{id}")).await;
    let refresh = server.is_active(&format!("rt-{id}")).await;
    assert_eq!(access, refresh, "half of the grant is dead");
    if answer.status() == 200 {
        assert!(!access, "answered 200, and the token lives");
        return true;
    }
    assert_unauthenticated(&answer);
    assert!(access, "refused, and the token is dead");
    false
}

fn assert_unauthenticated(answer: &Response) {
    assert_eq!((answer.status(), error_of(answer).as_str()), (401, "invalid_client"));
    assert!(answer.header("www-authenticate").is_some());
}
