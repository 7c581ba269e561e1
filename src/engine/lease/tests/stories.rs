//! Random stories of a token, against the invariants.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What may happen, by a number.
fn step(play: &mut Play, kind: u8, pick: u32, tokens: &BTreeMap<u32, Token>) -> Vec<Act> {
    let known = |pick: u32| tokens[&(pick % 6)];
    let found = |pick: u32| match pick % 8 {
        6 => Found::Nothing,
        7 => Found::Unusable("is empty".into()),
        pick => Found::Token(known(pick)),
    };
    match kind {
        0 => {
            let look = (!pick.is_multiple_of(3)).then_some(play.lease.looks);
            play.tell(Event::Found { look, file: found(pick), environment: found(pick / 8) })
        }
        1 => play.tell(Event::Renewed(match pick % 9 {
            0 => Renewal::Granted(
                known(pick / 9),
                if pick.is_multiple_of(2) { Ok(()) } else { Err("full".into()) },
            ),
            1 => Renewal::Superseded(known(pick / 9)),
            2 => Renewal::Failed("reset".into()),
            3 => refused(400, "RENEWAL_TOO_EARLY"),
            4 => refused(403, "RENEWAL_LIMIT_REACHED"),
            5 => refused(409, ""),
            6 => refused(401, ""),
            7 => refused(400, "RENEWAL_NOT_REQUIRED"),
            _ => refused(503, ""),
        })),
        2 => play.tell(Event::Written(
            TokenId(pick % 6),
            if pick.is_multiple_of(2) { Ok(()) } else { Err("full".into()) },
        )),
        3 => play.refuse(u64::from(pick), pick % 6),
        4 => play.tell(Event::Ended(TokenId(pick % 6), if pick % 4 < 2 { End::Heard } else { End::Refused })),
        5 => {
            let jump = secs(u64::from(pick % 2000));
            play.now.wall = if pick.is_multiple_of(2) {
                play.now.wall + jump
            } else {
                play.now.wall.saturating_sub(jump)
            };
            Vec::new()
        }
        6 => play.tell(Event::Wanted(RequestId(1 << 40 | u64::from(pick)))),
        7 => play.tell(Event::Seen(known(pick))),
        _ => {
            let at = play.lease.deadline().max(play.now.mono);
            let passed = at.saturating_sub(play.now.mono);
            play.now = Now { mono: at, wall: play.now.wall + passed };
            play.tell(Event::Timer)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_story_breaks_an_invariant(steps in prop::collection::vec((0..10_u8, any::<u32>()), 1..80)) {
        let tokens: BTreeMap<u32, Token> = (0..6).map(|id| (id, token(id, 300 + 700 * u64::from(id)))).collect();
        let mut play = Play::begin();
        let (mut under_way, mut published, mut said_over) = (false, None, BTreeSet::new());
        let mut renewed: Option<(TokenId, Duration)> = None;
        let mut waiting: BTreeMap<RequestId, (TokenId, Duration)> = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        for (kind, pick) in steps {
            if kind == 3 && waiting.contains_key(&RequestId(u64::from(pick))) {
                continue;
            }
            match kind {
                1 => {
                    let over = matches!(pick % 9, 5 | 6).then(|| play.lease.token.map(|token| token.id));
                    said_over.extend(over.flatten().filter(|_| under_way));
                    under_way = false;
                }
                3 => {
                    let token = TokenId(pick % 6);
                    said_over.insert(token);
                    waiting.insert(RequestId(u64::from(pick)), (token, play.now.mono));
                }
                6 if !wanted.insert(RequestId(1 << 40 | u64::from(pick))) => continue,
                4 if pick % 4 >= 2 => drop(said_over.insert(TokenId(pick % 6))),
                _ => {}
            }
            let wall = play.now.wall;
            for act in step(&mut play, kind, pick, &tokens) {
                match act {
                    Act::RenewRegardless(token, _) => {
                        // The API was not asked before.
                        prop_assert!(!std::mem::replace(&mut under_way, true), "two renewals at once");
                        prop_assert_eq!(Some(token), published, "what is renewed is what is used");
                    }
                    Act::Renew(token) => {
                        prop_assert!(!std::mem::replace(&mut under_way, true), "two renewals at once");
                        prop_assert_eq!(Some(token), published, "what is renewed is what is used");
                        let pause = renewed.filter(|(before, _)| *before == token).map(|(_, at)| play.now.mono.saturating_sub(at));
                        prop_assert!(pause.is_none_or(|pause| pause >= secs(1) / 2), "again after {:?}", pause);
                        renewed = Some((token, play.now.mono));
                    }
                    Act::Publish(token) => {
                        // Another one may be renewed at once, and one that comes back after it.
                        renewed = renewed.filter(|_| published == Some(token));
                        published = Some(token);
                    }
                    Act::Write(token) => prop_assert_eq!(Some(token), published),
                    Act::Answer(request) => {
                        prop_assert!(wanted.remove(&request) && !under_way, "an answer to what does not wait");
                    }
                    Act::Verdict(request, None) if wanted.remove(&request) => {}
                    Act::Verdict(request, repeated) => {
                        let asked = waiting.remove(&request);
                        prop_assert!(asked.is_some(), "a verdict on what does not wait");
                        prop_assert!(repeated.is_none() || repeated != asked.map(|(token, _)| token), "the same again");
                        prop_assert!(repeated.is_none() || repeated == published);
                    }
                    Act::Tell(Fact::Expired(cause)) => {
                        let ours = play.lease.token.expect("only what is there can expire");
                        let passed = ours.claims.expires.is_some_and(|end| end <= play.now.wall.max(wall));
                        let reason = if cause == Cause::Time { passed } else { said_over.contains(&ours.id) };
                        prop_assert!(reason, "{cause:?} for no reason");
                    }
                    Act::Tell(_) | Act::Look(_) | Act::Lack | Act::Probe => {}
                }
            }
            prop_assert_eq!(play.lease.token.map(|token| token.id), published);
            let now = play.now.mono;
            prop_assert!(play.lease.deadline() > now || kind < 8, "it rings for nothing");
            prop_assert!(under_way || wanted.is_empty(), "{:?} wait for nothing", wanted);
            for (token, arrived) in waiting.values() {
                prop_assert!(now <= *arrived + secs(7), "{:?} has waited since {:?}", token, arrived);
            }
        }
    }
}
