//! Bytes through the program and both its pipes, whatever these are.

use std::fs;
use std::io::Write as _;
use std::thread;

use nix::fcntl::OFlag;
use serde_json::json;

use crate::support::{Host, Kind, Plan, call, join, message, process, request, text_of};

/// The line of `echo` with a text of about this many bytes.
fn echo(id: usize, bytes: usize) -> String {
    call(id, "echo", &json!({"text": "x".repeat(bytes)}))
}

#[test]
fn bytes_arrive_as_they_were_sent() {
    let mut host = Plan::new().start();
    host.greet_with("2025-11-25");
    let text = r#""\u00e9\ud83d\ude00\/ \t caf\u00e9 é 😀 \\""#;
    let odd = format!(
        "  {{ \"x\" : [1.0e400, -0, 1e-7,{{}}] ,\"id\":18446744073709551617,\t\"jsonrpc\": \"2\\u002e0\", \"method\":\"tools\\/call\",\"params\" : {{\"arguments\":{{\"text\":{text},\"y\":1.10}},\"name\":\"echo\"}} }} \r"
    );
    host.send(&odd);
    host.send(request("é\n\"7", "ping", &json!({"_meta": {"a/b": null}})));
    host.send(request("last", "ping", &json!({})));
    host.answer("last");
    let server = host.server(1);
    assert_eq!(host.heard(server)[2], odd);
    let lines: Vec<String> =
        host.lines().into_iter().map(|line| String::from_utf8(line).expect("it sends UTF-8")).collect();
    let answer = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":18446744073709551617,\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}]}}}}\n"
    );
    assert_eq!(lines[1], answer);
    assert_eq!(lines[2], "{\"jsonrpc\":\"2.0\",\"id\":\"é\\n\\\"7\",\"result\":{}}\n");
    assert_eq!(host.finish(), 0);
    assert_eq!(host.all_stderr(), "", "a life without incident adds nothing to stderr");
}

#[test]
fn large_lines_pass_both_ways_at_once() {
    for kind in [Kind::Pipe, Kind::Socket] {
        let mut host = Plan::new().on(&kind).start();
        host.greet();
        let sizes = [1 << 20, 5 << 20, 1 << 20, 1 << 20, 200, 1 << 20];
        for (id, &size) in sizes.iter().enumerate() {
            if id >= 4 {
                host.answer(id - 4);
            }
            host.send(echo(id, size));
        }
        for (id, &size) in sizes.iter().enumerate() {
            assert_eq!(text_of(&host.answer(id)).len(), size, "{kind:?}");
        }
        assert_eq!(host.finish(), 0, "{kind:?}");
    }
}

#[test]
fn nothing_is_lost_when_the_host_does_not_read_for_a_while() {
    for kind in [Kind::Pipe, Kind::Socket] {
        let mut host = Plan::new().on(&kind).start();
        host.greet();
        host.stop_reading();
        let mut stdin = host.take_stdin();
        let writer = thread::spawn(move || {
            for id in 0..40 {
                let line = echo(id, if id % 10 == 0 { 1 << 20 } else { 100_000 });
                stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n")).expect("it reads");
            }
            stdin
        });
        let server = host.server(1);
        host.until("the server cannot write", || process::writes_in_vain(server).unwrap_or(true));
        host.read_on();
        for id in 0..40 {
            host.answer(id);
        }
        drop(join(writer));
        assert_eq!(host.exit(), 0, "{kind:?}");
        host.all_lines();
    }
}

#[test]
fn a_host_that_never_reads_stderr_gets_its_answers() {
    // The server's own stderr is held back; its noise on stdout is thrown away.
    let mut host = Plan::new()
        .script("yes words of no use | head -c 4000000 >&2 & exec \"$@\"")
        .server("--noise endless-lines")
        .stderr_unread()
        .start();
    host.greet();
    let read = || process::bytes_read(host.pid()).unwrap_or(u64::MAX);
    host.until("there was noise", || read() > 4 << 20);
    for id in 0..20 {
        host.ask(id, "echo", &json!({"text": "a"}));
    }
    host.read_stderr();
    host.stderr_line("words");
    host.until_stderr("words of no use\n".len() * 250_000);
    host.finish();
    assert!(host.all_stderr().contains(" more lines to stdout that are no messages\n"));
}

#[test]
fn stdin_and_stdout_may_be_files() {
    let plan = Plan::new();
    let (input, output) = (plan.path("input"), plan.path("output"));
    let lines = [
        message::initialize("2025-06-18"),
        message::INITIALIZED.to_owned(),
        echo(1, 100_000),
        call(2, "slow", &json!({"ms": 50})),
        call(3, "echo", &json!({"text": "the last, without a line feed"})),
    ];
    fs::write(&input, lines.join("\n")).unwrap();
    let mut host = plan.stdin(Kind::File(input)).stdout(Kind::File(output.clone())).server("--drain").start();
    assert_eq!(host.exit(), 0);
    let output = fs::read_to_string(output).unwrap();
    let mut ids: Vec<String> = output
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["\"greet\"", "1", "2", "3"], "{output}");
}

#[test]
fn a_person_may_sit_at_a_terminal() {
    let mut host = Plan::new().on(&Kind::Terminal).start();
    let flags = host.flags();
    host.greet();
    assert_eq!(text_of(&host.ask(1, "echo", &json!({"text": "typed"}))), "typed");
    assert_eq!(host.flags(), flags);
    // What a person types as Ctrl-D.
    host.send_raw(b"\x04");
    assert_eq!(host.exit(), 0);
    assert_eq!(host.flags(), flags);
}

#[test]
fn the_hosts_descriptors_keep_their_flags() {
    for kind in [Kind::Pipe, Kind::Socket] {
        let mut host = Plan::new().on(&kind).start();
        let before = host.flags();
        assert!(before.iter().all(|flags| !flags.contains(OFlag::O_NONBLOCK)));
        host.greet();
        assert_eq!(host.flags(), before, "{kind:?}");
        host.signal(nix::sys::signal::Signal::SIGTERM);
        host.exit();
        assert_eq!(host.flags(), before, "{kind:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_call_costs_nothing_but_its_own_two_lines() {
    const CALLS: usize = 200;
    let mut host = Plan::new().start();
    host.greet();
    host.list();
    let server = host.server(1);
    // What is recorded, and what the system tells of memory, is opened for a moment each time.
    let (pid, data) = (host.pid(), host.path("data"));
    let descriptors = || {
        let mut open = process::descriptors(pid);
        open.retain(|(_, path)| !path.starts_with(&data) && !path.starts_with("/proc"));
        open
    };
    let open = descriptors();
    // How many bytes were written and with how many calls, and how many bytes of lines went through.
    let written = |host: &Host| {
        let (bytes, calls) = process::written(host.pid()).expect("the system tells");
        let to_server: usize = host.heard(server).iter().map(|line| line.len() + 1).sum();
        let to_host: usize = host.lines().iter().map(Vec::len).sum();
        (bytes, calls, (to_server + to_host) as u64)
    };
    // No log, no commit per message, no book: what is written is what is forwarded, a line at a time. What is kept of the
    // greeting and the list, and the record of the session, are written when they have settled, and that may be during
    // some of the rounds.
    let mut rounds = (0..6).map(|round| {
        let before = written(&host);
        for call in 0..CALLS {
            host.ask(format!("{round}.{call}"), "pid", &json!({}));
        }
        let after = written(&host);
        (after.0 - before.0 - (after.2 - before.2), after.1 - before.1 - 2 * CALLS as u64)
    });
    let more: Vec<_> = rounds.by_ref().take_while(|more| *more != (0, 0)).collect();
    assert!(more.len() < 6, "bytes and calls to write more than the lines have: {more:?}");
    assert_eq!(descriptors(), open);
    assert_eq!(host.finish(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_inherits_what_is_not_theirs() {
    for kind in [Kind::Pipe, Kind::Socket] {
        let mut host = Plan::new().on(&kind).tireless().start();
        host.greet();
        process::kill_hard(host.server(1));
        let server = host.server(2);
        host.ask(1, "echo", &json!({"text": "a"}));
        // What whoever runs the tests has left open to everybody is not ours to close.
        let left_open = process::descriptors(std::process::id().cast_signed());
        let open = process::descriptors(server);
        let more = open.iter().skip(3).find(|descriptor| !left_open.contains(descriptor));
        assert_eq!(more, None, "{open:?}");
        // The signals from 32 on are the C library's own.
        let mask = |pid, name| process::figure(pid, "status", name).map(|signals| signals & 0x7fff_ffff);
        let signals = |pid| ["SigBlk", "SigIgn"].map(|name| mask(pid, name));
        // Rust itself ignores SIGPIPE in the fixture.
        assert_eq!(signals(server), [Some(0), Some(1 << 12)]);
        let guardian = host.guardian();
        let open = process::descriptors(guardian);
        let names: Vec<String> = open.iter().map(|(_, path)| path.display().to_string()).collect();
        assert_eq!(names[..3], ["/dev/null"; 3], "{open:?}");
        assert!(names.len() == 4 && names[3].starts_with("pipe:"), "{open:?}");
        // Neither the dead server nor anything else is left as a zombie.
        let children = process::children(host.pid(), "fixture-server");
        assert_eq!(children, [server]);
        assert_eq!(host.finish(), 0);
        host.until_gone("the guardian", guardian);
    }
}
