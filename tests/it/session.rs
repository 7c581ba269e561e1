//! The session token, from the real program to a real daemon: held, renewed, swapped in, told when nothing helps.
//!
//! The supervisor runs as `--profile waiaas`, its server calls the daemon as the daemon's own MCP server does, and the
//! daemon fails when it is told to. What happens in which order is made to happen so, by requests that the daemon holds.

mod api_state;
#[cfg(target_os = "linux")]
mod disk;
mod file;
mod inject;
mod kills;
mod renewal;
mod secret;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::daemon::{BALANCE, Daemon, Session, WALLET, fingerprint};
use crate::support::{Host, Plan, call, guidance, request, text_of};

/// A supervisor for this daemon.
fn plan(daemon: &Daemon) -> Plan {
    let data = daemon.data_dir();
    Plan::new()
        .options("--profile waiaas")
        .server("--daemon-tools")
        .variable("WAIAAS_BASE_URL", daemon.base())
        .variable("WAIAAS_DATA_DIR", &data.to_string_lossy())
        .variable("WAIAAS_WALLET_ID", WALLET)
}

/// Puts a token where supervisors look for it, as careful programs do.
fn keep(daemon: &Daemon, session: &Session) {
    keep_at(&daemon.token_file(WALLET), session);
}

fn keep_at(path: &Path, session: &Session) {
    let beside = path.with_extension("new");
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
    fs::write(&beside, &session.token).expect("a file can be written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::rename(beside, path).expect("a file can be renamed");
}

/// A daemon, a session of it that lasts, and a supervised server that uses it.
fn serving() -> (Daemon, Session, Host) {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &session);
    let mut host = plan(&daemon).start();
    host.greet();
    host.list();
    (daemon, session, host)
}

/// Asks for the balance, and fails unless it is told.
fn balance(host: &mut Host, id: &str) {
    let answer = host.ask(id, "get_balance", &json!({}));
    if answer["result"].get("isError").is_some() || !text_of(&answer).contains("\"balance\"") {
        host.fail(&format!("no balance: {answer}"));
    }
}

/// With what, in order, the balance was asked for, and how that was answered.
fn balances(daemon: &Daemon) -> Vec<(String, u64)> {
    let log = daemon.log();
    let asked = log.iter().filter(|request| request["path"] == BALANCE);
    asked
        .map(|request| {
            let token = request["token"].as_str().unwrap_or_default().to_owned();
            (token, request["status"].as_u64().unwrap_or_default())
        })
        .collect()
}

/// What is sent.
fn payment() -> Value {
    json!({"to": "a", "amount": "1"})
}

/// What a process has in its environment.
fn environment(pid: i32) -> Vec<(String, String)> {
    let all = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let all = String::from_utf8_lossy(&all).into_owned();
    let pairs = all.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn variable(pid: i32, name: &str) -> Option<String> {
    environment(pid).into_iter().find(|(ours, _)| ours == name).map(|(_, value)| value)
}

#[test]
fn the_server_works_with_a_token_that_it_never_sees() {
    let (daemon, session, mut host) = serving();
    balance(&mut host, "one");
    assert_eq!(balances(&daemon), [(fingerprint(&session.token), 200)]);
    // It has a stand-in, which looks like a token that does not end, and is worth nothing.
    let server = host.server(1);
    let stand_in = variable(server, "WAIAAS_SESSION_TOKEN").expect("it has a stand-in");
    assert!(stand_in.starts_with("wai_sess_") && stand_in.matches('.').count() == 2, "{stand_in}");
    assert_eq!(daemon.balance(&stand_in).status, 401);
    assert_eq!(variable(server, "WAIAAS_DATA_DIR"), None);
    assert!(environment(server).iter().all(|(_, value)| !value.contains(&session.token)));
    assert_eq!(host.finish(), 0);
}

#[test]
fn nobody_else_gets_through_the_gateway() {
    let (daemon, session, host) = serving();
    let server = host.server(1);
    let url = variable(server, "WAIAAS_BASE_URL").expect("it is told the gateway");
    let address = url.strip_prefix("http://").expect("it is a plain address").to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let stand_in = variable(server, "WAIAAS_SESSION_TOKEN").expect("it has a stand-in");
    let status = |headers: &str| {
        let mut stream = TcpStream::connect(&address).expect("the gateway listens");
        let head = format!("GET {BALANCE} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("the gateway reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the gateway answers");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let host_line = format!("Host: {address}\r\n");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(status(&format!("{host_line}{}", bearer(&stand_in))), "200");
    assert_eq!(status(&host_line), "401");
    // Not even with what it would put there.
    assert_eq!(status(&format!("{host_line}{}", bearer(&session.token))), "401");
    // A page in a browser that has rebound its name to us.
    assert_eq!(status(&format!("Host: evil.example\r\n{}", bearer(&stand_in))), "403");
    assert_eq!(status(&format!("{host_line}Origin: https://evil.example\r\n{}", bearer(&stand_in))), "403");
    assert_eq!(balances(&daemon).len(), 1, "only one of them has come through");
}

#[test]
fn a_token_that_is_rotated_behind_our_back_is_not_noticed() {
    let (daemon, session, mut host) = serving();
    balance(&mut host, "before");
    let rotated = daemon.rotate(&session.id, true);
    balance(&mut host, "after");
    let new = fingerprint(&rotated.token);
    let asked = balances(&daemon);
    // Either the file was seen in time, or the request went twice.
    assert_eq!(asked.last(), Some(&(new, 200)), "{asked:?}");
    assert!(asked.len() <= 3, "{asked:?}");
    host.finish();
    // The daemon lets others read what it writes, which is told once.
    let (all, told) = (host.stderr().lines().count(), host.stderr());
    assert!(all <= 1 && told.lines().all(|line| line.contains("hint: chmod 600")), "{told}");
}

#[test]
fn rotation_without_end_fails_no_call() {
    const CALLS: usize = 640;
    const AT_ONCE: usize = 64;
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &session);
    let mut host = plan(&daemon).options("--log info").start();
    host.greet();
    let adopted = "using another session token";
    host.stderr_line_with(adopted);
    for (rotations, first) in (0..CALLS).step_by(AT_ONCE).enumerate() {
        for number in first..first + AT_ONCE {
            host.send(call(number, "get_balance", &json!({})));
        }
        // In the middle of them; and no more often than it can be noticed.
        host.answer(first);
        daemon.rotate(&session.id, true);
        for number in first..first + AT_ONCE {
            let answer = host.answer(number);
            if !text_of(&answer).contains("\"balance\"") {
                host.fail(&format!("a call has failed: {answer}"));
            }
        }
        host.stderr_lines_with(adopted, rotations + 2);
    }
    let asked = balances(&daemon);
    assert!(asked.len() <= 2 * CALLS, "{} requests", asked.len());
    host.finish();
}

#[test]
fn a_revoked_session_is_told_in_the_chat_until_there_is_another() {
    let (daemon, session, mut host) = serving();
    balance(&mut host, "before");
    daemon.revoke(&session.id);
    let told = host.ask("refused", "get_balance", &json!({}));
    assert!(told["result"].get("isError").is_none(), "{told}");
    let told = story(&told);
    assert_eq!((&told["status"], &told["outcome"]), (&json!("session_expired"), &json!("not_executed")));
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("SESSION_REVOKED")), "{told}");
    // From then on the server is not asked, but for one call every 5 s.
    let stories: Vec<Value> = (0..3).map(|n| story(&host.ask(n, "send_token", &payment()))).collect();
    assert!(stories.iter().skip(1).all(|story| story["outcome"] == "not_executed"), "{stories:?}");
    // What has to be an error is one, and lists are the server's.
    let typed = host.ask("typed", "get_typed_balance", &json!({}));
    assert_eq!(
        (&typed["error"]["code"], &typed["error"]["data"]["status"]),
        (&json!(-32603), &json!("session_expired"))
    );
    host.send(request("again", "tools/list", &json!({})));
    assert!(host.answer("again")["result"]["tools"].is_array());
    host.stderr_line_with("the session has expired");
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut host);
    host.finish();
}

#[test]
fn a_daemon_that_is_away_or_locked_is_told_in_the_chat() {
    let (daemon, session, mut host) = serving();
    daemon.kill_switch(true);
    let locked = host.ask("locked", "get_balance", &json!({}));
    assert_eq!(story(&locked)["status"], "kill_switch_active", "{locked}");
    daemon.kill_switch(false);
    balance(&mut host, "unlocked");
    // A refusal that is about the call itself stays what it is.
    daemon.fault(
        "/v1/transactions/send",
        &json!({"kind": "status", "status": 403, "code": "POLICY_DENIED", "times": 1}),
    );
    let denied = host.ask("denied", "send_token", &payment());
    assert_eq!(denied["result"]["isError"], true, "{denied}");
    assert!(text_of(&denied).contains("POLICY_DENIED"), "{denied}");
    // Answers that break off, and connections that do.
    for kind in ["close", "reset"] {
        daemon.fault(BALANCE, &json!({"kind": kind}));
        let broken = host.ask(kind, "get_balance", &json!({}));
        assert_eq!(story(&broken)["status"], "daemon_unavailable", "{broken}");
        daemon.clear();
    }
    balance(&mut host, "cleared");
    assert!(session.expires_at != Value::Null);
    assert!(daemon.finish().1);
    let away = host.ask("away", "send_token", &payment());
    let told = story(&away);
    // Nobody was there to carry it out.
    assert_eq!(
        (&told["status"], &told["retryable"], &told["outcome"]),
        (&json!("daemon_unavailable"), &json!(true), &json!("not_executed")),
        "{told}"
    );
    let reading = story(&host.ask("reading", "get_balance", &json!({})));
    assert_eq!(reading["retryable"], true, "what only reads can be asked again: {reading}");
    host.finish();
}

#[test]
fn a_server_that_is_started_while_the_daemon_is_locked_is_started_again_when_it_is_not() {
    let daemon = Daemon::start();
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    daemon.kill_switch(true);
    let mut host = plan(&daemon).server("--asks-first").start();
    host.greet();
    assert!(!host.list().to_string().contains("get_balance"), "it has asked in vain");
    daemon.kill_switch(false);
    host.server(2);
    host.message("notifications/tools/list_changed", 1);
    balance(&mut host, "unlocked");
    host.finish();
    assert_eq!(host.stderr(), "", "it is no failure");
}

#[test]
fn a_session_that_the_daemon_does_not_know_any_more_has_expired() {
    let (daemon, session, mut host) = serving();
    daemon.forget(&session.id);
    let told = story(&host.ask("forgotten", "get_balance", &json!({})));
    assert_eq!(
        (&told["status"], &told["outcome"]),
        (&json!("session_expired"), &json!("not_executed")),
        "{told}"
    );
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut host);
    host.finish();
}

#[test]
fn what_the_daemons_own_server_tells_in_ordinary_results_is_told_as_it_is() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &session);
    for way in ["", "--inject-env WAIAAS_SESSION_TOKEN"] {
        let mut host = plan(&daemon).options(way).server("--ordinary-failures").start();
        host.greet();
        host.list();
        balance(&mut host, "before");
        daemon.fault(BALANCE, &json!({"kind": "unauthorized"}));
        let told = story(&host.ask("refused", "get_balance", &json!({})));
        assert_eq!(told["status"], "session_expired", "{told}");
        assert!(told["detail"].as_str().is_some_and(|text| text.contains("session_expired")), "{told}");
        daemon.clear();
        host.finish();
    }
    let mut host = plan(&daemon).server("--ordinary-failures").start();
    host.greet();
    balance(&mut host, "served");
    assert!(daemon.finish().1);
    let told = story(&host.ask("away", "get_balance", &json!({})));
    assert_eq!(told["status"], "daemon_unavailable", "{told}");
    host.finish();
}

#[test]
fn an_event_stream_comes_through_event_by_event() {
    let (daemon, _, mut host) = serving();
    daemon.hold("/v1/events", "between");
    host.send(
        json!({"jsonrpc": "2.0", "id": "s", "method": "tools/call", "params":
        {"name": "stream_events", "arguments": {}, "_meta": {"progressToken": "p"}}})
        .to_string(),
    );
    host.message("notifications/progress", 1);
    assert_eq!(host.answers("s"), 0, "the rest is held");
    daemon.release();
    host.answer("s");
    host.finish();
}

#[test]
fn without_a_token_the_chat_is_told_and_one_that_comes_is_used() {
    let daemon = Daemon::start();
    let mut host = plan(&daemon).start();
    host.greet();
    host.list();
    host.stderr_line_with("there is no session token");
    let told = story(&host.ask("absent", "get_balance", &json!({})));
    assert_eq!((&told["status"], &told["outcome"]), (&json!("session_expired"), &json!("not_executed")));
    assert!(
        told["hint"].as_str().is_some_and(|hint| hint.contains(WALLET) || hint.contains("setup")),
        "{told}"
    );
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut host);
    host.finish();
}

#[test]
fn options_that_do_not_fit_together_are_told_with_what_would() {
    for (options, text, hint) in [
        ("--upstream http://127.0.0.1:1", "--upstream needs a way to tell", "--upstream-env VAR"),
        ("--upstream http://127.0.0.1:1 --upstream-env A", "--upstream needs a token", "--token-file FILE"),
        ("--token-file a", "--token-file needs a way", "--upstream URL"),
        ("--renew waiaas", "--renew needs a way", "--inject-env VAR"),
        ("--upstream-env A", "--upstream-env needs a way", "--profile waiaas"),
        ("--inject-env A", "--inject-env needs a token", "--token-file FILE"),
        ("--inject-env A --token-env B --refused-pattern (", "no regular expression", "(?i)401"),
        (
            "--upstream ftp://a --upstream-env A --token-env B",
            "address in --upstream cannot be used",
            "http://127.0.0.1:3100",
        ),
        (
            "--upstream http://a --upstream-env A --token-env B --renew waiaas",
            "must be kept in a file",
            "--token-file",
        ),
        ("--profile waiaas --upstream-ca /nowhere", "read the certificates", "PEM"),
        ("--profile waiaas --auth-header a:b", "no name of a header", "x-api-key"),
        ("--profile waiaas --renew-url nowhere", "--renew-url is no address", "{session}"),
    ] {
        let mut host = Plan::new().options(options).start();
        assert_eq!(host.exit(), 2, "{options}");
        let told = host.all_stderr();
        let (error, advice) = told.split_once("\nhint: ").unwrap_or_default();
        assert!(error.starts_with("error: ") && error.contains(text), "{options}: {told}");
        assert!(advice.contains(hint), "{options}: {told}");
    }
    let daemon = Daemon::start();
    let mut host = plan(&daemon).variable("WAIAAS_WALLET_ID", "../other").start();
    assert_eq!(host.exit(), 2);
    assert!(host.all_stderr().contains("WAIAAS_WALLET_ID"));
}

#[test]
fn a_server_that_is_told_of_a_proxy_does_not_ask_it_for_the_gateway() {
    const BOTH: [&str; 2] = ["NO_PROXY", "no_proxy"];
    let of_proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let told = |plan: Plan, set: &[(&str, &str)]| {
        // Whoever runs the tests may have a proxy.
        let plan = of_proxies.into_iter().chain(BOTH).fold(plan, |plan, name| plan.variable(name, ""));
        let mut host = set.iter().fold(plan, |plan, (name, value)| plan.variable(name, value)).start();
        host.greet();
        let server = host.server(1);
        let told = BOTH.map(|name| variable(server, name).unwrap_or_default());
        host.finish();
        told
    };
    let daemon = Daemon::start();
    let proxy = "http://proxy.invalid:1";
    for name in of_proxies {
        assert_eq!(told(plan(&daemon), &[(name, proxy)]), ["127.0.0.1"; 2], "{name}");
    }
    let (here, http) = ("127.0.0.1", ("HTTP_PROXY", proxy));
    for (set, upper, lower) in [
        (("NO_PROXY", "a.example,.b"), "a.example,.b,127.0.0.1", "a.example,.b,127.0.0.1"),
        (("no_proxy", "a.example"), "a.example,127.0.0.1", "a.example,127.0.0.1"),
        (("no_proxy", "a.example, 127.0.0.1"), "a.example, 127.0.0.1", "a.example, 127.0.0.1"),
        (("NO_PROXY", "127.0.0.1:80"), "127.0.0.1:80,127.0.0.1", "127.0.0.1:80,127.0.0.1"),
        (("NO_PROXY", "*"), "*", "*"),
        // What is kept from the server is not handed on by another name.
        (("MCP_SUPERVISE_HIDE_ENV", "NO_PROXY"), here, here),
        (("MCP_SUPERVISE_HIDE_ENV", "HTTP_PROXY"), "", ""),
    ] {
        assert_eq!(told(plan(&daemon), &[http, set]), [upper, lower], "{set:?}");
    }
    let both = [http, ("NO_PROXY", "a"), ("no_proxy", "b")];
    assert_eq!(told(plan(&daemon), &both), ["a,127.0.0.1", "b,127.0.0.1"]);
    assert_eq!(told(plan(&daemon), &[("NO_PROXY", "a")]), ["a", ""], "without a proxy");
    assert_eq!(told(Plan::new(), &[http, ("NO_PROXY", "a")]), ["a", ""], "without a gateway");
}

#[test]
fn a_variable_is_hidden_from_any_server() {
    let mut host = Plan::new()
        .options("--hide-env SECRET_OF_OURS:OTHER")
        .variable("SECRET_OF_OURS", "x")
        .variable("OTHER", "y")
        .start();
    host.greet();
    let server = host.server(1);
    assert_eq!((variable(server, "SECRET_OF_OURS"), variable(server, "OTHER")), (None, None));
    assert!(variable(server, "HOME").is_some());
    host.finish();
}

#[test]
fn the_profile_hides_what_would_issue_tokens() {
    let daemon = Daemon::start();
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    let hidden = [
        "WAIAAS_DATA_DIR",
        "WAIAAS_MASTER_PASSWORD",
        "WAIAAS_MASTER_PASSWORD_FILE",
        "MCP_SUPERVISE_TOKEN_FILE",
    ];
    let file = daemon.token_file(WALLET);
    let mut host = plan(&daemon)
        .variable("WAIAAS_MASTER_PASSWORD", "correct horse")
        .variable("WAIAAS_MASTER_PASSWORD_FILE", "/run/password")
        .variable("MCP_SUPERVISE_TOKEN_FILE", &file.to_string_lossy())
        .start();
    host.greet();
    let server = host.server(1);
    for name in hidden {
        assert_eq!(variable(server, name), None, "{name}");
    }
    host.finish();
}

/// Calls until the balance is told: the file is watched, and each call in between is told that there is no session.
fn until_served(host: &mut Host) {
    let mut number = 0;
    loop {
        number += 1;
        let answer = host.ask(format!("try {number}"), "get_balance", &json!({}));
        if text_of(&answer).contains("\"balance\"") {
            return;
        }
        assert_eq!(story(&answer)["status"], "session_expired", "{answer}");
        std::thread::yield_now();
    }
}

/// The guidance in an answer, which must have one.
fn story(answer: &Value) -> Value {
    guidance(answer).unwrap_or_else(|| panic!("no guidance: {answer}"))
}

/// What is in a file.
fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
