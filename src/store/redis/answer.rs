//! What scripts answer, read.

use redis::Value;

use crate::error::StoreError;
use crate::revocation::TargetKind;
use crate::store::rules::{codes, issuing};

/// The error for an answer that no script gives.
pub(super) fn unexpected() -> StoreError {
    StoreError::corrupt("an answer of another kind")
}

/// What `issue.lua` did.
pub(super) struct IssuedInShard {
    /// The kind of what covers the tokens.
    pub(super) covered_by: Option<TargetKind>,
    /// Whether a token was recorded that was not known before.
    pub(super) is_new: bool,
}

/// What `issue.lua` answers.
pub(super) fn issue_outcome(answer: Value) -> Result<IssuedInShard, StoreError> {
    let Some([outcome, by]) = parts(answer) else {
        return Err(unexpected());
    };
    match bytes(outcome)?.as_slice() {
        b"done" => Ok(IssuedInShard { covered_by: covering_kind(by)?, is_new: true }),
        b"known" => Ok(IssuedInShard { covered_by: covering_kind(by)?, is_new: false }),
        b"foreign" => Err(issuing::foreign_grant()),
        b"taken" => Err(issuing::taken()),
        _ => Err(unexpected()),
    }
}

/// What covers a token, by the letter that a script answers; nothing does where it is ''.
pub(super) fn covering_kind(letter: Value) -> Result<Option<TargetKind>, StoreError> {
    match bytes(letter)?.as_slice() {
        [] => Ok(None),
        [letter] => codes::target_of_letter(*letter).map(Some).ok_or_else(unexpected),
        _ => Err(unexpected()),
    }
}

/// The parts of an answer, if it has so many.
pub(super) fn parts<const N: usize>(answer: Value) -> Option<[Value; N]> {
    let Value::Array(parts) = answer else {
        return None;
    };
    parts.try_into().ok()
}

/// The bytes of an answer; none where it says that there is nothing. Anything else is not taken for nothing.
pub(super) fn bytes(answer: Value) -> Result<Vec<u8>, StoreError> {
    if answer == Value::Nil {
        return Ok(Vec::new());
    }
    let Value::BulkString(bytes) = answer else {
        return Err(unexpected());
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_is_taken_for_nothing() {
        assert!(bytes(Value::Nil).unwrap().is_empty());
        for odd in [Value::Okay, Value::Int(0), Value::Array(Vec::new())] {
            assert!(bytes(odd).is_err());
        }
        let letter = |text: &str| covering_kind(Value::BulkString(text.as_bytes().to_vec()));
        assert_eq!(letter("").unwrap(), None);
        assert_eq!(letter("g").unwrap(), Some(TargetKind::Grant));
        assert!(letter("?").is_err() && letter("gg").is_err());
        let other = Value::Array(vec![Value::Nil, Value::Nil]);
        assert!(issue_outcome(other).is_err());
    }
}
