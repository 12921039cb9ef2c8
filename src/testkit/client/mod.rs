//! The contract of [`ClientAuthenticator`](crate::client::ClientAuthenticator): these clients, and nobody else.
//!
//! ```
//! use annul::client::{AuthMethod, Client, ClientKind, ClientMetadata, ClientTable, RegisteredClients};
//! use annul::store::StoreError;
//! use annul::testkit::{Ability, client::{self, Clients, Login}};
//!
//! async fn fresh() -> Result<Clients, StoreError> {
//!     let client = |id: &str, method| Client::new(ClientMetadata::new(id, method));
//!     let table = ClientTable::from_iter([
//!         client("web", AuthMethod::ClientSecretBasic).secret("web-secret"),
//!         client("app", AuthMethod::ClientSecretPost).secret("app-secret"),
//!         client("spa", AuthMethod::None),
//!     ]);
//!     Ok(Clients::new(RegisteredClients::new(table))
//!         .login(Login::basic("web", "web-secret"))
//!         .login(Login::post("app", "app-secret"))
//!         .login(Login::public("spa"))
//!         .on_threads())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! client::suite().run(&fresh).await.assert_held_except_for(&[Ability::OutOfOrder, Ability::Refusals]);
//! # }
//! ```

use crate::testkit::suite::suite;
mod accepting;
mod clients;
mod refusing;

pub use clients::{Clients, Login, Offer};

suite! {
    "ClientAuthenticator" of Clients:

    Basis {
        /// Who has the right credentials is let in, as itself: a mixed-up name revokes somebody else's tokens, a
        /// mixed-up kind answers a public client as if it had proved something.
        accepting::every_client_is_accepted_as_itself,

        /// Wrong by one letter, by its case, by a blank, by being cut short: wrong.
        refusing::a_wrong_secret_is_rejected,
    }

    Rule {
        /// Nothing is used up by being right, or by somebody else's being wrong a hundred times in between.
        accepting::being_right_again_is_no_failure,

        /// The secret of one client is no secret of another.
        refusing::another_clients_secret_is_rejected,

        /// If the two can be told apart, strangers learn which clients exist.
        refusing::an_unknown_client_looks_like_a_wrong_secret,

        /// A confidential client that need not prove anything is anybody.
        refusing::a_confidential_client_cannot_just_name_itself,

        /// Nothing, an empty name, and a scheme that nobody has heard of prove nothing.
        refusing::no_credentials_are_rejected,

        /// `WEB` is not `web`. Many a database's text comparison says otherwise.
        refusing::names_are_compared_byte_for_byte,

        /// What the authenticator's author knows to be wrong: an expired secret, a replayed assertion, a stranger's
        /// certificate, a disabled client.
        refusing::what_is_to_be_refused_is_refused,

        /// "Your secret is wrong" for a database that does not answer makes clients throw good secrets away; and
        /// letting them in is worse.
        refusing::a_registry_out_of_order_is_not_a_rejection,
    }

    Trial {
        /// Requests come at the same time. An answer that lands at the wrong one is somebody else's identity.
        accepting::clients_beside_each_other_are_not_mixed_up,

        /// A caller that hangs up leaves a future half way. If it keeps a permit or a lock, a few of them lock
        /// everybody out.
        accepting::dropping_an_authentication_at_any_await_locks_nobody_out,

        /// A thousand random names and secrets, some of them nearly right.
        refusing::nobody_gets_in_by_chance,
    }
}
