//! What is told of configs beside their changes: what is left alone, what is somewhere else, and all of it in one line.

use std::collections::BTreeSet;

use super::Read;
use super::change::{Change, Direction, Wanted};
use super::entry::{is_gone, objection};
use crate::command::failure::Failure;
use crate::exit_code;
use crate::hosts::{Elsewhere, Server, Shape, State};

/// How many servers are named, where there may be many.
const NAMED: usize = 5;

/// The servers of a config that are where its host does not have them, if they are to be told of.
pub(super) fn elsewhere(
    read: &Read,
    wanted: &dyn Fn(&str) -> bool,
    direction: &Direction,
) -> Option<Failure> {
    let is_meant = |found: &&Elsewhere| match direction {
        Direction::In { .. } => found.names.is_empty() || found.names.iter().any(|name| wanted(name)),
        Direction::Out => found.ours,
    };
    let found: Vec<String> = read.elsewhere.iter().filter(is_meant).map(place).collect();
    if found.is_empty() {
        return None;
    }
    let (who, key) = match (read.host, read.shape()) {
        (None, _) => ("no host that is known looks", "`mcpServers`, or to `servers` for VS Code,"),
        (Some(_), Shape::VsCode) => ("VS Code does not look", "`servers`"),
        (Some(_), Shape::Servers | Shape::Projects | Shape::Unknown) => {
            ("its host does not look", "`mcpServers`")
        }
    };
    let hint = match direction {
        Direction::In { .. } => format!(
            "move them to {key} as NAME: {{\"command\": ..., \"args\": [...]}}, or put the supervisor there by hand: \
             \"command\": \"mcp-supervise\", \"args\": [\"--name\", NAME, \"--\", the former command, the former args]"
        ),
        Direction::Out => {
            "take it out by hand: the words behind `--` are the former command and the former args".to_owned()
        }
    };
    Some(Failure {
        code: exit_code::NO_CONFIG,
        message: format!("{} has servers where {who} for them: {}", read.shown(), found.join("; ")),
        hint: Some(hint),
    })
}

/// Where some servers are that are somewhere else, and what they are called.
fn place(found: &Elsewhere) -> String {
    if found.names.is_empty() {
        return "the file itself is the entry of a server".to_owned();
    }
    let key = match &*found.key {
        "" => "at the top level".to_owned(),
        "[]" => "in a list at the top level".to_owned(),
        key => format!("in `{}`", key.escape_debug()),
    };
    format!("{} {key}", names(found.names.iter().map(String::as_str)))
}

fn names<'n>(all: impl Iterator<Item = &'n str>) -> String {
    let all: Vec<String> = all.map(|name| format!("`{}`", name.escape_debug())).collect();
    match all.len().saturating_sub(NAMED) {
        0 => all.join(", "),
        others => format!("{} and {others} more", all[..NAMED].join(", ")),
    }
}

/// That a shared config is left alone, if it has something to change.
pub(super) fn shared(read: &Read, wanted: &dyn Fn(&str) -> Wanted, direction: &Direction) -> Option<String> {
    let root = read.repository.as_ref()?;
    let is_one = |server: &&Server| {
        wanted(&server.name) != Wanted::No && objection(server, &read.config.path, direction).is_none()
    };
    read.servers.iter().any(|server| is_one(&server)).then(|| {
        format!(
            "{} is left alone: all who work on the repository {} share it; `--project` changes it too",
            read.shown(),
            root.display()
        )
    })
}

/// That colleagues need the program too, if a shared config gets it.
pub(super) fn colleagues(changes: &[Change<'_>]) -> Option<String> {
    let shared = changes.iter().map(Change::read).filter(|read| read.repository.is_some());
    let paths: Vec<String> = shared.map(Read::path).collect();
    (!paths.is_empty()).then(|| {
        format!(
            "{} starts `mcp-supervise` from the PATH: all who share it need the program too, or their servers do not start",
            paths.join(", ")
        )
    })
}

/// Which entries name a supervisor that is gone, and get this one.
pub(super) fn gone(read: &Read, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
    let is_one = |server: &&Server| {
        server.state == State::Wrapped && !server.disabled && is_gone(server) && wanted(&server.name)
    };
    let told = |server: &Server| {
        let program = server.words.first().map_or("", String::as_str);
        format!(
            "`{}` is wrapped by {program}, which is not there: it gets this program",
            server.name.escape_debug()
        )
    };
    read.servers.iter().filter(is_one).map(told).collect()
}

/// All changes in one line.
pub(super) fn summary(
    changes: &[Change<'_>],
    read: &[Read],
    wanted: &dyn Fn(&str) -> bool,
    direction: &Direction,
) -> String {
    let count =
        |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let servers = count(changes.iter().map(|change| change.count).sum(), "server");
    let files = count(changes.len(), "file");
    let hosts: BTreeSet<&str> =
        changes.iter().map(|change| change.read().who()).filter(|who| !who.is_empty()).collect();
    let hosts = if hosts.is_empty() { String::new() } else { format!(" of {}", count(hosts.len(), "host")) };
    let all = read.iter().flat_map(|config| &config.servers);
    let remote = all.filter(|server| server.state == State::Remote && wanted(&server.name)).count();
    let left = match (direction, remote) {
        (Direction::Out, _) | (_, 0) => String::new(),
        (_, 1) => "; 1 remote one left alone".to_owned(),
        (_, remote) => format!("; {remote} remote ones left alone"),
    };
    format!("{servers} in {files}{hosts}{left}\n")
}
