//! The tables, and how older ones become these.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// What makes each version of the one before it, the first of nothing. To be added to, and never to be changed.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY NOT NULL,
        name TEXT NOT NULL,
        command TEXT NOT NULL,
        transport TEXT NOT NULL,
        client_name TEXT,
        client_version TEXT,
        protocol_version TEXT,
        server_name TEXT,
        server_version TEXT,
        pid INTEGER NOT NULL,
        pid_started TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        last_active INTEGER,
        alive_at INTEGER NOT NULL,
        phase TEXT NOT NULL,
        tool_calls INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        guidance_answers INTEGER NOT NULL,
        restarts INTEGER NOT NULL,
        noise_lines INTEGER NOT NULL,
        bytes_to_server INTEGER NOT NULL,
        bytes_to_host INTEGER NOT NULL,
        token_state TEXT NOT NULL,
        token_expires_at INTEGER,
        closed_at INTEGER,
        close_reason TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_open ON sessions (id) WHERE closed_at IS NULL;
    CREATE INDEX sessions_closed ON sessions (closed_at, created_at, tool_calls) WHERE closed_at IS NOT NULL;
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        session TEXT NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_session ON events (session, number);
",
    "
    ALTER TABLE sessions ADD COLUMN api_state TEXT NOT NULL DEFAULT 'unknown';
",
];

/// The version that this release writes.
#[expect(clippy::cast_possible_wrap, reason = "there are few")]
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The version of a file; 0 of one that is new.
pub(super) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Makes the tables what this release knows. The version that was found; one that is newer than ours is left as it is.
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<i64> {
    migrate_by(db, MIGRATIONS)
}

fn migrate_by(db: &mut Connection, migrations: &[&str]) -> rusqlite::Result<i64> {
    let found = version(db)?;
    if usize::try_from(found).is_ok_and(|found| found >= migrations.len()) {
        return Ok(found);
    }
    // Others may do the same at the same time: who comes second finds it done.
    let change = Transaction::new(db, TransactionBehavior::Immediate)?;
    let found = version(&change)?;
    for (number, migration) in (1..).zip(migrations).skip(usize::try_from(found).unwrap_or_default()) {
        change.execute_batch(migration)?;
        change.pragma_update(None, "user_version", number)?;
    }
    change.commit()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::row;
    use super::*;
    use crate::ledger::{ApiState, Session};

    fn migrated(db: &mut Connection, migrations: &[&str]) -> i64 {
        migrate_by(db, migrations).unwrap();
        version(db).unwrap()
    }

    #[test]
    fn each_step_is_made_once_and_what_is_there_stays() {
        let mut db = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE t (a)", "ALTER TABLE t ADD COLUMN b DEFAULT 7", "DROP TABLE t"];
        assert_eq!(migrated(&mut db, &steps[..1]), 1);
        db.execute("INSERT INTO t (a) VALUES (1)", []).unwrap();
        assert_eq!(migrated(&mut db, &steps[..2]), 2);
        assert_eq!(migrated(&mut db, &steps[..2]), 2, "nothing is left to do");
        let row: (i64, i64) =
            db.query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(row, (1, 7));
        assert_eq!(migrated(&mut db, &steps[..1]), 2, "a newer file is left alone");
    }

    #[test]
    fn a_file_of_the_first_version_keeps_its_sessions_and_of_their_api_nothing_is_known() {
        let mut db = Connection::open_in_memory().unwrap();
        assert_eq!(migrated(&mut db, &MIGRATIONS[..1]), 1);
        let written = Session { tool_calls: 7, ..Session::begins("a".to_owned(), 3) };
        db.execute(
            "INSERT INTO sessions VALUES ('a', '', '', 'stdio', NULL, NULL, NULL, NULL, NULL, 0, '', 3, NULL, 3, \
             'starting', 7, 0, 0, 0, 0, 0, 0, 0, 'none', NULL, NULL, NULL)",
            [],
        )
        .unwrap();
        assert_eq!(migrate(&mut db).unwrap(), 1);
        let sql = format!("SELECT {} FROM sessions", row::COLUMNS);
        let read = |db: &Connection| db.query_row(&sql, [], row::session).unwrap();
        assert_eq!(read(&db), written);
        let locked = Session { api_state: ApiState::Locked, ..written };
        super::super::write::put(&db, &locked).unwrap();
        assert_eq!(read(&db), locked);
    }

    #[test]
    fn a_step_that_fails_leaves_everything_as_it_was() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate_by(&mut db, &["CREATE TABLE t (a); CREATE TABLE t (a)"]).unwrap_err();
        assert_eq!(version(&db).unwrap(), 0);
        assert!(db.prepare("SELECT * FROM t").is_err());
    }
}
