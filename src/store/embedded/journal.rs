//! The engine's journal, before the engine reads it.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use crate::store::embedded::open::sync_folder;

/// What the engine calls its journals.
const JOURNAL: &str = "jnl";

/// A copy that is not finished: the engine passes over it.
const COPY: &str = "copy";

/// How much is copied at once.
const PIECE: usize = 1 << 16;

/// Puts every journal on disk anew.
///
/// After a failed fsync the system may take what it could not write for written: it still shows it to whoever reads, and
/// the next fsync of that file has nothing to do and succeeds. So what a journal shows is on disk only once it was written
/// to another file, and that one's fsync succeeded. A process that opens the folder later cannot know what happened before.
///
/// Nobody else may have it open.
pub(super) fn renew(data: &Path) -> io::Result<()> {
    for left in files(data, COPY)? {
        // Cut off half way.
        fs::remove_file(left)?;
    }
    for journal in files(data, JOURNAL)? {
        let path = journal.with_extension(COPY);
        let mut copy = File::create(&path)?;
        let end = each_piece(&journal, |at, piece| {
            copy.seek(SeekFrom::Start(at))?;
            copy.write_all(piece)
        })?;
        copy.set_len(end)?;
        copy.sync_all()?;
        fs::rename(&path, &journal)?;
    }
    sync_folder(data)
}

/// How much room that takes, in bytes.
pub(super) fn room(data: &Path) -> io::Result<u64> {
    let mut longest = 0;
    for journal in files(data, JOURNAL)? {
        longest = longest.max(each_piece(&journal, |_, _| Ok(()))?);
    }
    Ok(longest)
}

fn files(data: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(data)?.map(|entry| entry.map(|entry| entry.path()));
    paths
        .filter(|path| {
            path.as_ref().map_or(true, |path| path.extension() == Some(extension.as_ref()))
        })
        .collect()
}

/// Everything in a journal but zeros, and where that ends. The engine makes room ahead, zeros that it passes over when it
/// reads.
fn each_piece(
    journal: &Path,
    mut see: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut file = File::open(journal)?;
    let mut buffer = vec![0; PIECE];
    let (mut at, mut end) = (0, 0);
    loop {
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            return Ok(end);
        };
        let length = read.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if let Some(piece) = read.get(..length).filter(|piece| !piece.is_empty()) {
            see(at, piece)?;
            end = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
