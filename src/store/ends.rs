//! Ends that cannot wait: a session that ends puts what it has to say into a file of its own first, for which it waits for
//! nobody. Whoever has the lock next, to write or to look, writes it down and removes it; mostly that is itself.
//!
//! ```text
//! sessions.ends/ID.NUMBER.json      one batch, 0600; of one session in the order of the numbers
//! ```
//!
//! Without it a session whose host ends forty at once would be gone before its turn comes, and would be taken for lost.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::write;
use crate::ledger::{Batch, CloseReason, Event, Session};

/// The directory, beside the file.
const DIR: &str = "sessions.ends";
/// The longest file that is read, in bytes: many times what a thousand events need.
const LONGEST: u64 = 4 * 1024 * 1024;
/// How long a file may be on its way to its name, which takes no time.
const UNNAMED: Duration = Duration::from_secs(60 * 60);

/// What is in a file.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    session: Session,
    events: Vec<Event>,
}

/// Those beside one file.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    dir: PathBuf,
    /// They are left where they are: what they are written to is a copy.
    leave: bool,
}

impl Ends {
    /// The last number that a batch of a session has.
    pub(super) const LAST: u32 = 999_999;

    /// Those beside the file of this path.
    pub(super) fn beside(path: &Path) -> Self {
        Self { dir: path.with_file_name(DIR), leave: false }
    }

    /// The same, for somebody who has a copy of the file.
    pub(super) fn beside_a_copy_of(path: &Path) -> Self {
        Self { leave: true, ..Self::beside(path) }
    }

    /// Puts a batch there, whole or not at all: the one with this number of its session. The file.
    pub(super) fn put(&self, batch: &Batch, number: u32) -> io::Result<PathBuf> {
        let made = DirBuilder::new().mode(0o700).create(&self.dir);
        if let Err(error) = made
            && (error.kind() != io::ErrorKind::AlreadyExists || !self.is_there())
        {
            return Err(error);
        }
        let session = batch.session.clone();
        let name = format!("{}.{number:06}", session.id);
        let file = self.dir.join(format!("{name}.json"));
        let text = serde_json::to_vec(&End { session, events: batch.events.clone() })?;
        // Who finds it under its name finds all of it.
        let new = self.dir.join(format!(".{name}"));
        let put = || {
            let mut open =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            open.write_all(&text)?;
            fs::rename(&new, &file)
        };
        put().inspect_err(|_| _ = fs::remove_file(&new))?;
        Ok(file)
    }

    /// Takes one away again.
    pub(super) fn remove(&self, file: &Path) {
        let _ = fs::remove_file(file);
        // Somebody may have put another one there.
        let _ = fs::remove_dir(&self.dir);
    }

    /// Whether there is a directory, and not a link to one.
    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.dir).is_ok_and(|found| found.is_dir())
    }

    /// Writes them down, and removes them. To be called under the lock. How many there were.
    pub(super) fn take(&self, db: &mut Connection) -> rusqlite::Result<usize> {
        let files = self.files();
        if files.is_empty() {
            return Ok(0);
        }
        let change = Transaction::new(db, TransactionBehavior::Immediate)?;
        for file in &files {
            // What cannot be read was cut by a loss of power, or is none of ours.
            if let Some(end) = read(file) {
                apply(&change, &end)?;
            }
        }
        change.commit()?;
        if !self.leave {
            for file in &files {
                self.remove(file);
            }
        }
        Ok(files.len())
    }

    /// The files, those of one session in their order.
    fn files(&self) -> Vec<PathBuf> {
        if !self.is_there() {
            return Vec::new();
        }
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let (mut files, others): (Vec<PathBuf>, Vec<PathBuf>) =
            entries.partition(|path| path.extension().is_some_and(|end| end == "json"));
        for other in others.iter().filter(|path| !self.leave && is_old(path)) {
            let _ = fs::remove_file(other);
        }
        files.sort();
        files
    }
}

/// Whether this was left by somebody who was killed before it had its name.
fn is_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > UNNAMED))
}

fn read(file: &Path) -> Option<End> {
    let mut text = Vec::new();
    let open =
        OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(file);
    let file: File = open.ok()?;
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Writes one down, unless more is known of that session already.
fn apply(db: &Connection, end: &End) -> rusqlite::Result<()> {
    let sql = "SELECT alive_at, close_reason, closed_at IS NULL FROM sessions WHERE id = ?1";
    let known = db.query_row(sql, [&end.session.id], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, bool>(2)?))
    });
    let lost = CloseReason::Lost.to_string();
    let is_older = known.optional()?.is_some_and(|(alive_at, reason, open)| {
        let told = !open && reason.is_some_and(|reason| reason != lost);
        // What was written while a session lived is older than its end, whatever the clock says.
        let is_over = told || end.session.is_open();
        is_over && alive_at > end.session.alive_at || (told && end.session.is_open())
    });
    if !is_older {
        write::put(db, &end.session)?;
    }
    write::events(db, &end.session.id, &end.events)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::ledger::Kind;
    use crate::store::schema;

    fn batch(alive_at: i64, reason: Option<CloseReason>, closed_at: Option<i64>, text: &str) -> Batch {
        let row = Session::begins("0198f0c2-0000-7000-8000-000000000001".to_owned(), 1);
        let session = Session { alive_at, close_reason: reason, closed_at, ..row };
        let event =
            Event { session: session.id.clone(), at: alive_at, kind: Kind::Stopped, text: text.to_owned() };
        Batch { session, events: vec![event], last: false }
    }

    fn found(db: &Connection) -> (Option<String>, Option<i64>, i64) {
        let sql = "SELECT close_reason, closed_at, (SELECT count(*) FROM events) FROM sessions";
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    }

    #[test]
    fn what_was_put_there_is_written_once_and_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let ends = Ends::beside(&dir.path().join("sessions.db"));
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        assert_eq!(ends.take(&mut db), Ok(0));
        ends.put(&batch(5, Some(CloseReason::HostEof), None, "begins to end"), 1).unwrap();
        ends.put(&batch(7, Some(CloseReason::HostEof), Some(7), "has ended"), 2).unwrap();
        fs::write(dir.path().join(DIR).join("torn.000001.json"), "{").unwrap();
        assert_eq!(Ends::beside_a_copy_of(&dir.path().join("sessions.db")).take(&mut db), Ok(3));
        assert_eq!(ends.files().len(), 3, "a copy takes nothing away");
        db.execute_batch("DELETE FROM sessions; DELETE FROM events").unwrap();
        assert_eq!(ends.take(&mut db), Ok(3));
        assert_eq!(found(&db), (Some("host_eof".to_owned()), Some(7), 2));
        assert!(!dir.path().join(DIR).exists(), "nothing is left");
        // Somebody was killed who had not named it yet.
        ends.put(&batch(8, Some(CloseReason::HostEof), Some(8), "has ended"), 3).unwrap();
        let (old, new) = (dir.path().join(DIR).join(".old"), dir.path().join(DIR).join(".new"));
        File::create(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        File::create(&new).unwrap();
        assert_eq!(ends.take(&mut db), Ok(1));
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn what_is_told_of_an_end_stands_against_lost_and_against_what_is_older() {
        let dir = tempfile::tempdir().unwrap();
        let ends = Ends::beside(&dir.path().join("sessions.db"));
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        write::batch(&mut db, &batch(5, Some(CloseReason::Lost), Some(5), "x")).unwrap();
        ends.put(&batch(6, Some(CloseReason::Signal), Some(6), "y"), 1).unwrap();
        ends.take(&mut db).unwrap();
        assert_eq!(found(&db), (Some("signal".to_owned()), Some(6), 2));
        ends.put(&batch(6, Some(CloseReason::Signal), None, "z"), 2).unwrap();
        ends.put(&batch(4, Some(CloseReason::Asked), Some(4), "z"), 3).unwrap();
        ends.take(&mut db).unwrap();
        assert_eq!(found(&db), (Some("signal".to_owned()), Some(6), 4));
    }

    #[test]
    fn an_end_that_was_taken_while_a_batch_waited_for_its_turn_stands() {
        let dir = tempfile::tempdir().unwrap();
        let ends = Ends::beside(&dir.path().join("sessions.db"));
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        ends.put(&batch(8, Some(CloseReason::HostEof), Some(8), "has ended"), Ends::LAST).unwrap();
        ends.take(&mut db).unwrap();
        write::batch(&mut db, &batch(8, None, None, "was started")).unwrap();
        assert_eq!(found(&db), (Some("host_eof".to_owned()), Some(8), 2));
        // One that was taken for lost lives, and says so.
        db.execute("UPDATE sessions SET close_reason = 'lost'", ()).unwrap();
        write::batch(&mut db, &batch(9, None, None, "lives")).unwrap();
        assert_eq!(found(&db), (None, None, 3));
    }

    #[test]
    fn what_was_written_while_a_session_lived_is_older_than_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let ends = Ends::beside(&dir.path().join("sessions.db"));
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        // The clock was set back in between.
        write::batch(&mut db, &batch(9, None, None, "lives")).unwrap();
        ends.put(&batch(8, Some(CloseReason::HostEof), Some(8), "has ended"), 1).unwrap();
        ends.take(&mut db).unwrap();
        assert_eq!(found(&db), (Some("host_eof".to_owned()), Some(8), 2));
    }
}
