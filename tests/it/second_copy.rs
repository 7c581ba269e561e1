//! Two supervisors of one command at once, as hosts start them: they share nothing that only one of them can have.
//!
//! What they keep on disk together is shown in `kept`.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::outside::status;
use crate::support::{Host, Plan, guidance, process, text_of};

#[test]
fn two_of_one_command_live_and_die_without_each_other() {
    // One folder for what is kept, and one command line.
    let plan = Plan::new().tireless();
    let (mut one, mut other) = (plan.clone().start(), plan.start());
    one.greet();
    other.greet();
    let (list, same) = (one.list(), other.list());
    assert_eq!(list["result"]["tools"], same["result"]["tools"]);
    // Both servers write the same records: each host asks for its own.
    let (mine, theirs) = (one.state(1)["pid"].clone(), other.state(1)["pid"].clone());
    assert_ne!(mine, theirs);
    // A server of one dies: the other hears nothing of it.
    let told = guidance(&one.ask(2, "crash", &json!({}))).expect("it died of this");
    assert_eq!(told["status"], "server_restarted", "{told}");
    assert_eq!(one.state(3)["generation"], 3, "the two and the new one count together");
    assert_eq!(other.state(2)["pid"], theirs);
    // One is killed, with all that is its own: the other goes on.
    one.signal(Signal::SIGKILL);
    one.exit();
    for server in [mine, one.server(3).into()] {
        one.until_gone("its server", i32::try_from(server.as_i64().unwrap()).unwrap());
    }
    assert_eq!(other.state(3)["pid"], theirs);
    assert_eq!(text_of(&other.ask(4, "echo", &json!({"text": "still here"}))), "still here");
    assert_eq!(other.finish(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_supervisor_takes_no_port() {
    let mut host = Plan::new().tireless().start();
    host.greet();
    host.list();
    process::kill_hard(host.server(1));
    host.state(1);
    // On pipes it has no sockets that are its host's. What the runtime needs is a pair, and no network knows it.
    let mine = process::sockets(host.pid());
    let networks = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"];
    let taken = networks.map(|network| (network, process::inodes(host.pid(), network)));
    for (network, taken) in taken {
        let ours: Vec<_> = taken.iter().filter(|inode| mine.contains(inode)).collect();
        assert!(ours.is_empty(), "{network}: {ours:?}");
    }
    assert_eq!(host.finish(), 0);
}

/// A user has few of what the system watches files with, 128 on most systems, and all programs share them.
#[cfg(target_os = "linux")]
#[test]
fn ten_at_once_watch_nothing_with_the_system() {
    fn watchers(host: &Host) -> usize {
        let open = process::descriptors(host.pid());
        assert!(open.len() > 3, "what it has open is not told: {open:?}");
        open.iter().filter(|(_, what)| what.as_os_str() == "anon_inode:inotify").count()
    }
    let plan = Plan::new();
    let mut hosts: Vec<Host> = (0..10).map(|_| plan.clone().start()).collect();
    for host in &mut hosts {
        host.greet();
        host.list();
    }
    hosts[0].until("all of them are up", || {
        let found = status(&plan);
        found["running"].as_array().is_some_and(|all| {
            all.len() == 10 && all.iter().all(|it| it["answering"] == true && it["phase"] == "serving")
        })
    });
    // Watches are put off until a server has had the time to start. One that has some, and was started last, has them last.
    let watched = plan.path("watched").display().to_string();
    let mut last = plan.clone().options(&format!("--log debug --watch {watched}")).start();
    last.greet();
    last.stderr_line_with("watching for changes");
    assert_eq!(watchers(&last), 1);
    assert_eq!(hosts.iter().map(watchers).collect::<Vec<_>>(), [0; 10]);
    // The end of one of them is the end of all their servers: they have one list of these.
    for host in hosts.iter_mut().chain([&mut last]) {
        assert_eq!(host.finish(), 0);
    }
}
