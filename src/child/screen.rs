//! Renders text as a terminal would show it: progress bars and spinners leave their last state, and no control sequence
//! remains.
//!
//! It handles what programs use to overwrite their output: carriage return, backspace, the cursor moved to the first
//! column or up, and a line or everything below it erased. Overwritten text is replaced as a whole, so that a bar that
//! is shorter than the one before leaves no rest of it. It ignores width, height and colours, and does no I/O.

use std::iter::Peekable;
use std::str::Chars;

/// How far up the cursor can move: terminals are not higher, and a row that has scrolled off the top stays as it is.
const HEIGHT: usize = 64;

/// The text without ECMA-48 escape sequences and without control characters other than tab and line feed. Each line is
/// in its last state.
pub(super) fn shown(text: &str) -> String {
    let mut screen = Screen::default();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => screen.escape(&mut chars),
            '\n' => screen.next_row(),
            // The next character overwrites the row. If a line feed comes next, the row stays.
            '\r' => screen.over = true,
            '\x08' => screen.back(),
            '\t' => screen.print('\t'),
            other if other.is_control() => {}
            other => screen.print(other),
        }
    }
    screen.text()
}

#[derive(Debug)]
struct Screen {
    rows: Vec<Row>,
    /// The row of the cursor, an index into `rows`.
    row: usize,
    /// Whether the next character replaces the row's text.
    over: bool,
}

#[derive(Debug, Default)]
struct Row {
    text: String,
    /// Whether text was erased or overwritten here: if nothing is left in the end, the row is omitted.
    changed: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self { rows: vec![Row::default()], row: 0, over: false }
    }
}

impl Screen {
    fn row(&mut self) -> &mut Row {
        if self.row >= self.rows.len() {
            self.rows.push(Row::default());
        }
        let last = self.rows.len() - 1;
        &mut self.rows[self.row.min(last)]
    }

    fn print(&mut self, char: char) {
        if std::mem::take(&mut self.over) {
            self.erase();
        }
        self.row().text.push(char);
    }

    fn erase(&mut self) {
        let row = self.row();
        row.changed |= !row.text.is_empty();
        row.text.clear();
    }

    fn back(&mut self) {
        if self.row().text.pop().is_some() {
            self.row().changed = true;
        }
    }

    fn next_row(&mut self) {
        self.row += 1;
        self.over = self.row < self.rows.len();
        self.row();
    }

    fn up(&mut self, rows: usize) {
        let highest = self.rows.len().saturating_sub(HEIGHT);
        self.row = self.row.saturating_sub(rows).max(highest.min(self.row));
        self.over = true;
    }

    fn down(&mut self, rows: usize) {
        self.row = (self.row + rows).min(self.rows.len() - 1);
        self.over = true;
    }

    /// Consumes an escape sequence and performs it.
    fn escape(&mut self, chars: &mut Peekable<Chars<'_>>) {
        match chars.peek() {
            // CSI: parameters, intermediates, one final character.
            Some('[') => {
                chars.next();
                let mut parameters = String::new();
                while let Some(char) = chars.next_if(|char| matches!(char, ' '..='?')) {
                    parameters.push(char);
                }
                if let Some(what) = chars.next_if(|char| matches!(char, '@'..='~')) {
                    self.control(what, parameters.parse().ok());
                }
            }
            // OSC and the other string sequences: to BEL or ESC \. An unterminated one ends with its line.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while chars.next_if(|char| !matches!(char, '\x07' | '\x1b' | '\n')).is_some() {}
                if chars.next_if_eq(&'\x1b').is_some() {
                    chars.next_if_eq(&'\\');
                }
            }
            // The two-character sequences, some with intermediates.
            _ => {
                while chars.next_if(|char| matches!(char, ' '..='/')).is_some() {}
                chars.next_if(|char| matches!(char, '0'..='~'));
            }
        }
    }

    /// Performs a control sequence with one number, which is `None` if it has none, or several.
    fn control(&mut self, what: char, number: Option<usize>) {
        let times = number.unwrap_or(1).max(1);
        match what {
            'A' | 'F' => self.up(times),
            'B' | 'E' => self.down(times),
            'G' if times == 1 => self.over = true,
            'D' if times >= self.row().text.chars().count() => self.over = true,
            // Erasing from the cursor to the end of the line does nothing unless the cursor is at the beginning.
            'K' if number.unwrap_or(0) == 0 && !self.over => {}
            'K' => self.erase(),
            'J' if number.unwrap_or(0) == 0 => {
                if self.over {
                    self.erase();
                }
                self.rows.truncate(self.row + 1);
            }
            // Colours, and what would need a height. A cleared screen keeps its text, which may say what went wrong.
            _ => {}
        }
    }

    fn text(&self) -> String {
        let last = self.rows.len() - 1;
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let gone = row.changed && row.text.trim().is_empty();
            if !gone {
                text.push_str(&row.text);
            }
            if number < last && !gone {
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn terminal_sequences_are_left_out() {
        for (text, left) in [
            ("\x1b[1;31merror\x1b[0m: bad \x1b[38;5;1mx\x1b[K", "error: bad x"),
            ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
            ("\x1b(Ba\x1b7b\x1b=", "ab"),
            ("\x1b]never closed\nnext", "\nnext"),
            ("one\x07\ttwo\x1b", "one\ttwo"),
            ("one\n\ntwo\n", "one\n\ntwo\n"),
            ("\x1b[", ""),
        ] {
            assert_eq!(shown(text), left, "{text:?}");
        }
    }

    #[test]
    fn of_the_states_of_one_line_the_last_is_left() {
        for (text, left) in [
            ("10%\r20%\r\ndone", "20%\ndone"),
            ("a\r\nb\r\n", "a\nb\n"),
            ("loading 100%\rdone", "done"),
            ("50%\r", "50%"),
            // Erased at last, it is no line.
            ("start\n50%\r     \rend", "start\nend"),
            ("start\n50%\r\x1b[K\nend", "start\nend"),
            ("50%\x1b[2K\x1b[1G60%\x1b[2K\x1b[G70%\n", "70%\n"),
            ("50%\x1b[1000D60%", "60%"),
            ("|\x08/\x08-\x08ready", "ready"),
            // Colours are no states.
            ("\x1b[32mok\x1b[39m \x1b[1mall\x1b[22m", "ok all"),
        ] {
            assert_eq!(shown(text), left, "{text:?}");
        }
    }

    #[test]
    fn several_bars_below_each_other_are_one_picture() {
        let states: Vec<String> =
            (0..=100).map(|percent| format!("a {percent}%\x1b[K\nb {percent}%\x1b[K\n")).collect();
        let text = format!("pulling\n{}\x1b[1Bpulled\n", states.join("\x1b[2A"));
        assert_eq!(shown(&text), "pulling\na 100%\nb 100%\npulled\n");
        assert_eq!(shown("x\na 1%\nb 1%\n\x1b[2A\x1b[Jdone\n"), "x\ndone\n");
        // No sequence leads out of the text.
        assert_eq!(shown("a\x1b[99999A\x1b[99999Bb\x1b[99999999999999999999Ac"), "c");
        let long = "line\n".repeat(200) + "\x1b[500Aover";
        assert!(shown(&long).starts_with(&"line\n".repeat(100)), "what has left the screen stays");
    }
}
