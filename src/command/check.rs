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
mod deadline;
mod drill;
mod facts;
mod judge;
mod lines;
mod listing;
mod look;
mod nearly;
mod output;
mod peer;
mod rule;
mod schema;
mod secrets;
mod seen;
mod show;
mod telling;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::rc::Rc;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use self::baseline::Baseline;
use self::look::look;
use self::peer::Start;
use self::seen::{Kind, Seen};
use self::telling::Telling;
use super::failure::Failure;
use crate::child::Guardian;
use crate::cli::check::{Check, Format};
use crate::{exit_code, report, threads};

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
    if options.list_rules {
        return list_rules(options.format);
    }
    let wanted = Wanted::of(options)?;
    let folder = folder()?;
    let words: Vec<String> = options.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let environment: Vec<_> = std::env::vars_os().collect();
    let variables = environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let arguments: Vec<_> = wanted.calls.iter().map(|(_, arguments)| arguments.clone()).collect();
    let mask = secrets::mask(variables, &words, &arguments);
    let start = Start {
        argv: options.command.clone(),
        env: without_settings(),
        guardian,
        patience: options.timeout,
        mask: mask.clone(),
        stays: Rc::default(),
    };
    let telling = Telling { options: options.clone(), before: wanted.before, words, mask };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::start)?;
    runtime.block_on(async {
        // In this order: a signal that comes as the server starts is heard.
        tokio::select! {
            biased;
            // The servers are left to the guardian, which ends them.
            signal = interrupted() => Err(Failure {
                code: exit_code::SIGNAL + signal,
                message: "the check was interrupted".to_owned(),
                hint: None,
            }),
            code = look_and_tell(&start, &wanted.calls, folder.path(), telling) => code,
        }
    })
}

/// What the options ask for, once it is known to make sense. Before anything is started: nobody wants to wait for this.
struct Wanted {
    /// `None` if nothing is compared.
    before: Option<Baseline>,
    calls: Vec<look::Call>,
}

impl Wanted {
    fn of(options: &Check) -> Result<Self, Failure> {
        for rule in &options.allow {
            if rule::named(rule).is_none() {
                return Err(Failure::usage(
                    format!("there is no rule {rule:?}"),
                    "`mcp-supervise check --list-rules` lists them",
                ));
            }
        }
        if options.command.first().is_none_or(|program| program.is_empty()) {
            return Err(Failure::usage(
                "the server's command starts with an empty word",
                "name the server's program",
            ));
        }
        for (name, time, form) in
            [("--timeout", options.timeout, "60s"), ("--max-time", options.max_time, "10m")]
        {
            if time.is_zero() {
                return Err(Failure::usage(
                    format!("{name} 0 leaves no time for an answer"),
                    format!("write it as {form}"),
                ));
            }
        }
        writable(options)?;
        let before = options.baseline.as_deref().filter(|_| !options.write_baseline).map(read).transpose()?;
        Ok(Self { before, calls: calls(options)? })
    }
}

/// Whether what is to be written can be, and is not one file.
fn writable(options: &Check) -> Result<(), Failure> {
    let mut names: Vec<&Path> = Vec::new();
    for (option, path, _) in reports(options) {
        if let Some((why, hint)) = output::refusal(path) {
            return Err(Failure::usage(format!("{option} {}: {why}", path.display()), hint));
        }
        if names.contains(&path) || options.baseline.as_deref() == Some(path) {
            let message = format!("{option} {}: another option names the same file", path.display());
            return Err(Failure::usage(message, "give each its own file"));
        }
        names.push(path);
    }
    if let Some(path) = options.baseline.as_deref().filter(|_| options.write_baseline)
        && let Some((why, hint)) = output::refusal(path)
    {
        return Err(Failure { hint: Some(hint.to_owned()), ..not_written(path, &why) });
    }
    Ok(())
}

/// The reports that are written to files: by which option, where, and in which form.
fn reports(options: &Check) -> impl Iterator<Item = (&'static str, &Path, Format)> {
    let all = [
        ("--json", &options.json, Format::Json),
        ("--junit", &options.junit, Format::Junit),
        ("--sarif", &options.sarif, Format::Sarif),
    ];
    all.into_iter().filter_map(|(option, path, format)| Some((option, path.as_deref()?, format)))
}

/// Looks at the server for as long as it may, and tells what it came to. The exit code.
async fn look_and_tell(
    start: &Start<'_>,
    calls: &[look::Call],
    folder: &Path,
    telling: Telling,
) -> Result<i32, Failure> {
    let now = RefCell::new(String::new());
    let tell = |what: &str| {
        what.clone_into(&mut now.borrow_mut());
        progress(what);
    };
    let limit = telling.options.max_time;
    let looked = tokio::time::timeout(limit, async {
        let seen = look(start, calls, folder, tell).await;
        let telling = telling.clone();
        // Judging is work too whose length the server decides.
        threads::blocking(move || (telling.judged(&seen), seen)).await
    });
    let (report, seen) = match looked.await {
        Ok(Ok((report, seen))) => (report, Some(seen)),
        Ok(Err(error)) => return Err(Failure::start(error)),
        Err(_) => (telling.unfinished(&now.borrow()), None),
    };
    // A reader of stdout that does not read must not keep signals from being heard either.
    threads::blocking(move || telling.tell(&report, seen.as_ref())).await.map_err(Failure::start)?
}

fn list_rules(format: Format) -> Result<i32, Failure> {
    let text = show::rules(format)
        .map_err(|why| Failure::usage(why, "--list-rules knows --format text and --format json"))?;
    report::text(text).map_err(|error| Failure::unexpected(format!("failed to write to stdout: {error}")))?;
    Ok(exit_code::DONE)
}

/// For the socket of the crash drill.
fn folder() -> Result<TempDir, Failure> {
    tempfile::Builder::new().prefix("mcp-supervise-check-").tempdir().map_err(|error| {
        let place = std::env::temp_dir();
        Failure {
            code: exit_code::UNEXPECTED,
            message: format!("failed to make a folder in {}: {error}", place.display()),
            hint: Some("the variable TMPDIR names another place".to_owned()),
        }
    })
}

/// Waits for a signal that ends this, and says which. Without one that can be heard, for ever.
async fn interrupted() -> i32 {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    let kind = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hangup.recv() => SignalKind::hangup(),
    };
    kind.as_raw_value()
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
    let call = |call: &crate::cli::value::Call| {
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
    let makes = "--write-baseline makes one; look at it and commit it";
    // A pipe would be waited for.
    let about = fs::metadata(path).map_err(|error| failure(error.to_string(), makes))?;
    if !about.is_file() {
        return Err(failure("it is no file".to_owned(), makes));
    }
    let text = fs::read_to_string(path).map_err(|error| failure(error.to_string(), makes))?;
    Baseline::read(&text)
        .map_err(|why| failure(why, "make it anew with --write-baseline, and look at what has changed"))
}

/// All of it or nothing. What was there stays if the server does not tell all that it offers.
fn write(path: &Path, seen: &Seen) -> Result<(), Failure> {
    let broken =
        seen.main.listings.iter().find(|listing| listing.fault.is_some() && listing.kind != Kind::Templates);
    if let Some(listing) = broken {
        return Err(not_written(path, &format!("{} could not be read to its end", listing.kind.method())));
    }
    output::write(path, &Baseline::of(&seen.main).text())
        .map_err(|error| not_written(path, &error.to_string()))?;
    report::remark(format_args!("{} was written: look at it, and commit it", path.display()));
    Ok(())
}

fn not_written(path: &Path, why: &str) -> Failure {
    Failure {
        code: exit_code::NO_BASELINE,
        message: format!("the baseline {} was not written: {why}", path.display()),
        hint: None,
    }
}
