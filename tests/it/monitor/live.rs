//! What is told of sessions while they come, change and go.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};

use super::client::{Ear, Monitor};
use crate::support::process::{eventually, kill_hard};
use crate::support::{Plan, call};

fn id_of(row: &Value) -> String {
    row["id"].as_str().expect("a row has an id").to_owned()
}

fn created(ear: &mut Ear) -> Value {
    ear.wait("session_created", |_| true)["session"].take()
}

#[test]
fn a_session_is_told_from_its_beginning_to_its_end() {
    let plan = Plan::new().options("--name notes");
    let monitor = Monitor::of(&plan);
    let mut ear = monitor.listen();
    assert_eq!(ear.next()["type"], "health_update", "nothing else is sent at first");
    let mut host = plan.start();
    let row = created(&mut ear);
    let id = id_of(&row);
    assert_eq!((&row["name"], &row["closed_at"]), (&json!("notes"), &Value::Null));
    assert_eq!(row["pid"], host.pid());
    host.greet();
    ear.updated(|row| row["phase"] == "serving" && row["client_name"] == "h");
    host.ask(1, "echo", &json!({"text": "a"}));
    ear.updated(|row| row["tool_calls"] == 1);

    kill_hard(host.server(1));
    let crashed = ear.event("crashed");
    assert_eq!((&crashed["session"]["id"], &crashed["event"]["session"]), (&json!(id), &json!(id)));
    assert!(crashed["event"]["text"].as_str().unwrap().contains("SIGKILL"), "{crashed}");
    ear.event("restarted");
    let updated = ear.updated(|row| row["restarts"] == 1 && row["phase"] == "serving");
    let row = monitor.json(&format!("/api/sessions/{id}"));
    assert_eq!(row["session"]["restarts"], 1);
    let columns = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(columns(&row["session"]), columns(&updated), "the same columns everywhere");
    assert_eq!(monitor.sessions("active").len(), 1);
    monitor.until_metric("mcp_supervise_recovery_seconds_count{server=\"notes\"} 1");

    assert_eq!(host.finish(), 0);
    let gone = ear.wait("session_disconnected", |_| true);
    assert_eq!((&gone["session"]["id"], &gone["session"]["close_reason"]), (&json!(id), &json!("host_eof")));
    assert!(gone["session"]["closed_at"].is_i64());
    assert_eq!((monitor.sessions("active").len(), monitor.sessions("closed").len()), (0, 1));

    let detail = monitor.json(&format!("/api/sessions/{id}"));
    let kinds: Vec<&str> =
        detail["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["started", "greeted", "crashed", "restarted", "greeted", "stopped"]);
    let events = monitor.json("/api/events?limit=3");
    let newest = &events["events"][0];
    assert_eq!((&newest["kind"], &newest["name"]), (&json!("stopped"), &json!("notes")));
    assert_eq!(events["events"].as_array().map(Vec::len), Some(3));

    let history = monitor.json("/api/history");
    let sum = |what: &str| -> u64 {
        history["minutes"].as_array().unwrap().iter().filter_map(|minute| minute[what].as_u64()).sum()
    };
    assert_eq!((sum("tool_calls"), sum("restarts")), (1, 1), "{history}");
    let metrics = monitor.get("/metrics");
    for line in [
        "mcp_supervise_sessions{status=\"active\"} 0",
        "mcp_supervise_sessions_opened_total{server=\"notes\"} 1",
        "mcp_supervise_restarts_total{server=\"notes\"} 1",
        "mcp_supervise_tool_calls_total{server=\"notes\"} 1",
        "mcp_supervise_sessions_closed_total{reason=\"host_eof\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    let health = monitor.json("/health/deep");
    let sessions = &health["mcpSessions"];
    assert_eq!(
        (&sessions["total"], &sessions["active"], &sessions["totalToolCalls"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert!(sessions["avgDurationSeconds"].as_f64().is_some_and(|average| average > 0.0), "{health}");
    let told = ear.wait("health_update", |message| message["health"]["mcpSessions"]["total"] == 1);
    assert_eq!(told["health"]["status"], "ok", "{told}");
}

#[test]
fn a_supervisor_that_is_killed_is_lost_and_what_was_there_before_is_found() {
    let plan = Plan::new();
    let (mut one, mut two) = (plan.clone().start(), plan.clone().options("--no-store").start());
    one.greet();
    two.greet();
    let monitor = Monitor::of(&plan);
    assert!(eventually(|| (monitor.sessions("active").len() == 2).then_some(())).is_some());
    let health = || monitor.json("/health/deep")["mcpSessions"].clone();
    let both = || (health()["active"] == 2).then_some(());
    assert!(eventually(both).is_some(), "{}", health());
    monitor.until_metric("mcp_supervise_supervisors{state=\"answering\"} 2");
    let mut ear = monitor.listen();
    for host in [&one, &two] {
        host.signal(Signal::SIGKILL);
        let row = ear.wait("session_disconnected", |message| message["session"]["pid"] == host.pid());
        assert_eq!(row["session"]["close_reason"], "lost");
        assert_eq!(row["session"]["phase"], "stopped");
    }
    let closed = monitor.sessions("closed");
    assert_eq!(closed.len(), 2, "also the one that was never stored");
    assert_eq!((&health()["total"], &health()["active"]), (&json!(2), &json!(0)));
    // Page by page the same.
    let first = monitor.json("/api/sessions?limit=1");
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = monitor.json(&format!("/api/sessions?limit=1&cursor={cursor}"));
    assert_eq!(
        [&first["sessions"][0]["id"], &second["sessions"][0]["id"]],
        [&closed[0]["id"], &closed[1]["id"]]
    );
    assert_eq!(second["next_cursor"], Value::Null);
}

#[test]
fn a_server_is_restarted_by_the_page_and_one_that_is_gone_is_not() {
    let plan = Plan::new();
    let monitor = Monitor::of(&plan);
    let mut ear = monitor.listen();
    let mut host = plan.start();
    host.greet();
    let id = id_of(&created(&mut ear));
    let answer = monitor.restart(&id);
    assert_eq!((answer.status, answer.body.as_str()), (202, r#"{"status":"restarting"}"#));
    ear.event("restarted");
    host.server(2);
    host.finish();
    ear.wait("session_disconnected", |_| true);
    let gone = monitor.restart(&id);
    assert_eq!(gone.status, 409, "{gone:?}");
    for path in ["00000000-0000-7000-8000-000000000000", "x", "..%2f"] {
        let unknown = monitor.restart(path);
        assert_eq!(unknown.status, 404, "{unknown:?}");
        assert_eq!(monitor.ask(&format!("/api/sessions/{path}"), &[]).status, 404);
    }
    for (query, status) in [
        ("status=x", 400),
        ("limit=0", 400),
        ("limit=-1", 400),
        ("limit=x", 400),
        ("limit=501", 200),
        ("cursor=x", 400),
        ("more=x", 200),
    ] {
        assert_eq!(monitor.ask(&format!("/api/sessions?{query}"), &[]).status, status, "{query}");
    }
}

#[test]
fn no_secret_is_in_anything_that_is_answered() {
    let secrets = ["hunter2-hunter2", "sesame-open-sesame", "from-the-password"];
    let plan = Plan::new();
    let script = ["sh", "-c", "shift 2; exec \"$@\"", "sh", "--api-key", secrets[0]];
    let words: Vec<OsString> = script.map(Into::into).into_iter().chain(plan.fixture()).collect();
    let url = format!("https://me:{}@example.com", secrets[2]);
    let plan = plan.command(words).variable("FOO_TOKEN", secrets[1]).variable("SOME_URL", &url);
    let monitor = Monitor::of(&plan);
    let mut ear = monitor.listen();
    let mut host = plan.start();
    let row = created(&mut ear);
    assert!(row["command"].as_str().unwrap().contains("***"), "{row}");
    host.greet();
    host.ask(1, "echo", &json!({"text": secrets[0]}));
    host.ask(2, "env", &json!({"name": "FOO_TOKEN"}));
    kill_hard(host.server(1));
    ear.event("restarted");
    ear.updated(|row| row["tool_calls"] == 2 && row["restarts"] == 1);
    let id = id_of(&row);
    let mut all: Vec<String> = ear.heard.iter().map(Value::to_string).collect();
    for path in [
        "/",
        "/api/sessions",
        &format!("/api/sessions/{id}"),
        "/api/events",
        "/api/history",
        "/metrics",
        "/health/deep",
    ] {
        all.push(monitor.get(path));
    }
    for secret in secrets {
        assert!(all.iter().all(|text| !text.contains(secret)), "{secret} is told");
    }
    let token = monitor.token();
    assert!(all.iter().filter(|text| text.contains(&token)).count() == 1, "only the page has the token");
}

#[test]
fn two_hundred_listen_and_there_is_an_end_to_it() {
    let plan = Plan::new();
    let monitor = Monitor::of(&plan);
    let mut ears: Vec<Ear> = (0..200).map(|_| monitor.listen()).collect();
    let host = plan.start();
    let ids: Vec<String> = ears.iter_mut().map(|ear| id_of(&created(ear))).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    ears.extend((0..56).map(|_| monitor.listen()));
    let Err(tungstenite::Error::Http(refused)) = monitor.listen_on(monitor.connect()) else {
        panic!("there is no end to it");
    };
    assert_eq!(refused.status(), 503);
    monitor.until_metric("mcp_supervise_monitor_websockets 256");
    drop(ears);
    monitor.until_metric("mcp_supervise_monitor_websockets 0");
    monitor.listen().next();
    drop(host);
}

#[test]
fn who_does_not_read_is_let_go_and_the_others_go_on() {
    let plan = Plan::new().tireless();
    let monitor = Monitor::of(&plan);
    let stream = monitor.connect();
    setsockopt(&stream, sockopt::RcvBuf, &4096).unwrap();
    let _slow = monitor.listen_on(stream).unwrap();
    let mut ear = monitor.listen();
    monitor.until_metric("mcp_supervise_monitor_websockets 2");
    let mut host = plan.start();
    host.greet();
    created(&mut ear);
    let mut number = 0;
    let gone = eventually(|| {
        number += 1;
        host.send(call(number, "crash", &json!({})));
        ear.event("restarted");
        monitor.get("/metrics").contains("mcp_supervise_monitor_websockets 1\n").then_some(())
    });
    assert!(gone.is_some(), "it is still there after {number} crashes");
    host.send(call("last", "crash", &json!({})));
    ear.event("restarted");
}

#[test]
fn a_supervisor_that_does_not_answer_is_told_of() {
    let plan = Plan::new();
    let run = plan.path("run");
    std::fs::DirBuilder::new().mode(0o700).create(&run).unwrap();
    let socket = run.join(format!("{}.0198f0c2-0000-7000-8000-000000000000.sock", std::process::id()));
    let listener = UnixListener::bind(&socket).unwrap();
    let monitor = Monitor::of(&plan);
    let health = || monitor.json("/health/deep");
    let degraded = eventually(|| (health()["parts"]["supervisors"]["silent"] == 1).then(health));
    assert_eq!(degraded.expect("it is silent")["status"], "degraded");
    assert_eq!(health()["parts"]["store"]["status"], "ok", "nothing was recorded yet");
    drop(listener);
    let well = eventually(|| (health()["status"] == "ok").then_some(()));
    assert!(well.is_some(), "{}", health());
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_makes_nothing_unknown_and_no_total_fall() {
    let plan = Plan::new();
    let mut past = plan.clone().start();
    past.greet();
    past.ask(1, "pid", &json!({}));
    past.finish();
    let monitor = Monitor::of(&plan);
    let host = {
        let mut host = plan.clone().start();
        host.greet();
        host
    };
    let health =
        || serde_json::from_str::<Value>(&monitor.ask("/health/deep", &[]).body).expect("it is JSON");
    host.until("both are known", || health()["mcpSessions"]["total"] == 2);
    let closed = monitor.ask("/api/sessions?status=closed", &[]);
    let closed: Value = serde_json::from_str(&closed.body).expect("it is JSON");
    let id = closed["sessions"][0]["id"].as_str().expect("one is over").to_owned();

    let lock = std::fs::File::open(plan.path("data/sessions.lock")).expect("it is there");
    let lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, error)| error);
    let lock = lock.expect("whoever writes is soon done");
    let told = health();
    assert_eq!((&told["parts"]["store"]["status"], &told["status"]), (&json!("failed"), &json!("degraded")));
    assert_eq!(
        (&told["mcpSessions"]["total"], &told["mcpSessions"]["totalToolCalls"]),
        (&json!(2), &json!(1))
    );
    for path in [format!("/api/sessions/{id}"), "/api/sessions?status=closed".to_owned()] {
        let answer = monitor.ask(&path, &[]);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.body.contains("\"hint\""), "{path}: {answer:?}");
    }
    let open = monitor.ask("/api/sessions?status=active", &[]);
    assert!(open.status == 200 && open.body.contains("\"serving\""), "{open:?}");
    drop(lock);
    assert_eq!(monitor.ask(&format!("/api/sessions/{id}"), &[]).status, 200);
    assert_eq!(monitor.ask("/api/sessions/%ff", &[]).status, 404);
}
