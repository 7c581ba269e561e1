//! `wrap` and `unwrap`: the supervisor before the servers of hosts' configs, and out of them again.
//!
//! ```text
//! find --> read --> choose --> show the change --> ask --> keep what it was, replace --> tell
//! ```
//!
//! Nothing is written before all of it is shown. A config that cannot be understood, or that changes meanwhile, is left
//! alone, and the others are not: what became of each is told, and the first that failed decides the exit code. The configs of
//! projects that others share are changed only where they are asked for, and name no path of this machine.

mod change;
mod entry;
mod list;
mod secrets;
mod told;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use self::change::{Change, Direction, Wanted};
use self::secrets::{MASKED, Secrets};
use super::configs::{backups, failure, home, host, split, surroundings, unreadable};
use super::desktop;
use super::failure::Failure;
use super::program::{program, will_vanish};
use crate::cli::wrap::Wrap;
use crate::hosts::{Config, Document, Elsewhere, Fault, Found, Host, Server, Shape, State, find, repository};
use crate::{exit_code, report};

/// Puts the supervisor before servers. The exit code; everything else is told already.
pub fn wrap(options: &Wrap) -> i32 {
    let ours = |program: String| {
        if program.ends_with("/mcp-supervise") {
            return Ok(program);
        }
        Err(Failure::usage(
            format!("this program is called {program}, and would not be known again in a config"),
            "call it mcp-supervise, or make a link of that name in the PATH",
        ))
    };
    ended(program().and_then(ours).and_then(|program| run(options, &Direction::In { program })))
}

/// Takes it out again. Likewise.
pub fn unwrap(options: &Wrap) -> i32 {
    ended(run(options, &Direction::Out))
}

fn ended(done: Result<i32, Failure>) -> i32 {
    done.unwrap_or_else(|failure| {
        failure.tell();
        failure.code
    })
}

/// A config that could be read.
struct Read {
    /// Who reads it. `None` where nobody has said so.
    host: Option<Host>,
    config: Config,
    servers: Vec<Server>,
    /// Servers that are where its host does not have them.
    elsewhere: Vec<Elsewhere>,
    secrets: Secrets,
    /// The root of the repository whose users share it. `None` where it is the user's alone.
    repository: Option<PathBuf>,
}

impl Read {
    fn document(&self) -> Result<Document<'_>, Failure> {
        let shape = self.shape();
        let bad = |bad| unreadable(&self.config.path, &bad, "leave it out with --host or --config");
        Document::read(self.config.text(), shape, &split).map_err(bad)
    }

    fn shape(&self) -> Shape {
        self.host.map_or(Shape::Unknown, Host::shape)
    }

    fn who(&self) -> &'static str {
        self.host.map_or("", Host::name)
    }

    /// Where it is, and where the file is that a link leads to.
    fn path(&self) -> String {
        let path = self.config.path.display();
        match self.config.linked() {
            Some(target) => format!("{path} -> {}", target.display()),
            None => path.to_string(),
        }
    }

    /// The same, with its host.
    fn shown(&self) -> String {
        match self.who() {
            "" => self.path(),
            host => format!("{} ({host})", self.path()),
        }
    }
}

fn run(options: &Wrap, direction: &Direction) -> Result<i32, Failure> {
    let mut code = exit_code::DONE;
    let mut failed = |failure: Failure| {
        failure.tell();
        if code == exit_code::DONE {
            code = failure.code;
        }
    };
    let found = configs(options)?;
    let home = home();
    let mut read: Vec<Read> = Vec::new();
    for (host, path) in found {
        match understood(host, &path, home.as_deref()) {
            Ok(config) => read.push(config),
            Err(failure) => failed(failure),
        }
    }
    let names: BTreeSet<&str> = options.servers.iter().map(String::as_str).collect();
    let wanted = |name: &str| {
        if names.is_empty() {
            Wanted::Yes
        } else if names.contains(name) {
            Wanted::ByName
        } else {
            Wanted::No
        }
    };
    let is_wanted = |name: &str| wanted(name) != Wanted::No;
    // What is named by hand is asked for.
    let is_left =
        |config: &Read| config.repository.is_some() && !options.project && options.config.is_empty();
    for config in &read {
        match told::elsewhere(config, &is_wanted, direction) {
            // What its host starts is found.
            Some(failure) if is_left(config) || (config.host.is_some() && !config.servers.is_empty()) => {
                report::warning(failure.message);
            }
            Some(failure) => failed(failure),
            None => {}
        }
    }
    if let Err(failure) = known(&options.servers, &read) {
        failed(failure);
        return Ok(code);
    }
    if options.list {
        tell(list::text(&read, &is_wanted, !names.is_empty()))?;
        return Ok(code);
    }
    let (left, meant): (Vec<&Read>, Vec<&Read>) = read.iter().partition(|config| is_left(config));
    let left: Vec<String> =
        left.into_iter().filter_map(|config| told::shared(config, &wanted, direction)).collect();
    left.iter().for_each(report::warning);
    if let Direction::In { .. } = direction {
        meant.iter().flat_map(|config| told::gone(config, &is_wanted)).for_each(report::warning);
    }
    let mut changes = Vec::new();
    for config in &meant {
        match Change::of(config, &wanted, direction) {
            Ok(change) => changes.push(change),
            Err(failure) => failed(failure),
        }
    }
    for why in changes.iter().flat_map(|change| &change.left) {
        report::warning(why);
    }
    changes.retain(Change::is_one);
    if changes.is_empty() {
        if code == exit_code::DONE {
            tell(if left.is_empty() { nothing(&read, direction) } else { "nothing was changed\n" })?;
        }
        return Ok(code);
    }
    show(&changes)?;
    if let Direction::In { program } = direction {
        warn(&changes, program);
    }
    tell(told::summary(&changes, &read, &is_wanted, direction))?;
    if options.dry_run {
        return Ok(code);
    }
    if changes.iter().any(|change| desktop::may_undo(&change.read().config.path)) {
        report::warning(desktop::WARNING);
    }
    if !options.yes && !asked(changes.len())? {
        tell("nothing was changed\n")?;
        return Ok(exit_code::DECLINED);
    }
    let backups = backups(options.data_dir.as_deref())?;
    for change in changes {
        match change.make(&backups) {
            Ok(told) => tell(told)?,
            // It would be held for the next one too.
            Err(fault @ Fault::Locked { .. }) => {
                failed(failure(&fault));
                break;
            }
            Err(fault) => failed(failure(&fault)),
        }
    }
    Ok(code)
}

/// The changes, as a person reads them.
fn show(changes: &[Change<'_>]) -> Result<(), Failure> {
    let text = changes.iter().map(Change::diff).collect::<Result<String, _>>()?;
    let files = if changes.len() == 1 { "the file keeps its values" } else { "the files keep their values" };
    let masked = if text.contains(MASKED) {
        format!("{MASKED} stands for a secret: {files}\n")
    } else {
        String::new()
    };
    tell(text + &masked)
}

/// What a person should know of this program before it stands in these configs.
fn warn(changes: &[Change<'_>], program: &str) {
    if let Some(told) = told::colleagues(changes) {
        report::warning(told);
    }
    if changes.iter().any(|change| change.read().repository.is_none())
        && let Some(why) = will_vanish(Path::new(program))
    {
        report::warning(format_args!(
            "{program} will not be there for long: {why}; servers do not start then: install it first"
        ));
    }
}

/// The configs that are meant: those that are named, or those that are there.
fn configs(options: &Wrap) -> Result<Vec<(Option<Host>, PathBuf)>, Failure> {
    let hosts: Vec<Host> = options.host.iter().copied().map(host).collect();
    if !options.config.is_empty() {
        let shape = match &hosts[..] {
            [] => None,
            [host] => Some(*host),
            _ => {
                return Err(Failure::usage(
                    "--config is read as the config of one host, and several are named",
                    "give one --host, or none",
                ));
            }
        };
        // Each file once, however it is named.
        let mut seen = Vec::new();
        let mut named = Vec::new();
        for path in &options.config {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if !seen.contains(&real) {
                seen.push(real);
                named.push((shape, path.clone()));
            }
        }
        return Ok(named);
    }
    let surroundings = surroundings()?;
    let hosts = if hosts.is_empty() { Host::ALL.to_vec() } else { hosts };
    let found = find(&surroundings, &hosts);
    if found.is_empty() {
        let names: Vec<&str> = hosts.iter().map(|host| host.name()).collect();
        return Err(Failure {
            code: exit_code::NO_CONFIG,
            message: format!("no config was found of {}", names.join(", ")),
            hint: Some("name a file with --config, or go to the project's directory".to_owned()),
        });
    }
    Ok(found.into_iter().map(|Found { host, path }| (Some(host), path)).collect())
}

/// A config, read. `home`: the user's directory.
fn understood(host: Option<Host>, path: &Path, home: Option<&Path>) -> Result<Read, Failure> {
    let config = Config::read(path).map_err(|fault| failure(&fault))?;
    let (servers, elsewhere, secrets) = (Vec::new(), Vec::new(), Secrets::default());
    let mut read = Read { host, config, servers, elsewhere, secrets, repository: repository(path, home) };
    let document = read.document()?;
    let found = (document.servers().to_vec(), document.elsewhere().to_vec(), Secrets::of(&document));
    (read.servers, read.elsewhere, read.secrets) = found;
    Ok(read)
}

/// Whether each of these is the name of a server.
fn known(names: &[String], read: &[Read]) -> Result<(), Failure> {
    let servers = || read.iter().flat_map(|config| &config.servers);
    let there: BTreeSet<&str> = servers().map(|server| &*server.name).collect();
    let Some(unknown) = names.iter().find(|name| !there.contains(&***name)) else {
        return Ok(());
    };
    let mut all: Vec<String> = servers().map(|server| format!("`{}`", server.name.escape_debug())).collect();
    all.sort();
    all.dedup();
    let hint = if all.is_empty() {
        "`mcp-supervise wrap --list` shows where it was looked".to_owned()
    } else {
        format!("there are {}", all.join(", "))
    };
    Err(Failure {
        code: exit_code::NO_CONFIG,
        message: format!("no config has a server `{}`", unknown.escape_debug()),
        hint: Some(hint),
    })
}

/// Why there is nothing to do.
fn nothing(read: &[Read], direction: &Direction) -> &'static str {
    let servers = || read.iter().flat_map(|config| &config.servers);
    let wrapped = servers().filter(|server| server.state == State::Wrapped).count();
    match (direction, wrapped) {
        (Direction::In { .. }, 0) => "there is no server to wrap\n",
        (Direction::In { .. }, _) => {
            "there is nothing to change: each server that can be wrapped is wrapped\n"
        }
        (Direction::Out, _) => "there is nothing to change: no server is wrapped\n",
    }
}

/// Whether the person wants it.
fn asked(files: usize) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nobody can be asked whether this is to be written: stdin is no terminal",
            "give --yes to write it, or --dry-run to look only",
        ));
    }
    let what = if files == 1 { "this file".to_owned() } else { format!("these {files} files") };
    report::agreed(format_args!("Change {what}? [y/N] "))
        .map_err(|error| Failure::unexpected(format!("failed to ask: {error}")))
}

fn tell(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    report::text(text).map_err(|error| Failure::unexpected(format!("failed to write to stdout: {error}")))
}
