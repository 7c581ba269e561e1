//! How it starts, and does not, and how it ends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal;

use super::client::{Monitor, command};
use crate::support::Plan;

/// Fails unless it does not start, with this code and an error and a hint that say this.
fn fails(plan: &Plan, options: &[&str], code: i32, error: &str, hint: &str) {
    let output = command(plan, options).stderr(Stdio::piped()).output().expect("it was built");
    let stderr = String::from_utf8(output.stderr).expect("we print UTF-8");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{stderr}");
    let (told, hinted) = stderr.split_once("hint: ").unwrap_or_else(|| panic!("no hint: {stderr}"));
    assert!(told.starts_with("error: ") && told.contains(error) && hinted.contains(hint), "{stderr}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let plan = Plan::new();
    let monitor = Monitor::of(&plan);
    let address = monitor.address.to_string();
    let code = mcp_supervise::exit_code::CANNOT_LISTEN;
    fails(&plan, &["--listen", &address], code, &address, "--listen");
    fails(&plan, &["--listen", "192.0.2.1:0", "--auth-token-file", "/"], 2, "regular file", "openssl");
    // There may be several.
    Monitor::of(&plan).get("/health");
}

#[test]
fn beyond_loopback_there_is_nothing_without_a_secret() {
    let plan = Plan::new();
    fails(&plan, &["--listen", "0.0.0.0:0"], 2, "could look and restart", "--auth-token-file");
    fails(&plan, &["--listen", "[::]:0"], 2, "could look and restart", "--auth-token-file");
    let file = plan.path("secret");
    let path = file.to_str().unwrap();
    let with = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    let options = ["--listen", "0.0.0.0:0", "--auth-token-file", path];
    with("correct horse battery", 0o644);
    fails(&plan, &options, 2, "others may use it", "chmod 600");
    with("too short", 0o600);
    fails(&plan, &options, 2, "less than 16 bytes", "openssl");

    with("correct horse battery\n", 0o600);
    let monitor = Monitor::with(&plan, &options);
    let without = monitor.ask("/", &[]);
    assert_eq!(without.status, 401, "{without:?}");
    assert!(without.head.contains("www-authenticate: basic realm=\"mcp-supervise\""), "{without:?}");
    assert!(!without.body.contains("correct horse"), "{without:?}");
    let basic = format!("Basic {}", BASE64_STANDARD.encode("me:correct horse battery"));
    for right in ["Bearer correct horse battery", &basic] {
        for path in ["/", "/metrics", "/api/sessions"] {
            let answer = monitor.ask(path, &[("Authorization", right), ("Host", "box.lan:7420")]);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(!answer.body.contains("correct horse") && !answer.head.contains("correct horse"));
        }
    }
    let foreign = [("Authorization", basic.as_str()), ("Origin", "http://evil.example")];
    assert_eq!(monitor.ask("/", &foreign).status, 403);
    assert_eq!(monitor.ask("/ws/sessions", &[]).status, 401);
    assert_eq!(monitor.ask("/health", &[]).status, 200);
    assert_eq!(monitor.ask("/", &[("Authorization", "Bearer wrong")]).status, 401);
}

#[test]
fn a_signal_ends_it_whoever_is_connected() {
    let plan = Plan::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut monitor = Monitor::of(&plan);
        let _idle = monitor.connect();
        let mut ear = monitor.listen();
        ear.next();
        monitor.signal(signal);
        assert_eq!(monitor.exit(), Some(0));
    }
}
