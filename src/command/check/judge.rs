//! The judging: which rules are broken by what was seen. Pure; the same that was seen gives the same findings.

mod calls;
mod drift;
mod leaving;
mod lists;
mod requests;
mod schemas;
mod shape;
mod start;
mod stdout;
#[cfg(test)]
mod tests;
mod unlooked;

use std::collections::BTreeSet;

pub(super) use self::start::starts;
pub(super) use self::unlooked::Wanted;
use super::baseline::Baseline;
use super::rule::{Finding, Part, RULES, Rule};
use super::seen::{Answer, Death, Seen};

/// What is found, by part, and within that in the order in which it was seen.
pub(super) fn judge(seen: &Seen, baseline: Option<&Baseline>) -> Vec<Finding> {
    let mut findings = start::judge(seen);
    findings.extend(stdout::judge(seen));
    if seen.greeted() {
        findings.extend(requests::judge(seen));
        findings.extend(lists::judge(&seen.main));
        findings.extend(schemas::judge(&seen.main));
        findings.extend(calls::judge(seen));
        findings.extend(leaving::judge(seen));
        findings.extend(leaving::judge_crash(seen));
        findings.extend(baseline.map(|baseline| drift::judge(&seen.main, baseline)).unwrap_or_default());
    }
    findings.sort_by_key(|finding| finding.rule.part);
    findings
}

/// What could not be looked at, or what nobody has asked for.
#[derive(Debug)]
pub(super) struct Unlooked {
    /// Whole parts, and what matters of others, and why, as a clause.
    pub(super) parts: Vec<(&'static str, &'static str)>,
    /// All rules, those of such parts included.
    pub(super) rules: Vec<(&'static Rule, &'static str)>,
}

impl Unlooked {
    /// All of it, for one reason.
    pub(super) fn everything(why: &'static str) -> Self {
        Self {
            parts: Part::ALL.into_iter().map(|part| (part.word(), why)).collect(),
            rules: RULES.iter().map(|rule| (*rule, why)).collect(),
        }
    }
}

/// What nobody has looked at.
pub(super) fn unlooked(seen: &Seen, wanted: Wanted) -> Unlooked {
    let parts = Part::ALL.into_iter();
    let rules = RULES.iter().copied();
    Unlooked {
        parts: parts.filter_map(|part| unlooked::told(seen, part, wanted)).collect(),
        rules: rules.filter_map(|rule| Some((rule, unlooked::rule(seen, rule, wanted)?))).collect(),
    }
}

/// What is wrong with an answer that is no result, as a clause. `None` for a result.
fn trouble(answer: &Answer) -> Option<String> {
    Some(match answer {
        Answer::Result { .. } => return None,
        Answer::Error { code, message } => {
            let code = code.map_or_else(|| "without a code".to_owned(), |code| code.to_string());
            format!("it answered with the error {code}: {message}")
        }
        Answer::Silence(waited) => format!("it did not answer within {} s", waited.as_secs().max(1)),
        Answer::Gone(death) => ended(death),
        Answer::NotStarted(why) => why.clone(),
    })
}

/// How a process ended, with what it said.
fn ended(death: &Death) -> String {
    format!("{}{}", death.how, said(&death.stderr))
}

/// What it said on stderr, as the end of a sentence: the first of it, what reads like an error, and the last. Empty if it
/// said nothing.
fn said(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return String::new();
    }
    let last = lines.len().saturating_sub(LAST_LINES);
    // Of a long trace the error stands in the middle.
    let errors = (FIRST_LINES..last).filter(|at| is_error(lines[*at])).take(ERROR_LINES);
    let at: BTreeSet<usize> = (0..FIRST_LINES.min(last)).chain(errors).chain(last..lines.len()).collect();
    let mut shown = Vec::new();
    let mut next = 0;
    for at in at {
        match at - next {
            0 => {}
            1 => shown.push(lines[next]),
            _ => shown.push("..."),
        }
        shown.push(lines[at]);
        next = at + 1;
    }
    format!("; it said on stderr:\n{}", shown.join("\n"))
}

/// `Error: ...`, `TypeError: ...`, `Error [ERR_MODULE_NOT_FOUND]: ...`, `panic: ...`, `thread 'main' panicked at ...`.
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("panic:") || ["Error: ", "Error [", " panicked at "].iter().any(|it| line.contains(it))
}

/// How many lines of stderr are shown.
const FIRST_LINES: usize = 2;
const ERROR_LINES: usize = 2;
const LAST_LINES: usize = 6;

/// `1 line`, `3 lines`.
pub(super) fn some(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
