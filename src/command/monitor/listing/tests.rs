//! Pages of sessions, of which some are stored, some live, and some both.

use super::*;
use crate::ledger::Kind;

fn row(id: &str, calls: u64, closed: bool) -> Session {
    Session { tool_calls: calls, closed_at: closed.then_some(2), ..Session::begins(id.to_owned(), 1) }
}

fn known(live: &[Session], ended: &[Session]) -> Known {
    let map = |rows: &[Session]| rows.iter().map(|row| (row.id.clone(), row.clone())).collect();
    Known { live: map(live), ended: map(ended) }
}

fn stored(sessions: &[Session], next: Option<&str>) -> store::Page {
    store::Page { sessions: sessions.to_vec(), next: next.map(str::to_owned) }
}

/// The ids and calls of a page, and its cursor.
fn shown(page: &Page) -> (Vec<(&str, u64)>, Option<&str>) {
    let rows = page.sessions.iter().map(|row| (row.id.as_str(), row.tool_calls)).collect();
    (rows, page.next_cursor.as_deref())
}

#[test]
fn what_lives_is_shown_as_it_is_and_what_is_not_stored_at_its_place() {
    let stored = stored(&[row("e", 1, false), row("c", 1, true), row("a", 1, true)], None);
    let known = known(&[row("e", 5, false), row("d", 4, false)], &[row("b", 2, true), row("a", 9, true)]);
    let page = known.page(Which::All, None, 50, stored);
    assert_eq!(shown(&page), (vec![("e", 5), ("d", 4), ("c", 1), ("b", 2), ("a", 9)], None));
}

#[test]
fn active_and_closed_ones_are_told_apart() {
    let live = [row("e", 5, false), row("d", 4, false)];
    let ended = [row("c", 3, true), row("b", 2, true)];
    // The store does not know yet that `c` has ended, and has `x` from a supervisor without a socket.
    let open = stored(&[row("x", 1, false), row("e", 1, false), row("c", 1, false)], None);
    let page = known(&live, &ended).page(Which::Open, None, 50, open);
    assert_eq!(shown(&page), (vec![("x", 1), ("e", 5), ("d", 4)], None));
    let closed = stored(&[row("a", 1, true)], None);
    let page = known(&live, &ended).page(Which::Closed, None, 50, closed);
    assert_eq!(shown(&page), (vec![("c", 3), ("b", 2), ("a", 1)], None));
}

#[test]
fn no_session_is_missed_or_shown_twice_from_page_to_page() {
    let all = ["j", "i", "h", "g", "f", "e", "d", "c", "b", "a"];
    let in_store = ["i", "h", "f", "e", "c", "a"];
    for limit in 1..=all.len() {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let known = known(
                &["j", "g", "i"].map(|id| row(id, 7, false)),
                &["d", "b", "e"].map(|id| row(id, 7, true)),
            );
            let after = |id: &&&str| cursor.as_deref().is_none_or(|cursor| **id < cursor);
            let rest: Vec<Session> = in_store.iter().filter(after).map(|id| row(id, 1, *id != "i")).collect();
            let page_of_store = stored(
                &rest[..rest.len().min(limit)],
                (rest.len() > limit).then(|| rest[limit - 1].id.as_str()),
            );
            let page = known.page(Which::All, cursor.as_deref(), limit, page_of_store);
            assert!(page.sessions.len() <= limit);
            seen.extend(page.sessions.into_iter().map(|row| row.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "{limit}");
    }
}

#[test]
fn events_are_told_once_each_in_their_order() {
    let event =
        |at, text: &str| Event { session: "a".to_owned(), at, kind: Kind::Started, text: text.to_owned() };
    let stored = vec![event(1, "one"), event(3, "three"), event(3, "three again")];
    let heard = vec![event(3, "three again"), event(4, "four"), event(2, "two")];
    let texts = |limit| {
        let events = events(stored.clone(), heard.clone(), limit);
        events.into_iter().map(|event| event.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(10), ["one", "two", "three", "three again", "four"]);
    assert_eq!(texts(2), ["three again", "four"]);
    assert!(texts(0).is_empty());
}
