//! `setup`, from the real program to a real daemon: each step, in its order, and what is told.
//!
//! Whatever it does, no run shows the password or a token: that is looked at in each of them.

mod before;
mod failing;
mod password;
mod replace;
mod scripted;
mod shared;
mod tls;
mod write;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use snapbox::cmd::Command;
use tempfile::TempDir;

use crate::support::daemon::{Daemon, OTHER_WALLET, PASSWORD, WALLET};

const SESSIONS: &str = "/v1/sessions";
/// Where one session is.
const ONE_SESSION: &str = "/v1/sessions/*";

/// What a run has shown.
struct Shown {
    code: i32,
    stdout: String,
    stderr: String,
}

/// The program, with nothing of the person's in its environment, and a home of its own.
struct Setup {
    command: Command,
    home: TempDir,
}

impl Setup {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("the system has a folder for temporary files");
        let ours = |name: &str| ["WAIAAS_", "MCP_SUPERVISE_"].iter().any(|start| name.starts_with(start));
        let command = std::env::vars_os()
            .filter(|(name, _)| ours(&name.to_string_lossy()))
            .fold(Command::new(env!("CARGO_BIN_EXE_mcp-supervise")), |command, (name, _)| {
                command.env_remove(name)
            });
        let command = command.env("HOME", home.path()).stdin("").arg("setup");
        Self { command, home }
    }

    /// With the address, the directory and the password of this daemon.
    fn of(daemon: &Daemon) -> Self {
        Self::new()
            .variable("WAIAAS_BASE_URL", daemon.base())
            .variable("WAIAAS_DATA_DIR", daemon.data_dir())
            .variable("WAIAAS_MASTER_PASSWORD", PASSWORD)
    }

    /// Options, separated by blanks.
    fn options(self, options: &str) -> Self {
        Self { command: self.command.args(options.split_whitespace()), ..self }
    }

    fn option(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        Self { command: self.command.arg(name).arg(value), ..self }
    }

    fn variable(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        Self { command: self.command.env(name, value), ..self }
    }

    fn without(self, name: &str) -> Self {
        Self { command: self.command.env_remove(name), ..self }
    }

    fn run(self) -> Shown {
        self.run_at_home().0
    }

    /// The same, for those who want to look at the home afterwards.
    fn run_at_home(self) -> (Shown, TempDir) {
        let output = self.command.output().expect("the program was built for this test");
        let text = |bytes| String::from_utf8(bytes).expect("we print UTF-8");
        let shown = Shown {
            code: output.status.code().expect("no signal ended it"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for secret in [PASSWORD, "wai_sess_"] {
            let all = format!("{}{}", shown.stdout, shown.stderr);
            assert!(!all.contains(secret), "{secret} is shown:\n{all}");
        }
        (shown, self.home)
    }
}

impl Shown {
    /// The JSON object. Fails unless it is all of stdout.
    fn object(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    /// The entries, as the text has them.
    fn entries(&self) -> Value {
        let start = self.stdout.find("\n{").unwrap_or_else(|| panic!("no entry:\n{}", self.stdout));
        let config: Value = serde_json::from_str(&self.stdout[start..]).expect("the end is JSON");
        config["mcpServers"].clone()
    }

    /// Fails unless it ended so, with an error that says this, and a hint.
    fn failed(&self, code: i32, error: &str) {
        assert_eq!(self.code, code, "{}", self.stderr);
        let found = self.stderr.contains("error: ") && self.stderr.contains(error);
        assert!(found && self.stderr.contains("hint: "), "no {error:?} in: {}", self.stderr);
    }

    /// Fails unless it ended well, without a word on stderr.
    fn done(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
    }
}

/// Methods and paths of what the daemon was asked for, ids of sessions left out.
fn asked(daemon: &Daemon) -> Vec<String> {
    let text = |request: &Value, name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let path = |request: &Value| {
        let path = text(request, "path");
        if path.starts_with("/v1/sessions/") { ONE_SESSION.to_owned() } else { path }
    };
    daemon.log().iter().map(|request| format!("{} {}", text(request, "method"), path(request))).collect()
}

/// The sessions of the daemon that are not revoked: their ids.
fn living(daemon: &Daemon) -> Vec<String> {
    let state = daemon.state();
    let sessions = state["sessions"].as_array().expect("it is a list");
    let living = sessions.iter().filter(|session| session["revoked"] == false);
    living.map(|session| session["id"].as_str().unwrap_or_default().to_owned()).collect()
}

fn token(daemon: &Daemon, wallet: &str) -> String {
    fs::read_to_string(daemon.token_file(wallet)).expect("the token file is there")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn a_session_is_opened_its_token_stored_and_the_entry_told() {
    let daemon = Daemon::start();
    let shown = Setup::of(&daemon).option("--wallet", WALLET).run();
    shown.done();
    assert_eq!(asked(&daemon), ["GET /health", "GET /v1/wallets", "POST /v1/sessions"]);

    let file = daemon.token_file(WALLET);
    assert_eq!((mode(&file), file.parent().map(mode)), (0o600, Some(0o700)));
    let token = token(&daemon, WALLET);
    assert!(token.starts_with("wai_sess_") && token.trim() == token);
    assert_eq!(daemon.balance(&token).status, 200, "it serves");

    let [session] = &living(&daemon)[..] else { panic!("one session") };
    for part in [session.as_str(), "until it is revoked", "My Wallet", WALLET, &file.display().to_string()] {
        assert!(shown.stdout.contains(part), "no {part:?}: {}", shown.stdout);
    }
    let entries = shown.entries();
    assert_eq!(entries.as_object().map(serde_json::Map::len), Some(1));
    let entry = &entries["waiaas-my-wallet"];
    let program = PathBuf::from(entry["command"].as_str().unwrap_or_default());
    assert!(program.is_absolute() && program.exists(), "{entry}");
    let args = json!(["--name", "waiaas-my-wallet", "--profile", "waiaas", "--", "npx", "-y", "@waiaas/mcp"]);
    let env = json!({
        "WAIAAS_BASE_URL": daemon.base(),
        "WAIAAS_DATA_DIR": daemon.data_dir(),
        "WAIAAS_WALLET_ID": WALLET,
        "WAIAAS_WALLET_NAME": "My Wallet",
    });
    assert_eq!((&entry["args"], &entry["env"]), (&args, &env));
}

#[test]
fn the_only_wallet_is_taken_and_its_name_is_not_needed() {
    let daemon = Daemon::of(&[OTHER_WALLET], "");
    let shown = Setup::of(&daemon).run();
    shown.done();
    let key = format!("waiaas-{OTHER_WALLET}");
    let entry = &shown.entries()[&key];
    assert_eq!(entry["env"]["WAIAAS_WALLET_ID"], OTHER_WALLET);
    assert!(entry["env"].get("WAIAAS_WALLET_NAME").is_none());
    assert_eq!(daemon.balance(&token(&daemon, OTHER_WALLET)).status, 200);
}

#[test]
fn the_directory_is_in_the_home_and_the_daemon_at_its_usual_port_unless_said_otherwise() {
    let daemon = Daemon::of(&[WALLET], "");
    let setup = Setup::of(&daemon).without("WAIAAS_DATA_DIR").variable("WAIAAS_WALLET_ID", "");
    let (shown, home) = setup.run_at_home();
    shown.done();
    let file = home.path().join(".waiaas/mcp-tokens").join(WALLET);
    assert!(file.exists() && shown.stdout.contains(&file.display().to_string()), "{}", shown.stdout);
    let help = Setup::new().options("--help").run();
    assert!(help.stdout.contains("http://127.0.0.1:3100"), "{}", help.stdout);
}

#[test]
fn the_terms_are_the_ones_that_were_asked_for() {
    let daemon = Daemon::start();
    let asked = "--ttl 24h --max-renewals 1 --absolute-lifetime 48h --output json";
    let shown = Setup::of(&daemon).option("--wallet", WALLET).options(asked).run();
    shown.done();
    let session = &shown.object()["sessions"][0];
    let state = daemon.state();
    assert_eq!(session["expires_at"], state["sessions"][0]["expires_at"]);
    assert_eq!(session["session_id"], state["sessions"][0]["id"]);
    let opened = daemon.wait(SESSIONS, 1);
    let body = json!({"walletId": WALLET, "ttl": 86_400, "maxRenewals": 1, "absoluteLifetime": 172_800});
    assert_eq!(opened[0]["bytes"], body.to_string().len());
}

#[test]
fn both_forms_of_times_and_errors_are_understood() {
    let daemon = Daemon::with("--times iso --errors nested");
    let shown = Setup::of(&daemon).option("--wallet", WALLET).options("--ttl 1h --output json").run();
    shown.done();
    let expires = shown.object()["sessions"][0]["expires_at"].as_i64().expect("a number of seconds");
    daemon.order("shape", &json!({"times": "unix"}));
    assert_eq!(json!(expires), daemon.state()["sessions"][0]["expires_at"]);
    let text = Setup::of(&daemon).option("--wallet", WALLET).options("--ttl 1h").run();
    assert!(text.stdout.contains(", lasts until 20"), "{}", text.stdout);
    Setup::of(&daemon).option("--wallet", "none").run().failed(66, "the daemon has no wallet \"none\"");
}

#[test]
fn each_wallet_gets_a_session_and_an_entry_of_its_own() {
    let third = "0190a3b2-7c1d-7e4f-8a5b-000000004f5a";
    let named = [format!("{WALLET}=Main"), format!("{third}=main"), OTHER_WALLET.to_owned()];
    let daemon = Daemon::of(&named.each_ref().map(String::as_str), "");
    let shown = Setup::of(&daemon).options("--all --output json").run();
    shown.done();
    let told = shown.object();
    assert_eq!((&told["failures"], &told["warnings"]), (&json!([]), &json!([])));
    let other = format!("waiaas-{OTHER_WALLET}");
    let expected = [(WALLET, "waiaas-main-5a6b"), (third, "waiaas-main"), (OTHER_WALLET, other.as_str())];
    for (at, (wallet, key)) in expected.into_iter().enumerate() {
        let session = &told["sessions"][at];
        assert_eq!((&session["wallet_id"], &session["key"]), (&json!(wallet), &json!(key)));
        assert_eq!(told["config"]["mcpServers"][key]["env"]["WAIAAS_WALLET_ID"], wallet);
        let balance = daemon.balance(&token(&daemon, wallet));
        assert_eq!(balance.body["walletId"], wallet);
    }
    // Alone, a wallet has the same key: an entry of before is not doubled.
    let alone = Setup::of(&daemon).option("--wallet", third).run();
    assert!(alone.entries().get("waiaas-main").is_some(), "{}", alone.stdout);
    // Said on the command line, it beats the variable; said together, they contradict each other.
    let all = Setup::of(&daemon).variable("WAIAAS_WALLET_ID", third).options("--all --output json").run();
    assert_eq!(all.object()["sessions"].as_array().map(Vec::len), Some(3));
    assert_eq!(Setup::of(&daemon).options("--all --wallet x").run().code, 2);
}

#[test]
fn the_object_has_the_fields_that_the_manual_has() {
    let daemon = Daemon::start();
    let shown = Setup::of(&daemon).option("--wallet", OTHER_WALLET).options("--output json").run();
    let told = shown.object();
    let file = daemon.token_file(OTHER_WALLET);
    let key = format!("waiaas-{OTHER_WALLET}");
    let entry = told["config"]["mcpServers"][&key].clone();
    assert_eq!(
        told,
        json!({
            "base_url": daemon.base(),
            "sessions": [{
                "wallet_id": OTHER_WALLET,
                "wallet_name": null,
                "wallet_ids": [OTHER_WALLET],
                "session_id": living(&daemon)[0],
                "token_file": file,
                "expires_at": null,
                "key": key,
                "replaced": null,
            }],
            "failures": [],
            "warnings": [],
            "written": null,
            "config": {"mcpServers": {key: entry}},
        })
    );
    let manual = String::from_utf8(mcp_supervise::command::manual::render()).expect("it is UTF-8");
    let manual = manual.replace("\\-", "-");
    let session = told["sessions"][0].as_object().into_iter().flat_map(serde_json::Map::keys);
    let fields = told.as_object().into_iter().flat_map(serde_json::Map::keys).chain(session);
    for field in fields {
        assert!(manual.contains(field.as_str()), "{field} is not in the manual");
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let help = Setup::new().options("--help").run();
    help.done();
    let codes = [mcp_supervise::exit_code::OF_SETUP, mcp_supervise::exit_code::OF_CONFIGS].concat();
    for (code, meaning) in codes {
        assert!(help.stdout.contains(&format!("{code}  {meaning}")), "{}", help.stdout);
    }
    assert!(
        help.stdout.ends_with("cannot be kept\n") && !help.stdout.contains("--password "),
        "{}",
        help.stdout
    );
}

#[test]
fn options_that_cannot_be_are_told_with_a_hint_that_fits() {
    let daemon = Daemon::start();
    for (options, error) in [
        ("--ttl 299s", "300s to 8760h"),
        ("--ttl 300", "unit is missing"),
        ("--bogus", "--bogus"),
        ("word", "word"),
        ("--via post", "mcp-tokens"),
        ("--base-url 127.0.0.1:3100", "http://"),
        ("--base-url http://me:sesame@127.0.0.1", "a name or a password"),
        ("--waiaas-dir ~/x", "write the path in full"),
        ("--via mcp-tokens --max-renewals 3", "neither --max-renewals"),
        ("--via mcp-tokens --absolute-lifetime 1h", "neither --max-renewals"),
    ] {
        let shown = Setup::of(&daemon).options(options).run();
        shown.failed(2, error);
        assert!(
            !shown.stderr.contains("sesame") && !shown.stderr.contains("server's command"),
            "{}",
            shown.stderr
        );
    }
    let shown = Setup::of(&daemon).variable("WAIAAS_DATA_DIR", "~/x").run();
    shown.failed(2, "write the path in full");
    assert!(shown.stderr.contains("variable WAIAAS_DATA_DIR"), "{}", shown.stderr);
    assert!(daemon.log().is_empty(), "nobody was asked");
    // What is set for `run` is not looked at.
    Setup::of(&daemon).variable("MCP_SUPERVISE_HOLD", "soon").option("--wallet", WALLET).run().done();
}
