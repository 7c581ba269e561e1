//! `check`: is this server sound? A smoke test for CI, and for people who write servers.
//!
//! ```text
//! look --> seen --> judge --> findings --> show
//! (starts it,       (pure)                 (text, JSON, JUnit, SARIF, GitHub)
//!  asks, kills)
//! ```
//!
//! Looking decides nothing, and judging does nothing: what was seen is plain data between them. The server is started
//! several times by itself, as hosts do, and once under the real supervisor. It does no harm: of the server's tools only
//! those are called that `--call` names, or that say that they only read.

mod arguments;
mod baseline;
mod drill;
mod facts;
mod judge;
mod look;
mod peer;
mod rule;
mod seen;
mod show;

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use self::baseline::Baseline;
use self::judge::{judge, passed_over};
use self::look::look;
use self::peer::Start;
use self::rule::{Finding, Severity};
use self::seen::Seen;
use self::show::{Report, show};
use super::failure::Failure;
use super::name::name;
use crate::child::Guardian;
use crate::cli::check::{Check, FailOn};
use crate::mask::Mask;
use crate::{exit_code, report};

pub(crate) use self::rule::RULES;

/// Checks the server, and prints the report. The exit code; everything else is told already. `guardian` ends the server
/// should we be killed.
pub fn check(options: &Check, guardian: Option<Guardian>) -> i32 {
    let done = run(options, guardian.as_ref());
    if let Some(guardian) = guardian {
        guardian.dismiss();
    }
    done.unwrap_or_else(|failure| {
        failure.tell();
        failure.code
    })
}

fn run(options: &Check, guardian: Option<&Guardian>) -> Result<i32, Failure> {
    for rule in &options.allow {
        if rule::named(rule).is_none() {
            return Err(Failure::usage(format!("there is no rule {rule:?}"), "the manual lists the rules"));
        }
    }
    if options.command.first().is_none_or(|program| program.is_empty()) {
        return Err(Failure::usage(
            "the server's command starts with an empty word",
            "name the server's program",
        ));
    }
    // Before anything is started: nobody wants to wait for this.
    let before = options.baseline.as_deref().filter(|_| !options.write_baseline).map(read).transpose()?;
    let calls = calls(options)?;
    let start =
        Start { argv: options.command.clone(), env: without_settings(), guardian, patience: options.timeout };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::start)?;
    let seen = runtime
        .block_on(look(&start, &calls, progress))
        .map_err(|error| Failure::unexpected(format!("{error:#}")))?;
    let report = report(options, &seen, before.as_ref());
    let text = show(&report, options.format).map_err(|error| Failure::unexpected(format!("{error:#}")))?;
    report::text(text).map_err(|error| Failure::unexpected(format!("failed to write to stdout: {error}")))?;
    if report.started
        && let Some(path) = options.baseline.as_deref().filter(|_| options.write_baseline)
    {
        write(path, &Baseline::of(&seen.main))?;
    }
    Ok(match (report.started, report.is_sound()) {
        (false, _) => exit_code::NOT_STARTED,
        (true, false) => exit_code::NOT_SOUND,
        (true, true) => exit_code::DONE,
    })
}

/// The server is spoken to with the defaults, whatever a supervisor of it would be told.
fn without_settings() -> Vec<(OsString, Option<OsString>)> {
    let ours = std::env::vars_os().filter(|(name, _)| crate::cli::is_setting(name));
    ours.map(|(name, _)| (name, None)).collect()
}

/// What is looked at now, for who waits at a terminal.
fn progress(what: &str) {
    if io::stderr().is_terminal() {
        report::remark(format_args!("looking at {what}"));
    }
}

fn calls(options: &Check) -> Result<Vec<look::Call>, Failure> {
    let call = |call: &crate::cli::check::Call| {
        let arguments = serde_json::from_str(&call.arguments).map_err(|error| {
            Failure::usage(format!("--call {}: {error}", call.tool), "arguments are a JSON object")
        })?;
        Ok((call.tool.clone(), arguments))
    };
    options.call.iter().map(call).collect()
}

fn read(path: &Path) -> Result<Baseline, Failure> {
    let failure = |what: String, hint: &str| Failure {
        code: exit_code::NO_BASELINE,
        message: format!("the baseline {} cannot be used: {what}", path.display()),
        hint: Some(hint.to_owned()),
    };
    let text = fs::read_to_string(path).map_err(|error| {
        failure(error.to_string(), "--write-baseline makes one; look at it and commit it")
    })?;
    Baseline::read(&text)
        .map_err(|why| failure(why, "make it anew with --write-baseline, and look at what has changed"))
}

fn write(path: &Path, baseline: &Baseline) -> Result<(), Failure> {
    fs::write(path, baseline.text()).map_err(|error| Failure {
        code: exit_code::NO_BASELINE,
        message: format!("the baseline {} cannot be written: {error}", path.display()),
        hint: None,
    })
}

fn report(options: &Check, seen: &Seen, before: Option<&Baseline>) -> Report {
    let words: Vec<String> = options.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mask = Mask::new(std::env::vars());
    let mut findings = judge(seen, before);
    let found = findings.len();
    findings.retain(|finding| !options.allow.iter().any(|rule| rule == finding.rule.name));
    let allowed = found - findings.len();
    let masked = |text: String| mask.apply(&text).into_owned();
    let findings = findings.into_iter().map(|finding| Finding {
        subject: finding.subject.map(masked),
        seen: masked(finding.seen),
        ..finding
    });
    Report {
        name: masked(facts::name(seen).unwrap_or_else(|| name(&options.command))),
        command: mask.command(&words),
        file: words.iter().find_map(|word| script(word)),
        facts: facts::facts(seen).into_iter().map(|(label, fact)| (label, masked(fact))).collect(),
        findings: findings.collect(),
        allowed,
        passed_over: passed_over(seen, !options.call.is_empty(), before.is_some()),
        fail_on: match options.fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
        },
        started: seen.greeted(),
    }
}

/// A word that is a file below the current folder: the server's script, as a rule.
fn script(word: &str) -> Option<String> {
    let path = Path::new(word);
    let plain = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    (plain && path.is_file()).then(|| word.trim_start_matches("./").to_owned())
}
