//! Renewals that the server asks for, and tokens that come by.

use super::*;

/// Renewed by the server's wish, 10 s after the beginning of a life of 1,000 s.
fn wished() -> Play {
    let mut play = Play::with(token(1, 1000));
    assert_eq!(play.pass(secs(10)), []);
    assert_eq!(play.tell(Event::Wanted(RequestId(7))), [Act::Renew(TokenId(1))]);
    assert_eq!(play.tell(Event::Wanted(RequestId(8))), [], "one renewal is enough");
    play
}

#[test]
fn a_server_that_asks_for_a_renewal_gets_what_one_of_ours_came_to() {
    let mut play = wished();
    let claims = Claims { issued: Some(play.now.wall), expires: Some(play.now.wall + secs(1000)) };
    let new = Token { id: TokenId(2), claims };
    let acts = play.tell(Event::Renewed(Renewal::Granted(new, Ok(()))));
    let answers = [Act::Answer(RequestId(7)), Act::Answer(RequestId(8))];
    assert_eq!(acts[..2], [Act::Tell(Fact::Renewed(TokenId(2))), Act::Publish(TokenId(2))]);
    assert_eq!(acts[2..], answers);
    play.pass(secs(59));
    assert_eq!(play.tell(Event::Wanted(RequestId(9))), [Act::Answer(RequestId(9))], "it is new");
    play.pass(secs(1));
    assert_eq!(play.tell(Event::Wanted(RequestId(10))), [Act::Renew(TokenId(2))]);
}

#[test]
fn what_comes_of_a_wish_changes_no_plan_unless_it_concerns_the_session() {
    for (renewal, renewed_again) in [
        (refused(403, "RENEWAL_TOO_EARLY"), true),
        (Renewal::Failed("reset".into()), true),
        (refused(503, ""), true),
        (refused(403, "RENEWAL_LIMIT_REACHED"), false),
    ] {
        let mut play = wished();
        let acts = play.tell(Event::Renewed(renewal.clone()));
        assert!(acts.contains(&Act::Answer(RequestId(7))) && acts.contains(&Act::Answer(RequestId(8))));
        assert_eq!(play.pass(secs(589)), [], "{renewal:?}");
        assert_eq!(play.pass(secs(2)).iter().any(|(_, act)| *act == Act::Renew(TokenId(1))), renewed_again);
    }
    // Nothing is there to renew.
    let mut play = Play::with(token(1, 10));
    play.pass(secs(11));
    assert_eq!(play.tell(Event::Wanted(RequestId(7))), [verdict(7, None)]);
    // A server that asks without end is answered without asking the API each time.
    let mut play = wished();
    play.tell(Event::Renewed(refused(403, "RENEWAL_TOO_EARLY")));
    assert_eq!(play.tell(Event::Wanted(RequestId(9))), [Act::Answer(RequestId(9))]);
    let mut play = wished();
    play.lease.let_go();
    assert_eq!(play.tell(Event::Timer), [verdict(7, None), verdict(8, None)]);
    // Nobody waits for one that is not made.
    assert_eq!(play.tell(Event::Wanted(RequestId(9))), [Act::Answer(RequestId(9))]);
}

#[test]
fn a_newer_token_that_comes_by_is_used_and_written() {
    let mut play = Play::with(token(1, 1000));
    play.pass(secs(10));
    assert_eq!(play.tell(Event::Seen(token(1, 1000))), []);
    let older = Token {
        id: TokenId(3),
        claims: Claims { issued: Some(BEGIN.saturating_sub(secs(1))), expires: None },
    };
    assert_eq!(play.tell(Event::Seen(older)), []);
    let claims = Claims { issued: Some(play.now.wall), expires: Some(play.now.wall + secs(1000)) };
    let acts = play.tell(Event::Seen(Token { id: TokenId(2), claims }));
    let adopted = [Act::Tell(Fact::Adopted(TokenId(2))), Act::Publish(TokenId(2)), Act::Write(TokenId(2))];
    assert_eq!(acts, adopted);
    // The file still holds the one before it.
    assert_eq!(play.looked(2, Found::Token(token(1, 1000))), []);
}
