//! The conversation of a run, kept as it happens and written out only when somebody wants to read it.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::io::{Input, Output};
use crate::wire::Line;

/// How many bytes of a line are shown.
const SHOWN: usize = 400;

/// One line of the conversation.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Input(Duration, Input),
    Output(Output),
}

/// The conversation.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<Entry>);

impl Log {
    pub(super) fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The last so many lines as readable text.
    pub(super) fn last(&self, lines: usize) -> String {
        let mut text = String::new();
        for entry in &self.0[self.0.len().saturating_sub(lines)..] {
            let line = match entry {
                Entry::Input(at, input) => format!("{:>10.3}s > {}", at.as_secs_f64(), input_text(input)),
                Entry::Output(output) => format!("{:>11} < {}", "", output_text(output)),
            };
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn input_text(input: &Input) -> String {
    match input {
        Input::Host(line) => format!("host: {}", line_text(line)),
        Input::HostEof => "host: end of input".to_owned(),
        Input::HostGone => "host: gone".to_owned(),
        Input::StarterGone(holder) => format!("starter: gone, {holder:?} holds our stdin"),
        Input::Child(child, line) => format!("child {child}: {}", line_text(line)),
        Input::Spawned(child, _) => format!("child {child} runs"),
        Input::SpawnFailed(child, fault, _) => format!("child {child} cannot be spawned: {fault:?}"),
        Input::Exited(child, exit) => format!("child {child} exited: {exit}"),
        Input::Mute(child) => format!("child {child} mute"),
        Input::Silent { from, unsent, .. } => format!("child {from} silent, {} lines unsent", unsent.len()),
        Input::Deaf(child) => format!("child {child} deaf"),
        Input::Inspected { child, stopped } => match stopped {
            Some(signal) => format!("child {child} is stopped by {signal}"),
            None => format!("child {child} is not stopped"),
        },
        Input::Quoted { from, text } => format!("child {from} has printed {} bytes", text.len()),
        Input::Group { child, empty } => format!("group of child {child} is empty: {empty}"),
        Input::Stdin { child, read } => format!("child {child} has read its input: {read}"),
        Input::LastGood(good) => format!("last good: {} answers", good.len()),
        Input::LoginPath(path) => format!("login shell: {path:?}"),
        Input::Changed(changed) => format!("changed: {changed:?}"),
        Input::Stop(signal) => format!("stop: {signal:?}"),
        Input::Order(order) => format!("order: {order:?}"),
        Input::Session(event) => format!("session {event:?}"),
        Input::Timer => "timer".to_owned(),
    }
}

fn output_text(output: &Output) -> String {
    match output {
        Output::ToHost(line, origin) => format!("to host ({origin:?}): {}", bytes_text(line)),
        Output::ToChild(child, line) => format!("to child {child}: {}", bytes_text(line)),
        Output::Noise(child, line) => format!("noise of child {child}: {}", bytes_text(line)),
        Output::Spawn(child) => format!("spawn {child}"),
        Output::UsePath(path) => format!("use PATH {}", path.display()),
        Output::AskLoginShell => "ask the login shell".to_owned(),
        Output::Inspect(child) => format!("inspect child {child}"),
        Output::Quote(child) => format!("quote child {child}"),
        Output::Remember(good) => format!(
            "remember {:?} {} {} {:?}: {}",
            good.era,
            good.version,
            good.method,
            good.cursor,
            bytes_text(&good.result)
        ),
        Output::CloseStdin(child) => format!("close stdin of child {child}"),
        Output::Signal(child, signal, whom) => format!("signal {signal:?} to child {child}, {whom:?}"),
        Output::LookAtGroup(child) => format!("look at the group of child {child}"),
        Output::LookAtStdin(child) => format!("look at the stdin of child {child}"),
        Output::Forget { child, group_left } => format!("forget child {child}, group left: {group_left}"),
        Output::Note(note) => format!("note {note:?}"),
        Output::Session(act) => format!("session {act:?}"),
        Output::Exit { code, until } => format!("exit {code}, by {until:?}"),
    }
}

fn line_text(line: &Line) -> String {
    match line {
        Line::Whole(bytes) => bytes_text(bytes),
        Line::Oversize(line) => format!("{} bytes: {}", line.len, bytes_text(&line.head)),
    }
}

fn bytes_text(bytes: &Bytes) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\n');
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], bytes.len()),
        None => text.to_owned(),
    }
}
