//! What fails, with its exit code, and what is left behind: nothing.

use std::fs;

use serde_json::json;

use super::{ONE_SESSION, SESSIONS, Setup, asked, living, token};
use crate::support::daemon::{Daemon, OTHER_WALLET, WALLET};

const WALLETS: &str = "/v1/wallets";

#[test]
fn a_daemon_that_is_not_there_is_told_before_anybody_is_asked_for_a_password() {
    // Held, and not listened on: nobody else can take it meanwhile.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("one can be made");
    let _inside = runtime.enter();
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = held.local_addr().expect("it has an address");
    let shown = Setup::new().option("--base-url", format!("http://{address}")).run();
    shown.failed(64, "failed to ask the daemon how it is: ");
    assert!(shown.stderr.contains("refused") && shown.stderr.contains("--base-url"), "{}", shown.stderr);
    assert_eq!(shown.stdout, "");
}

#[test]
fn a_daemon_that_goes_away_is_unreachable_at_each_step() {
    for path in ["/health", WALLETS, SESSIONS] {
        for kind in ["close", "reset", "half"] {
            let daemon = Daemon::of(&[WALLET], "");
            daemon.fault(path, &json!({ "kind": kind }));
            let shown = Setup::of(&daemon).run();
            shown.failed(64, "failed to ");
            assert!(!daemon.token_file(WALLET).exists());
            let unknown = shown.stderr.contains("may have done it all the same");
            assert_eq!(unknown, path == SESSIONS, "{path} {kind}: {}", shown.stderr);
        }
    }
}

#[test]
fn a_daemon_that_is_not_well_is_a_warning() {
    let daemon = Daemon::of(&[WALLET], "");
    daemon.fault("/health", &json!({"kind": "status", "status": 503, "code": "STARTING"}));
    let shown = Setup::of(&daemon).run();
    assert_eq!(shown.code, 0);
    assert_eq!(shown.stderr, "warning: the daemon does not say that it is well: 503\n");
    assert!(daemon.token_file(WALLET).exists());
}

#[test]
fn no_wallet_and_several_are_told_apart() {
    let none = Daemon::of(&[], "");
    Setup::of(&none).run().failed(66, "the daemon has no wallet");
    Setup::of(&none).options("--all").run().failed(66, "the daemon has no wallet");
    let several = Daemon::start();
    let shown = Setup::of(&several).run();
    shown.failed(67, "the daemon has 2 wallets");
    assert!(
        shown.stderr.contains(&format!("\n  My Wallet ({WALLET})\n  {OTHER_WALLET}\n")),
        "{}",
        shown.stderr
    );
    assert!(living(&several).is_empty() && living(&none).is_empty());
    Setup::of(&several)
        .option("--wallet", "0192-unknown")
        .run()
        .failed(66, "the daemon has no wallet \"0192-unknown\"");
}

#[test]
fn a_refusal_is_told_in_the_daemons_words() {
    for options in ["--max-sessions 0", "--max-sessions 0 --errors nested"] {
        for via in ["", "--via mcp-tokens"] {
            let daemon = Daemon::of(&[WALLET], options);
            let shown = Setup::of(&daemon).options(via).run();
            shown.failed(68, "Wallet has 0 active sessions (max: 0) (403 SESSION_LIMIT_EXCEEDED)");
            assert_eq!(shown.stdout, "");
            assert!(!daemon.token_file(WALLET).exists());
        }
    }
    let daemon = Daemon::of(&[WALLET], "");
    daemon.fault(
        SESSIONS,
        &json!({"kind": "status", "status": 429, "code": "RATE_LIMIT_EXCEEDED", "message": "a\u{1b}[2J\nb"}),
    );
    let shown = Setup::of(&daemon).run();
    shown.failed(68, "the daemon refuses: a [2J b (429 RATE_LIMIT_EXCEEDED)");
    assert!(shown.stderr.contains("wait a minute"), "{}", shown.stderr);
    daemon.kill_switch(true);
    daemon.order("kill-switch", &json!({"on": true, "all": true}));
    Setup::of(&daemon).run().failed(68, "SYSTEM_LOCKED");
}

#[test]
fn a_secret_that_the_daemon_repeats_is_not_repeated() {
    let daemon = Daemon::of(&[WALLET], "");
    let message = format!("no {} and no {}", crate::support::daemon::PASSWORD, "Bearer abcdefgh");
    daemon.fault(SESSIONS, &json!({"kind": "status", "status": 403, "code": "NO", "message": message}));
    let shown = Setup::of(&daemon).run();
    shown.failed(68, "no *** and no Bearer *** (403 NO)");
}

#[test]
fn junk_is_told_for_what_it_is() {
    for (path, fault, error) in [
        (WALLETS, json!({"kind": "not_json"}), "the answer is no JSON"),
        (WALLETS, json!({"kind": "wrong_types"}), "has no list `items`"),
        (WALLETS, json!({"kind": "endless"}), "is longer than"),
        (WALLETS, json!({"kind": "redirect"}), "the answer 307 leads elsewhere"),
        (SESSIONS, json!({"kind": "not_json"}), "the answer is no JSON"),
        (SESSIONS, json!({"kind": "wrong_types"}), "`expiresAt` is no time"),
        (SESSIONS, json!({"kind": "endless"}), "is longer than"),
        (SESSIONS, json!({"kind": "redirect"}), "the answer 307 leads elsewhere"),
    ] {
        let daemon = Daemon::of(&[WALLET], "");
        daemon.fault(path, &fault);
        let shown = Setup::of(&daemon).run();
        shown.failed(1, error);
        assert!(!daemon.token_file(WALLET).exists() && living(&daemon).is_empty(), "{path} {fault}");
        assert_eq!(shown.stdout, "");
    }
    for (kind, error) in [("not_json", "the answer is no JSON"), ("wrong_types", "no `tokenPath`")] {
        let daemon = Daemon::of(&[WALLET], "");
        daemon.fault("/v1/mcp/tokens", &json!({ "kind": kind }));
        Setup::of(&daemon).options("--via mcp-tokens").run().failed(1, error);
    }
}

/// A daemon, and a folder in the place of its token file.
fn blocked() -> Daemon {
    let daemon = Daemon::start();
    fs::create_dir_all(daemon.token_file(WALLET)).expect("a folder can be made");
    daemon
}

#[test]
fn a_session_whose_token_cannot_be_stored_is_revoked_again() {
    let daemon = blocked();
    let shown = Setup::of(&daemon).option("--wallet", WALLET).options("--output json").run();
    shown.failed(69, "is no regular file");
    assert!(living(&daemon).is_empty());
    let opened = &daemon.state()["sessions"][0]["id"];
    let told = shown.object();
    assert_eq!((&told["sessions"], &told["failures"][0]["exit_code"]), (&json!([]), &json!(69)));
    let message = told["failures"][0]["message"].as_str().unwrap_or_default();
    let end =
        format!("the session {}, which was opened for it, is revoked", opened.as_str().unwrap_or_default());
    assert!(message.contains(WALLET) && message.ends_with(&end), "{message}");
}

#[test]
fn a_session_that_cannot_even_be_revoked_is_told_of() {
    let daemon = blocked();
    daemon.fault(ONE_SESSION, &json!({"kind": "status", "status": 500, "code": "BROKEN"}));
    let shown = Setup::of(&daemon).option("--wallet", WALLET).run();
    shown.failed(69, "is no regular file");
    let [session] = &living(&daemon)[..] else { panic!("one session") };
    let warning =
        format!("warning: the session {session} was opened, and nobody can use it: failed to revoke");
    assert!(shown.stderr.contains(&warning), "{}", shown.stderr);
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let daemon = Daemon::of(&[WALLET], "");
    let file = daemon.data_dir().join("file");
    fs::write(&file, "").expect("a file can be written");
    let shown = Setup::of(&daemon).variable("WAIAAS_DATA_DIR", file.join("below")).run();
    shown.failed(69, "cannot be written");
    assert!(living(&daemon).is_empty());
}

#[test]
fn one_wallet_that_fails_does_not_keep_the_others_from_theirs() {
    let daemon = blocked();
    for json in [true, false] {
        let shown = Setup::of(&daemon).options(if json { "--all --output json" } else { "--all" }).run();
        shown.failed(69, &format!("error: My Wallet ({WALLET}): failed to store the token"));
        assert_eq!(daemon.balance(&token(&daemon, OTHER_WALLET)).status, 200);
        let entries = if json { shown.object()["config"]["mcpServers"].clone() } else { shown.entries() };
        assert_eq!(entries.as_object().map(serde_json::Map::len), Some(1));
    }
    // The first failure's code: here the daemon's no, and then the file.
    let daemon = blocked();
    fs::create_dir_all(daemon.token_file(OTHER_WALLET)).expect("a folder can be made");
    daemon.fault(SESSIONS, &json!({"kind": "status", "status": 403, "code": "NO", "times": 1}));
    let shown = Setup::of(&daemon).options("--all").run();
    shown.failed(68, "403");
    assert_eq!(shown.stderr.matches("error: ").count(), 2, "{}", shown.stderr);
    assert_eq!(shown.stdout, "");
    assert_eq!(asked(&daemon).iter().filter(|asked| *asked == "POST /v1/sessions").count(), 2);
}

#[test]
fn a_wallet_may_be_called_by_its_name() {
    let daemon = Daemon::start();
    Setup::of(&daemon).option("--wallet", "My Wallet").run().done();
    assert_eq!(daemon.balance(&token(&daemon, WALLET)).status, 200);
    let twins = Daemon::of(&["0192-1=main", "0192-2=main"], "");
    Setup::of(&twins).option("--wallet", "main").run().failed(67, "the daemon has 2 wallets");
}

#[test]
fn a_terminated_wallet_is_left_out_with_a_word() {
    let daemon = Daemon::with(&format!("--terminated {OTHER_WALLET}"));
    let shown = Setup::of(&daemon).options("--all").run();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stderr.contains("is terminated, and is left out"), "{}", shown.stderr);
    assert_eq!(shown.entries().as_object().map(serde_json::Map::len), Some(1));
    let none = Daemon::with(&format!("--terminated {OTHER_WALLET} --terminated {WALLET}"));
    Setup::of(&none).options("--all").run().failed(68, "all are terminated");
}

#[test]
fn one_wallet_that_the_daemon_refuses_is_told_and_fails_nothing_else() {
    let daemon = Daemon::start();
    daemon.fault(SESSIONS, &json!({"kind": "status", "status": 403, "code": "NO", "times": 1}));
    let shown = Setup::of(&daemon).options("--all").run();
    assert_eq!((shown.code, shown.stderr.matches("error: ").count()), (0, 1), "{}", shown.stderr);
    // It leaves nothing behind.
    let folder = daemon.data_dir().join("mcp-tokens");
    let mut left: Vec<String> = fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, [OTHER_WALLET.to_owned(), format!("{OTHER_WALLET}.lock")]);
}
