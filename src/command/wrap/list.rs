//! Every server of every config, and whether it is wrapped.

use std::fmt::Write as _;

use super::Read;
use super::change::clean;
use crate::hosts::{Server, State};
use crate::mask::Mask;
use crate::report::{Cell, Column, table};

const COLUMNS: [Column; 3] = [
    Column { title: "SERVER", right: false, least: Some(12) },
    Column { title: "STATE", right: false, least: None },
    Column { title: "COMMAND", right: false, least: Some(8) },
];

/// The list as text, with colour codes: a table for each config.
pub(super) fn text(read: &[Read]) -> String {
    let mut text = String::new();
    for config in read {
        let host = match config.who() {
            "" => String::new(),
            host => format!(" ({host})"),
        };
        let _ = writeln!(text, "{}", clean(&format!("{}{host}", config.config.path.display())));
        if config.servers.is_empty() {
            text += "no servers\n";
        } else {
            let rows: Vec<Vec<Cell>> = config.servers.iter().map(row).collect();
            text += &table(&COLUMNS, &rows);
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn row(server: &Server) -> Vec<Cell> {
    let name = match &server.project {
        None => server.name.clone(),
        Some(project) => format!("{} (in {project})", server.name),
    };
    let state = match &server.state {
        State::Plain if server.disabled => Cell::new("disabled").faint(),
        State::Plain => Cell::new("not wrapped").doubtful(),
        State::Wrapped if server.disabled => Cell::new("wrapped, disabled").faint(),
        State::Wrapped => Cell::new("wrapped").good(),
        State::ByHand => Cell::new("wrapped by hand").good(),
        State::Remote => Cell::new("remote").faint(),
        State::Debugged => Cell::new("debugged").doubtful(),
        State::Odd(_) => Cell::new("not understood").bad(),
    };
    let command = match &server.state {
        State::Odd(why) => (*why).to_owned(),
        State::Plain | State::Wrapped | State::ByHand | State::Remote | State::Debugged => {
            Mask::default().command(server.own_words())
        }
    };
    vec![Cell::new(name), state, Cell::new(command)]
}
