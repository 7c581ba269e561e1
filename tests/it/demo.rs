//! The demo tells its whole story, does not tell it when it is not true, and leaves nothing however it ends.

#![expect(clippy::disallowed_methods, reason = "a test starts the program as a person would")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex_lite::Regex;
use tempfile::TempDir;

use crate::support::process::{eventually, is_gone};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-supervise");
/// Told in the middle of the session's acts, when all that the demo consists of is running.
const IN_THE_MIDDLE: &str = "calls balance";

/// A command with a home of its own, where the demo also makes its folders.
fn at_home(command: &mut Command) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    // Nothing of the user's: neither what is stored, nor the files of the login shell.
    command
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("SHELL", "/bin/sh")
        .env_remove("XDG_STATE_HOME");
    home
}

fn demo(command: &mut Command) -> (String, String, Option<i32>) {
    let home = at_home(command);
    let Output { stdout, stderr, status } = command.output().expect("the demo runs");
    nothing_is_left(home.path());
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(stdout), text(stderr), status.code())
}

/// The demo with a running story, told as far as the middle, and its home.
fn in_the_middle() -> (Child, BufReader<impl std::io::Read + Into<OwnedFd>>, TempDir) {
    let mut command = Command::new(PROGRAM);
    command.arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped());
    let home = at_home(&mut command);
    let mut demo = command.spawn().expect("the demo runs");
    let mut told = BufReader::new(demo.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains(IN_THE_MIDDLE) {
        line.clear();
        assert_ne!(told.read_line(&mut line).expect("it can be read"), 0, "the story ends too early");
    }
    (demo, told, home)
}

fn nothing_is_left(home: &Path) {
    nobody_is_left(home);
    let left: Vec<_> = fs::read_dir(home).expect("the folder is there").collect();
    assert!(left.is_empty(), "the demo leaves {left:?}");
}

/// Waits until the demo's processes are gone. They have its home in their environment.
fn nobody_is_left(home: &Path) {
    let home = home.display().to_string();
    let is_ours = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&home) && !is_gone(*pid)
    };
    let left = || {
        let all = fs::read_dir("/proc").into_iter().flatten();
        let all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        all.filter(is_ours).collect::<Vec<i32>>()
    };
    assert!(eventually(|| left().is_empty().then_some(())).is_some(), "the demo leaves {:?}", left());
}

fn stderr(demo: &mut Child) -> String {
    let mut told = String::new();
    demo.stderr.take().expect("a pipe").read_to_string(&mut told).expect("UTF-8");
    told
}

/// What is the same each time: without numbers and places, whatever the lines are.
fn plain(story: &str) -> String {
    let place = Regex::new("[^ ]*mcp-supervise-demo-[A-Za-z0-9]+").expect("it is one");
    let number = Regex::new("[0-9]+").expect("it is one");
    let words: Vec<&str> = story.split_whitespace().collect();
    number.replace_all(&place.replace_all(&words.join(" "), "PLACE"), "0").into_owned()
}

#[test]
fn the_story_is_told_to_its_end() {
    // A setting for everyday use does not change the story.
    let (story, errors, code) =
        demo(Command::new(PROGRAM).arg("demo").env("MCP_SUPERVISE_MAX_RESTARTS", "0"));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{story}");
    // Wherever a line is folded.
    let whole = story.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = whole.as_str();
    for part in [
        "kill -9",
        "server_restarted",
        "the only token that the server was given: 401",
        "gets a request with the old token",
        "refuses the request: 401",
        "gets the request once more, with the new token, and serves it",
        "had its answer",
        "session_expired",
        "calls balance: 1500",
        "the same server process",
        "server_unavailable",
        "is offered its tools after",
        "29 requests, 29 answers, 4 kills, lost 0, doubled 0",
        "everything was as told",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?} where it should be in:\n{story}"));
        rest = &rest[at..];
    }
    assert!(!story.contains("demo_session_"), "no token is told:\n{story}");
    assert!(
        plain(include_str!("../../README.md")).contains(&plain(&story)),
        "the README tells another:\n{story}"
    );
}

#[test]
fn a_story_that_nobody_reads_any_more_ends() {
    let (mut demo, told, home) = in_the_middle();
    drop(told);
    let status = demo.wait().expect("it ends");
    assert_eq!((status.code(), stderr(&mut demo).as_str()), (Some(0), ""));
    nothing_is_left(home.path());
}

#[test]
fn a_demo_that_is_interrupted_cleans_up() {
    for (signal, why) in [(Signal::SIGINT, "was interrupted"), (Signal::SIGTERM, "was asked to end")] {
        let (mut demo, _told, home) = in_the_middle();
        kill(Pid::from_raw(demo.id().cast_signed()), signal).expect("it is running");
        let status = demo.wait().expect("it ends");
        assert_eq!((status.code(), stderr(&mut demo)), (Some(1), format!("error: the demo {why}\n")));
        nothing_is_left(home.path());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_demo_that_is_killed_leaves_no_process() {
    let (mut demo, _told, home) = in_the_middle();
    demo.kill().expect("it is running");
    demo.wait().expect("it ends");
    nobody_is_left(home.path());
}

#[test]
fn without_a_folder_it_says_so() {
    let mut command = Command::new(PROGRAM);
    let home = at_home(&mut command);
    let nowhere = home.path().join("nowhere");
    let Output { stdout, stderr, status } =
        command.arg("demo").env("TMPDIR", &nowhere).output().expect("it runs");
    let told = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), &b""[..]), "{told}");
    assert!(told.starts_with(&format!("error: failed to make a folder in {}", nowhere.display())), "{told}");
    assert!(told.contains("TMPDIR"), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_story_that_is_not_true_is_not_told() {
    // A program without a file cannot start itself as supervisor.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    fs::copy(PROGRAM, &copy).expect("a copy");
    let script = r#"exec 3<"$0"; rm "$0"; exec /proc/self/fd/3 demo"#;
    let (story, errors, code) = demo(Command::new("sh").args(["-c", script]).arg(&copy));
    assert_eq!(code, Some(1), "{story}{errors}");
    assert!(errors.starts_with("error: failed to start the supervisor"), "{errors}");
    assert!(!story.contains("as told"), "{story}");
}
