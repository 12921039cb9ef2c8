use annul::ClientId;
use annul::TokenRecord;
use annul::store::OwnedToken;

fn forge(record: TokenRecord, client: ClientId) -> OwnedToken {
    OwnedToken { record, client }
}

fn main() {}
