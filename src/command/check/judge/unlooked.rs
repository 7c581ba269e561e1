//! Which rules nobody has looked at, and why: what was not seen is not sound.

use std::collections::BTreeSet;

use super::super::rule::{Part, Rule};
use super::super::seen::{Answer, Era, Kind, Life, Question, Seen, Way};

/// What a person has asked for besides the server.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Wanted {
    /// Whether there is a `--call`.
    pub(in super::super) calls: bool,
    /// Why the baseline is not looked at. `None` if it is.
    pub(in super::super) baseline: Option<&'static str>,
}

const UNGREETED: &str = "the server was not greeted";
const UNCALLED: &str = "no tool that says it only reads, or that --call names, can be called wrongly";
const GONE: &str = "the server was gone, or silent, before";

/// Why nobody has looked at this part, as a clause. `None` if somebody has.
pub(super) fn part(seen: &Seen, part: Part, wanted: Wanted) -> Option<&'static str> {
    match part {
        Part::Start | Part::Stdout => None,
        Part::Calls if !wanted.calls => Some("no --call"),
        Part::Baseline if wanted.baseline.is_some() => wanted.baseline,
        Part::Requests
        | Part::Lists
        | Part::Schemas
        | Part::Calls
        | Part::Leaving
        | Part::Crash
        | Part::Baseline => (!seen.greeted()).then_some(UNGREETED),
    }
}

/// What of a part the report says was not looked at, the whole of it or its wrong arguments, and why, as a clause. `None` if
/// all that matters was.
pub(super) fn told(seen: &Seen, part: Part, wanted: Wanted) -> Option<(&'static str, &'static str)> {
    if let Some(why) = self::part(seen, part, wanted) {
        return Some((part.word(), why));
    }
    // That they were tried is believed of each server with tools.
    let has_tools = seen.main.entries(Kind::Tools).is_some_and(|tools| !tools.is_empty());
    let why = unrefused(seen).filter(|_| part == Part::Requests && has_tools)?;
    Some(("arguments", why))
}

/// Why nobody knows whether wrong arguments are refused, as a clause. `None` if it is known.
fn unrefused(seen: &Seen) -> Option<&'static str> {
    if !asked_any(seen, |it| matches!(it, Question::Arguments { .. })) {
        let went_on = asked_any(seen, |it| matches!(it, Question::Id(_)));
        return Some(if went_on { UNCALLED } else { GONE });
    }
    says_one_thing(seen).then_some("the server answers each call with the same error")
}

/// Whether each call that should be refused got the same text, which then says nothing of what was wrong with it.
fn says_one_thing(seen: &Seen) -> bool {
    let said = |is: fn(&Question) -> bool| -> BTreeSet<Option<&str>> {
        let all = seen.questioned().flat_map(|life| &life.asked).filter(|(it, _)| is(it));
        all.map(|(_, answer)| match answer {
            Answer::Result { value, .. } if value["isError"] == true => value["content"][0]["text"].as_str(),
            Answer::Result { .. }
            | Answer::Error { .. }
            | Answer::Silence(_)
            | Answer::Gone(_)
            | Answer::NotStarted(_) => None,
        })
        .collect()
    };
    let of_arguments = said(|it| matches!(it, Question::Arguments { .. }));
    let of_no_tool = said(|it| matches!(it, Question::UnknownTool));
    of_arguments.len() == 1 && !of_arguments.contains(&None) && of_arguments == of_no_tool
}

/// Why nobody has looked at this rule, as a clause. `None` if somebody has.
pub(super) fn rule(seen: &Seen, rule: &Rule, wanted: Wanted) -> Option<&'static str> {
    if let Some(why) = part(seen, rule.part, wanted) {
        return Some(why);
    }
    match rule.part {
        Part::Start => start(seen, rule.name),
        Part::Stdout => stdout(seen, rule.name),
        Part::Requests => requests(seen, rule.name),
        Part::Lists => lists(seen, rule.name),
        Part::Schemas => listed(seen, Kind::Tools),
        Part::Calls => calls(seen, rule.name),
        Part::Leaving => leaving(seen, rule.name),
        Part::Crash => crash(seen, rule.name),
        Part::Baseline => None,
    }
}

fn start(seen: &Seen, name: &str) -> Option<&'static str> {
    let greeted = seen.greeted();
    let opened = !matches!(seen.main.opening, Answer::NotStarted(_) | Answer::Gone(_));
    let answered = opened && !matches!(seen.main.opening, Answer::Silence(_));
    let probed = seen.other.as_ref().filter(|other| greeted && other.era == Era::Modern);
    let speaks_it = seen.lives().any(|life| life.era == Era::Modern && life.greeting().is_some());
    match name {
        "start-failed" | "check-unfinished" => None,
        "start-silent" => (!opened).then_some("the server was not there to answer"),
        "greeting-refused" => (!answered).then_some("the server did not answer"),
        "modern-invalid" => (!speaks_it).then_some("the server does not speak 2026-07-28"),
        "probe-unanswered" if greeted => probed.is_none().then_some("the server speaks 2026-07-28 alone"),
        "probe-initialize" if greeted => {
            let tried = probed.is_some_and(|life| asked(life, |it| matches!(it, Question::Initialize)));
            (!tried).then_some("the server has not refused server/discover")
        }
        _ => (!greeted).then_some(UNGREETED),
    }
}

fn stdout(seen: &Seen, name: &str) -> Option<&'static str> {
    if matches!(seen.main.opening, Answer::NotStarted(_)) {
        return Some("the server was not started");
    }
    // Whatever a server that dies has written can have been noise; its messages nobody has seen.
    let of_messages = !matches!(name, "stdout-noise" | "stdout-bom" | "stdout-frames" | "stdout-encoding");
    let nothing = matches!(seen.main.opening, Answer::Gone(_));
    (of_messages && nothing).then_some("the server has answered nothing")
}

fn requests(seen: &Seen, name: &str) -> Option<&'static str> {
    let any = |is: fn(&Question) -> bool| asked_any(seen, is);
    let was_asked = match name {
        "ping-unanswered" => any(|it| matches!(it, Question::Ping)),
        "method-unknown" => any(|it| matches!(it, Question::UnknownMethod)),
        "method-unknown-code" => {
            let refused = |life: &Life| {
                let mut all = life.asked.iter();
                all.any(|(it, answer)| {
                    matches!(it, Question::UnknownMethod) && matches!(answer, Answer::Error { .. })
                })
            };
            if !answering(seen).any(refused) {
                return Some("no unknown method was refused");
            }
            true
        }
        "arguments-unanswered" | "arguments-accepted" | "arguments-code" => {
            if !seen.main.listings.iter().any(|list| list.kind == Kind::Tools) {
                return Some("the server offers no tools");
            }
            // A call that names no tool shows whether it is answered, and not whether arguments are refused.
            if name != "arguments-unanswered"
                && let Some(why) = unrefused(seen)
            {
                return Some(why);
            }
            any(|it| matches!(it, Question::Arguments { .. } | Question::NoTool))
        }
        "tool-unknown" => {
            if !seen.main.listings.iter().any(|list| list.kind == Kind::Tools) {
                return Some("the server offers no tools");
            }
            if says_one_thing(seen) {
                return unrefused(seen);
            }
            any(|it| matches!(it, Question::UnknownTool))
        }
        "strays-fatal" => any(|it| matches!(it, Question::Stray(_))),
        "junk-fatal" => any(|it| matches!(it, Question::Junk(_))),
        "progress-late" => {
            if !any(|it| matches!(it, Question::Call { .. })) {
                return Some("no --call");
            }
            true
        }
        _ => true,
    };
    (!was_asked).then_some(GONE)
}

/// The processes that were asked what any server can be.
fn answering(seen: &Seen) -> impl Iterator<Item = &Life> {
    seen.questioned().chain(seen.other.iter().filter(|life| life.greeting().is_some()))
}

fn asked_any(seen: &Seen, is: fn(&Question) -> bool) -> bool {
    answering(seen).any(|life| asked(life, is))
}

fn asked(life: &Life, is: impl Fn(&Question) -> bool) -> bool {
    life.asked.iter().any(|(question, _)| is(question))
}

fn lists(seen: &Seen, name: &str) -> Option<&'static str> {
    match name {
        "list-empty" | "tool-name" | "tool-name-long" | "tool-description" | "annotations-contradict" => {
            listed(seen, Kind::Tools)
        }
        // Instructions have text too.
        "text-hidden" => None,
        "annotations-invalid" => listed(seen, Kind::Tools),
        "list-failed" => seen.main.listings.is_empty().then_some("the server offers no lists"),
        _ => {
            let none = seen.main.listings.iter().all(|list| list.pages.is_empty());
            let broken = seen.main.listings.iter().any(|list| list.fault.is_some());
            (none && !(name == "list-invalid" && broken)).then_some("nothing could be listed")
        }
    }
}

fn listed(seen: &Seen, kind: Kind) -> Option<&'static str> {
    match seen.main.listings.iter().find(|list| list.kind == kind) {
        None => Some("the server offers no tools"),
        Some(list) if list.pages.is_empty() => Some("the tools could not be listed"),
        Some(_) => None,
    }
}

fn calls(seen: &Seen, name: &str) -> Option<&'static str> {
    if matches!(name, "call-unknown" | "call-arguments") {
        return listed(seen, Kind::Tools);
    }
    let answers = seen.questioned().flat_map(|life| &life.asked);
    let answers = answers.filter(|(it, _)| matches!(it, Question::Call { .. })).map(|(_, answer)| answer);
    let results: Vec<_> = answers.filter(|answer| matches!(answer, Answer::Result { .. })).collect();
    match name {
        "call-invalid" | "call-output" => results.is_empty().then_some("no call had a result"),
        _ => None,
    }
}

fn leaving(seen: &Seen, name: &str) -> Option<&'static str> {
    let mut endings = seen.lives().filter_map(|life| life.ending.as_ref());
    let was_seen = match name {
        "leave-eof" => endings.any(|it| it.asked == Way::EndOfInput),
        "leave-term" => endings.any(|it| it.asked == Way::Term || it.obeyed_term.is_some()),
        _ => endings.next().is_some(),
    };
    (!was_seen).then_some("the server has never left when it was asked to")
}

fn crash(seen: &Seen, name: &str) -> Option<&'static str> {
    let Some(drill) = &seen.drill else { return Some("it was not tried") };
    (name == "crash-lists" && drill.outcome.is_err()).then_some("the server did not come back")
}
