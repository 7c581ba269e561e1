//! The judging: which rules are broken by what was seen. Pure; the same that was seen gives the same findings.

mod calls;
mod drift;
mod leaving;
mod lists;
mod requests;
mod schemas;
mod start;
mod stdout;
#[cfg(test)]
mod tests;

pub(super) use self::start::starts;
use super::baseline::Baseline;
use super::rule::{Finding, Part};
use super::seen::{Answer, Death, Seen};

/// What is found, by part, and within that in the order in which it was seen.
pub(super) fn judge(seen: &Seen, baseline: Option<&Baseline>) -> Vec<Finding> {
    let mut findings = start::judge(seen);
    findings.extend(stdout::judge(seen));
    if seen.greeted() {
        findings.extend(requests::judge(seen));
        findings.extend(lists::judge(&seen.main));
        findings.extend(schemas::judge(&seen.main));
        findings.extend(calls::judge(&seen.main));
        findings.extend(leaving::judge(seen));
        findings.extend(leaving::judge_crash(seen));
        findings.extend(baseline.map(|baseline| drift::judge(&seen.main, baseline)).unwrap_or_default());
    }
    findings.sort_by_key(|finding| finding.rule.part);
    findings
}

/// Parts that could not be looked at, or that nobody has asked for, and why, as a clause.
pub(super) fn passed_over(
    seen: &Seen,
    calls: bool,
    baseline: Option<&'static str>,
) -> Vec<(Part, &'static str)> {
    let greeted = seen.greeted();
    let why = |part: Part| match part {
        Part::Start | Part::Stdout => None,
        Part::Calls if !calls => Some("no --call"),
        Part::Baseline if baseline.is_some() => baseline,
        Part::Requests
        | Part::Lists
        | Part::Schemas
        | Part::Calls
        | Part::Leaving
        | Part::Crash
        | Part::Baseline => (!greeted).then_some("the server was not greeted"),
    };
    Part::ALL.into_iter().filter_map(|part| Some((part, why(part)?))).collect()
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

/// How a process ended, with what it said: the first of it, which may name the error, and the last.
fn ended(death: &Death) -> String {
    let mut lines: Vec<&str> = death.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() > FIRST_LINES + LAST_LINES + 1 {
        lines.splice(FIRST_LINES..lines.len() - LAST_LINES, ["..."]);
    }
    if lines.is_empty() {
        return death.how.clone();
    }
    format!("{}; it said on stderr:\n{}", death.how, lines.join("\n"))
}

/// How many lines of stderr are shown.
const FIRST_LINES: usize = 2;
const LAST_LINES: usize = 6;

/// `1 line`, `3 lines`.
pub(super) fn some(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
