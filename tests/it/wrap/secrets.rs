//! What is shown of configs: all but secrets in a change, and as much as fits in a list.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};

use super::{CONFIGS, Home};

#[test]
fn of_a_change_only_secrets_are_masked_and_it_is_told_that_the_file_keeps_them() {
    let home = Home::new();
    let text = r#"{
  "mcpServers": {
    "a": { // the one that "works"
      "command": "npx",
      "args": ["-y", "a-server", "--api-key", "swordfish"],
      "cwd": "/home/ada/notes",
      "env": {"A_TOKEN": "short-1", "B_KEY": "sesame-open", "MODE": "production", "WHERE": "at sesame-open"},
      "envFile": "/home/ada/.env"
    },
    "b": {
      "url": "https://ada:swordfish@host/mcp?mode=1",
      "headers": {"X-Who": "ctx7sk", "Authorization": "Bearer abcdefghijklmnop"}
    }
  }
}
"#;
    home.put(".cursor/mcp.json", text);
    let shown = home.done(&["wrap", "--dry-run"]);
    for line in [
        "     \"a\": { // the one that \"***\"",
        "-      \"args\": [\"-y\", \"a-server\", \"--api-key\", \"***\"],",
        "       \"cwd\": \"/home/ada/notes\",",
        "       \"env\": {\"A_TOKEN\": \"***\", \"B_KEY\": \"***\", \"MODE\": \"production\", \"WHERE\": \"at ***\"},",
        "       \"envFile\": \"/home/ada/.env\"",
        "*** stands for a secret: the file keeps its values",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    // Around the second change, and not only the first.
    home.put(
        ".cursor/mcp.json",
        &text.replace("\"url\"", "\"command\": \"x\",\n      \"type\": \"stdio\",\n      \"url\""),
    );
    let shown = home.done(&["wrap", "--dry-run", "b"]);
    for line in [
        "       \"url\": \"https://***@host/mcp?mode=1\",",
        "       \"headers\": {\"X-Who\": \"***\", \"Authorization\": \"***\"}",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    home.done(&["wrap", "--yes"]);
    assert!(home.text(".cursor/mcp.json").contains("\"A_TOKEN\": \"short-1\""));
    // Where there is none, nothing is said of any.
    home.put(".cursor/mcp.json", r#"{"mcpServers": {"a": {"command": "x"}}}"#);
    assert!(!home.done(&["wrap", "--dry-run"]).contains("***"));
}

#[test]
fn a_list_of_one_server_shows_the_files_that_have_it() {
    let home = Home::full();
    let list = home.done(&["wrap", "--list", "github"]);
    let files: Vec<&str> = list.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(files.len(), 2, "{list}");
    assert!(files[0].ends_with("(Claude Desktop)") && files[1].ends_with("(Windsurf)"), "{list}");
    home.put("empty.json", "{}");
    assert!(home.done(&["wrap", "--list", "--config", "../empty.json"]).contains("no servers\n"));
}

#[test]
fn a_list_is_as_wide_as_the_terminal() {
    let home = Home::new();
    let words = ["0123456789"; 20].map(|word| format!("{word:?}")).join(", ");
    home.put(CONFIGS[3].0, &format!(r#"{{"mcpServers": {{"a": {{"command": "x", "args": [{words}]}}}}}}"#));
    let widest = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('/'));
        lines.map(|line| line.trim_end().chars().count()).max()
    };
    assert_eq!(widest(&home.done(&["wrap", "--list"])), Some(80), "without a terminal");
    for (columns, expected) in [(132, 132), (60, 60), (0, 80)] {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(Some(&size), None).expect("there are terminals");
        let mut command = home.command(&["wrap", "--list"]);
        command.env("TERM", "dumb").stdout(Stdio::from(ends.slave)).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        // Ours must go, or its end would not be the end of the terminal.
        drop(command);
        let (mut screen, mut shown) = (File::from(ends.master), Vec::new());
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..count]);
        }
        assert!(child.wait().expect("it is ours").success());
        let shown = anstream::adapter::strip_str(&String::from_utf8_lossy(&shown)).to_string();
        assert_eq!(widest(&shown), Some(expected), "{shown}");
    }
}
