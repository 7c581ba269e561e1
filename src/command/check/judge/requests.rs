//! What it does with requests that hosts make seldom, and with what is none.

use std::collections::BTreeSet;

use super::super::rule::{
    ANSWER_BOTH, ANSWER_NULL_ID, ANSWER_TWICE, ANSWER_UNASKED, ARGUMENTS_ACCEPTED, ARGUMENTS_CODE,
    ARGUMENTS_UNANSWERED, ASKS_UNOFFERED, Finding, ID_CHANGED, JUNK_FATAL, METHOD_UNKNOWN,
    METHOD_UNKNOWN_CODE, PING_UNANSWERED, PROGRESS_LATE, STRAYS_FATAL, TOOL_UNKNOWN,
};
use super::super::seen::{Answer, Form, Question, Seen};
use super::trouble;

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let modern = seen.other.iter().filter(|life| life.greeting().is_some());
    for life in seen.questioned().chain(modern) {
        for (question, answer) in &life.asked {
            findings.extend(question_of(question, answer));
        }
    }
    // A rule that both ways break is told once.
    let mut told = BTreeSet::new();
    findings.retain(|finding: &Finding| {
        told.insert((finding.rule.name, finding.subject.clone(), finding.seen.clone()))
    });
    let mut first =
        |rule, tally: fn(&super::super::seen::Output) -> &super::super::seen::Tally, words: &str| {
            if let Some(tally) = seen.lives().map(|life| tally(&life.output)).find(|tally| tally.count > 0) {
                findings.push(Finding::new(rule, format!("{words} {}", tally.first.join(", "))));
            }
        };
    first(
        &ANSWER_UNASKED,
        |output| &output.unasked,
        "it answered a request, or an answer, that was none, with the id",
    );
    first(&ANSWER_TWICE, |output| &output.twice, "it answered again the request");
    first(&ID_CHANGED, |output| &output.respelled, "it answered the id");
    first(&ID_CHANGED, |output| &output.renamed, "no answer came to the id");
    first(&PROGRESS_LATE, |output| &output.progress, "it told progress");
    first(&ASKS_UNOFFERED, |output| &output.asks, "the client offers nothing, and was asked for");
    if let Some(tally) = seen.lives().find_map(|life| life.output.forms.get(&Form::Both)) {
        findings.push(Finding::new(&ANSWER_BOTH, tally.first.join("\n")));
    }
    if let Some(count) = seen.lives().map(|life| life.output.null_ids).max().filter(|count| *count > 0) {
        findings.push(Finding::new(&ANSWER_NULL_ID, super::some(count, "error")));
    }
    findings
}

/// Why nothing came. `None` if something did, were it an error.
fn nothing(answer: &Answer) -> Option<String> {
    trouble(answer).filter(|_| !matches!(answer, Answer::Error { .. }))
}

fn question_of(question: &Question, answer: &Answer) -> Option<Finding> {
    let nothing = nothing(answer);
    match question {
        Question::Ping => Some(Finding::new(&PING_UNANSWERED, nothing?)),
        Question::UnknownMethod => match answer {
            Answer::Error { code: Some(METHOD_NOT_FOUND), .. } => None,
            Answer::Error { .. } => Some(Finding::new(&METHOD_UNKNOWN_CODE, trouble(answer)?)),
            Answer::Result { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_) => {
                let seen = nothing.unwrap_or_else(|| "it answered with a result".to_owned());
                Some(Finding::new(&METHOD_UNKNOWN, seen))
            }
        },
        // No host does that, and the SDKs have no code in common for it.
        Question::NoTool => arguments("a call without the name of a tool", nothing, answer)
            .filter(|finding| finding.rule.name != ARGUMENTS_CODE.name),
        Question::Arguments { tool, arguments: sent } => {
            let finding = arguments(&format!("the arguments {sent}"), nothing, answer)?;
            Some(Finding { subject: Some(format!("tool {tool}")), ..finding })
        }
        Question::UnknownTool => match answer {
            Answer::Result { value, .. } if value["isError"] == true => None,
            Answer::Error { code: Some(INVALID_PARAMS | METHOD_NOT_FOUND), .. } => None,
            Answer::Result { .. }
            | Answer::Error { .. }
            | Answer::Silence(_)
            | Answer::Gone(_)
            | Answer::NotStarted(_) => {
                let seen = trouble(answer).unwrap_or_else(|| "it answered with a result".to_owned());
                Some(Finding::new(&TOOL_UNKNOWN, seen))
            }
        },
        Question::Id(sent) => {
            let nothing = nothing?;
            let gone = matches!(answer, Answer::Gone(_));
            let seen = if gone { nothing } else { format!("no answer to the id {sent} came") };
            Some(Finding::new(&ID_CHANGED, seen))
        }
        Question::Stray(what) => Some(Finding::new(&STRAYS_FATAL, format!("after {what} {}", nothing?))),
        Question::Junk(what) => Some(Finding::new(&JUNK_FATAL, format!("after {what} {}", nothing?))),
        // Judged elsewhere.
        Question::Initialize | Question::Call { .. } => None,
    }
}

/// What becomes of a call that cannot be made.
fn arguments(what: &str, nothing: Option<String>, answer: &Answer) -> Option<Finding> {
    if let Some(nothing) = nothing {
        return Some(Finding::new(&ARGUMENTS_UNANSWERED, format!("{what}: {nothing}")));
    }
    match answer {
        Answer::Result { value, .. } if value["isError"] == true => None,
        Answer::Result { .. } => Some(Finding::new(&ARGUMENTS_ACCEPTED, format!("it took {what}"))),
        Answer::Error { code, .. } if *code != Some(INVALID_PARAMS) => {
            Some(Finding::new(&ARGUMENTS_CODE, format!("{what}: {}", trouble(answer)?)))
        }
        Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_) => None,
    }
}
