use annul::client::AuthenticatedClient;
use annul::client::ClientKind;

fn main() {
    let _ = AuthenticatedClient {
        id: "web".into(),
        kind: ClientKind::Confidential,
        may_introspect: true,
        cascade: None,
        grant_check: None,
    };
}
