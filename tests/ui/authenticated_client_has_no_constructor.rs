use annul::client::AuthenticatedClient;
use annul::client::ClientKind;

fn main() {
    let _ = AuthenticatedClient::new("web".into(), ClientKind::Confidential);
}
