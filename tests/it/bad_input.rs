//! Hosts and servers that do not keep to the protocol or to any measure, and command lines that cannot be understood.

use std::io::Write as _;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Host, Plan, call, guidance, join, process, request, text_of};

/// A host whose server works.
fn greeted(options: &str) -> Host {
    let mut host = Plan::new().options(options).start();
    host.greet_with("2025-11-25");
    host
}

#[test]
fn junk_of_the_host_is_the_servers_business() {
    let mut host = greeted("");
    for (number, junk) in [
        &b"not json"[..],
        b"",
        b"   \t",
        b"\xff\xfe not UTF-8",
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}",
        b"{\"id\":1,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
        b"[]",
        b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
        b"{",
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\"}",
        b"nul \0 byte",
    ]
    .into_iter()
    .enumerate()
    {
        host.send(junk);
        let id = format!("after {number}");
        assert_eq!(text_of(&host.ask(id, "echo", &json!({"text": "a"}))), "a");
    }
    assert_eq!(host.finish(), 0);
    assert_eq!(host.answers(1), 0, "nothing of this was a request");
}

#[test]
fn what_nobody_waits_for_does_no_harm() {
    let mut host = greeted("");
    host.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"never"}}"#);
    host.send(
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#,
    );
    host.send(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
    host.send(r#"{"jsonrpc":"2.0","id":"99","error":{"code":1,"message":"a"}}"#);
    host.send(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"a"}}"#);
    // An id that is in flight already: the second request is the server's business, and one answer comes.
    host.send(call(1, "slow", &json!({"ms": 50})));
    host.send(call(1, "slow", &json!({"ms": 50})));
    host.answer(1);
    // A request that is cancelled gets no answer.
    host.send(call(2, "slow", &json!({"ms": 50})));
    host.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    assert_eq!(text_of(&host.ask(3, "echo", &json!({"text": "a"}))), "a");
    assert_eq!(host.finish(), 0);
    assert_eq!((host.answers(1), host.answers(2)), (1, 0));
}

#[test]
fn batches_are_answered_where_the_revision_has_them() {
    let mut host = Plan::new().tireless().start();
    host.greet_with("2025-03-26");
    let batch = |first: u64| {
        let text = [
            request(first, "ping", &json!({})),
            r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#.to_owned(),
            call(first + 1, "count", &json!({})),
        ];
        format!("[{}]", text.join(","))
    };
    let answers = |n: usize| {
        let line = || host.lines().into_iter().filter(|line| line.starts_with(b"[")).nth(n);
        host.until("a batch is answered", || line().is_some());
        serde_json::from_slice::<Value>(&line().unwrap_or_default()).expect("it is JSON")
    };
    let sent = batch(1);
    let mut stdin = host.stdin();
    writeln!(stdin, "{sent}").unwrap();
    assert_eq!((&answers(0)[0]["id"], &answers(0)[1]["id"]), (&json!(1), &json!(2)));
    assert!(host.heard(host.server(1)).contains(&sent), "it passes as it is");
    process::kill_hard(host.server(1));
    writeln!(stdin, "{}", batch(3)).unwrap();
    host.until("both are answered", || {
        let text = String::from_utf8(host.lines().concat()).unwrap();
        [3, 4].iter().all(|id| text.matches(&format!("\"id\":{id},")).count() == 1)
    });
}

#[test]
fn a_line_without_measure_costs_an_error_and_no_memory() {
    let mut host = greeted("");
    let stdin = host.take_stdin();
    let writer = thread::spawn(move || {
        let mut stdin = stdin;
        let block = vec![b'x'; 1 << 20];
        let neighbour = |id: &str| call(id, "echo", &json!({"text": id})) + "\n";
        let mut write = |bytes: &[u8]| stdin.write_all(bytes).expect("it reads");
        write(neighbour("before").as_bytes());
        for (start, end) in [
            (r#"{"jsonrpc":"2.0","id":"front","method":"tools/call","params":{"x":""#, "\"}}\n"),
            (r#"{"params":{"x":""#, "\"},\"method\":\"tools/call\",\"id\":\"back\",\"jsonrpc\":\"2.0\"}\n"),
        ] {
            write(start.as_bytes());
            (0..100).for_each(|_| write(&block));
            write(end.as_bytes());
        }
        write(neighbour("after").as_bytes());
        // The last line never ends, and is noise.
        (0..8).for_each(|_| write(&block));
    });
    for id in ["before", "after"] {
        assert_eq!(text_of(&host.answer(id)), id);
    }
    for id in ["front", "back"] {
        let answer = host.answer(id);
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
        assert!(
            answer["error"]["message"].as_str().is_some_and(|text| text.contains("--max-line")),
            "{answer}"
        );
    }
    let memory = process::memory(host.pid()).unwrap_or(0);
    assert!(memory < 100 * 1024, "a line of 64 MiB at most is held, and not for long: {memory} KiB");
    join(writer);
    assert_eq!(host.exit(), 0);
    host.all_lines();
}

#[test]
fn an_answer_that_a_host_would_not_take_is_told_instead() {
    let mut host = greeted("");
    let limit = 10 * 1024 * 1024 - 64 * 1024;
    let fits = host.ask(1, "big", &json!({ "bytes": limit }));
    assert!(guidance(&fits).is_none() && host.answer_bytes(1).len() == limit + 1);
    for (id, bytes) in [(2, limit + 1), (3, 70 << 20)] {
        let told = guidance(&host.ask(id, "big", &json!({ "bytes": bytes }))).expect("it is too large");
        assert_eq!((&told["status"], &told["outcome"]), (&json!("answer_too_large"), &json!("unknown")));
        assert!(told["message"].as_str().is_some_and(|text| text.contains(&bytes.to_string())), "{told}");
    }
    assert_eq!(text_of(&host.ask(4, "echo", &json!({"text": "a"}))), "a");
    assert_eq!(host.finish(), 0);

    let mut host = greeted("--max-answer 2000");
    assert!(guidance(&host.ask(1, "big", &json!({"bytes": 2000}))).is_none());
    assert!(guidance(&host.ask(2, "big", &json!({"bytes": 2001}))).is_some());
    host.finish();
}

#[test]
fn more_requests_than_may_wait_are_answered_all_the_same() {
    // The server comes up only when all of them were sent.
    let plan = Plan::new();
    let gate = plan.path("gate");
    let script = format!("while ! test -e {}; do sleep 0.01; done; exec \"$@\"", gate.display());
    let mut host = plan.script(&script).start();
    host.send(crate::support::message::initialize("2025-06-18"));
    host.send(crate::support::message::INITIALIZED);
    for id in 0..3000 {
        host.send(call(id, "count", &json!({})));
    }
    // What finds no room is answered at once.
    let told = guidance(&host.answer(2999)).expect("it found no room");
    assert_eq!((&told["status"], &told["outcome"]), (&json!("server_unavailable"), &json!("not_executed")));
    std::fs::write(gate, "").unwrap();
    host.answer("greet");
    let served = (0..3000).filter(|&id| guidance(&host.answer(id)).is_none()).count();
    assert!((1000..=1024).contains(&served), "{served} were served");
    assert_eq!(host.file("journal").lines().count(), served);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_usage_error_has_a_hint_and_code_2() {
    let mut host = Plan::new().options("--hold soon").start();
    assert_eq!(host.exit(), 2);
    assert_eq!(host.all_lines(), Vec::<Vec<u8>>::new());
    let stderr = host.all_stderr();
    assert!(stderr.starts_with("error: ") && stderr.contains("\nhint: "), "{stderr}");
    assert_eq!(host.servers(), Vec::<i32>::new(), "no server was started");
}
