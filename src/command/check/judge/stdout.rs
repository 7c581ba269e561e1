//! Is stdout clean. All processes together: what one prints at its start, each of them does.

use super::super::rule::{
    Finding, MESSAGE_INVALID, Rule, STDOUT_BATCH, STDOUT_BOM, STDOUT_BUFFERED, STDOUT_CRLF, STDOUT_EARLY,
    STDOUT_ENCODING, STDOUT_FRAMES, STDOUT_LONG, STDOUT_NOISE, STDOUT_SPREAD, STDOUT_UNFINISHED,
    TEXT_SURROGATE,
};
use super::super::seen::{Answer, Form, Output, Seen, Tally, Way};
use super::some;

/// Where hosts on the TypeScript SDK close the connection, in bytes.
const LONGEST: u64 = 10 * 1024 * 1024;

/// Forms that messages should not have, those of answers aside.
const FORMS: &[(Form, &Rule, &str)] = &[
    (Form::Frames, &STDOUT_FRAMES, "with a header as language servers write it"),
    (Form::Spread, &STDOUT_SPREAD, "over several lines"),
    (Form::Utf16, &STDOUT_ENCODING, "in UTF-16"),
    (Form::Encoding, &STDOUT_ENCODING, "with bytes that are no UTF-8"),
    (Form::Numbers, &MESSAGE_INVALID, "with NaN or Infinity, which JSON does not have"),
    (Form::Version, &MESSAGE_INVALID, "without \"jsonrpc\": \"2.0\""),
];

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let outputs: Vec<&Output> = seen.lives().map(|life| &life.output).collect();
    // The life in which most of it was.
    let most = |of: fn(&Output) -> &Tally| {
        outputs
            .iter()
            .map(|output| of(output))
            .max_by_key(|tally| tally.count)
            .filter(|tally| tally.count > 0)
    };
    let mut findings = Vec::new();
    // When it came is told only of what came late.
    let noise = most(|output| &output.noise)
        .map(|tally| (tally, ""))
        .or_else(|| Some((most(|output| &output.noise_at_end)?, " after the end of its input")))
        .or_else(|| {
            // One that leaves at the end of its input gets SIGTERM when its client has gone.
            let tally = most(|output| &output.noise_at_term).filter(|_| !leaves_by_itself(seen))?;
            Some((tally, " after SIGTERM"))
        });
    if let Some((tally, when)) = noise {
        let verb = if tally.count == 1 { "is no message" } else { "are no messages" };
        let what = format!("{}{when} {verb}", some(tally.count, "line"));
        findings.push(Finding::new(&STDOUT_NOISE, shown(&what, tally)));
    }
    if let Some(tally) = most(|output| &output.batches) {
        let what = format!("{} with an array of messages", some(tally.count, "line"));
        findings.push(Finding::new(&STDOUT_BATCH, shown(&what, tally)));
    }
    for (form, rule, what) in FORMS {
        let most = outputs.iter().filter_map(|output| output.forms.get(form)).max_by_key(|tally| tally.count);
        if let Some(tally) = most {
            let what = format!("{} {what}", some(tally.count, "message"));
            findings.push(Finding::new(rule, shown(&what, tally)));
        }
    }
    if seen.lives().any(|life| matches!(life.opening, Answer::Silence(_)) && life.output.at_end > 0) {
        let seen = "what opened the conversation was answered only when the input had ended";
        findings.push(Finding::new(&STDOUT_BUFFERED, seen));
    }
    if let Some(tally) = most(|output| &output.refused) {
        findings.push(Finding::new(&MESSAGE_INVALID, tally.first.join("\n")));
    }
    if let Some(tally) = most(|output| &output.halves) {
        let seen = format!(
            "half a surrogate pair is in {}:\n{}",
            some(tally.count, "message"),
            tally.first.join("\n")
        );
        findings.push(Finding::new(&TEXT_SURROGATE, seen));
    }
    if let Some(tally) = most(|output| &output.early) {
        let seen = format!("before the greeting came {}", tally.first.join(", "));
        findings.push(Finding::new(&STDOUT_EARLY, seen));
    }
    if outputs.iter().any(|output| output.bom) {
        findings.push(Finding::new(&STDOUT_BOM, "it begins with the bytes EF BB BF"));
    }
    // Headers end with one.
    let framed = |output: &&&Output| output.forms.contains_key(&Form::Frames);
    let crlf = outputs.iter().filter(|output| !framed(output)).map(|output| output.crlf).max();
    if let Some(count) = crlf.filter(|count| *count > 0) {
        findings.push(Finding::new(&STDOUT_CRLF, format!("{} with a carriage return", some(count, "line"))));
    }
    if let Some(line) = outputs.iter().find_map(|output| output.unfinished.as_ref()) {
        findings.push(Finding::new(&STDOUT_UNFINISHED, format!("it ended in the middle of the line {line}")));
    }
    if let Some(longest) =
        outputs.iter().map(|output| output.longest).max().filter(|length| *length > LONGEST)
    {
        let seen = format!("one line had {longest} bytes, {} more than hosts take", longest - LONGEST);
        findings.push(Finding::new(&STDOUT_LONG, seen));
    }
    findings
}

/// Whether it never had to be sent SIGTERM once its input had ended.
fn leaves_by_itself(seen: &Seen) -> bool {
    let mut asked =
        seen.lives().filter_map(|life| life.ending.as_ref()).filter(|it| it.asked == Way::EndOfInput);
    asked.all(|ending| ending.took.is_some())
}

/// What there is, followed by the lines that were kept; how many these are is said where there were more.
fn shown(what: &str, tally: &Tally) -> String {
    let kept = tally.first.len();
    let first = match kept {
        _ if kept >= tally.count => String::new(),
        1 => ", the first".to_owned(),
        _ => format!(", the first {kept}"),
    };
    format!("{what}{first}:\n{}", tally.first.join("\n"))
}
