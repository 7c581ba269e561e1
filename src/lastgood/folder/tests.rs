//! Files, folders, and several hands in them at once. Everything happens in temporary directories.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;
use crate::engine::io::Good;
use crate::lastgood::laws::good;

fn key(name: &str) -> Key {
    Key::new(&["server".into(), "--api-key=hidden".into()], Path::new("/home"), Some(name))
}

/// A folder that is not there yet, in a directory that is. Its patience outlasts any other test's.
fn folder() -> (TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder { tries: 6_000, ..Folder::ours(dir.path().join("data").join("last-good")) };
    (dir, folder)
}

/// The same with one entry in the file of the server "a".
fn filled() -> (TempDir, Folder, PathBuf) {
    let (dir, folder) = folder();
    assert!(learn(&folder, "a", &[greeting("old")]).unwrap().is_empty());
    let path = folder.path.join(key("a").file_name());
    (dir, folder, path)
}

fn greeting(version: &str) -> Good {
    good(version, "initialize", None, r#"{"serverInfo":{}}"#)
}

/// Gives what was told on the way.
fn learn(folder: &Folder, name: &str, goods: &[Good]) -> Result<Vec<Fault>, Fault> {
    let entries: Vec<_> = goods.iter().map(|good| format::entry(good.clone()).unwrap()).collect();
    let mut told = Vec::new();
    folder.update(&key(name), &entries, &mut |fault| told.push(fault))?;
    Ok(told)
}

fn known(folder: &Folder, name: &str) -> Vec<Good> {
    folder.read(&key(name)).unwrap().into_goods()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &Folder) -> BTreeSet<String> {
    let names = fs::read_dir(&folder.path).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Moves a file's time back.
fn age(path: &Path, by: Duration) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let now = file.metadata().unwrap().modified().unwrap();
    file.set_modified(now - by).unwrap();
}

/// What reading says, and an update which cannot go on as well.
fn refused(folder: &Folder) -> Unusable {
    let why = |fault| match fault {
        Fault::Read { why, .. } | Fault::Folder { why, .. } => Some(why),
        Fault::NoPlace
        | Fault::Thread(_)
        | Fault::Write { .. }
        | Fault::Misfit { .. }
        | Fault::Behind
        | Fault::Late
        | Fault::Panicked => None,
    };
    let read = folder.read(&key("a")).err().and_then(why).unwrap();
    let update = learn(folder, "a", &[greeting("new")]).err().and_then(why).unwrap();
    assert_eq!(update.to_string(), read.to_string());
    read
}

#[test]
fn nothing_is_known_before_something_was_learned_and_reading_makes_nothing() {
    let (dir, folder) = folder();
    assert!(known(&folder, "a").is_empty());
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}

#[test]
fn what_was_learned_is_known_and_is_the_users_alone() {
    let (dir, folder, path) = filled();
    assert_eq!(known(&folder, "a"), [greeting("old")]);
    assert!(known(&folder, "b").is_empty());
    assert_eq!((mode(&dir.path().join("data")), mode(&folder.path), mode(&path)), (0o700, 0o700, 0o600));
    assert_eq!(names(&folder), BTreeSet::from([key("a").file_name()]), "nothing else is left");
    assert!(!fs::read_to_string(path).unwrap().contains("hidden"));
}

#[test]
fn a_folder_that_was_there_keeps_its_mode_and_what_else_is_in_it() {
    let (_dir, folder) = folder();
    fs::create_dir_all(&folder.path).unwrap();
    allow(&folder.path, 0o755);
    fs::write(folder.path.join("mine.json"), "x").unwrap();
    learn(&folder, "a", &[greeting("v")]).unwrap();
    assert_eq!(mode(&folder.path), 0o755);
    assert_eq!(names(&folder), BTreeSet::from([key("a").file_name(), "mine.json".to_owned()]));
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    for mode in [0o770, 0o707, 0o1777, 0o702] {
        let (_dir, folder, path) = filled();
        let before = fs::read(&path).unwrap();
        allow(&folder.path, mode);
        assert!(matches!(refused(&folder), Unusable::OthersWrite), "{mode:o}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let (_dir, folder, _) = filled();
    let theirs = Folder { owner: folder.owner + 1, ..folder };
    assert!(matches!(refused(&theirs), Unusable::Foreign));
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let (dir, folder, path) = filled();
    let aside = dir.path().join("aside");
    fs::rename(&folder.path, &aside).unwrap();
    symlink(&aside, &folder.path).unwrap();
    assert!(matches!(refused(&folder), Unusable::NotAFolder));
    fs::remove_file(&folder.path).unwrap();
    fs::write(&folder.path, "a file").unwrap();
    assert!(matches!(folder.read(&key("a")), Err(Fault::Folder { why: Unusable::NotAFolder, .. })));
    assert!(matches!(learn(&folder, "a", &[greeting("v")]), Err(Fault::Folder { .. })));
    assert_eq!(fs::read_to_string(&folder.path).unwrap(), "a file");
    // The same one level up.
    let below = Folder::ours(folder.path.join("last-good"));
    assert!(matches!(below.read(&key("a")), Err(Fault::Folder { .. })));
    assert!(matches!(learn(&below, "a", &[greeting("v")]), Err(Fault::Folder { .. })));
    assert!(!path.exists());
}

#[test]
fn a_folder_that_vanishes_is_made_again() {
    let (_dir, folder, _) = filled();
    fs::remove_dir_all(&folder.path).unwrap();
    assert!(known(&folder, "a").is_empty());
    learn(&folder, "a", &[greeting("new")]).unwrap();
    assert_eq!(known(&folder, "a"), [greeting("new")]);
}

/// What it was, how it is made, and whether the reason is the right one.
type Spoiled = (&'static str, fn(&Path), fn(&Unusable) -> bool);

#[test]
fn a_file_of_ours_that_cannot_be_used_is_told_and_replaced() {
    let cases: [Spoiled; 7] = [
        ("empty", |path| fs::write(path, "").unwrap(), |why| matches!(why, Unusable::NotJson { .. })),
        (
            "half",
            |path| {
                let whole = fs::read(path).unwrap();
                fs::write(path, &whole[..whole.len() / 2]).unwrap();
            },
            |why| matches!(why, Unusable::NotJson { line: 2, .. }),
        ),
        (
            "no text",
            |path| fs::write(path, [0xff; 9]).unwrap(),
            |why| matches!(why, Unusable::NotJson { .. }),
        ),
        (
            "wrong types",
            |path| fs::write(path, r#"{"format":[]}"#).unwrap(),
            |why| matches!(why, Unusable::Shape),
        ),
        (
            "another format",
            |path| fs::write(path, r#"{"format":2}"#).unwrap(),
            |why| matches!(why, Unusable::Format(2)),
        ),
        (
            "too large",
            |path| {
                let whole = fs::read_to_string(path).unwrap();
                let file = OpenOptions::new().append(true).open(path).unwrap();
                file.set_len(LONGEST_READ + 1 - whole.len() as u64).unwrap();
                (&file).write_all(whole.as_bytes()).unwrap();
            },
            |why| matches!(why, Unusable::TooLarge),
        ),
        ("others may write", |path| allow(path, 0o620), |why| matches!(why, Unusable::OthersWrite)),
    ];
    for (name, spoil, is_reason) in cases {
        let (_dir, folder, path) = filled();
        spoil(&path);
        let Err(Fault::Read { why, .. }) = folder.read(&key("a")).map(drop) else { panic!("{name}") };
        assert!(is_reason(&why), "{name}: {why:?}");
        let told = learn(&folder, "a", &[greeting("new")]).unwrap();
        assert!(matches!(&told[..], [Fault::Read { why, .. }] if is_reason(why)), "{name}: {told:?}");
        assert_eq!(known(&folder, "a"), [greeting("new")], "{name}");
        assert_eq!(mode(&path), 0o600, "{name}");
    }
}

#[test]
fn a_file_as_long_as_may_be_is_read() {
    let (_dir, folder, path) = filled();
    let mut whole = fs::read(&path).unwrap();
    whole.resize(usize::try_from(LONGEST_READ).unwrap(), b' ');
    fs::write(&path, whole).unwrap();
    assert_eq!(known(&folder, "a"), [greeting("old")]);
}

/// What it is, and how it is made.
type Made = (&'static str, fn(&Path));

#[test]
fn what_is_no_file_is_neither_followed_nor_waited_for_nor_replaced() {
    let cases: [Made; 4] = [
        ("link", |path| {
            let target = path.with_extension("target");
            fs::rename(path, &target).unwrap();
            symlink(target, path).unwrap();
        }),
        ("dangling link", |path| {
            fs::remove_file(path).unwrap();
            symlink(path.with_extension("target"), path).unwrap();
        }),
        ("FIFO", |path| {
            fs::remove_file(path).unwrap();
            mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }),
        ("directory", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (name, make) in cases {
        let (_dir, folder, path) = filled();
        make(&path);
        let before = (fs::symlink_metadata(&path).unwrap().ino(), names(&folder));
        let target = fs::read(path.with_extension("target")).ok();
        assert!(matches!(refused(&folder), Unusable::NotAFile), "{name}");
        assert_eq!((fs::symlink_metadata(&path).unwrap().ino(), names(&folder)), before, "{name}");
        assert_eq!(fs::read(path.with_extension("target")).ok(), target, "{name}");
    }
}

#[test]
fn a_file_that_becomes_something_else_at_the_last_moment_is_not_followed_or_waited_for() {
    // What is looked at first is looked at again once it is open, and the opening itself neither follows nor waits.
    let (_dir, folder, path) = filled();
    let link = path.with_extension("link");
    symlink(&path, &link).unwrap();
    let error = open_file(&link).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::ELOOP as i32));
    let fifo = path.with_extension("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let found = open_file(&fifo).unwrap().metadata().unwrap();
    assert!(matches!(folder.is_replaceable(&found), Err(Unusable::NotAFile)));
}

#[test]
fn a_file_that_the_system_does_not_give_now_is_not_lost() {
    let lost = |errno: Errno| is_lost(&Unusable::System(errno.into()));
    assert!(lost(Errno::EACCES), "it never will");
    for errno in [Errno::EMFILE, Errno::ENOMEM, Errno::EIO, Errno::ESTALE] {
        assert!(!lost(errno), "{errno}");
    }
}

#[test]
fn a_file_of_somebody_else_is_neither_read_nor_replaced() {
    let (_dir, folder, path) = filled();
    let found = fs::symlink_metadata(&path).unwrap();
    assert!(folder.is_replaceable(&found).is_ok());
    let theirs = Folder { owner: folder.owner + 1, ..folder };
    assert!(matches!(theirs.is_replaceable(&found), Err(Unusable::Foreign)));
    assert!(matches!(theirs.read_file(&path), Err(Unusable::Foreign)));
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let (_dir, folder, path) = filled();
    let list = |cursor| good("old", "tools/list", cursor, r#"{"tools":[1]}"#);
    let all = [greeting("old"), list(None), list(Some("1"))];
    learn(&folder, "a", &all).unwrap();
    // A time that no writing gives it; the numbers of files come back.
    age(&path, 2 * ABANDONED);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    learn(&folder, "a", &all).unwrap();
    learn(&folder, "a", &[good("old", "tools/list", None, r#"{"tools":[]}"#)]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    learn(&folder, "a", &[list(None)]).unwrap();
    assert_ne!(fs::metadata(&path).unwrap().modified().unwrap(), before, "a first page removes the others");
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let (_dir, folder, path) = filled();
    let before = (fs::read(&path).unwrap(), names(&folder));
    let missing = folder.path.join("missing").join("file");
    let failed = folder.replace(&missing, &Entries::default()).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::NotFound);
    assert_eq!((fs::read(&path).unwrap(), names(&folder)), before);
}

#[test]
fn what_was_abandoned_half_written_is_removed_by_age() {
    let (_dir, folder, _) = filled();
    let [old, young, other, link] =
        [".new-old", ".new-young", "new-other", ".new-link"].map(|name| folder.path.join(name));
    for path in [&old, &young, &other] {
        fs::write(path, "half").unwrap();
    }
    age(&old, ABANDONED + Duration::from_secs(60));
    age(&young, ABANDONED / 2);
    age(&other, 2 * ABANDONED);
    symlink(&other, &link).unwrap();
    learn(&folder, "a", &[greeting("new")]).unwrap();
    assert_eq!([&old, &young, &other].map(|path| path.exists()), [false, true, true]);
    assert!(fs::symlink_metadata(link).is_ok());
}

#[test]
fn of_too_many_servers_those_written_longest_ago_go() {
    let (_dir, folder, own) = filled();
    // Its own time is the oldest of all, but it is the one that is written.
    age(&own, Duration::from_secs(9_000));
    let other = |at: u64| folder.path.join(key(&at.to_string()).file_name());
    for at in 0..300 {
        fs::write(other(at), "{}").unwrap();
        age(&other(at), Duration::from_secs(at));
    }
    fs::write(folder.path.join("mine.json"), "x").unwrap();
    age(&folder.path.join("mine.json"), Duration::from_secs(9_000));
    learn(&folder, "a", &[greeting("new")]).unwrap();
    let left: Vec<_> = (0..300).filter(|at| other(*at).exists()).collect();
    assert_eq!(left, (0..MOST_FILES as u64 - 1).collect::<Vec<_>>());
    assert!(own.exists() && folder.path.join("mine.json").exists());
}

#[test]
fn a_lock_that_cannot_be_had_is_done_without() {
    let (_dir, folder, _) = filled();
    let lock = folder.lock(folder.open().unwrap()).unwrap();
    let hasty = Folder { path: folder.path.clone(), tries: 3, ..folder };
    assert!(hasty.lock(hasty.open().unwrap()).is_none());
    learn(&hasty, "a", &[greeting("new")]).unwrap();
    drop(lock);
    assert_eq!(known(&hasty, "a"), [greeting("old"), greeting("new")]);
    assert!(hasty.lock(hasty.open().unwrap()).is_some());
}

#[test]
fn writers_at_once_undo_nothing_and_readers_see_whole_files() {
    const EACH: usize = 15;
    let (_dir, folder, _) = filled();
    let list =
        |length: usize| good("v", "tools/list", None, &format!(r#"{{"tools":[{}1]}}"#, "1,".repeat(length)));
    learn(&folder, "a", &[list(0)]).unwrap();
    let writing = AtomicBool::new(true);
    let start = Barrier::new(3);
    thread::scope(|scope| {
        let writers = ["a", "b"].map(|name| {
            let (path, list, start) = (folder.path.clone(), &list, &start);
            scope.spawn(move || {
                let folder = Folder { tries: 6_000, ..Folder::ours(path) };
                start.wait();
                for at in 0..EACH {
                    // Long enough that a write is more than one system call.
                    learn(&folder, "a", &[greeting(&format!("{name}{at}")), list(10_000 * (at + 1))])
                        .unwrap();
                }
            })
        });
        scope.spawn(|| {
            start.wait();
            while writing.load(Ordering::Relaxed) {
                let goods = known(&folder, "a");
                assert!(goods.iter().any(|good| good.method == "tools/list"), "a list is always there");
            }
        });
        let written = writers.map(thread::ScopedJoinHandle::join);
        writing.store(false, Ordering::Relaxed);
        assert!(written.iter().all(Result::is_ok));
    });
    let versions: BTreeSet<_> = known(&folder, "a").into_iter().map(|good| good.version).collect();
    let expected = ["a", "b"].iter().flat_map(|name| (0..EACH).map(move |at| format!("{name}{at}")));
    assert_eq!(versions, expected.chain(["old".to_owned(), "v".to_owned()]).collect());
    assert_eq!(names(&folder).len(), 1);
}
