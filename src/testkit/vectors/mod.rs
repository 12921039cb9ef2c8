//! The vectors that hold every store to one rule: `tests/vectors/rotation.txt` and `tests/vectors/covering.txt`.
//!
//! Each line is a case and its answer. [`rotation()`] and [`covering()`] read them; [`check_rotation`] and [`check_covering`] run
//! them on a store, through its public face. A store whose rules are written in another language should also set each
//! case up in its tables, so that the cases that no caller can bring about in reasonable time (generations at their
//! limits) are tried as well.

mod covering;
mod rotation;

pub use covering::{CoveringCase, CoveringEntry, check_covering, covering};
pub use rotation::{RotationCase, check_rotation, rotation};

use std::time::Duration;

use crate::clock::Timestamp;

/// The instant that the vectors count from.
pub const START: Timestamp = Timestamp::from_unix_seconds(4_000_000_000);

/// What came of running vectors on a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// How many cases were run.
    pub cases: usize,
    /// Cases that cannot be brought about through the public face.
    pub unreachable: Vec<&'static str>,
    /// Each case that was answered otherwise: its line, and what the store said.
    pub wrong: Vec<String>,
}

/// The cases of a file: what stands before and after the arrow, of each line that is no comment.
fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (before, after) = line.split_once("=> ").unwrap_or((line, ""));
        (line, before, after)
    })
}

/// An instant of the vectors.
fn instant(text: &str) -> Option<Timestamp> {
    match text {
        "never" => Some(Timestamp::MAX),
        millis => match millis.strip_prefix('-') {
            Some(before) => Some(START - Duration::from_millis(before.parse().ok()?)),
            None => Some(START + Duration::from_millis(millis.parse().ok()?)),
        },
    }
}
