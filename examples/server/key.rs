//! The digest key of a store that lasts, in a file of its own.
//!
//! A store keeps keyed digests in the place of tokens, so that a stolen store gives no token away. Whoever has both can
//! test guesses again: keep backups of the two apart. Without the key no token of the store is ever found again.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use annul::DigestKey;

use crate::Failure;

/// 32 bytes as 64 hexadecimal digits.
pub(crate) struct KeyFile {
    file: PathBuf,
    key: [u8; 32],
    is_new: bool,
}

impl KeyFile {
    /// Reads the key, or makes one at the first start. The file is its owner's alone.
    pub(crate) fn read_or_make(file: PathBuf) -> Result<Self, Failure> {
        if let Some(key) = read(&file)? {
            return Ok(Self { file, key, is_new: false });
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let is_new = write(&file, &key)
            .map_err(|error| format!("cannot write the key file {}: {error}", file.display()))?;
        if is_new {
            return Ok(Self { file, key, is_new });
        }
        // Another process was there first: then that is the key.
        match read(&file)? {
            Some(key) => Ok(Self { file, key, is_new }),
            None => Err(format!("the key file {} comes and goes", file.display()).into()),
        }
    }

    pub(crate) fn digest_key(&self) -> DigestKey {
        DigestKey::new(&self.key)
    }

    /// Takes a key away that was made for nothing.
    pub(crate) fn discard_if_new(&self) {
        if self.is_new {
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// The key in a file; none where there is no file.
fn read(file: &Path) -> Result<Option<[u8; 32]>, Failure> {
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read the key file {shown}: {error}").into()),
    };
    let key = parse(text.trim_ascii());
    let key = key.ok_or_else(|| format!("{shown} is no key file: it wants 64 hexadecimal digits"));
    if is_open_to_others(file) {
        eprintln!("warning: others may read the key file {shown}: chmod 600 {shown}");
    }
    Ok(Some(key?))
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(key)
}

/// Writes the key where there is none, whole and on disk before a store is made with it. Whether it was written.
fn write(file: &Path, key: &[u8; 32]) -> io::Result<bool> {
    let mut text = String::with_capacity(65);
    for byte in key {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owners_alone(&mut options);
    let mut opened = options.open(&draft)?;
    let linked = opened
        .write_all(text.as_bytes())
        .and_then(|()| opened.sync_all())
        // Not a rename: that would replace what another process has just put there.
        .and_then(|()| fs::hard_link(&draft, file));
    let removed = fs::remove_file(&draft);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    removed?;
    sync_folder(folder)?;
    Ok(true)
}

#[cfg(unix)]
fn owners_alone(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(0o600);
}

#[cfg(not(unix))]
fn owners_alone(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_open_to_others(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_file: &Path) -> bool {
    false
}
