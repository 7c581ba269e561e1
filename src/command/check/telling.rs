//! What is told of a check: the report, its files and the exit code, within limits for what a server may say.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::baseline::Baseline;
use super::judge::{self, Unlooked, judge, unlooked};
use super::rule::{CHECK_UNFINISHED, Finding, Severity};
use super::seen::Seen;
use super::show::{Report, show};
use super::{facts, output, reports, write};
use crate::cli::check::{Check, FailOn};
use crate::command::failure::Failure;
use crate::command::name::name;
use crate::mask::Mask;
use crate::{exit_code, report};

/// How much of a text is shown, and how many findings of a rule.
const MOST_LINES: usize = 80;
const MOST_CHARACTERS: usize = 4000;
const MOST_OF_A_RULE: usize = 50;

/// What is needed to tell what was seen.
#[derive(Clone)]
pub(super) struct Telling {
    pub(super) options: Check,
    pub(super) before: Option<Baseline>,
    /// The server's command line.
    pub(super) words: Vec<String>,
    pub(super) mask: Mask,
}

impl Telling {
    /// What is to be told of all that was seen.
    pub(super) fn judged(&self, seen: &Seen) -> Report {
        let wanted = judge::Wanted {
            calls: !self.options.call.is_empty(),
            baseline: match (&self.before, self.options.write_baseline) {
                (Some(_), _) => None,
                (None, true) => Some("--write-baseline writes it anew"),
                (None, false) => Some("no --baseline"),
            },
        };
        let name = facts::name(seen);
        let findings = judge(seen, self.before.as_ref());
        self.report(name, facts::facts(seen), findings, unlooked(seen, wanted), seen.greeted())
    }

    /// Of a check whose time was over.
    pub(super) fn unfinished(&self, now: &str) -> Report {
        let seen = format!("after {} s it was still at work on {now}", self.options.max_time.as_secs_f64());
        let findings = vec![Finding::new(&CHECK_UNFINISHED, seen)];
        self.report(None, Vec::new(), findings, Unlooked::everything("--max-time was over"), true)
    }

    fn report(
        &self,
        name_of_its_own: Option<String>,
        facts: Vec<(&'static str, String)>,
        mut findings: Vec<Finding>,
        unlooked: Unlooked,
        started: bool,
    ) -> Report {
        let options = &self.options;
        let found = findings.len();
        findings.retain(|finding| !options.allow.iter().any(|rule| rule == finding.rule.name));
        let allowed = found - findings.len();
        // What others say can be as long as they like.
        let masked = |text: String| limited(&self.mask.apply(&text));
        let findings = findings.into_iter().map(|finding| Finding {
            subject: finding.subject.map(masked),
            seen: masked(finding.seen),
            ..finding
        });
        Report {
            name: report::line(&masked(name_of_its_own.unwrap_or_else(|| name(&options.command)))),
            command: self.mask.command(&self.words),
            file: self.words.iter().find_map(|word| script(word)),
            facts: facts.into_iter().map(|(label, fact)| (label, masked(fact))).collect(),
            findings: at_most(MOST_OF_A_RULE, findings),
            allowed,
            unlooked,
            fail_on: match options.fail_on {
                FailOn::Error => Severity::Error,
                FailOn::Warning => Severity::Warning,
            },
            started,
        }
    }

    /// Prints the report, and writes what is to be written. The exit code.
    pub(super) fn tell(&self, report: &Report, seen: Option<&Seen>) -> Result<i32, Failure> {
        let shown = |format| show(report, format).map_err(|error| Failure::unexpected(format!("{error:#}")));
        // The files first: whoever reads stdout may stop.
        for (option, path, format) in reports(&self.options) {
            output::write(path, &shown(format)?).map_err(|error| {
                Failure::unexpected(format!("{option} {} was not written: {error}", path.display()))
            })?;
        }
        report::text(shown(self.options.format)?)
            .map_err(|error| Failure::unexpected(format!("failed to write to stdout: {error}")))?;
        if report.started
            && let Some(seen) = seen
            && let Some(path) = self.options.baseline.as_deref().filter(|_| self.options.write_baseline)
        {
            write(path, seen)?;
        }
        Ok(match (report.started, report.is_sound()) {
            (false, _) => exit_code::NOT_STARTED,
            (true, false) => exit_code::NOT_SOUND,
            (true, true) => exit_code::DONE,
        })
    }
}

/// The start of a text that is very long, in characters and lines.
fn limited(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(MOST_LINES).collect();
    let short: String = lines.join("\n").chars().take(MOST_CHARACTERS).collect();
    if short.len() < text.trim_end_matches('\n').len() { format!("{short} ...") } else { short }
}

/// So many findings of each rule, the last of which says how many there are besides.
fn at_most(most: usize, findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for finding in findings {
        let (count, last) = counts.entry(finding.rule.name).or_default();
        *count += 1;
        if *count <= most {
            *last = kept.len();
            kept.push(finding);
        }
    }
    for (count, last) in counts.into_values().filter(|(count, _)| *count > most) {
        let more = format!("\n(and {} more like this)", count - most);
        kept[last].seen.push_str(&more);
    }
    kept
}

/// A word that is a file below the current folder: the server's script, as a rule.
fn script(word: &str) -> Option<String> {
    let path = Path::new(word);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (plain && path.is_file()).then(|| word.trim_start_matches("./").to_owned())
}
