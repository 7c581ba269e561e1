//! What belongs into a report of something that went wrong: who ran, how, and what happened. Pure; nothing in it is secret
//! that the record or a supervisor tells, for both are masked.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Running, View};
use crate::ledger::{Event, Session};
use crate::report::line;

/// What is known of this machine.
pub(super) struct Machine {
    /// The system, its release, and what it runs on.
    pub(super) system: String,
    /// The user's directory, which is told as `~`. `None` where it is not known.
    pub(super) home: Option<String>,
}

/// The report, at this time in milliseconds since the Unix epoch. `events`: what is recorded of these sessions, the oldest
/// first.
pub(super) fn text(view: &View, events: &[Event], machine: &Machine, now: i64) -> String {
    let mut text =
        format!("mcp-supervise {} on {}, at {}\n", env!("CARGO_PKG_VERSION"), machine.system, moment(now));
    for warning in &view.warnings {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "warning: {}", line(warning));
    }
    for running in &view.running {
        text.push('\n');
        live(&mut text, running);
        told(&mut text, &running.session, events);
    }
    for session in &view.recent {
        text.push('\n');
        over(&mut text, session);
        told(&mut text, session, events);
    }
    if view.running.is_empty() && view.recent.is_empty() {
        text.push_str("\nNothing runs, and nothing is recorded.\n");
    }
    match machine.home.as_deref().map(|home| home.trim_end_matches('/')).filter(|home| !home.is_empty()) {
        Some(home) => text.replace(home, "~"),
        None => text,
    }
}

fn live(text: &mut String, running: &Running) {
    let session = &running.session;
    let answers = if running.answering { "" } else { ", does not answer" };
    let name = if session.name.is_empty() { "?" } else { &*line(&session.name) };
    let _ = writeln!(text, "{name}: runs as process {}, {}{answers}", session.pid, line(&session.phase));
    if let Some(beside) = &running.beside {
        let options = if beside.options.is_empty() { "none" } else { &beside.options };
        let _ = writeln!(text, "  options: {} (release {})", line(options), line(&beside.release));
        for (status, count) in &beside.gauges.guidance {
            let _ = writeln!(text, "  guidance: {}, {count} times", line(status));
        }
    }
}

fn over(text: &mut String, session: &Session) {
    let reason = session.close_reason.map_or_else(|| "not told".to_owned(), |reason| reason.to_string());
    let closed = session.closed_at.map(moment).unwrap_or_default();
    let _ = writeln!(text, "{}: ended at {closed}, {reason}", line(&session.name));
}

/// The row of a session, and its events.
fn told(text: &mut String, session: &Session, events: &[Event]) {
    let known = |what: &Option<String>| what.as_deref().map_or_else(|| "?".to_owned(), line);
    let Session { tool_calls, requests, errors, guidance_answers, restarts, noise_lines, .. } = session;
    // Of a session that is over, nobody knows how it stands with its API now.
    let api = if session.is_open() { format!("; API {}", session.api_state) } else { String::new() };
    let _ = writeln!(text, "  command: {}", line(&session.command));
    let _ = writeln!(
        text,
        "  host: {} {}; server: {} {}; protocol {}; token {}{api}",
        known(&session.client_name),
        known(&session.client_version),
        known(&session.server_name),
        known(&session.server_version),
        known(&session.protocol_version),
        session.token_state
    );
    let _ = writeln!(
        text,
        "  requests {requests}, calls {tool_calls}, errors {errors}, guidance {guidance_answers}, restarts {restarts}, noise {noise_lines}"
    );
    let _ = writeln!(
        text,
        "  began at {}, last alive at {}",
        moment(session.created_at),
        moment(session.alive_at)
    );
    let of_it: Vec<&Event> = events.iter().filter(|event| event.session == session.id).collect();
    for event in &of_it[of_it.len().saturating_sub(EVENTS)..] {
        let _ = writeln!(text, "  {} {} {}", moment(event.at), event.kind, line(&event.text));
    }
}

/// How many events of a session are told.
const EVENTS: usize = 20;

/// A time in milliseconds since the Unix epoch, as RFC 3339 has it.
fn moment(millis: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| millis.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::Beside;
    use super::*;
    use crate::ledger::{ApiState, Gauges, Kind};
    use crate::report::plain;

    #[test]
    fn what_is_known_of_the_api_is_told_of_what_runs_only() {
        let session = Session { api_state: ApiState::Locked, ..Session::begins("a".to_owned(), 0) };
        let over = Session { closed_at: Some(1), ..session.clone() };
        let running = Running { session, answering: true, beside: None };
        let view = View { running: vec![running], recent: vec![over], warnings: Vec::new() };
        let told = text(&view, &[], &Machine { system: "Linux".to_owned(), home: None }, 0);
        let told: Vec<&str> = told.lines().filter(|line| line.contains("; token ")).collect();
        assert!(
            told[0].ends_with("; token none; API locked") && told[1].ends_with("; token none"),
            "{told:?}"
        );
    }

    #[test]
    fn words_of_others_do_nothing_to_a_terminal_and_make_no_lines() {
        let odd = || "x\u{1b}[2J\u{9b}\u{61c}\u{202e}\u{2028}\u{e0041}\nforged: ended at".to_owned();
        let session = Session {
            name: odd(),
            command: odd(),
            client_name: Some(odd()),
            client_version: Some(odd()),
            protocol_version: Some(odd()),
            server_name: Some(odd()),
            server_version: Some(odd()),
            phase: odd(),
            ..Session::begins("a".to_owned(), 0)
        };
        let mut gauges = Gauges::default();
        gauges.guidance.insert(odd(), 1);
        let beside = Some(Beside { gauges, release: odd(), options: odd() });
        let over = Session { closed_at: Some(1), ..session.clone() };
        let running = Running { session, answering: true, beside };
        let view = View { running: vec![running], recent: vec![over], warnings: vec![odd()] };
        let event = Event { session: "a".to_owned(), at: 0, kind: Kind::Crashed, text: odd() };
        let machine = Machine { system: "Linux".to_owned(), home: None };
        let told = text(&view, &[event], &machine, 0);
        assert_eq!(plain(&told), told);
        assert!(told.contains("crashed x") && !told.lines().any(|line| line.starts_with("forged")), "{told}");
    }
}
