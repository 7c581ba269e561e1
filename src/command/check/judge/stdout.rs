//! Is stdout clean. All processes together: what one prints at its start, each of them does.

use super::super::rule::{
    Finding, Rule, STDOUT_BATCH, STDOUT_BOM, STDOUT_CRLF, STDOUT_EARLY, STDOUT_LONG, STDOUT_NOISE,
    STDOUT_UNFINISHED,
};
use super::super::seen::{Output, Seen, Tally};
use super::some;

/// Where hosts on the TypeScript SDK close the connection, in bytes.
const LONGEST: u64 = 10 * 1024 * 1024;

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
    let mut tell = |rule: &'static Rule, tally: Option<&Tally>, what: &str| {
        if let Some(tally) = tally {
            let shown = tally.first.join("\n");
            let verb = if tally.count == 1 { "is" } else { "are" };
            let what = what.replace("{is}", verb);
            findings.push(Finding::new(rule, format!("{} {what}:\n{shown}", some(tally.count, "line"))));
        }
    };
    tell(&STDOUT_NOISE, most(|output| &output.noise), "that {is} no message, of which the first");
    tell(&STDOUT_BATCH, most(|output| &output.batches), "with an array of messages, of which the first");
    if let Some(tally) = most(|output| &output.early) {
        let seen = format!("before the greeting came {}", tally.first.join(", "));
        findings.push(Finding::new(&STDOUT_EARLY, seen));
    }
    if outputs.iter().any(|output| output.bom) {
        findings.push(Finding::new(&STDOUT_BOM, "it begins with the bytes EF BB BF"));
    }
    if let Some(count) = outputs.iter().map(|output| output.crlf).max().filter(|count| *count > 0) {
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
