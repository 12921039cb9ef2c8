//! The folder of a store, as the operating system keeps it.

use std::path::Path;
use std::{fs, io};

/// In the folder: the engine's files.
pub(super) const DATA: &str = "data";

/// Who may read it knows who uses which client, though no token.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A name is on disk when its folder is.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Where folders cannot be opened, the system sees to it.
#[cfg(not(unix))]
pub(super) const fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
