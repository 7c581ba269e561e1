//! What is written: a batch, the end of sessions whose supervisors are gone, and what is forgotten.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::owner::is_lost;
use super::row::{COLUMNS, session, values};
use crate::ledger::{Batch, CloseReason, Session};

/// The most sessions that are kept, whatever their age.
const MOST_SESSIONS: i64 = 100_000;
/// The most events of one session that are kept: a server that crashes each minute for hours.
pub(super) const MOST_EVENTS: i64 = 500;

/// Writes a batch.
pub(super) fn batch(db: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let change = Transaction::new(db, TransactionBehavior::Immediate)?;
    put(&change, &batch.session)?;
    {
        let mut insert =
            change.prepare("INSERT INTO events (session, at, kind, text) VALUES (?1, ?2, ?3, ?4)")?;
        for event in &batch.events {
            insert.execute(params![event.session, event.at, event.kind.to_string(), event.text])?;
        }
    }
    if !batch.events.is_empty() {
        change.execute(
            "DELETE FROM events WHERE session = ?1 AND number <= \
             (SELECT number FROM events WHERE session = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            params![batch.session.id, MOST_EVENTS],
        )?;
    }
    change.commit()
}

fn put(db: &Connection, row: &Session) -> rusqlite::Result<()> {
    let places: Vec<String> = (1..=COLUMNS.split(',').count()).map(|number| format!("?{number}")).collect();
    let sql = format!("INSERT OR REPLACE INTO sessions ({COLUMNS}) VALUES ({})", places.join(", "));
    db.execute(&sql, values(row))?;
    Ok(())
}

/// Closes the open sessions whose supervisors are gone, at this time in milliseconds since the Unix epoch. How many.
pub(super) fn close_lost(db: &mut Connection, now: i64) -> rusqlite::Result<usize> {
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

/// Forgets sessions that have been over for longer than this, and the oldest of too many.
pub(super) fn forget(db: &mut Connection, now: i64, keep: Duration) -> rusqlite::Result<()> {
    forget_all_but(db, now.saturating_sub(crate::ledger::millis(keep)), MOST_SESSIONS)
}

pub(super) fn forget_all_but(db: &mut Connection, since: i64, most: i64) -> rusqlite::Result<()> {
    const OLD: &str = "SELECT id FROM sessions WHERE closed_at IS NOT NULL AND (closed_at < ?1 OR id <= ?2)";
    // Ids begin with the time.
    let oldest = "SELECT id FROM sessions ORDER BY id DESC LIMIT 1 OFFSET ?1";
    let too_many: Option<String> = db.query_row(oldest, [most], |row| row.get(0)).optional()?;
    let too_many = too_many.unwrap_or_default();
    let any: bool =
        db.query_row(&format!("SELECT EXISTS ({OLD})"), params![since, too_many], |row| row.get(0))?;
    if !any {
        return Ok(());
    }
    let change = Transaction::new(db, TransactionBehavior::Immediate)?;
    change.execute(&format!("DELETE FROM events WHERE session IN ({OLD})"), params![since, too_many])?;
    change.execute(&format!("DELETE FROM sessions WHERE id IN ({OLD})"), params![since, too_many])?;
    change.commit()
}
