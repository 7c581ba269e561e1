//! Tables that fit a terminal, of 80 columns where nothing else is said. Pure: rows in, text out.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How wide a terminal is at least.
pub const WIDTH: usize = 80;
/// Between two columns.
const GAP: usize = 2;

/// A column: its title, and how its cells are set.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// In capitals.
    pub title: &'static str,
    /// Numbers are set to the right.
    pub right: bool,
    /// It may be cut, down to this many characters, so that the others fit. `None`: never.
    pub least: Option<usize>,
}

/// A cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text; what would move the cursor is taken out of it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { text: super::line(text.as_ref()), style: Style::new() }
    }

    /// Of something that is well.
    #[must_use]
    pub fn good(self) -> Self {
        Self { style: AnsiColor::Green.on_default(), ..self }
    }

    /// Of something that may not be well.
    #[must_use]
    pub fn doubtful(self) -> Self {
        Self { style: AnsiColor::Yellow.on_default(), ..self }
    }

    /// Of something that is not well.
    #[must_use]
    pub fn bad(self) -> Self {
        Self { style: AnsiColor::Red.on_default(), ..self }
    }

    /// Of something that does not matter much.
    #[must_use]
    pub fn faint(self) -> Self {
        Self { style: Style::new().dimmed(), ..self }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

/// The table as text, with colour codes. No line of it is longer than 80 characters, as long as what may be cut can be.
pub fn table(columns: &[Column], rows: &[Vec<Cell>]) -> String {
    table_in(WIDTH, columns, rows)
}

/// The same for a terminal of this width.
pub fn table_in(width: usize, columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    while widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) > width {
        let widest = (0..columns.len())
            .filter(|at| columns[*at].least.is_some_and(|least| widths[*at] > least))
            .max_by_key(|at| widths[*at]);
        match widest {
            Some(at) => widths[at] -= 1,
            None => break,
        }
    }
    let bold = Style::new().bold();
    let titles: Vec<Cell> =
        columns.iter().map(|column| Cell { style: bold, ..Cell::new(column.title) }).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        let mut pending = 0;
        for ((cell, column), width) in row.iter().zip(columns).zip(&widths) {
            let shown = cut(&cell.text, *width);
            let room = width.saturating_sub(shown.width());
            let before = if column.right { room } else { 0 };
            let style = cell.style;
            // What would end a line is left out: a terminal may be no wider.
            let _ = write!(line, "{:pending$}{:before$}{style}{shown}{style:#}", "", "");
            pending = room - before + GAP;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The text in so many columns: cut at its end, and marked where it is.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.width() + letter.width().unwrap_or(0) + 1 > width {
            break;
        }
        shown.push(letter);
    }
    shown.push('\u{2026}');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { title: "NAME", right: false, least: Some(8) },
        Column { title: "CALLS", right: true, least: None },
        Column { title: "ID", right: false, least: None },
    ];

    fn plain(rows: &[[&str; 3]]) -> String {
        let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(Cell::new).collect()).collect();
        anstream::adapter::strip_str(&table(&COLUMNS, &rows)).to_string()
    }

    #[test]
    fn cells_stand_under_their_titles_and_no_line_ends_in_blanks() {
        let told = plain(&[["notes", "7", "ab"], ["a", "12345678", "c"]]);
        assert_eq!(told, "NAME      CALLS  ID\nnotes         7  ab\na      12345678  c\n");
    }

    #[test]
    fn what_is_too_long_is_cut_to_80_columns_and_controls_are_taken_out() {
        let long = ["n\u{e4}me", "\u{4e16}\u{754c}"].map(|text| text.repeat(40));
        let told = plain(&[[&long[0], "7", "ab\x1b[31m\u{202e}\n"]]);
        let wide = plain(&[[&long[1], "7", "ab"]]);
        assert!(told.lines().chain(wide.lines()).all(|line| line.width() <= WIDTH), "{told}{wide}");
        assert!(!told.contains('\u{202e}'), "{told}");
        let rows = [long.iter().map(Cell::new).collect()];
        let wider = anstream::adapter::strip_str(&table_in(100, &COLUMNS[..1], &rows)).to_string();
        assert!(
            wider.lines().all(|line| line.width() <= 100) && wider.lines().any(|line| line.width() == 100)
        );
        assert!(told.contains('\u{2026}') && !told.contains('\x1b') && told.lines().count() == 2, "{told}");
    }
}
