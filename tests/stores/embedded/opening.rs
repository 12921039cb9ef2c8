//! What is said where a store cannot be opened, and that nothing is touched then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use annul::store::embedded::OpenError;
use annul::{DigestKey, EmbeddedStore};

use crate::folder::Folder;
use crate::kill::Child;
use crate::{is_revoked, issue, key, revoke, state};

/// Every file in a folder, its length and when it was written.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let about = fs::metadata(&path).unwrap();
            found.insert(path, (about.len(), about.modified().unwrap()));
        }
    }
    found
}

/// Opening fails with these words, and changes nothing.
fn refused(folder: &Path, key: &DigestKey, words: &[&str]) -> OpenError {
    let before = folder.is_dir().then(|| files(folder));
    let error = EmbeddedStore::open(folder, key).unwrap_err();
    assert_eq!(folder.is_dir().then(|| files(folder)), before, "{error}");
    let said = error.to_string();
    for word in words.iter().chain([&folder.to_str().unwrap()]) {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    error
}

/// A store with one dead token in it.
async fn made(folder: &Folder) {
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    issue(&store, "dead").await.unwrap();
    revoke(&store, "dead").await.unwrap();
}

async fn still_good(folder: &Folder) {
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    assert!(is_revoked(state(&store, "dead").await.unwrap()));
}

#[tokio::test]
async fn another_key_is_refused_before_a_token_is_not_found() {
    let folder = Folder::in_memory();
    made(&folder).await;
    let other = DigestKey::new(&[8; 32]);
    let error = refused(folder.path(), &other, &["another digest key", "start with the key"]);
    assert!(matches!(error, OpenError::OtherKey { .. }));
    still_good(&folder).await;
}

#[tokio::test]
async fn another_format_is_refused() {
    let folder = Folder::in_memory();
    made(&folder).await;
    let label = folder.path().join("annul-store");
    let written = fs::read_to_string(&label).unwrap();
    fs::write(&label, written.replace("format 1", "format 2")).unwrap();
    let error = refused(folder.path(), &key(), &["format 2", "reads format 1", "use the version"]);
    assert!(matches!(error, OpenError::OtherFormat { .. }));
    fs::write(&label, written).unwrap();
    still_good(&folder).await;
}

#[tokio::test]
async fn a_folder_of_other_things_is_left_alone() {
    let folder = Folder::in_memory();
    fs::write(folder.path().join("thesis.txt"), "chapter one").unwrap();
    let error = refused(folder.path(), &key(), &["no embedded store", "empty folder"]);
    assert!(matches!(error, OpenError::NotAStore { .. }));
    fs::remove_file(folder.path().join("thesis.txt")).unwrap();
    fs::write(folder.path().join("annul-store"), b"\xff\xfenot a label").unwrap();
    let error = refused(folder.path(), &key(), &["no embedded store"]);
    assert!(matches!(error, OpenError::NotAStore { .. }));
}

#[test]
fn a_file_in_the_place_of_the_folder_is_refused() {
    let folder = Folder::in_memory();
    let file = folder.path().join("store.db");
    fs::write(&file, "other things").unwrap();
    let error = refused(&file, &key(), &["is a file", "a folder of its own"]);
    assert!(matches!(error, OpenError::NotAFolder { .. }));
    assert_eq!(fs::read(&file).unwrap(), b"other things");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // Nobody can make a folder there, root neither.
    let error = refused(Path::new("/proc/annul"), &key(), &["cannot be opened", "may write to"]);
    assert!(matches!(error, OpenError::Io { .. }));
}

#[tokio::test]
async fn files_that_make_no_sense_are_refused() {
    let folder = Folder::in_memory();
    made(&folder).await;
    let journal =
        files(folder.path()).into_keys().find(|path| path.extension() == Some("jnl".as_ref()));
    let journal = journal.unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    // Within the first batch, and long enough to be no cut at the end.
    bytes.iter_mut().skip(40).take(8).for_each(|byte| *byte ^= 0xff);
    fs::write(&journal, bytes).unwrap();
    let error = EmbeddedStore::open(folder.path(), &key()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("put back a copy"));
}

#[tokio::test]
async fn it_is_opened_once_at_a_time_by_whichever_process() {
    let folder = Folder::in_memory();
    made(&folder).await;
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    let words = ["in use", "end the other one", "clone the store"];
    let error = EmbeddedStore::open(folder.path(), &key()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    // A clone is enough to hold it.
    let clone = store.clone();
    drop(store);
    assert!(matches!(EmbeddedStore::open(folder.path(), &key()), Err(OpenError::Locked { .. })));
    drop(clone);
    still_good(&folder).await;
    // And the other way round.
    let mut child = Child::start(folder.path());
    child.wait_for("open");
    assert!(matches!(EmbeddedStore::open(folder.path(), &key()), Err(OpenError::Locked { .. })));
    child.kill();
    still_good(&folder).await;
}

#[tokio::test]
async fn a_store_whose_making_was_cut_off_is_made_again() {
    let folder = Folder::in_memory();
    made(&folder).await;
    // What a kill leaves behind that came before the label was written.
    for name in ["annul-store.new", "annul-store.making"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    fs::remove_file(folder.path().join("annul-store")).unwrap();
    fs::remove_file(folder.path().join("data/version")).unwrap();
    made(&folder).await;
    still_good(&folder).await;
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2, "something is left over in {:?}", files(folder.path()));
}

#[tokio::test]
async fn data_without_a_label_are_left_alone_and_a_label_without_data_is_no_empty_store() {
    let folder = Folder::in_memory();
    made(&folder).await;
    let (label, data) = (folder.path().join("annul-store"), folder.path().join("data"));
    let written = fs::read(&label).unwrap();
    fs::remove_file(&label).unwrap();
    let error = refused(folder.path(), &key(), &["no embedded store"]);
    assert!(matches!(error, OpenError::NotAStore { .. }));
    fs::write(&label, written).unwrap();
    still_good(&folder).await;
    fs::remove_dir_all(&data).unwrap();
    let error = refused(folder.path(), &key(), &["`data` is missing", "put back a copy"]);
    assert!(matches!(error, OpenError::Damaged { .. }));
    fs::create_dir(&data).unwrap();
    let error = EmbeddedStore::open(folder.path(), &key()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_reads_the_data_whoever_made_the_folder() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::in_memory();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    made(&folder).await;
    let mode = fs::metadata(folder.path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
