//! A host that runs on a terminal, as Claude Code does, and servers that use a terminal: they get one without a person.

#![cfg(target_os = "linux")]

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Host, Plan, process};

/// A supervisor at a terminal, whose server is started by this script.
fn at_terminal(script: &str) -> Plan {
    Plan::new().at_terminal().options("--stop-grace 50ms --term-grace 50ms").script(script)
}

/// Greets the first server, which therefore was neither stopped nor has taken the greeting for a line that was typed.
fn greet(host: &mut Host) -> i32 {
    host.greet();
    let answer = host.ask(1, "echo", &json!({"text": "here"}));
    assert_eq!(answer["result"]["content"][0]["text"], "here", "{answer}");
    assert_eq!(host.servers().len(), 1);
    host.server(1)
}

/// Undoes what a shell, Node or the supervisor may have set: a process with these actions is stopped when it uses a
/// terminal in the background.
const DEFAULTS: &str = "exec python3 -c 'import os, signal, sys
for stop in signal.SIGTTIN, signal.SIGTTOU: signal.signal(stop, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' sh -c";

#[test]
fn a_server_that_asks_for_a_passphrase_gets_none_and_is_greeted() {
    let ask = "import getpass
try: print(repr(getpass.getpass()))
except EOFError: print(\"no passphrase\")";
    for times in 1..=3 {
        let asks = format!("python3 -c '{ask}' >&2; ").repeat(times);
        let mut host = at_terminal(&format!("{asks} exec \"$@\"")).start();
        greet(&mut host);
        host.stderr_lines_with("no passphrase", times);
        assert_eq!(host.finish(), 0);
    }
}

#[test]
fn a_read_from_the_terminal_ends_at_once_each_time() {
    let reads = "cat /dev/tty; cat /dev/tty; read line </dev/tty || echo nothing >&2; head -c 1 </dev/tty; ";
    let mut host = at_terminal(&format!("{reads} echo asked >&2; exec \"$@\"")).start();
    let began = process::Since::now();
    host.stderr_line("nothing");
    host.stderr_line("asked");
    // Looks at intervals alone would take far longer.
    assert!(began.elapsed() < process::WATCHDOG / 3);
    greet(&mut host);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_server_may_change_the_mode_of_the_terminal() {
    let script = format!("{DEFAULTS} 'stty -F /dev/tty -echo && echo no echo >&2; exec \"$@\"' sh \"$@\"");
    let mut host = at_terminal(&script).start();
    greet(&mut host);
    host.stderr_line("no echo");
    assert_eq!(host.finish(), 0);
}

#[test]
fn an_interactive_shell_is_a_tool_or_the_command_itself() {
    // Two at once: only one of them can have the foreground.
    let tools = "bash -ic 'sleep 0.5; echo one >&2' & bash -ic 'echo two >&2'; wait; ";
    let script = format!("{DEFAULTS} '{} exec \"$@\"' sh \"$@\"", tools.replace('\'', "'\\''"));
    let mut host = at_terminal(&script).start();
    host.stderr_line("one");
    host.stderr_line("two");
    greet(&mut host);
    assert_eq!(host.finish(), 0);

    let plan = Plan::new().at_terminal();
    let shell = ["env", "X=1", "bash", "-ic", "exec \"$@\"", "bash"].map(Into::into);
    let words: Vec<_> = shell.into_iter().chain(plan.fixture()).collect();
    let mut host = plan.command(words).start();
    greet(&mut host);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_command_may_begin_a_session() {
    let plan = Plan::new().at_terminal();
    let words: Vec<_> = ["setsid".into()].into_iter().chain(plan.fixture()).collect();
    let mut host = plan.command(words).start();
    let server = greet(&mut host);
    let name = process::children(host.pid(), "fixture-server");
    assert_eq!(name, [server], "setsid did not fork");
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_server_gets_no_descriptor_of_its_terminal() {
    let mut host = Plan::new().at_terminal().start();
    let server = host.server(1);
    let keeper = host.keeper();
    let is_terminal = |pid: i32| {
        let open = process::descriptors(pid);
        open.iter().any(|(_, file)| file.starts_with("/dev/pts") || file.ends_with("ptmx"))
    };
    assert!(is_terminal(keeper));
    assert!(!is_terminal(server) && !is_terminal(host.pid()));
    host.until("the keeper holds nothing else", || process::descriptors(keeper).len() == 5);
    greet(&mut host);
    host.until("the keeper waits for its end only", || process::descriptors(keeper).len() == 1);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_server_that_serves_has_no_terminal_any_more() {
    // The first opens a terminal from a group of its own; the second has it open before.
    let asks = "import os, time
while True:
    try: os.close(os.open(\"/dev/tty\", os.O_RDWR)); time.sleep(0.02)
    except OSError: break
print(\"no terminal\")";
    let script = format!(
        "set -m; python3 -c '{asks}' >&2 & set +m
        ( exec 3<>/dev/tty; while read -r line <&3 || [ -c /dev/tty ] && true 2>/dev/null </dev/tty; do sleep 0.02; done
          echo 'nothing to read' >&2 ) &
        exec \"$@\""
    );
    let mut host = at_terminal(&script).start();
    greet(&mut host);
    host.stderr_line("no terminal");
    host.stderr_line("nothing to read");
    assert_eq!(host.finish(), 0);
}

#[test]
fn nothing_is_left_of_a_server_with_a_terminal() {
    // An interactive shell puts each of its jobs into a group of its own.
    let script =
        "exec bash -ic 'sleep 1000 >/dev/null 2>&1 & echo \"helper $!\" >&2; exec \"$@\"' bash \"$@\"";
    for sent in [None, Some(Signal::SIGTERM), Some(Signal::SIGKILL)] {
        let mut host = at_terminal(script).server("--ignore-eof --ignore-term --grandchild").start();
        let server = greet(&mut host);
        let (helper, grandchild) = (host.stderr_line("helper "), host.stderr_line("grandchild "));
        let (guardian, keeper) = (host.guardian(), host.keeper());
        match sent {
            Some(signal) => host.signal(signal),
            None => host.close_stdin(),
        }
        host.exit();
        for (name, pid) in [("the server", server), ("the guardian", guardian), ("the keeper", keeper)] {
            host.until_gone(name, pid);
        }
        for (name, pid) in [("the helper", helper), ("the grandchild", grandchild)] {
            host.until_gone(name, pid.parse().expect("a process id"));
        }
    }
}

#[test]
fn the_keeper_of_a_server_that_crashed_is_gone_and_reaped() {
    let mut host = Plan::new().at_terminal().tireless().start();
    let server = greet(&mut host);
    let keeper = host.keeper();
    process::kill_hard(server);
    host.server(2);
    host.until("it is reaped", || !std::path::Path::new(&format!("/proc/{keeper}")).exists());
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_terminal_does_not_shorten_the_grace() {
    // Each would write what it hears, also that the terminal hangs up.
    for sent in [Signal::SIGTERM, Signal::SIGKILL] {
        let plan = Plan::new().at_terminal();
        let said = plan.path("said").display().to_string();
        let script = format!(
            "trap \"\" PIPE; say() {{ echo \"$1\" >> '{said}'; }}; trap 'say hangup' HUP
            ( trap 'say helper; sleep 0.6; say saved; exit 0' TERM; say ready; while :; do sleep 0.02; done ) &
            trap 'say leader; exit 0' TERM; while :; do sleep 0.02; done"
        );
        let mut host = plan.command(["sh", "-c", &script]).start();
        host.until("it is ready", || host.file("said") == "ready\n");
        let keeper = host.keeper();
        host.signal(sent);
        host.until("it has saved", || host.file("said") == "ready\nleader\nhelper\nsaved\n");
        host.exit();
        host.until_gone("the keeper", keeper);
    }
}
