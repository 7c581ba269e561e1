//! `status`: what runs now, and what ran before.
//!
//! Those that run are asked, all at once and not for long; one that does not answer is shown as the record has it. What is
//! over is read from the record. Either may be missing, which is told, and the rest is shown all the same.

mod shown;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::order::{ask_all, unrecorded};
use super::recorded;
use crate::cli::sessions::Status as Options;
use crate::control::Status;
use crate::control::client::{Refusal, Supervisors};
use crate::ledger::{CloseReason, Gauges, Session};
use crate::store::{Which, is_lost};
use crate::{exit_code, report};

/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long those are waited for who have the record.
const PATIENCE_TO_READ: Duration = Duration::from_secs(1);
/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);

/// What there is to be shown. The JSON object, field by field as the manual has them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct View {
    running: Vec<Running>,
    recent: Vec<Session>,
    /// What is missing, and why: whole texts.
    warnings: Vec<String>,
}

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Running {
    #[serde(flatten)]
    session: Session,
    /// Its supervisor has answered: what is told is as of now. Else it is as it was last recorded.
    answering: bool,
    /// What is told beside the row. `None` where it has not answered.
    #[serde(flatten)]
    gauges: Option<Gauges>,
}

/// Shows it. The exit code.
pub fn status(options: &Options) -> i32 {
    match recorded::block_on(show(options)).flatten() {
        Ok(()) => exit_code::DONE,
        Err(error) => {
            report::error(format_args!("failed to show the status: {error}"), None);
            exit_code::UNEXPECTED
        }
    }
}

async fn show(options: &Options) -> std::io::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut shown = None;
    loop {
        let view = look(options).await;
        // Ages change all the time, and are no news to a program.
        let is_news = !options.json || shown.as_ref() != Some(&view);
        if is_news {
            let text = if options.json {
                json(&view, options.watch)
            } else {
                shown::text(&view, now(), options.watch)
            };
            if !report::heard(text)? || !options.watch {
                return Ok(());
            }
            shown = Some(view);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = interrupted.recv() => return Ok(()),
        }
    }
}

/// One object; of several, one a line.
fn json(view: &View, line: bool) -> String {
    let text = if line { serde_json::to_string(view) } else { serde_json::to_string_pretty(view) };
    // There is nothing in it that has no form.
    text.unwrap_or_default() + "\n"
}

async fn look(options: &Options) -> View {
    let mut warnings = Vec::new();
    let supervisors = Supervisors::of(options.places.runtime_dir.as_deref());
    let list = supervisors.list().unwrap_or_else(|fault| {
        let fault = fault.to_string().replace("open the control socket", "look for sockets");
        warnings.push(format!("failed to {fault}"));
        Vec::new()
    });
    let mut silent = BTreeMap::new();
    let mut live: Vec<Running> = Vec::new();
    for (supervisor, told) in ask_all(list, PATIENCE).await {
        match told {
            Ok(Status { session, gauges, .. }) => {
                live.push(Running { session, answering: true, gauges: Some(gauges) });
            }
            Err(Refusal::Gone) => {}
            Err(why) => _ = silent.insert(supervisor.session().to_owned(), (unrecorded(&supervisor), why)),
        }
    }
    let now = now();
    // After those that run: who ends in between is in the record, and not missed.
    let (open, mut recent) = recorded(options, &mut warnings).await;
    for mut session in open {
        if is_lost(&session, now) {
            // A record that cannot be written does not say so.
            session.closed_at = Some(session.alive_at);
            session.close_reason.get_or_insert(CloseReason::Lost);
            recent.insert(0, session);
            continue;
        }
        if live.iter().all(|running| running.session.id != session.id) {
            silent.remove(&session.id);
            live.push(Running { session, answering: false, gauges: None });
        }
    }
    // The record cannot tell who they are; that they are there is known.
    for (session, why) in silent.into_values() {
        if !matches!(why, Refusal::Silent) {
            warnings.push(format!("a supervisor runs as process {}, and {why}", session.pid));
        }
        live.push(Running { session, answering: false, gauges: None });
    }
    live.retain(|running| running.session.is_open());
    live.sort_by(|a, b| (&a.session.name, &a.session.id).cmp(&(&b.session.name, &b.session.id)));
    View { running: live, recent, warnings }
}

/// What has not ended, and what has: the newest first.
async fn recorded(options: &Options, warnings: &mut Vec<String>) -> (Vec<Session>, Vec<Session>) {
    let most = options.recent.try_into().unwrap_or(usize::MAX);
    let found = recorded::read(options.places.data_dir.clone(), PATIENCE_TO_READ, move |reader| {
        let recent = reader.ended(most)?;
        Ok((reader.page(Which::Open, None, usize::MAX)?.sessions, recent))
    });
    let found = found.await.unwrap_or_else(|why| {
        warnings.push(format!("failed to {why}"));
        None
    });
    found.unwrap_or_default()
}

/// The time on the wall, in milliseconds since the Unix epoch.
fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "ages are told")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    crate::ledger::millis(now)
}
