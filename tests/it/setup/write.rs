//! The entry in a host's config.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Setup, asked, living};
use crate::support::daemon::{Daemon, OTHER_WALLET, PASSWORD, WALLET};
use crate::support::terminal::Terminal;

/// Where Claude Desktop has its config.
fn desktop(setup: &Setup) -> PathBuf {
    setup.home.path().join(".config/Claude/claude_desktop_config.json")
}

fn put(path: &PathBuf, text: &str) {
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

const OTHERS: &str =
    "{\n  \"mcpServers\": {\n    \"mine\": { \"command\": \"npx\" } // kept\n  },\n  \"n\": 1.0\n}\n";

#[test]
fn the_entry_is_put_beside_those_that_are_there_and_only_once() {
    let daemon = Daemon::of(&[WALLET], "--max-sessions 9");
    let setup =
        || Setup::of(&daemon).variable("XDG_CONFIG_HOME", "").options("--write --host claude-desktop");
    let first = setup();
    let (path, data) = (desktop(&first), first.home.path().join("kept"));
    put(&path, OTHERS);
    let (shown, home) = first.variable("MCP_SUPERVISE_DATA_DIR", &data).run_at_home();
    shown.done();
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(text.contains("{ \"command\": \"npx\" }, // kept\n") && text.contains("\"n\": 1.0\n"), "{text}");
    let entry = text.split("\"n\"").next().expect("the servers are before that");
    assert!(entry.contains("\"--profile\", \"waiaas\", \"--\", \"npx\""), "{text}");
    assert!(shown.stdout.contains("has the entry now: restart Claude Desktop"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("mcpServers"), "it need not be copied by hand: {}", shown.stdout);
    let kept = shown
        .stdout
        .lines()
        .find_map(|line| line.trim().strip_prefix("what the config was is in "))
        .expect("it is told");
    assert_eq!(fs::read_to_string(kept).expect("it is kept"), OTHERS);

    // The same again is nothing new, and another server of that name is somebody's.
    let again = setup().variable("HOME", home.path()).run();
    again.done();
    assert!(again.stdout.contains("has the entry already"), "{}", again.stdout);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
    fs::write(&path, text.replace(&format!("\"{WALLET}\""), &format!("\"{OTHER_WALLET}\"")))
        .expect("it can be written");
    let changed = fs::read_to_string(&path).expect("it is there");
    let left = setup().variable("HOME", home.path()).options("--output json").run();
    assert_eq!(left.code, 0);
    assert!(left.stderr.contains("which is left as it is: take it out"), "{}", left.stderr);
    let as_text = setup().variable("HOME", home.path()).run();
    assert!(as_text.stdout.contains("json is as it was\n"), "{}", as_text.stdout);
    let told = left.object();
    let key = told["sessions"][0]["key"].clone();
    assert_eq!(
        told["written"],
        json!({"file": path, "kept": null, "left": [key], "replaced": [], "unsupervised": []})
    );
    assert_eq!(fs::read_to_string(&path).expect("it is there"), changed);
}

#[test]
fn a_config_that_is_not_there_is_made_for_each_wallet() {
    let daemon = Daemon::of(&[WALLET, OTHER_WALLET], "");
    let setup = Setup::of(&daemon).options("--all --write");
    let path = setup.home.path().join("new/mcp.json");
    let (shown, _home) = setup.option("--config", &path).run_at_home();
    shown.done();
    let config: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("it was made")).expect("it is JSON");
    assert_eq!(config["mcpServers"].as_object().map(serde_json::Map::len), Some(2), "{config}");
    assert!(!shown.stdout.contains("what the config was"), "there was none: {}", shown.stdout);
}

#[test]
fn a_config_with_several_names_is_refused_before_a_session_is_asked_for() {
    let daemon = Daemon::of(&[WALLET], "");
    let setup = Setup::of(&daemon).options("--write");
    let (path, other) = (setup.home.path().join("c.json"), setup.home.path().join("d.json"));
    put(&path, OTHERS);
    fs::hard_link(&path, &other).expect("it can be linked");
    let (shown, _home) = setup.option("--config", &path).run_at_home();
    shown.failed(82, "it is one file with");
    assert!(living(&daemon).is_empty() && asked(&daemon).is_empty(), "{:?}", daemon.log());
}

#[test]
fn a_config_that_cannot_be_understood_is_told_before_a_session_is_asked_for() {
    let daemon = Daemon::of(&[WALLET], "");
    let setup = Setup::of(&daemon).options("--write --host claude-desktop");
    let path = desktop(&setup);
    put(&path, "{\n  \"mcpServers\": }\n");
    let (shown, _home) = setup.run_at_home();
    shown.failed(80, "line 2, column 17");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "{\n  \"mcpServers\": }\n");
    Setup::of(&daemon).options("--write").run().failed(2, "--write does not say into which config");
    Setup::of(&daemon).options("--host cursor").run().failed(2, "--write");
    assert!(living(&daemon).is_empty() && asked(&daemon).is_empty(), "{:?}", daemon.log());
}

/// A config with a server of the wallet that nobody supervises.
fn unsupervised(extra: &str) -> String {
    format!(
        "{{\n  \"mcpServers\": {{\n    \"wallet\": {{\n      \"command\": \"npx\",\n      \"args\": [\"@waiaas/mcp@2\", \"--odd\"], // mine\n      \
         \"env\": {{ \"WAIAAS_WALLET_ID\": \"{WALLET}\", \"LOG\": \"1\" }},\n      \"autoApprove\": []{extra}\n    }}\n  }}\n}}\n"
    )
}

#[test]
fn a_server_of_the_same_wallet_without_a_supervisor_gets_one_where_that_is_wanted() {
    let daemon = Daemon::of(&[WALLET], "--max-sessions 9");
    let setup = Setup::of(&daemon).variable("XDG_CONFIG_HOME", "").options("--write --host claude-desktop");
    let path = desktop(&setup);
    let text = unsupervised("");
    put(&path, &text);
    // Nobody can be asked.
    let (left, home) = setup.run_at_home();
    assert_eq!(left.code, 0, "{}", left.stderr);
    assert!(
        left.stderr.contains("`wallet` of the config is of the same wallet and has no supervisor"),
        "{}",
        left.stderr
    );
    assert!(left.stderr.contains("with --replace it gets one"), "{}", left.stderr);
    assert!(left.stdout.contains("json is as it was\n"), "{}", left.stdout);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);

    let again = |options: &str| {
        let setup = Setup::of(&daemon).variable("XDG_CONFIG_HOME", "").variable("HOME", home.path());
        setup.options("--write --host claude-desktop").options(options).run()
    };
    let done = again("--replace");
    done.done();
    assert!(done.stdout.contains("the server `wallet` has the supervisor before it now"), "{}", done.stdout);
    let now = fs::read_to_string(&path).expect("it is there");
    assert!(now.contains("// mine\n"), "{now}");
    let config: Value = serde_json::from_str(&now.replace("// mine", "")).expect("it is JSON else");
    let servers = config["mcpServers"].as_object().expect("an object");
    assert_eq!(servers.len(), 1, "{now}");
    let entry = &servers["wallet"];
    let args = json!(["--name", "wallet", "--profile", "waiaas", "--", "npx", "@waiaas/mcp@2", "--odd"]);
    assert_eq!((&entry["args"], &entry["autoApprove"]), (&args, &json!([])), "{now}");
    let env = json!({
        "WAIAAS_WALLET_ID": WALLET, "LOG": "1", "WAIAAS_BASE_URL": daemon.base(), "WAIAAS_DATA_DIR": daemon.data_dir(),
    });
    assert_eq!(entry["env"], env, "{now}");
}

#[test]
fn a_person_at_the_terminal_is_asked_whether_it_gets_one() {
    for (answer, wanted) in [("y\n", true), ("\n", false)] {
        let daemon = Daemon::of(&[WALLET], "");
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("c.json");
        let text = unsupervised("");
        put(&path, &text);
        #[expect(
            clippy::disallowed_methods,
            reason = "the program under test, which needs a terminal of its own"
        )]
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
        command.args(["setup", "--write", "--config"]).arg(&path).env_clear().env("HOME", home.path());
        command.env("WAIAAS_BASE_URL", daemon.base()).env("WAIAAS_DATA_DIR", daemon.data_dir());
        command.env("WAIAAS_MASTER_PASSWORD", PASSWORD);
        let mut terminal = Terminal::start(command);
        terminal.until_shown("is of the same wallet and has no supervisor. Put it before that? [y/N] ");
        terminal.type_in(answer);
        let (status, shown) = terminal.end();
        assert!(status.success(), "{shown}");
        let now = fs::read_to_string(&path).expect("it is there");
        assert_eq!(
            now.contains("\"--profile\", \"waiaas\", \"--\", \"npx\", \"@waiaas/mcp@2\""),
            wanted,
            "{now}"
        );
        assert_eq!(now == text, !wanted, "{now}");
    }
}
