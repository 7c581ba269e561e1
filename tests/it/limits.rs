//! What a system may refuse or leave behind: threads, disks, signals, the writer of a pipe. The supervisor serves with
//! what it gets, or says why it cannot; it never panics.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;
use serde_json::json;

use crate::support::process::{Since, pause};
use crate::support::{Plan, call, text_of};

const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

/// Runs the shell script `first` with the supervisor of `cat` as its arguments and a ping as its input.
fn after(first: &str, stdout: Stdio) -> Output {
    let dir = tempfile::tempdir().expect("the system has a folder for temporary files");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    // The program is copied to where the user that runs it can reach it.
    let program = dir.path().join("mcp-supervise");
    fs::copy(env!("CARGO_BIN_EXE_mcp-supervise"), &program).expect("it is built");
    #[expect(clippy::disallowed_methods, reason = "the program under test, by a shell")]
    let mut command = Command::new("sh");
    command.args(["-c", first, "sh"]).arg(&program).args(["--", "cat"]).current_dir(dir.path());
    command.env("MCP_SUPERVISE_DATA_DIR", dir.path().join("data"));
    command.env("MCP_SUPERVISE_RUNTIME_DIR", dir.path().join("run")).env("HOME", dir.path());
    command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
    let mut child = command.spawn().expect("there is a shell");
    // A supervisor that could not be started does not read.
    let _ = child.stdin.take().expect("it is a pipe").write_all(PING);
    child.wait_with_output().expect("it ends")
}

fn answered(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).contains("\"id\":1")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_told_and_is_no_success() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has one");
    let output = after("exec \"$@\"", full.into());
    assert_eq!(output.status.code(), Some(88), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("failed to write to stdout: No space left on device"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_closed_stdout_is_told_and_is_no_success() {
    let output = after("exec \"$@\" >&-", Stdio::piped());
    assert_eq!(output.status.code(), Some(88), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("failed to write to stdout: Bad file descriptor"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_limit_on_the_size_of_files_costs_what_is_stored_and_nothing_else() {
    let output = after("ulimit -f 0; exec \"$@\"", Stdio::piped());
    assert!(output.status.success() && answered(&output), "{:?} {}", output.status, stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_threads_is_served_with_or_told_and_is_no_panic() {
    let become_other =
        if geteuid().is_root() { "setpriv --reuid=23456 --regid=23456 --clear-groups" } else { "" };
    for limit in 1..=8 {
        let output =
            after(&format!("exec {become_other} prlimit --nproc={limit}:{limit} \"$@\""), Stdio::piped());
        let (status, said) = (output.status, stderr(&output));
        assert!(status.signal().is_none() && status.code() != Some(101), "{limit}: {status:?} {said}");
        assert!(answered(&output) || !said.is_empty(), "{limit}: {status:?}");
        assert!(!said.contains("Resource temporarily unavailable"), "the limit is named: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn few_descriptors_are_told_and_are_no_panic() {
    for limit in (4..=40).step_by(3) {
        let output = after(&format!("ulimit -n {limit}; exec \"$@\""), Stdio::piped());
        let (status, said) = (output.status, stderr(&output));
        assert!(status.signal().is_none() && status.code() != Some(101), "{limit}: {status:?} {said}");
        assert!(answered(&output) || !said.is_empty(), "{limit}: {status:?}");
    }
}

#[test]
fn a_fifo_whose_writer_has_gone_is_at_its_end() {
    let script = "mkfifo fifo; exec 3<&0; cat <&3 > fifo & exec 3<&-; exec \"$@\" < fifo";
    let output = after(script, Stdio::piped());
    assert!(output.status.success() && answered(&output), "{:?} {}", output.status, stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_named_fifo_may_be_opened_by_a_younger_client() {
    // The script that starts both ends once the client has its first answer.
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let client = r#"trap "" PIPE; exec 3>in 4<out
        for n in 1 2 3 4 5 6 7 8 9 10; do
            echo "$PING" >&3; read -r answer <&4 || exit; echo "$answer"; : >heard; sleep 0.1
        done"#;
    let script = format!(
        "mkfifo in out; export PING='{ping}'; \"$@\" <in >out & setsid sh -c '{client}' & until [ -e heard ]; do sleep 0.02; done"
    );
    let output = after(&script, Stdio::piped());
    let answers = String::from_utf8_lossy(&output.stdout).matches("\"id\":1").count();
    assert_eq!(answers, 10, "{}", stderr(&output));
}

#[test]
fn a_signal_that_was_blocked_before_us_ends_us_all_the_same() {
    SigSet::from(Signal::SIGTERM).thread_block().expect("it can be blocked");
    let mut host = Plan::new().start();
    SigSet::from(Signal::SIGTERM).thread_unblock().expect("it can be unblocked");
    host.greet();
    host.signal(Signal::SIGTERM);
    assert_eq!(host.exit(), 0);
}

#[test]
fn an_answer_that_is_there_wins_over_the_time_limit() {
    let limit = Duration::from_secs(3);
    let script = r#"read line
        echo '{"jsonrpc":"2.0","id":"greet","result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}'
        read line; read line; : > called
        until [ -e go ]; do sleep 0.02; done
        echo '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"paid"}]}}'
        : > answered
        cat"#;
    let plan = Plan::new().options("--call-timeout 3s").script(script);
    let folder = plan.path("");
    let mut host = plan.within(folder).start();
    host.greet();
    let began = Since::now();
    host.send(call(1, "pay", &json!({})));
    host.until("it has the call", || host.path("called").exists());
    host.signal(Signal::SIGSTOP);
    fs::write(host.path("go"), "").expect("it can be written");
    host.until("it has answered", || host.path("answered").exists());
    while began.elapsed() < limit + Duration::from_millis(200) {
        pause(Duration::from_millis(50));
    }
    host.signal(Signal::SIGCONT);
    let answer = host.answer(1);
    assert_eq!(text_of(&answer), "paid", "{answer}");
    host.close_stdin();
    assert_eq!(host.exit(), 0);
}
