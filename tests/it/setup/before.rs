//! The session before: its token is replaced first, and then, if that was asked for, it is revoked. And files that the
//! daemon writes itself.

use std::fs::{self, File};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;

use super::{ONE_SESSION, SESSIONS, Setup, asked, living, mode, token};
use crate::support::daemon::{Daemon, WALLET};
use crate::support::join;

/// A daemon, and a session whose token is in the file.
fn used() -> (Daemon, String, String) {
    let daemon = Daemon::of(&[WALLET], "");
    let old = daemon.session(&json!({"ttl_ms": 3_600_000, "write": true}));
    (daemon, old.id, old.token)
}

#[test]
fn the_old_session_goes_on_and_is_told_of() {
    let (daemon, old, old_token) = used();
    let shown = Setup::of(&daemon).run();
    shown.done();
    assert!(shown.stdout.contains(&format!("the session {old} is not revoked")), "{}", shown.stdout);
    assert!(shown.stdout.contains("--revoke-old"));
    assert_eq!(daemon.balance(&old_token).status, 200);
    assert_ne!(token(&daemon, WALLET), old_token);
    assert_eq!(mode(&daemon.token_file(WALLET)), 0o600, "the daemon itself had left it open");
    let told = Setup::of(&daemon).options("--output json").run().object();
    assert_eq!(told["sessions"][0]["replaced"]["revoked"], false);
}

#[test]
fn the_old_session_is_revoked_once_the_new_token_is_in_its_place() {
    let (daemon, old, old_token) = used();
    daemon.hold(ONE_SESSION, "before");
    let setup = Setup::of(&daemon).options("--revoke-old --output json");
    let running = thread::spawn(move || setup.run());
    daemon.wait_until(ONE_SESSION, "held", 1);
    // At this moment the file has the new token, and the old one still serves whoever has not looked yet.
    let new = token(&daemon, WALLET);
    assert_ne!(new, old_token);
    assert_eq!((daemon.balance(&new).status, daemon.balance(&old_token).status), (200, 200));
    daemon.release();
    let shown = join(running);
    shown.done();
    assert_eq!(
        shown.object()["sessions"][0]["replaced"],
        json!({"session_id": old, "revoked": true}),
        "{}",
        shown.stdout
    );
    assert_eq!(daemon.balance(&old_token).refusal(), (401, "SESSION_REVOKED"));
    assert_eq!(daemon.balance(&new).status, 200);
    assert_eq!(
        asked(&daemon)[..4],
        ["GET /health", "GET /v1/wallets", "POST /v1/sessions", "DELETE /v1/sessions/*"]
    );
}

#[test]
fn nobody_renews_the_old_token_while_it_is_being_replaced() {
    let (daemon, ..) = used();
    daemon.hold(SESSIONS, "before");
    let setup = Setup::of(&daemon);
    let running = thread::spawn(move || setup.run());
    daemon.wait_until(SESSIONS, "held", 1);
    let lock = || {
        let name = format!("{WALLET}.lock");
        let file = File::open(daemon.token_file(WALLET).with_file_name(name)).expect("the lock is there");
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(drop).map_err(|(_, errno)| errno)
    };
    assert_eq!(lock(), Err(Errno::EWOULDBLOCK));
    daemon.release();
    join(running).done();
    assert_eq!(lock(), Ok(()));
}

#[test]
fn a_revocation_that_fails_is_a_warning() {
    let (daemon, old, old_token) = used();
    daemon.fault(ONE_SESSION, &json!({"kind": "status", "status": 500, "code": "BROKEN"}));
    let shown = Setup::of(&daemon).options("--revoke-old --output json").run();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let warning = format!("warning: the old session {old} was not revoked");
    assert!(shown.stderr.starts_with(&warning) && shown.stderr.contains("500 BROKEN"), "{}", shown.stderr);
    assert_eq!(shown.object()["warnings"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown.object()["sessions"][0]["replaced"]["revoked"], false);
    assert_eq!(daemon.balance(&old_token).status, 200);
    assert_eq!(daemon.balance(&token(&daemon, WALLET)).status, 200);
}

#[test]
fn a_session_that_is_gone_already_needs_no_revoking() {
    let (daemon, old, _) = used();
    daemon.forget(&old);
    let shown = Setup::of(&daemon).options("--revoke-old").run();
    shown.done();
    assert!(shown.stdout.contains(&format!("the session {old} is revoked")), "{}", shown.stdout);
}

#[test]
fn a_file_without_a_token_is_replaced_and_there_is_nothing_to_revoke() {
    let daemon = Daemon::of(&[WALLET], "");
    let file = daemon.token_file(WALLET);
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder can be made");
    fs::write(&file, "junk").expect("a file can be written");
    let shown = Setup::of(&daemon).options("--revoke-old").run();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stderr.contains("warning: no old session was revoked"), "{}", shown.stderr);
    assert_eq!(daemon.balance(&token(&daemon, WALLET)).status, 200);
    // The older file beside it is of no use to a wallet that has one of its own: it is neither read nor touched.
    let older = daemon.session(&json!({}));
    fs::write(daemon.data_dir().join("mcp-token"), &older.token).expect("a file can be written");
    Setup::of(&daemon).options("--revoke-old").run().done();
    assert_eq!(daemon.balance(&older.token).status, 200);
    assert_eq!(fs::read_to_string(daemon.data_dir().join("mcp-token")).ok(), Some(older.token));
}

#[test]
fn the_daemon_may_write_the_file_itself() {
    let (daemon, old, old_token) = used();
    let options = "--via mcp-tokens --ttl 1h --revoke-old --output json";
    let shown = Setup::of(&daemon).options(options).run();
    shown.done();
    assert!(asked(&daemon).contains(&"POST /v1/mcp/tokens".to_owned()));
    assert!(!asked(&daemon).contains(&"POST /v1/sessions".to_owned()));
    let session = &shown.object()["sessions"][0];
    assert_eq!(session["replaced"], json!({"session_id": old, "revoked": true}));
    assert_eq!(living(&daemon), [session["session_id"].as_str().expect("the token says it")]);
    assert!(session["expires_at"].is_i64());
    let file = daemon.token_file(WALLET);
    assert_eq!(mode(&file), 0o600, "the daemon leaves it open, and we close it");
    assert_eq!(daemon.balance(&token(&daemon, WALLET)).status, 200);
    assert_eq!(daemon.balance(&old_token).status, 401);
}

#[test]
fn a_name_that_only_the_daemons_own_way_tells_is_used() {
    let daemon = Daemon::start();
    daemon.fault("/v1/wallets", &json!({"kind": "status", "status": 503, "code": "SYSTEM_LOCKED"}));
    let shown = Setup::of(&daemon).option("--wallet", WALLET).options("--via mcp-tokens").run();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stderr.contains("warning: the name of the wallet is unknown"), "{}", shown.stderr);
    assert!(shown.entries().get("waiaas-my-wallet").is_some(), "{}", shown.stdout);
}

#[test]
fn a_file_that_the_daemon_has_written_elsewhere_is_an_error() {
    let daemon = Daemon::of(&[WALLET], "");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let setup =
        || Setup::of(&daemon).variable("WAIAAS_DATA_DIR", elsewhere.path()).options("--via mcp-tokens");
    let shown = setup().run();
    shown.failed(69, "is not there; the daemon says that it has written");
    assert!(shown.stderr.contains("--waiaas-dir"), "{}", shown.stderr);
    assert!(!elsewhere.path().join("mcp-tokens").exists(), "it is not ours to make");
    // With a token of before in it the file looks as if all were well.
    let old = daemon.session(&json!({}));
    fs::create_dir(elsewhere.path().join("mcp-tokens")).expect("a folder can be made");
    fs::write(elsewhere.path().join("mcp-tokens").join(WALLET), old.token).expect("a file can be written");
    setup().run().failed(69, "holds the token of before");
}

#[test]
fn where_there_is_no_room_the_session_that_is_to_go_makes_it() {
    let daemon = Daemon::of(&[WALLET], "--max-sessions 1");
    let old = daemon.session(&json!({"ttl_ms": 3_600_000, "write": true}));
    let shown = Setup::of(&daemon).run();
    shown.failed(68, "SESSION_LIMIT_EXCEEDED");
    assert!(shown.stderr.contains("with --revoke-old"), "{}", shown.stderr);
    assert_eq!(token(&daemon, WALLET), old.token);
    let told = Setup::of(&daemon).options("--revoke-old --output json").run();
    told.done();
    assert_eq!(told.object()["sessions"][0]["replaced"], json!({"session_id": old.id, "revoked": true}));
    assert_eq!(daemon.balance(&token(&daemon, WALLET)).status, 200);
}
