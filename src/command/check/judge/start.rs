//! Does it start, how fast, in which eras.

use std::time::Duration;

use serde_json::Value;

use super::super::rule::{
    Finding, GREETING_INVALID, GREETING_REFUSED, MODERN_INVALID, PROBE_INITIALIZE, PROBE_UNANSWERED,
    START_FAILED, START_SILENT, START_SLOW, START_TOO_SLOW, START_TWICE, STDOUT_BUFFERED, STDOUT_ENCODING,
    STDOUT_FRAMES, STDOUT_SPREAD,
};
use super::super::seen::{Answer, Era, Form, Kind, Life, Output, Question, Seen};
use super::shape::{Type, wrong as wrong_members};
use super::{said, trouble};

/// Claude Code's limit.
const TOO_SLOW: Duration = Duration::from_secs(30);
/// That of clients that probe.
const SLOW: Duration = Duration::from_secs(10);
/// What a server may answer an `initialize` with.
const REVISIONS: [&str; 5] = ["2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What a capability is.
const CAPABILITIES: [(&str, Type); 8] = [
    ("completions", Type::Object),
    ("experimental", Type::Objects),
    ("extensions", Type::Objects),
    ("logging", Type::Object),
    ("prompts", Type::Object),
    ("resources", Type::Object),
    ("tasks", Type::Object),
    ("tools", Type::Object),
];
/// What is said in it.
const FLAGS: [(&str, Type); 2] = [("listChanged", Type::Truth), ("subscribe", Type::Truth)];
/// What a server may say of itself besides its name and version.
const INFO: [(&str, Type); 4] =
    [("title", Type::Text), ("description", Type::Text), ("websiteUrl", Type::Text), ("icons", Type::Icons)];

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let main = &seen.main;
    let mut findings = Vec::new();
    let mut find = |rule| findings.extend(trouble(&main.opening).map(|seen| Finding::new(rule, seen)));
    match &main.opening {
        Answer::NotStarted(_) | Answer::Gone(_) => find(&START_FAILED),
        Answer::Silence(_) => {
            let forms = unread(&main.output);
            findings.extend(trouble(&main.opening).map(|seen| {
                let why = forms.map(|rule| format!("; what it wrote is told by {rule}")).unwrap_or_default();
                Finding::new(&START_SILENT, format!("{seen}{why}{}", said(&main.stderr)))
            }));
        }
        Answer::Error { .. } => find(&GREETING_REFUSED),
        Answer::Result { value, .. } => {
            findings.extend(greeting(main.era, value));
            findings.extend(speed(seen));
            findings.extend(twice(&seen.pair));
        }
    }
    if let Some(other) = &seen.other {
        match other.era {
            Era::Modern if main.greeting().is_some() => findings.extend(probed(other)),
            // Not even the old way did it understand, or it speaks the new way only, which it may.
            Era::Modern | Era::Legacy => {}
        }
    }
    if let Some(modern) = seen.lives().find(|life| life.era == Era::Modern && life.greeting().is_some()) {
        findings.extend(modern_members(modern));
    }
    findings
}

/// The rule by which it is told why nothing that it wrote was read. `None` if that is not known.
fn unread(output: &Output) -> Option<&'static str> {
    let form = output.forms.keys().find_map(|form| match form {
        Form::Frames => Some(STDOUT_FRAMES.name),
        Form::Utf16 | Form::Encoding => Some(STDOUT_ENCODING.name),
        Form::Spread => Some(STDOUT_SPREAD.name),
        Form::Numbers | Form::Both | Form::Version => None,
    });
    form.or((output.at_end > 0).then_some(STDOUT_BUFFERED.name))
}

fn greeting(era: Era, greeting: &Value) -> Option<Finding> {
    let mut wrong = Vec::new();
    if !greeting["capabilities"].is_object() {
        wrong.push("capabilities is no object".to_owned());
    }
    if era == Era::Modern {
        let versions = greeting["supportedVersions"].as_array();
        if !versions.is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string)) {
            wrong.push("supportedVersions is no list of versions".to_owned());
        }
    } else {
        match greeting["protocolVersion"].as_str() {
            None => wrong.push("protocolVersion is no text".to_owned()),
            Some(version) if !REVISIONS.contains(&version) => {
                wrong.push(format!("protocolVersion is {version:?}, which is no revision with initialize"));
            }
            Some(_) => {}
        }
        for member in ["name", "version"] {
            if !greeting["serverInfo"][member].is_string() {
                wrong.push(format!("serverInfo.{member} is no text"));
            }
        }
    }
    wrong.extend(wrong_members(greeting, &[("instructions", Type::Text), ("_meta", Type::Object)]));
    for info in [&greeting["serverInfo"], &greeting["_meta"]["io.modelcontextprotocol/serverInfo"]] {
        let told = wrong_members(info, &INFO).into_iter().map(|it| format!("serverInfo.{it}"));
        wrong.extend(told);
    }
    let capabilities = &greeting["capabilities"];
    wrong.extend(
        wrong_members(capabilities, &CAPABILITIES).into_iter().map(|it| format!("capabilities.{it}")),
    );
    for (name, _) in CAPABILITIES {
        let told = wrong_members(&capabilities[name], &FLAGS).into_iter();
        wrong.extend(told.map(|it| format!("capabilities.{name}.{it}")));
    }
    (!wrong.is_empty()).then(|| Finding::new(&GREETING_INVALID, wrong.join("; ")))
}

/// How long each greeting took, in the order of the starts.
pub(in super::super) fn starts(seen: &Seen) -> Vec<Duration> {
    let after = |life: &Life| match &life.opening {
        Answer::Result { after, .. } => Some(*after),
        Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_) => None,
    };
    seen.lives().filter_map(after).collect()
}

/// The fastest start counts: the first may have downloaded something, and two at once share the machine.
fn speed(seen: &Seen) -> Option<Finding> {
    let fastest = starts(seen).into_iter().min()?;
    let rule = match fastest {
        time if time > TOO_SLOW => &START_TOO_SLOW,
        time if time > SLOW => &START_SLOW,
        _ => return None,
    };
    Some(Finding::new(rule, format!("the fastest of its starts took {:.1} s", fastest.as_secs_f64())))
}

fn twice(pair: &[Life]) -> Option<Finding> {
    pair.iter().enumerate().find_map(|(number, life)| {
        let which = if number == 0 { "the first" } else { "the second" };
        let seen = trouble(&life.opening)?;
        Some(Finding::new(&START_TWICE, format!("of two at the same time {which} was not greeted: {seen}")))
    })
}

fn probed(life: &Life) -> Vec<Finding> {
    let refused = matches!(life.opening, Answer::Error { .. });
    let probe = trouble(&life.opening).filter(|_| !refused);
    let probe = probe.map(|seen| Finding::new(&PROBE_UNANSWERED, format!("on server/discover {seen}")));
    let greetings = life.asked.iter().filter(|(question, _)| matches!(question, Question::Initialize));
    let greetings =
        greetings.filter_map(|(_, answer)| Some(Finding::new(&PROBE_INITIALIZE, trouble(answer)?)));
    probe.into_iter().chain(greetings).collect()
}

fn modern_members(life: &Life) -> Vec<Finding> {
    let discovered = life.greeting().map(|greeting| ("server/discover", greeting));
    let lists = life.listings.iter();
    let lists = lists.filter_map(|listing| Some((Kind::method(listing.kind), listing.pages.first()?)));
    discovered
        .into_iter()
        .chain(lists)
        .filter_map(|(method, result)| {
            let mut missing = Vec::new();
            if !result["resultType"].is_string() {
                missing.push("resultType");
            }
            if !result["ttlMs"].is_number() {
                missing.push("ttlMs");
            }
            if !result["cacheScope"].is_string() {
                missing.push("cacheScope");
            }
            let seen = format!("its result lacks {}", missing.join(", "));
            (!missing.is_empty()).then(|| Finding::of(&MODERN_INVALID, method, seen))
        })
        .collect()
}
