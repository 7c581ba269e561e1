//! Every way of stopping, and that nothing is left behind by any of them.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Host, Kind, Plan, call, guidance, message, process, text_of};

/// Everything that belongs to a running supervisor with a fixture server.
struct Family(Vec<(&'static str, i32)>);

impl Family {
    /// Waits for the members that announce themselves on stderr.
    fn of(host: &Host, kin: &[&'static str]) -> Self {
        let mut family = vec![("the server", host.server(1))];
        let told = |name: &str| host.stderr_line(&format!("{name} ")).parse().expect("a process id");
        family.extend(kin.iter().map(|name| (*name, told(name))));
        family.push(("the guardian", host.guardian()));
        Self(family)
    }

    fn pid(&self, name: &str) -> i32 {
        self.0.iter().find(|(other, _)| *other == name).expect("it is in the family").1
    }

    fn until_gone(&self, host: &Host) {
        for (name, pid) in &self.0 {
            host.until_gone(name, *pid);
        }
    }
}

/// The ways to stop a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    EndOfInput,
    Sent(Signal),
    NoReader,
}

const WAYS: [Way; 5] = [
    Way::EndOfInput,
    Way::Sent(Signal::SIGTERM),
    Way::Sent(Signal::SIGINT),
    Way::Sent(Signal::SIGHUP),
    Way::NoReader,
];

impl Way {
    fn take(self, host: &mut Host) {
        match self {
            Self::EndOfInput => host.close_stdin(),
            Self::Sent(signal) => host.signal(signal),
            Self::NoReader => host.stop_listening(),
        }
    }
}

/// A server that leaves only when it is killed.
fn stubborn() -> Plan {
    Plan::new()
        .options("--stop-grace 50ms --term-grace 50ms")
        .server("--ignore-eof --ignore-term --grandchild --helper")
}

#[test]
fn nothing_is_left_of_a_stubborn_server() {
    for kind in [Kind::Pipe, Kind::Socket] {
        for way in WAYS.into_iter().chain([Way::Sent(Signal::SIGKILL)]) {
            let mut host = stubborn().on(&kind).start();
            let family = Family::of(&host, &["grandchild", "helper"]);
            host.greet();
            way.take(&mut host);
            let code = host.exit();
            let expected = if way == Way::Sent(Signal::SIGKILL) { 128 + 9 } else { 0 };
            assert_eq!(code, expected, "{way:?} on {kind:?}");
            family.until_gone(&host);
        }
    }
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed_between_two_servers_or_before_a_greeting() {
    let mut host = stubborn().tireless().server("--slow-start 100").start();
    let family = Family::of(&host, &["grandchild", "helper"]);
    process::kill_hard(family.pid("the server"));
    host.server(2);
    host.signal(Signal::SIGKILL);
    host.exit();
    family.until_gone(&host);
    for server in host.servers() {
        host.until_gone("the server", server);
    }
}

#[test]
fn a_server_that_leaves_at_the_end_of_its_input_may_leave_a_helper_behind() {
    for way in [Way::EndOfInput, Way::NoReader] {
        let mut host = Plan::new().server("--helper").start();
        let family = Family::of(&host, &["helper"]);
        host.greet();
        way.take(&mut host);
        assert_eq!(host.exit(), 0, "{way:?}");
        host.until_gone("the server", family.pid("the server"));
        host.until_gone("the guardian", family.pid("the guardian"));
        assert!(!process::is_gone(family.pid("helper")), "{way:?}");
    }
}

#[test]
fn a_server_that_has_to_be_told_twice_leaves_no_helper() {
    for way in WAYS {
        let mut host = Plan::new().options("--stop-grace 50ms").server("--helper --ignore-eof").start();
        let family = Family::of(&host, &["helper"]);
        host.greet();
        way.take(&mut host);
        assert_eq!(host.exit(), 0, "{way:?}");
        family.until_gone(&host);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_begins_a_session_leaves_no_helper_in_the_group_that_it_was_started_in() {
    for way in WAYS.into_iter().chain([Way::Sent(Signal::SIGKILL)]) {
        let script = "sleep 1000 >/dev/null 2>&1 & echo \"helper $!\" >&2; exec setsid \"$@\"";
        let plan = Plan::new().options("--stop-grace 50ms --term-grace 50ms").script(script);
        let mut host = plan.server("--ignore-eof").start();
        let family = Family::of(&host, &["helper"]);
        host.greet();
        way.take(&mut host);
        host.exit();
        family.until_gone(&host);
    }
}

#[test]
fn whoever_holds_the_pipes_from_outside_does_not_hold_us() {
    for (way, options) in [
        (Way::EndOfInput, ""),
        (Way::EndOfInput, "--ignore-eof --ignore-term"),
        (Way::Sent(Signal::SIGTERM), ""),
    ] {
        let mut host = Plan::new()
            .options("--stop-grace 50ms --term-grace 50ms")
            .server("--escape")
            .server(options)
            .start();
        let family = Family::of(&host, &["escaped"]);
        host.greet();
        way.take(&mut host);
        assert_eq!(host.exit(), 0, "{way:?} {options}");
        host.until_gone("the server", family.pid("the server"));
        assert!(!process::is_gone(family.pid("escaped")), "it is in a session of its own");
        host.all_lines();
    }
}

#[test]
fn a_second_signal_and_one_after_the_end_of_input_are_handed_on() {
    for (first, server) in [
        (Way::EndOfInput, "--ignore-eof --grandchild"),
        (Way::Sent(Signal::SIGTERM), "--ignore-eof --ignore-term --grandchild"),
    ] {
        // The grace of the ladder would outlast the watchdog; after a signal it is 1.5 s at most.
        let mut host =
            Plan::new().options("--stop-grace 5m --term-grace 5m --log info").server(server).start();
        let family = Family::of(&host, &["grandchild"]);
        host.greet();
        first.take(&mut host);
        host.stderr_line_with("stopping");
        host.signal(Signal::SIGTERM);
        assert_eq!(host.exit(), 0, "{first:?}");
        family.until_gone(&host);
        host.all_lines();
    }
}

/// A server in `sh` that runs `script` first, is greeted, and stays. `say WORD` writes a line into the file `said`.
fn scribe(script: &str) -> Plan {
    let plan = Plan::new();
    let said = plan.path("said").display().to_string();
    let greeting = r#"{"jsonrpc":"2.0","id":"greet","result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;
    let script = format!(
        "trap '' PIPE; say() {{ echo \"$1\" >> '{said}'; }}; {script}; read line; echo '{greeting}'; while :; do sleep 0.02; done"
    );
    plan.command(["/bin/sh", "-c", &script])
}

fn until_said(host: &Host, word: &str) {
    host.until(word, || host.file("said").lines().any(|line| line == word));
}

#[test]
fn signals_are_handed_on_as_they_are_and_a_server_has_time_to_save() {
    for (sent, name) in [(Signal::SIGINT, "INT"), (Signal::SIGHUP, "HUP"), (Signal::SIGTERM, "TERM")] {
        let save = if name == "TERM" { ":" } else { "trap 'sleep 0.1; say saved; exit 0' TERM" };
        let mut host = scribe(&format!("trap 'say {name}' {name}; {save}")).start();
        host.greet();
        host.signal(sent);
        until_said(&host, name);
        // The signal that ends it is ours: SIGTERM after half of the time, or SIGKILL.
        assert_eq!(host.exit(), 0, "{name}");
        let said = host.file("said");
        assert_eq!(said.matches(name).count(), 1, "{said}");
        assert_eq!(said.contains("saved"), name != "TERM", "{said}");
    }
}

#[test]
fn a_signal_after_a_signal_is_heard_too() {
    let mut host = scribe("trap 'say INT' INT; trap 'sleep 0.1; say TERM; exit 0' TERM").start();
    host.greet();
    host.signal(Signal::SIGINT);
    until_said(&host, "INT");
    host.signal(Signal::SIGTERM);
    assert_eq!(host.exit(), 0);
    assert_eq!(host.file("said"), "INT\nTERM\n");
}

#[test]
fn a_helper_has_the_time_of_its_group_though_the_leader_has_gone() {
    let helper = "( trap 'sleep 0.5; say saved; exit 0' TERM; say ready; while :; do sleep 0.02; done ) &";
    let mut host = scribe(&format!("{helper} trap 'say gone; exit 0' TERM")).start();
    host.greet();
    until_said(&host, "ready");
    host.signal(Signal::SIGTERM);
    assert_eq!(host.exit(), 0);
    assert_eq!(host.file("said"), "ready\ngone\nsaved\n", "before we exit");
}

#[test]
fn the_guardian_lets_the_group_save_and_signals_nothing_twice() {
    // The supervisor is killed either before it has forwarded a signal or after.
    for first in [None, Some(Signal::SIGTERM)] {
        let mut host = scribe("trap 'say heard; sleep 0.4; say saved' TERM").start();
        host.greet();
        let guardian = host.guardian();
        if let Some(first) = first {
            host.signal(first);
            until_said(&host, "heard");
        }
        host.signal(Signal::SIGKILL);
        until_said(&host, "saved");
        host.exit();
        host.until_gone("the guardian", guardian);
        assert_eq!(host.file("said"), "heard\nsaved\n", "{first:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_ends_when_all_that_is_called_like_the_supervisor_is_killed() {
    // As `pkill -9 -f` does, which kills every process whose command line has the word.
    let plan = Plan::new().server("--ignore-eof --grandchild");
    let word = format!("word-{}", std::process::id());
    let mut host = plan.options(&format!("--name {word}")).start();
    let family = Family::of(&host, &["grandchild"]);
    host.greet();
    host.until("the guardian has its name", || {
        process::called_with("mcp-sup-guard").contains(&host.guardian())
    });
    for pid in process::called_with(&word) {
        process::kill_hard(pid);
    }
    host.exit();
    family.until_gone(&host);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_was_started_after_the_end_of_the_guardian_ends_with_the_supervisor() {
    let mut host = Plan::new().tireless().server("--ignore-eof").start();
    host.greet();
    let guardian = host.guardian();
    process::kill_hard(guardian);
    host.until_gone("the guardian", guardian);
    process::kill_hard(host.server(1));
    let server = host.server(2);
    host.ask(1, "echo", &json!({"text": "a"}));
    host.signal(Signal::SIGKILL);
    host.exit();
    host.until_gone("the server", server);
}

#[test]
fn last_answers_and_last_words_arrive() {
    for way in WAYS {
        // A signal reaches the server at once, and a server that heeds it does not finish.
        let stays = if matches!(way, Way::Sent(_)) { "--ignore-term" } else { "" };
        let mut host = Plan::new().server("--drain --last-words bye").server(stays).start();
        host.greet();
        let server = host.server(1);
        host.send(call(1, "slow", &json!({"ms": 100})));
        host.send(call(2, "big", &json!({"bytes": 300_000})));
        host.until_heard(server, "\"id\":2");
        way.take(&mut host);
        assert_eq!(host.exit(), 0, "{way:?}");
        if way != Way::NoReader {
            assert_eq!(text_of(&host.answer(1)), "slept 100 ms", "{way:?}");
            host.answer(2);
            host.all_lines();
        }
        assert!(host.all_stderr().ends_with("bye\n"), "{way:?}: {}", host.stderr());
    }
}

#[test]
fn what_cannot_be_answered_any_more_gets_guidance() {
    for way in [Way::EndOfInput, Way::Sent(Signal::SIGTERM)] {
        let mut host = Plan::new().options("--hold 100ms").start();
        host.greet();
        host.send(call(1, "hang", &json!({})));
        host.until_heard(host.server(1), "\"id\":1");
        way.take(&mut host);
        assert_eq!(host.exit(), 0, "{way:?}");
        let told = guidance(&host.answer(1)).expect("the server never answers");
        assert_eq!((&told["status"], &told["outcome"]), (&json!("server_restarted"), &json!("unknown")));
        host.all_lines();
    }
}

#[test]
fn a_pipeline_prints_its_answers() {
    let mut host = Plan::new().start();
    let lines = [
        message::initialize("2025-06-18"),
        message::INITIALIZED.to_owned(),
        call(1, "slow", &json!({"ms": 200})),
        call(2, "echo", &json!({"text": "a"})),
    ];
    host.send_raw(lines.join("\n").as_bytes());
    assert_eq!(host.finish(), 0);
    assert_eq!(host.lines().len(), 3);
    assert_eq!(text_of(&host.answer(1)), "slept 200 ms");
    // The last request had no line feed.
    assert_eq!(text_of(&host.answer(2)), "a");
}

#[test]
fn half_a_request_is_not_answered() {
    let mut host = Plan::new().start();
    host.greet();
    host.send(call(1, "echo", &json!({"text": "a"})));
    host.send_raw(br#"{"jsonrpc":"2.0","id":2,"method":"tools/call","par"#);
    assert_eq!(host.finish(), 0);
    assert_eq!((host.answers(1), host.answers(2), host.lines().len()), (1, 0, 2));
}

#[test]
fn the_exit_code_is_the_servers() {
    for (server, expected) in
        [("--eof-code 0", 0), ("--eof-code 7", 7), ("--eof-code 255", 255), ("--eof-code 75", 75)]
    {
        let mut host = Plan::new().server(server).start();
        host.greet();
        assert_eq!(host.finish(), expected, "{server}");
    }
    // A signal of our ladder is no failure, one of somebody else's is.
    let mut host = Plan::new().options("--max-restarts 0").start();
    host.greet();
    process::kill_hard(host.server(1));
    host.stderr_line_with("the server is not available");
    assert_eq!(host.finish(), 128 + 9);
}

#[test]
fn a_crash_and_the_end_of_input_may_come_together() {
    let mut host = Plan::new().tireless().start();
    host.greet();
    host.list();
    host.send(call(1, "slow-safe", &json!({"ms": 100})));
    host.send(call(2, "hang", &json!({})));
    host.until_heard(host.server(1), "\"id\":2");
    process::kill_hard(host.server(1));
    assert_eq!(host.finish(), 0);
    assert_eq!(text_of(&host.answer(1)), "slept 100 ms");
    assert!(guidance(&host.answer(2)).is_some());

    let mut host = Plan::new().tireless().start();
    host.greet();
    process::kill_hard(host.server(1));
    host.close_stdin();
    let code = host.exit();
    assert!(code == 0 || code == 128 + 9, "{code}");
    host.all_lines();
    for server in host.servers() {
        host.until_gone("the server", server);
    }
}

#[test]
fn a_host_that_leaves_before_it_has_said_anything_leaves_nothing() {
    let mut host = Plan::new().server("--slow-start 100 --grandchild").start();
    let family = Family::of(&host, &["grandchild"]);
    assert_eq!(host.finish(), 0);
    host.until_gone("the server", family.pid("the server"));
    assert_eq!(host.lines(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_reader_that_is_lost_in_the_middle_of_an_answer_ends_it() {
    for kind in [Kind::Pipe, Kind::Socket] {
        let mut host = stubborn().on(&kind).start();
        let family = Family::of(&host, &["grandchild", "helper"]);
        host.greet();
        host.stop_reading();
        for id in 0..8 {
            host.send(call(id, "big", &json!({"bytes": 1 << 20})));
        }
        let server = family.pid("the server");
        host.until("the server cannot write", || process::writes_in_vain(server).unwrap_or(true));
        host.stop_listening();
        assert_eq!(host.exit(), 0, "{kind:?}");
        family.until_gone(&host);
    }
}

#[test]
fn an_answer_that_is_not_read_in_time_is_told_and_is_no_success() {
    for way in [Way::EndOfInput, Way::Sent(Signal::SIGTERM)] {
        let mut host = Plan::new().options("--hold 100ms --stop-grace 100ms --term-grace 100ms").start();
        host.greet();
        host.stop_reading();
        for id in 0..8 {
            host.send(call(id, "big", &json!({"bytes": 1 << 20})));
        }
        let server = host.server(1);
        // A pipe holds 64 KiB.
        host.until("the host's pipe is full, and the server cannot write", || {
            process::unread_output(host.pid()).is_none_or(|bytes| bytes > 60_000)
                && process::writes_in_vain(server).unwrap_or(true)
        });
        way.take(&mut host);
        assert_eq!(host.exit(), 88, "{way:?}");
        let told = host.all_stderr();
        assert!(told.contains("failed to write to stdout: it was not read in time"), "{way:?}: {told}");
    }
}

#[test]
fn a_hangup_that_is_to_be_ignored_is_ignored() {
    let mut host = Plan::new().nohup().start();
    host.greet();
    host.signal(Signal::SIGHUP);
    let answer = host.ask(1, "echo", &json!({"text": "still here"}));
    assert_eq!(answer["result"]["content"][0]["text"], "still here", "{answer}");
    host.close_stdin();
    assert_eq!(host.exit(), 0);
}
