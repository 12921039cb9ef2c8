//! Tokens: as presented, as kept, and what is known about them.

mod digest;
mod grant;
mod kind;
mod new;
mod presented;
mod record;

pub use digest::{DigestKey, TokenDigest, TokenId};
pub use grant::Grant;
pub use kind::TokenKind;
pub use new::NewToken;
pub(crate) use presented::has_control;
pub use presented::{PresentedToken, TokenTypeHint, Unpresentable};
pub use record::{TokenRecord, TokenState, Verdict};
