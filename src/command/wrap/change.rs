//! What becomes of one config: which servers, in which new text, and how that is shown.

use std::fmt::Write as _;
use std::path::Path;
use std::ptr;

use clap::builder::styling::{AnsiColor, Style};

use super::Read;
use super::entry::{objection, profile};
use crate::command::configs::{failure, split};
use crate::command::failure::Failure;
use crate::exit_code;
use crate::hosts::{Document, Edited, Fault, Lines, Server, State, steps};
use crate::report;

/// How many lines around a change are shown.
const AROUND: usize = 3;
/// How others who share a config have our program: in their PATH, wherever that is.
const BARE: &str = "mcp-supervise";

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
    edited: Edited,
    /// How many servers change.
    pub(super) count: usize,
    /// Of servers that do not change and are to be told of, why.
    pub(super) left: Vec<String>,
}

impl<'r> Change<'r> {
    /// Of the servers that are wanted.
    pub(super) fn of(
        read: &'r Read,
        wanted: &dyn Fn(&str) -> Wanted,
        direction: &Direction,
    ) -> Result<Self, Failure> {
        let document = read.document()?;
        let mut left = Vec::new();
        let mut chosen: Vec<&Server> = Vec::new();
        for server in document.servers() {
            let wanted = wanted(&server.name);
            if wanted == Wanted::No {
                continue;
            }
            match objection(server, &read.config.path, direction) {
                None => chosen.push(server),
                Some(objection) if wanted == Wanted::ByName || objection.told => {
                    let name = server.name.escape_debug();
                    left.push(format!("{}: `{name}` is left as it is: {}", read.shown(), objection.why));
                }
                Some(_) => {}
            }
        }
        let edited = match direction {
            Direction::In { program } => document.wrapped(&chosen, read.program(program), &profile),
            Direction::Out => document.unwrapped(&chosen),
        };
        let change = Self { read, edited, count: chosen.len(), left };
        if change.is_one() {
            change.may_be_made()?;
            change.check(&document, &chosen, direction)?;
        }
        Ok(change)
    }

    /// Whether the file may be replaced at all. What cannot be made is not asked about.
    fn may_be_made(&self) -> Result<(), Failure> {
        let config = &self.read.config;
        config.is_alone().map_err(|fault| failure(&fault))?;
        match &self.read.repository {
            Some(root) if !config.target().starts_with(root) => Err(Failure {
                code: exit_code::CONFIG_NOT_WRITTEN,
                message: format!(
                    "failed to change {}: it is a link to {}, which is outside of the repository {}",
                    config.path.display(),
                    config.target().display(),
                    root.display()
                ),
                hint: Some("a project is not to change the files of others; name that file with --config if it is yours".to_owned()),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the new text means what it is to mean: each of those servers has its words behind us, or in our place, and the
    /// others have theirs. A mistake of ours is not to cost anybody a config.
    fn check(&self, before: &Document<'_>, chosen: &[&Server], direction: &Direction) -> Result<(), Failure> {
        let after = self.after()?;
        let same = before.servers().len() == after.servers().len();
        let mut chosen = chosen.iter().peekable();
        let mut as_meant = |old: &Server, new: &Server| {
            steps::count(1);
            let is_chosen = chosen.next_if(|server| ptr::eq(**server, old)).is_some();
            let words_are_right = if !is_chosen {
                (&old.state, &old.words) == (&new.state, &new.words)
            } else if matches!(direction, Direction::Out) {
                old.state == State::Wrapped && old.words.ends_with(&new.words)
            } else if old.state == State::Wrapped {
                new.state == State::Wrapped && new.words.get(1..) == old.words.get(1..)
            } else {
                new.state == State::Wrapped && new.words.ends_with(&old.words)
            };
            (&old.name, &old.project) == (&new.name, &new.project) && words_are_right
        };
        let as_meant = before.servers().iter().zip(after.servers()).all(|(old, new)| as_meant(old, new));
        if same && as_meant && chosen.next().is_none() { Ok(()) } else { Err(self.wrong()) }
    }

    fn after(&self) -> Result<Document<'_>, Failure> {
        Document::read(&self.edited.text, self.read.shape(), &split).map_err(|_| self.wrong())
    }

    /// Whether anything changes.
    pub(super) fn is_one(&self) -> bool {
        self.edited.text != self.read.config.text()
    }

    /// The config.
    pub(super) fn read(&self) -> &Read {
        self.read
    }

    /// The change, as a person reads it, without secrets.
    pub(super) fn diff(&self) -> Result<String, Failure> {
        let bold = Style::new().bold();
        let mut text = format!("{bold}{}{bold:#}\n", report::plain(&self.read.shown()));
        let (old, new) =
            (self.read.document()?.shown(&self.read.secrets), self.after()?.shown(&self.read.secrets));
        let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
        let changes = &self.edited.changes;
        // What is not shown is not written.
        if changes.is_empty() {
            return Err(self.wrong());
        }
        let mut rest = &changes[..];
        while !rest.is_empty() {
            let apart = |pair: &[Lines]| pair[1].old.start - pair[0].old.end > 2 * AROUND;
            let length = rest.windows(2).position(apart).map_or(rest.len(), |at| at + 1);
            let (group, others) = rest.split_at(length);
            hunk(&mut text, &old, &new, group);
            rest = others;
        }
        Ok(text + "\n")
    }

    fn wrong(&self) -> Failure {
        let path = self.read.config.path.display();
        Failure::unexpected(format!(
            "failed to change {path}: the new text would not mean what it should; please report it"
        ))
    }

    /// Makes it. What there is to be told.
    pub(super) fn make(&self, backups: &Path) -> Result<String, Fault> {
        let config = &self.read.config;
        let kept = config.replace(&self.edited.text, backups)?;
        let servers = if self.count == 1 { "1 server".to_owned() } else { format!("{} servers", self.count) };
        let who = match self.read.who() {
            "" => "the host that reads it".to_owned(),
            host => host.to_owned(),
        };
        let path = report::plain(&self.read.path());
        let kept =
            kept.map(|kept| format!("  what it was is in {}\n", report::plain(&kept.display().to_string())));
        Ok(format!("{path}: {servers} changed; restart {who} to have it so\n{}", kept.unwrap_or_default()))
    }
}

/// Whether a server is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Others are named.
    No,
    /// All are.
    Yes,
    /// It is named.
    ByName,
}

/// These changes, which are close to each other, with the lines around them. `old`, `new`: all lines of both texts.
fn hunk(text: &mut String, old: &[&str], new: &[&str], changes: &[Lines]) {
    let [first, ..] = changes else { return };
    let mut put = |sign: char, style: Style, lines: &[&str], range: std::ops::Range<usize>| {
        for line in lines.get(range.start..range.end.min(lines.len())).unwrap_or_default() {
            steps::count(1);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{style}{sign}{}{style:#}", report::plain(line));
        }
    };
    let from = first.old.start.saturating_sub(AROUND);
    put('@', Style::new().dimmed(), &[&*format!("@ line {} @@", from + 1)], 0..1);
    let mut at = from;
    for change in changes {
        put(' ', Style::new(), old, at..change.old.start);
        put('-', AnsiColor::Red.on_default(), old, change.old.clone());
        put('+', AnsiColor::Green.on_default(), new, change.new.clone());
        at = change.old.end;
    }
    put(' ', Style::new(), old, at..at + AROUND);
}

impl Read {
    /// What stands in its entries for our program.
    fn program<'p>(&self, full: &'p str) -> &'p str {
        if self.repository.is_some() { BARE } else { full }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::command::wrap::understood;

    /// A config of so many servers, with secrets, comments, and a line or several for each.
    fn config(count: usize) -> String {
        let entry = |at: usize| {
            format!(
                "    \"s{at}\": {{ // number {at}\n      \"command\": \"npx\", /* a, b */\n      \"args\": [\n        \"-y\", // yes\n        \"x{at}\"\n      ],\n      \
                 \"env\": {{\"A_TOKEN\": \"secret-{at:07}\", \"B\": \"b\"}}\n    }},\n    \"t{at}\": {{\"command\": \"y\"}}"
            )
        };
        let entries: Vec<String> = (0..count).map(entry).collect();
        format!("{{\n  \"mcpServers\": {{\n{}\n  }}\n}}\n", entries.join(",\n"))
    }

    /// The steps of a whole change, there and back.
    fn steps_of(text: &str) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        fs::write(&path, text).unwrap();
        let wanted = |_: &str| Wanted::Yes;
        steps::counted(|| {
            let read = understood(None, &path, None).unwrap_or_else(|failure| panic!("{failure:?}"));
            let program = "/usr/bin/mcp-supervise".to_owned();
            let there = Change::of(&read, &wanted, &Direction::In { program }).unwrap();
            assert!(!there.diff().unwrap().contains("secret-0"), "a secret is shown");
            fs::write(&path, &there.edited.text).unwrap();
            let read = understood(None, &path, None).unwrap_or_else(|failure| panic!("{failure:?}"));
            let back = Change::of(&read, &wanted, &Direction::Out).unwrap();
            assert!(back.diff().unwrap().contains("npx"));
            assert_eq!(back.edited.text, text);
        })
    }

    #[test]
    fn the_work_grows_with_the_number_of_servers_and_not_with_its_square() {
        let few = steps_of(&config(200));
        let many = steps_of(&config(1600));
        assert!(few > 200, "it is counted: {few}");
        // A look at each server for each server, as little as one step, would be seen.
        assert!(1600 * 1600 + 8 * few > 10 * few, "{few} steps are too many for that");
        // Eight times as much, and a little for what is looked up; its square would be 64 times as much.
        assert!(many < 10 * few, "{few} steps, and {many} for eight times as many servers");
    }

    #[test]
    fn what_changes_is_shown_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let lines: Vec<String> = (0..20).map(|at| format!("  \"n{at}\": {at},\n")).collect();
        let entry = "{\n    \"command\": \"x\",\n    \"args\": [\n      \"-y\"\n    ]\n  }";
        fs::write(
            &path,
            format!("{{\n\"mcpServers\": {{\"a\": {entry}}},\n{}\"servers\": 1\n}}", lines.concat()),
        )
        .unwrap();
        let read = understood(None, &path, None).unwrap_or_else(|failure| panic!("{failure:?}"));
        let program = "/p/mcp-supervise".to_owned();
        let change = Change::of(&read, &|_| Wanted::Yes, &Direction::In { program }).unwrap();
        let shown = anstream::adapter::strip_str(&change.diff().unwrap()).to_string();
        let shown = shown.split_once('\n').unwrap().1;
        let expected = "@@ line 1 @@\n {\n \"mcpServers\": {\"a\": {\n-    \"command\": \"x\",\n+    \"command\": \"/p/mcp-supervise\",\n     \"args\": [\n\
                        +      \"--name\",\n+      \"a\",\n+      \"--\",\n+      \"x\",\n       \"-y\"\n     ]\n   }},\n\n";
        assert_eq!(shown, expected);
    }
}
