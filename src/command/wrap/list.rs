//! Every server of every config, and whether it is wrapped.

use std::fmt::Write as _;

use terminal_size::{Width, terminal_size};

use super::Read;
use super::entry::{WHOLE_LINE, is_gone, is_whole_line};
use crate::hosts::{Server, State};
use crate::report::{self, Cell, Column, WIDTH, table_in};

const COLUMNS: [Column; 3] = [
    Column { title: "SERVER", right: false, least: Some(12) },
    Column { title: "STATE", right: false, least: None },
    Column { title: "COMMAND", right: false, least: Some(8) },
];

/// The list as text, with colour codes: a table for each config.
/// `wanted`: of these servers only; configs that have none of them are left out if `some`.
pub(super) fn text(read: &[Read], wanted: &dyn Fn(&str) -> bool, some: bool) -> String {
    let width = terminal_size().map(|(Width(width), _)| usize::from(width)).filter(|width| *width > 0);
    let mut text = String::new();
    for config in read {
        let servers = config.servers.iter().filter(|server| wanted(&server.name));
        let rows: Vec<Vec<Cell>> = servers.map(|server| row(server, config)).collect();
        if some && rows.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}", report::plain(&config.shown()));
        if rows.is_empty() {
            text += if config.elsewhere.is_empty() {
                "no servers\n"
            } else {
                "no servers where they are looked for\n"
            };
        } else {
            text += &table_in(width.unwrap_or(WIDTH), &COLUMNS, &rows);
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn row(server: &Server, read: &Read) -> Vec<Cell> {
    let name = match &server.project {
        None => server.name.clone(),
        Some(project) => format!("{} (in {project})", server.name),
    };
    let is_line = server.state == State::Plain && is_whole_line(server, &read.config.path);
    let state = match &server.state {
        State::Plain if server.disabled => Cell::new("disabled").faint(),
        State::Plain if is_line => Cell::new("not understood").bad(),
        State::Plain => Cell::new("not wrapped").doubtful(),
        State::Wrapped if server.disabled => Cell::new("wrapped, disabled").faint(),
        State::Wrapped if is_gone(server) => Cell::new("wrapped, gone").bad(),
        State::Wrapped => Cell::new("wrapped").good(),
        State::ByHand => Cell::new("wrapped by hand").good(),
        State::Remote => Cell::new("remote").faint(),
        State::Debugged => Cell::new("debugged").doubtful(),
        State::Odd(_) => Cell::new("not understood").bad(),
    };
    let command = match &server.state {
        State::Odd(why) => (*why).to_owned(),
        State::Plain if is_line && !server.disabled => WHOLE_LINE.to_owned(),
        State::Plain | State::Wrapped | State::ByHand | State::Remote | State::Debugged => {
            read.secrets.command(server.own_words())
        }
    };
    vec![Cell::new(name), state, Cell::new(command)]
}
