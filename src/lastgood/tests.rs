//! The room as its owner sees it: on disks that are slow, broken or full, with others at the same place, and to its end.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::entries::Entry;
use super::laws::good;
use super::room::Disk;
use super::*;

/// Long enough for everything that ends.
const LONG: Duration = Duration::from_secs(60);

fn greeting(version: &str) -> Good {
    good(version, "initialize", None, r#"{"serverInfo":{}}"#)
}

fn key() -> Key {
    Key::new(&["server".into()], Path::new("/"), None)
}

fn open(dir: &Path) -> (LastGood, Reports) {
    LastGood::open(Some(dir.to_owned()), key())
}

async fn report(reports: &mut Reports) -> Report {
    timeout(LONG, reports.next()).await.expect("a report")
}

async fn loaded(reports: &mut Reports) -> Vec<Good> {
    match report(reports).await {
        Report::Loaded(goods) => goods,
        Report::Fault(fault) => panic!("{fault}"),
    }
}

async fn fault(reports: &mut Reports) -> Fault {
    match report(reports).await {
        Report::Fault(fault) => fault,
        Report::Loaded(goods) => panic!("{goods:?}"),
    }
}

/// What it has for whoever opens it next.
async fn left(dir: &Path) -> Vec<Good> {
    loaded(&mut open(dir).1).await
}

/// A disk that asks its test before it does anything, and tells what it was given.
struct Asking {
    may: Receiver<Verdict>,
    given: Sender<Vec<String>>,
}

/// What is to become of the next load or write.
#[derive(Clone, Copy)]
enum Verdict {
    Done,
    Failed,
    Panics,
}

impl Asking {
    fn new() -> (Self, Sender<Verdict>, Receiver<Vec<String>>) {
        let ((say, may), (given, get)) = (channel(), channel());
        (Self { may, given }, say, get)
    }

    fn ask(&self) -> Result<(), Fault> {
        match self.may.recv().unwrap_or(Verdict::Done) {
            Verdict::Done => Ok(()),
            Verdict::Failed => {
                Err(Fault::Write { path: "there".into(), source: io::ErrorKind::StorageFull.into() })
            }
            // Not by `panic!`, which would be told on stderr.
            Verdict::Panics => resume_unwind(Box::new("planned")),
        }
    }
}

impl Disk for Asking {
    fn load(&mut self) -> Result<Vec<Good>, Fault> {
        self.ask().map(|()| vec![greeting("loaded")])
    }

    fn write(&mut self, news: &[Entry], _: &mut dyn FnMut(Fault)) -> Result<(), Fault> {
        let _ = self.given.send(news.iter().map(|entry| entry.version.clone()).collect());
        self.ask()
    }
}

fn next(given: &Receiver<Vec<String>>) -> Vec<String> {
    given.recv_timeout(LONG).expect("a write")
}

#[tokio::test]
async fn what_one_run_has_learned_the_next_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (room, mut reports) = open(dir.path());
    assert!(loaded(&mut reports).await.is_empty());
    let goods = [greeting("v"), good("v", "tools/list", None, r#"{"tools":[{"name":"a"}]}"#)];
    for good in &goods {
        room.remember(good.clone());
    }
    room.finish(sleep(LONG)).await.unwrap();
    assert!(reports.try_next().is_none());
    assert_eq!(left(dir.path()).await, goods);
}

#[tokio::test]
async fn what_was_handed_in_before_the_disk_was_read_is_written_too() {
    let dir = tempfile::tempdir().unwrap();
    let (room, mut reports) = open(dir.path());
    room.remember(greeting("v"));
    room.finish(sleep(LONG)).await.unwrap();
    assert!(loaded(&mut reports).await.is_empty());
    assert_eq!(left(dir.path()).await, [greeting("v")]);
}

#[tokio::test]
async fn two_at_once_undo_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ((one, mut from_one), (other, mut from_other)) = (open(dir.path()), open(dir.path()));
    assert!(loaded(&mut from_one).await.is_empty() && loaded(&mut from_other).await.is_empty());
    one.remember(greeting("one"));
    other.remember(greeting("other"));
    let (one, other) = tokio::join!(one.finish(sleep(LONG)), other.finish(sleep(LONG)));
    one.unwrap();
    other.unwrap();
    let mut versions: Vec<_> = left(dir.path()).await.into_iter().map(|good| good.version).collect();
    versions.sort();
    assert_eq!(versions, ["one", "other"]);
}

#[tokio::test]
async fn what_comes_in_a_burst_is_one_write() {
    let (disk, say, given) = Asking::new();
    let (room, mut reports) = LastGood::with(disk);
    for version in ["a", "b", "c"] {
        room.remember(greeting(version));
    }
    drop(say);
    assert_eq!(loaded(&mut reports).await, [greeting("loaded")]);
    room.finish(sleep(LONG)).await.unwrap();
    assert_eq!(given.into_iter().collect::<Vec<_>>(), [["a", "b", "c"]]);
}

#[tokio::test]
async fn it_is_written_without_an_end_too() {
    let (disk, say, given) = Asking::new();
    let (room, _reports) = LastGood::with(disk);
    drop(say);
    room.remember(greeting("a"));
    assert_eq!(next(&given), ["a"]);
    room.remember(greeting("b"));
    drop(room);
    assert_eq!(next(&given), ["b"]);
    assert!(given.recv_timeout(LONG).is_err(), "the thread has ended");
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_nobody() {
    let (disk, say, given) = Asking::new();
    let (room, mut reports) = LastGood::with(disk);
    say.send(Verdict::Done).unwrap();
    loaded(&mut reports).await;
    room.remember(greeting("first"));
    assert_eq!(next(&given), ["first"]);
    // It is being written now, and goes on being written.
    for at in 0..1024 {
        room.remember(greeting(&at.to_string()));
    }
    assert!(reports.try_next().is_none());
    room.remember(greeting("too many"));
    room.remember(greeting("too many"));
    assert!(matches!(fault(&mut reports).await, Fault::Behind));
    assert!(reports.try_next().is_none(), "told once");
    assert!(matches!(room.finish(sleep(Duration::from_millis(1))).await, Err(Fault::Late)));
    drop(say);
    assert_eq!(next(&given), (0..1024).map(|at| at.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_hangs_is_not_paid_for_in_memory() {
    let (disk, say, given) = Asking::new();
    let (room, mut reports) = LastGood::with(disk);
    say.send(Verdict::Done).unwrap();
    loaded(&mut reports).await;
    room.remember(greeting("first"));
    next(&given);
    let big = |version: &str| {
        good(version, "initialize", None, &format!(r#"{{"a":"{}"}}"#, "x".repeat(6 * 1024 * 1024)))
    };
    for version in ["a", "b", "c"] {
        room.remember(big(version));
    }
    assert!(matches!(fault(&mut reports).await, Fault::Behind));
    drop(say);
    room.finish(sleep(LONG)).await.unwrap();
    assert_eq!(next(&given), ["a", "b"]);
}

#[tokio::test]
async fn what_could_not_be_written_is_told_once_and_tried_again_with_the_next() {
    let (disk, say, given) = Asking::new();
    let (room, mut reports) = LastGood::with(disk);
    for verdict in [Verdict::Done, Verdict::Failed, Verdict::Failed, Verdict::Done, Verdict::Done] {
        say.send(verdict).unwrap();
    }
    loaded(&mut reports).await;
    room.remember(greeting("a"));
    assert_eq!(next(&given), ["a"]);
    let told = fault(&mut reports).await;
    assert_eq!(told.to_string(), "write the last good answers to there: no storage space");
    room.remember(greeting("b"));
    assert_eq!(next(&given), ["a", "b"]);
    room.remember(greeting("c"));
    assert_eq!(next(&given), ["a", "b", "c"]);
    room.remember(greeting("d"));
    assert_eq!(next(&given), ["d"]);
    room.finish(sleep(LONG)).await.unwrap();
    assert!(reports.try_next().is_none());
    assert!(given.try_recv().is_err(), "there was nothing left to write");
}

#[tokio::test]
async fn what_is_kept_for_another_try_is_bounded() {
    let (disk, say, given) = Asking::new();
    let (room, mut reports) = LastGood::with(disk);
    say.send(Verdict::Done).unwrap();
    loaded(&mut reports).await;
    let big = |version: &str| {
        good(version, "initialize", None, &format!(r#"{{"a":"{}"}}"#, "x".repeat(7 * 1024 * 1024)))
    };
    for (version, tried) in
        [("a", &["a"][..]), ("b", &["a", "b"]), ("c", &["a", "b", "c"]), ("d", &["b", "c", "d"])]
    {
        room.remember(big(version));
        assert_eq!(next(&given), tried);
        say.send(Verdict::Failed).unwrap();
    }
    drop(say);
    room.finish(sleep(LONG)).await.unwrap();
    assert_eq!(next(&given), ["c", "d"]);
}

#[tokio::test]
async fn a_panic_leaves_the_room_dark_and_is_told() {
    for planned in [&[Verdict::Panics][..], &[Verdict::Done, Verdict::Panics]] {
        let (disk, say, given) = Asking::new();
        let (room, mut reports) = LastGood::with(disk);
        room.remember(greeting("a"));
        for verdict in planned {
            say.send(*verdict).unwrap();
        }
        if planned.len() == 1 {
            assert!(matches!(fault(&mut reports).await, Fault::Panicked));
            assert!(loaded(&mut reports).await.is_empty());
        } else {
            assert_eq!(loaded(&mut reports).await, [greeting("loaded")]);
            assert!(matches!(fault(&mut reports).await, Fault::Panicked));
        }
        // Nobody is there any more to take these out.
        for _ in 0..2000 {
            room.remember(greeting("b"));
        }
        room.finish(sleep(LONG)).await.unwrap();
        assert!(reports.try_next().is_none());
        assert_eq!(given.into_iter().count(), planned.len() - 1);
    }
}

#[tokio::test]
async fn one_answer_that_cannot_be_kept_is_told_and_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (room, mut reports) = open(dir.path());
    loaded(&mut reports).await;
    room.remember(greeting("v"));
    room.remember(good("v", "tools/list", None, "{\n}"));
    room.remember(good("v", "prompts/list", None, "[]"));
    room.finish(sleep(LONG)).await.unwrap();
    let told = fault(&mut reports).await;
    assert_eq!(told.to_string(), "keep an answer to tools/list: it is not a JSON object on one line");
    assert!(reports.try_next().is_none());
    assert_eq!(left(dir.path()).await, [greeting("v")]);
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_told_once_for_reading_and_writing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let (room, mut reports) = open(&file);
    assert!(matches!(fault(&mut reports).await, Fault::Folder { why: Unusable::NotAFolder, .. }));
    assert!(loaded(&mut reports).await.is_empty());
    room.remember(greeting("v"));
    room.finish(sleep(LONG)).await.unwrap();
    assert!(reports.try_next().is_none());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_once_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (room, _) = open(dir.path());
    room.remember(greeting("old"));
    room.finish(sleep(LONG)).await.unwrap();
    fs::write(dir.path().join("last-good").join(key().file_name()), "{").unwrap();
    let (room, mut reports) = open(dir.path());
    let told = fault(&mut reports).await.to_string();
    assert!(
        told.starts_with("read the last good answers in /")
            && told.ends_with(".json: it is not JSON (line 1, column 1)"),
        "{told}"
    );
    assert!(loaded(&mut reports).await.is_empty());
    room.remember(greeting("new"));
    room.finish(sleep(LONG)).await.unwrap();
    assert!(reports.try_next().is_none());
    assert_eq!(left(dir.path()).await, [greeting("new")]);
}

/// Set in the processes that tests start to be themselves once more under other conditions.
const AGAIN: &str = "MCP_SUPERVISE_TEST_AGAIN";

/// Runs the test of this name in a process of its own, which a shell prepares.
fn again(name: &str, prepare: &str, environment: &[(&str, Option<&Path>)]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "limits and the environment are a whole process's")]
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{prepare} exec \"$@\""), "sh"]).arg(env::current_exe().unwrap());
    command.args([&format!("lastgood::tests::{name}"), "--exact", "--nocapture"]).env(AGAIN, "");
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap()
}

/// The other process has run its part, and all was well there.
fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_once_and_keeps_what_it_has() {
    let Some(dir) = env::var_os("MCP_SUPERVISE_TEST_DIR") else {
        let dir = tempfile::tempdir().unwrap();
        let (room, _) = open(dir.path());
        room.remember(greeting("old"));
        room.finish(sleep(LONG)).await.unwrap();
        let name = "a_disk_that_is_full_is_told_once_and_keeps_what_it_has";
        let prepare = "trap '' XFSZ; ulimit -f 16;";
        assert_passed(&again(name, prepare, &[("MCP_SUPERVISE_TEST_DIR", Some(dir.path()))]));
        let goods = left(dir.path()).await;
        assert_eq!(goods, [greeting("old")]);
        let files = fs::read_dir(dir.path().join("last-good")).unwrap();
        assert_eq!(files.count(), 1, "nothing half written is left");
        return;
    };
    let (room, mut reports) = open(Path::new(&dir));
    assert_eq!(loaded(&mut reports).await, [greeting("old")]);
    room.remember(good("v", "tools/list", None, &format!(r#"{{"tools":["{}"]}}"#, "x".repeat(100_000))));
    let told = fault(&mut reports).await;
    assert!(
        matches!(&told, Fault::Write { source, .. } if source.kind() == io::ErrorKind::FileTooLarge),
        "{told}"
    );
    // The large one is tried again along with this one, and fails again.
    room.remember(greeting("new"));
    room.finish(sleep(LONG)).await.unwrap();
    assert!(reports.try_next().is_none());
}

#[tokio::test]
async fn without_a_directory_the_platforms_is_used_and_without_a_home_none() {
    if env::var_os(AGAIN).is_some() {
        let (room, mut reports) = LastGood::open(None, key());
        if env::var_os("HOME").is_none_or(|home| home.is_empty()) && env::var_os("XDG_STATE_HOME").is_none() {
            assert!(matches!(fault(&mut reports).await, Fault::NoPlace));
        }
        assert!(loaded(&mut reports).await.is_empty());
        room.remember(greeting("v"));
        room.finish(sleep(LONG)).await.unwrap();
        assert!(reports.try_next().is_none());
        return;
    }
    let name = "without_a_directory_the_platforms_is_used_and_without_a_home_none";
    let run = |home: Option<&Path>, state: Option<&Path>| {
        assert_passed(&again(name, "", &[("HOME", home), ("XDG_STATE_HOME", state)]));
    };
    let dir = tempfile::tempdir().unwrap();
    let (home, state) = (dir.path().join("home"), dir.path().join("state"));
    run(None, None);
    run(Some(Path::new("")), None);
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" };
    run(Some(&home), None);
    assert_eq!(left(&home.join(below).join("mcp-supervise")).await, [greeting("v")]);
    if !cfg!(target_os = "macos") {
        run(Some(&home), Some(&state));
        assert_eq!(left(&state.join("mcp-supervise")).await, [greeting("v")]);
        fs::remove_dir_all(&state).unwrap();
        run(None, Some(&state));
        assert_eq!(left(&state.join("mcp-supervise")).await, [greeting("v")]);
    }
}

#[test]
fn faults_read_like_the_end_of_a_sentence() {
    let path = || PathBuf::from("/d/last-good");
    for (fault, words) in [
        (Fault::NoPlace, "find a place for last good answers: there is no --data-dir, and HOME is not set"),
        (
            Fault::Folder { path: path(), why: Unusable::OthersWrite },
            "use /d/last-good for last good answers: others may write to it",
        ),
        (
            Fault::Read { path: path(), why: Unusable::Format(2) },
            "read the last good answers in /d/last-good: its format 2 is unknown",
        ),
        (
            Fault::Misfit { method: "tools/list".into(), why: Misfit::TooLarge },
            "keep an answer to tools/list: it is too large",
        ),
    ] {
        assert_eq!(fault.to_string(), words);
    }
    // Arguments are no part of any name.
    assert!(!key().file_name().contains(&OsString::from("server").into_string().unwrap()));
}
