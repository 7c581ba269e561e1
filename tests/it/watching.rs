//! Files that change: a server is restarted for them without the host's notice, and a degraded one is tried again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::plan::executable;
use crate::support::{Host, Plan, call, process, text_of};

/// A supervisor that tells when it watches, and has got so far.
fn watching(plan: Plan) -> Host {
    let host = plan.options("--log debug").start();
    host.stderr_line_with("watching for changes");
    host
}

/// A greeted server of which this path is watched.
fn watched(path: &str) -> Host {
    let plan = Plan::new();
    let option = format!("--watch {}", plan.path(path).display());
    let mut host = watching(plan.options(&option));
    host.greet();
    host.list();
    host
}

/// The host is served by this server, which was told everything, and has noticed nothing.
fn assert_served_by(host: &mut Host, generation: usize) {
    let server = host.server(generation);
    let state = host.state(format!("state-{generation}"));
    assert_eq!((&state["pid"], &state["complaints"]), (&json!(server), &json!([])));
    assert_eq!(state["client"]["name"], "h");
    assert_eq!(host.messages("notifications/tools/list_changed"), 0);
}

/// As an editor does that writes a new file and gives it the name of the old one.
fn save(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("the folder is ours");
    fs::rename(&new, path).expect("the folder is ours");
}

#[test]
fn several_writes_in_a_row_are_one_restart() {
    // On a machine so busy that there is a long pause between two of them, they are none in a row.
    while !are_one_restart() {}
}

/// Whether they were in a row at all.
fn are_one_restart() -> bool {
    let mut host = watched("build");
    let mut longest = Duration::ZERO;
    for part in 0..8 {
        fs::write(host.path("build"), vec![b'x'; part]).expect("the folder is ours");
        longest = longest.max(process::pause(Duration::from_millis(40)));
    }
    if longest > Duration::from_millis(250) {
        host.finish();
        return false;
    }
    assert_served_by(&mut host, 2);
    host.until_gone("the first server", host.server(1));
    assert_eq!(host.finish(), 0);
    assert_eq!(host.servers().len(), 2);
    let stderr = host.all_stderr();
    assert!(!stderr.contains(" WARN "), "{stderr}");
    assert_eq!(stderr.matches("watched files have changed").count(), 1, "{stderr}");
    true
}

#[test]
fn a_call_in_flight_is_finished_first_by_the_old_server() {
    let mut host = watched("build");
    let (first, ask) = (host.server(1), json!({"method": "roots/list"}));
    host.send(call("old", "ask", &ask));
    let asked = host.message("roots/list", 1);
    fs::write(host.path("build"), "new").unwrap();
    host.stderr_line_with("watched files have changed");
    // What is new waits for the next server.
    host.send(call("new", "pid", &json!({})));
    host.send(json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}}).to_string());
    assert_eq!(text_of(&host.answer("old")), "{\"roots\":[]}");
    let second = host.server(2);
    assert_eq!(text_of(&host.answer("new")).split(' ').next(), Some(&*second.to_string()));
    assert!(!host.heard(first).iter().any(|line| line.contains("\"new\"")));
    assert_served_by(&mut host, 2);
    host.finish();
}

#[test]
fn a_file_that_is_saved_by_a_rename_is_seen_each_time() {
    let mut host = watched("script");
    for generation in 2..=3 {
        save(&host.path("script"), &format!("version {generation}"));
        assert_served_by(&mut host, generation);
    }
    host.finish();
    assert_eq!(host.servers().len(), 3);
}

#[test]
fn what_is_not_there_yet_and_what_is_removed_is_seen() {
    let mut host = watched("later/deep");
    let folder = host.path("later/deep");
    fs::create_dir_all(&folder).unwrap();
    assert_served_by(&mut host, 2);
    let file = folder.join("file");
    fs::write(&file, "new").unwrap();
    assert_served_by(&mut host, 3);
    fs::remove_file(&file).unwrap();
    assert_served_by(&mut host, 4);
    host.finish();
    assert_eq!(host.servers().len(), 4);
}

#[test]
fn a_degraded_server_is_tried_at_once_when_its_executable_is_replaced() {
    let plan = Plan::new();
    let command = plan.path("server");
    executable(&command, "#!/bin/sh\nexit 3\n");
    let words: Vec<_> = [command.clone().into_os_string()].into_iter().chain(plan.fixture()).collect();
    // No call comes: nothing else than the file brings it back before a minute is over.
    let mut host = watching(plan.command(words).options("--max-restarts 0"));
    host.stderr_line_with("the server is not available");
    let new = command.with_extension("new");
    executable(&new, "#!/bin/sh\nexec \"$@\"\n");
    fs::rename(&new, &command).unwrap();
    let server = host.server(1);
    host.greet();
    assert_eq!(host.state(1)["pid"], server);

    // While it serves, the same is only noted, once more.
    executable(&new, "#!/bin/sh\nexit 3\n");
    fs::rename(&new, &command).unwrap();
    host.stderr_lines_with("the server's executable has changed", 2);
    assert_eq!(host.state(2)["pid"], server);
    assert_eq!(host.finish(), 0);
    assert_eq!(host.servers(), [server]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_executable_that_is_being_written_is_waited_for_and_not_counted() {
    let plan = Plan::new();
    let command = plan.path("server");
    executable(&command, "#!/bin/sh\nexec \"$@\"\n");
    let writer = fs::File::options().append(true).open(&command).unwrap();
    let words: Vec<_> = [command.into_os_string()].into_iter().chain(plan.fixture()).collect();
    let mut host = plan.command(words).options("--max-restarts 0").start();
    host.stderr_line_with("Text file busy");
    drop(writer);
    let server = host.server(1);
    host.greet();
    assert_eq!(host.state(1)["pid"], server);
    // The only crash that may be counted here is one too many.
    assert_eq!(host.finish(), 0);
    assert!(!host.all_stderr().contains("the server is not available"));
}
