//! `restart` and `stop`: a supervisor that runs is told to.
//!
//! It is found by the name of its server, or by its session's id or the end of that. What has come of it is waited for and told;
//! what cannot be done has an exit code of its own ([`exit_code::OF_ORDERS`]) and says what else could be.

mod outcome;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::outcome::{Done, Undone};
use super::failure::Failure;
use super::recorded;
use crate::cli::sessions::Target;
use crate::control::Status;
use crate::control::client::{Refusal, Supervisor, Supervisors};
use crate::engine::io::Order;
use crate::ledger::Session;
use crate::store::{Which, runs_here};
use crate::{exit_code, report};

/// How long a supervisor may take to say who it is, and to take an order.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long those are waited for who have the record.
const PATIENCE_TO_READ: Duration = Duration::from_secs(1);
/// The shortest end of an id that is taken for one.
const SHORTEST_ID: usize = 4;
/// How many supervisors are asked at once: each takes a descriptor.
const AT_ONCE: usize = 32;
/// How many of the sessions that are over are looked at for the name.
const OVER: usize = 200;

/// Gives the order. The exit code; everything else is told already.
pub fn order(target: &Target, order: Order) -> i32 {
    match recorded::block_on(give(target, order)).unwrap_or_else(|error| Err(Failure::start(error))) {
        Ok(told) => match report::text(told) {
            Ok(()) => exit_code::DONE,
            Err(error) => {
                report::error(format_args!("failed to write to stdout: {error}"), None);
                exit_code::UNEXPECTED
            }
        },
        Err(failure) => {
            failure.tell();
            failure.code
        }
    }
}

async fn give(target: &Target, order: Order) -> Result<String, Failure> {
    let wanted = Wanted::new(&target.server);
    let supervisors =
        Supervisors::of(target.places.runtime_dir.as_deref(), target.places.data_dir.as_deref());
    let list = supervisors.list().map_err(|fault| Failure {
        code: exit_code::UNEXPECTED,
        message: format!(
            "failed to {}",
            fault.to_string().replace("open the control socket", "look for sockets")
        ),
        hint: Some("with --runtime-dir another directory is looked into".to_owned()),
    })?;
    let recorded = recorded(target).await;
    let mut found = Vec::new();
    for (supervisor, told) in ask_all(list, PATIENCE).await {
        match told {
            Ok(status) => found.push(Found { session: status.session, supervisor, silence: None }),
            Err(Refusal::Gone) => {}
            // One that hangs does not tell its name, and the record may.
            Err(why) => {
                let known = recorded.iter().find(|session| session.id == supervisor.session());
                let session = known.cloned().unwrap_or_else(|| unrecorded(&supervisor));
                found.push(Found { session, supervisor, silence: Some(why) });
            }
        }
    }
    let meant = wanted.choose(found, |found| &found.session);
    match <[Found; 1]>::try_from(meant) {
        Ok([Found { session, silence: Some(why), .. }]) => Err(not_done(&session, why)),
        Ok([Found { session, supervisor, silence: None }]) => {
            let done = outcome::bring_about(&supervisor, order, PATIENCE).await;
            done.map(|(done, took)| told(&session, done, took)).map_err(|why| undone(&session, why))
        }
        Err(none) if none.is_empty() => Err(not_found(&wanted, &recorded, &supervisors)),
        Err(several) => Err(ambiguous(&wanted, &several)),
    }
}

/// A supervisor that runs.
struct Found {
    /// What it says, or what was recorded of it.
    session: Session,
    supervisor: Supervisor,
    /// Why it does not answer. `None` if it does.
    silence: Option<Refusal>,
}

/// What was asked for.
struct Wanted {
    name: String,
    /// In small letters, as ids are.
    id: String,
}

impl Wanted {
    fn new(text: &str) -> Self {
        Self { name: text.to_owned(), id: text.to_ascii_lowercase() }
    }

    /// Those of this name; where there are none, those whose id this is, or ends so.
    fn choose<T>(&self, all: Vec<T>, session: impl Fn(&T) -> &Session) -> Vec<T> {
        let (named, others): (Vec<T>, Vec<T>) =
            all.into_iter().partition(|one| session(one).name == self.name);
        if !named.is_empty() || self.id.len() < SHORTEST_ID {
            return named;
        }
        others.into_iter().filter(|one| session(one).id.ends_with(&self.id)).collect()
    }

    /// As it may be shown on a terminal.
    fn shown(&self) -> String {
        format!("`{}`", self.name.escape_debug())
    }
}

/// What is recorded of sessions that have not ended, and of those that ended last.
async fn recorded(target: &Target) -> Vec<Session> {
    let found = recorded::read(target.places.data_dir.clone(), PATIENCE_TO_READ, |reader| {
        let mut sessions = reader.page(Which::Open, None, usize::MAX)?.sessions;
        sessions.extend(reader.ended(OVER)?);
        Ok(sessions)
    });
    found.await.ok().flatten().unwrap_or_default()
}

/// What is known of a supervisor that says nothing and was not recorded: its process, and when it began, which is in its id.
pub(super) fn unrecorded(supervisor: &Supervisor) -> Session {
    let id = supervisor.session();
    let began: String = id.chars().filter(|letter| *letter != '-').take(12).collect();
    let began = i64::from_str_radix(&began, 16).unwrap_or_default();
    Session { pid: supervisor.pid().cast_unsigned(), ..Session::begins(id.to_owned(), began) }
}

/// What each of them says of itself, many asked at once.
pub(super) async fn ask_all(
    list: Vec<Supervisor>,
    patience: Duration,
) -> Vec<(Supervisor, Result<Status, Refusal>)> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let asked: Vec<_> = list
        .into_iter()
        .map(|supervisor| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move {
                let _turn = turns.acquire().await;
                let told = supervisor.status(patience).await;
                (supervisor, told)
            })
        })
        .collect();
    let mut told = Vec::with_capacity(asked.len());
    for asking in asked {
        // It does not panic; if it did, it would have nothing to tell.
        told.extend(asking.await.ok());
    }
    told
}

/// How ids are shown: their ends differ, while they begin with the time.
pub(super) fn short_id(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}

/// What was done, as a line.
fn told(session: &Session, done: Done, took: Duration) -> String {
    let digits = if took < Duration::from_secs(1) { 2 } else { 1 };
    let (name, took) = (report::line(&session.name), format!("{:.digits$} s", took.as_secs_f64()));
    match done {
        Done::Serves(pid) => format!("{name} serves again after {took}, as process {pid}\n"),
        Done::Runs(pid) => {
            format!(
                "{name} was started anew after {took}, as process {pid}; it serves when its host asks it\n"
            )
        }
        Done::Ended => format!("{name} has ended after {took}\n"),
    }
}

fn undone(session: &Session, why: Undone) -> Failure {
    let name = format!("`{}`", session.name.escape_debug());
    let (message, hint) = match why {
        Undone::Refused(why) => return not_done(session, why),
        Undone::Unavailable(why) => (
            format!("{name} was started anew, and is not available: {why}"),
            "it is tried again by itself; its host is told why, and `mcp-supervise status --report` tells what has happened",
        ),
        Undone::Token => (
            format!("{name} is not started before it has a session token"),
            "`mcp-supervise setup` obtains one",
        ),
        Undone::Late(phase) => (
            format!("{name} takes too long: it is still {phase}"),
            "it goes on by itself; `mcp-supervise status` tells how it stands",
        ),
    };
    Failure { code: exit_code::NOT_DONE, message, hint: Some(hint.to_owned()) }
}

fn ambiguous(wanted: &Wanted, several: &[Found]) -> Failure {
    let each = several.iter().map(|found| {
        let session = &found.session;
        let host = session.client_name.as_deref().unwrap_or("a host that has not greeted");
        let silent = if found.silence.is_some() { ", does not answer" } else { "" };
        format!("{} (for {}, process {}{silent})", short_id(&session.id), host.escape_debug(), session.pid)
    });
    Failure {
        code: exit_code::AMBIGUOUS,
        message: format!("{} servers that run are called {}", several.len(), wanted.shown()),
        hint: Some(format!("name one by its id: {}", each.collect::<Vec<_>>().join(", "))),
    }
}

/// None that could be asked is meant.
fn not_found(wanted: &Wanted, recorded: &[Session], supervisors: &Supervisors) -> Failure {
    let meant = wanted.choose(recorded.iter().collect(), |session| session);
    let (name, open) = (wanted.shown(), meant.iter().find(|session| session.is_open()));
    match (open, meant.first()) {
        (Some(session), _) => Failure {
            code: exit_code::NOT_DONE,
            message: format!(
                "{name} runs as process {}, and has no control socket in {}",
                session.pid,
                supervisors.places()
            ),
            hint: Some(
                "it may have another --runtime-dir; its log tells where it has failed to open a socket"
                    .to_owned(),
            ),
        },
        (None, Some(session)) => Failure {
            code: exit_code::GONE,
            message: format!("{name} has ended"),
            hint: Some(format!(
                "its host starts it; `mcp-supervise status` tells why {} ended",
                short_id(&session.id)
            )),
        },
        (None, None) => Failure {
            code: exit_code::UNKNOWN,
            message: format!("no server that runs has the name or id {name}"),
            hint: Some("`mcp-supervise status` lists those that run".to_owned()),
        },
    }
}

fn not_done(session: &Session, why: Refusal) -> Failure {
    let name = format!("`{}`", session.name.escape_debug());
    let runs = |why: &dyn std::fmt::Display| format!("{name} runs as process {}, and {why}", session.pid);
    match why {
        Refusal::Gone => Failure {
            code: exit_code::GONE,
            message: format!("{name} has just ended"),
            hint: Some("its host starts it".to_owned()),
        },
        Refusal::Refused(complaint) => Failure {
            code: exit_code::NOT_DONE,
            message: format!("{name} does not do it: {}", complaint.error),
            hint: Some(complaint.hint),
        },
        Refusal::Silent => Failure {
            code: exit_code::NOT_DONE,
            message: runs(&"does not answer"),
            // Only of a process that is certainly it.
            hint: Some(if runs_here(session) {
                format!("if it stays so, end it: kill {}", session.pid)
            } else {
                "it may be in another container; try it again from there".to_owned()
            }),
        },
        Refusal::Strange(why) => Failure {
            code: exit_code::NOT_DONE,
            message: runs(&format_args!("its answer cannot be understood: {why}")),
            hint: Some(
                "it may be of another release: use the `mcp-supervise` that it was started with".to_owned(),
            ),
        },
        Refusal::System(error) => Failure {
            code: exit_code::NOT_DONE,
            message: format!("failed to ask {name}: {error}"),
            hint: Some("this is no fault of the server; try it again".to_owned()),
        },
    }
}
