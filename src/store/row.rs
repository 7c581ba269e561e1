//! A session as a row of its table, and back.

use std::str::FromStr;

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::ledger::{ApiState, CloseReason, Event, Kind, Session, TokenState};

/// The columns, in the order in which they are written and read.
pub(super) const COLUMNS: &str = "id, name, command, transport, client_name, client_version, protocol_version, server_name, \
     server_version, pid, pid_started, created_at, last_active, alive_at, phase, tool_calls, requests, errors, \
     guidance_answers, restarts, noise_lines, bytes_to_server, bytes_to_host, token_state, token_expires_at, closed_at, \
     close_reason, api_state";

fn count(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn some<T>(value: Option<T>, form: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, form)
}

/// The values of a row, in the order of [`COLUMNS`].
pub(super) fn values(row: &Session) -> impl rusqlite::Params + use<> {
    let optional = |value: &Option<String>| some(value.as_deref(), text);
    params_from_iter(vec![
        text(&row.id),
        text(&row.name),
        text(&row.command),
        text(&row.transport),
        optional(&row.client_name),
        optional(&row.client_version),
        optional(&row.protocol_version),
        optional(&row.server_name),
        optional(&row.server_version),
        Value::Integer(row.pid.into()),
        text(&row.pid_started),
        Value::Integer(row.created_at),
        some(row.last_active, Value::Integer),
        Value::Integer(row.alive_at),
        text(&row.phase),
        count(row.tool_calls),
        count(row.requests),
        count(row.errors),
        count(row.guidance_answers),
        count(row.restarts),
        count(row.noise_lines),
        count(row.bytes_to_server),
        count(row.bytes_to_host),
        text(&row.token_state.to_string()),
        some(row.token_expires_at, Value::Integer),
        some(row.closed_at, Value::Integer),
        some(row.close_reason, |reason: CloseReason| text(&reason.to_string())),
        text(&row.api_state.to_string()),
    ])
}

/// A row with the columns of [`COLUMNS`].
pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let count = |at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or_default());
    Ok(Session {
        id: row.get(0)?,
        name: row.get(1)?,
        command: row.get(2)?,
        transport: row.get(3)?,
        client_name: row.get(4)?,
        client_version: row.get(5)?,
        protocol_version: row.get(6)?,
        server_name: row.get(7)?,
        server_version: row.get(8)?,
        pid: row.get(9)?,
        pid_started: row.get(10)?,
        created_at: row.get(11)?,
        last_active: row.get(12)?,
        alive_at: row.get(13)?,
        phase: row.get(14)?,
        tool_calls: count(15)?,
        requests: count(16)?,
        errors: count(17)?,
        guidance_answers: count(18)?,
        restarts: count(19)?,
        noise_lines: count(20)?,
        bytes_to_server: count(21)?,
        bytes_to_host: count(22)?,
        // A word of a newer release is none that could be understood here.
        token_state: word(row, 23)?.unwrap_or(TokenState::Unknown),
        token_expires_at: row.get(24)?,
        closed_at: row.get(25)?,
        close_reason: word::<CloseReason>(row, 26)?,
        api_state: word(row, 27)?.unwrap_or(ApiState::Unknown),
    })
}

/// A row with session, at, kind and text. `None` where the kind is one of a newer release.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<Option<Event>> {
    let Some(kind) = word::<Kind>(row, 2)? else { return Ok(None) };
    Ok(Some(Event { session: row.get(0)?, at: row.get(1)?, kind, text: row.get(3)? }))
}

/// `None` where there is no word, or none that is known.
fn word<T: FromStr>(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<T>> {
    Ok(row.get::<_, Option<String>>(at)?.and_then(|text| text.parse().ok()))
}
