//! The secret: whatever happens, and however much is told, no token and no part of its signature shows anywhere.
//!
//! What a panic quotes is looked at where one can be planted: in `src/command/run/panics/tests.rs`.

use std::fs::{self, Permissions};
#[cfg(target_os = "linux")]
use std::os::unix::{fs::MetadataExt as _, fs::PermissionsExt as _, process::CommandExt as _};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{balance, environment, keep, plan, story, until_served};
use crate::monitor::client::Monitor;
use crate::support::daemon::{Daemon, RENEWALS, WALLET};
use crate::support::outside::{ours, running};
#[cfg(target_os = "linux")]
use crate::support::process::{eventually, is_called};
use crate::support::{Host, Plan};

#[test]
fn nothing_that_anybody_can_see_holds_a_token_or_a_part_of_its_signature() {
    let daemon = Daemon::start();
    let first = daemon.ripe();
    keep(&daemon, &first);
    let stale = daemon.session(&json!({"ttl_ms": 3_600_000}));
    let plan = plan(&daemon).options("--log trace").variable("WAIAAS_SESSION_TOKEN", &stale.token).tireless();
    let monitor = Monitor::of(&plan);
    let mut host = plan.clone().start();
    host.greet();
    host.list();
    // Renewed, rotated, crashed, refused, locked, away, and back.
    daemon.wait_until(RENEWALS, "answered", 1);
    let mut tokens = vec![first.token.clone(), stale.token.clone()];
    host.until("the file holds the new token", || {
        fs::read_to_string(daemon.token_file(WALLET)).is_ok_and(|now| now != first.token)
    });
    tokens.extend(fs::read_to_string(daemon.token_file(WALLET)).ok());
    balance(&mut host, "renewed");
    tokens.push(daemon.rotate(&first.id, true).token);
    balance(&mut host, "rotated");
    look(&host, &tokens, None);
    let row = look_from_outside(&plan, &host, &monitor, &tokens);
    assert_eq!(row["token_state"], "active", "{row}");
    assert!(row["token_expires_at"].is_i64(), "{row}");
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(host.server(1)), Signal::SIGKILL);
    host.server(2);
    balance(&mut host, "restarted");
    daemon.fault("/v1/wallet/balance", &json!({"kind": "unauthorized", "times": 2}));
    host.ask("refused", "get_balance", &json!({}));
    daemon.clear();
    daemon.kill_switch(true);
    host.ask("locked", "get_balance", &json!({}));
    daemon.kill_switch(false);
    daemon.revoke(&first.id);
    until_expired(&mut host);
    let last = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &last);
    tokens.push(last.token);
    until_served(&mut host);
    look(&host, &tokens, None);
    look_from_outside(&plan, &host, &monitor, &tokens);
    host.finish();
    look(&host, &tokens, None);
    let told: Vec<u8> = host.lines().concat();
    assert_clean("stdout", &told, &tokens);
}

#[test]
fn a_token_that_the_server_is_given_shows_nowhere_else() {
    let daemon = Daemon::start();
    let first = daemon.ripe();
    keep(&daemon, &first);
    let mut host = plan(&daemon).options("--log trace --inject-env WAIAAS_SESSION_TOKEN").tireless().start();
    host.greet();
    host.list();
    host.until("the file holds the new token", || {
        fs::read_to_string(daemon.token_file(WALLET)).is_ok_and(|now| now != first.token)
    });
    let mut tokens = vec![first.token.clone()];
    tokens.extend(fs::read_to_string(daemon.token_file(WALLET)).ok());
    balance(&mut host, "renewed");
    tokens.push(daemon.rotate(&first.id, true).token);
    host.ask("rotated", "get_balance", &json!({}));
    look(&host, &tokens, Some("WAIAAS_SESSION_TOKEN"));
    daemon.revoke(&first.id);
    until_expired(&mut host);
    let last = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &last);
    tokens.push(last.token);
    until_served(&mut host);
    host.finish();
    look(&host, &tokens, Some("WAIAAS_SESSION_TOKEN"));
    let told: Vec<u8> = host.lines().concat();
    assert_clean("stdout", &told, &tokens);
}

fn until_expired(host: &mut Host) {
    for number in 0.. {
        let answer = host.ask(format!("expiring {number}"), "get_balance", &json!({}));
        if answer.to_string().contains("session_expired") {
            assert_eq!(story(&answer)["status"], "session_expired");
            return;
        }
    }
}

/// Everything that there is to see now, but the variable in which the server is given the token.
fn look(host: &Host, tokens: &[String], given: Option<&str>) {
    assert!(tokens.len() >= 2);
    assert_clean("stderr", host.stderr().as_bytes(), tokens);
    for server in host.servers() {
        for (name, value) in environment(server) {
            if given == Some(&*name) {
                continue;
            }
            assert_clean(&format!("the server's {name}"), value.as_bytes(), tokens);
        }
    }
    for process in processes() {
        let argv = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        assert_clean("a command line", &argv, tokens);
    }
    files(&host.path("data"), &mut |path, bytes| assert_clean(&path.to_string_lossy(), bytes, tokens));
    files(&host.path("log"), &mut |path, bytes| assert_clean(&path.to_string_lossy(), bytes, tokens));
}

/// All that the record, the control socket and the monitor tell. The row of the session.
fn look_from_outside(plan: &Plan, host: &Host, monitor: &Monitor, tokens: &[String]) -> Value {
    let row = running(plan, host, "serving");
    let id = row["id"].as_str().expect("it has one");
    host.until("the monitor knows it", || monitor.ask("/api/sessions", &[]).body.contains(id));
    let detail = format!("/api/sessions/{id}");
    for path in ["/", "/health/deep", "/api/sessions", &detail, "/api/events", "/api/history", "/metrics"] {
        let answer = monitor.ask(path, &[]);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_clean(path, answer.body.as_bytes(), tokens);
        assert_clean(path, answer.head.as_bytes(), tokens);
    }
    assert_clean("the status", row.to_string().as_bytes(), tokens);
    let (_, table, _) = ours(plan, &["status"]);
    assert_clean("the table", table.as_bytes(), tokens);
    row
}

fn processes() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").expect("there is a /proc");
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn files(path: &Path, see: &mut impl FnMut(&Path, &[u8])) {
    if let Ok(entries) = fs::read_dir(path) {
        entries.flatten().for_each(|entry| files(&entry.path(), see));
    } else if let Ok(bytes) = fs::read(path) {
        see(path, &bytes);
    }
}

/// Neither the whole nor any 12 bytes of the signature, which says more than a whole word of chance would.
fn assert_clean(what: &str, bytes: &[u8], tokens: &[String]) {
    for token in tokens {
        let signature = token.rsplit('.').next().expect("it has a signature").as_bytes();
        for part in signature.windows(12) {
            let found = memchr::memmem::find(bytes, part).is_some();
            assert!(!found, "{what} holds a part of a signature");
        }
    }
}

/// Who may read the memory of a process is who its folder belongs to: the superuser, where it is private.
#[cfg(target_os = "linux")]
#[test]
fn no_other_process_of_the_user_reads_what_a_supervisor_and_its_guardian_hold() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let program = folder.path().join("mcp-supervise");
    fs::copy(env!("CARGO_BIN_EXE_mcp-supervise"), &program).expect("it can be copied");
    for (options, private) in [(&["--token-env", "T", "--inject-env", "T"][..], true), (&[], false)] {
        let mut supervisor = of_a_user(&program, options, folder.path());
        let pid = i32::try_from(supervisor.id()).expect("a pid");
        let owner = |pid: i32| fs::metadata(format!("/proc/{pid}/environ")).map(|file| file.uid()).ok();
        let server = eventually(|| all_below(pid).into_iter().find(|pid| is_called(*pid, "sleep")));
        let server = server.expect("the server runs");
        let user = owner(server).expect("it is there");
        assert_ne!(user, 0, "a server is like any other program");
        let ours: Vec<i32> =
            all_below(pid).into_iter().filter(|below| *below != server).chain([pid]).collect();
        assert!(ours.len() > 1, "there is a guardian");
        for process in ours {
            assert_eq!(owner(process), Some(if private { 0 } else { user }), "{options:?}");
        }
        drop(supervisor.stdin.take());
        supervisor.wait().expect("it ends");
    }
}

/// A supervisor that runs as a user that is not the superuser.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "it is not ours to supervise here")]
fn of_a_user(program: &Path, options: &[&str], home: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(options).args(["--no-store", "--", "sleep", "1000"]);
    command.env_clear().env("T", "a-token-of-a-session").env("HOME", home).env("PATH", "/usr/bin:/bin");
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it can be started")
}

/// The processes that this one, and those that it has started, have started.
#[cfg(target_os = "linux")]
fn all_below(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<i32> = lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.iter().flat_map(|child| [vec![*child], all_below(*child)].concat()).collect()
}
