//! The entry in a host's config.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Setup, asked, living};
use crate::support::daemon::{Daemon, OTHER_WALLET, WALLET};

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
    fs::write(&path, text.replace("\"--profile\"", "\"--hold\", \"5s\", \"--profile\""))
        .expect("it can be written");
    let changed = fs::read_to_string(&path).expect("it is there");
    let left = setup().variable("HOME", home.path()).options("--output json").run();
    assert_eq!(left.code, 0);
    assert!(left.stderr.contains("which is left as it is: take it out"), "{}", left.stderr);
    let told = left.object();
    let key = told["sessions"][0]["key"].clone();
    assert_eq!(told["written"], json!({"file": path, "kept": null, "left": [key]}));
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
