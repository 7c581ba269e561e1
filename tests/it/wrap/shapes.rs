//! Configs that are not as known hosts have them, and entries that are not as most people write them.

use super::{Home, program};

#[test]
fn servers_that_are_somewhere_else_are_told_by_their_key_with_a_code_of_its_own() {
    for (text, words) in [
        (r#"{"a": {"command": "x", "args": ["1"]}}"#, "`a` at the top level"),
        (r#"{"context_servers": {"a": {"command": "x", "args": []}}}"#, "`a` in `context_servers`"),
        (r#"{"mcp.servers": {"a": {"command": "x"}}}"#, "`a` in `mcp.servers`"),
        (r#"{"mcp": {"servers": {"a": {"command": "x"}}}}"#, "`a` in `mcp.servers`"),
        (r#"{"mcpServers": [{"name": "a", "command": "x"}]}"#, "`a` in `mcpServers`"),
        (r#"[{"name": "a", "command": "x"}]"#, "`a` in a list at the top level"),
        (r#"{"mcpServers": {}, "servers": {"a": {"command": "x"}}}"#, "`a` in `servers`"),
        (r#"{"command": "x", "args": []}"#, "the file itself is the entry of a server"),
        (
            r#"{"x": {"a": {"command": "x"}, "b": {"command": "x"}, "c": {"command": "x"}, "d": {"command": "x"}, "e": {"command": "x"}, "f": {"command": "x"}, "g": {"command": "x"}}}"#,
            "`e` and 2 more in `x`",
        ),
    ] {
        let home = Home::new();
        let file = home.put("c.json", text);
        let file = file.to_str().expect("a text");
        for words_of in [&["wrap", "--yes", "--config", file][..], &["wrap", "--list", "--config", file]] {
            let told = home.run(words_of);
            assert_eq!(told.code, 83, "{text}: {}{}", told.stdout, told.stderr);
            assert!(told.stderr.contains(words) && told.stderr.contains("hint: "), "{text}: {}", told.stderr);
            assert!(!told.stdout.contains("no server to wrap"), "{text}: {}", told.stdout);
        }
        assert_eq!(home.text("c.json"), text);
        // Nothing of ours is in it.
        assert_eq!(home.run(&["unwrap", "--yes", "--config", file]).code, 0, "{text}");
    }
}

#[test]
fn servers_that_are_found_are_wrapped_beside_those_that_are_somewhere_else() {
    let home = Home::new();
    let text = r#"{"mcpServers": {"b": {"command": "y"}}, "servers": {"a": {"command": "x"}}}"#;
    home.put("c.json", text);
    let told = home.run(&["wrap", "--yes", "--config", "../c.json"]);
    assert_eq!(told.code, 83, "{}", told.stderr);
    assert!(
        told.stderr.contains("`a` in `servers`") && told.stdout.contains("1 server changed"),
        "{}",
        told.stderr
    );
    assert!(home.text("c.json").ends_with(r#""servers": {"a": {"command": "x"}}}"#));
    // What its host starts is all found: then it is a warning.
    home.put(".cursor/mcp.json", text);
    let told = home.run(&["wrap", "--yes"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(
        told.stderr.contains("warning: ") && told.stderr.contains("its host does not look"),
        "{}",
        told.stderr
    );
    // And of one that is named it is told where it is.
    let told = home.run(&["wrap", "--yes", "a"]);
    assert_eq!(told.code, 83);
    assert!(told.stderr.contains("`a` in `servers`"), "{}", told.stderr);
    assert_eq!(home.run(&["wrap", "--yes", "b"]).stderr.matches("in `servers`").count(), 0);
    // Where another host's key is used, it is told which one is right.
    home.put(".config/Code/User/mcp.json", r#"{"mcpServers": {"c": {"command": "x"}}}"#);
    let told = home.run(&["wrap", "--yes", "--host", "vscode"]);
    assert_eq!(told.code, 83);
    assert!(
        told.stderr.contains("VS Code does not look for them: `c` in `mcpServers`")
            && told.stderr.contains("move them to `servers`"),
        "{}",
        told.stderr
    );
}

#[test]
fn what_we_are_before_somewhere_else_is_told_by_unwrap() {
    let home = Home::new();
    home.put("c.json", r#"{"x": {"a": {"command": "mcp-supervise", "args": ["--", "npx"]}}}"#);
    let told = home.run(&["unwrap", "--yes", "--config", "../c.json"]);
    assert_eq!(told.code, 83);
    assert!(
        told.stderr.contains("`a` in `x`") && told.stderr.contains("take it out by hand"),
        "{}",
        told.stderr
    );
}

#[test]
fn toml_and_yaml_are_told_as_such_with_what_to_do_by_hand() {
    for (name, text, format, by_hand) in [
        (
            "config.toml",
            "model = \"m\"\n\n[mcp_servers.a]\ncommand = \"x\"\n",
            "it is TOML",
            "command = \"mcp-supervise\"",
        ),
        ("config", "[mcp_servers.a]\ncommand = \"x\"\n", "it is TOML", "args = [\"--name\", NAME, \"--\""),
        ("config.yaml", "extensions:\n  a:\n    cmd: x\n", "it is YAML", "command: mcp-supervise"),
        ("a.yml", "# mine\n", "it is YAML", "args: [--name, NAME, --"),
        ("b.json", "mcpServers:\n  - name: a\n", "it is YAML", "command: mcp-supervise"),
    ] {
        let home = Home::new();
        let file = home.put(name, text);
        for command in ["wrap", "unwrap"] {
            let told = home.run(&[command, "--yes", "--config", file.to_str().expect("a text")]);
            assert_eq!(told.code, 80, "{name}: {}", told.stderr);
            for words in [format, by_hand, "changes JSON only", "hint: "] {
                assert!(told.stderr.contains(words), "{name}: {words}: {}", told.stderr);
            }
            assert!(!told.stderr.contains("line 1"), "{}", told.stderr);
        }
        assert_eq!(home.text(name), text);
    }
}

#[test]
fn entries_are_taken_for_what_their_host_takes_them_for() {
    let home = Home::new();
    let there = home.put("my server", "").display().to_string();
    let entries = [
        ("null", r#""url": null, "command": "x""#, true),
        ("blank", r#""command": "x", "url": """#, true),
        ("capitals", r#""type": "STDIO", "command": "x""#, true),
        ("file", &format!(r#""command": {there:?}"#), true),
        ("words", r#""command": "npx a", "args": ["b"]"#, true),
        ("off", r#""command": "x", "enabled": false"#, false),
        ("inactive", r#""command": "x", "isActive": false"#, false),
        ("line", r#""command": "npx -y a-server --token swordfish""#, false),
    ];
    let text: Vec<String> =
        entries.iter().map(|(name, entry, _)| format!("\"{name}\": {{{entry}}}")).collect();
    let text = format!("{{\"mcpServers\": {{\n{}\n}}}}", text.join(",\n"));
    home.put(".cursor/mcp.json", &text);
    let list = home.done(&["wrap", "--list"]);
    assert!(list.lines().any(|line| line.starts_with("line ") && line.contains("not understood")), "{list}");
    let told = home.run(&["wrap", "--yes"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(
        told.stderr.contains("`line` is left as it is: its `command` is a whole command line")
            && !told.stderr.contains("`off`"),
        "{}",
        told.stderr
    );
    let wrapped = home.text(".cursor/mcp.json");
    for (line, (name, _, is_wrapped)) in wrapped.lines().skip(1).zip(entries) {
        assert_eq!(line.contains(program()), is_wrapped, "{name}: {line}");
    }
    home.done(&["unwrap", "--yes"]);
    assert_eq!(home.text(".cursor/mcp.json"), text);
}

#[test]
fn a_server_that_a_profile_knows_is_wrapped_with_it() {
    let home = Home::new();
    let text =
        "{\"mcpServers\": {\n  \"w\": {\"command\": \"npx\", \"args\": [\"-y\", \"@waiaas/mcp\"]}\n}}\n";
    let file = home.put("c.json", text);
    let file = file.to_str().expect("a text");
    assert_eq!(home.run(&["wrap", "--yes", "--config", file]).code, 0);
    let wrapped = home.text("c.json");
    let words = r#"["--name", "w", "--profile", "waiaas", "--", "npx", "-y", "@waiaas/mcp"]"#;
    assert!(wrapped.contains(words), "{wrapped}");
    assert_eq!(home.run(&["unwrap", "--yes", "--config", file]).code, 0);
    assert_eq!(home.text("c.json"), text);
}
