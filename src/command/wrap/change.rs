//! What becomes of one config: which servers, in which new text, and how that is shown.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use clap::builder::styling::{AnsiColor, Style};
use similar::{ChangeTag, TextDiff};

use super::{Read, split};
use crate::command::configs::failure;
use crate::command::failure::Failure;
use crate::hosts::{Document, Server, State};
use crate::mask::Mask;
use crate::report;

/// How many lines around a change are shown.
const AROUND: usize = 3;

/// What is done to servers.
#[derive(Clone, Debug)]
pub(super) enum Direction {
    /// This program is put before them.
    In {
        /// Its full path.
        program: String,
    },
    /// It is taken out.
    Out,
}

/// What is to become of a config.
pub(super) struct Change<'r> {
    read: &'r Read,
    new: String,
    /// The names of the servers that change.
    names: Vec<String>,
    /// Of servers that were asked for and do not change, why.
    pub(super) left: Vec<String>,
}

impl<'r> Change<'r> {
    /// Of the servers with these names, or of all where there are none.
    pub(super) fn of(read: &'r Read, names: &[String], direction: &Direction) -> Result<Self, Failure> {
        let document = read.document()?;
        let mut left = Vec::new();
        let mut chosen: Vec<&Server> = Vec::new();
        for server in document.servers() {
            let asked_for = names.contains(&server.name);
            if !asked_for && !names.is_empty() {
                continue;
            }
            match objection(server, direction) {
                None => chosen.push(server),
                Some(why) if asked_for || is_told(server) => {
                    left.push(format!(
                        "{}: `{}` is left as it is: {why}",
                        shown(read),
                        server.name.escape_debug()
                    ));
                }
                Some(_) => {}
            }
        }
        let new = match direction {
            Direction::In { program } => document.wrapped(&chosen, program),
            Direction::Out => document.unwrapped(&chosen),
        };
        let names = chosen.iter().map(|server| server.name.clone()).collect();
        let change = Self { read, new, names, left };
        change.check(&document, &chosen, direction)?;
        Ok(change)
    }

    /// Whether the new text means what it is to mean: each of those servers has its words behind us, or in our place, and the
    /// others have theirs. A mistake of ours is not to cost anybody a config.
    fn check(&self, before: &Document<'_>, chosen: &[&Server], direction: &Direction) -> Result<(), Failure> {
        let after = Document::read(&self.new, self.read.shape(), &split).map_err(|_| self.wrong())?;
        let same = before.servers().len() == after.servers().len();
        let as_meant = before.servers().iter().zip(after.servers()).all(|(old, new)| {
            let is_chosen = chosen.iter().any(|server| **server == *old);
            let (outer, inner) = match direction {
                Direction::In { .. } => (new, old),
                Direction::Out => (old, new),
            };
            let (name, project) = (&old.name, &old.project);
            (name, project) == (&new.name, &new.project)
                && if is_chosen {
                    outer.state == State::Wrapped && outer.words.ends_with(&inner.words)
                } else {
                    (&old.state, &old.words) == (&new.state, &new.words)
                }
        });
        if same && as_meant { Ok(()) } else { Err(self.wrong()) }
    }

    /// Whether anything changes.
    pub(super) fn is_one(&self) -> bool {
        self.new != self.read.config.text()
    }

    /// Where the config is.
    pub(super) fn path(&self) -> &Path {
        &self.read.config.path
    }

    /// The change, as a person reads it, without secrets.
    pub(super) fn diff(&self) -> Result<String, Failure> {
        let bold = Style::new().bold();
        let mut text = format!("{bold}{}{bold:#}\n", report::plain(&shown(self.read)));
        let old = self.read.document()?;
        let mask = Mask::new(old.variables().iter().cloned());
        let words = |words: &[String]| mask.words(words).into_iter().map(Cow::into_owned).collect();
        let new = Document::read(&self.new, self.read.shape(), &split).map_err(|_| self.wrong())?;
        let (old, new) = (old.shown(&words), new.shown(&words));
        let diff = TextDiff::from_lines(&*old, &*new);
        let mut changes = 0;
        for group in diff.grouped_ops(AROUND) {
            let first = group.first().map_or(0, |op| op.old_range().start);
            let faint = Style::new().dimmed();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{faint}@@ line {} @@{faint:#}", first + 1);
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let (sign, style) = match change.tag() {
                    ChangeTag::Delete => ('-', AnsiColor::Red.on_default()),
                    ChangeTag::Insert => ('+', AnsiColor::Green.on_default()),
                    ChangeTag::Equal => (' ', Style::new()),
                };
                changes += usize::from(sign != ' ');
                let line = report::plain(change.value().trim_end_matches(['\r', '\n']));
                let _ = writeln!(text, "{style}{sign}{line}{style:#}");
            }
        }
        // What is not shown is not written.
        if changes == 0 { Err(self.wrong()) } else { Ok(text + "\n") }
    }

    fn wrong(&self) -> Failure {
        let path = self.read.config.path.display();
        Failure::unexpected(format!(
            "failed to change {path}: the new text would not mean what it should; please report it"
        ))
    }

    /// Makes it. What there is to be told.
    pub(super) fn make(&self, backups: &Path) -> Result<String, Failure> {
        let config = &self.read.config;
        let kept = config.replace(&self.new, backups).map_err(|fault| failure(&fault))?;
        let count = self.names.len();
        let servers = if count == 1 { "1 server".to_owned() } else { format!("{count} servers") };
        let who = match self.read.who() {
            "" => "the host that reads it".to_owned(),
            host => host.to_owned(),
        };
        let path = report::plain(&config.path.display().to_string());
        let kept =
            kept.map(|kept| format!("  what it was is in {}\n", report::plain(&kept.display().to_string())));
        Ok(format!("{path}: {servers} changed; restart {who} to have it so\n{}", kept.unwrap_or_default()))
    }
}

/// Why a server is left as it is. `None` if it is not.
fn objection(server: &Server, direction: &Direction) -> Option<String> {
    let why = match (&server.state, direction) {
        (State::Wrapped, Direction::Out) => return None,
        (State::Plain, Direction::In { .. }) if !server.disabled => return None,
        (State::Plain, Direction::In { .. }) => "it is disabled",
        (State::Plain, Direction::Out) => "it is not wrapped",
        (State::Wrapped, Direction::In { .. }) => "it is wrapped already",
        (State::ByHand, Direction::In { .. }) => "mcp-supervise is in its command line already",
        (State::ByHand, Direction::Out) => {
            "mcp-supervise was put into its command line by hand, and is to be taken out by hand"
        }
        (State::Remote, _) => "it is not started by its host, but somewhere else",
        (State::Debugged, _) => "VS Code puts a debugger into its command; take `dev.debug` out first",
        (State::Odd(why), _) => why,
    };
    Some(why.to_owned())
}

/// Whether it is told that this one is left, also if nobody has asked for it by name: where the person may not expect it.
fn is_told(server: &Server) -> bool {
    matches!(server.state, State::Odd(_) | State::Debugged)
}

/// The config, with its host.
fn shown(read: &Read) -> String {
    let path = read.config.path.display();
    match read.who() {
        "" => path.to_string(),
        host => format!("{path} ({host})"),
    }
}
