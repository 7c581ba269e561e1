//! Answers that no daemon gives, not even the fixture on demand: byte by byte as a test has them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::Setup;
use crate::support::daemon::PASSWORD;

/// What is answered to requests that begin so: a body, or a status and a body on a line of its own.
type Script = &'static [(&'static str, &'static str)];

/// An API that answers by a script. It ends with the test.
struct Scripted {
    base: String,
    heard: Receiver<(String, String)>,
}

impl Scripted {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (tell, heard) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(asked) = request(&stream) else { continue };
                let found = script.iter().find(|(start, _)| asked.0.starts_with(start));
                let split = |body: &'static str| body.split_once('\n').unwrap_or(("200 OK", body));
                let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| split(body));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = (&stream).write_all(answer.as_bytes());
                if tell.send(asked).is_err() {
                    return;
                }
            }
        });
        Self { base, heard }
    }

    /// What was asked for since the last time that somebody wanted to know.
    fn asked(&self) -> Vec<String> {
        self.heard.try_iter().map(|(line, _)| line).collect()
    }
}

/// The first line of a request, without the protocol, and its head. None where it is none.
fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    reader.take(length.unwrap_or(0)).read_to_end(&mut Vec::new()).ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some((line, head))
}

const ONE: (&str, &str) = ("GET /v1/wallets", r#"{"items":[{"id":"0192","name":"A"}]}"#);
const WELL: (&str, &str) = ("GET /health", "{}");

fn setup(api: &Scripted) -> (Setup, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::new()
        .variable("WAIAAS_BASE_URL", &api.base)
        .variable("WAIAAS_DATA_DIR", dir.path())
        .variable("WAIAAS_MASTER_PASSWORD", PASSWORD);
    (setup, dir)
}

#[test]
fn a_session_whose_token_is_none_is_revoked_again() {
    for (body, error, path) in [
        (r#"{"id":"s1","token":"sesame","expiresAt":0}"#, "does not begin as a token does", "s1"),
        (r#"{"id":"s2","expiresAt":0}"#, "the answer has no `token`", "s2"),
        (r#"{"id":"a/b?c%","token":7}"#, "the answer has no `token`", "a%2Fb%3Fc%25"),
        (r#"{"sessionId":"s3","token":"sesame","expiresAt":"soon"}"#, "`expiresAt` is no time", "s3"),
    ] {
        let script: Script = Box::leak(Box::new([WELL, ONE, ("POST", body), ("DELETE", "{}")]));
        let api = Scripted::start(script);
        let (setup, dir) = setup(&api);
        let shown = setup.run();
        shown.failed(1, error);
        assert!(shown.stderr.contains("which was opened for it, is revoked"), "{}", shown.stderr);
        assert!(!shown.stderr.contains("sesame"), "{}", shown.stderr);
        assert_eq!(api.asked().pop(), Some(format!("DELETE /v1/sessions/{path}")));
        assert!(!dir.path().join("mcp-tokens/0192").exists());
    }
    let api = Scripted::start(&[WELL, ONE, ("POST", r#"{"token":"sesame","expiresAt":0}"#)]);
    let shown = setup(&api).0.run();
    shown.failed(1, "does not begin as a token does");
    assert!(shown.stderr.contains("warning: a session was opened that nobody can use"), "{}", shown.stderr);
    assert_eq!(api.asked().len(), 3, "nothing could be revoked");
}

#[test]
fn what_a_wallet_is_called_gives_no_orders() {
    let api = Scripted::start(&[
        WELL,
        (
            "GET /v1/wallets",
            r#"{"items":[{"id":"01","name":"a\u001b]0;b\u0007\nc"},{"id":"../x"},{"id":"\u202e"}]}"#,
        ),
    ]);
    setup(&api).0.run().failed(1, "a wallet without a proper id");
    let api = Scripted::start(&[
        WELL,
        (
            "GET /v1/wallets",
            r#"{"items":[{"id":"01","name":"a\u001b]0;b\u0007\nc"},{"id":"../x","name":"d"}]}"#,
        ),
        ("POST", r#"{"id":"s","token":"sesame"}"#),
    ]);
    let shown = setup(&api).0.run();
    shown.failed(67, "\n  a ]0;b c (01)\n  d (../x)\n");
    // An id that is no name of a file is never made one, and no session is asked for.
    api.asked();
    let shown = setup(&api).0.options("--all").run();
    assert!(shown.stderr.contains("no wallet's id"), "{}", shown.stderr);
    assert_eq!(api.asked().iter().filter(|asked| asked.starts_with("POST")).count(), 1);
}

#[test]
fn the_password_is_in_one_header_and_only_where_it_is_needed() {
    let api = Scripted::start(&[WELL, ONE]);
    let (setup, dir) = setup(&api);
    setup.run().failed(68, "404");
    let heads: Vec<_> = api.heard.try_iter().collect();
    let carries = |head: &str| head.contains(&format!("x-master-password: {PASSWORD}\r\n"));
    let seen: Vec<_> = heads.iter().map(|(line, head)| (line.as_str(), carries(head))).collect();
    assert_eq!(seen, [("GET /health", false), ("GET /v1/wallets", true), ("POST /v1/sessions", true)]);
    assert!(!dir.path().join("mcp-tokens").exists(), "it leaves nothing");
}

#[test]
fn certificates_that_are_not_there_are_told() {
    let api = Scripted::start(&[WELL, ONE]);
    let (setup, dir) = setup(&api);
    setup.option("--upstream-ca", dir.path().join("none.pem")).run().failed(2, "none.pem");
    assert!(api.asked().is_empty());
}

#[test]
fn an_old_session_that_has_made_room_in_vain_is_told_of() {
    const FULL: &str = "403 Forbidden\n{\"code\":\"SESSION_LIMIT_EXCEEDED\",\"message\":\"full\"}";
    let api = Scripted::start(&[WELL, ONE, ("POST", FULL), ("DELETE", "{}")]);
    let (first, dir) = setup(&api);
    let file = dir.path().join("mcp-tokens/0192");
    std::fs::create_dir(dir.path().join("mcp-tokens")).expect("it can be made");
    // Of the session `s-old`.
    let token = format!("wai_sess_eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzLW9sZCJ9.{}", "V".repeat(43));
    std::fs::write(&file, token).expect("it can be written");
    let shown = first.options("--revoke-old").run();
    let told = format!(
        "full (403 SESSION_LIMIT_EXCEEDED); the old session s-old is revoked already, and its token in {} is of no use any more",
        file.display()
    );
    shown.failed(68, &told);
    assert!(!shown.stderr.contains("--revoke-old"), "{}", shown.stderr);
    assert!(shown.stderr.contains("revoke a session of the wallet"), "{}", shown.stderr);
    let asked = api.asked();
    assert_eq!(asked[2..], ["POST /v1/sessions", "DELETE /v1/sessions/s-old", "POST /v1/sessions"]);
    // Where there is nothing in the file, and where the daemon writes it, the option makes no room.
    for options in ["--revoke-old", "--via mcp-tokens"] {
        let (other, _dir) = setup(&api);
        let shown = other.options(options).run();
        shown.failed(68, "full (403 SESSION_LIMIT_EXCEEDED)\n");
        assert!(shown.stderr.contains("revoke a session of the wallet"), "{}", shown.stderr);
    }
}
