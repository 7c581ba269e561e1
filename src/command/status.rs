//! `status`: what runs now, and what ran before.
//!
//! Those that run are asked, all at once and not for long; one that does not answer is shown as the record has it. What is
//! over is read from the record. Either may be missing, which is told, and the rest is shown all the same.

mod shown;
mod told;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::told::Machine;
use super::order::{ask_all, unrecorded};
use super::recorded;
use crate::cli::sessions::Status as Options;
use crate::control::Status;
use crate::control::client::{Refusal, Supervisors};
use crate::ledger::{CloseReason, Event, Gauges, Session};
use crate::store::{Which, is_lost};
use crate::{exit_code, report};

/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long those are waited for who have the record.
const PATIENCE_TO_READ: Duration = Duration::from_secs(1);
/// How many events a report looks at, of all sessions together.
const EVENTS: usize = 500;
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
    beside: Option<Beside>,
}

/// What only the supervisor itself can tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Beside {
    #[serde(flatten)]
    gauges: Gauges,
    release: String,
    options: String,
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
        let (view, events) = look(options).await;
        // Ages change all the time, and are no news to a program.
        let is_news = !options.json || shown.as_ref() != Some(&view);
        if is_news {
            let text = if options.report {
                told::text(&view, &events, &machine(), now())
            } else if options.json {
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
    report::json(&text.unwrap_or_default()) + "\n"
}

/// What there is to be told, and the last events that are recorded, the oldest first.
async fn look(options: &Options) -> (View, Vec<Event>) {
    let mut warnings = Vec::new();
    let supervisors =
        Supervisors::of(options.places.runtime_dir.as_deref(), options.places.data_dir.as_deref());
    let list = supervisors.list().unwrap_or_else(|fault| {
        let fault = fault.to_string().replace("open the control socket", "look for sockets");
        warnings.push(format!("failed to {fault}"));
        Vec::new()
    });
    let mut silent = BTreeMap::new();
    let mut live: Vec<Running> = Vec::new();
    for (supervisor, told) in ask_all(list, PATIENCE).await {
        match told {
            Ok(Status { session, gauges, release, options }) => {
                let beside = Some(Beside { gauges, release, options });
                live.push(Running { session, answering: true, beside });
            }
            Err(Refusal::Gone) => {}
            Err(why) => _ = silent.insert(supervisor.session().to_owned(), (unrecorded(&supervisor), why)),
        }
    }
    let now = now();
    // After those that run: who ends in between is in the record, and not missed.
    let mut record = recorded(options, &mut warnings).await;
    if record.open.iter().any(|session| is_lost(session, now)) {
        // It has ended since it was read. Now that it is gone, what is there of its end is there.
        record = recorded(options, &mut Vec::new()).await;
    }
    let Recorded { open, mut recent, events } = record;
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
            live.push(Running { session, answering: false, beside: None });
        }
    }
    // The record cannot tell who they are; that they are there is known.
    for (session, why) in silent.into_values() {
        if !matches!(why, Refusal::Silent) {
            warnings.push(format!("a supervisor runs as process {}, and {why}", session.pid));
        }
        live.push(Running { session, answering: false, beside: None });
    }
    live.retain(|running| running.session.is_open());
    live.sort_by(|a, b| (&a.session.name, &a.session.id).cmp(&(&b.session.name, &b.session.id)));
    (View { running: live, recent, warnings }, events)
}

/// What is recorded.
#[derive(Default)]
struct Recorded {
    /// What has not ended.
    open: Vec<Session>,
    /// What has: the newest first.
    recent: Vec<Session>,
    /// The last events, the oldest first. None where no report is wanted.
    events: Vec<Event>,
}

async fn recorded(options: &Options, warnings: &mut Vec<String>) -> Recorded {
    let most = options.recent.try_into().unwrap_or(usize::MAX);
    let wanted = if options.report { EVENTS } else { 0 };
    let found = recorded::read(options.places.data_dir.clone(), PATIENCE_TO_READ, move |reader| {
        let recent = reader.ended(most)?;
        let events = if wanted > 0 { reader.events(None, wanted)? } else { Vec::new() };
        Ok(Recorded { open: reader.page(Which::Open, None, usize::MAX)?.sessions, recent, events })
    });
    let found = found.await.unwrap_or_else(|why| {
        warnings.push(format!("failed to {why}"));
        None
    });
    found.unwrap_or_default()
}

/// What is known of this machine.
fn machine() -> Machine {
    let known = nix::sys::utsname::uname().ok();
    let system = known.map_or_else(
        || std::env::consts::OS.to_owned(),
        |known| {
            let words = [known.sysname(), known.release(), known.machine()];
            words.map(|word| word.to_string_lossy().into_owned()).join(" ")
        },
    );
    let home = etcetera::home_dir().ok().and_then(|home| home.to_str().map(str::to_owned));
    Machine { system, home }
}

/// The time on the wall, in milliseconds since the Unix epoch.
fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "ages are told")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    crate::ledger::millis(now)
}
