//! No framework and no socket: bytes of a form in; status, headers and body out.
//!
//! ```text
//! cargo run --example in_process
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::TokenLedger;
use annul::wire::basic;
use annul::{Authority, Grant, MemoryStore, NewToken, PresentedToken, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Built once, at start: who may ask, and where tokens are kept.
    let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    let clients = ClientTable::from_iter([Client::new(web).secret("web-secret")]);
    let store = Arc::new(MemoryStore::new());
    let authority = Authority::new(Arc::clone(&store), RegisteredClients::new(clients));

    // The token endpoint, for each grant: record what it hands out.
    let now = authority.now();
    let grant = Grant::new("g1", "web", now).subject("alice").session("s1");
    let tokens = [
        NewToken::access(PresentedToken::new("at-1"), now + Duration::from_secs(600)),
        NewToken::refresh(PresentedToken::new("rt-1"), now + Duration::from_secs(86_400)),
    ];
    store.issue(grant, &tokens, now).await?;

    // A resource server in the same process, for each request: is this token still good?
    let access = PresentedToken::new("at-1");
    println!("at-1 is active: {}", authority.check(access).await?.is_active());

    // The revocation endpoint: what any HTTP server has in its hands goes in ...
    let credentials = basic::header_value("web", "web-secret");
    let request = Request::post(b"token=rt-1&token_type_hint=refresh_token")
        .header("content-type", b"application/x-www-form-urlencoded")
        .header("authorization", credentials.as_bytes());
    let response = annul::handle_revoke(&authority, &request).await;

    // ... and what it has to send comes out.
    println!("\nHTTP/1.1 {}", response.status());
    for (name, value) in response.headers() {
        println!("{name}: {value}");
    }
    println!("\n{}", String::from_utf8_lossy(response.body()));

    // The refresh token is dead, and the access token of the same grant with it.
    println!("at-1 is active: {}", authority.check(access).await?.is_active());
    Ok(())
}
