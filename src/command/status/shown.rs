//! The status as a person reads it: two tables and what is missing. Pure functions.

use std::fmt::Write as _;

use super::super::order::short_id;
use super::{Running, View};
use crate::ledger::{ApiState, CloseReason, Session, TokenState};
use crate::report::{Cell, Column, line, table};

/// Before each later showing: the screen is wiped, where there is one.
const WIPE: &str = "\x1b[H\x1b[2J";

const RUNNING: [Column; 7] = [
    Column { title: "NAME", right: false, least: Some(8) },
    Column { title: "STATE", right: false, least: None },
    Column { title: "HOST", right: false, least: Some(6) },
    Column { title: "UP", right: true, least: None },
    Column { title: "CALLS", right: true, least: None },
    Column { title: "RESTARTS", right: true, least: None },
    Column { title: "ID", right: false, least: None },
];

const RECENT: [Column; 7] = [
    Column { title: "NAME", right: false, least: Some(8) },
    Column { title: "ENDED", right: false, least: None },
    Column { title: "BECAUSE", right: false, least: Some(8) },
    Column { title: "LASTED", right: true, least: None },
    Column { title: "CALLS", right: true, least: None },
    Column { title: "RESTARTS", right: true, least: None },
    Column { title: "ID", right: false, least: None },
];

/// All of it at this time, in milliseconds since the Unix epoch. `again`: it is shown again and again.
pub(super) fn text(view: &View, now: i64, again: bool) -> String {
    let mut text = if again { WIPE.to_owned() } else { String::new() };
    if view.running.is_empty() {
        text.push_str("No server is supervised right now.\n");
    } else {
        let rows: Vec<_> = view.running.iter().map(|running| row(running, now)).collect();
        text.push_str(&table(&RUNNING, &rows));
    }
    if !view.recent.is_empty() {
        let rows: Vec<_> = view.recent.iter().map(|session| over(session, now)).collect();
        text.push('\n');
        text.push_str(&table(&RECENT, &rows));
    }
    for warning in &view.warnings {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nwarning: {}\n", line(warning));
    }
    text
}

fn row(running: &Running, now: i64) -> Vec<Cell> {
    let session = &running.session;
    // Nobody knows what a server is called that was not recorded, and whose supervisor does not answer.
    let unnamed = || format!("? (process {})", session.pid);
    vec![
        Cell::new(if session.name.is_empty() { unnamed() } else { session.name.clone() }),
        state(running),
        host(session),
        Cell::new(age(now - session.created_at)),
        Cell::new(count(session.tool_calls)),
        Cell::new(count(session.restarts)),
        Cell::new(short_id(&session.id)).faint(),
    ]
}

fn state(running: &Running) -> Cell {
    let session = &running.session;
    if !running.answering {
        return Cell::new("no answer").bad();
    }
    match (session.phase.as_str(), trouble(session)) {
        (phase, Some(trouble)) => Cell::new(format!("{phase}, {trouble}")).bad(),
        ("serving", None) => Cell::new("serving").good(),
        (phase @ "degraded", None) => Cell::new(phase).bad(),
        (phase, None) => Cell::new(phase).doubtful(),
    }
}

/// What keeps a server from its API. `None` if nothing is known to, or it no longer matters. There is room for one thing,
/// and the token's comes first: it is true now, while what is known of the API is as old as the last request to it.
fn trouble(session: &Session) -> Option<&'static str> {
    match (session.phase.as_str(), session.token_state, session.api_state) {
        ("stopping" | "stopped", ..) => None,
        (_, TokenState::Expired, _) => Some("token expired"),
        (_, TokenState::Absent, _) => Some("no token"),
        (_, _, ApiState::Locked) => Some("API locked"),
        (_, _, ApiState::Unreachable) => Some("API unreachable"),
        (_, _, ApiState::Unknown | ApiState::Ok) => None,
    }
}

fn host(session: &Session) -> Cell {
    match (&session.client_name, &session.client_version) {
        (Some(name), Some(version)) => Cell::new(format!("{name} {version}")),
        (Some(name), None) => Cell::new(name),
        (None, _) => Cell::new("-").faint(),
    }
}

fn over(session: &Session, now: i64) -> Vec<Cell> {
    let closed = session.closed_at.unwrap_or(now);
    let because = match session.close_reason {
        Some(CloseReason::HostEof) => Cell::new("host closed"),
        Some(CloseReason::HostGone) => Cell::new("host gone"),
        Some(CloseReason::Signal) => Cell::new("signal"),
        Some(CloseReason::Asked) => Cell::new("stopped"),
        Some(CloseReason::Lost) => Cell::new("lost").bad(),
        None => Cell::new("-").faint(),
    };
    vec![
        Cell::new(&session.name),
        Cell::new(format!("{} ago", age(now - closed))),
        because,
        Cell::new(age(closed - session.created_at)),
        Cell::new(count(session.tool_calls)),
        Cell::new(count(session.restarts)),
        Cell::new(short_id(&session.id)).faint(),
    ]
}

/// A time in milliseconds, in at most six characters.
fn age(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A number in at most five characters.
fn count(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..10_000_000 => format!("{}k", number / 1000),
        _ => format!("{}M", number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn times_and_numbers_are_short() {
        let ages = [0, 59_999, 60_000, 3_599_000, 3_600_000, 86_399_000, 86_400_000, -5];
        let told = ages.map(age);
        assert_eq!(told, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "0s"]);
        assert_eq!([0, 99_999, 100_000, 12_345_678].map(count), ["0", "99999", "100k", "12M"]);
    }

    #[test]
    fn words_of_others_do_nothing_to_a_terminal() {
        let odd = "x\u{1b}[2J\u{9b}\u{61c}\u{202e}\u{2028}\u{e0041}\nNAME";
        let session = Session {
            name: odd.to_owned(),
            phase: odd.to_owned(),
            client_name: Some(odd.to_owned()),
            client_version: Some(odd.to_owned()),
            ..Session::begins(format!("0198f0c2-{odd}"), 0)
        };
        let over = Session { closed_at: Some(1), ..session.clone() };
        let running = Running { session, answering: true, beside: None };
        let view = View { running: vec![running], recent: vec![over], warnings: vec![odd.to_owned()] };
        let told = anstream::adapter::strip_str(&text(&view, 0, false)).to_string();
        assert_eq!(report::plain(&told), told);
        assert_eq!(told.lines().count(), 7, "{told}");
    }

    #[test]
    fn what_keeps_a_server_from_its_api_stands_beside_its_phase() {
        use ApiState::{Locked, Ok, Unknown, Unreachable};
        use TokenState::{Absent, Active, Expired};

        let shown = |phase: &str, token_state, api_state| {
            let session = Session {
                phase: phase.to_owned(),
                token_state,
                api_state,
                ..Session::begins(String::new(), 0)
            };
            let view = |running, recent| View { running, recent, warnings: Vec::new() };
            let over = Session { closed_at: Some(1), ..session.clone() };
            let told = text(&view(Vec::new(), vec![over]), 0, false);
            assert!(!told.contains("API") && !told.contains("token"), "it is over: {told}");
            let silent = Running { session: session.clone(), answering: false, beside: None };
            let told = text(&view(vec![silent], Vec::new()), 0, false);
            assert!(told.contains("no answer") && !told.contains("API"), "nobody has said so now: {told}");
            let running = Running { session, answering: true, beside: None };
            let told = text(&view(vec![running], Vec::new()), 0, false);
            let told = anstream::adapter::strip_str(&told).to_string();
            let row = told.lines().nth(1).unwrap();
            row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(1).unwrap().to_owned()
        };
        for (phase, token, api, words) in [
            ("serving", TokenState::None, Unknown, "serving"),
            ("serving", Active, Unknown, "serving"),
            ("serving", Active, Ok, "serving"),
            ("serving", Active, Locked, "serving, API locked"),
            ("serving", Active, Unreachable, "serving, API unreachable"),
            ("serving", Expired, Ok, "serving, token expired"),
            ("serving", Expired, Locked, "serving, token expired"),
            ("serving", Absent, Unknown, "serving, no token"),
            ("degraded", Active, Unreachable, "degraded, API unreachable"),
            ("stopping", Expired, Locked, "stopping"),
        ] {
            assert_eq!(shown(phase, token, api), words, "{phase}, {token}, {api}");
        }
    }

    #[test]
    fn it_fits_80_columns_and_says_in_words_what_is_the_matter() {
        let session = Session {
            name: "a-server-with-quite-a-long-name-indeed".to_owned(),
            client_name: Some("a host with quite a long name".to_owned()),
            client_version: Some("10.20.30".to_owned()),
            tool_calls: 99_999,
            restarts: 12_345,
            phase: "degraded".to_owned(),
            ..Session::begins("0198f0c2-0000-7000-8000-0123456789ab".to_owned(), 0)
        };
        let over = Session { closed_at: Some(1), close_reason: Some(CloseReason::Lost), ..session.clone() };
        let running = |answering, phase: &str| Running {
            session: Session { phase: phase.to_owned(), ..session.clone() },
            answering,
            beside: None,
        };
        let mut away = running(true, "draining");
        away.session.api_state = ApiState::Unreachable;
        let view = View {
            running: vec![
                running(true, "degraded"),
                running(false, "serving"),
                running(true, "starting"),
                away,
            ],
            recent: vec![over],
            warnings: vec!["failed to find it".to_owned()],
        };
        let told = anstream::adapter::strip_str(&text(&view, 1_000_000_000, false)).to_string();
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
        for word in [
            "degraded",
            "no answer",
            "starting",
            "draining, API unreachable",
            " lost ",
            "11d13h ago",
            "456789ab",
            "warning: failed",
        ] {
            assert!(told.contains(word), "{word}: {told}");
        }
        let nothing = View { running: Vec::new(), recent: Vec::new(), warnings: Vec::new() };
        assert_eq!(text(&nothing, 0, false), "No server is supervised right now.\n");
    }
}
