//! `wrap` and `unwrap`: the supervisor before the servers of hosts' configs, and out of them again.
//!
//! ```text
//! find --> read --> choose --> show the change --> ask --> keep what it was, replace --> tell
//! ```
//!
//! Nothing is written before all of it is shown. A config that cannot be understood, or that changes meanwhile, is left
//! alone, and the others are not: what became of each is told, and the first that failed decides the exit code.

mod change;
mod list;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use self::change::{Change, Direction};
use super::configs::{backups, failure, host, surroundings, unreadable};
use super::desktop;
use super::failure::Failure;
use super::program::program;
use crate::cli::wrap::Wrap;
use crate::cli::{self, Command};
use crate::hosts::{Config, Document, Found, Host, Server, Shape, State, find};
use crate::mask::Mask;
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
    /// Knows the secrets in its environments.
    mask: Mask,
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
    let mut read: Vec<Read> = Vec::new();
    for (host, path) in found {
        match understood(host, &path) {
            Ok(config) => read.push(config),
            Err(failure) => failed(failure),
        }
    }
    if let Err(failure) = known(&options.servers, &read) {
        failed(failure);
        return Ok(code);
    }
    if options.list {
        tell(list::text(&read, &options.servers))?;
        return Ok(code);
    }
    if let Direction::In { .. } = direction {
        for server in
            read.iter().flat_map(|config| &config.servers).filter(|server| server.state == State::Wrapped)
        {
            if list::is_gone(server) {
                let program = server.words.first().map_or("", String::as_str);
                report::warning(format_args!(
                    "`{}` is wrapped by {program}, which is not there: unwrap it, and wrap it again",
                    server.name
                ));
            }
        }
    }
    let mut changes = Vec::new();
    for config in &read {
        match Change::of(config, &options.servers, direction) {
            Ok(change) => changes.push(change),
            Err(failure) => failed(failure),
        }
    }
    for left in changes.iter().flat_map(|change| &change.left) {
        report::warning(left);
    }
    changes.retain(Change::is_one);
    if changes.is_empty() {
        if code == exit_code::DONE {
            tell(nothing(&read, direction))?;
        }
        return Ok(code);
    }
    tell(changes.iter().map(Change::diff).collect::<Result<String, _>>()?)?;
    if options.dry_run {
        return Ok(code);
    }
    if changes.iter().any(|change| desktop::may_undo(change.path())) {
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
            Err(failure) => failed(failure),
        }
    }
    Ok(code)
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

fn understood(host: Option<Host>, path: &Path) -> Result<Read, Failure> {
    let config = Config::read(path).map_err(|fault| failure(&fault))?;
    let mut read = Read { host, config, servers: Vec::new(), mask: Mask::default() };
    let document = read.document()?;
    let (servers, mask) = (document.servers().to_vec(), Mask::new(document.variables().iter().cloned()));
    (read.servers, read.mask) = (servers, mask);
    Ok(read)
}

/// How many of the words after our program's name are ours: as our own command line has it.
fn split(words: &[String]) -> Option<usize> {
    let line = ["mcp-supervise".to_owned()].into_iter().chain(words.iter().cloned()).map(Into::into);
    match cli::parse(line, false) {
        Ok(Command::Run(run)) => words.len().checked_sub(run.command.len()),
        _ => None,
    }
}

/// Whether each of these is the name of a server.
fn known(names: &[String], read: &[Read]) -> Result<(), Failure> {
    let servers = || read.iter().flat_map(|config| &config.servers);
    let Some(unknown) = names.iter().find(|name| servers().all(|server| server.name != **name)) else {
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
fn nothing(read: &[Read], direction: &Direction) -> String {
    let servers = || read.iter().flat_map(|config| &config.servers);
    let wrapped = servers().filter(|server| server.state == State::Wrapped).count();
    match (direction, wrapped) {
        (Direction::In { .. }, 0) => "there is no server to wrap\n".to_owned(),
        (Direction::In { .. }, _) => {
            "there is nothing to change: each server that can be wrapped is wrapped\n".to_owned()
        }
        (Direction::Out, _) => "there is nothing to change: no server is wrapped\n".to_owned(),
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
    let answer = report::ask(format_args!("Change {what}? [y/N] "))
        .map_err(|error| Failure::unexpected(format!("failed to ask: {error}")))?;
    Ok(matches!(&*answer.trim().to_lowercase(), "y" | "yes"))
}

fn tell(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    report::text(text).map_err(|error| Failure::unexpected(format!("failed to write to stdout: {error}")))
}
