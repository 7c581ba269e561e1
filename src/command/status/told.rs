//! What belongs into a report of something that went wrong: who ran, how, and what happened. Pure; nothing in it is secret
//! that the record or a supervisor tells, for both are masked.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Running, View};
use crate::ledger::{Event, Session};

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
        let _ = writeln!(text, "warning: {warning}");
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
    // What would do something to a terminal, or look like another line, is taken out of what others have said.
    let shown: String =
        text.chars().map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter }).collect();
    match machine.home.as_deref().map(|home| home.trim_end_matches('/')).filter(|home| !home.is_empty()) {
        Some(home) => shown.replace(home, "~"),
        None => shown,
    }
}

fn live(text: &mut String, running: &Running) {
    let session = &running.session;
    let answers = if running.answering { "" } else { ", does not answer" };
    let name = if session.name.is_empty() { "?" } else { &session.name };
    let _ = writeln!(text, "{name}: runs as process {}, {}{answers}", session.pid, session.phase);
    if let Some(beside) = &running.beside {
        let options = if beside.options.is_empty() { "none" } else { &beside.options };
        let _ = writeln!(text, "  options: {options} (release {})", beside.release);
        for (status, count) in &beside.gauges.guidance {
            let _ = writeln!(text, "  guidance: {status}, {count} times");
        }
    }
}

fn over(text: &mut String, session: &Session) {
    let reason = session.close_reason.map_or_else(|| "not told".to_owned(), |reason| reason.to_string());
    let closed = session.closed_at.map(moment).unwrap_or_default();
    let _ = writeln!(text, "{}: ended at {closed}, {reason}", session.name);
}

/// The row of a session, and its events.
fn told(text: &mut String, session: &Session, events: &[Event]) {
    let known = |what: &Option<String>| what.clone().unwrap_or_else(|| "?".to_owned());
    let Session { tool_calls, requests, errors, guidance_answers, restarts, noise_lines, .. } = session;
    let _ = writeln!(text, "  command: {}", session.command);
    let _ = writeln!(
        text,
        "  host: {} {}; server: {} {}; protocol {}; token {}",
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
        let _ = writeln!(text, "  {} {} {}", moment(event.at), event.kind, event.text);
    }
}

/// How many events of a session are told.
const EVENTS: usize = 20;

/// A time in milliseconds since the Unix epoch, as RFC 3339 has it.
fn moment(millis: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| millis.to_string())
}
