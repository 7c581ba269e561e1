//! `check`, from the real program to servers that have each defect, and to sound ones.

#![expect(clippy::disallowed_methods, reason = "a test starts the program as a person would")]

mod anew;
mod forms;
mod planted;
mod signals;
mod workflow;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::plan::{example, fixture};
use crate::support::process::{eventually, is_gone};

/// What a check printed and came to.
struct Checked {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Checked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    /// The rules that are broken, in their order, each once.
    fn rules(&self) -> Vec<String> {
        let report = self.json();
        let mut rules: Vec<String> = report["findings"]
            .as_array()
            .expect("a report has findings")
            .iter()
            .map(|finding| finding["rule"].as_str().expect("a finding has a rule").to_owned())
            .collect();
        rules.dedup();
        rules
    }
}

/// Checks a server with these options.
fn check(options: &[&str], server: &[impl AsRef<OsStr>]) -> Checked {
    check_in(Path::new("."), options, server)
}

fn check_in(folder: &Path, options: &[&str], server: &[impl AsRef<OsStr>]) -> Checked {
    let mut command = program();
    command.arg("check").args(options).arg("--").args(server).current_dir(folder);
    done(command)
}

/// Runs the program with these words.
fn run(words: &[&str]) -> Checked {
    let mut command = program();
    command.args(words);
    done(command)
}

/// The program, without settings of the person that runs the tests.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MCP_SUPERVISE_"))
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn done(mut command: Command) -> Checked {
    let output = command.output().expect("the program was built for this test");
    Checked {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).expect("we print UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("we print UTF-8"),
    }
}

/// The fixture server without the one defect that it always has, and these options.
fn sound(more: &[&str]) -> Vec<String> {
    let words = ["--without-tool", "contradict"].iter().chain(more).map(|word| (*word).to_owned());
    [path_of(&fixture())].into_iter().chain(words).collect()
}

fn path_of(path: &Path) -> String {
    path.to_str().expect("the tests run in a folder whose name is a text").to_owned()
}

#[test]
fn nothing_is_found_in_a_sound_server() {
    let calls = ["--format", "json", "--call", "typed", "--call", r#"echo {"text": "crab"}"#];
    let done = check(&calls, &sound(&[]));
    assert_eq!((done.rules(), done.code, &*done.stderr), (Vec::new(), 0, ""));
    let report = done.json();
    assert_eq!(report["sound"], true);
    assert_eq!(report["server"], "fixture-server 0.1.0");
    assert_eq!(report["notLookedAt"], serde_json::json!({"baseline": "no --baseline"}));
    assert_eq!(report["facts"]["speaks"], "2025-11-25");
    assert!(report["facts"]["recovers"].as_str().is_some_and(|text| text.ends_with("after it was killed")));
}

#[test]
fn a_server_of_both_eras_is_sound() {
    let server = example("fixture-rmcp-server");
    let done = check(&["--format", "json", "--call", r#"add {"left": 40, "right": 2}"#], &[&server]);
    assert_eq!((done.rules(), done.code), (Vec::new(), 0), "{}", done.stdout);
    assert!(done.json()["facts"]["speaks"].as_str().is_some_and(|text| text.contains("2026-07-28")));
}

#[test]
fn a_server_of_the_new_era_alone_is_sound() {
    let server = sound(&["--modern"]);
    let done = check(&["--format", "json", "--call", "pid"], &server);
    assert_eq!((done.rules(), done.code), (Vec::new(), 0), "{}", done.stdout);
    assert_eq!(done.json()["facts"]["speaks"], "2026-07-28");
    // It can be as slow to start as any other.
    let slow = check(&["--format", "json", "--timeout", "5s"], &sound(&["--modern", "--slow-start", "300"]));
    assert_eq!((slow.rules(), slow.code), (Vec::new(), 0), "{}", slow.stdout);
}

#[test]
fn the_servers_of_the_demo_and_of_a_shell_are_sound() {
    let program = env!("CARGO_BIN_EXE_mcp-supervise");
    let done = check(&["--format", "json"], &[program, "demo", "--serve"]);
    assert_eq!((done.rules(), done.code), (Vec::new(), 0), "{}", done.stdout);
    let script = format!("exec {} --without-tool contradict", path_of(&fixture()));
    let done = check(&["--format", "json"], &["sh", "-c", &script]);
    assert_eq!((done.rules(), done.code), (Vec::new(), 0), "{}", done.stdout);
}

#[test]
fn warnings_fail_where_that_is_asked_for() {
    let server = [fixture()];
    let done = check(&["--format", "json"], &server);
    assert_eq!((done.rules(), done.code), (vec!["annotations-contradict".to_owned()], 0));
    assert_eq!(check(&["--fail-on", "warning"], &server).code, 85);
    let allowed = check(&["--fail-on", "warning", "--allow", "annotations-contradict"], &server);
    assert_eq!(allowed.code, 0);
    assert!(allowed.stdout.ends_with("sound: 0 errors, 0 warnings, 1 allowed\n"), "{}", allowed.stdout);
}

#[test]
fn what_cannot_be_understood_is_told_with_a_hint_and_nothing_is_started() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let pids = folder.path().join("pids");
    let pids = pids.to_str().expect("it is a text");
    for (options, words) in [
        (&["--allow", "no-such-rule"][..], "there is no rule"),
        (&["--call", "{}"], "the tool's name is missing"),
        (&["--call", "echo text"], "the arguments are no JSON object"),
        (&["--call", "echo {text}"], "arguments are a JSON object"),
        (&["--write-baseline"], "--baseline"),
        (&["--fail-on", "never"], "invalid value"),
        (&["--timeout", "soon"], "write it as"),
        (&["--timeout", "0"], "leaves no time"),
        (&["--max-time", "0"], "leaves no time"),
        (&["--junit", "/no/such/folder/junit.xml"], "No such file"),
        (&["--sarif", "/dev/null"], "is no file"),
        (&["--json", "report", "--sarif", "report"], "another option names the same file"),
        (&["--json", "report", "--baseline", "report", "--write-baseline"], "another option names the same"),
    ] {
        let done = check(options, &sound(&["--pid-file", pids]));
        assert_eq!((done.code, &*done.stdout), (2, ""), "{options:?}: {}", done.stderr);
        assert!(
            done.stderr.contains(words) && done.stderr.contains("hint: "),
            "{options:?}: {}",
            done.stderr
        );
    }
    let done = check(&[], &[""]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(!Path::new(pids).exists(), "a server was started");
}

#[test]
fn what_cannot_be_started_has_a_code_of_its_own_and_a_report() {
    let done = check(&["--format", "json"], &["/no/such/server"]);
    assert_eq!((done.rules(), done.code), (vec!["start-failed".to_owned()], 86));
    let report = done.json();
    assert_eq!((&report["started"], &report["sound"]), (&Value::Bool(false), &Value::Bool(false)));
    assert_eq!(report["notLookedAt"]["crash"], "the server was not greeted");
}

#[test]
fn no_process_is_left_whatever_the_server_does() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let file = folder.path().join("pids");
    let pids = file.to_str().expect("it is a text");
    for words in [&["--ignore-eof", "--ignore-term"][..], &["--grandchild"], &["--never-greet"]] {
        check(&["--timeout", "300ms"], &sound(&[&["--pid-file", pids][..], words].concat()));
    }
    let text = std::fs::read_to_string(&file).expect("servers were started");
    assert!(text.lines().count() > 8, "{text}");
    for pid in text.lines().map(|line| line.parse().expect("a pid")) {
        assert!(eventually(|| is_gone(pid).then_some(())).is_some(), "{pid} is still there");
    }
}

#[test]
fn what_a_server_leaves_behind_is_told_and_ended() {
    for words in ["--helper", "--escape"] {
        let done = check(&["--format", "json"], &sound(&[words]));
        let report = done.json();
        let findings = report["findings"].as_array().expect("there are findings");
        let left = findings.iter().find(|finding| finding["rule"] == "leave-processes").expect("it is told");
        let seen = left["seen"].as_str().expect("it is a text");
        let (_, pid) = seen.rsplit_once('(').expect("it has a pid");
        let pid = pid.trim_end_matches(')').parse().expect("it is a number");
        assert!(eventually(|| is_gone(pid).then_some(())).is_some(), "{words}: {pid} is still there");
    }
}

#[test]
fn an_interrupted_check_leaves_nothing() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let (pids, place) = (folder.path().join("pids"), folder.path().join("tmp"));
    std::fs::create_dir(&place).expect("it can be made");
    let server = sound(&["--never-greet", "--ignore-term", "--pid-file", &path_of(&pids)]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
    command.args(["check", "--"]).args(&server).env("TMPDIR", &place).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built");
    let pid =
        eventually(|| std::fs::read_to_string(&pids).ok()?.trim().parse().ok()).expect("the server starts");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(128 + 15));
    assert_eq!(output.stdout, b"");
    assert!(eventually(|| is_gone(pid).then_some(())).is_some(), "{pid} is still there");
    assert_eq!(std::fs::read_dir(&place).expect("it is there").count(), 0);
}

#[test]
fn a_variable_that_is_no_text_does_no_harm() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
    command
        .args(["check", "--"])
        .args(sound(&[]))
        .env("SOME", std::ffi::OsString::from_vec(vec![0xff, 0xfe]));
    let output = command.output().expect("the program was built for this test");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_secret_of_the_server_is_told() {
    let secret = "sk-ant-0123456789";
    let server = sound(&["--die-on-start", "--last-words", secret]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
    command.args(["check", "--format", "json", "--"]).args(&server).env("SOME_API_KEY", secret);
    let output = command.output().expect("the program was built for this test");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("start-failed") && stdout.contains("***"), "{stdout}");
    assert!(!stdout.contains(secret), "{stdout}");
}
