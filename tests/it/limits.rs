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

#[cfg(target_os = "linux")]
use crate::support::outside::{ours, over, running};
use crate::support::process::{self, Since, pause};
#[cfg(target_os = "linux")]
use crate::support::tenant::Tenant;
use crate::support::{Host, Plan, call, request, text_of};

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

/// Puts a token where the supervisor looks for it, as careful programs do.
#[cfg(target_os = "linux")]
fn keep(plan: &Plan, tenant: &Tenant, token: &str) {
    let (new, path) = (plan.path("token.new"), plan.path("token"));
    fs::write(&new, token).expect("the folder is there");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("it is ours");
    tenant.own(&new);
    fs::rename(new, path).expect("it is there");
}

/// A supervisor with everything that has a thread, whose server gets the token itself.
#[cfg(target_os = "linux")]
fn with_services(plan: &Plan, tenant: &Tenant) -> Plan {
    let path = |name: &str| plan.path(name).display().to_string();
    let options =
        format!("--watch {} --token-file {} --inject-env THE_TOKEN", path("watched"), path("token"));
    tenant.server(plan).options(&options)
}

/// Whether a server after so many others is there and has this token.
#[cfg(target_os = "linux")]
fn has_token(host: &Host, after: usize, token: &str) -> bool {
    let Some(server) = host.servers().get(after..).and_then(|new| new.last().copied()) else { return false };
    let environment = fs::read(format!("/proc/{server}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|it| it == format!("THE_TOKEN={token}").as_bytes())
}

#[cfg(target_os = "linux")]
#[test]
fn services_that_had_no_thread_are_told_once_and_work_as_soon_as_there_are_threads() {
    let plan = Plan::new();
    let tenant = Tenant::of(&plan, 23457);
    keep(&plan, &tenant, "the-first-token");
    let plan = with_services(&plan, &tenant).tireless().options("--backoff-max 50ms --log debug");
    let plan = plan.tenant(tenant.clone().confined());
    let mut host = plan.clone().start();
    let services = [
        "start keeping the session",
        "start recording sessions",
        "start the thread for last good answers",
        "open the control socket",
        "watch for changes",
    ];
    for service in services {
        host.stderr_line_with(&format!("failed to {service}: the process limit is reached"));
    }
    host.send(request("alive", "ping", &json!({})));
    host.answer("alive");
    tenant.release(host.pid());
    host.greet();
    host.list();
    host.until("the server has the token", || has_token(&host, 0, "the-first-token"));
    host.stderr_line_with("watching for changes");
    let before = host.servers().len();
    fs::write(plan.path("watched"), "").expect("the folder is there");
    host.until("what is watched is seen", || has_token(&host, before, "the-first-token"));
    running(&plan, &host, "serving");
    let told = ours(&plan, &["stop", "fixture-server"]);
    assert_eq!(told.0, 0, "{told:?}");
    assert_eq!(host.exit(), 0);
    let recent = over(&plan);
    assert!(matches!(&recent[..], [row] if row["close_reason"] == "asked"), "{recent:?}");
    let kept = fs::read_dir(plan.path("data/last-good")).expect("it was made");
    assert_eq!(kept.count(), 1, "the last good answers");
    let stderr = host.all_stderr();
    for service in services {
        assert_eq!(stderr.matches(&format!("failed to {service}")).count(), 1, "{service}: {stderr}");
    }
}

/// A server that cannot be started is left alone for a minute, so there is nothing else that would be an occasion.
#[cfg(target_os = "linux")]
#[test]
fn services_that_had_no_thread_are_tried_again_though_nothing_happens() {
    let plan = Plan::new().options("--max-restarts 0 --init-grace 1ms --init-timeout 1ms --hold 1ms");
    let tenant = Tenant::of(&plan, 23461);
    let mut host = tenant.server(&plan).tenant(tenant.clone().confined()).start();
    host.greet();
    host.stderr_line_with("the server is not available");
    tenant.release(host.pid());
    host.until("the record and the socket are there", || {
        host.path("data/sessions.db").exists() && host.path("run").exists()
    });
    assert_eq!(host.servers(), Vec::<i32>::new());
    assert_eq!(host.finish(), 126);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_is_served_on_while_there_is_no_thread() {
    let plan = Plan::new();
    let tenant = Tenant::of(&plan, 23458);
    keep(&plan, &tenant, "the-first-token");
    let plan = with_services(&plan, &tenant).tenant(tenant.clone()).options("--log debug");
    let mut host = plan.clone().start();
    host.greet();
    host.list();
    host.stderr_line_with("watching for changes");
    running(&plan, &host, "serving");
    tenant.confine(host.pid());
    // Neither who asks can be answered, nor the new token be read: both take a thread.
    let told = ours(&plan, &["stop", "fixture-server"]);
    assert_eq!(told.0, 73, "{told:?}");
    keep(&plan, &tenant, "the-second-token");
    host.stderr_line_with("the token file has changed");
    for number in 0..50 {
        let answer = host.ask(number, "echo", &json!({"text": "a"}));
        assert_eq!(text_of(&answer), "a");
    }
    assert_eq!(host.servers().len(), 1, "the token was read");
    tenant.release(host.pid());
    host.until("the next server has the token", || has_token(&host, 1, "the-second-token"));
    let told = ours(&plan, &["stop", "fixture-server"]);
    assert_eq!(told.0, 0, "{told:?}");
    assert_eq!(host.exit(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_for_a_server_that_is_dead_already_is_no_error() {
    for is_another_user in [false, true] {
        let plan = Plan::new().options("--no-store");
        let tenant = Tenant::of(&plan, 23459);
        let server =
            if is_another_user { tenant.server_of_another(&plan, 23460) } else { Some(tenant.server(&plan)) };
        let Some(plan) = server else { continue };
        let mut host = plan.tenant(tenant).start();
        host.greet();
        let server = host.server(1);
        host.signal(Signal::SIGSTOP);
        host.until("it is stopped", || process::is_stopped(host.pid()));
        process::kill_hard(server);
        host.until_gone("the server", server);
        // It hears of this first, and has not collected the server yet.
        host.signal(Signal::SIGTERM);
        host.signal(Signal::SIGCONT);
        assert_eq!(host.exit(), 128 + 9, "{is_another_user}: {}", host.stderr());
        let stderr = host.all_stderr();
        assert!(!stderr.contains("ERROR"), "{stderr}");
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
