//! `restart` and `stop`: a supervisor that runs is told to.
//!
//! It is found by the name of its server, or by its session's id or the end of that. What cannot be done has an exit code
//! of its own ([`exit_code::OF_ORDERS`]) and says what else could be.

use std::time::Duration;

use crate::cli::sessions::Target;
use crate::control::Status;
use crate::control::client::{Refusal, Supervisor, Supervisors};
use crate::engine::io::Order;
use crate::ledger::Session;
use crate::store::{Reader, Which};
use crate::{exit_code, report};

/// How long a supervisor may take to say who it is, and to take an order.
const PATIENCE: Duration = Duration::from_secs(2);
/// The shortest end of an id that is taken for one.
const SHORTEST_ID: usize = 4;
/// How many of the sessions that are over are looked at for the name.
const OVER: usize = 200;

/// Why an order is not carried out.
#[derive(Debug)]
struct Failure {
    code: i32,
    message: String,
    hint: String,
}

/// Gives the order. The exit code; everything else is told already.
pub fn order(target: &Target, order: Order) -> i32 {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure {
            code: exit_code::UNEXPECTED,
            message: format!("failed to start: {error}"),
            hint: "try it again".to_owned(),
        })
        .and_then(|runtime| runtime.block_on(give(target, order)));
    match done {
        Ok(told) => match report::text(told) {
            Ok(()) => exit_code::DONE,
            Err(error) => {
                report::error(format_args!("failed to write to stdout: {error}"), None);
                exit_code::UNEXPECTED
            }
        },
        Err(failure) => {
            report::error(failure.message, Some(&failure.hint));
            failure.code
        }
    }
}

async fn give(target: &Target, order: Order) -> Result<String, Failure> {
    let wanted = target.server.as_str();
    let list = Supervisors::of(target.places.runtime_dir.as_deref()).list().map_err(|fault| Failure {
        code: exit_code::UNEXPECTED,
        message: format!(
            "failed to {}",
            fault.to_string().replace("open the control socket", "look for sockets")
        ),
        hint: "with --runtime-dir another directory is looked into".to_owned(),
    })?;
    let (mut named, mut silent) = (Vec::new(), Vec::new());
    for (supervisor, told) in ask_all(list, PATIENCE).await {
        match told {
            Ok(status) if is_meant(&status.session, wanted) => named.push((supervisor, status)),
            Ok(_) | Err(Refusal::Gone) => {}
            Err(why) => silent.push((supervisor, why)),
        }
    }
    match &named[..] {
        [] => Err(not_found(target, &silent)),
        [(supervisor, status)] => {
            let Status { session, .. } = status;
            supervisor.order(order, PATIENCE).await.map_err(|why| not_done(session, why))?;
            Ok(match order {
                Order::Restart => {
                    format!("{} is started anew as soon as it has done what it does\n", session.name)
                }
                Order::Stop => format!("{} ends\n", session.name),
            })
        }
        several => {
            let each = several.iter().map(|(_, status)| {
                let host = status.session.client_name.as_deref().unwrap_or("a host that has not greeted");
                format!("{} (for {host}, process {})", short_id(&status.session.id), status.session.pid)
            });
            Err(Failure {
                code: exit_code::AMBIGUOUS,
                message: format!("{} servers that run are called `{wanted}`", several.len()),
                hint: format!("name one by its id: {}", each.collect::<Vec<_>>().join(", ")),
            })
        }
    }
}

/// What each of them says of itself, all asked at once.
pub(super) async fn ask_all(
    list: Vec<Supervisor>,
    patience: Duration,
) -> Vec<(Supervisor, Result<Status, Refusal>)> {
    let asked: Vec<_> = list
        .into_iter()
        .map(|supervisor| {
            tokio::spawn(async move {
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

/// Whether this is the name of the session's server, or its id, or the end of that.
fn is_meant(session: &Session, wanted: &str) -> bool {
    let end = wanted.to_ascii_lowercase();
    session.name == wanted || (end.len() >= SHORTEST_ID && session.id.ends_with(&end))
}

fn not_found(target: &Target, silent: &[(Supervisor, Refusal)]) -> Failure {
    let wanted = target.server.as_str();
    let by_id =
        |session: &str| wanted.len() >= SHORTEST_ID && session.ends_with(&wanted.to_ascii_lowercase());
    let recorded = || {
        let reader = Reader::open(target.places.data_dir.as_deref()).ok()?;
        reader.page(Which::All, None, OVER).ok()
    };
    let recorded = recorded().map(|page| page.sessions).unwrap_or_default();
    // A supervisor that hangs does not tell its name, and the record may.
    let hangs = silent.iter().find(|(supervisor, _)| {
        let of_record = recorded.iter().find(|session| session.id == supervisor.session());
        by_id(supervisor.session()) || of_record.is_some_and(|session| is_meant(session, wanted))
    });
    if let Some((supervisor, why)) = hangs {
        return Failure {
            code: exit_code::NOT_DONE,
            message: format!("`{wanted}` runs as process {}, and {why}", supervisor.pid()),
            hint: format!("if it stays so, end it: kill {}", supervisor.pid()),
        };
    }
    match recorded.iter().find(|session| is_meant(session, wanted)) {
        Some(session) => Failure {
            code: exit_code::GONE,
            message: format!("`{wanted}` has ended"),
            hint: format!(
                "its host starts it; `mcp-supervise status` tells why {} ended",
                short_id(&session.id)
            ),
        },
        None => Failure {
            code: exit_code::UNKNOWN,
            message: format!("no server that runs has the name or id `{wanted}`"),
            hint: "`mcp-supervise status` lists those that run".to_owned(),
        },
    }
}

fn not_done(session: &Session, why: Refusal) -> Failure {
    let name = &session.name;
    match why {
        Refusal::Gone => Failure {
            code: exit_code::GONE,
            message: format!("`{name}` has just ended"),
            hint: "its host starts it".to_owned(),
        },
        Refusal::Refused(complaint) => Failure {
            code: exit_code::NOT_DONE,
            message: format!("`{name}` does not do it: {}", complaint.error),
            hint: complaint.hint,
        },
        why @ (Refusal::Silent | Refusal::Strange(_) | Refusal::System(_)) => Failure {
            code: exit_code::NOT_DONE,
            message: format!("`{name}` runs as process {}, and {why}", session.pid),
            hint: format!("if it stays so, end it: kill {}", session.pid),
        },
    }
}
