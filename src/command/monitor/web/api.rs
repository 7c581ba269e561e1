//! The API: sessions, their events, what was done in the last minutes, and the one order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Answer, Desk, complain};
use crate::command::monitor::listing::{self, Known};
use crate::control::client::{Refusal, Supervisor};
use crate::engine::io::Order;
use crate::ledger::{Event, Session};
use crate::store::{Page, Which};
use crate::threads;

/// How many sessions or events there are in an answer, unless it is said, and at most.
const SOME: usize = 50;
const MOST: usize = 500;
/// How many events of one session there are in an answer.
const EVENTS: usize = 200;
/// How long a supervisor has to take an order.
const ANSWER: Duration = Duration::from_secs(3);

/// What is answered where something is wrong.
pub(super) struct Complained(StatusCode, String, String);

/// What may be asked for after the question mark.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    status: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// An event with the name of its server.
#[derive(Debug, Serialize)]
struct Named {
    #[serde(flatten)]
    event: Event,
    name: String,
}

pub(super) async fn sessions(
    State(desk): State<Arc<Desk>>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Answer, Complained> {
    let wish = understood(wish)?;
    let which = match wish.status.as_deref() {
        None | Some("all") => Which::All,
        Some("active") => Which::Open,
        Some("closed") => Which::Closed,
        Some(_) => return Err(bad("there is no such status", "ask for active, closed or all")),
    };
    let limit = limit(wish.limit.as_deref())?;
    // As we write them, for they are compared as texts.
    let cursor = wish.cursor.map(|cursor| Uuid::try_parse(&cursor).map(|id| id.to_string())).transpose();
    let cursor = cursor.map_err(|_| bad("the cursor is none", "take the next_cursor of the page before"))?;
    let before = cursor.clone();
    let stored = desk.shelf.read(move |reader| reader.page(which, before.as_deref(), limit)).await;
    let stored = match stored {
        Ok(stored) => stored.unwrap_or(Page { sessions: Vec::new(), next: None }),
        // Those that live are there without the store too. Of the others an empty list would be a lie.
        Err(_) if which != Which::Closed && cursor.is_none() => Page { sessions: Vec::new(), next: None },
        Err(why) => return Err(unreadable(why)),
    };
    let known = desk.hub.look(|board, _| Known::of(board));
    Ok(Json(known.page(which, cursor.as_deref(), limit, stored)).into_response())
}

pub(super) async fn session(
    State(desk): State<Arc<Desk>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer, Complained> {
    let Path(id) = id.map_err(|_| unknown())?;
    let stored = desk.shelf.read({
        let id = id.clone();
        move |reader| Ok((reader.session(&id)?, reader.events(Some(&id), EVENTS)?))
    });
    let (fault, (stored, events)) = match stored.await {
        Ok(found) => (None, found.unwrap_or_default()),
        Err(why) => (Some(why), Default::default()),
    };
    let (known, heard) = desk
        .hub
        .look(|board, _| (board.row(&id).cloned(), board.events(Some(&id)).cloned().collect::<Vec<_>>()));
    // What is heard is newer than what is written, but for an end that was not heard.
    let unheard =
        stored.as_ref().is_some_and(|row| !row.is_open()) && known.as_ref().is_some_and(Session::is_open);
    let session = if unheard { stored } else { known.or(stored) };
    let session = session.ok_or_else(|| fault.map_or_else(unknown, unreadable))?;
    let events = listing::events(events, heard, EVENTS);
    Ok(Json(json!({"session": session, "events": events})).into_response())
}

pub(super) async fn restart(
    State(desk): State<Arc<Desk>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer, Complained> {
    let Path(id) = id.map_err(|_| unknown())?;
    let gone = || conflict("the session is over", "its host starts it again");
    let Some(supervisor) = supervisor(&desk, &id).await else {
        if desk.hub.look(|board, _| board.live_row(&id).is_some()) {
            let hint = "see /health/deep, and the log of its supervisor";
            return Err(conflict("the control socket of its supervisor cannot be reached", hint));
        }
        let known = desk.hub.look(|board, _| board.row(&id).is_some());
        let stored = desk.shelf.read(move |reader| reader.session(&id));
        return Err(match stored.await {
            _ if known => gone(),
            Ok(Some(Some(_))) => gone(),
            Ok(_) => unknown(),
            Err(why) => unreadable(why),
        });
    };
    match supervisor.order(Order::Restart, ANSWER).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(json!({"status": "restarting"}))).into_response()),
        Err(Refusal::Gone) => Err(gone()),
        Err(Refusal::Refused(complaint)) => Err(conflict(complaint.error, complaint.hint)),
        Err(refusal @ (Refusal::Silent | Refusal::Strange(_) | Refusal::System(_))) => {
            let hint = "look at the process of the supervisor, or restart its host";
            Err(conflict(format!("the supervisor does not take it: {refusal}"), hint))
        }
    }
}

pub(super) async fn events(
    State(desk): State<Arc<Desk>>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Answer, Complained> {
    let limit = limit(understood(wish)?.limit.as_deref())?;
    let heard: Vec<Event> = desk.hub.look(|board, _| board.events(None).cloned().collect());
    let stored = desk.shelf.read(move |reader| {
        let events = reader.events(None, limit)?;
        let mut names = BTreeMap::new();
        for id in events.iter().map(|event| event.session.as_str()).collect::<BTreeSet<_>>() {
            names.extend(reader.session(id)?.map(|row| (id.to_owned(), row.name)));
        }
        Ok((events, names))
    });
    let (stored, mut names) = stored.await.ok().flatten().unwrap_or_default();
    let mut events = listing::events(stored, heard, limit);
    events.reverse();
    desk.hub.look(|board, _| {
        let name = |row: &Session| (row.id.clone(), row.name.clone());
        names.extend(board.live().map(name));
        names.extend(board.ended().map(|ended| name(&ended.session)));
    });
    let with_name =
        |event: Event| Named { name: names.get(&event.session).cloned().unwrap_or_default(), event };
    let events: Vec<Named> = events.into_iter().map(with_name).collect();
    Ok(Json(json!({"events": events})).into_response())
}

pub(super) async fn history(State(desk): State<Arc<Desk>>) -> Answer {
    let (minutes, since) = desk.hub.look(|board, now| (board.minutes(now), board.since()));
    Json(json!({"minutes": minutes, "since": since})).into_response()
}

/// The supervisor of this session, if it has a socket.
async fn supervisor(desk: &Desk, id: &str) -> Option<Supervisor> {
    let supervisors = desk.supervisors.clone();
    let found = threads::blocking(move || supervisors.list()).await.ok()?.ok()?;
    found.into_iter().find(|supervisor| supervisor.session() == id)
}

fn understood(wish: Result<Query<Wish>, QueryRejection>) -> Result<Wish, Complained> {
    let hint = "write it as ?limit=50";
    wish.map(|Query(wish)| wish).map_err(|_| bad("what follows the question mark cannot be understood", hint))
}

/// How many are asked for; of more than there are in an answer, as many as there are.
fn limit(asked: Option<&str>) -> Result<usize, Complained> {
    let Some(asked) = asked else { return Ok(SOME) };
    match asked.parse::<usize>() {
        Ok(limit) if limit > 0 => Ok(limit.min(MOST)),
        Ok(_) | Err(_) => Err(bad("the limit is none", "write a number from 1 to 500")),
    }
}

fn bad(error: &str, hint: &str) -> Complained {
    Complained(StatusCode::BAD_REQUEST, error.to_owned(), hint.to_owned())
}

fn unknown() -> Complained {
    let (error, hint) = ("there is no such session", "ask /api/sessions which there are");
    Complained(StatusCode::NOT_FOUND, error.to_owned(), hint.to_owned())
}

/// What was recorded cannot be read just now.
fn unreadable(why: String) -> Complained {
    Complained(StatusCode::SERVICE_UNAVAILABLE, why, "see /health/deep, and try it again".to_owned())
}

/// The order cannot be carried out.
fn conflict(error: impl Into<String>, hint: impl Into<String>) -> Complained {
    Complained(StatusCode::CONFLICT, error.into(), hint.into())
}

impl IntoResponse for Complained {
    fn into_response(self) -> Response {
        let Self(status, error, hint) = self;
        complain(status, error, hint)
    }
}
