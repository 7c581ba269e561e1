//! The servers of a wallet that a config has already: those of others are left alone, those without a supervisor get one, and none is
//! added to them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use snapbox::cmd::Command;
use tempfile::TempDir;

use super::{Setup, Shown};
use crate::support::daemon::{Daemon, WALLET};

/// A daemon with one wallet, and a config.
struct Case {
    daemon: Daemon,
    folder: TempDir,
}

impl Case {
    /// With these members of `mcpServers`. `<base>` and `<dir>` stand for the daemon's own address and directory.
    fn of(servers: &str) -> Self {
        let daemon = Daemon::of(&[&format!("{WALLET}=Main")], "--max-sessions 9");
        let folder = tempfile::tempdir().expect("a folder");
        let case = Self { daemon, folder };
        let dir = case.daemon.data_dir().display().to_string();
        let servers = servers.replace("<base>", case.daemon.base()).replace("<dir>", &dir);
        fs::write(case.path(), format!("{{\n  \"mcpServers\": {{{servers}}}\n}}\n"))
            .expect("it can be written");
        case
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("c.json")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("it is there")
    }

    /// The servers by their keys. Fails if a comment is in the config.
    fn servers(&self) -> Value {
        let config: Value = serde_json::from_str(&self.text()).expect("it is JSON");
        config["mcpServers"].clone()
    }

    fn setup(&self, options: &str) -> Shown {
        let setup = Setup::of(&self.daemon).options("--write").option("--config", self.path());
        let shown = setup.options(options).run();
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        shown
    }

    fn unwrap(&self) {
        let command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise")).env("HOME", self.folder.path());
        let output = command.args(["unwrap", "--yes", "--config"]).arg(self.path()).output();
        assert!(output.expect("the program was built for this test").status.success());
    }
}

fn of_wallet(key: &str, more: &str) -> String {
    format!(
        r#""{key}": {{"command": "npx", "args": ["@waiaas/mcp"], "env": {{"WAIAAS_WALLET_ID": "{WALLET}"{more}}}}}"#
    )
}

#[test]
fn a_server_of_another_daemon_is_none_of_the_same_wallet() {
    for more in [r#", "WAIAAS_BASE_URL": "https://prod.example:3100""#, r#", "WAIAAS_DATA_DIR": "/srv/prod""#]
    {
        let case = Case::of(&of_wallet("prod", more));
        let before = case.servers()["prod"].clone();
        case.setup("--replace").done();
        let servers = case.servers();
        assert_eq!(servers["prod"], before);
        assert!(servers.get("waiaas-main").is_some(), "{servers}");
    }
    let case = Case::of(&of_wallet("mine", r#", "WAIAAS_BASE_URL": "<base>/", "WAIAAS_DATA_DIR": "<dir>""#));
    case.setup("--replace").done();
    assert_eq!(case.servers().as_object().map(serde_json::Map::len), Some(1), "{}", case.text());
}

#[test]
fn a_server_that_has_its_supervisor_is_not_added_once_more() {
    let case = Case::of(&of_wallet("wallet", ""));
    case.setup("--replace").done();
    let text = case.text();
    for options in ["", "--replace"] {
        let again = case.setup(options);
        again.done();
        assert!(again.stdout.contains("has the entry already"), "{}", again.stdout);
        assert!(
            again.stdout.contains("the server `wallet` has the supervisor before it"),
            "{}",
            again.stdout
        );
        assert_eq!(case.text(), text);
    }
    // However it was put there.
    let by_hand = of_wallet("w", "").replace("npx", "/opt/mcp-supervise");
    let case = Case::of(&by_hand.replace(r#""@waiaas"#, r#""--hold", "5s", "--", "npx", "@waiaas"#));
    let text = case.text();
    case.setup("").done();
    assert_eq!(case.text(), text);
}

#[test]
fn each_server_of_the_wallet_is_told_of_and_gets_one() {
    let case = Case::of(&[of_wallet("waiaas-main", ""), of_wallet("z", "")].join(", "));
    let left = case.setup("--output json");
    let told = left.object();
    assert_eq!(told["written"]["unsupervised"], json!(["waiaas-main", "z"]));
    assert_eq!(left.stderr.matches("with --replace it gets one").count(), 2, "{}", left.stderr);
    let done = case.setup("--replace --output json");
    done.done();
    assert_eq!(done.object()["written"]["replaced"], json!(["waiaas-main", "z"]));
    let servers = case.servers();
    assert_eq!(servers.as_object().map(serde_json::Map::len), Some(2));
    for key in ["waiaas-main", "z"] {
        let args = json!(["--name", key, "--profile", "waiaas", "--", "npx", "@waiaas/mcp"]);
        assert_eq!(servers[key]["args"], args);
    }
    // One that has it does not keep the other one quiet.
    let second = case.servers()["z"].clone();
    let both = json!({"mcpServers": {"a": second, "b": {
        "command": "npx", "args": ["@waiaas/mcp"], "env": {"WAIAAS_WALLET_ID": WALLET},
    }}});
    fs::write(case.path(), both.to_string()).expect("it can be written");
    let left = case.setup("");
    assert!(left.stderr.contains("the server `b` of the config is of the same wallet"), "{}", left.stderr);
    assert!(!left.stdout.contains("has the entry already"), "{}", left.stdout);
}

#[test]
fn what_is_there_twice_is_left() {
    let other = r#""w": {"command": "other", "args": ["x"]}"#;
    let twice = of_wallet("w", "").replace(r#""command""#, r#""command": "npx", "command""#);
    for (servers, why) in [
        (format!("{}, {other}", of_wallet("w", "")), "it is left as it is: it is there twice"),
        (twice, "it is left as it is: it has a key twice"),
        (
            of_wallet("w", "")
                .replace("}}", r#"}, "env": {"WAIAAS_WALLET_ID": "WALLET"}}"#)
                .replace("\"WALLET\"", &format!("\"{WALLET}\"")),
            "it is left as it is: it has a key twice",
        ),
    ] {
        let case = Case::of(&servers);
        let text = case.text();
        let shown = case.setup("--replace");
        assert!(shown.stderr.contains(why), "{}", shown.stderr);
        assert!(shown.stdout.contains("json is as it was\n"), "{}", shown.stdout);
        assert_eq!(case.text(), text);
    }
}

#[test]
fn what_the_command_line_was_comes_back_with_its_comments() {
    let servers = format!(
        "\n    \"--help\": {{ // mine\n      \"command\": \"npx\", // runs it\n      \"args\": [\n        // yes\n        \"-y\",\n        \"@waiaas/mcp\", // it\n      ],\n      \
         \"env\": {{\n        \"WAIAAS_WALLET_ID\": \"{WALLET}\",\n        \"WAIAAS_WALLET_NAME\": \"Main\",\n        \"WAIAAS_BASE_URL\": \"<base>\",\n        \"WAIAAS_DATA_DIR\": \"<dir>\"\n      }} // where\n    }}\n  "
    );
    let case = Case::of(&servers);
    let before = case.text();
    case.setup("--replace").done();
    let behind = case.text();
    for part in ["\"--name=--help\",\n", "// yes\n", "\"@waiaas/mcp\", // it\n", "// runs it\n", "// where\n"]
    {
        assert!(behind.contains(part), "no {part:?}: {behind}");
    }
    case.unwrap();
    assert_eq!(case.text(), before);
    // What was added to the variables stays.
    let case = Case::of(&of_wallet("w", ""));
    case.setup("--replace").done();
    case.unwrap();
    let entry = &case.servers()["w"];
    assert_eq!((&entry["command"], &entry["args"]), (&json!("npx"), &json!(["@waiaas/mcp"])));
}

#[test]
fn a_token_that_is_left_and_a_server_that_is_disabled_are_told() {
    let servers =
        of_wallet("w", r#", "WAIAAS_SESSION_TOKEN": "old""#).replace("}}", r#"}, "disabled": true}"#);
    let case = Case::of(&servers);
    for options in ["--replace", ""] {
        let shown = case.setup(options);
        for told in
            ["`w` of the config still has a token in WAIAAS_SESSION_TOKEN", "`w` of the config is disabled"]
        {
            assert_eq!(shown.stderr.matches(told).count(), 1, "{}", shown.stderr);
        }
        assert_eq!(case.servers()["w"]["env"]["WAIAAS_SESSION_TOKEN"], "old");
        assert_eq!(case.servers()["w"]["args"][0], "--name");
    }
}
