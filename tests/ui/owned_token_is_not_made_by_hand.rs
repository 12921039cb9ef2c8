use annul::ClientId;
use annul::TokenRecord;
use annul::OwnedToken;

fn forge(record: TokenRecord, client: ClientId) -> OwnedToken {
    OwnedToken { record, client }
}

fn main() {}
