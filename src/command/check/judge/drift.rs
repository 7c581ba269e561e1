//! Whether it offers what it did when a person last looked.

use serde_json::Value;
use similar::TextDiff;

use super::super::baseline::Baseline;
use super::super::rule::{BASELINE_CHANGED, BASELINE_GONE, BASELINE_NEW, Finding};
use super::super::seen::{Kind, Life};
use super::lists::subject;

/// How many lines of a change are shown.
const MOST_LINES: usize = 40;

pub(super) fn judge(life: &Life, before: &Baseline) -> Vec<Finding> {
    let now = Baseline::of(life);
    let mut findings = Vec::new();
    for ((kind, name), definition) in &now.definitions {
        let subject = subject(*kind, name);
        match before.definitions.get(&(*kind, name.clone())) {
            None => findings.push(Finding::of(&BASELINE_NEW, subject, about(*kind, definition))),
            Some(old) if old != definition => {
                let change = change(&format!("{old:#}"), &format!("{definition:#}"));
                findings.push(Finding::of(
                    &BASELINE_CHANGED,
                    subject,
                    format!("it is another now:\n{change}"),
                ));
            }
            Some(_) => {}
        }
    }
    let gone = before.definitions.iter().filter(|(key, _)| !now.definitions.contains_key(*key));
    findings.extend(gone.map(|((kind, name), definition)| {
        Finding::of(&BASELINE_GONE, subject(*kind, name), about(*kind, definition))
    }));
    if before.instructions != now.instructions {
        let text = |baseline: &Baseline| baseline.instructions.clone().unwrap_or_default();
        let change = change(&text(before), &text(&now));
        findings.push(Finding::of(
            &BASELINE_CHANGED,
            "instructions",
            format!("they are others now:\n{change}"),
        ));
    }
    findings
}

fn about(kind: Kind, definition: &Value) -> String {
    let description = definition["description"].as_str().unwrap_or_default();
    let line = description.lines().next().unwrap_or_default();
    format!(
        "a {} that {}",
        kind.word(),
        if line.is_empty() { "has no description".to_owned() } else { format!("is described as {line:?}") }
    )
}

/// What has changed, line by line, with one line around it.
fn change(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let lines: Vec<String> = diff
        .unified_diff()
        .context_radius(1)
        .iter_hunks()
        .flat_map(|hunk| {
            hunk.iter_changes()
                .map(|change| format!("{}{}", change.tag(), change.value().trim_end()))
                .collect::<Vec<_>>()
        })
        .collect();
    let more = lines.len().saturating_sub(MOST_LINES);
    let shown = lines[..lines.len().min(MOST_LINES)].join("\n");
    if more > 0 { format!("{shown}\n... and {more} lines more") } else { shown }
}
