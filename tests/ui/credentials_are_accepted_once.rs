use annul::client::AuthenticatedClient;
use annul::client::ClientKind;
use annul::client::Credentials;

fn twice(credentials: Credentials<'_>) -> [AuthenticatedClient; 2] {
    [
        credentials.accepted_as("web".into(), ClientKind::Confidential),
        credentials.accepted_as("other".into(), ClientKind::Confidential),
    ]
}

fn main() {}
