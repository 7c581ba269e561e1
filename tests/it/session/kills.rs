//! Restarts and kills: whatever the moment, the next supervisor goes on with what the last one left.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use super::{balance, balances, keep, plan, story, text, until_served};
use crate::support::Host;
use crate::support::daemon::{Daemon, RENEWALS, WALLET, fingerprint};

/// Kills a supervisor without a word.
fn kill(mut host: Host) {
    host.signal(Signal::SIGKILL);
    host.exit();
}

#[test]
fn killed_before_the_renewal_was_carried_out_the_old_token_is_renewed_again() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    daemon.hold(RENEWALS, "before");
    let mut host = plan(&daemon).start();
    host.greet();
    daemon.wait_until(RENEWALS, "held", 1);
    kill(host);
    // What it had asked for is not carried out, and nobody waits for the lock of one that is dead.
    daemon.fault(RENEWALS, &json!({"kind": "close"}));
    daemon.release();
    daemon.wait_until(RENEWALS, "answered", 1);
    daemon.clear();
    let mut next = plan(&daemon).start();
    next.greet();
    balance(&mut next, "old");
    next.until("the file holds the new token", || text(&daemon.token_file(WALLET)) != session.token);
    balance(&mut next, "new");
    next.finish();
}

#[test]
fn killed_after_the_file_was_written_the_new_token_is_used() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    let mut host = plan(&daemon).start();
    host.greet();
    host.until("the file holds the new token", || text(&daemon.token_file(WALLET)) != session.token);
    kill(host);
    let mut next = plan(&daemon).start();
    next.greet();
    balance(&mut next, "new");
    assert_eq!(balances(&daemon), [(fingerprint(&text(&daemon.token_file(WALLET))), 200)]);
    next.finish();
}

#[test]
fn killed_between_the_two_the_chat_is_told_until_somebody_writes_a_token() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    daemon.hold(RENEWALS, "after");
    let mut host = plan(&daemon).start();
    host.greet();
    daemon.wait_until(RENEWALS, "executed", 1);
    kill(host);
    daemon.release();
    assert_eq!(text(&daemon.token_file(WALLET)), session.token, "it had not come to that");
    let mut next = plan(&daemon).start();
    next.greet();
    let told = next.ask("lost", "get_balance", &json!({}));
    assert_eq!(story(&told)["status"], "session_expired", "{told}");
    next.stderr_line_with("the session has expired");
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut next);
    next.finish();
}

#[test]
fn the_file_beats_the_environment_which_serves_where_there_is_none() {
    let daemon = Daemon::start();
    let (stale, fresh) =
        (daemon.session(&json!({"ttl_ms": 3_600_000})), daemon.session(&json!({"ttl_ms": 3_600_000})));
    keep(&daemon, &fresh);
    let with_both = || plan(&daemon).variable("WAIAAS_SESSION_TOKEN", &stale.token);
    let mut host = with_both().start();
    host.greet();
    balance(&mut host, "file");
    host.finish();
    fs::remove_file(daemon.token_file(WALLET)).expect("it is there");
    let mut host = with_both().start();
    host.greet();
    balance(&mut host, "environment");
    host.finish();
    assert_eq!(balances(&daemon), [(fingerprint(&fresh.token), 200), (fingerprint(&stale.token), 200)]);
}

#[test]
fn both_expired_the_chat_is_told_and_the_next_token_is_used() {
    let daemon = Daemon::start();
    let old = daemon.session(&json!({"ttl_ms": 1000, "age_ms": 3_600_000}));
    keep(&daemon, &old);
    let mut host = plan(&daemon).variable("WAIAAS_SESSION_TOKEN", &old.token).start();
    host.greet();
    host.stderr_line_with("there is no session token");
    let told = host.ask("old", "get_balance", &json!({}));
    assert_eq!(story(&told)["outcome"], "not_executed", "{told}");
    assert_eq!(balances(&daemon), [], "nobody was asked");
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut host);
    host.finish();
}
