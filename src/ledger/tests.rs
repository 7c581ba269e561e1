//! What single notes do to the row, and which of them are remembered. That all of them add up is the simulator's.

use super::*;
use crate::engine::guidance::Status;
use crate::engine::io::{Exit, Gen};
use crate::engine::lease::io::{Cause, Fact, TokenId};
use crate::wire::{Id, Method};

const AT: Duration = Duration::from_secs(1_700_000_000);

fn ledger() -> Ledger {
    Ledger::new(Session::begins("a".to_owned(), 0))
}

fn enter(ledger: &mut Ledger, seconds: u64, note: &Note) -> Option<(Kind, String)> {
    let time = Duration::from_secs(seconds);
    ledger.note(time, AT + time, note).map(|event| (event.kind, event.text))
}

fn spawned(pid: u32) -> Note {
    Note::Spawned { child: Gen(pid), pid }
}

fn exited(crash: bool) -> Note {
    Note::Exited { child: Gen(1), exit: Exit::Code(3), crash, by_us: false }
}

fn greeted() -> Note {
    Note::Greeted { child: Gen(1), version: "2025-06-18".to_owned(), after: Duration::from_millis(70) }
}

fn phase(to: Phase) -> Note {
    Note::Phase { from: Phase::Starting, to }
}

#[test]
fn a_life_is_told_in_words_and_a_replacement_is_no_crash() {
    let mut ledger = ledger();
    let told = |ledger: &mut Ledger, note: &Note| enter(ledger, 5, note);
    assert_eq!(told(&mut ledger, &spawned(7)), Some((Kind::Started, "process 7".to_owned())));
    assert_eq!(
        told(&mut ledger, &greeted()),
        Some((Kind::Greeted, "protocol 2025-06-18, 70 ms after its start".to_owned()))
    );
    assert_eq!(told(&mut ledger, &exited(true)), Some((Kind::Crashed, "exited with code 3".to_owned())));
    assert_eq!(
        told(&mut ledger, &spawned(8)),
        Some((Kind::Restarted, "restart 1, process 8: it had ended".to_owned()))
    );
    let reason = "its files had changed";
    assert_eq!(told(&mut ledger, &Note::Replaced { child: Gen(2), reason }), None);
    assert_eq!(told(&mut ledger, &exited(false)), None);
    assert_eq!(
        told(&mut ledger, &spawned(9)),
        Some((Kind::Restarted, format!("restart 2, process 9: {reason}")))
    );
    assert_eq!(told(&mut ledger, &exited(true)).map(|(kind, _)| kind), Some(Kind::Crashed));
    assert_eq!(
        told(&mut ledger, &spawned(10)),
        Some((Kind::Restarted, "restart 3, process 10: it had ended".to_owned())),
        "a reason is used once"
    );
    assert_eq!(ledger.session().restarts, 3);
    assert_eq!(ledger.gauges().server_pid, Some(10));
}

#[test]
fn what_is_tried_every_minute_is_told_once() {
    let mut ledger = ledger();
    assert!(enter(&mut ledger, 1, &phase(Phase::Degraded)).is_some());
    assert_eq!(enter(&mut ledger, 2, &phase(Phase::Starting)), None);
    assert_eq!(enter(&mut ledger, 3, &phase(Phase::Degraded)), None, "it still is");
    let recovered = enter(&mut ledger, 4, &phase(Phase::Serving)).map(|(kind, _)| kind);
    assert_eq!(recovered, Some(Kind::Recovered));
    assert_eq!(enter(&mut ledger, 5, &phase(Phase::Serving)), None);
    assert_eq!(ledger.session().phase, "serving");
}

#[test]
fn only_the_host_makes_a_session_active_and_only_tool_calls_are_tool_calls() {
    let mut ledger = ledger();
    enter(&mut ledger, 1, &spawned(7));
    ledger.alive(AT + Duration::from_secs(100));
    assert_eq!(ledger.session().last_active, None);
    assert_eq!(ledger.session().alive_at, 1_700_000_100_000);
    ledger.alive(AT);
    assert_eq!(
        ledger.session().alive_at,
        1_700_000_100_000,
        "a clock that is set back does not make it older"
    );
    for (seconds, method) in [(2, "tools/call"), (3, "tools/list"), (4, "tools/call")] {
        enter(
            &mut ledger,
            seconds,
            &Note::Requested { id: Id::text("1"), method: Method::new(method), name: None },
        );
    }
    enter(&mut ledger, 9, &Note::Heard);
    let row = ledger.session();
    assert_eq!((row.requests, row.tool_calls, row.last_active), (3, 2, Some(1_700_000_009_000)));
}

#[test]
fn answers_are_counted_by_who_gave_them_and_how_long_they_took() {
    let mut ledger = ledger();
    let (id, method) = (Id::text("1"), Method::new("tools/call"));
    let took = Duration::from_millis(3);
    for is_error in [false, true] {
        let (id, method) = (id.clone(), method.clone());
        enter(&mut ledger, 1, &Note::Done { id, method, name: None, took, is_error, bytes: 1 });
    }
    for status in [None, Some(Status::ServerRestarted), Some(Status::ServerRestarted)] {
        let (id, method) = (id.clone(), method.clone());
        enter(
            &mut ledger,
            1,
            &Note::Answered { id, method, name: None, status, took: Duration::from_secs(1000) },
        );
    }
    let row = ledger.session();
    assert_eq!((row.errors, row.guidance_answers), (1, 2));
    let gauges = ledger.gauges();
    assert_eq!(gauges.guidance.get("server_restarted"), Some(&2));
    assert_eq!((gauges.latency.count, gauges.latency.buckets[3]), (5, 2));
    assert_eq!(gauges.latency.buckets.iter().sum::<u64>(), 2, "the others are beyond the last bound");
}

#[test]
fn recovery_lasts_from_the_first_end_to_the_next_greeting() {
    let mut ledger = ledger();
    for (seconds, note) in
        [(0, greeted()), (1, exited(true)), (3, exited(true)), (6, greeted()), (7, greeted())]
    {
        enter(&mut ledger, seconds, &note);
    }
    let recovery = &ledger.gauges().recovery;
    assert_eq!((recovery.count, recovery.sum), (1, 5.0));
}

#[test]
fn the_token_is_known_by_its_state_and_its_end_only() {
    let mut ledger = ledger();
    let end = Duration::from_secs(77);
    let mut tell = |fact: Fact, expires: Option<Duration>| {
        let kind = enter(&mut ledger, 1, &Note::Session { fact, expires }).map(|(kind, _)| kind);
        (kind, ledger.session().token_state, ledger.session().token_expires_at)
    };
    let token = TokenId(1);
    assert_eq!(tell(Fact::Absent, None), (None, TokenState::Absent, None));
    assert_eq!(
        tell(Fact::Adopted(token), Some(end)),
        (Some(Kind::Rotated), TokenState::Active, Some(77_000))
    );
    assert_eq!(tell(Fact::Renewed(token), None), (Some(Kind::Renewed), TokenState::Active, None));
    assert_eq!(tell(Fact::NotRenewed("x".into()), None), (None, TokenState::Active, None));
    assert_eq!(tell(Fact::Expired(Cause::Time), None), (Some(Kind::Expired), TokenState::Expired, None));
    assert_eq!(
        tell(Fact::Revived(token), Some(end)),
        (Some(Kind::Recovered), TokenState::Active, Some(77_000))
    );
}

#[test]
fn what_is_known_of_the_api_is_in_the_row_and_makes_no_event() {
    let mut ledger = ledger();
    assert_eq!(ledger.session().api_state, ApiState::Unknown);
    for state in [ApiState::Locked, ApiState::Unreachable, ApiState::Ok, ApiState::Unknown] {
        assert_eq!(enter(&mut ledger, 1, &Note::Api { state }), None);
        assert_eq!(ledger.session().api_state, state);
        assert_eq!(state.to_string().parse::<ApiState>().unwrap(), state);
        assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
    }
}

#[test]
fn a_name_is_no_novel() {
    let mut ledger = ledger();
    let name = "n".repeat(1000);
    enter(&mut ledger, 1, &Note::Named { peer: Peer::Host, name, version: None });
    assert_eq!(ledger.session().client_name.as_ref().map(String::len), Some(LONGEST_NAME));
}

#[test]
fn what_is_said_of_a_session_is_read_again() {
    let row = Session { close_reason: Some(CloseReason::HostGone), ..ledger().session().clone() };
    let text = serde_json::to_string(&row).unwrap();
    assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), row);
    // An earlier release does not tell it.
    let mut earlier = serde_json::to_value(Session { api_state: ApiState::Locked, ..row.clone() }).unwrap();
    earlier.as_object_mut().unwrap().remove("api_state").expect("it is told");
    assert_eq!(serde_json::from_value::<Session>(earlier).unwrap(), row);
    for reason in ["host_eof", "host_gone", "signal", "asked", "lost"] {
        assert_eq!(reason.parse::<CloseReason>().unwrap().to_string(), reason);
        assert_eq!(serde_json::to_value(reason.parse::<CloseReason>().unwrap()).unwrap(), reason);
    }
    assert!("lots".parse::<CloseReason>().is_err());
}

#[test]
fn one_that_is_idle_is_written_from_time_to_time_all_the_same() {
    let shared = Shared::new(ledger());
    let (far, soon) = (Duration::from_secs(3600), Duration::from_millis(1));
    shared.note(Duration::ZERO, Duration::from_secs(1), &spawned(7));
    let first = shared.next(Duration::ZERO, far, far);
    assert_eq!(first.events.len(), 1);
    // Nothing happens any more: only the last of the three times is waited for.
    let keepalive = shared.next(far, far, soon);
    assert!(keepalive.events.is_empty() && !keepalive.last);
    shared.alive(Duration::from_secs(61));
    let (session, ..) = shared.look();
    assert_eq!((session.alive_at, session.last_active), (61_000, None));
}
