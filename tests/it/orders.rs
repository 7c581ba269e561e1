//! `restart` and `stop`, and who may ask on the control socket.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::outside::{ours, over, running, until_status};
use crate::support::process::eventually;
use crate::support::{Host, Plan, call, join, text_of};

/// The socket of the only supervisor.
fn socket(host: &Host) -> PathBuf {
    let found = eventually(|| {
        let entries = fs::read_dir(host.path("run")).ok()?;
        entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|end| end == "sock"))
    });
    found.unwrap_or_else(|| host.fail("there is no socket"))
}

/// What is answered to these bytes, to the end of the connection.
fn answer(host: &Host, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket(host)).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(host: &Host, method: &str, path: &str) -> String {
    answer(host, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
}

/// A host whose first server, the second result, works on the call of this id until the file appears.
fn busy(plan: &Plan, id: &str) -> (Host, i32, PathBuf) {
    let mut host = plan.clone().start();
    host.greet();
    host.list();
    let first = host.server(1);
    // Its socket is opened beside everything else, and may be later than its first answers.
    running(plan, &host, "serving");
    let until = plan.path("until");
    host.send(call(id, "compute", &json!({"until": until})));
    host.until_heard(first, &format!("\"{id}\""));
    (host, first, until)
}

/// Gives an order and goes on, for it waits for what comes of it.
fn order(plan: &Plan, words: &'static [&'static str]) -> JoinHandle<(i32, String, String)> {
    let plan = plan.clone();
    thread::spawn(move || ours(&plan, words))
}

#[test]
fn a_restart_lets_calls_finish_and_the_host_notices_nothing() {
    let plan = Plan::new();
    let (mut host, first, until) = busy(&plan, "slow");
    let ordered = order(&plan, &["restart", "fixture-server"]);
    running(&plan, &host, "draining");
    assert!(!ordered.is_finished(), "it waits for the outcome");
    fs::write(&until, "").expect("it can be made");
    let slow = host.answer("slow");
    assert!(slow.get("result").is_some(), "{slow}");
    let second = host.server(2);
    let (code, told, stderr) = join(ordered);
    assert_eq!((code, &*stderr), (0, ""));
    let serves = told.starts_with("fixture-server serves again after ");
    assert!(serves && told.ends_with(&format!(" s, as process {second}\n")), "{told}");
    host.until_gone("the first server", first);
    host.ask("after", "pid", &json!({}));
    assert_ne!(first, second);
    let row = running(&plan, &host, "serving");
    assert_eq!(row["restarts"], 1, "{row}");
    assert_eq!(host.finish(), 0);
    let stderr = host.all_stderr();
    assert!(!stderr.contains("WARN"), "an order is no trouble: {stderr}");
}

#[test]
fn a_restart_brings_back_a_server_that_has_been_given_up() {
    let plan = Plan::new().options("--max-restarts 0").server("--die-on-start --exit-code 3");
    let mut host = plan.clone().start();
    host.greet();
    running(&plan, &host, "degraded");
    let before = host.servers().len();
    let (code, told, stderr) = ours(&plan, &["restart", "fixture-server"]);
    host.server(before + 1);
    assert_eq!((code, &*told), (73, ""), "{stderr}");
    let words = "`fixture-server` was started anew, and is not available: exited with code 3\nhint: ";
    assert!(stderr.contains(words), "{stderr}");
    host.finish();
}

#[test]
fn a_restart_of_a_server_to_which_no_host_has_spoken_is_done_when_it_runs() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.server(1);
    running(&plan, &host, "starting");
    let (code, told, stderr) = ours(&plan, &["restart", "fixture-server"]);
    assert_eq!((code, &*stderr), (0, ""));
    let second = host.server(2);
    assert!(told.contains(&format!("as process {second}; it serves when its host asks it")), "{told}");
    host.finish();
}

#[test]
fn a_server_that_ends_before_it_was_started_anew_is_told_to_have_ended() {
    let plan = Plan::new();
    let (mut host, _, until) = busy(&plan, "slow");
    let ordered = order(&plan, &["restart", "fixture-server"]);
    running(&plan, &host, "draining");
    host.signal(nix::sys::signal::Signal::SIGTERM);
    fs::write(&until, "").expect("it can be made");
    host.exit();
    let (code, told, stderr) = join(ordered);
    assert_eq!((code, &*told), (72, ""), "{stderr}");
    assert!(stderr.contains("has just ended") && stderr.contains("hint:"), "{stderr}");
}

#[test]
fn names_and_ids_that_fit_nothing_or_too_much_are_told_with_what_would() {
    let plan = Plan::new();
    let none = ours(&plan, &["restart", "notes"]);
    assert_eq!((none.0, &*none.1), (71, ""), "{none:?}");
    assert!(none.2.contains("`notes`") && none.2.contains("hint: `mcp-supervise status`"), "{}", none.2);

    let named = plan.clone().options("--name notes");
    let (mut one, mut other) = (named.clone().start(), named.start());
    one.greet();
    other.greet();
    let ids = until_status(&plan, &one, "both", |status| {
        let running = status["running"].as_array()?;
        let ids: Vec<String> =
            running.iter().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect();
        (ids.len() == 2).then_some(ids)
    });
    let several = ours(&plan, &["stop", "notes"]);
    assert_eq!((several.0, &*several.1), (70, ""), "{several:?}");
    for id in &ids {
        assert!(several.2.contains(&id[id.len() - 8..]), "{}", several.2);
    }
    let by_end = ours(&plan, &["stop", &ids[0][ids[0].len() - 8..]]);
    assert!(by_end.0 == 0 && by_end.1.starts_with("notes has ended after "), "{by_end:?}");
    let whole = ours(&plan, &["stop", &ids[1]]);
    assert!(whole.0 == 0 && whole.1.starts_with("notes has ended after "), "{whole:?}");
    assert_eq!((one.exit(), other.exit()), (0, 0));
    let gone = ours(&plan, &["restart", "notes"]);
    assert_eq!((gone.0, &*gone.1), (72, ""), "{gone:?}");
    assert!(gone.2.contains("has ended") && gone.2.contains("hint:"), "{}", gone.2);
    assert!(over(&plan).iter().all(|row| row["close_reason"] == "asked"));
}

#[test]
fn a_restart_now_lets_calls_finish_and_then_waits_for_no_end_of_the_server_itself() {
    // It does not end with its input, and without a hurry it would have longer for that than this test waits.
    let plan = Plan::new().server_with("--first", "--ignore-eof").options("--stop-grace 10m");
    let (mut host, first, until) = busy(&plan, "old");
    let ordered = order(&plan, &["restart", "--now", "fixture-server"]);
    running(&plan, &host, "draining");
    // What is new waits for the next server.
    host.send(call("new", "pid", &json!({})));
    fs::write(&until, "").expect("it can be made");
    assert!(
        text_of(&host.answer("old")).starts_with("done after"),
        "the old server answers what it has begun"
    );
    let second = host.server(2);
    assert_eq!(text_of(&host.answer("new")).split(' ').next(), Some(&*second.to_string()));
    let told = join(ordered);
    assert!(told.0 == 0 && told.1.contains(&format!("as process {second}")) && told.2.is_empty(), "{told:?}");
    host.until_gone("the first server", first);
    assert!(!host.heard(first).iter().any(|line| line.contains("\"new\"")));
    let row = running(&plan, &host, "serving");
    assert_eq!((&row["restarts"], &row["server_pid"]), (&json!(1), &json!(second)), "{row}");
    assert_eq!(host.finish(), 0);
    let stderr = host.all_stderr();
    assert!(!stderr.contains("WARN"), "an order is no trouble: {stderr}");
}

/// Where its directory has been opened to others by hand, the socket still answers nobody else.
#[cfg(target_os = "linux")]
#[test]
fn another_user_is_turned_away_also_from_an_open_directory() {
    // Only the superuser can be somebody else.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    let socket = socket(&host);
    for open in [plan.path("."), plan.path("run"), socket.clone()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
    let ask = move || {
        let mut stream = UnixStream::connect(socket).expect("it may, in this directory");
        let _ = stream.write_all(b"POST /stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let nobody = std::thread::spawn(|| {
        let same: nix::libc::uid_t = u32::MAX;
        #[expect(unsafe_code, reason = "the library would change the whole process")]
        // SAFETY: the call itself, past the library's, is of this thread alone, which ends with it.
        let left = unsafe { nix::libc::syscall(nix::libc::SYS_setresuid, same, 65534, same) };
        assert_eq!(left, 0);
        ask()
    });
    assert_eq!(join(nobody), "");
    host.ask("still there", "pid", &json!({}));
    host.finish();
}

#[test]
fn a_name_from_a_config_does_nothing_to_a_terminal() {
    let odd = ['\u{202e}', '\u{9b}', '\u{61c}', '\u{2028}', '\u{e0041}'];
    let name = format!("n{}x", odd.iter().collect::<String>());
    let plan = Plan::new().options("--log info").variable("MCP_SUPERVISE_NAME", &name);
    let mut host = plan.clone().start();
    host.greet();
    let row = running(&plan, &host, "serving");
    let name = row["name"].as_str().expect("it is a text");
    let mut shown = Vec::new();
    for words in [vec!["status"], vec!["status", "--report"], vec!["restart", name], vec!["stop", name]] {
        let (code, told, stderr) = ours(&plan, &words);
        assert_eq!(code, 0, "{words:?}: {stderr}");
        shown.push(told);
    }
    host.exit();
    for words in [vec!["status"], vec!["status", "--report"], vec!["status", "--json"], vec!["restart", name]]
    {
        let (_, told, stderr) = ours(&plan, &words);
        shown.extend([told, stderr]);
    }
    shown.push(host.all_stderr());
    for text in shown {
        assert!(!text.contains(odd), "{text}");
    }
}

#[test]
fn of_two_of_one_name_none_is_chosen_because_the_other_hangs() {
    let plan = Plan::new().options("--name notes");
    let (mut one, mut other) = (plan.clone().start(), plan.clone().start());
    one.greet();
    other.greet();
    until_status(&plan, &one, "both", |status| {
        let (running, recorded) = (status["running"].as_array()?.len(), crate::record::rows(&plan).len());
        ((running, recorded) == (2, 2)).then_some(())
    });
    one.signal(nix::sys::signal::Signal::SIGSTOP);
    let told = ours(&plan, &["stop", "notes"]);
    one.signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!((told.0, &*told.1), (70, ""), "{told:?}");
    assert!(told.2.contains(&format!("process {}, does not answer", one.pid())), "{}", told.2);
    assert_eq!((one.finish(), other.finish()), (0, 0));
}

#[test]
fn one_that_runs_with_another_place_for_sockets_has_not_ended() {
    let plan = Plan::new();
    let elsewhere = plan.path("elsewhere");
    let plan = plan.options(&format!("--runtime-dir {}", elsewhere.display()));
    let mut host = plan.clone().start();
    host.greet();
    host.until("it is on disk", || !crate::record::rows(&plan).is_empty());
    let told = ours(&plan, &["restart", "fixture-server"]);
    assert_eq!((told.0, &*told.1), (73, ""), "{told:?}");
    assert!(told.2.contains("has no control socket in") && told.2.contains("--runtime-dir"), "{}", told.2);
    host.finish();
}

#[test]
fn the_socket_is_private_and_answers_what_it_knows_only() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    let socket = socket(&host);
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!((mode(&socket), mode(&host.path("run"))), (0o600, 0o700));
    let found = ask(&host, "GET", "/status");
    let body = found.split("\r\n\r\n").nth(1).expect("it has a body");
    let told: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {found}"));
    assert_eq!(told["session"]["name"], "fixture-server");
    for (method, path, code) in [
        ("GET", "/", "404"),
        ("GET", "/restart", "405"),
        ("POST", "/status", "405"),
        ("GET", "/../../etc/passwd", "404"),
    ] {
        let told = ask(&host, method, path);
        assert!(told.starts_with(&format!("HTTP/1.1 {code}")), "{method} {path}: {told}");
    }
    // Whatever comes in, the server goes on.
    answer(&host, b"\x00\xff garbage\r\n\r\n");
    answer(&host, &vec![b'x'; 1 << 20]);
    answer(&host, format!("GET /status HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100_000)).as_bytes());
    host.ask("still", "pid", &json!({}));
    assert_eq!(host.servers().len(), 1);
    host.finish();
}

#[test]
fn who_listens_and_does_not_read_holds_nobody_up() {
    let plan = Plan::new();
    let mut host = plan.clone().tireless().start();
    host.greet();
    host.list();
    let mut deaf = UnixStream::connect(socket(&host)).expect("somebody listens");
    deaf.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is taken");
    for number in 0..2000 {
        host.ask(number, "pid", &json!({}));
    }
    let row = running(&plan, &host, "serving");
    assert_eq!(row["tool_calls"], 2000, "{row}");
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_place_for_sockets_that_is_not_private_is_told_once_and_done_without() {
    let plan = Plan::new();
    let run = plan.path("run");
    fs::create_dir(&run).expect("it can be made");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut host = plan.clone().start();
    host.greet();
    host.stderr_line_with("others may look into it");
    host.ask("still", "pid", &json!({}));
    assert_eq!(host.finish(), 0);
    let stderr = host.all_stderr();
    assert_eq!(stderr.lines().filter(|line| line.contains("WARN")).count(), 1, "{stderr}");
    // Somebody else might have put sockets there, and is not asked.
    let (code, told, _) = ours(&plan, &["status"]);
    assert_eq!(code, 0);
    assert!(told.contains("warning: failed to look for sockets") && told.contains("hint:"), "{told}");
}

#[test]
fn what_is_watched_is_shown_anew_until_nobody_reads() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    let mut watch = crate::support::outside::command(&plan, &["status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("it has one")).lines();
    let mut next = || -> Value {
        serde_json::from_str(&lines.next().expect("it goes on").expect("it can be read")).expect("it is JSON")
    };
    next();
    host.ask("one more", "pid", &json!({}));
    loop {
        if next()["running"][0]["tool_calls"] == 1 {
            break;
        }
    }
    host.finish();
    loop {
        let told = next();
        if told["running"] == json!([]) && told["recent"][0]["close_reason"] == "host_eof" {
            break;
        }
    }
    let pid = nix::unistd::Pid::from_raw(watch.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
    assert_eq!(watch.wait().expect("it ends").code(), Some(0));
}
