use annul::client::AuthenticatedClient;
use annul::client::ClientKind;

fn rename(mut client: AuthenticatedClient) {
    client.id = "other".into();
    client.kind = ClientKind::Confidential;
}

fn main() {}
