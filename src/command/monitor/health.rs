//! How it goes: the sessions in numbers, and each part's state.

use serde::Serialize;

use super::board::Voices;
use super::hub::Hub;
use super::shelf::{Counted, Shelf};
use crate::ledger::Session;
use crate::store::Totals;

/// Our release.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As `GET /health/deep` has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Health {
    status: Word,
    version: &'static str,
    #[serde(rename = "mcpSessions")]
    sessions: Sessions,
    parts: Parts,
}

/// How a part does, or all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Ok,
    Degraded,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sessions {
    total: u64,
    active: u64,
    /// Of those that have ended. `None` if none has.
    avg_duration_seconds: Option<f64>,
    total_tool_calls: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Parts {
    store: Part,
    sockets: Part,
    supervisors: Supervisors,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Part {
    status: Word,
    detail: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Supervisors {
    status: Word,
    answering: usize,
    silent: usize,
}

/// What the page is told every few seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "health_update")]
pub(super) struct Update {
    health: Health,
}

/// A session that the board knows, and what the store has of it: whether it is open there, and its calls.
struct Pair {
    known: Session,
    stored: Option<(bool, u64)>,
}

impl Update {
    /// As it is now.
    pub(super) async fn take(hub: &Hub, shelf: &Shelf) -> Self {
        Self { health: take(hub, shelf).await }
    }
}

/// How it goes now.
pub(super) async fn take(hub: &Hub, shelf: &Shelf) -> Health {
    // Of those whose end is in the store nothing more is to be learned.
    let known: Vec<Session> = hub.look(|board, _| {
        let ended = board.ended().filter(|ended| !ended.stored).map(|ended| &ended.session);
        board.live().chain(ended).cloned().collect()
    });
    let ids: Vec<String> = known.iter().map(|session| session.id.clone()).collect();
    let found = shelf.read(move |reader| {
        let of = |id: &String| Ok(reader.session(id)?.map(|row| (row.is_open(), row.tool_calls)));
        let stored = ids.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        Ok((reader.totals()?, stored))
    });
    let (store, counted) = match found.await {
        Ok(Some(found)) => (Part::ok(None), Some(found)),
        Ok(None) => {
            (Part::ok(Some("nothing was recorded yet".to_owned())), Some((Totals::default(), Vec::new())))
        }
        Err(why) => (Part { status: Word::Failed, detail: Some(why) }, None),
    };
    let counted = counted.map(|(totals, stored)| {
        let ids = known.iter().map(|session| session.id.clone());
        Counted { totals, stored: ids.zip(stored).filter_map(|(id, row)| Some((id, row?))).collect() }
    });
    let Counted { totals, stored } = shelf.count(counted);
    let pair = |known: Session| Pair { stored: stored.get(&known.id).copied(), known };
    let pairs: Vec<Pair> = known.into_iter().map(pair).collect();
    let (sockets, voices) = hub.look(|board, now| (board.sockets.clone(), board.voices(now)));
    health(Sessions::of(totals, &pairs), store, sockets, voices)
}

fn health(sessions: Sessions, store: Part, sockets: Option<String>, voices: Voices) -> Health {
    let sockets = match (sockets, voices.strange) {
        (Some(why), _) => Part { status: Word::Failed, detail: Some(why) },
        (None, 0) => Part::ok(None),
        (None, strange) => {
            Part::ok(Some(format!("{strange} cannot be understood, and may be of another release")))
        }
    };
    let status = if voices.silent == 0 { Word::Ok } else { Word::Degraded };
    let supervisors = Supervisors { status, answering: voices.answering, silent: voices.silent };
    let well = [store.status, sockets.status, status].iter().all(|status| *status == Word::Ok);
    Health {
        status: if well { Word::Ok } else { Word::Degraded },
        version: VERSION,
        sessions,
        parts: Parts { store, sockets, supervisors },
    }
}

impl Part {
    fn ok(detail: Option<String>) -> Self {
        Self { status: Word::Ok, detail }
    }
}

impl Sessions {
    /// All that are stored, brought up to date by what is known.
    fn of(totals: Totals, pairs: &[Pair]) -> Self {
        let mut active = i64::try_from(totals.open).unwrap_or(i64::MAX);
        let mut sessions =
            Self { total: totals.total, total_tool_calls: totals.tool_calls, ..Self::default() };
        let mut millis = totals.closed_millis;
        for Pair { known, stored } in pairs {
            let calls = stored.map_or(0, |(_, calls)| calls);
            sessions.total_tool_calls += known.tool_calls.saturating_sub(calls);
            sessions.total += u64::from(stored.is_none());
            let counted_as_open = stored.is_some_and(|(open, _)| open);
            let counted_as_closed = stored.is_some_and(|(open, _)| !open);
            if let Some(closed_at) = known.closed_at.filter(|_| !counted_as_closed) {
                millis += u64::try_from(closed_at - known.created_at).unwrap_or_default();
            }
            // One that is closed in the store is over, whatever was heard of it last.
            let open = known.is_open() && !counted_as_closed;
            active += i64::from(open) - i64::from(counted_as_open);
        }
        sessions.active = u64::try_from(active).unwrap_or_default();
        let closed = sessions.total.saturating_sub(sessions.active);
        #[expect(clippy::cast_precision_loss, reason = "an average, told in seconds")]
        let average = (closed > 0).then(|| millis as f64 / closed as f64 / 1000.0);
        sessions.avg_duration_seconds = average;
        sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, calls: u64, closed_at: Option<i64>) -> Session {
        Session { tool_calls: calls, closed_at, ..Session::begins(id.to_owned(), 1000) }
    }

    fn pair(calls: u64, closed_at: Option<i64>, stored: Option<(bool, u64)>) -> Pair {
        Pair { known: row("a", calls, closed_at), stored }
    }

    #[test]
    fn what_is_stored_is_brought_up_to_date() {
        let totals = Totals { total: 5, open: 2, closed_millis: 9000, tool_calls: 50 };
        let pairs = [
            pair(7, None, Some((true, 5))),
            pair(3, None, None),
            pair(9, Some(4000), Some((true, 9))),
            pair(1, Some(7000), None),
        ];
        let sessions = Sessions::of(totals, &pairs);
        assert_eq!((sessions.total, sessions.active, sessions.total_tool_calls), (7, 2, 56));
        // Three of the store, one that the store has not closed yet, and one that it never had.
        assert_eq!(sessions.avg_duration_seconds, Some((9.0 + 3.0 + 6.0) / 5.0));
    }

    #[test]
    fn without_an_end_there_is_no_average() {
        let sessions = Sessions::of(Totals::default(), &[pair(1, None, None)]);
        assert_eq!((sessions.total, sessions.active, sessions.avg_duration_seconds), (1, 1, None));
        assert_eq!(Sessions::of(Totals::default(), &[]), Sessions::default());
    }

    #[test]
    fn one_part_that_is_not_well_is_enough() {
        let voices = Voices { answering: 1, silent: 0, strange: 0 };
        let of = |store, sockets: Option<&str>, voices| {
            let told = health(Sessions::default(), store, sockets.map(str::to_owned), voices);
            serde_json::to_value(told).unwrap()
        };
        let well = of(Part::ok(None), None, Voices { strange: 1, ..voices });
        assert_eq!(well["status"], "ok");
        assert!(well["parts"]["sockets"]["detail"].as_str().unwrap().starts_with("1 cannot"));
        assert_eq!(well["mcpSessions"]["avgDurationSeconds"], serde_json::Value::Null);
        let failed = Part { status: Word::Failed, detail: Some("why".to_owned()) };
        assert_eq!(of(failed, None, voices)["status"], "degraded");
        assert_eq!(of(Part::ok(None), Some("why"), voices)["parts"]["sockets"]["status"], "failed");
        let silent = of(Part::ok(None), None, Voices { silent: 1, ..voices });
        assert_eq!(
            (&silent["status"], &silent["parts"]["supervisors"]["silent"]),
            (&"degraded".into(), &1.into())
        );
    }
}
