use std::sync::Arc;

use annul::Grant;
use annul::Timestamp;
use annul::TokenId;
use annul::TokenKind;
use annul::TokenRecord;
use annul::TokenState;
use annul::Verdict;

fn forge(grant: Arc<Grant>) -> Verdict {
    Verdict::Active(TokenRecord {
        id: TokenId::named("t"),
        kind: TokenKind::AccessToken,
        grant,
        issued_at: None,
        expires_at: Timestamp::MAX,
        state: TokenState::Active,
        revocable: true,
        counterpart: None,
    })
}

fn main() {}
