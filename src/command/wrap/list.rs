//! Every server of every config, and whether it is wrapped.

use std::fmt::Write as _;
use std::path::Path;

use super::Read;
use crate::hosts::{Server, State};
use crate::mask::Mask;
use crate::report::{self, Cell, Column, table};

const COLUMNS: [Column; 3] = [
    Column { title: "SERVER", right: false, least: Some(12) },
    Column { title: "STATE", right: false, least: None },
    Column { title: "COMMAND", right: false, least: Some(8) },
];

/// The list as text, with colour codes: a table for each config.
/// `names`: of these servers only; of all where there are none.
pub(super) fn text(read: &[Read], names: &[String]) -> String {
    let mut text = String::new();
    for config in read {
        let host = match config.who() {
            "" => String::new(),
            host => format!(" ({host})"),
        };
        let _ = writeln!(text, "{}", report::plain(&format!("{}{host}", config.config.path.display())));
        if config.servers.is_empty() {
            text += "no servers\n";
        } else {
            let wanted =
                config.servers.iter().filter(|server| names.is_empty() || names.contains(&server.name));
            let rows: Vec<Vec<Cell>> = wanted.map(|server| row(server, &config.mask)).collect();
            text += &table(&COLUMNS, &rows);
        }
        text.push('\n');
    }
    text.pop();
    text
}

/// Whether the supervisor is not there any more, by which a server is wrapped.
pub(super) fn is_gone(server: &Server) -> bool {
    let program = server.words.first().map(Path::new);
    program.is_some_and(|program| program.is_absolute() && !program.exists())
}

fn row(server: &Server, mask: &Mask) -> Vec<Cell> {
    let name = match &server.project {
        None => server.name.clone(),
        Some(project) => format!("{} (in {project})", server.name),
    };
    let state = match &server.state {
        State::Plain if server.disabled => Cell::new("disabled").faint(),
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
        State::Plain | State::Wrapped | State::ByHand | State::Remote | State::Debugged => {
            mask.command(server.own_words())
        }
    };
    vec![Cell::new(name), state, Cell::new(command)]
}
