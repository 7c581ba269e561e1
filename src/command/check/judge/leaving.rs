//! How it leaves, and how it comes back after a crash.

use std::time::Duration;

use super::super::rule::{CRASH_LISTS, CRASH_RECOVERY, Finding, LEAVE_EOF, LEAVE_PROCESSES, LEAVE_TERM};
use super::super::seen::{Ending, Kind, Listing, Seen, Way};

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let endings: Vec<&Ending> = seen.lives().filter_map(|life| life.ending.as_ref()).collect();
    let mut findings = Vec::new();
    let late = |way: Way| endings.iter().any(|ending| ending.asked == way && ending.took.is_none());
    if late(Way::EndOfInput) {
        findings.push(Finding::new(&LEAVE_EOF, "it was still there 2 s after the end of its input"));
    } else if let Some((ending, rest)) = endings.iter().find_map(|ending| Some((ending, followed(ending)?))) {
        let when = after(ending.asked);
        let seen = format!("what it had started was gone only {:.1} s {when}", rest.as_secs_f64());
        findings.push(Finding::new(&LEAVE_EOF, seen));
    }
    if late(Way::Term) || endings.iter().any(|ending| ending.obeyed_term == Some(false)) {
        findings.push(Finding::new(&LEAVE_TERM, "it was still there 2 s after SIGTERM"));
    }
    if let Some(ending) = endings.iter().find(|ending| !ending.left.is_empty()) {
        let when = after(ending.asked);
        findings.push(Finding::new(
            &LEAVE_PROCESSES,
            format!("{when} there still was {}", ending.left.join(", ")),
        ));
    }
    findings
}

/// How long what it had started took, if that was too long.
fn followed(ending: &Ending) -> Option<Duration> {
    ending.rest.filter(|_| ending.is_followed_late())
}

fn after(way: Way) -> &'static str {
    match way {
        Way::EndOfInput => "after the end of its input",
        Way::Term => "after SIGTERM",
        Way::Unasked => "after it had ended by itself",
    }
}

pub(super) fn judge_crash(seen: &Seen) -> Vec<Finding> {
    let Some(drill) = &seen.drill else { return Vec::new() };
    let recovery = match &drill.outcome {
        Ok(recovery) => recovery,
        Err(why) => return vec![Finding::new(&CRASH_RECOVERY, why.clone())],
    };
    let mut findings = Vec::new();
    // Resources are data, which comes and goes.
    for before in drill.before.iter().filter(|listing| listing.kind != Kind::Resources) {
        let after = recovery.lists.iter().find(|listing| listing.kind == before.kind);
        let seen = match after {
            Some(after) if after.fault.is_none() || before.fault.is_some() => differences(before, after),
            Some(_) | None => Some("it was listed before, and is no more".to_owned()),
        };
        findings.extend(seen.map(|seen| Finding::of(&CRASH_LISTS, before.kind.method(), seen)));
    }
    findings
}

fn differences(before: &Listing, after: &Listing) -> Option<String> {
    let (before, after) = (before.kind.definitions(&before.entries), after.kind.definitions(&after.entries));
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("{key} is gone"));
    let new = after.keys().filter(|key| !before.contains_key(*key)).map(|key| format!("{key} is new"));
    let changed = before
        .iter()
        .filter(|(key, entry)| after.get(*key).is_some_and(|other| other != *entry))
        .map(|(key, _)| format!("{key} has changed"));
    let all: Vec<String> = gone.chain(new).chain(changed).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
