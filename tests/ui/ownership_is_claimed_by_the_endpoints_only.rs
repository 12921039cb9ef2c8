use annul::TokenRecord;
use annul::client::AuthenticatedClient;
use annul::policy::ForeignTokenPolicy;
use annul::store::OwnedToken;

fn claim(record: TokenRecord, client: &AuthenticatedClient) {
    OwnedToken::claim(record, client, ForeignTokenPolicy::default());
}

fn main() {}
