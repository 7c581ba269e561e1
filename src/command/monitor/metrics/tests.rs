//! The text, read as those who collect it do.

use std::time::Duration;

use super::*;
use crate::control::Status;
use crate::ledger::{ApiState, Gauges, Session, TokenState};

/// A board with this server on it.
fn board(name: &str) -> Board {
    let mut board = Board::new(Now::default());
    let session = Session {
        name: name.to_owned(),
        tool_calls: 3,
        restarts: 2,
        token_state: TokenState::Active,
        api_state: ApiState::Locked,
        ..Session::begins("a".to_owned(), 0)
    };
    let mut latency = Histogram { count: 6, sum: 200.5, buckets: [0; 12] };
    (latency.buckets[0], latency.buckets[3], latency.buckets[11]) = (1, 2, 1);
    let guidance = [("server_restarted".to_owned(), 4)].into();
    let gauges = Gauges { guidance, latency, ..Gauges::default() };
    board.status(Now::default(), Status { session, gauges, release: String::new(), options: String::new() });
    board
}

fn text(board: &Board) -> String {
    let now = Now { mono: Duration::from_secs(1), wall: 1000 };
    Metrics::of(board, now, 7).text().unwrap()
}

/// The name and the kind of each family, after checking that every line belongs to the family above it.
fn families(text: &str) -> Vec<(String, String)> {
    let mut families: Vec<(String, String)> = Vec::new();
    let mut helped = String::new();
    let lines: Vec<&str> = text.lines().collect();
    let (last, lines) = lines.split_last().unwrap();
    assert_eq!(*last, "# EOF");
    assert!(text.ends_with("# EOF\n"));
    for line in lines {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').expect("a text").0.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, helped, "without HELP");
            assert!(families.iter().all(|(known, _)| known != name), "{name} comes twice");
            families.push((name.to_owned(), kind.to_owned()));
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let (name, kind) = families.last().expect("a family");
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "histogram" => &["_sum", "_count", "_bucket"],
                "info" => &["_info"],
                _ => &[""],
            };
            let start = line.split(['{', ' ']).next().unwrap();
            assert!(suffixes.iter().any(|suffix| start == format!("{name}{suffix}")), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
        }
    }
    families
}

#[test]
fn every_family_is_explained_and_the_end_is_marked() {
    let text = text(&board("notes"));
    let families = families(&text);
    for (name, kind) in [
        ("mcp_supervise_sessions", "gauge"),
        ("mcp_supervise_sessions_opened", "counter"),
        ("mcp_supervise_restarts", "counter"),
        ("mcp_supervise_tool_calls", "counter"),
        ("mcp_supervise_requests", "counter"),
        ("mcp_supervise_errors", "counter"),
        ("mcp_supervise_guidance", "counter"),
        ("mcp_supervise_request_seconds", "histogram"),
        ("mcp_supervise_recovery_seconds", "histogram"),
        ("mcp_supervise_token_state", "gauge"),
        ("mcp_supervise_api_state", "gauge"),
    ] {
        assert!(families.contains(&(name.to_owned(), kind.to_owned())), "{name}: {text}");
    }
    for line in [
        "mcp_supervise_sessions{status=\"active\"} 1",
        "mcp_supervise_supervisors{state=\"answering\"} 1",
        "mcp_supervise_sessions_opened_total{server=\"notes\"} 1",
        "mcp_supervise_restarts_total{server=\"notes\"} 2",
        "mcp_supervise_tool_calls_total{server=\"notes\"} 3",
        "mcp_supervise_guidance_total{server=\"notes\",status=\"server_restarted\"} 4",
        "mcp_supervise_token_state{server=\"notes\",state=\"active\"} 1",
        "mcp_supervise_token_state{server=\"notes\",state=\"expired\"} 0",
        "mcp_supervise_api_state{server=\"notes\",state=\"locked\"} 1",
        "mcp_supervise_api_state{server=\"notes\",state=\"ok\"} 0",
        "mcp_supervise_monitor_websockets 7",
        "mcp_supervise_to_host_bytes_total{server=\"notes\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let empty = self::text(&Board::new(Now::default()));
    assert!(families.len() == self::families(&empty).len(), "{empty}");
}

#[test]
fn buckets_add_up_and_the_last_has_all() {
    let text = text(&board("notes"));
    let start = "mcp_supervise_request_seconds_bucket{le=\"";
    let buckets: Vec<(f64, u64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix(start))
        .map(|rest| {
            let (bound, rest) = rest.split_once('"').unwrap();
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            (bound, rest.rsplit(' ').next().unwrap().parse().unwrap())
        })
        .collect();
    let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.0).collect();
    let expected: Vec<f64> = LATENCY_BOUNDS.iter().copied().chain([f64::INFINITY]).collect();
    assert_eq!(bounds, expected);
    let counts: Vec<u64> = buckets.iter().map(|bucket| bucket.1).collect();
    assert_eq!(counts, [1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 4, 6]);
    assert!(text.contains("mcp_supervise_request_seconds_count{server=\"notes\"} 6\n"), "{text}");
    assert!(text.contains("mcp_supervise_request_seconds_sum{server=\"notes\"} 200.5\n"), "{text}");
}

#[test]
fn a_name_cannot_write_lines_of_its_own() {
    let text = text(&board("a\"} 1\n# EOF\nx\\"));
    families(&text);
    assert!(text.contains("server=\"a\\\"} 1\\n# EOF\\nx\\\\\""), "{text}");
}
