//! What is read: by `status` and by the monitor. Whoever looks also closes what is lost.

use std::path::Path;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::ends::Ends;
use super::fault::Fault;
use super::row::{COLUMNS, event, session};
use super::{file, room, write};
use crate::ledger::{Event, Session, millis};

/// Which sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Those that have not ended.
    Open,
    /// Those that have.
    Closed,
    /// All of them.
    #[default]
    All,
}

/// Some sessions, the newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// There are older ones, after this one. `None` if there are none.
    pub next: Option<String>,
}

/// What all sessions that are kept add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// How many there are.
    pub total: u64,
    /// How many of them have not ended.
    pub open: u64,
    /// How long those lasted that have ended, all together, in milliseconds.
    pub closed_millis: u64,
    /// How many tools they have called, all of them.
    pub tool_calls: u64,
}

/// A look at the store. Short, for nobody writes meanwhile.
#[derive(Debug)]
pub struct Reader {
    opened: file::Opened,
    ends: Ends,
    path: std::path::PathBuf,
}

impl Reader {
    /// Opens the store in this directory for everything that we store, `None` for the platform's. Waits for as long as
    /// `patience` for others who have it.
    ///
    /// # Errors
    /// [`Fault::Absent`] where nothing was recorded yet, and others where it cannot be read.
    pub fn open(data_dir: Option<&Path>, patience: Duration) -> Result<Self, Fault> {
        let path = file::path(data_dir)?;
        let opened = file::open_to_read(&path, patience)?;
        let ends = if opened.copy.is_some() { Ends::beside_a_copy_of(&path) } else { Ends::beside(&path) };
        let mut reader = Self { opened, ends, path };
        // Where it cannot be written, what is lost is told as it is known.
        let _ = reader.ends.take(&mut reader.opened.db);
        let _ = reader.close_lost();
        Ok(reader)
    }

    /// Closes sessions whose supervisors are gone. How many.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn close_lost(&mut self) -> Result<usize, Fault> {
        let closed = write::close_lost(&mut self.opened.db, &self.ends, millis(room::now()));
        closed.map_err(|error| Fault::of(&self.path, error))
    }

    /// At most `limit` sessions, the newest first, and older than this one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn page(&self, which: Which, before: Option<&str>, limit: usize) -> Result<Page, Fault> {
        let condition = match which {
            Which::Open => "closed_at IS NULL AND",
            Which::Closed => "closed_at IS NOT NULL AND",
            Which::All => "",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM sessions WHERE {condition} (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2"
        );
        let read = || {
            let mut select = self.opened.db.prepare(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX - 1);
            let rows = select.query_map(params![before, limit.saturating_add(1)], session)?;
            rows.collect::<rusqlite::Result<Vec<Session>>>()
        };
        let mut sessions = read().map_err(|error| self.fault(error))?;
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let next = more.then(|| sessions.last().map(|last| last.id.clone())).flatten();
        Ok(Page { sessions, next })
    }

    /// The sessions that have ended last, at most so many, the latest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn ended(&self, limit: usize) -> Result<Vec<Session>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM sessions WHERE closed_at IS NOT NULL ORDER BY closed_at DESC, created_at DESC LIMIT ?1"
        );
        let read = || {
            let mut select = self.opened.db.prepare(&sql)?;
            let rows = select.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], session)?;
            rows.collect::<rusqlite::Result<Vec<Session>>>()
        };
        read().map_err(|error| self.fault(error))
    }

    /// The session with this id. `None` if there is none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn session(&self, id: &str) -> Result<Option<Session>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
        self.opened.db.query_row(&sql, [id], session).optional().map_err(|error| self.fault(error))
    }

    /// The last events of a session, or of all of them: at most `limit`, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn events(&self, of: Option<&str>, limit: usize) -> Result<Vec<Event>, Fault> {
        let condition = if of.is_some() { "session = ?1" } else { "?1 IS NULL" };
        let sql = format!(
            "SELECT session, at, kind, text FROM events WHERE {condition} ORDER BY number DESC LIMIT ?2"
        );
        let read = || {
            let mut select = self.opened.db.prepare(&sql)?;
            let rows = select.query_map(params![of, i64::try_from(limit).unwrap_or(i64::MAX)], event)?;
            rows.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<Event>>>()
        };
        let mut events = read().map_err(|error| self.fault(error))?;
        events.reverse();
        Ok(events)
    }

    /// What all sessions that are kept add up to.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn totals(&self) -> Result<Totals, Fault> {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        let sums = |condition: &str, length: &str| {
            let sql = format!(
                "SELECT count(*), coalesce(sum({length}), 0), coalesce(sum(tool_calls), 0) FROM sessions WHERE {condition}"
            );
            self.opened
                .db
                .query_row(&sql, [], |row| Ok((count(row.get(0)?), count(row.get(1)?), count(row.get(2)?))))
        };
        let read = || {
            let (closed, closed_millis, calls) =
                sums("closed_at IS NOT NULL", "max(closed_at - created_at, 0)")?;
            let (open, _, open_calls) = sums("closed_at IS NULL", "0")?;
            Ok(Totals { total: closed + open, open, closed_millis, tool_calls: calls + open_calls })
        };
        read().map_err(|error| self.fault(error))
    }

    fn fault(&self, error: rusqlite::Error) -> Fault {
        Fault::of(&self.path, error)
    }
}
