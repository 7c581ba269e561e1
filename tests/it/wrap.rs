//! `wrap` and `unwrap`, from the real program to the configs of hosts.

mod asked;
mod links;
mod secrets;
mod shapes;
mod shared;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::outside::status;
use crate::support::plan::fixture;
use crate::support::{Plan, process};

/// What each host has, by where it has it.
const CONFIGS: [(&str, &str); 8] = [
    (".config/Claude/claude_desktop_config.json", include_str!("../../fixtures/hosts/claude-desktop.json")),
    (".claude.json", include_str!("../../fixtures/hosts/claude-code.json")),
    ("work/.mcp.json", include_str!("../../fixtures/hosts/project.mcp.json")),
    (".cursor/mcp.json", include_str!("../../fixtures/hosts/cursor.json")),
    (".config/Code/User/mcp.json", include_str!("../../fixtures/hosts/vscode.json")),
    (".copilot/mcp-config.json", include_str!("../../fixtures/hosts/copilot.json")),
    (".codeium/windsurf/mcp_config.json", include_str!("../../fixtures/hosts/windsurf.json")),
    (".mcp-inspector/mcp.json", include_str!("../../fixtures/hosts/inspector.json")),
];
/// What must not be shown.
const SECRETS: [&str; 11] = [
    "ghp_example",
    "abcdefghijklmnop",
    "swordfish",
    "sesame-open",
    "ctx7sk",
    "inspector-token-1",
    "sk-ant-oat",
    "sk-ant-api",
    "ada@notes",
    "comment-secret",
    "short-1",
];

/// A user's directory.
struct Home(TempDir);

/// What the program did.
struct Shown {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("the system has a folder for temporary files"));
        fs::create_dir_all(home.path("work/.git")).expect("it can be made");
        home
    }

    /// With the configs of all hosts.
    fn full() -> Self {
        let home = Self::new();
        for (path, text) in CONFIGS {
            home.put(path, text);
        }
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
        fs::write(&path, text).expect("it can be written");
        path
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("it is there")
    }

    /// The program with these words, in the project's directory.
    fn command(&self, words: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
        command.env_clear().env("HOME", self.0.path()).current_dir(self.path("work"));
        command.env("MCP_SUPERVISE_DATA_DIR", self.path("data")).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Shown {
        let output = self.command(words).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
        let shown = Shown {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for secret in SECRETS {
            assert!(!shown.stdout.contains(secret) && !shown.stderr.contains(secret), "{secret} is shown");
        }
        shown
    }

    /// The same, where all is well.
    fn done(&self, words: &[&str]) -> String {
        let shown = self.run(words);
        assert_eq!(shown.code, 0, "{}{}", shown.stdout, shown.stderr);
        shown.stdout
    }
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_mcp-supervise")
}

#[test]
fn every_config_of_every_host_is_wrapped_and_comes_back_byte_for_byte() {
    let home = Home::full();
    home.done(&["wrap", "--yes", "--project"]);
    for (path, plain) in CONFIGS {
        let wrapped = home.text(path);
        assert_ne!(wrapped, plain, "{path}");
        // No path of this machine is in a file that others share.
        assert_eq!(wrapped.contains(program()), path != "work/.mcp.json", "{path}: {wrapped}");
    }
    assert!(home.text("work/.mcp.json").contains("\"command\": \"mcp-supervise\""));
    let wrapped = CONFIGS.map(|(path, _)| home.text(path));
    let again = home.done(&["wrap", "--yes", "--project"]);
    assert_eq!(again, "there is nothing to change: each server that can be wrapped is wrapped\n");
    assert_eq!(CONFIGS.map(|(path, _)| home.text(path)), wrapped);
    home.done(&["unwrap", "--yes", "--project"]);
    for (path, plain) in CONFIGS {
        assert_eq!(home.text(path), plain, "{path}");
    }
    assert_eq!(home.done(&["unwrap"]), "there is nothing to change: no server is wrapped\n");
}

#[test]
fn three_servers_are_wrapped_seen_and_unwrapped() {
    let plan = Plan::new();
    let home = Home::new();
    let server = fixture();
    let config = format!(
        "{{\n  \"mcpServers\": {{\n    \"one\": {{ \"command\": {server:?} }},\n    \"two\": {{ \"command\": {server:?}, \"args\": [] }},\n    \
         \"three\": {{\n      \"command\": {server:?},\n      \"args\": [\n        \"--pid-file\",\n        {:?}\n      ]\n    }}\n  }}\n}}\n",
        plan.path("three")
    );
    let path = ".config/Claude/claude_desktop_config.json";
    home.put(path, &config);
    let told = home.done(&["wrap", "--yes"]);
    assert!(told.contains("3 servers changed; restart Claude Desktop"), "{told}");

    // As the host starts them.
    let wrapped: Value = serde_json::from_str(&home.text(path)).expect("it is JSON");
    let mut hosts = Vec::new();
    for name in ["one", "two", "three"] {
        let entry = &wrapped["mcpServers"][name];
        assert_eq!(entry["command"], program());
        let words: Vec<&str> = entry["args"]
            .as_array()
            .map(|words| words.iter().filter_map(Value::as_str).collect())
            .expect("it has arguments");
        let at = words.iter().position(|word| *word == "--").expect("ours end there");
        let mut host = plan.clone().options(&words[..at].join(" ")).command(&words[at + 1..]).start();
        host.greet();
        hosts.push(host);
    }
    let seen = process::eventually(|| {
        let status = status(&plan);
        let mut names: Vec<String> = status["running"]
            .as_array()?
            .iter()
            .map(|row| row["name"].as_str().unwrap_or("").to_owned())
            .collect();
        names.sort();
        (names == ["one", "three", "two"]).then_some(())
    });
    assert!(seen.is_some(), "{}", status(&plan));
    for host in &mut hosts {
        assert_eq!(host.finish(), 0);
    }
    home.done(&["unwrap", "--yes"]);
    assert_eq!(home.text(path), config);
}

#[test]
fn the_list_tells_of_every_server_and_changes_nothing() {
    let home = Home::full();
    home.done(&["wrap", "--yes", "git", "everything"]);
    let list = home.done(&["wrap", "--list"]);
    let lines = |name: &str| -> Vec<&str> {
        list.lines().filter(|line| line.split_whitespace().next() == Some(name)).collect()
    };
    for (name, state) in [
        ("git", "wrapped"),
        ("filesystem", "not wrapped"),
        ("everything", "wrapped"),
        ("mine", "debugged"),
        ("remote", "remote"),
        ("old", "disabled"),
        ("sentry", "remote"),
        ("playwright", "not wrapped"),
    ] {
        let state = format!("  {state}  ");
        assert!(lines(name).iter().any(|line| line.contains(&state)), "{name}: {list}");
    }
    for words in [
        "(Claude Desktop)",
        "(Claude Code)",
        "(Cursor)",
        "(VS Code)",
        "(Copilot)",
        "(Windsurf)",
        "(Inspector)",
        "(in /home/ada/notes)",
    ] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let wide = list.lines().filter(|line| !line.starts_with('/')).find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
    assert_eq!(home.done(&["unwrap", "--list"]), list);
}

#[test]
fn the_change_is_shown_before_it_is_made_and_a_dry_run_makes_none() {
    let home = Home::full();
    let shown = home.done(&["wrap", "--dry-run", "--host", "claude-desktop"]);
    for line in [
        "-      \"command\": \"uvx\",",
        &format!("+      \"command\": {:?},", program()),
        "+      \"args\": [\"--name\", \"git\", \"--\", \"uvx\", \"mcp-server-git\", \"--repository\", \"/home/ada/notes\"]",
        "+        \"filesystem\",",
        "+      \"args\": [ \"--name\", \"memory\", \"--\", \"mcp-server-memory\" ]",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("claude.json"), "{shown}");
    assert_eq!(home.text(CONFIGS[0].0), CONFIGS[0].1);
    assert!(!home.path("data").exists(), "nothing is kept of what did not change");
}

/// What masks something must neither hide a change nor reach over the lines of others.
#[test]
fn what_is_masked_hides_no_change() {
    let home = Home::new();
    let text = "{\n  \"mcpServers\": {\n    \"z\": {\"command\": \"x\", \"args\": [\"A_TOKEN='\", \"--header\", \"X-Auth: ghp_example\"]},\n    \
                \"a\": {\n      \"command\": \"npx\", \"args\": [\"one\", \"--password\", \"short-1\"]\n    },\n    \"y\": {\"command\": \"y\", \"args\": [\"'\"], \
                \"env\": {\"A_KEY\": \"mcp-supervise\"}}\n  }\n}\n";
    home.put(".cursor/mcp.json", text);
    let shown = home.done(&["wrap", "a", "--dry-run"]);
    for line in [
        "     \"z\": {\"command\": \"x\", \"args\": [\"A_TOKEN=***\", \"--header\", \"X-Auth: ***\"]},",
        "-      \"command\": \"npx\", \"args\": [\"one\", \"--password\", \"***\"]",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(
        shown.lines().any(|line| line.starts_with('+') && line.contains("\"a\", \"--\", \"npx\", \"one\"")),
        "{shown}"
    );
}

#[test]
fn a_file_that_is_named_twice_is_changed_once_and_what_it_says_moves_no_cursor() {
    let home = Home::new();
    let file = home.put("x\u{1b}[31m.json", CONFIGS[0].1);
    let link = home.path("link.json");
    std::os::unix::fs::symlink(&file, &link).expect("it can be made");
    let (file, link) = (file.display().to_string(), link.display().to_string());
    let told = home.run(&["wrap", "-y", "--config", &file, "--config", &link, "--config", &file]);
    assert!(told.code == 0 && !told.stderr.contains("error"), "{}", told.stderr);
    assert_eq!(told.stdout.matches("4 servers changed").count(), 1, "{}", told.stdout);
    fs::write(&file, "{").expect("it can be written");
    let bad = home.run(&["unwrap", "-y", "--config", &file]);
    assert_eq!(bad.code, 80);
    assert!(!bad.stderr.contains('\u{1b}') && !told.stdout.contains('\u{1b}'), "{}", bad.stderr);
}

#[test]
fn a_supervisor_that_is_gone_is_put_right_and_an_entry_without_a_command_stops_no_other() {
    let home = Home::new();
    let gone = r#"{"command": "/gone/mcp-supervise", "args": ["--hold", "5s", "--", "npx"]}"#;
    home.put(
        ".cursor/mcp.json",
        &format!(
            r#"{{"mcpServers": {{"a": {gone}, "blank": {{"command": ""}}, "b": {{"command": "npx"}}, "off": {{"disabled": true, "command": "/gone/mcp-supervise", "args": ["--", "x"]}}}}}}"#
        ),
    );
    let list = home.done(&["wrap", "--list", "a"]);
    assert!(list.contains("wrapped, gone") && !list.contains("blank"), "{list}");
    let told = home.run(&["wrap", "-y"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    for words in [
        "`a` is wrapped by /gone/mcp-supervise, which is not there: it gets this program",
        "`blank` is left as it is: its command is empty",
    ] {
        assert!(told.stderr.contains(words), "{words}: {}", told.stderr);
    }
    assert!(told.stdout.contains("2 servers changed"), "{}", told.stdout);
    let text = home.text(".cursor/mcp.json");
    let right = format!(r#""a": {{"command": {:?}, "args": ["--hold", "5s", "--", "npx"]}}"#, program());
    assert!(text.contains(&right) && text.contains(r#""disabled": true, "command": "/gone/"#), "{text}");
    assert!(!home.done(&["wrap", "--list", "a", "b"]).contains("gone"));
    home.done(&["unwrap", "-y", "a"]);
    assert!(home.text(".cursor/mcp.json").contains(r#""a": {"command": "npx", "args": []}"#));
}

#[test]
fn only_what_is_named_is_changed() {
    let home = Home::full();
    home.done(&["wrap", "-y", "github"]);
    let desktop = home.text(CONFIGS[0].0);
    assert!(
        desktop.contains(r#""--name", "github""#) && !desktop.contains(r#""--name", "git""#),
        "{desktop}"
    );
    let told = home.run(&["wrap", "-y", "github", "mine", "old", "linear"]);
    assert_eq!(told.code, 0);
    for words in [
        "`github` is left as it is: it is wrapped already",
        "`github` is left as it is: it is not started by its host, but somewhere else",
        "`mine` is left as it is: VS Code puts a debugger into its command",
        "`old` is left as it is: it is disabled",
        "`linear` is left as it is",
    ] {
        assert!(told.stderr.contains(words), "{words}: {}", told.stderr);
    }
    // One file alone, whichever host's it is.
    let file = home.put("elsewhere.json", CONFIGS[4].1);
    home.done(&["wrap", "-y", "--config", file.to_str().expect("a text")]);
    assert!(home.text("elsewhere.json").contains("\"--name\",\r\n        \"everything\",\r\n"));
    home.done(&["unwrap", "-y", "--config", "../elsewhere.json"]);
    assert_eq!(home.text("elsewhere.json"), CONFIGS[4].1);
}

#[test]
fn what_cannot_be_done_is_told_with_a_code_of_its_own_and_changes_nothing_else() {
    let home = Home::new();
    let none = home.run(&["wrap", "--yes"]);
    assert_eq!(none.code, 83);
    assert!(
        none.stderr.contains("no config was found of Claude Desktop, Claude Code")
            && none.stderr.contains("hint:")
    );
    home.put(
        ".cursor/mcp.json",
        "{\n  \"mcpServers\": {\n    \"a\": { \"command\": \"npx\" }\n    \"b\": {}\n  }\n}\n",
    );
    home.put(CONFIGS[0].0, CONFIGS[0].1);
    let bad = home.run(&["wrap", "--yes"]);
    assert_eq!(bad.code, 80, "{}", bad.stderr);
    assert!(bad.stderr.contains(".cursor/mcp.json: line 3, column 30: expected comma"), "{}", bad.stderr);
    assert!(home.text(".cursor/mcp.json").contains("\"b\": {}"));
    assert!(home.text(CONFIGS[0].0).contains(program()), "the others are changed");
    let unknown = home.run(&["unwrap", "--yes", "--host", "claude-desktop", "gti"]);
    assert_eq!(unknown.code, 83);
    assert!(
        unknown.stderr.contains("no config has a server `gti`") && unknown.stderr.contains("`git`"),
        "{}",
        unknown.stderr
    );
    let missing = home.run(&["wrap", "--config", "nowhere.json"]);
    assert_eq!(missing.code, 80);
    assert!(missing.stderr.contains("nowhere.json: No such file"), "{}", missing.stderr);
    for words in
        [&["wrap", "--config", "a", "--host", "cursor", "--host", "vscode"][..], &["wrap", "--list", "--yes"]]
    {
        assert_eq!(home.run(words).code, 2, "{words:?}");
    }
    // A folder in which nothing can be made, which the superuser's always are.
    if !nix::unistd::geteuid().is_root() {
        let folder = home.path(CONFIGS[0].0).parent().expect("a folder").to_owned();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).expect("it is ours");
        assert_eq!(home.run(&["unwrap", "--yes", "--host", "claude-desktop"]).code, 82);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
    }
}

#[test]
fn what_a_config_was_is_kept_and_the_file_keeps_its_mode() {
    let home = Home::full();
    let config = home.path(CONFIGS[0].0);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let told = home.done(&["wrap", "-y", "--host", "claude-desktop"]);
    let kept =
        told.lines().find_map(|line| line.trim().strip_prefix("what it was is in ")).expect("it is told");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(fs::read_to_string(kept).expect("it is kept"), CONFIGS[0].1);
    assert_eq!((mode(Path::new(kept)), mode(&config)), (0o600, 0o640));
}
