//! What is known of the API, as it is shown from outside: locked, away, back with another mind, and well.

use serde_json::{Value, json};

use super::{balance, keep_at, plan, story, until_served};
use crate::monitor::client::Monitor;
use crate::support::daemon::{Daemon, WALLET};
use crate::support::outside::{ours, over, until_status};
use crate::support::{Host, Plan};

/// Waits until this is known of the API of the only session, and looks for these words in the table. Gives the session.
fn shows(plan: &Plan, host: &Host, api: &str, token: &str, words: &str) -> Value {
    let row = until_status(plan, host, api, |status| {
        let one = status["running"].as_array().filter(|running| running.len() == 1)?.first()?;
        (one["api_state"] == api && one["token_state"] == token).then(|| one.clone())
    });
    let (_, table, _) = ours(plan, &["status"]);
    let state = table
        .lines()
        .nth(1)
        .and_then(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(1));
    assert_eq!(state, Some(words), "{table}");
    row
}

#[test]
fn an_api_that_is_locked_or_away_is_shown_beside_the_phase_until_it_answers() {
    const TOLD: &str = "what is known of the API has changed";
    let daemon = Daemon::start();
    let plan = plan(&daemon).options("--log info").tireless();
    let data = plan.path("waiaas");
    let file = data.join("mcp-tokens").join(WALLET);
    keep_at(&file, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    let plan = plan.variable("WAIAAS_DATA_DIR", &data.to_string_lossy());
    let monitor = Monitor::of(&plan);
    let mut host = plan.clone().start();
    host.greet();
    host.list();
    shows(&plan, &host, "unknown", "active", "serving");
    balance(&mut host, "well");
    shows(&plan, &host, "ok", "active", "serving");

    daemon.kill_switch(true);
    for number in 0..3 {
        let locked = host.ask(number, "get_balance", &json!({}));
        assert_eq!(story(&locked)["status"], "kill_switch_active", "{locked}");
    }
    let row = shows(&plan, &host, "locked", "active", "serving, API locked");
    let (_, report, _) = ours(&plan, &["status", "--report"]);
    assert!(report.contains("token active; API locked\n"), "{report}");
    let figure = format!("mcp_supervise_api_state{{server={},state=\"locked\"}} 1\n", row["name"]);
    host.until("the monitor knows it", || {
        monitor.ask("/api/sessions", &[]).body.contains("\"api_state\":\"locked\"")
            && monitor.ask("/metrics", &[]).body.contains(&figure)
    });
    daemon.kill_switch(false);
    balance(&mut host, "unlocked");
    shows(&plan, &host, "ok", "active", "serving");

    let port = daemon.host().rsplit(':').next().expect("it has a port").to_owned();
    assert!(daemon.finish().1);
    let away = host.ask("away", "get_balance", &json!({}));
    assert_eq!(story(&away)["status"], "daemon_unavailable", "{away}");
    shows(&plan, &host, "unreachable", "active", "serving, API unreachable");

    // It is back, and knows nothing of its sessions: that it answers is one thing, what it says of the token is another.
    let daemon = Daemon::with(&format!("--port {port}"));
    let expired = host.ask("expired", "get_balance", &json!({}));
    assert_eq!(story(&expired)["status"], "session_expired", "{expired}");
    shows(&plan, &host, "ok", "expired", "serving, token expired");
    keep_at(&file, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut host);
    shows(&plan, &host, "ok", "active", "serving");
    // Each change is told once, however many requests have ended so.
    let changes = host.stderr().lines().filter(|line| line.contains(TOLD)).count();
    assert_eq!(changes, 5, "{}", host.stderr());

    daemon.kill_switch(true);
    host.ask("last", "get_balance", &json!({}));
    shows(&plan, &host, "locked", "active", "serving, API locked");
    host.finish();
    // How it stands with the API now is not known any more.
    let (_, table, _) = ours(&plan, &["status"]);
    let (_, report, _) = ours(&plan, &["status", "--report"]);
    assert!(!table.contains("API") && !report.contains("API"), "{table}{report}");
    assert_eq!(over(&plan)[0]["api_state"], "locked", "what was known last is recorded");
}
