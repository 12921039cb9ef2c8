//! Opening: what has to be true of the folder before the engine touches it, and what is said where it is not.

use std::fs::File;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use std::{fs, io, thread};

use crate::error::StoreError;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Engine, Space, WriteError};
use crate::store::embedded::folder::{DATA, make_folder, sync_folder};
use crate::store::embedded::records::{FORMAT, OPENINGS, OpeningsRow, STORE, StoreRow, read_row};
use crate::store::embedded::start_error::OpenError;
use crate::store::embedded::{feed, journal};
use crate::token::DigestKey;

/// In the folder: which format it is in, and by which key.
const LABEL: &str = "annul-store";

/// In the folder of the engine's files: what an engine locks while it is open.
const LOCK: &str = "lock";

/// How often to try for that lock, and how long to wait in between.
const LOCK_TRIES: u32 = 3;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Where an [`EmbeddedStore`](crate::store::EmbeddedStore) stands when it is opened.
pub(super) enum FolderState {
    /// There is none yet. Whoever holds this makes it, and nobody else does.
    Nothing(Making),
    Store,
}

/// The mark of a store that is being made, until its label is written. What a kill leaves behind in between was never
/// anybody's: nothing was acknowledged.
pub(super) struct Making {
    path: PathBuf,
    /// Locked for as long as it is open.
    _file: File,
}

/// Checks the folder, and makes it where there is none.
pub(super) fn check(folder: &Path, key: &DigestKey) -> Result<FolderState, OpenError> {
    let failed = |source| OpenError::Io { folder: folder.to_owned(), source };
    if folder.exists() && !folder.is_dir() {
        return Err(OpenError::NotAFolder { folder: folder.to_owned() });
    }
    make_folder(folder).map_err(failed)?;
    if find_label(folder, key)? {
        return Ok(FolderState::Store);
    }
    let begun = folder.join(MAKING).exists();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let ours = name == MAKING || begun && (name == DATA || name == NEW_LABEL);
        if !ours {
            return Err(OpenError::NotAStore { folder: folder.to_owned() });
        }
    }
    let making = begin_making(folder)?;
    // Somebody may have made it before we had the lock.
    if find_label(folder, key)? {
        return Ok(FolderState::Store);
    }
    let data = folder.join(DATA);
    if data.exists() {
        fs::remove_dir_all(data).map_err(failed)?;
    }
    Ok(FolderState::Nothing(making))
}

#[expect(clippy::incompatible_msrv, reason = "this feature needs a later Rust than the others")]
fn begin_making(folder: &Path) -> Result<Making, OpenError> {
    let failed = |source| OpenError::Io { folder: folder.to_owned(), source };
    let path = folder.join(MAKING);
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Making { path, _file: file }),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Making {
    /// From here on it is a store.
    pub(super) fn finish(self, folder: &Path, key: &DigestKey) -> Result<(), OpenError> {
        let finish = || {
            write_label(folder, key)?;
            fs::remove_file(&self.path)
        };
        finish().map_err(|source| OpenError::Io { folder: folder.to_owned(), source })
    }
}

/// Whether there is a label, which has to be of this version and this key.
fn find_label(folder: &Path, key: &DigestKey) -> Result<bool, OpenError> {
    match fs::read(folder.join(LABEL)) {
        Ok(label) => {
            read_label(folder, &String::from_utf8_lossy(&label), key)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(OpenError::Io { folder: folder.to_owned(), source }),
    }
    if !folder.join(DATA).is_dir() {
        return Err(damaged(folder, format!("its folder `{DATA}` is missing")));
    }
    Ok(true)
}

const NEW_LABEL: &str = "annul-store.new";
const MAKING: &str = "annul-store.making";

/// The key in a form that tells whether another is the same, and nothing else about it.
fn check_value(key: &DigestKey) -> String {
    let value = key.derive("annul embedded key check", "");
    value.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_label(folder: &Path, key: &DigestKey) -> io::Result<()> {
    let new = folder.join(NEW_LABEL);
    let mut file = File::create(&new)?;
    write!(file, "annul embedded store\nformat {FORMAT}\nkey {}\n", check_value(key))?;
    file.sync_all()?;
    fs::rename(&new, folder.join(LABEL))?;
    sync_folder(folder)?;
    match folder.canonicalize()?.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

fn read_label(folder: &Path, label: &str, key: &DigestKey) -> Result<(), OpenError> {
    let folder = folder.to_owned();
    let mut lines = label.lines();
    if lines.next() != Some("annul embedded store") {
        return Err(OpenError::NotAStore { folder });
    }
    let format = lines.next().and_then(|line| line.strip_prefix("format ")).unwrap_or_default();
    if format != FORMAT.to_string() {
        return Err(OpenError::OtherFormat { folder, found: format.to_owned() });
    }
    let written = lines.next().and_then(|line| line.strip_prefix("key "));
    if written != Some(&check_value(key)) {
        return Err(OpenError::OtherKey { folder });
    }
    Ok(())
}

/// Opens the engine of a store that is there, or is being made; and how far its feed goes.
pub(super) fn engine(
    folder: &Path,
    cache: u64,
    operations: Arc<AtomicU64>,
    is_new: bool,
) -> Result<(Engine, u64), OpenError> {
    let data = folder.join(DATA);
    if is_new {
        // Whoever made the folder may have let others in.
        make_folder(&data).map_err(|source| OpenError::Io { folder: folder.to_owned(), source })?;
    } else {
        let _lock = lock_engine(folder)?;
        journal::renew(&data)
            .and_then(|()| journal::cut_torn(&data))
            .map_err(|source| OpenError::Io { folder: folder.to_owned(), source })?;
    }
    let engine =
        Engine::open(&data, cache, operations).map_err(|error| engine_error(folder, error))?;
    let recorded = catch_unwind(AssertUnwindSafe(|| record_opening(&engine, folder, is_new)));
    let place = recorded.unwrap_or_else(|_| Err(damaged(folder, "the engine panicked")))?;
    Ok((engine, place))
}

/// Until what this returns is dropped, no engine has the folder open.
#[expect(clippy::incompatible_msrv, reason = "this feature needs a later Rust than the others")]
fn lock_engine(folder: &Path) -> Result<Option<File>, OpenError> {
    let failed = |source| OpenError::Io { folder: folder.to_owned(), source };
    let file = match File::options().write(true).open(folder.join(DATA).join(LOCK)) {
        Ok(file) => file,
        // The engine will say what it misses.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    for patience in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // A process that has ended may take a moment to let go of it.
            Err(fs::TryLockError::WouldBlock) if patience > 0 => thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::WouldBlock) => break,
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Err(OpenError::Locked { folder: folder.to_owned() })
}

/// Opens the engine of a store that was open before, which it has to be still.
pub(super) fn reopen(
    folder: &Path,
    key: &DigestKey,
    cache: u64,
    operations: Arc<AtomicU64>,
) -> Result<(Engine, u64), OpenError> {
    if !find_label(folder, key)? {
        return Err(damaged(folder, "its label is gone"));
    }
    engine(folder, cache, operations, false)
}

fn damaged(folder: &Path, why: impl Into<String>) -> OpenError {
    OpenError::Damaged { folder: folder.to_owned(), why: why.into() }
}

/// What the engine says, in our words.
fn engine_error(folder: &Path, error: fjall::Error) -> OpenError {
    let folder = folder.to_owned();
    if let fjall::Error::Io(source) = error {
        return OpenError::Io { folder, source };
    }
    if matches!(error, fjall::Error::Locked) {
        return OpenError::Locked { folder };
    }
    damaged(&folder, error.to_string())
}

/// Writes down that the store was opened; how far its feed goes.
fn record_opening(engine: &Engine, folder: &Path, is_new: bool) -> Result<u64, OpenError> {
    let damaged = |why: String| damaged(folder, why);
    let source = |error: StoreError| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        damaged(source.unwrap_or_default())
    };
    let store: StoreRow = read_row(engine, Space::Meta, STORE).map_err(source)?.unwrap_or_default();
    let openings: OpeningsRow =
        read_row(engine, Space::Meta, OPENINGS).map_err(source)?.unwrap_or_default();
    if openings.openings.is_empty() && !is_new {
        return Err(damaged("its files are gone".to_owned()));
    }
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|error| damaged(error.to_string()))?;
    let openings = feed::with_opening(openings, u64::from_le_bytes(name), store.place);
    let mut batch = Batch::new(engine);
    batch.decide(|batch| batch.put(Space::Meta, OPENINGS, &openings)).map_err(source)?;
    engine.commit(batch.finish().map_err(source)?.writes).map_err(|error| match error {
        WriteError::Failed(why) => damaged(why),
        WriteError::Refused => damaged("it refuses to write".to_owned()),
    })?;
    Ok(store.place)
}
