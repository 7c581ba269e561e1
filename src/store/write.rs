//! What is written: a batch, and the end of sessions whose supervisors are gone.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::ends::Ends;
use super::owner::is_lost;
use super::row::{COLUMNS, session, values};
use crate::ledger::{Batch, CloseReason, Event, Session};

/// The most events of one session that are kept: a server that crashes each minute for hours.
pub(super) const MOST_EVENTS: i64 = 500;

/// Writes a batch. An end that is there already stands: it was told while this batch waited for its turn.
pub(super) fn batch(db: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let change = Transaction::new(db, TransactionBehavior::Immediate)?;
    if !batch.session.is_open() || !has_ended(&change, &batch.session.id)? {
        put(&change, &batch.session)?;
    }
    events(&change, &batch.session.id, &batch.events)?;
    change.commit()
}

/// Whether an end of this session was told.
fn has_ended(db: &Connection, id: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND closed_at IS NOT NULL AND close_reason <> ?2)";
    db.query_row(sql, params![id, CloseReason::Lost.to_string()], |row| row.get(0))
}

/// Adds events of a session; of too many the last are kept.
pub(super) fn events(db: &Connection, id: &str, events: &[Event]) -> rusqlite::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = db.prepare("INSERT INTO events (session, at, kind, text) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        insert.execute(params![event.session, event.at, event.kind.to_string(), event.text])?;
    }
    db.execute(
        "DELETE FROM events WHERE session = ?1 AND number <= \
         (SELECT number FROM events WHERE session = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        params![id, MOST_EVENTS],
    )?;
    Ok(())
}

/// Writes a row, whatever was there of it.
pub(super) fn put(db: &Connection, row: &Session) -> rusqlite::Result<()> {
    let places: Vec<String> = (1..=COLUMNS.split(',').count()).map(|number| format!("?{number}")).collect();
    let sql = format!("INSERT OR REPLACE INTO sessions ({COLUMNS}) VALUES ({})", places.join(", "));
    db.execute(&sql, values(row))?;
    Ok(())
}

/// Closes the open sessions whose supervisors are gone, at this time in milliseconds since the Unix epoch, with the end that
/// they have told. How many have told none to the end.
pub(super) fn close_lost(db: &mut Connection, ends: &Ends, now: i64) -> rusqlite::Result<usize> {
    let open: Vec<Session> = {
        let mut select =
            db.prepare(&format!("SELECT {COLUMNS} FROM sessions WHERE closed_at IS NULL ORDER BY id"))?;
        let rows = select.query_map([], session)?;
        rows.collect::<Result<_, _>>()?
    };
    let lost: Vec<&Session> = open.iter().filter(|session| is_lost(session, now)).collect();
    if lost.is_empty() {
        return Ok(0);
    }
    // Now that they are gone there is nothing of theirs that is still to come.
    ends.take(db)?;
    let change = Transaction::new(db, TransactionBehavior::Immediate)?;
    let mut closed = 0;
    for session in lost {
        // It ended some time after it was last known to live. It may have written its own end by now.
        closed += change.execute(
            "UPDATE sessions SET closed_at = ?2, close_reason = coalesce(close_reason, ?3), phase = 'stopped' WHERE id = ?1 AND closed_at IS NULL",
            params![session.id, session.alive_at.max(session.last_active.unwrap_or(0)).min(now), CloseReason::Lost.to_string()],
        )?;
    }
    change.commit()?;
    Ok(closed)
}
