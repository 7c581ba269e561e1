//! What is known, and what is news, as time goes by.

use super::*;
use crate::ledger::Kind;

/// The beginning of a minute.
const START: i64 = 1_700_000_040_000;

/// This many milliseconds after the start.
fn at(millis: u64) -> Now {
    Now { mono: Duration::from_millis(millis), wall: START + i64::try_from(millis).unwrap() }
}

fn board() -> Board {
    Board::new(at(0))
}

/// A session that began after the monitor.
fn row(id: &str) -> Session {
    Session {
        name: format!("server {id}"),
        phase: "serving".to_owned(),
        ..Session::begins(id.to_owned(), START + 1)
    }
}

fn status(session: &Session) -> Status {
    Status {
        session: session.clone(),
        gauges: Gauges::default(),
        release: "x".to_owned(),
        options: String::new(),
    }
}

fn event(id: &str, text: &str) -> Event {
    Event { session: id.to_owned(), at: START, kind: Kind::Crashed, text: text.to_owned() }
}

/// What kind of news it is, and the calls of its row.
fn told(change: Option<&Change>) -> Option<(&'static str, u64)> {
    Some(match change? {
        Change::Created { session } => ("created", session.tool_calls),
        Change::Updated { session } => ("updated", session.tool_calls),
        Change::Disconnected { session } => ("disconnected", session.tool_calls),
        Change::Happened { session, .. } => ("happened", session.tool_calls),
    })
}

#[test]
fn a_session_is_new_once_then_updated_then_over() {
    let mut board = board();
    let with = |calls: u64| Session { tool_calls: calls, ..row("a") };
    let put =
        |board: &mut Board, millis, calls| told(board.status(at(millis), status(&with(calls))).as_ref());
    assert_eq!(put(&mut board, 1000, 0), Some(("created", 0)));
    assert_eq!(put(&mut board, 1300, 1), Some(("updated", 1)));
    assert_eq!(put(&mut board, 1600, 1), None, "nothing is new");
    let over = Session { closed_at: Some(START), close_reason: Some(CloseReason::HostEof), ..with(2) };
    assert_eq!(told(board.end(at(2000), over.clone(), true).as_ref()), Some(("disconnected", 2)));
    assert_eq!(board.end(at(2000), over.clone(), true), None, "once");
    assert_eq!(put(&mut board, 2100, 3), None, "it does not come back");
    // It lived until it was last heard, whatever the store had by then.
    let heard = START + 1600;
    let over = Session { alive_at: heard, closed_at: Some(heard), ..over };
    assert_eq!((board.live().count(), board.row("a")), (0, Some(&over)));
    assert_eq!(board.end(at(2000), row("never"), true), None);
}

#[test]
fn no_figure_falls_when_the_store_has_an_older_row() {
    let mut board = board();
    board.status(at(1000), status(&Session { tool_calls: 51, requests: 52, bytes_to_host: 9, ..row("a") }));
    let calls = |board: &Board| board.figures().values().map(|figures| figures.tool_calls).sum::<u64>();
    assert_eq!(calls(&board), 51);
    let lost = Session {
        tool_calls: 1,
        requests: 1,
        closed_at: Some(START),
        close_reason: Some(CloseReason::Lost),
        ..row("a")
    };
    assert_eq!(told(board.end(at(2000), lost, true).as_ref()), Some(("disconnected", 51)));
    let row = board.row("a").unwrap();
    assert_eq!((row.requests, row.bytes_to_host, row.closed_at), (52, 9, Some(START + 1000)));
    assert_eq!(calls(&board), 51);
    assert!(board.ended().all(|ended| !ended.stored), "what the store has is to be put right");
}

#[test]
fn a_status_that_tells_the_end_ends_it() {
    let mut board = board();
    board.status(at(10), status(&row("a")));
    let over = Session { closed_at: Some(START), close_reason: Some(CloseReason::Asked), ..row("a") };
    assert_eq!(told(board.status(at(20), status(&over)).as_ref()), Some(("disconnected", 0)));
    assert_eq!(board.closed().get("asked"), Some(&1));
}

#[test]
fn changes_are_told_at_most_once_in_a_quarter_of_a_second_and_the_last_is_told() {
    let mut board = board();
    let with = |calls: u64| status(&Session { tool_calls: calls, ..row("a") });
    board.status(at(0), with(0));
    for millis in 1..250 {
        assert_eq!(board.status(at(millis), with(millis)), None);
        assert_eq!(board.due(at(millis)), []);
    }
    assert_eq!(told(board.due(at(250)).first()), Some(("updated", 249)));
    assert_eq!(board.due(at(500)), [], "nothing has changed since");
    // A sign of life is no change that is worth telling, but it is in the row.
    board.alive(at(5000), "a");
    assert_eq!(board.due(at(6000)), []);
    assert_eq!(board.live_row("a").unwrap().alive_at, START + 5000);
}

#[test]
fn events_are_told_with_their_session_and_remembered_for_a_while() {
    let mut board = board();
    assert_eq!(board.event(at(0), event("a", "too early")), None);
    board.status(at(0), status(&row("a")));
    for number in 0..=EVENTS {
        let told = board.event(at(1), event("a", &number.to_string()));
        assert!(matches!(told, Some(Change::Happened { .. })));
    }
    assert_eq!(board.events(Some("a")).count(), EVENTS);
    assert_eq!(board.events(Some("a")).next().unwrap().text, "1", "the oldest went");
    board.end(at(2), row("a"), false);
    board.event(at(3), event("a", "last words"));
    assert_eq!(board.events(None).last().unwrap().text, "last words");
    assert_eq!(board.events(Some("b")).count(), 0);
}

#[test]
fn who_says_nothing_for_a_while_is_silent_and_stays_on_the_board() {
    let mut board = board();
    board.status(at(0), status(&row("a")));
    board.status(at(0), status(&row("b")));
    board.alive(at(15_000), "a");
    assert_eq!(board.voices(at(15_000)), Voices { answering: 2, silent: 0, strange: 0 });
    assert_eq!(board.voices(at(15_001)), Voices { answering: 1, silent: 1, strange: 0 });
    board.trouble("a", Some(Trouble::Silent));
    board.trouble("c", Some(Trouble::Silent));
    board.trouble("d", Some(Trouble::Strange));
    assert_eq!(board.voices(at(15_001)), Voices { answering: 0, silent: 3, strange: 1 });
    assert_eq!(board.live().count(), 2);
    board.status(at(16_000), status(&row("a")));
    board.trouble("c", None);
    assert_eq!(board.voices(at(16_000)), Voices { answering: 1, silent: 1, strange: 1 });
}

#[test]
fn minutes_have_what_was_done_in_them_and_not_before_the_monitor() {
    let mut board = board();
    let with = |id: &str, calls, restarts, created_at| {
        status(&Session { tool_calls: calls, restarts, created_at, ..row(id) })
    };
    // One that is old counts from now on, one that is new from its beginning.
    board.status(at(0), with("old", 100, 10, START - 1));
    board.status(at(0), with("old", 103, 11, START - 1));
    board.status(at(20_000), with("new", 5, 0, START + 1));
    let minute = |at, tool_calls, restarts| Minute { at: START + at, tool_calls, restarts };
    assert_eq!(board.minutes(at(20_000)), [minute(0, 8, 1)]);
    // What the store has at the end counts too.
    let end = Session { tool_calls: 110, restarts: 11, created_at: START - 1, ..row("old") };
    board.end(at(180_000), end, true);
    assert_eq!(board.minutes(at(180_000)).last(), Some(&minute(180_000, 7, 0)));
    assert_eq!(board.minutes(at(180_000)).len(), 4, "also those in which nothing was done");
    let hours = board.minutes(at(5 * 3_600_000));
    assert_eq!(hours.len(), 60);
    assert!(hours.iter().all(|minute| minute.tool_calls == 0));
    assert!(hours.windows(2).all(|pair| pair[1].at - pair[0].at == 60_000));
    assert_eq!(board.since(), START);
}

#[test]
fn a_clock_that_is_set_back_breaks_no_minute() {
    let mut board = board();
    let with = |calls| status(&Session { tool_calls: calls, ..row("a") });
    board.status(at(600_000), with(1));
    let back = Now { wall: START - 3_600_000, ..at(700_000) };
    board.status(back, with(3));
    let minutes = board.minutes(back);
    assert_eq!(minutes.iter().map(|minute| minute.tool_calls).sum::<u64>(), 3);
    assert!(minutes.len() <= 60);
}

#[test]
fn figures_never_fall_and_keep_what_has_ended() {
    let mut board = board();
    let with = |calls, guidance: u64| {
        let gauges =
            Gauges { guidance: [("server_restarted".to_owned(), guidance)].into(), ..Gauges::default() };
        Status { gauges, ..status(&Session { tool_calls: calls, name: "notes".to_owned(), ..row("a") }) }
    };
    board.status(at(0), with(5, 1));
    board.status(at(0), status(&Session { tool_calls: 2, name: "notes".to_owned(), ..row("b") }));
    let notes = |board: &Board| board.figures()["notes"].clone();
    assert_eq!((notes(&board).tool_calls, notes(&board).opened), (7, 2));
    let end = Session { tool_calls: 6, name: "notes".to_owned(), ..row("a") };
    board.end(at(1), end, true);
    assert_eq!((notes(&board).tool_calls, notes(&board).opened), (8, 2));
    assert_eq!(notes(&board).guidance["server_restarted"], 1);
    board.status(at(2), with(9, 9));
    assert_eq!(notes(&board).tool_calls, 8, "it is over");
}

#[test]
fn names_and_what_has_ended_are_bounded() {
    let mut board = board();
    for number in 0..NAMES + ENDED {
        let id = format!("{number:05}");
        board.status(at(1), status(&row(&id)));
        board.end(at(2), row(&id), false);
    }
    let figures = board.figures();
    assert_eq!(figures.len(), NAMES + 1);
    assert_eq!(figures[OTHER].opened, ENDED as u64);
    assert_eq!(board.ended().count(), ENDED);
    assert_eq!(board.closed().get("lost"), Some(&((NAMES + ENDED) as u64)));
    let long = Session { name: "ä".repeat(1000), ..row("long") };
    assert!(Board::new(at(0)).label(&long.name).chars().count() == LONGEST_NAME);
}

#[test]
fn tokens_are_counted_where_there_are_any() {
    let mut board = board();
    let with = |id: &str, state| status(&Session { token_state: state, name: "notes".to_owned(), ..row(id) });
    board.status(at(0), with("a", TokenState::Active));
    board.status(at(0), with("b", TokenState::Expired));
    board.status(at(0), with("c", TokenState::Active));
    board.status(at(0), status(&row("d")));
    assert_eq!(board.tokens(), [("notes".to_owned(), [0, 0, 2, 1])].into());
}

#[test]
fn what_is_known_of_apis_is_counted_where_there_is_a_token_and_of_live_sessions_only() {
    let mut board = board();
    let with = |id: &str, token_state, api_state| {
        status(&Session { token_state, api_state, name: "notes".to_owned(), ..row(id) })
    };
    board.status(at(0), with("a", TokenState::Active, ApiState::Ok));
    board.status(at(0), with("b", TokenState::Active, ApiState::Locked));
    board.status(at(0), with("c", TokenState::Expired, ApiState::Ok));
    board.status(at(0), with("d", TokenState::None, ApiState::Unknown));
    assert_eq!(board.apis(), [("notes".to_owned(), [0, 2, 1, 0])].into());
    board.end(at(1), row("b"), true);
    assert_eq!(board.apis(), [("notes".to_owned(), [0, 2, 0, 0])].into());
}

#[test]
fn many_changes_are_told_in_parts() {
    let mut board = board();
    let ids: Vec<String> = (0..AT_ONCE + 10).map(|number| format!("{number:05}")).collect();
    for id in &ids {
        board.status(at(0), status(&row(id)));
        board.status(at(1), status(&Session { tool_calls: 1, ..row(id) }));
    }
    assert_eq!(board.due(at(300)).len(), AT_ONCE);
    assert_eq!(board.due(at(300)).len(), 10);
    assert_eq!(board.due(at(300)).len(), 0);
}
