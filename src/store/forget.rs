//! What is forgotten: sessions that have been over for long, and the oldest of too many, with their events.
//!
//! A clock may be wrong, and one that jumps by months makes everything old at once. So age is what the record itself has seen
//! pass: the time between two ends that lie far apart counts for nothing, for nobody was there to see it. Whatever their age,
//! the sessions that ended last are kept, and at one time a tenth is forgotten at most.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::ledger::millis;

/// How many are kept, whatever their age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Those that ended last.
    pub(super) least: i64,
    /// All of them.
    pub(super) most: i64,
}

impl Counts {
    const USUAL: Self = Self { least: 100, most: 100_000 };
    /// Where nothing is to be kept.
    const NONE: Self = Self { least: 0, ..Self::USUAL };
}

/// The part of those that are over that is forgotten at one time, and one session at least.
const PART: i64 = 10;
/// The part of the time for which sessions are kept that may pass between two ends and still counts, and that in milliseconds
/// which counts at least.
const GAP: i64 = 10;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Forgets what has been over for longer than this at this time, in milliseconds since the Unix epoch, and the oldest of too
/// many.
pub(super) fn forget(db: &mut Connection, now: i64, keep: Duration) -> rusqlite::Result<()> {
    let counts = if keep.is_zero() { Counts::NONE } else { Counts::USUAL };
    forget_all_but(db, oldest(db, now, millis(keep))?, counts)
}

/// The time since which what has ended is kept: so long ago as the record has seen pass. The earliest of all where it has
/// not seen so much.
fn oldest(db: &Connection, now: i64, keep: i64) -> rusqlite::Result<i64> {
    let since = now.saturating_sub(keep);
    let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE closed_at IS NOT NULL AND closed_at < ?1)";
    // Whatever the clock says, more than no time has passed. Most of the time nothing is old by the clock either.
    if keep == 0 || !db.query_row(sql, [since], |row| row.get::<_, bool>(0))? {
        return Ok(since);
    }
    let longest = (keep / GAP).max(DAY);
    let mut ends = db.prepare(
        "SELECT closed_at FROM sessions WHERE closed_at IS NOT NULL AND closed_at <= ?1 ORDER BY closed_at DESC",
    )?;
    let mut rows = ends.query([now])?;
    let (mut later, mut seen) = (now, 0);
    while let Some(row) = rows.next()? {
        let end: i64 = row.get(0)?;
        let gap = later.saturating_sub(end);
        if gap <= longest {
            if seen + gap > keep {
                return Ok(later - (keep - seen));
            }
            seen += gap;
        }
        later = end;
    }
    Ok(i64::MIN)
}

/// Forgets what ended before this time, and the oldest of too many, as far as the counts allow it.
pub(super) fn forget_all_but(db: &mut Connection, since: i64, counts: Counts) -> rusqlite::Result<()> {
    // Those that ended last are passed over, and of the others the first come first.
    const OLD: &str = "SELECT id FROM (SELECT id, closed_at FROM sessions WHERE closed_at IS NOT NULL \
         ORDER BY closed_at DESC LIMIT -1 OFFSET ?3) WHERE closed_at < ?1 OR id <= ?2 ORDER BY closed_at LIMIT ?4";
    // Ids begin with the time.
    let oldest = "SELECT id FROM sessions ORDER BY id DESC LIMIT 1 OFFSET ?1";
    let too_many: Option<String> = db.query_row(oldest, [counts.most], |row| row.get(0)).optional()?;
    let too_many = too_many.unwrap_or_default();
    let over = "SELECT count(*) FROM sessions WHERE closed_at IS NOT NULL";
    let over: i64 = db.query_row(over, [], |row| row.get(0))?;
    let part = (over / PART).max(1);
    let old: Vec<String> = {
        let mut select = db.prepare(OLD)?;
        let rows = select.query_map(params![since, too_many, counts.least, part], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    if old.is_empty() {
        return Ok(());
    }
    let change = Transaction::new(db, TransactionBehavior::Immediate)?;
    {
        let mut events = change.prepare("DELETE FROM events WHERE session = ?1")?;
        let mut session = change.prepare("DELETE FROM sessions WHERE id = ?1")?;
        for id in &old {
            events.execute([id])?;
            session.execute([id])?;
        }
    }
    change.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Batch, Event, Kind, Session};
    use crate::store::{schema, write};

    const NINETY_DAYS: Duration = Duration::from_secs(90 * 24 * 60 * 60);

    fn id(at: i64) -> String {
        let seconds = u64::try_from(at / 1000).unwrap();
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)).to_string()
    }

    /// A record of sessions that ended at these times, each with one event.
    fn record(ends: impl IntoIterator<Item = i64>) -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        for at in ends {
            put(&mut db, &Session { closed_at: Some(at), ..Session::begins(id(at), at) });
        }
        db
    }

    fn put(db: &mut Connection, row: &Session) {
        let event = Event { session: row.id.clone(), at: 0, kind: Kind::Started, text: String::new() };
        write::batch(db, &Batch { session: row.clone(), events: vec![event], last: false }).unwrap();
    }

    /// How many sessions there are, how many events, and when the first ended.
    fn left(db: &Connection) -> (i64, i64, i64) {
        let sql = "SELECT count(*), (SELECT count(*) FROM events), coalesce(min(closed_at), 0) FROM sessions";
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    }

    #[test]
    fn what_is_old_is_forgotten_with_its_events_a_tenth_at_a_time() {
        // Two a day for 200 days: those of the first 110 are old.
        let mut db = record((2..=400).map(|at| at * DAY / 2));
        let now = 200 * DAY;
        let mut before = left(&db).0;
        loop {
            forget(&mut db, now, NINETY_DAYS).unwrap();
            let (sessions, events, first) = left(&db);
            assert_eq!(sessions, events);
            assert!(before - sessions <= before / PART, "{before} -> {sessions}");
            if sessions == before {
                assert_eq!(first, 110 * DAY, "what is younger is kept");
                break;
            }
            before = sessions;
        }
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_old_also_for_those_who_end_after_it() {
        let all = || (1..400).map(|at| at * DAY / 5);
        let (before, jump) = (80 * DAY, 100 * DAY);
        let mut db = record(all());
        for at in 0..10 {
            let now = before + jump + at * 60_000;
            forget(&mut db, now, NINETY_DAYS).unwrap();
            put(&mut db, &Session { closed_at: Some(now), ..Session::begins(id(before), before) });
        }
        assert_eq!(left(&db), (409, 409, DAY / 5));
        // Nor does it when it is set right again, and what has ended in the future is there for good.
        forget(&mut db, before, NINETY_DAYS).unwrap();
        assert_eq!(left(&db).0, 409);
    }

    #[test]
    fn those_that_ended_last_are_kept_whatever_their_age() {
        let mut db = record((1..=120).map(|at| at * DAY));
        for _ in 0..20 {
            forget(&mut db, 120 * DAY, Duration::from_secs(24 * 60 * 60)).unwrap();
        }
        assert_eq!(left(&db), (100, 100, 21 * DAY));
        for _ in 0..100 {
            forget(&mut db, 121 * DAY, Duration::ZERO).unwrap();
        }
        assert_eq!(left(&db), (0, 0, 0), "but where nothing is to be kept");
    }

    #[test]
    fn of_too_many_the_oldest_are_forgotten_and_open_ones_never() {
        let mut db = record([2 * DAY, 100 * DAY, 150 * DAY, 190 * DAY]);
        let open = Session::begins(id(1), 1);
        put(&mut db, &open);
        let counts = |most| Counts { least: 0, most };
        forget_all_but(&mut db, 0, counts(5)).unwrap();
        assert_eq!(left(&db).0, 5);
        forget_all_but(&mut db, 0, counts(3)).unwrap();
        assert_eq!(left(&db), (4, 4, 100 * DAY), "one at least at a time");
        for _ in 0..10 {
            forget_all_but(&mut db, 0, counts(1)).unwrap();
        }
        assert_eq!(left(&db), (2, 2, 190 * DAY));
        let kept: String =
            db.query_row("SELECT id FROM sessions ORDER BY id LIMIT 1", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, open.id);
    }
}
