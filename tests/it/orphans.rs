//! Processes whose parent is gone: those that the supervisor inherits, and the supervisor itself.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::outside::{over, running};
use crate::support::process::{self, children, eventually};
use crate::support::{Host, Kind, Plan, call, guidance, text_of};

/// As process 1 of a namespace, by the right of the superuser or by that of a user in a namespace of their own.
const NAMESPACES: [&[&str]; 2] = [
    &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"],
    &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"],
];

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it lives");
}

/// Leaves three orphans that wait for a file, and then becomes the server.
const LEAVES_ORPHANS: &str = r#"go=$1; shift
for _ in 1 2 3; do ( (until [ -e "$go" ]; do sleep 0.01; done) & ); done
exec "$@""#;

/// The ways to inherit orphans that this system allows. The last needs no right, so there is always one.
fn heirs(plan: &Plan) -> Vec<Plan> {
    let allowed = |words: &&&[&str]| {
        #[expect(clippy::disallowed_methods, reason = "a trial")]
        let mut trial = Command::new(words[0]);
        let trial = trial.args(&words[1..]).arg("true").stderr(Stdio::null()).status();
        trial.is_ok_and(|status| status.success())
    };
    let first = NAMESPACES.iter().find(allowed).map(|words| plan.clone().by(*words));
    first.into_iter().chain([plan.clone().heir()]).collect()
}

#[test]
fn orphans_that_the_supervisor_inherits_are_no_zombies_and_its_own_children_are_still_its_own() {
    let plan = Plan::new();
    let go = plan.path("go");
    let words = plan.fixture();
    let script = ["sh".into(), "-c".into(), LEAVES_ORPHANS.into(), "sh".into(), go.clone().into_os_string()];
    let plan = plan.command(script.into_iter().chain(words)).tireless();
    for plan in heirs(&plan) {
        let mut host = plan.start();
        host.greet();
        // In a namespace it is the only child of what has made that, and elsewhere it is our own.
        let supervisor = children(host.pid(), "mcp-supervise").first().copied().unwrap_or(host.pid());
        let orphans = || children(supervisor, "sh");
        host.until("it has inherited the orphans", || orphans().len() == 3);
        fs::write(&go, "").expect("the folder is ours");
        host.until("none of them is left", || orphans().is_empty());
        // The exit of its own child is not collected as an orphan's.
        host.send(call("hang", "hang", &json!({})));
        host.until("the call was read", || host.file("log").contains("\"hang\""));
        let server = children(supervisor, "fixture-server");
        assert_eq!(server.len(), 1, "{server:?}");
        // Of its end and of the signal that tells of ends, it hears at once.
        signal(supervisor, Signal::SIGSTOP);
        host.until("it is stopped", || process::is_stopped(supervisor));
        process::kill_hard(server[0]);
        host.until_gone("the server", server[0]);
        signal(supervisor, Signal::SIGCONT);
        let told = guidance(&host.answer("hang")).expect("no server can answer it");
        assert_eq!(told["exit"], "signal 9", "{told}");
        assert_eq!(text_of(&host.ask("after", "echo", &json!({"text": "a"}))), "a");
        assert_eq!(host.finish(), 0);
        for file in [&go, &host.path("log")] {
            fs::remove_file(file).expect("it was made");
        }
    }
}

/// Tells the supervisor's process id in a file, and waits for its end, which it does not outlive.
const LAUNCHER: &str = r#"exec 3<&0; "$@" <&3 3<&- & echo $! > "$0.new"; mv "$0.new" "$0"; exec 3<&-; wait"#;

/// A supervisor that another process than the test has started.
struct Launched {
    host: Host,
    supervisor: i32,
}

impl Launched {
    fn start(plan: Plan) -> Self {
        let file = plan.path("supervisor");
        let launcher = ["sh".into(), "-c".into(), LAUNCHER.into(), file.into_os_string()];
        let host = plan.by(launcher).start();
        let told = eventually(|| host.file("supervisor").trim_end().parse().ok());
        let supervisor = told.unwrap_or_else(|| host.fail("the launcher has started nothing"));
        Self { host, supervisor }
    }

    /// The process that has started the supervisor is gone.
    fn orphan(&mut self) {
        process::kill_hard(self.host.pid());
        assert_eq!(self.host.exit(), 128 + 9);
    }
}

/// A process that was started after the supervisor, and holds the writing end of its stdin.
struct Sibling(Child);

impl Sibling {
    fn of(host: &Host) -> Self {
        let end = host.stdin().try_clone().expect("it is open");
        #[expect(clippy::disallowed_methods, reason = "it only holds the pipe")]
        let mut command = Command::new("sleep");
        let sibling = command.arg("600").stdin(Stdio::null()).stdout(end).spawn();
        Self(sibling.expect("there is such a command"))
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_host_that_is_gone_is_noticed_though_a_sibling_holds_its_pipes() {
    let plan = Plan::new();
    let mut launched = Launched::start(plan.clone());
    let host = &mut launched.host;
    host.greet();
    running(&plan, host, "serving");
    host.send(call("hang", "hang", &json!({})));
    let server = host.server(1);
    host.until_heard(server, "\"hang\"");
    let _sibling = Sibling::of(host);
    // From here on only the sibling could write.
    host.close_stdin();
    launched.orphan();
    let (host, supervisor) = (&launched.host, launched.supervisor);
    // Nothing is owed: the call does not hold the end up.
    let told = guidance(&host.answer("hang")).expect("the server never answers");
    assert_eq!(
        (&told["status"], &told["outcome"]),
        (&json!("server_restarted"), &json!("unknown")),
        "{told}"
    );
    host.until_gone("the supervisor", supervisor);
    host.until_gone("the server", server);
    host.all_lines();
    let [row] = &over(&plan)[..] else { host.fail("one session is over") };
    assert_eq!(row["close_reason"], "host_gone", "{row}");
}

#[test]
fn a_launcher_that_is_gone_is_no_end_while_its_host_lives() {
    for kind in [Kind::Pipe, Kind::Socket] {
        let plan = Plan::new().on(&kind);
        let mut launched = Launched::start(plan.clone());
        launched.host.greet();
        running(&plan, &launched.host, "serving");
        let _sibling = Sibling::of(&launched.host);
        launched.orphan();
        let (host, supervisor) = (&mut launched.host, launched.supervisor);
        for number in 0..50 {
            assert_eq!(text_of(&host.ask(number, "echo", &json!({"text": "a"}))), "a", "{kind:?}");
        }
        let order = crate::support::outside::ours(&plan, &["stop", "fixture-server"]);
        assert_eq!(order.0, 0, "{kind:?}: {order:?}");
        host.until_gone("the supervisor", supervisor);
        let [row] = &over(&plan)[..] else { host.fail("one session is over") };
        assert_eq!(row["close_reason"], "asked", "{kind:?}: {row}");
    }
}
