//! Why a store was not opened.

use std::io;
use std::path::PathBuf;

use crate::store::embedded::records::FORMAT;

/// Why an [`EmbeddedStore`](crate::store::EmbeddedStore) was not opened. Nothing was changed.
///
/// What it displays says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The engine cannot make sense of its files.
    #[error(
        "the embedded store in {} cannot be read ({why}): put back a copy of the folder, or begin with an empty one, \
         which forgets every token",
        .folder.display()
    )]
    Damaged {
        /// Where.
        folder: PathBuf,
        /// What the engine said.
        why: String,
    },
    /// The operating system refused.
    #[error(
        "the embedded store in {} cannot be opened ({source}): it needs a folder that this process may write to",
        .folder.display()
    )]
    Io {
        /// Where.
        folder: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another process has it open, or another store of this one.
    #[error(
        "the embedded store in {} is in use: one process at a time can open it, so end the other one; within a process, \
         clone the store",
        .folder.display()
    )]
    Locked {
        /// Where.
        folder: PathBuf,
    },
    /// There is a file where the folder should be.
    #[error("{} is a file: the embedded store needs a folder of its own", .folder.display())]
    NotAFolder {
        /// Where.
        folder: PathBuf,
    },
    /// The folder holds other things.
    #[error(
        "{} is not empty and holds no embedded store: name an empty folder, or one that does not exist yet",
        .folder.display()
    )]
    NotAStore {
        /// Where.
        folder: PathBuf,
    },
    /// It was written by another version of this crate.
    #[error(
        "the embedded store in {} has format {found}, and this version of annul reads format {FORMAT}: use the version \
         that wrote it",
        .folder.display()
    )]
    OtherFormat {
        /// Where.
        folder: PathBuf,
        /// The format it is in.
        found: String,
    },
    /// It was written with another [`DigestKey`](crate::token::DigestKey).
    #[error(
        "the embedded store in {} was written with another digest key, by which none of its tokens would be found: start \
         with the key that it was created with",
        .folder.display()
    )]
    OtherKey {
        /// Where.
        folder: PathBuf,
    },
}
