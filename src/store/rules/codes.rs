//! One number, letter or name for each word that a store writes down. None is ever given to another word.

use crate::revocation::{Actor, Reason, TargetKind};
use crate::token::TokenKind;

/// The number of a kind of target; the narrower the target, the smaller.
#[must_use]
pub const fn target_number(kind: TargetKind) -> u8 {
    match kind {
        TargetKind::Token => 0,
        TargetKind::Grant => 1,
        TargetKind::Session => 2,
        TargetKind::SubjectAtClient => 3,
        TargetKind::Subject => 4,
        TargetKind::Client => 5,
        TargetKind::Everything => 6,
    }
}

/// The kind of target of this number.
#[must_use]
pub fn target_of_number(number: u8) -> Option<TargetKind> {
    TargetKind::ALL.into_iter().find(|kind| target_number(*kind) == number)
}

/// The letter of a kind of target.
#[must_use]
pub const fn target_letter(kind: TargetKind) -> u8 {
    match kind {
        TargetKind::Token => b't',
        TargetKind::Grant => b'g',
        TargetKind::Session => b's',
        TargetKind::SubjectAtClient => b'a',
        TargetKind::Subject => b'u',
        TargetKind::Client => b'c',
        TargetKind::Everything => b'e',
    }
}

/// The kind of target of this letter.
#[must_use]
pub fn target_of_letter(letter: u8) -> Option<TargetKind> {
    TargetKind::ALL.into_iter().find(|kind| target_letter(*kind) == letter)
}

/// The letter of a kind of token.
#[must_use]
pub const fn token_letter(kind: TokenKind) -> u8 {
    match kind {
        TokenKind::AccessToken => b'a',
        TokenKind::RefreshToken => b'r',
    }
}

/// The kind of token of this letter.
#[must_use]
pub const fn token_of_letter(letter: u8) -> Option<TokenKind> {
    match letter {
        b'a' => Some(TokenKind::AccessToken),
        b'r' => Some(TokenKind::RefreshToken),
        _ => None,
    }
}

/// The letter of an actor; a client's identifier is kept beside it.
#[must_use]
pub const fn actor_letter(actor: &Actor) -> u8 {
    match actor {
        Actor::Client(_) => b'c',
        Actor::Operator => b'o',
        Actor::Store => b's',
    }
}

/// The actor of this letter, with the client that is kept beside it where it is one.
#[must_use]
pub fn actor_of_letter(letter: u8, client: Option<&str>) -> Option<Actor> {
    match letter {
        b'c' => client.map(|client| Actor::Client(client.into())),
        b'o' => Some(Actor::Operator),
        b's' => Some(Actor::Store),
        _ => None,
    }
}

/// The reason of a stored name. A later version may know more: an unknown one is read as an administrator's decision,
/// because why a token is dead matters less than that it is.
#[must_use]
pub fn reason_of_name(name: &str) -> Reason {
    Reason::named(name).unwrap_or(Reason::Administrative)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_read_as_it_was_written_and_shares_its_code_with_no_other() {
        let mut seen = BTreeSet::new();
        for kind in TargetKind::ALL {
            assert_eq!(target_of_number(target_number(kind)), Some(kind));
            assert_eq!(target_of_letter(target_letter(kind)), Some(kind));
            assert!(seen.insert(target_number(kind)) && seen.insert(target_letter(kind)));
        }
        for kind in [TokenKind::AccessToken, TokenKind::RefreshToken] {
            assert_eq!(token_of_letter(token_letter(kind)), Some(kind));
        }
        for actor in [Actor::Client("web".into()), Actor::Operator, Actor::Store] {
            assert_eq!(actor_of_letter(actor_letter(&actor), Some("web")), Some(actor));
        }
        assert_eq!(actor_of_letter(b'c', None), None);
        assert_eq!(
            (target_of_number(7), target_of_letter(b'x'), token_of_letter(0)),
            (None, None, None)
        );
        assert_eq!(reason_of_name("of a later version"), Reason::Administrative);
    }

    /// Written down in databases: a change here would be a migration.
    #[test]
    fn the_codes_are_those_of_the_first_version() {
        let numbers: Vec<u8> = TargetKind::ALL.map(target_number).to_vec();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(TargetKind::ALL.map(target_letter), *b"tgsauce");
    }
}
