//! What is told of sessions later and from elsewhere: counts, events, ends of every kind, and a record that cannot be kept.

mod faults;

use std::fs;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::outside::{ours, over, running, status, until_status};
use crate::support::plan::fixture;
use crate::support::{Plan, join};

fn slay(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
}

/// The events of the only session, as kinds and texts.
fn events(plan: &Plan) -> Vec<(String, String)> {
    let db = Connection::open(plan.path("data").join("sessions.db")).expect("it is there");
    let mut select = db.prepare("SELECT kind, text FROM events ORDER BY number").expect("it has events");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("they can be read");
    rows.map(|row| row.expect("it is one")).collect()
}

fn kinds(plan: &Plan) -> Vec<String> {
    events(plan).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn what_a_session_has_done_is_told_while_it_runs_and_after_it() {
    let plan = Plan::new().options("--name notes");
    let mut host = plan.clone().start();
    host.greet();
    host.list();
    for number in 0..5 {
        host.ask(number, "pid", &json!({}));
    }
    host.send(r#"{"jsonrpc":"2.0","id":"no","method":"no/such/method"}"#);
    host.answer("no");
    let row = running(&plan, &host, "serving");
    let expected = json!({
        "name": "notes", "transport": "stdio", "client_name": "h", "protocol_version": "2025-06-18",
        "server_name": "fixture-server", "pid": host.pid(), "tool_calls": 5, "requests": 8, "errors": 1,
        "guidance_answers": 0, "restarts": 0, "token_state": "none", "closed_at": null, "close_reason": null,
        "server_pid": host.server(1),
    });
    for (column, value) in expected.as_object().expect("it is one") {
        assert_eq!(row[column], *value, "{column} in {row}");
    }
    assert!(
        row["bytes_to_host"].as_u64() > Some(500) && row["bytes_to_server"].as_u64() > Some(500),
        "{row}"
    );
    assert!(row["last_active"].as_i64() >= row["created_at"].as_i64(), "{row}");

    assert_eq!(host.finish(), 0);
    assert!(fs::read_dir(host.path("run")).expect("it was made").next().is_none(), "a socket is left");
    let [row] = &over(&plan)[..] else { panic!("one is over") };
    assert_eq!((&row["tool_calls"], &row["close_reason"]), (&json!(5), &json!("host_eof")), "{row}");
    assert_eq!(kinds(&plan), ["started", "greeted", "stopped"]);
    assert!(host.all_stderr().lines().all(|line| !line.contains("WARN")), "{}", host.stderr());
}

#[test]
fn crashes_and_restarts_are_remembered_in_words() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    slay(host.server(1));
    host.server(2);
    host.ask("again", "pid", &json!({}));
    let row = running(&plan, &host, "serving");
    assert_eq!(row["restarts"], 1, "{row}");
    assert_eq!(row["recovery"]["count"], 1, "{row}");
    host.finish();
    let told = events(&plan);
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["started", "greeted", "crashed", "restarted", "greeted", "stopped"]);
    assert_eq!(told[2].1, "killed by signal 9 (SIGKILL), perhaps out of memory");
}

#[test]
fn a_server_that_is_not_there_is_told_to_be_degraded_and_to_recover() {
    let plan = Plan::new();
    let command = plan.path("late");
    let words = [vec![command.clone().into_os_string()], plan.fixture()[1..].to_vec()].concat();
    let plan = plan.command(words);
    let mut host = plan.clone().start();
    host.greet();
    let row = running(&plan, &host, "degraded");
    assert_eq!(row["server_pid"], Value::Null, "{row}");
    host.ask("in vain", "pid", &json!({}));
    std::os::unix::fs::symlink(fixture(), &command).expect("it can be made");
    assert_eq!(ours(&plan, &["restart", "late"]).0, 0);
    let row = running(&plan, &host, "serving");
    assert_eq!(row["guidance"], json!({"server_unavailable": 1}), "{row}");
    assert_eq!(row["guidance_answers"], 1, "{row}");
    host.finish();
    let told = kinds(&plan);
    for kind in ["crashed", "degraded", "recovered"] {
        assert!(told.iter().any(|told| told == kind), "{kind}: {told:?}");
    }
}

/// Every way in which a session ends, and what is said of it.
#[test]
fn each_end_is_told_by_its_cause() {
    for (cause, code) in [("host_eof", 0), ("host_gone", 0), ("signal", 0), ("asked", 0), ("lost", 137)] {
        let plan = Plan::new();
        let mut host = plan.clone().start();
        host.greet();
        running(&plan, &host, "serving");
        host.until("it is on disk", || !rows(&plan).is_empty());
        match cause {
            "host_eof" => host.close_stdin(),
            "host_gone" => host.stop_listening(),
            "signal" => host.signal(Signal::SIGTERM),
            "asked" => {
                let (code, told, stderr) = ours(&plan, &["stop", "fixture-server"]);
                assert_eq!((code, &*stderr), (0, ""));
                assert!(told.starts_with("fixture-server has ended after "), "{told}");
            }
            _ => host.signal(Signal::SIGKILL),
        }
        assert_eq!(host.exit(), code, "{cause}");
        let [row] = &over(&plan)[..] else { panic!("{cause}: {}", status(&plan)) };
        assert_eq!(row["close_reason"], cause, "{row}");
        assert_eq!(status(&plan)["running"], json!([]), "{cause}");
        host.until_gone("the server", host.server(1));
    }
}

#[test]
fn a_supervisor_that_was_killed_is_told_to_be_lost_unless_it_had_told_its_end() {
    for phase in ["starting", "serving", "waiting", "degraded", "stopping"] {
        let plan = match phase {
            "starting" => Plan::new().server("--never-greet"),
            "waiting" => Plan::new().server("--die-on-start --exit-code 3").options("--backoff-initial 30s"),
            "degraded" => Plan::new().command(["/no/such/server"]),
            "stopping" => Plan::new().server("--ignore-eof --ignore-term").options("--stop-grace 20s"),
            _ => Plan::new(),
        };
        let mut host = plan.clone().start();
        if phase == "stopping" {
            host.greet();
            running(&plan, &host, "serving");
            host.close_stdin();
        } else if phase != "starting" {
            host.send(crate::support::message::initialize("2025-06-18"));
        }
        let row = running(&plan, &host, phase);
        // What is not written yet by then is lost with it; the session itself must be known.
        host.until("it is on disk", || !rows(&plan).is_empty());
        let end = if phase == "stopping" { "host_eof" } else { "lost" };
        // One that begins to end says so at once, and is not lost however it ends.
        host.until("its end is on disk", || end == "lost" || ends(&plan) == [end]);
        host.signal(Signal::SIGKILL);
        host.exit();
        let found = status(&plan);
        assert_eq!(found["running"], json!([]), "{phase}: {found}");
        let over = &found["recent"][0];
        assert_eq!((&over["id"], &over["close_reason"]), (&row["id"], &json!(end)), "{phase}: {found}");
        assert_eq!(found["warnings"], json!([]), "{phase}");
    }
}

/// The ids on disk.
pub(crate) fn rows(plan: &Plan) -> Vec<String> {
    column(plan, "SELECT id FROM sessions")
}

/// The ends on disk.
fn ends(plan: &Plan) -> Vec<String> {
    column(plan, "SELECT close_reason FROM sessions WHERE close_reason IS NOT NULL")
}

fn column(plan: &Plan, sql: &str) -> Vec<String> {
    let Ok(db) = Connection::open(plan.path("data").join("sessions.db")) else { return Vec::new() };
    let Ok(mut select) = db.prepare(sql) else { return Vec::new() };
    let rows = select.query_map([], |row| row.get(0));
    rows.map(|rows| rows.filter_map(Result::ok).collect()).unwrap_or_default()
}

#[test]
fn the_next_one_that_starts_tells_who_was_lost() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    host.until("it is on disk", || !rows(&plan).is_empty());
    host.signal(Signal::SIGKILL);
    host.exit();
    let mut next = plan.clone().start();
    next.greet();
    let lost = || {
        let db = Connection::open(plan.path("data").join("sessions.db")).ok()?;
        let sql = "SELECT count(*) FROM sessions WHERE close_reason = 'lost'";
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).ok()
    };
    next.until("the other one is told to be lost", || lost() == Some(1));
    next.finish();
}

#[test]
fn a_supervisor_that_hangs_holds_nobody_up_and_is_told() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    // Not in the middle of a batch, for which others wait.
    let at_rest = || {
        let file = fs::File::open(plan.path("data/sessions.lock")).expect("it is there");
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock);
        lock.is_ok_and(|_lock| kinds(&plan) == ["started", "greeted"])
    };
    host.until("its start is on disk", || !rows(&plan).is_empty() && at_rest());
    host.signal(Signal::SIGSTOP);
    let hung = until_status(&plan, &host, "that it does not answer", |status| {
        let one = status["running"].get(0)?;
        (one["answering"] == false).then(|| one.clone())
    });
    assert_eq!(hung["pid"], host.pid());
    let (_, table, _) = ours(&plan, &["status"]);
    assert!(table.contains("no answer"), "{table}");
    let (code, _, told) = ours(&plan, &["restart", "fixture-server"]);
    assert_eq!(code, 73, "{told}");
    assert!(told.contains("does not answer") && told.contains(&format!("kill {}", host.pid())), "{told}");
    host.signal(Signal::SIGCONT);
    running(&plan, &host, "serving");
    host.finish();
}

#[test]
fn one_that_hangs_is_told_also_where_nothing_can_be_read() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    let row = running(&plan, &host, "serving");
    host.until("it is written", || plan.path("data/sessions.lock").exists());
    let file = fs::File::open(plan.path("data/sessions.lock")).expect("it is there");
    let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, error)| error);
    let lock = lock.expect("whoever writes is soon done");
    host.signal(Signal::SIGSTOP);
    let found = status(&plan);
    let hung = &found["running"][0];
    for column in ["id", "pid", "created_at"] {
        assert_eq!(hung[column], row[column], "{column}: {found}");
    }
    assert_eq!(hung["answering"], false, "{found}");
    let (_, table, _) = ours(&plan, &["status"]);
    let shown = format!("? (process {})", host.pid());
    assert!(table.contains(&shown) && table.contains("no answer") && table.contains("warning: "), "{table}");
    drop(lock);
    host.signal(Signal::SIGCONT);
    running(&plan, &host, "serving");
    host.finish();
}

#[test]
fn twenty_supervisors_at_once_are_all_told() {
    let plan = Plan::new();
    let runs: Vec<_> = (0..20)
        .map(|number| {
            let plan = plan.clone().command([fixture()]).options(&format!("--name n{number}"));
            thread::spawn(move || {
                let mut host = plan.start();
                host.greet();
                for call in 0..10 {
                    host.ask(call, "pid", &json!({}));
                }
                host.finish();
                host.all_stderr()
            })
        })
        .collect();
    let told: Vec<String> = runs.into_iter().map(join).collect();
    let (_, json, _) = ours(&plan, &["status", "--json", "--recent", "100"]);
    let found: Value = serde_json::from_str(&json).expect("it is JSON");
    let recent = found["recent"].as_array().expect("it is a list");
    let whole =
        recent.iter().filter(|row| row["tool_calls"] == 10 && row["close_reason"] == "host_eof").count();
    assert_eq!((whole, recent.len(), &found["running"]), (20, 20, &json!([])), "{told:?}: {found}");
}

#[test]
fn without_the_store_nothing_is_written_and_it_is_shown_while_it_runs() {
    let plan = Plan::new().options("--no-store");
    let mut host = plan.clone().start();
    host.greet();
    let row = running(&plan, &host, "serving");
    assert_eq!(row["pid"], host.pid());
    host.finish();
    assert!(!plan.path("data").exists(), "something was written");
    assert_eq!(status(&plan), json!({"running": [], "recent": [], "warnings": []}));
}

#[test]
fn what_is_kept_is_as_old_as_is_asked_for() {
    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    host.finish();
    assert_eq!(rows(&plan).len(), 1);
    let mut host = plan.clone().options("--keep 0s").start();
    host.greet();
    host.until("the other one is forgotten", || rows(&plan).len() == 1 && over_now(&plan) == 0);
    host.finish();
}

fn over_now(plan: &Plan) -> i64 {
    let db = Connection::open(plan.path("data").join("sessions.db")).expect("it is there");
    db.query_row("SELECT count(*) FROM sessions WHERE closed_at IS NOT NULL", [], |row| row.get(0))
        .unwrap_or(-1)
}

#[test]
fn what_belongs_into_a_report_is_told_without_secrets() {
    let plan = Plan::new()
        .options("--name notes --hold 5s")
        .variable("MCP_SUPERVISE_MAX_RESTARTS", "7")
        .variable("MCP_SUPERVISE_TOKEN", "hunter2hunter2")
        .server_with("--last-words", "gone --api-key swordfish-swordfish");
    let mut host = plan.clone().start();
    host.greet();
    slay(host.server(1));
    host.server(2);
    running(&plan, &host, "serving");
    host.ask("again", "pid", &json!({}));
    host.until("its events are on disk", || {
        kinds(&plan) == ["started", "greeted", "crashed", "restarted", "greeted"]
    });
    let (code, told, stderr) = ours(&plan, &["status", "--report"]);
    assert_eq!((code, &*stderr), (0, ""));
    for words in [
        concat!("mcp-supervise ", env!("CARGO_PKG_VERSION"), " on Linux "),
        &format!("notes: runs as process {}, serving\n", host.pid()),
        "--hold 5s",
        "MCP_SUPERVISE_MAX_RESTARTS=7",
        "MCP_SUPERVISE_TOKEN=***",
        "host: h 1; server: fixture-server 0.1.0; protocol 2025-06-18; token ",
        "calls 1, errors 0, guidance 0, restarts 1, noise 0",
        " crashed killed by signal 9 (SIGKILL)",
        // The home is where the plan is.
        "MCP_SUPERVISE_DATA_DIR=~/data",
    ] {
        assert!(
            told.contains(words) || (words.contains("Linux") && cfg!(target_os = "macos")),
            "{words}: {told}"
        );
    }
    for secret in ["hunter2", "swordfish"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    host.finish();
    let (_, told, _) = ours(&plan, &["status", "--report"]);
    assert!(told.contains("notes: ended at ") && told.contains(", host_eof\n"), "{told}");
    assert_eq!(ours(&plan, &["status", "--report", "--json"]).0, 2);
}

#[test]
fn no_secret_is_in_the_record_or_in_what_is_told() {
    let plan = Plan::new()
        .variable("PAYMENT_TOKEN", "hunter2hunter2")
        .server_with("--last-words", "hunter2hunter2 --api-key sesame-open-wide");
    let mut host = plan.clone().start();
    host.greet();
    host.ask("secret", "pid", &json!({"password": "swordfish-swordfish"}));
    slay(host.server(1));
    host.ask("again", "pid", &json!({}));
    let told = running(&plan, &host, "serving").to_string();
    host.finish();
    let (_, table, _) = ours(&plan, &["status"]);
    let mut seen = vec![told.into_bytes(), table.into_bytes()];
    for entry in fs::read_dir(plan.path("data")).expect("it is there").flatten() {
        seen.extend(fs::read(entry.path()).ok());
    }
    for secret in ["hunter2", "sesame", "swordfish"] {
        for bytes in &seen {
            assert!(memchr::memmem::find(bytes, secret.as_bytes()).is_none(), "{secret} is told");
        }
    }
}
