//! The engine's journal, before the engine reads it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use xxhash_rust::xxh3::xxh3_64;

use crate::store::embedded::folder::sync_folder;

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

/// The engine's sign at the end of each batch.
const SIGN: [u8; 4] = [b'F', b'J', b'L', 3];

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Cuts off the last batch of the last journal if a power cut tore it. Whether it did.
///
/// The engine leaves out what ends too early, but takes a batch whose beginning and end are there for damaged. What was
/// acknowledged is never in such a batch: it was fsynced. Whatever else is wrong with a journal stays as it is: a batch that
/// was written whole has been changed since.
pub(super) fn cut_torn(data: &Path) -> io::Result<bool> {
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let journals = files(data, JOURNAL)?;
    let Some(last) = journals.iter().max_by_key(|path| number(path)) else {
        return Ok(false);
    };
    let Some(start) = torn(&fs::read(last)?) else {
        return Ok(false);
    };
    let file = File::options().write(true).open(last)?;
    file.set_len(u64::try_from(start).unwrap_or(u64::MAX))?;
    file.sync_all()?;
    Ok(true)
}

/// Where the last batch begins, if it is torn and all before it are whole.
fn torn(journal: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let mut rest = journal.get(at..)?;
        let (items, sum) = batch(&mut rest)?;
        let end = journal.len() - rest.len();
        if xxh3_64(items) != sum {
            let is_last = rest.iter().all(|byte| *byte == 0);
            let first = at.next_multiple_of(SECTOR);
            let mut sectors = journal.get(first..end)?.chunks_exact(SECTOR);
            let has_hole = sectors.any(|sector| sector.iter().all(|byte| *byte == 0));
            return (is_last && has_hole).then_some(at);
        }
        at = end;
    }
}

/// Takes one batch: its records, and the sum that they ought to have.
fn batch<'j>(journal: &mut &'j [u8]) -> Option<(&'j [u8], u64)> {
    let [1] = take(journal)? else {
        return None;
    };
    let count = u32::from_le_bytes(take(journal)?);
    let _sequence: [u8; 8] = take(journal)?;
    let records = *journal;
    for _ in 0..count {
        match take(journal)? {
            // A record: what it is, not compressed, and of which key space.
            [2] => {
                let [_, 0] = take(journal)? else {
                    return None;
                };
                let _space: [u8; 8] = take(journal)?;
                let key = usize::from(u16::from_le_bytes(take(journal)?));
                let value = u32::from_le_bytes(take(journal)?);
                let written = u32::from_le_bytes(take(journal)?);
                let length = key.checked_add(usize::try_from(written).ok()?)?;
                if written != value {
                    return None;
                }
                *journal = journal.get(length..)?;
            }
            // A key space that was emptied.
            [4] => {
                let _space: [u8; 8] = take(journal)?;
            }
            [_] => return None,
        }
    }
    let length = records.len() - journal.len();
    let [3] = take(journal)? else {
        return None;
    };
    let sum = u64::from_le_bytes(take(journal)?);
    (take(journal)? == SIGN).then_some((records.get(..length)?, sum))
}

fn take<const N: usize>(journal: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = journal.split_first_chunk()?;
    *journal = rest;
    Some(*taken)
}
