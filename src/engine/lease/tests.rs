//! The life of a token, row by row.

mod stories;
mod wanted;

use super::io::{Claims, End, Renewal, RequestId};
use super::*;

/// The wall clock at the beginning.
const BEGIN: Duration = Duration::from_secs(1_800_000_000);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A token that lives this long from the beginning on.
fn token(id: u32, life: u64) -> Token {
    let claims = Claims { issued: Some(BEGIN), expires: Some(BEGIN + secs(life)) };
    Token { id: TokenId(id), claims }
}

fn refused(status: u16, code: &str) -> Renewal {
    let code = (!code.is_empty()).then(|| code.to_owned());
    Renewal::Refused(Answer { status, code, retry_after: None })
}

/// A lease and its clocks.
struct Play {
    lease: Lease,
    now: Now,
}

impl Play {
    /// Before anybody has looked.
    fn begin() -> Self {
        let now = Now { mono: Duration::ZERO, wall: BEGIN };
        let mut lease = Lease::new(Options { renew_at: Some(0.6), seed: 1 }, now);
        assert_eq!(lease.poll(), Some(Act::Look(1)));
        Self { lease, now }
    }

    /// With this in the file.
    fn with(file: Token) -> Self {
        let mut play = Self::begin();
        let acts = play.looked(1, Found::Token(file));
        assert_eq!(acts, [Act::Tell(Fact::Adopted(file.id)), Act::Publish(file.id)]);
        play
    }

    fn tell(&mut self, event: Event) -> Vec<Act> {
        self.lease.handle(self.now, event);
        std::iter::from_fn(|| self.lease.poll()).collect()
    }

    fn looked(&mut self, look: u64, file: Found) -> Vec<Act> {
        self.tell(Event::Found { look: Some(look), file, environment: Found::Nothing })
    }

    fn refuse(&mut self, request: u64, token: u32) -> Vec<Act> {
        self.tell(Event::Refused { request: RequestId(request), token: TokenId(token), certain: true })
    }

    /// This much time passes. What is done meanwhile, and how much of the time had passed by then; the regular looks at
    /// the file find nothing new and are left out.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, Act)> {
        let (begin, mut done) = (self.now, Vec::new());
        loop {
            let at = self.lease.deadline().max(self.now.mono);
            let over = at > begin.mono + time;
            let at = if over { begin.mono + time } else { at };
            let passed = at.saturating_sub(begin.mono);
            self.now = Now { mono: at, wall: begin.wall + passed };
            let acts = self.tell(Event::Timer);
            done.extend(acts.into_iter().filter(|act| !matches!(act, Act::Look(_))).map(|act| (passed, act)));
            if over {
                return done;
            }
        }
    }

    /// Until it is renewed for the first time, 600 s after the beginning of a life of 1,000 s.
    fn renewing() -> Self {
        let mut play = Self::with(token(1, 1000));
        assert_eq!(play.pass(secs(600)), [(secs(600), Act::Renew(TokenId(1)))]);
        play
    }
}

fn verdict(request: u64, token: Option<u32>) -> Act {
    Act::Verdict(RequestId(request), token.map(TokenId))
}

#[test]
fn a_token_is_renewed_when_sixty_percent_of_its_life_have_passed() {
    let mut play = Play::with(token(1, 1000));
    assert_eq!(play.pass(secs(599)), []);
    assert_eq!(play.pass(secs(1)), [(secs(1), Act::Renew(TokenId(1)))]);
    let claims = Claims { issued: Some(play.now.wall), expires: Some(play.now.wall + secs(2000)) };
    let next = Token { id: TokenId(2), claims };
    let acts = play.tell(Event::Renewed(Renewal::Granted(next, Ok(()))));
    assert_eq!(acts, [Act::Tell(Fact::Renewed(TokenId(2))), Act::Publish(TokenId(2))]);
    assert_eq!(play.pass(secs(1200)), [(secs(1200), Act::Renew(TokenId(2)))]);
    // The one that was renewed is not taken back, whoever still has it in his file.
    let acts = play.looked(99, Found::Token(token(1, 10_000)));
    assert_eq!(acts, [Act::Tell(Fact::NotUsable("holds a token that is over".into()))]);
}

#[test]
fn one_that_is_older_is_renewed_at_once_and_one_without_a_beginning_counts_from_when_it_was_seen() {
    let begun =
        |issued| Token { id: TokenId(1), claims: Claims { issued, expires: Some(BEGIN + secs(300)) } };
    let mut play = Play::begin();
    let acts = play.looked(1, Found::Token(begun(Some(BEGIN.saturating_sub(secs(700))))));
    assert!(acts.contains(&Act::Renew(TokenId(1))), "{acts:?}");
    let mut play = Play::with(begun(None));
    assert_eq!(play.pass(secs(180)), [(secs(180), Act::Renew(TokenId(1)))]);
}

#[test]
fn an_unlimited_token_and_one_that_nobody_renews_are_left_alone() {
    let unlimited = Token { id: TokenId(1), claims: Claims::default() };
    assert_eq!(Play::with(unlimited).pass(secs(100_000_000)), []);
    let mut play = Play::with(token(1, 1000));
    play.lease.options.renew_at = None;
    play.looked(2, Found::Token(token(2, 2000)));
    assert_eq!(play.pass(secs(1999)), []);
    assert_eq!(play.pass(secs(1)), [(secs(1), Act::Tell(Fact::Expired(Cause::Time)))]);
}

#[test]
fn a_new_token_that_cannot_be_written_is_used_and_written_again() {
    let mut play = Play::renewing();
    let acts = play.tell(Event::Renewed(Renewal::Granted(token(2, 9000), Err("full".into()))));
    let told = Act::Tell(Fact::NotWritten("full".into()));
    assert_eq!(acts, [Act::Tell(Fact::Renewed(TokenId(2))), Act::Publish(TokenId(2)), told]);
    for most in [1, 2, 4, 60, 60] {
        let written = play.pass(secs(most));
        assert!(matches!(*written, [(at, Act::Write(TokenId(2)))] if at >= secs(most) / 2), "{written:?}");
        assert_eq!(play.tell(Event::Written(TokenId(2), Err("full".into()))), []);
    }
    // That the file holds the old one meanwhile is no news.
    assert_eq!(play.looked(9, Found::Token(token(1, 1000))), []);
    // It is not forgotten when the token was thought to be over, and was not.
    play.tell(Event::Ended(TokenId(2), End::Refused));
    play.pass(secs(3));
    play.tell(Event::Ended(TokenId(2), End::Heard));
    assert!(play.pass(secs(60)).iter().any(|(_, act)| *act == Act::Write(TokenId(2))));
    // What is told of another one does not end it.
    play.tell(Event::Written(TokenId(1), Ok(())));
    play.tell(Event::Written(TokenId(2), Err("full".into())));
    assert!(play.pass(secs(60)).iter().any(|(_, act)| *act == Act::Write(TokenId(2))));
    play.tell(Event::Written(TokenId(2), Ok(())));
    assert_eq!(play.pass(secs(600)), []);
}

#[test]
fn a_renewal_that_waits_is_made_when_the_api_answers_again() {
    let mut play = Play::renewing();
    for _ in 0..4 {
        play.tell(Event::Renewed(Renewal::Failed("reset".into())));
        play.pass(secs(5));
    }
    play.pass(secs(60));
    play.tell(Event::Renewed(Renewal::Failed("reset".into())));
    play.pass(secs(10));
    assert_eq!(play.tell(Event::Ended(TokenId(1), End::Unreachable)), []);
    assert_eq!(play.tell(Event::Ended(TokenId(1), End::Heard)), [Act::Renew(TokenId(1))]);
    play.tell(Event::Renewed(Renewal::Failed("reset".into())));
    assert_eq!(play.tell(Event::Ended(TokenId(1), End::Heard)), [], "not with each request");
    assert_eq!(play.pass(secs(5)).last(), Some(&(secs(5), Act::Renew(TokenId(1)))));
}

#[test]
fn an_api_is_not_asked_without_a_pause_whatever_it_answers() {
    let late =
        Token { id: TokenId(2), claims: Claims { issued: Some(BEGIN), expires: Some(BEGIN + secs(700)) } };
    let far = Token { claims: Claims { issued: None, expires: Some(Duration::MAX) }, ..late };
    for (answer, pause) in [
        // Its time to be renewed is over: 420 s of it have passed.
        (Renewal::Granted(late, Ok(())), 30),
        (Renewal::Granted(token(1, 1000), Ok(())), 30),
        (Renewal::Granted(token(2, 10), Ok(())), 1),
        (Renewal::Granted(far, Ok(())), 1),
    ] {
        let mut play = Play::renewing();
        let acts = play.tell(Event::Renewed(answer.clone()));
        assert!(!acts.iter().any(|act| matches!(act, Act::Renew(_))), "{answer:?}: {acts:?}");
        assert_eq!(play.lease.standing(), Standing::Active);
        let again = play.pass(secs(pause));
        assert!(matches!(*again, [(at, Act::Renew(_))] if at >= secs(pause) / 2), "{answer:?}: {again:?}");
    }
}

#[test]
fn a_token_in_the_file_that_is_none_does_not_keep_ours_from_being_renewed() {
    for unusable in [token(1, 1000), token(2, 10)] {
        let mut play = Play::renewing();
        let acts = play.tell(Event::Renewed(Renewal::Superseded(unusable)));
        assert!(acts.contains(&Act::RenewRegardless(TokenId(1), unusable.id)), "{unusable:?}: {acts:?}");
        // Whoever says so again is not believed again.
        let acts = play.tell(Event::Renewed(Renewal::Superseded(unusable)));
        assert!(!acts.iter().any(|act| matches!(act, Act::Renew(_) | Act::RenewRegardless(..))), "{acts:?}");
        assert!(matches!(*play.pass(secs(1)), [(_, Act::Renew(TokenId(1)))]));
    }
}

#[test]
fn too_early_is_tried_once_more_and_then_half_way_to_the_end() {
    let mut play = Play::renewing();
    for (status, wait) in [(400, 30), (403, 185), (403, 92)] {
        play.tell(Event::Renewed(refused(status, "RENEWAL_TOO_EARLY")));
        assert_eq!(play.pass(secs(wait - 1)), [], "{wait}");
        assert!(matches!(*play.pass(secs(2)), [(_, Act::Renew(TokenId(1)))]), "{wait}");
    }
    assert_eq!(play.lease.standing(), Standing::Active);
}

#[test]
fn a_session_that_is_not_renewed_any_more_is_used_to_its_end() {
    let codes = [
        "RENEWAL_LIMIT_REACHED",
        "RENEWAL_LIMIT_EXCEEDED",
        "SESSION_ABSOLUTE_LIFETIME_EXCEEDED",
        "SESSION_LIFETIME_EXPIRED",
    ];
    for code in codes {
        let mut play = Play::renewing();
        let acts = play.tell(Event::Renewed(refused(403, code)));
        assert_eq!(acts, [Act::Tell(Fact::NoMoreRenewals(format!("403 {code}")))]);
        assert_eq!(play.pass(secs(400)), [(secs(400), Act::Tell(Fact::Expired(Cause::Time)))]);
    }
    let mut play = Play::renewing();
    assert_eq!(play.tell(Event::Renewed(refused(400, "RENEWAL_NOT_REQUIRED"))), []);
    assert_eq!(play.pass(secs(399)), []);
}

#[test]
fn what_somebody_else_has_renewed_serves_on_and_is_not_renewed() {
    for (status, code) in [(403, "SESSION_RENEWAL_MISMATCH"), (409, "RENEWAL_CONFLICT"), (409, "")] {
        for replaced in [true, false] {
            let mut play = Play::renewing();
            let acts = play.tell(Event::Renewed(refused(status, code)));
            let [Act::Tell(Fact::NoMoreRenewals(_)), Act::Look(look)] = acts[..] else {
                panic!("{code}: {acts:?}")
            };
            let found = if replaced { token(2, 2000) } else { token(1, 1000) };
            let published = play.looked(look, Found::Token(found)).contains(&Act::Publish(TokenId(2)));
            assert_eq!((published, play.lease.standing()), (replaced, Standing::Active));
            let renewed = play.pass(secs(399)).iter().any(|(_, act)| matches!(act, Act::Renew(_)));
            assert!(!renewed || replaced, "{code}");
        }
    }
}

#[test]
fn what_is_over_by_its_renewal_is_looked_for_in_the_file() {
    let rows = [
        (401, "INVALID_TOKEN"),
        (401, "TOKEN_EXPIRED"),
        (401, "SESSION_REVOKED"),
        (401, ""),
        (404, "SESSION_NOT_FOUND"),
    ];
    for (status, code) in rows {
        for replaced in [true, false] {
            let mut play = Play::renewing();
            let acts = play.tell(Event::Renewed(refused(status, code)));
            let [Act::Look(look)] = acts[..] else { panic!("{code}: {acts:?}") };
            assert_eq!(play.lease.standing(), Standing::Active, "it serves until that is known");
            let (found, acts, standing) = if replaced {
                let acts = vec![Act::Tell(Fact::Adopted(TokenId(2))), Act::Publish(TokenId(2))];
                (token(2, 2000), acts, Standing::Active)
            } else {
                let acts = vec![Act::Tell(Fact::Expired(Cause::Renewal))];
                (token(1, 1000), acts, Standing::Expired(Cause::Renewal))
            };
            assert_eq!(play.looked(look, Found::Token(found)), acts, "{code}");
            assert_eq!(play.lease.standing(), standing, "{code}");
        }
        // The file may not be to be read at all.
        let mut play = Play::renewing();
        play.tell(Event::Renewed(refused(status, code)));
        assert_eq!(play.pass(secs(3)), [(ANSWER_TIME, Act::Tell(Fact::Expired(Cause::Renewal)))]);
    }
}

/// How long a file may take to be read.
const ANSWER_TIME: Duration = secs(2);

#[test]
fn a_failure_is_tried_again_after_one_two_and_four_seconds_and_then_each_minute() {
    for failure in [
        refused(429, "RATE_LIMITED"),
        // A lock that stands before everything says nothing of the session.
        refused(409, "KILL_SWITCH_ACTIVE"),
        refused(503, "SYSTEM_LOCKED"),
        refused(500, ""),
        refused(502, ""),
        refused(503, "SYSTEM_LOCKED"),
        refused(504, ""),
        refused(403, ""),
        refused(404, ""),
        refused(401, "PROXY_AUTHENTICATION"),
        Renewal::Failed("connection refused".into()),
    ] {
        let mut play = Play::renewing();
        for most in [1, 2, 4, 60, 60] {
            play.tell(Event::Renewed(failure.clone()));
            let again = play.pass(secs(most));
            assert!(matches!(*again, [(at, Act::Renew(TokenId(1)))] if at >= secs(most) / 2), "{again:?}");
        }
        assert_eq!(play.lease.standing(), Standing::Active);
        play.tell(Event::Renewed(failure));
        let rest = play.pass(secs(400));
        assert!(rest.iter().any(|(_, act)| *act == Act::Tell(Fact::Expired(Cause::Time))), "{rest:?}");
    }
}

#[test]
fn an_api_may_ask_for_a_longer_wait() {
    let mut play = Play::renewing();
    let answer = Answer { status: 503, code: None, retry_after: Some(secs(90)) };
    play.tell(Event::Renewed(Renewal::Refused(answer)));
    assert_eq!(play.pass(secs(89)), []);
    assert_eq!(play.pass(secs(1)), [(secs(1), Act::Renew(TokenId(1)))]);
}

#[test]
fn another_token_in_the_file_is_used_at_once_also_while_a_renewal_is_under_way() {
    let mut play = Play::renewing();
    let acts = play.looked(50, Found::Token(token(2, 5000)));
    assert_eq!(acts, [Act::Tell(Fact::Adopted(TokenId(2))), Act::Publish(TokenId(2))]);
    // What is said of the first one no longer matters.
    assert_eq!(play.tell(Event::Renewed(refused(401, "SESSION_REVOKED"))), []);
    assert_eq!(play.lease.standing(), Standing::Active);
    assert_eq!(play.pass(secs(2400)), [(secs(2400), Act::Renew(TokenId(2)))]);
    let acts = play.tell(Event::Renewed(Renewal::Superseded(token(3, 9000))));
    assert_eq!(acts, [Act::Tell(Fact::Adopted(TokenId(3))), Act::Publish(TokenId(3))]);
}

#[test]
fn what_is_no_token_leaves_the_one_in_use_and_is_told_once_a_minute() {
    let mut play = Play::with(token(1, 1000));
    let old = Token { claims: Claims { issued: None, expires: Some(BEGIN) }, ..token(2, 0) };
    let strange = Token {
        claims: Claims { issued: None, expires: Some(BEGIN + secs(400 * 24 * 3600)) },
        ..token(3, 0)
    };
    for (number, found) in
        [Found::Unusable("is a directory".into()), Found::Token(old), Found::Token(strange)]
            .into_iter()
            .enumerate()
    {
        let number = 10 + 2 * number as u64;
        let acts = play.looked(number, found.clone());
        assert!(matches!(*acts, [Act::Tell(Fact::NotUsable(_))]), "{found:?}: {acts:?}");
        assert_eq!(play.looked(number + 1, found), []);
        // Nor is what there is instead, for a minute: somebody may write to the file all the time.
        assert_eq!(play.looked(number + 1, Found::Unusable("is empty".into())), []);
        play.pass(secs(60));
    }
    assert_eq!(play.looked(30, Found::Nothing), []);
    assert_eq!(play.lease.standing(), Standing::Active);
}

#[test]
fn what_an_earlier_look_has_found_is_no_news_after_a_later_one() {
    let mut play = Play::with(token(1, 1000));
    play.tell(Event::Stirred);
    assert_eq!(play.looked(3, Found::Token(token(2, 1000))).last(), Some(&Act::Publish(TokenId(2))));
    assert_eq!(play.looked(2, Found::Token(token(1, 1000))), []);
    assert_eq!(play.looked(3, Found::Token(token(2, 1000))), []);
}

#[test]
fn a_renewal_that_was_refused_is_not_tried_again_with_each_request_that_is_heard() {
    let mut play = Play::renewing();
    let acts = play.tell(Event::Renewed(refused(401, "TOKEN_EXPIRED")));
    let [Act::Look(look)] = acts[..] else { panic!("{acts:?}") };
    play.looked(look, Found::Token(token(1, 1000)));
    assert_eq!(play.lease.standing(), Standing::Expired(Cause::Renewal));
    // A 401 about something else says nothing of it.
    assert_eq!(play.tell(Event::Ended(TokenId(1), End::Unrelated)), []);
    let acts = play.tell(Event::Ended(TokenId(1), End::Heard));
    assert!(acts.contains(&Act::Publish(TokenId(1))) && !acts.contains(&Act::Renew(TokenId(1))), "{acts:?}");
    assert_eq!(play.pass(secs(399)), [], "it is used to its end");
}

#[test]
fn a_token_that_somebody_else_has_put_there_meanwhile_is_not_replaced_by_ours() {
    let mut play = Play::renewing();
    play.looked(5, Found::Token(token(2, 5000)));
    assert_eq!(play.tell(Event::Renewed(Renewal::Granted(token(3, 1000), Ok(())))), []);
    assert!(play.lease.is_trusted());
}

#[test]
fn an_api_that_asks_for_more_time_than_the_token_has_is_asked_before_its_end() {
    let mut play = Play::renewing();
    let late = Answer { status: 429, code: None, retry_after: Some(secs(3000)) };
    play.tell(Event::Renewed(Renewal::Refused(late)));
    assert_eq!(play.pass(secs(200)), [(secs(200), Act::Renew(TokenId(1)))]);
}

#[test]
fn the_file_beats_the_environment_which_counts_where_there_is_no_file() {
    let found = |file, environment| Event::Found { look: Some(1), file, environment };
    let (young, old, dead) =
        (Found::Token(token(1, 900)), Found::Token(token(2, 800)), Found::Token(token(3, 0)));
    let rows = [
        (young.clone(), old.clone(), Some(1)),
        (Found::Nothing, old.clone(), Some(2)),
        (Found::Nothing, dead.clone(), None),
        (dead.clone(), dead.clone(), None),
        (dead, old.clone(), None),
        (Found::Unusable("is a symbolic link".into()), old, None),
        (Found::Nothing, Found::Nothing, None),
    ];
    for (file, environment, used) in rows {
        let mut play = Play::begin();
        let acts = play.tell(found(file.clone(), environment));
        let published = acts.iter().find_map(|act| match act {
            Act::Publish(token) => Some(token.0),
            Act::Look(_)
            | Act::Renew(_)
            | Act::RenewRegardless(..)
            | Act::Write(_)
            | Act::Lack
            | Act::Probe
            | Act::Answer(_)
            | Act::Verdict(..)
            | Act::Tell(_) => None,
        });
        assert_eq!(published, used, "{file:?}");
        assert_eq!(play.lease.standing(), if used.is_some() { Standing::Active } else { Standing::Absent });
        // Whoever writes one later helps.
        let acts = play.looked(2, Found::Token(token(9, 950)));
        assert!(acts.contains(&Act::Publish(TokenId(9))), "{acts:?}");
    }
}

#[test]
fn the_end_is_seen_after_a_sleep_of_the_machine_and_taken_back_when_the_clock_is() {
    let mut play = Play::with(token(1, 10_000));
    assert!(play.lease.deadline() <= play.now.mono + secs(60), "nobody says when the wall clock jumps");
    play.now = Now { mono: secs(30), wall: BEGIN + secs(20_000) };
    let acts = play.tell(Event::Timer);
    assert_eq!(acts, [Act::Tell(Fact::Expired(Cause::Time))]);
    play.now.wall = BEGIN + secs(40);
    let acts = play.looked(2, Found::Token(token(1, 10_000)));
    assert_eq!(acts, [Act::Tell(Fact::Revived(TokenId(1))), Act::Publish(TokenId(1))]);
    // The renewal is not missed either.
    play.now.wall = BEGIN + secs(7_000);
    assert_eq!(play.tell(Event::Timer), [Act::Renew(TokenId(1))]);
}

#[test]
fn the_file_is_looked_at_each_minute() {
    let mut play = Play::begin();
    play.looked(1, Found::Nothing);
    for look in 2..5 {
        play.now = Now { mono: play.now.mono + secs(60), wall: play.now.wall + secs(60) };
        assert_eq!(play.tell(Event::Timer), [Act::Look(look)]);
    }
}

#[test]
fn a_refused_request_is_repeated_with_another_token_after_50_ms() {
    let mut play = Play::with(token(1, 1000));
    // The file is looked at meanwhile, once for all that are refused.
    assert_eq!(play.refuse(7, 1), [Act::Look(2)]);
    assert_eq!(play.refuse(8, 1), []);
    play.looked(5, Found::Token(token(2, 2000)));
    let wait = Duration::from_millis(50);
    assert_eq!(play.pass(secs(1)), [(wait, verdict(7, Some(2))), (wait, verdict(8, Some(2)))]);
}

#[test]
fn without_another_token_the_file_is_read_and_then_the_session_has_expired() {
    for replaced in [true, false] {
        let mut play = Play::with(token(1, 1000));
        play.refuse(7, 1);
        play.refuse(8, 1);
        play.now = Now { mono: Duration::from_millis(50), wall: BEGIN };
        let acts = play.tell(Event::Timer);
        let [Act::Look(look)] = acts[..] else { panic!("one look for both: {acts:?}") };
        // An older look and news that nobody has asked for say nothing of what is there now.
        assert_eq!(play.looked(look - 1, Found::Token(token(1, 1000))), []);
        let found = if replaced { token(2, 2000) } else { token(1, 1000) };
        let mut acts = play.looked(look, Found::Token(found));
        acts.sort_by_key(|act| matches!(act, Act::Verdict(request, _) if request.0 == 8));
        let (verdicts, standing) = if replaced {
            ([verdict(7, Some(2)), verdict(8, Some(2))], Standing::Active)
        } else {
            ([verdict(7, None), verdict(8, None)], Standing::Expired(Cause::Request))
        };
        assert_eq!(acts[acts.len() - 2..], verdicts);
        assert_eq!(play.lease.standing(), standing);
    }
}

#[test]
fn a_renewal_that_is_under_way_is_waited_for_but_not_for_ever() {
    let mut play = Play::renewing();
    play.refuse(7, 1);
    assert_eq!(play.pass(secs(4)), []);
    let acts = play.tell(Event::Renewed(Renewal::Granted(token(2, 9000), Ok(()))));
    assert_eq!(acts.last(), Some(&verdict(7, Some(2))));

    let mut play = Play::renewing();
    play.refuse(7, 1);
    let expired = Act::Tell(Fact::Expired(Cause::Request));
    assert_eq!(play.pass(secs(8)), [(secs(7), expired), (secs(7), verdict(7, None))]);
}

#[test]
fn an_expired_session_is_tried_every_five_seconds_and_comes_back_when_it_is_heard() {
    let mut play = Play::with(token(1, 1000));
    assert!(play.lease.admits(play.now));
    play.tell(Event::Ended(TokenId(1), End::Refused));
    play.pass(secs(3));
    assert_eq!(play.lease.standing(), Standing::Expired(Cause::Request));
    assert!(play.lease.admits(play.now) && !play.lease.admits(play.now));
    play.pass(secs(5));
    assert!(play.lease.admits(play.now) && !play.lease.admits(play.now));
    assert_eq!(play.tell(Event::Ended(TokenId(9), End::Heard)), []);
    let acts = play.tell(Event::Ended(TokenId(1), End::Heard));
    assert_eq!(acts, [Act::Tell(Fact::Revived(TokenId(1))), Act::Publish(TokenId(1))]);
    assert!(play.lease.admits(play.now));
    play.pass(secs(600));
    play.tell(Event::Renewed(refused(403, "RENEWAL_LIMIT_REACHED")));
    play.pass(secs(400));
    assert!(!play.lease.admits(play.now), "time is not asked for its opinion");
}
