use annul::TokenRecord;
use annul::client::AuthenticatedClient;
use annul::policy::ForeignTokenPolicy;
use annul::OwnedToken;

fn claim(record: TokenRecord, client: &AuthenticatedClient) {
    OwnedToken::claim(record, client, ForeignTokenPolicy::default());
}

fn main() {}
