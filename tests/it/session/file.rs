//! A token file that careless programs write to: what is in it may be anything, for a moment or for good.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{balance, balances, keep, plan};
use crate::support::daemon::{Daemon, WALLET, fingerprint};

/// How often something is done to the file.
const PACE: Duration = Duration::from_millis(10);

/// Whatever is there is taken away.
fn clear(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
}

/// Does one thing after the other to the file.
fn mistreat(path: &Path, token: &str) {
    let half = &token[..token.len() - 9];
    let whole = path.with_extension("whole");
    let steps: [&dyn Fn(); 9] = [
        &|| clear(path),
        &|| drop(fs::write(path, "")),
        &|| drop(fs::write(path, half)),
        &|| drop(fs::write(path, token)),
        &|| drop(fs::write(path, b"\x7fELF\x00\xff")),
        &|| drop(fs::write(path, "x".repeat(1 << 20))),
        &|| {
            clear(path);
            let _ = symlink("/etc/passwd", path);
        },
        &|| {
            clear(path);
            let _ = fs::create_dir(path);
        },
        &|| {
            clear(path);
            let _ = fs::write(&whole, token).and_then(|()| fs::rename(&whole, path));
        },
    ];
    for step in steps {
        step();
        thread::sleep(PACE);
    }
}

#[test]
fn whatever_becomes_of_the_file_the_token_in_use_serves_on() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &session);
    let mut host = plan(&daemon).tireless().start();
    host.greet();
    balance(&mut host, "before");
    let path = daemon.token_file(WALLET);
    let over = AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        scope.spawn(|| {
            (0..8).for_each(|_| mistreat(&path, &session.token));
            over.store(true, Ordering::Release);
        });
        let mut calls = 0;
        while !over.load(Ordering::Acquire) {
            calls += 1;
            balance(&mut host, &format!("call {calls}"));
        }
        calls
    });
    let asked = balances(&daemon);
    let ours = (fingerprint(&session.token), 200);
    assert!(asked.iter().all(|request| *request == ours), "{asked:?}");
    assert_eq!(asked.len(), calls + 1);
    // What is whole is used.
    let other = daemon.session(&json!({"ttl_ms": 3_600_000}));
    clear(&path);
    keep(&daemon, &other);
    let new = fingerprint(&other.token);
    let mut number = 0;
    while balances(&daemon).last() != Some(&(new.clone(), 200)) {
        number += 1;
        balance(&mut host, &format!("after {number}"));
    }
    host.finish();
    // Once of what others can read, and once of what could not be used.
    assert!(host.stderr().lines().count() <= 3, "{}", host.stderr());
}
