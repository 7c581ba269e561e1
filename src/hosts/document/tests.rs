//! Texts of every shape and spelling: wrapped, unwrapped, and what is left as it is.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const OURS: &str = "/usr/bin/mcp-supervise";

/// The rule of the command line, as far as the texts of these tests need it.
fn split(words: &[String]) -> Option<usize> {
    let at = words.iter().position(|word| word == "--")? + 1;
    (at < words.len()).then_some(at)
}

fn read(text: &str, shape: Shape) -> Document<'_> {
    Document::read(text, shape, &split).unwrap()
}

fn wrap(text: &str, shape: Shape) -> String {
    let document = read(text, shape);
    let plain: Vec<&Server> =
        document.servers().iter().filter(|server| server.state == State::Plain && !server.disabled).collect();
    document.wrapped(&plain, OURS, &|_| &[]).text
}

fn unwrap(text: &str, shape: Shape) -> String {
    let document = read(text, shape);
    let wrapped: Vec<&Server> =
        document.servers().iter().filter(|server| server.state == State::Wrapped).collect();
    document.unwrapped(&wrapped).text
}

/// The only server's words.
fn words(text: &str) -> Vec<String> {
    read(text, Shape::Servers).servers()[0].words.clone()
}

#[test]
fn each_spelling_is_kept_and_comes_back() {
    for (plain, wrapped) in [
        (
            r#"{"mcpServers":{"k":{"command":"npx","args":["-y","x"]}}}"#,
            r#"{"mcpServers":{"k":{"command":"/usr/bin/mcp-supervise","args":["--name", "k", "--", "npx", "-y","x"]}}}"#,
        ),
        // Without arguments, and with none in a list.
        (
            r#"{"mcpServers": {"k": {"command": "npx"}}}"#,
            r#"{"mcpServers": {"k": {"command": "/usr/bin/mcp-supervise", "args": [ "--name", "k", "--", "npx" ]}}}"#,
        ),
        (
            r#"{"mcpServers": {"k": {"command": "npx", "args": []}}}"#,
            r#"{"mcpServers": {"k": {"command": "/usr/bin/mcp-supervise", "args": ["--name", "k", "--", "npx"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"k": {"args": [ ], "command": "npx"}}}"#,
            r#"{"mcpServers": {"k": {"args": ["--name", "k", "--", "npx" ], "command": "/usr/bin/mcp-supervise"}}}"#,
        ),
        (
            r#"{"mcpServers": {"k": {"args": [/* , ] */], "command": "npx"}}}"#,
            r#"{"mcpServers": {"k": {"args": ["--name", "k", "--", "npx"/* , ] */], "command": "/usr/bin/mcp-supervise"}}}"#,
        ),
        // Over lines, with comments, a comma at the end, and the other line ends.
        (
            "{\n  // mine\n  \"mcpServers\": {\n    \"k\": {\n      \"command\": \"n\\u0070x\", // c\n      \"args\": [\n        \"-y\", // y\n        \"x\",\n      ],\n    },\n  },\n}\n",
            "{\n  // mine\n  \"mcpServers\": {\n    \"k\": {\n      \"command\": \"/usr/bin/mcp-supervise\", // c\n      \"args\": [\n        \"--name\",\n        \"k\",\n        \"--\",\n        \"n\\u0070x\",\n        \"-y\", // y\n        \"x\",\n      ],\n    },\n  },\n}\n",
        ),
        (
            "\u{feff}{\r\n\t\"mcpServers\" : {\r\n\t\t\"k\" : {\r\n\t\t\t\"command\" : \"npx\"\r\n\t\t}\r\n\t}\r\n}",
            "\u{feff}{\r\n\t\"mcpServers\" : {\r\n\t\t\"k\" : {\r\n\t\t\t\"command\" : \"/usr/bin/mcp-supervise\",\r\n\t\t\t\"args\" : [ \"--name\", \"k\", \"--\", \"npx\" ]\r\n\t\t}\r\n\t}\r\n}",
        ),
        // Names that are none for us, and one that looks like an option.
        (
            r#"{"mcpServers": {"": {"command": "a", "args": ["--"]}}}"#,
            r#"{"mcpServers": {"": {"command": "/usr/bin/mcp-supervise", "args": ["--", "a", "--"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"-x\"": {"command": "a"}}}"#,
            r#"{"mcpServers": {"-x\"": {"command": "/usr/bin/mcp-supervise", "args": [ "--name=-x\"", "--", "a" ]}}}"#,
        ),
    ] {
        assert_eq!(wrap(plain, Shape::Servers), wrapped);
        assert_eq!(unwrap(wrapped, Shape::Servers), plain);
        assert_eq!(wrap(wrapped, Shape::Servers), wrapped, "twice is once");
    }
}

#[test]
fn what_was_edited_meanwhile_stays_and_only_our_words_go() {
    for (edited, expected) in [
        // Another option of ours, another argument of theirs, a comma at the end, other blanks.
        (
            r#"{"mcpServers": {"k": {"command": "mcp-supervise", "args": ["--name", "k", "--hold", "5s", "--", "npx", "z"]}}}"#,
            r#"{"mcpServers": {"k": {"command": "npx", "args": ["z"]}}}"#,
        ),
        (
            r#"{"mcpServers": {"k": {"command": "/b/mcp-supervise", "args": [ "--", "npx", "z" ]}}}"#,
            r#"{"mcpServers": {"k": {"command": "npx", "args": [ "z" ]}}}"#,
        ),
        (
            "{\"mcpServers\": {\"k\": {\"command\": \"mcp-supervise\", \"args\": [\n  \"--\",\n  \"npx\",\n]}}}",
            "{\"mcpServers\": {\"k\": {\"command\": \"npx\", \"args\": [\n  \n]}}}",
        ),
        // What we have made, written anew by a program: it is empty, and means the same.
        (
            r#"{"mcpServers":{"k":{"command":"mcp-supervise","args":["--","npx"]}}}"#,
            r#"{"mcpServers":{"k":{"command":"npx","args":[]}}}"#,
        ),
        (
            r#"{"mcpServers":{"k":{"command":"mcp-supervise","env":{},"args":[ "--","npx" ]}}}"#,
            r#"{"mcpServers":{"k":{"command":"npx","env":{},"args":[  ]}}}"#,
        ),
        // Comments are somebody's.
        (
            "{\"mcpServers\":{\"k\":{\"command\":\"mcp-supervise\",\"args\":[\"--\", // , ours\n \"npx\" /* , */, \"z\"]}}}",
            "{\"mcpServers\":{\"k\":{\"command\":\"npx\",\"args\":[ // , ours\n  /* , */ \"z\"]}}}",
        ),
        (
            r#"{"mcpServers":{"k":{"command":"mcp-supervise" /* c */,"args":[ "--","npx" ]}}}"#,
            r#"{"mcpServers":{"k":{"command":"npx" /* c */,"args":[  ]}}}"#,
        ),
    ] {
        assert_eq!(unwrap(edited, Shape::Servers), expected);
        read(expected, Shape::Servers);
    }
}

#[test]
fn each_entry_is_taken_for_what_it_is() {
    let odd = |why| State::Odd(why);
    for (entry, state) in [
        (r#"{"command": "npx"}"#, State::Plain),
        (r#"{"type": "stdio", "command": "sh", "args": ["-c", "exec npx x"]}"#, State::Plain),
        (r#"{"command": "docker", "args": ["run", "-i", "x"], "env": {"A": "mcp-supervise"}}"#, State::Plain),
        (r#"{"command": "npx", "args": ["filesystem", "/home/a/mcp-supervise"]}"#, State::Plain),
        (r#"{"command": "/opt/mcp-supervise", "args": ["--", "npx"]}"#, State::Wrapped),
        (r#"{"command": "env", "args": ["A=1", "/opt/mcp-supervise", "--", "npx"]}"#, State::ByHand),
        (r#"{"command": "/bin/sh", "args": ["-lc", "exec mcp-supervise -- npx"]}"#, State::ByHand),
        (
            r#"{"command": "mcp-supervise"}"#,
            odd("its command is mcp-supervise, with no server behind it, or with options that are not known"),
        ),
        (r#"{"command": ""}"#, odd("its command is empty")),
        (r#"{"type": "local", "command": "npx", "tools": ["*"]}"#, State::Plain),
        (r#"{"url": "https://a/mcp"}"#, State::Remote),
        (r#"{"serverUrl": "https://a/mcp"}"#, State::Remote),
        (r#"{"type": "http", "url": "https://a/mcp"}"#, State::Remote),
        (r#"{"type": "sse", "command": "npx"}"#, State::Remote),
        // An address that is none, a type as people write it, and both.
        (r#"{"url": null, "command": "npx"}"#, State::Plain),
        (r#"{"command": "npx", "url": ""}"#, State::Plain),
        (r#"{"command": "npx", "serverUrl": " ", "httpUrl": false}"#, State::Plain),
        (r#"{"type": "STDIO", "command": "npx"}"#, State::Plain),
        (r#"{"type": "Stdio", "command": "npx", "url": ""}"#, State::Plain),
        (r#"{"type": "Local", "command": "npx"}"#, State::Plain),
        (r#"{"type": "", "command": "npx"}"#, State::Plain),
        (r#"{"type": null, "command": "npx"}"#, State::Plain),
        (r#"{"type": "stdio", "command": "npx", "url": "https://a/mcp"}"#, State::Plain),
        (r#"{"type": "stdio", "command": "", "url": "https://a/mcp"}"#, State::Remote),
        (r#"{"command": "npx", "url": "https://a/mcp"}"#, State::Remote),
        (r#"{"type": "HTTP", "command": "npx"}"#, State::Remote),
        (r#"{"url": null}"#, odd("it has no command")),
        (r#"{"command": "a", "enabled": true, "enabled": false}"#, odd("it has a key twice")),
        (r#"{"command": "node", "dev": {"debug": {"type": "node"}}}"#, State::Debugged),
        (r#"{"command": "node", "dev": {"watch": "*.js"}}"#, State::Plain),
        (r#"{"args": []}"#, odd("it has no command")),
        (r#"{"command": 7}"#, odd("its command is no text")),
        (r#"{"command": "a", "args": "b"}"#, odd("its arguments are no list")),
        (r#"{"command": "a", "args": ["b", 7]}"#, odd("its arguments are not all texts")),
        (r#"{"command": "a", "command": "b"}"#, odd("it has a key twice")),
        ("null", odd("it is no object")),
    ] {
        let text = format!(r#"{{"mcpServers": {{"k": {entry}}}}}"#);
        let document = read(&text, Shape::Servers);
        let [server] = document.servers() else { panic!("one server: {text}") };
        assert_eq!(server.state, state, "{entry}");
    }
    for (flag, expected) in [
        (r#""disabled": true"#, true),
        (r#""enabled": false"#, true),
        (r#""isActive": false"#, true),
        (r#""enabled": true, "isActive": false"#, true),
        (r#""disabled": false, "enabled": true, "isActive": true"#, false),
        (r#""disabled": null, "enabled": null"#, false),
    ] {
        let text = format!(r#"{{"mcpServers": {{"k": {{"command": "npx", {flag}}}}}}}"#);
        assert_eq!(read(&text, Shape::Servers).servers()[0].disabled, expected, "{flag}");
    }
    let twice = r#"{"mcpServers": {"k": {"command": "a"}, "k": {"command": "b"}}}"#;
    assert!(
        read(twice, Shape::Servers).servers().iter().all(|server| server.state == odd("it is there twice"))
    );
    assert_eq!(
        words(r#"{"mcpServers": {"k": {"command": "a\u0020b", "args": ["\"c\""]}}}"#),
        ["a b", "\"c\""]
    );
}

#[test]
fn servers_are_found_where_their_host_has_them() {
    let all = r#"{
        "servers": {"v": {"command": "a"}},
        "mcpServers": {"m": {"command": "a"}},
        "projects": {"/p": {"mcpServers": {"l": {"command": "a"}}}, "/q": {"mcpServers": {}}, "/r": 7}
    }"#;
    let found = |text: &str, shape| -> Vec<(String, Option<String>)> {
        read(text, shape)
            .servers()
            .iter()
            .map(|server| (server.name.clone(), server.project.clone()))
            .collect()
    };
    let (v, m, l) = (("v".to_owned(), None), ("m".to_owned(), None), ("l".to_owned(), Some("/p".to_owned())));
    assert_eq!(found(all, Shape::VsCode), std::slice::from_ref(&v));
    assert_eq!(found(all, Shape::Servers), std::slice::from_ref(&m));
    assert_eq!(found(all, Shape::Projects), [m.clone(), l.clone()]);
    assert_eq!(found(all, Shape::Unknown), [m, l]);
    assert_eq!(found(r#"{"servers": {"v": {"command": "a"}}}"#, Shape::Unknown), [v]);
    for text in ["", " // nothing\n", "{}", r#"{"mcpServers": 7}"#, r#"{"mcpServers": {}}"#] {
        assert_eq!(found(text, Shape::Unknown), [], "{text}");
    }
}

#[test]
fn what_hosts_do_not_read_is_refused_with_its_place() {
    for (text, place, words) in [
        ("{\n  \"a\": 1\n  \"b\": 2\n}", (2, 9), "expected comma"),
        ("{'a': 1}", (1, 2), "single-quoted"),
        ("{a: 1}", (1, 2), "expected string"),
        ("{\n\t\"a\": [1, 2\n}", (3, 1), "unexpected close brace"),
        ("{\"a\": 0x1}", (1, 7), "hexadecimal"),
        ("[]", (1, 1), "it is no object"),
        ("{} {}", (1, 4), "more than one"),
        ("[{\"key\": \"a\"}]", (1, 1), "it is no object"),
    ] {
        let bad = Document::read(text, Shape::Servers, &split).unwrap_err();
        assert_eq!((bad.line, bad.column), place, "{text}: {bad}");
        assert!(bad.why.contains(words), "{text}: {bad}");
        assert_eq!(bad.format, None, "{text}");
    }
    for (text, format) in [("[a]\nb = 1", Format::Toml), ("a:\n  - b", Format::Yaml)] {
        assert_eq!(Document::read(text, Shape::Servers, &split).unwrap_err().format, Some(format));
    }
    let deep = "[".repeat(100_000);
    assert!(Document::read(&deep, Shape::Servers, &split).unwrap_err().why.contains("nesting"));
}

/// Takes what begins with `s-` for a secret, and what is called so.
struct Plain;

impl Veil for Plain {
    fn words(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.text(word)).collect()
    }

    fn text(&self, text: &str) -> String {
        if text.starts_with("s-") { "*".to_owned() } else { text.to_owned() }
    }

    fn is_secret(&self, name: &str) -> bool {
        name.to_ascii_lowercase().contains("token")
    }
}

#[test]
fn of_a_config_all_is_shown_but_what_is_secret() {
    for (text, expected) in [
        // By name: variables, members, whatever is below them; and headers, all of them.
        (
            r#"{"mcpServers": {"a": {"command": "npx", "args": ["x", "s-1"], "env": {"A_TOKEN": "e-1", "B": "b", "C": "s-2", "D_TOKEN": 7, "E": 7}}}}"#,
            r#"{"mcpServers": {"a": {"command": "npx", "args": ["x", "*"], "env": {"A_TOKEN": "***", "B": "b", "C": "*", "D_TOKEN": "***", "E": 7}}}}"#,
        ),
        (
            r#"{"mcpServers": {"b": {"url": "https://a", "headers": {"X": "h-1"}, "httpHeaders": ["X: h-2"], "cwd": "/x"}}}"#,
            r#"{"mcpServers": {"b": {"url": "https://a", "headers": {"X": "***"}, "httpHeaders": ["***"], "cwd": "/x"}}}"#,
        ),
        (
            r#"{"accessToken": {"value": ["v-1"], "at": 12345678, "port": 8080, "on": true, "none": ""}, "n": 12345678, "email": "ada@x"}"#,
            r#"{"accessToken": {"value": ["***"], "at": "***", "port": 8080, "on": true, "none": ""}, "n": 12345678, "email": "ada@x"}"#,
        ),
        // What a server is called says nothing of what is in it, and what is no entry says it.
        (
            r#"{"mcpServers": {"tokens": {"command": "x", "cwd": "/y"}, "odd token": {"args": ["a", "s-1", 7, ["s-2"]]}}, "token": ["t-1"]}"#,
            r#"{"mcpServers": {"tokens": {"command": "x", "cwd": "/y"}, "odd token": {"args": ["a", "*", 7, ["*"]]}}, "token": ["***"]}"#,
        ),
        // In comments keys are shown, and what stands outside of quotes.
        (
            "\u{feff}{ // mine, \"K\": \"c-1\" s\n  /* \"command\": \"npx\",\n \"args\": [\"c\\\"2\", \"\"] \"open */\n  \"a\": 1 // s-3\n}",
            "\u{feff}{ // mine, \"K\": \"***\" s\n  /* \"command\": \"npx\",\n \"args\": [\"***\", \"\"] \"open */\n  \"a\": 1 // s-3\n}",
        ),
    ] {
        assert_eq!(read(text, Shape::Servers).shown(&Plain), expected);
    }
    let one = r#"{"mcpServers": {"a": {"command": "x", "env": {"K": "v\n"}}}}"#;
    assert_eq!(read(one, Shape::Servers).variables(), [("K".to_owned(), "v\n".to_owned())]);
}

#[test]
fn servers_that_are_somewhere_else_are_found_by_their_key() {
    let found = |text: &str, shape| -> Vec<String> {
        let document = read(text, shape);
        document.elsewhere().iter().map(|found| format!("{}: {}", found.key, found.names.join(","))).collect()
    };
    for (text, expected) in [
        // By name at the top level, under keys of other programs, in settings.
        (r#"{"a": {"command": "x", "args": ["1"]}, "b": {"type": "STDIO", "command": "y"}}"#, &[": a,b"][..]),
        (r#"{"context_servers": {"a": {"command": {"path": "x", "args": []}}}}"#, &["context_servers: a"]),
        (r#"{"amp.mcpServers": {"a": {"command": "x"}}}"#, &["amp.mcpServers: a"]),
        (r#"{"mcp": {"inputs": [], "servers": {"a": {"command": "x"}}}}"#, &["mcp.servers: a"]),
        (r#"{"mcp.servers": {"a": {"url": "https://h/mcp"}}}"#, &["mcp.servers: a"]),
        (
            r#"{"mcp": {"a": {"type": "local", "command": ["npx", "-y"]}, "b": {"type": "remote", "url": "https://h"}}}"#,
            &["mcp: a,b"],
        ),
        (r#"{"extensions": {"a": {"cmd": "x", "type": "stdio"}}}"#, &["extensions: a"]),
        (r#"{"settings": {"mcp": {"servers": {"a": {"command": "x"}}}}}"#, &["settings.mcp.servers: a"]),
        // In lists, and the file as one server.
        (r#"{"mcpServers": [{"name": "a", "command": "x"}, {"command": "y"}]}"#, &["mcpServers: a,#2"]),
        (r#"[{"id": "a", "command": "x"}]"#, &["[]: a"]),
        (r#"{"profiles": [{"servers": {"a": {"command": "x"}}}]}"#, &["profiles[].servers: a"]),
        (r#"{"command": "x", "args": []}"#, &[": "]),
        // Beside an object that is looked into and has none.
        (r#"{"mcpServers": {}, "servers": {"a": {"command": "x"}}}"#, &["servers: a"]),
        (r#"{"mcpServers": {"b": {"command": "y"}}, "servers": {"a": {"command": "x"}}}"#, &["servers: a"]),
        // What is no server: a hook, an input, a status line, an address, an entry that is looked into already.
        (
            r#"{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}, "inputs": [{"type": "command", "id": "a", "command": "b"}]}"#,
            &[],
        ),
        (
            r#"{"account": {"a": {"url": "https://h"}}, "n": {"command": ""}, "m": {"command": 7}, "mcpServers": {"a": {"b": {"command": "x"}}}}"#,
            &[],
        ),
        (r#"{"servers": {"a": {"command": "x"}}}"#, &[]),
        ("", &[]),
    ] {
        assert_eq!(found(text, Shape::Unknown), expected, "{text}");
    }
    // Each host has its own key.
    let both = r#"{"servers": {"a": {"command": "x"}}, "mcpServers": {"b": {"command": "y"}}, "projects": {"/p": {"mcpServers": {"c": {"command": "z"}}}}}"#;
    assert_eq!(found(both, Shape::VsCode), ["mcpServers: b", "projects./p.mcpServers: c"]);
    assert_eq!(found(both, Shape::Projects), ["servers: a"]);
    let ours =
        r#"{"x": {"a": {"command": "y"}, "b": {"command": "/opt/mcp-supervise", "args": ["--", "npx"]}}}"#;
    assert!(
        read(ours, Shape::Servers).elsewhere()[0].ours
            && read(both, Shape::VsCode).elsewhere().iter().all(|found| !found.ours)
    );
}

#[test]
fn a_supervisor_that_has_gone_is_replaced_and_nothing_else() {
    let text = r#"{"mcpServers": {"k": {"args": [ "--name", "k", "--hold", "5s", "--", "npx" ], "command": "/gone/mcp-supervise"}}}"#;
    let document = read(text, Shape::Servers);
    let edited = document.wrapped(&[&document.servers()[0]], OURS, &|_| &[]);
    assert_eq!(edited.text, text.replace("/gone/mcp-supervise", OURS));
    assert_eq!(edited.changes, [Lines { old: 0..1, new: 0..1 }]);
    assert_eq!(unwrap(&edited.text, Shape::Servers), unwrap(text, Shape::Servers));
}

/// A config as people and programs write it.
fn config() -> impl Strategy<Value = String> {
    let blank = "( |\n  |\r\n\t|/\\* , \\] \\*/|// \"\n){0,2}";
    let text = prop_oneof![
        Just("npx"),
        Just("-y"),
        Just("--"),
        Just("--name"),
        Just("a\\\"b"),
        Just("\\u00e4"),
        Just("${env:X}"),
        Just(""),
        Just("mcp-supervise"),
        Just("/opt/mcp-supervise"),
        Just("sh"),
        Just("exec mcp-supervise -- x"),
        Just("[,]"),
    ]
    .prop_map(|text| format!("\"{text}\""));
    let args =
        (vec((blank, text.clone(), blank), 0..5), any::<bool>(), blank).prop_map(|(elements, comma, end)| {
            let elements: Vec<String> =
                elements.into_iter().map(|(before, text, after)| before + &text + &after).collect();
            let comma = if comma && !elements.is_empty() { "," } else { "" };
            format!("[{}{comma}{end}]", elements.join(","))
        });
    let key = prop_oneof![
        Just("command"),
        Just("args"),
        Just("env"),
        Just("url"),
        Just("disabled"),
        Just("enabled"),
        Just("type"),
        Just("n")
    ];
    let other =
        prop_oneof![Just("{\"A\": 1.0e5}"), Just("true"), Just("\"stdio\""), Just("[1,]"), Just("null")];
    let property = (blank, key, blank, blank, text, args, other, blank).prop_map(
        |(before, key, colon, value, text, args, other, after)| {
            let shown = match key {
                "command" => text,
                "args" => args,
                _ => other.to_owned(),
            };
            format!("{before}\"{key}\"{colon}:{value}{shown}{after}")
        },
    );
    let entry = (vec(property, 0..5), any::<bool>()).prop_map(|(properties, comma)| {
        let comma = if comma && !properties.is_empty() { "," } else { "" };
        format!("{{{}{comma}}}", properties.join(","))
    });
    let name = prop_oneof![Just("a"), Just("b"), Just("-c"), Just(""), Just("\\\"d")];
    let entries = vec((blank, name, entry, blank), 0..4);
    (any::<bool>(), blank, entries, blank).prop_map(|(mark, before, entries, after)| {
        let entries: Vec<String> =
            entries.into_iter().map(|(a, name, entry, b)| format!("{a}\"{name}\" : {entry}{b}")).collect();
        let mark = if mark { "\u{feff}" } else { "" };
        format!("{mark}{before}{{\"x\": 1,{before}\"mcpServers\":{{{}}}{after}}}{after}", entries.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// What is wrapped already, by somebody else, is not asked to come back: it is left out here.
    #[test]
    fn wrapped_and_unwrapped_is_what_it_was_and_twice_is_once(text in config()) {
        let before = read(&text, Shape::Servers);
        prop_assume!(before.servers().iter().all(|server| server.state != State::Wrapped));
        let wrapped = wrap(&text, Shape::Servers);
        prop_assert_eq!(&wrap(&wrapped, Shape::Servers), &wrapped);
        prop_assert_eq!(unwrap(&wrapped, Shape::Servers), text.clone());
        let after = read(&wrapped, Shape::Servers);
        for (before, after) in before.servers().iter().zip(after.servers()) {
            if before.state == State::Plain && !before.disabled {
                prop_assert_eq!(&after.state, &State::Wrapped);
                prop_assert!(after.words.ends_with(&before.words));
            } else {
                prop_assert_eq!((&before.state, &before.words), (&after.state, &after.words));
            }
        }
    }

    /// Whatever is in it: what is taken out leaves a text that can be read, with the same servers.
    #[test]
    fn unwrapping_leaves_what_can_be_read(text in config()) {
        let unwrapped = unwrap(&text, Shape::Servers);
        let (before, after) = (read(&text, Shape::Servers), read(&unwrapped, Shape::Servers));
        for (before, after) in before.servers().iter().zip(after.servers()) {
            let at = before.words.len() - after.words.len();
            prop_assert_eq!(&before.words[at..], &after.words[..]);
            prop_assert_eq!(at > 0, before.state == State::Wrapped);
        }
    }

    #[test]
    fn no_text_does_any_harm(text in "[\\[\\]{}\",:/*\\\\ \n\u{feff}a1-]{0,40}") {
        let _ = Document::read(&text, Shape::Unknown, &split);
    }
}
