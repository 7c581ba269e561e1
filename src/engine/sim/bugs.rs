//! Planted bugs: each must be found, and by the invariant that it breaks.

use super::{SEEDS, run};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Bug {
    SpawnCountsAsServing,
    ForwardReplayedGreeting,
    ForgetInitialized,
    LoseAnswerAtCrash,
    RepeatUnsafe,
    RepeatForEver,
    AnswerTwice,
    KeepDeadIds,
    ForwardStrayAnswers,
    ProgressBackwards,
    ForgetSubscription,
    WriteBeforeGreeting,
    NeverKill,
    EmptyList,
    KeepDeadAsks,
    RepeatCancelled,
    DropUnread,
    HoldForEver,
    KeepProbedChild,
    RepeatProbe,
    ForwardAcknowledgement,
    NeverListChanged,
    AlwaysListChanged,
    CancelledHoldPingBack,
    HangWhileBusy,
    RestartPerChange,
    RestartWithoutDraining,
    BusyIsCrash,
    RememberEmptyList,
    IgnoreGrace,
    AskShellAlways,
    CallOnDeadSession,
    RenewTwice,
    ExpireWithoutCause,
    RepeatWithSameToken,
    ForgetVerdict,
    TellStateWithoutCause,
    PassStateOn,
    KeepOldToken,
    RepeatRefused,
    PassRefusalOn,
    RotateAlways,
    CarryInSilence,
    IgnoreOrder,
    TrustDisk,
    TrustOldEdition,
    RepeatUnasked,
    KillFirst,
    KeepSignal,
    SwallowSecondSignal,
    CloseWithSignal,
    GraceOfTheLeader,
    IgnoreTwins,
    ReuseOwedIds,
    BelieveQuotations,
    ProgressOfNothing,
    ForgetWithheld,
    KillSuspect,
    WriteToSuspect,
    PingForEver,
    ListenHoldsUp,
    OneByOne,
    TellGoodbye,
    SpliceStreams,
    AskEndedStreams,
    KeepRefused,
    ForgetWanted,
    KeepMeager,
    KeepApiState,
}

/// Each bug and the invariants of which one is to tell it.
const BUGS: [(Bug, &[&str]); 68] = [
    (Bug::SpawnCountsAsServing, &["restarts back off"]),
    (Bug::ForwardReplayedGreeting, &["only answers that it waits for reach the host"]),
    (Bug::ForgetInitialized, &["a greeted child is told what its predecessor knew"]),
    (Bug::LoseAnswerAtCrash, &["every request gets an answer"]),
    (Bug::RepeatUnsafe, &["only what is safe is written to a second child"]),
    (Bug::RepeatForEver, &["nothing is written to a third child", "guidance tells the outcome"]),
    (Bug::AnswerTwice, &["no request is answered twice"]),
    (Bug::KeepDeadIds, &["ids of servers are distinct for the host"]),
    (
        Bug::ForwardStrayAnswers,
        &["only answers that it waits for reach the host", "no request is answered twice"],
    ),
    (Bug::ProgressBackwards, &["progress never goes backwards"]),
    (Bug::ForgetSubscription, &["a greeted child is told what its predecessor knew"]),
    (Bug::WriteBeforeGreeting, &["a child hears nothing before its greeting is done"]),
    (Bug::NeverKill, &["a stop ends in time", "the grace is the group's", "a signal to us is handed on"]),
    (Bug::EmptyList, &["a list that we serve is the last good one and never empty"]),
    (Bug::KeepDeadAsks, &["a host's answer reaches only the child that asked"]),
    (Bug::RepeatCancelled, &["what nobody waits for is not written"]),
    (Bug::DropUnread, &["what a child had written is read to the end"]),
    (Bug::HoldForEver, &["no deadline stays in the past"]),
    (Bug::KeepProbedChild, &["a probed child is replaced before it is greeted"]),
    (Bug::RepeatProbe, &["a child that dies on the probe is not fed it again"]),
    (Bug::ForwardAcknowledgement, &["an acknowledgement that the host knows stays with us"]),
    (Bug::NeverListChanged, &["a list that has changed is told to have"]),
    (Bug::AlwaysListChanged, &["a list is told to have changed only if it has"]),
    (Bug::CancelledHoldPingBack, &["an idle server is asked whether it lives"]),
    (Bug::HangWhileBusy, &["a busy server is not asked whether it lives"]),
    (Bug::RestartPerChange, &["changes in a row are one"]),
    (Bug::RestartWithoutDraining, &["a planned restart lets finish what runs"]),
    (Bug::BusyIsCrash, &["a busy command is tried again soon"]),
    (Bug::RememberEmptyList, &["only good answers are kept"]),
    (Bug::IgnoreGrace, &["every delay is bounded"]),
    (Bug::AskShellAlways, &["the login shell is asked only when a lookup has failed, and not too often"]),
    (Bug::CallOnDeadSession, &["no call is made without a session"]),
    (Bug::RenewTwice, &["one renewal at a time"]),
    (Bug::ExpireWithoutCause, &["a token expires only with cause"]),
    (Bug::RepeatWithSameToken, &["a request goes again only with another token"]),
    (Bug::ForgetVerdict, &["each refused request gets one verdict", "a withheld call is answered soon"]),
    (Bug::TellStateWithoutCause, &["a state of the API is told only if it is one"]),
    (Bug::PassStateOn, &["a call that fails because of the API is told so"]),
    (Bug::KeepOldToken, &["a server has the newest token"]),
    (Bug::RepeatRefused, &["only what is safe is written to a second child"]),
    (Bug::PassRefusalOn, &["a refused call is withheld"]),
    (Bug::RotateAlways, &["a server is not replaced for each token"]),
    (Bug::CarryInSilence, &["the notes add up to what has happened"]),
    (Bug::TrustDisk, &["only what is safe is written to a second child"]),
    (
        Bug::TrustOldEdition,
        &["only what is safe is written to a second child", "a serving child gets what waits"],
    ),
    (Bug::RepeatUnasked, &["only what is safe is written to a second child"]),
    (Bug::KillFirst, &["SIGKILL is never the first"]),
    (Bug::KeepSignal, &["a signal to us is handed on"]),
    (Bug::CloseWithSignal, &["a signal and the end of input come apart"]),
    (Bug::SwallowSecondSignal, &["a signal to us is handed on"]),
    (Bug::GraceOfTheLeader, &["the grace is the group's", "SIGKILL is never the first"]),
    (Bug::IgnoreTwins, &["what a child answers reaches the host"]),
    (
        Bug::ReuseOwedIds,
        &[
            "an answer reaches the request that it answers",
            "only answers that it waits for reach the host",
            "what a child answers reaches the host",
        ],
    ),
    (Bug::BelieveQuotations, &["an answer behind noise waits for its own line"]),
    (Bug::ProgressOfNothing, &["progress is told of what the host waits for"]),
    (Bug::ForgetWithheld, &["no deadline stays in the past"]),
    (Bug::KillSuspect, &["a suspect server is let be while nothing is asked of it"]),
    (Bug::WriteToSuspect, &["what is asked of a suspect server waits for a sign of life"]),
    (Bug::PingForEver, &["a server that dies of pings is not pinged for ever"]),
    (Bug::ListenHoldsUp, &["nothing is held up by a stream, or for long by a slow answer"]),
    (Bug::OneByOne, &["nothing is held up by a stream, or for long by a slow answer"]),
    (Bug::TellGoodbye, &["a goodbye to us is not for the host"]),
    (
        Bug::SpliceStreams,
        &[
            "a goodbye to us is not for the host",
            "forwarded bytes are the bytes received",
            "no request is answered twice",
            "what nobody waits for is not written",
        ],
    ),
    (Bug::AskEndedStreams, &["no request is answered twice", "what nobody waits for is not written"]),
    (Bug::KeepMeager, &["a server that has missed its API is started again"]),
    (Bug::ForgetWanted, &["each request for a renewal gets one answer"]),
    (Bug::KeepApiState, &["a change of what is known of the API is told"]),
    (Bug::KeepRefused, &["what a server refuses is erased"]),
];

#[test]
fn each_planted_bug_is_found() {
    let mut wrong = Vec::new();
    for (bug, expected) in BUGS {
        let found = (0..SEEDS).find_map(|seed| Some((seed, run(seed, Some(bug)).0.err()?)));
        let Some((seed, violation)) = found else {
            wrong.push(format!("{bug:?} is not found: the models are too weak"));
            continue;
        };
        println!("bug {bug:?} found at seed {seed}: {}", violation.invariant);
        if run(seed, None).0.is_err() {
            wrong.push(format!("{bug:?} is found at seed {seed}, but that seed fails without it"));
        } else if !expected.contains(&violation.invariant) {
            wrong.push(format!(
                "{bug:?} breaks \"{}\" at seed {seed}: {}",
                violation.invariant, violation.detail
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
