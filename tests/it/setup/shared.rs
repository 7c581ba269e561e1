//! Sessions of several wallets together, for servers without a wallet's id.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{SESSIONS, Setup, asked, living};
use crate::support::daemon::{Daemon, OTHER_WALLET, WALLET};

fn file(daemon: &Daemon) -> PathBuf {
    daemon.data_dir().join("mcp-token")
}

fn token(daemon: &Daemon) -> String {
    fs::read_to_string(file(daemon)).expect("the token file is there")
}

/// The wallets of the session that lives.
fn wallets(daemon: &Daemon) -> Value {
    let [living] = &living(daemon)[..] else { panic!("one session lives: {:?}", living(daemon)) };
    let state = daemon.state();
    let sessions = state["sessions"].as_array().expect("it is a list");
    let session = sessions.iter().find(|session| session["id"] == **living).expect("it is there");
    session["wallets"].clone()
}

#[test]
fn one_session_for_all_wallets_is_in_the_file_of_servers_that_are_told_none() {
    let daemon = Daemon::start();
    let shown = Setup::of(&daemon).options("--together --output json").run();
    shown.done();
    assert_eq!(daemon.balance(&token(&daemon)).status, 200);
    assert_eq!(wallets(&daemon), json!([WALLET, OTHER_WALLET]));
    let told = shown.object();
    let session = &told["sessions"][0];
    assert_eq!(session["wallet_id"], Value::Null);
    assert_eq!(session["wallet_ids"], json!([WALLET, OTHER_WALLET]));
    assert_eq!(session["token_file"], json!(file(&daemon)));
    let env = json!({"WAIAAS_BASE_URL": daemon.base(), "WAIAAS_DATA_DIR": daemon.data_dir()});
    assert_eq!(told["config"]["mcpServers"]["waiaas"]["env"], env);
    assert!(!daemon.data_dir().join("mcp-tokens").exists(), "no wallet has a file of its own");
}

#[test]
fn a_session_that_was_made_without_a_wallet_is_begun_anew_for_those_that_it_had() {
    let daemon = Daemon::of(&[WALLET, OTHER_WALLET, "0193-3"], "");
    // Made while the third was not to be had.
    let body = json!({"walletIds": [WALLET, OTHER_WALLET], "ttl": 300});
    let first = daemon.admin("POST", "/v1/sessions", Some(&body)).body;
    fs::write(file(&daemon), first["token"].as_str().expect("a token")).expect("a file can be written");
    let shown = Setup::of(&daemon).options("--revoke-old").run();
    shown.done();
    assert!(shown.stdout.contains("is revoked"), "{}", shown.stdout);
    assert_eq!(wallets(&daemon), json!([WALLET, OTHER_WALLET]));
    assert_eq!(daemon.balance(&token(&daemon)).status, 200);
    assert_eq!(shown.entries()["waiaas"]["env"].get("WAIAAS_WALLET_ID"), None);
    assert_eq!(asked(&daemon).iter().filter(|asked| *asked == "GET /v1/sessions").count(), 3);
}

#[test]
fn the_only_wallet_may_have_a_session_without_its_name_too() {
    let daemon = Daemon::of(&[WALLET], "");
    let first = daemon.session(&json!({}));
    fs::write(file(&daemon), &first.token).expect("a file can be written");
    Setup::of(&daemon).options("--revoke-old").run().done();
    assert_ne!(token(&daemon), first.token);
    assert_eq!(daemon.balance(&first.token).status, 401);
    assert_eq!(daemon.balance(&token(&daemon)).status, 200);
}

#[test]
fn where_nobody_knows_the_wallets_of_before_a_person_is_asked_which() {
    let daemon = Daemon::start();
    let gone = daemon.session(&json!({}));
    fs::write(file(&daemon), &gone.token).expect("a file can be written");
    daemon.forget(&gone.id);
    let shown = Setup::of(&daemon).run();
    shown.failed(67, "the daemon has 2 wallets");
    assert!(shown.stderr.contains("--together"), "{}", shown.stderr);
    assert_eq!(token(&daemon), gone.token);
    // What is set for a server does not speak against it.
    Setup::of(&daemon).variable("WAIAAS_WALLET_ID", WALLET).options("--together").run().done();
    assert_eq!(wallets(&daemon), json!([WALLET, OTHER_WALLET]));
    let both = Setup::of(&daemon).options("--together --all").run();
    both.failed(2, "--all");
    Setup::of(&daemon).options("--together --wallet x").run().failed(2, "--wallet");
    Setup::of(&daemon).options("--together --via mcp-tokens").run().failed(2, "--together");
}

#[test]
fn a_terminated_wallet_has_no_part_in_it() {
    let daemon = Daemon::with(&format!("--terminated {OTHER_WALLET}"));
    let shown = Setup::of(&daemon).options("--together").run();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stderr.contains("is terminated, and is left out"), "{}", shown.stderr);
    assert_eq!(wallets(&daemon), json!([WALLET]));
}

#[test]
fn a_daemon_that_fails_to_list_sessions_changes_nobodys_session() {
    for (fault, code, told) in [
        (json!({"kind": "status", "status": 500, "code": "BROKEN"}), 68, "500 BROKEN"),
        (json!({"kind": "status", "status": 403, "code": "NO"}), 68, "403 NO"),
        (json!({"kind": "close"}), 64, "list the sessions"),
        (json!({"kind": "redirect"}), 1, "leads elsewhere"),
    ] {
        for options in ["--together", ""] {
            let daemon = Daemon::start();
            let before = daemon.session(&json!({}));
            fs::write(file(&daemon), &before.token).expect("a file can be written");
            daemon.fault(SESSIONS, &fault);
            let shown = Setup::of(&daemon).options(options).run();
            shown.failed(code, told);
            assert_eq!(token(&daemon), before.token);
            assert!(!asked(&daemon).contains(&"POST /v1/sessions".to_owned()), "{:?}", asked(&daemon));
        }
    }
}

#[test]
fn a_daemon_that_has_no_list_of_sessions_is_taken_as_it_is() {
    for fault in [
        json!({"kind": "status", "status": 404, "code": "NOT_FOUND", "times": 2}),
        json!({"kind": "status", "status": 405, "code": "NO", "times": 2}),
        json!({"kind": "status", "status": 501, "code": "NO", "times": 2}),
        json!({"kind": "not_json", "times": 2}),
    ] {
        let daemon = Daemon::start();
        let before = daemon.session(&json!({}));
        fs::write(file(&daemon), &before.token).expect("a file can be written");
        daemon.fault(SESSIONS, &fault);
        Setup::of(&daemon).options("--together --revoke-old").run().done();
        assert_eq!(wallets(&daemon), json!([WALLET, OTHER_WALLET]), "{fault}");
    }
}
