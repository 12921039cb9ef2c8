//! A disk that is full, and one that stands still.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use annul::store::embedded::{EmbeddedOptions, OpenError};
use annul::store::{Changes, FeedPage, RevocationFeed, StoreError, StoreErrorKind, TokenStore};
use annul::{
    EmbeddedStore, Reason, Revocation, Revoked, Stopwatch, SystemStopwatch, Target, TokenState,
};

use crate::folder::Folder;
use crate::{NOW, is_revoked, issue, key, revoke, state};

/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn run(command: &str, arguments: &[&str]) {
    let output = Command::new(command).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "`{command} {}` failed (these tests mount file systems, which takes root): {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A file system of its own, unmounted when it is dropped.
struct Mount {
    folder: Folder,
    /// What it lies in, if not in memory.
    image: Option<Folder>,
}

impl Mount {
    fn small(megabytes: usize) -> Self {
        let folder = Folder::new();
        let size = format!("size={megabytes}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", folder.path().to_str().unwrap()]);
        Self { folder, image: None }
    }

    /// The same as another, at another place, from which it can be taken away.
    fn bound_to(other: &Self) -> Self {
        let mount = Self { folder: Folder::new(), image: None };
        mount.bind(other);
        mount
    }

    fn bind(&self, other: &Self) {
        run("mount", &["--bind", other.path().to_str().unwrap(), self.path().to_str().unwrap()]);
    }

    /// One that can be made to stand still, and whose disk can be looked at.
    fn in_a_file() -> Self {
        let image = Folder::new();
        let file = image.path().join("image");
        File::create(&file).unwrap().set_len(128 << 20).unwrap();
        run("mkfs.ext4", &["-q", file.to_str().unwrap()]);
        Self::of_image(image)
    }

    fn of_image(image: Folder) -> Self {
        let folder = Folder::new();
        let file = image.path().join("image");
        let (file, at) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        run("mount", &["-o", "loop", file, at]);
        Self { folder, image: Some(image) }
    }

    /// What is on the disk at this moment, and nothing of what the kernel still has in memory: the machine after a power
    /// cut.
    fn after_a_power_cut(&self) -> Self {
        let copy = Folder::new();
        let image = self.image.as_ref().unwrap().path().join("image");
        run("cp", &["--sparse=always", image.to_str().unwrap(), copy.path().to_str().unwrap()]);
        Self::of_image(copy)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Until its file is removed, nothing else fits.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![1; piece]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }

    /// Until what this returns is dropped, nothing is written.
    fn freeze(&self) -> Frozen {
        run("fsfreeze", &["-f", self.path().to_str().unwrap()]);
        Frozen(self.path().to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a test that fails may still have the store open.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

/// Apart from the mount: it has to go before the store does, which waits for what is under way.
struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(Command::new("fsfreeze").arg("-u").arg(&self.0).status());
    }
}

fn is_unavailable<T>(answer: Result<T, StoreError>) -> bool {
    answer.is_err_and(|error| error.kind() == StoreErrorKind::Unavailable)
}

/// Repeats it until it succeeds, as a client does that is answered 503.
async fn at_last<T, F>(attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let began = SystemStopwatch::start();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                assert!(began.elapsed() < PATIENCE, "it never resumed: {error:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_unavailable_loses_nothing_and_is_forgiven_by_itself() {
    let mount = Mount::small(48);
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    let mut revoked = Vec::new();
    for n in 0..50 {
        issue(&store, &format!("t{n}")).await.unwrap();
    }
    for round in 0..3 {
        mount.fill();
        // The journal may have some room left in its last page.
        let mut refused = 0;
        for n in 0..2_000 {
            let name = format!("{round}-{n}");
            match revoke(&store, &name).await {
                Ok(_) => revoked.push(name),
                Err(error) => {
                    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                    assert!(error.suggested_retry().is_some());
                    refused += 1;
                }
            }
            if refused == 20 {
                break;
            }
        }
        assert_eq!(refused, 20, "the disk was never full");
        // Readers go on, and see what is on disk.
        let spared = format!("t{}", 40 + round);
        assert_eq!(state(&store, &spared).await.unwrap(), Some(TokenState::Active));
        assert!(is_unavailable(revoke(&store, &spared).await));
        assert_eq!(state(&store, &spared).await.unwrap(), Some(TokenState::Active));
        mount.empty();
        let name = format!("t{round}");
        at_last(|| revoke(&store, &name)).await;
        assert!(is_revoked(state(&store, &name).await.unwrap()));
        revoked.push(name);
    }
    drop(store);
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    for name in revoked {
        assert_eq!(revoke(&store, &name).await.unwrap(), Revoked::Already, "{name} was forgotten");
    }
}

/// A failed engine is opened again by itself. Where its volume is gone meanwhile there is an empty folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_volume_is_gone_does_not_begin_with_an_empty_one() {
    let volume = Mount::small(48);
    let at = Mount::bound_to(&volume);
    let store = EmbeddedStore::open(at.path(), &key()).unwrap();
    issue(&store, "dead").await.unwrap();
    revoke(&store, "dead").await.unwrap();
    issue(&store, "live").await.unwrap();
    let before = store.changes(None, 9).await.unwrap();
    volume.fill();
    let began = SystemStopwatch::start();
    for n in 0.. {
        if revoke(&store, &format!("x{n}")).await.is_err() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the disk was never full");
    }
    run("umount", &["-l", at.path().to_str().unwrap()]);
    for _ in 0..5 {
        assert!(is_unavailable(revoke(&store, "live").await));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_unavailable(state(&store, "dead").await));
    assert!(is_unavailable(store.changes(None, 9).await));
    assert_eq!(fs::read_dir(at.path()).unwrap().count(), 0, "something was made in its place");
    // And it goes on once the volume is back.
    volume.empty();
    at.bind(&volume);
    assert_eq!(at_last(|| revoke(&store, "dead")).await, Revoked::Already);
    assert_eq!(state(&store, "live").await.unwrap(), Some(TokenState::Active));
    let Changes::Page(before) = before else { panic!("{before:?}") };
    let since = store.changes(Some(before.next()), 9).await.unwrap();
    let Changes::Page(since) = since else { panic!("{since:?}") };
    // As an opening of its own: a place that was lost with the last one is not taken for one that was given out since.
    let opening = |page: &FeedPage| page.next().as_str().split('.').next().map(str::to_owned);
    assert_ne!(opening(&since), opening(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_under_load_loses_nothing() {
    let mount = Mount::small(40);
    let store = Arc::new(EmbeddedStore::open(mount.store(), &key()).unwrap());
    // Until writing out what has gathered in memory fails, or the journal does.
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut revoked = Vec::new();
                for n in 0.. {
                    let name = format!("{caller}-{n}-{}", "x".repeat(2_000));
                    match revoke(&*store, &name).await {
                        Ok(_) => revoked.push(name),
                        Err(error) => {
                            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                            return revoked;
                        }
                    }
                }
                revoked
            })
        })
        .collect();
    let mut revoked = Vec::new();
    for caller in callers {
        revoked.extend(caller.await.unwrap());
    }
    assert!(revoked.len() > 1_000, "only {} were written", revoked.len());
    run("mount", &["-o", "remount,size=400m", mount.path().to_str().unwrap()]);
    at_last(|| revoke(&*store, "after")).await;
    drop(store);
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    assert_eq!(revoke(&store, "after").await.unwrap(), Revoked::Already);
    for name in revoked {
        assert_eq!(revoke(&store, &name).await.unwrap(), Revoked::Already, "{name} was forgotten");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stands_still_is_unavailable_in_time_and_resumes_by_itself() {
    let mount = Mount::in_a_file();
    let time_out = Duration::from_millis(400);
    let store = EmbeddedOptions::new(mount.store()).time_out(time_out).open(&key()).unwrap();
    for name in ["before", "during", "later"] {
        issue(&store, name).await.unwrap();
    }
    revoke(&store, "before").await.unwrap();
    let frozen = mount.freeze();
    // The first is stuck on the disk, the second waits behind it.
    let began = SystemStopwatch::start();
    let both = async { tokio::join!(revoke(&store, "during"), revoke(&store, "later")) };
    let (first, second) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(is_unavailable(first) && is_unavailable(second));
    // The clock of the store is no finer than its watch; a machine under load may be late, but not by much.
    assert!(began.elapsed() > time_out / 2, "{:?}", began.elapsed());
    let third = tokio::time::timeout(PATIENCE, revoke(&store, "during")).await.unwrap();
    assert!(is_unavailable(third));
    // What was acknowledged is answered from what is in memory, and what was not is not claimed.
    assert!(is_revoked(state(&store, "before").await.unwrap()));
    assert_eq!(state(&store, "later").await.unwrap(), Some(TokenState::Active));
    drop(frozen);
    at_last(|| revoke(&store, "later")).await;
    assert!(is_revoked(state(&store, "later").await.unwrap()));
    // Stuck is not lost: it went on its way when the disk did, or was never begun; asked again it is so.
    let during = Revocation::by_operator(Target::Grant("during".into()), Reason::Logout, NOW);
    store.revoke(&during).await.unwrap();
    assert!(is_revoked(state(&store, "during").await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_on_the_disk_and_not_on_its_way_there() {
    let mount = Mount::in_a_file();
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    for n in 0..20 {
        let name = format!("t{n}");
        issue(&store, &name).await.unwrap();
        revoke(&store, &name).await.unwrap();
        if n % 5 == 0 {
            let rest = mount.after_a_power_cut();
            let after = EmbeddedStore::open(rest.store(), &key()).unwrap();
            for n in 0..=n {
                let found = state(&after, &format!("t{n}")).await.unwrap();
                assert!(is_revoked(found), "t{n} was revoked, and is {found:?} after a power cut");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_with_little_room_is_still_read() {
    let mount = Mount::small(96);
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    let long = "x".repeat(15_000);
    for n in 0..400 {
        issue(&store, &format!("{n}-{long}")).await.unwrap();
    }
    revoke(&store, &format!("0-{long}")).await.unwrap();
    mount.fill();
    let mut n = 0;
    while revoke(&store, &format!("{n}")).await.is_ok() {
        n += 1;
    }
    // Too little to write the journal anew.
    let ballast = File::options().write(true).open(mount.path().join("ballast")).unwrap();
    ballast.set_len(ballast.metadata().unwrap().len() - (3 << 20)).unwrap();
    drop(ballast);
    for _ in 0..5 {
        assert!(is_unavailable(revoke(&store, "no room").await));
        assert!(is_revoked(state(&store, &format!("0-{long}")).await.unwrap()));
    }
    mount.empty();
    at_last(|| revoke(&store, "room")).await;
}

/// The files that the journals are in. A system that was told to write a file and could not may forget that it has to,
/// and say later that it has: only another file is sure to be written.
fn journals(folder: &Path) -> Vec<(PathBuf, u64)> {
    let data = fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let journals = data.filter(|path| path.extension() == Some("jnl".as_ref()));
    journals
        .map(|path| (path.clone(), std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_perhaps_did_not_come_to_disk_is_written_anew_and_not_taken_on() {
    let mount = Mount::small(48);
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    issue(&store, "dead").await.unwrap();
    revoke(&store, "dead").await.unwrap();
    let at_first = journals(&mount.store());
    mount.fill();
    let mut n = 0;
    while revoke(&store, &format!("{n}")).await.is_ok() {
        n += 1;
    }
    mount.empty();
    assert_eq!(at_last(|| revoke(&store, "dead")).await, Revoked::Already);
    let reopened = journals(&mount.store());
    assert!(at_first.iter().all(|journal| !reopened.contains(journal)), "{reopened:?}");
    // While it is open, nobody else writes its files anew.
    assert!(EmbeddedStore::open(mount.store(), &key()).is_err());
    assert_eq!(journals(&mount.store()), reopened);
    // Nor does another process know how the last one ended.
    drop(store);
    fs::write(mount.store().join("data/0.copy"), "cut off half way").unwrap();
    let store = EmbeddedStore::open(mount.store(), &key()).unwrap();
    let after = journals(&mount.store());
    assert!(reopened.iter().all(|journal| !after.contains(journal)), "{after:?}");
    assert!(!mount.store().join("data/0.copy").exists());
    assert!(is_revoked(state(&store, "dead").await.unwrap()));
}

/// The journal that is being written, and how long it is without the zeros at its end.
fn journal(folder: &Path) -> (PathBuf, usize) {
    let data = fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let journals = data.filter(|path| path.extension() == Some("jnl".as_ref()));
    let path = journals.max().unwrap();
    let bytes = fs::read(&path).unwrap();
    let length = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (path, length)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_that_a_power_cut_tore_is_left_out_but_one_that_was_changed_is_damage() {
    let folder = Folder::in_memory();
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    issue(&store, "before").await.unwrap();
    revoke(&store, "before").await.unwrap();
    let (path, before) = journal(folder.path());
    let grant = annul::Grant::new("torn", "web", NOW).scope("x".repeat(3_000));
    let token = annul::NewToken::refresh(annul::PresentedToken::new("torn"), NOW + crate::DAY);
    annul::store::TokenLedger::issue(&store, grant, &[token], NOW).await.unwrap();
    drop(store);
    let (_, after) = journal(folder.path());
    let whole = fs::read(&path).unwrap();
    let write = |range: std::ops::Range<usize>, byte: u8| {
        let mut bytes = whole.clone();
        bytes[range].fill(byte);
        fs::write(&path, bytes).unwrap();
    };
    let is_damaged = || {
        let opened = EmbeddedStore::open(folder.path(), &key());
        matches!(opened, Err(OpenError::Damaged { .. }))
    };
    let holes: Vec<_> = (before.div_ceil(512) * 512..after - 512).step_by(512).collect();
    assert!(holes.len() >= 5, "{before}..{after}");
    for hole in holes {
        write(hole..hole + 512, 0);
        let store = EmbeddedStore::open(folder.path(), &key());
        let store = store.unwrap_or_else(|error| panic!("with a hole at {hole}: {error}"));
        assert!(is_revoked(state(&store, "before").await.unwrap()), "{hole}");
        assert_eq!(state(&store, "torn").await.unwrap(), None, "{hole}");
        issue(&store, "after").await.unwrap();
        drop(store);
    }
    // Changed where it was whole.
    let within = whole.windows(2_900).position(|bytes| bytes.iter().all(|byte| *byte == b'x'));
    let within = within.unwrap() + 1_000;
    write(within..within + 9, b'y');
    assert!(is_damaged());
    // Torn, but not the last one: what is behind it was acknowledged.
    let sector = within.next_multiple_of(512);
    let mut bytes = whole[..after].to_vec();
    bytes[sector..sector + 512].fill(0);
    let behind = bytes[..before].to_vec();
    bytes.extend(behind);
    fs::write(&path, bytes).unwrap();
    assert!(is_damaged());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_a_power_cut_tore_is_left_out_and_the_rest_is_there() {
    let folder = Folder::in_memory();
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    issue(&store, "before").await.unwrap();
    revoke(&store, "before").await.unwrap();
    let (path, before) = journal(folder.path());
    // The last batch: say that nobody was told of it.
    let long = "x".repeat(100);
    let names: Vec<String> = (0..18).map(|n| format!("{n}-{long}")).collect();
    let grant = annul::Grant::new("torn", "web", NOW).scope(long.as_str());
    let tokens: Vec<_> = names
        .iter()
        .map(|name| annul::NewToken::refresh(annul::PresentedToken::new(name), NOW + crate::DAY))
        .collect();
    annul::store::TokenLedger::issue(&store, grant, &tokens, NOW).await.unwrap();
    drop(store);
    let (_, after) = journal(folder.path());
    let mut whole = fs::read(&path).unwrap();
    whole.truncate(after + 4_096);
    assert!(after - before > 3_000, "the batch is {} bytes", after - before);
    let cuts = (before + 1..after).step_by(97).chain([after - 1]).map(|cut| cut..whole.len());
    // A sector that did not come to disk, where a later one did.
    let holes = (before.div_ceil(512) * 512..after - 512).step_by(512).map(|hole| hole..hole + 512);
    for torn in cuts.chain(holes) {
        let mut bytes = whole.clone();
        bytes[torn.clone()].fill(0);
        fs::write(&path, bytes).unwrap();
        let store = EmbeddedStore::open(folder.path(), &key());
        let store = store.unwrap_or_else(|error| panic!("without {torn:?}: {error}"));
        assert!(is_revoked(state(&store, "before").await.unwrap()), "without {torn:?}");
        for name in &names {
            assert_eq!(state(&store, name).await.unwrap(), None, "without {torn:?}");
        }
        // And it goes on from there.
        issue(&store, "after").await.unwrap();
        drop(store);
        let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
        assert_eq!(state(&store, "after").await.unwrap(), Some(TokenState::Active));
    }
}
