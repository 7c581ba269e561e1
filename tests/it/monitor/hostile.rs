//! Requests that are not meant well, and those who have no business here.

use std::io::{Read as _, Write as _};

use serde_json::Value;

use super::client::{Answer, Monitor};
use crate::support::Plan;

/// Fails unless it was refused so, with words, and protected as all answers are.
fn refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    assert!(body["error"].is_string() && body["hint"].is_string(), "{body}");
    protected(answer);
}

fn protected(answer: &Answer) {
    for header in [
        "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(answer.head.contains(header), "no {header}: {answer:?}");
    }
    assert!(!answer.head.contains("access-control"), "{answer:?}");
}

const WEBSOCKET: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn other_names_and_other_pages_get_nothing() {
    let monitor = Monitor::of(&Plan::new());
    let port = monitor.address.port();
    let paths = ["/", "/health", "/health/deep", "/metrics", "/api/sessions", "/ws/sessions", "/nowhere"];
    for path in paths {
        for host in
            [format!("evil.example:{port}"), format!("localhost.evil.example:{port}"), "127.0.0.1".to_owned()]
        {
            refused(&monitor.ask(path, &[("Host", &host)]), 403);
        }
        for origin in
            ["http://evil.example", "null", "http://localhost:1", &format!("https://localhost:{port}")]
        {
            let headers = [&[("Origin", origin)], &WEBSOCKET[..]].concat();
            refused(&monitor.ask(path, &headers), 403);
        }
        refused(&monitor.ask(path, &[("Sec-Fetch-Site", "cross-site")]), 403);
    }
    refused(&monitor.raw(b"GET / HTTP/1.0\r\n\r\n"), 403);
    let line = format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", monitor.address);
    refused(&monitor.raw(line.as_bytes()), 403);
    let own = format!("http://localhost:{port}");
    let page = monitor.ask("/", &[("Host", &format!("LOCALHOST:{port}")), ("Origin", &own)]);
    assert_eq!(page.status, 200);
    assert_eq!(monitor.ask("/nowhere", &[]).status, 404);
}

#[test]
fn the_page_has_a_token_and_scripts_that_only_it_knows() {
    let monitor = Monitor::of(&Plan::new());
    let nonce = |answer: &Answer| {
        protected(answer);
        let policy = answer.head.split("script-src 'nonce-").nth(1).unwrap_or_else(|| panic!("{answer:?}"));
        policy.split('\'').next().unwrap_or_default().to_owned()
    };
    let (one, two) = (monitor.ask("/", &[]), monitor.ask("/", &[]));
    assert_ne!(nonce(&one), nonce(&two));
    assert!(one.body.to_lowercase().contains(&format!("nonce=\"{}\"", nonce(&one))));
    assert!(!one.body.contains("{{"), "nothing is left open");
    assert!(one.head.contains(&format!("connect-src 'self' ws://{}", monitor.address)), "{}", one.head);
    assert_eq!(monitor.token().len(), 43);
    assert_ne!(Monitor::of(&Plan::new()).token(), monitor.token(), "each run has its own");
    let head = monitor.ask("HEAD /", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn nothing_is_restarted_without_the_token() {
    let monitor = Monitor::of(&Plan::new());
    let order = "POST /api/sessions/0198f0c2-0000-7000-8000-000000000000/restart";
    refused(&monitor.ask(order, &[]), 403);
    let token = monitor.token();
    for wrong in ["", "x", &token[1..], &format!("{token}x")] {
        refused(&monitor.ask(order, &[("X-Monitor-Token", wrong)]), 403);
    }
    let right = [("X-Monitor-Token", token.as_str())];
    refused(&monitor.ask(order, &right), 404);
    refused(&monitor.ask(order, &[right[0], ("Origin", "http://evil.example")]), 403);
    refused(&monitor.ask("POST /api/sessions", &right), 405);
    refused(&monitor.ask("OPTIONS /api/sessions", &[]), 405);
    refused(&monitor.ask("/ws/sessions", &[]), 400);
}

#[test]
fn what_is_too_large_or_no_request_is_refused_and_others_go_on() {
    let monitor = Monitor::of(&Plan::new());
    let long = "x".repeat(20_000);
    assert_eq!(monitor.ask("/", &[("X-Long", &long)]).status, 431);
    assert!([414, 431].contains(&monitor.ask(&format!("/{long}"), &[]).status));
    let name = |number| format!("X-{number}");
    let names: Vec<String> = (0..100).map(name).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(monitor.ask("/", &many).status, 431);
    let token = monitor.token();
    let order = |headers: &str, body: &str| {
        let head = format!(
            "POST /api/sessions/x/restart HTTP/1.1\r\nHost: {}\r\nX-Monitor-Token: {token}\r\nConnection: close\r\n",
            monitor.address
        );
        monitor.raw(format!("{head}{headers}\r\n\r\n{body}").as_bytes())
    };
    refused(&order("Content-Length: 1000000000", ""), 413);
    refused(&order("Content-Length: 5000", &long[..5000]), 413);
    refused(&order("Transfer-Encoding: chunked", &format!("4e20\r\n{long}\r\n0\r\n\r\n")), 413);
    refused(&order("Content-Length: 2", "{}"), 404);
    assert_eq!(monitor.raw(b"\x16\x03\x01 no HTTP at all\r\n\r\n").status, 400);
    assert_eq!(
        monitor.get("/health"),
        format!("{{\"status\":\"ok\",\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn who_takes_for_ever_is_let_go() {
    let monitor = Monitor::of(&Plan::new());
    let mut slow = monitor.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let mut silent = monitor.connect();
    let mut body = monitor.connect();
    let token = monitor.token();
    let head = format!(
        "POST /api/sessions/x/restart HTTP/1.1\r\nHost: {}\r\nX-Monitor-Token: {token}\r\nContent-Length: 9\r\n\r\n{{",
        monitor.address
    );
    body.write_all(head.as_bytes()).unwrap();
    let end = |stream: &mut std::net::TcpStream| {
        let mut read = Vec::new();
        stream.read_to_end(&mut read).expect("it is closed before the watchdog has enough");
        String::from_utf8(read).unwrap()
    };
    assert!(end(&mut body).starts_with("HTTP/1.1 408 "));
    let slow = end(&mut slow);
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408 "), "{slow}");
    end(&mut silent);
}

#[test]
#[cfg(target_os = "linux")]
fn another_user_of_this_machine_sees_only_that_it_is_well() {
    use std::os::unix::process::CommandExt as _;

    // Only the superuser can be somebody else; the tables themselves are read in a test of their own.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let monitor = Monitor::of(&Plan::new());
    let ask = |path: &str, user: u32| {
        let port = monitor.address.port();
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; \
             printf 'GET {path} HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
        );
        #[expect(clippy::disallowed_methods, reason = "a client of another user")]
        let output =
            std::process::Command::new("bash").args(["-c", &script]).uid(user).current_dir("/").output();
        String::from_utf8(output.expect("there is bash").stdout).unwrap()
    };
    assert!(ask("/", 0).starts_with("HTTP/1.1 200 "));
    let refused = ask("/", 65534);
    assert!(refused.starts_with("HTTP/1.1 403 ") && refused.contains("another user"), "{refused}");
    assert!(!refused.contains("monitor-token"), "{refused}");
    assert!(ask("/health", 65534).starts_with("HTTP/1.1 200 "));
}
