//! What a person sees: texts, errors, hints. The only place that prints.
//!
//! Colour is a help and never the message: it is there only where the stream is a terminal that wants it. stdout gets what
//! was asked for, stderr everything else. A reader that has gone away is no error: `mcp-supervise man | head` succeeds.
//! While a server is supervised stdout is the host's, and nothing in here may write to it.

mod folded;
mod table;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use clap::builder::styling::AnsiColor;

pub use self::folded::folded;
pub use self::table::{Cell, Column, WIDTH, table, table_in};

/// Writes to stdout what was asked for, as it is; colour codes are taken out where nobody would see them.
pub fn text(text: impl AsRef<[u8]>) -> io::Result<()> {
    heard(text).map(|_| ())
}

/// The same. `false` if nobody reads it any more.
pub fn heard(text: impl AsRef<[u8]>) -> io::Result<bool> {
    finish(&mut anstream::stdout(), text.as_ref())
}

/// Asks on stderr, and waits for a line on stdin: empty at its end.
fn ask(question: impl Display) -> io::Result<String> {
    finish(&mut anstream::stderr(), plain(&question.to_string()).as_bytes())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer)
}

/// Asks a question that is answered with yes or no, and takes anything else for a no.
pub fn agreed(question: impl Display) -> io::Result<bool> {
    Ok(matches!(&*ask(question)?.trim().to_lowercase(), "y" | "yes"))
}

/// A text with words of others in it, as a terminal may be given it: what moves a cursor, turns the text around or cannot be
/// seen is a blank. Line feeds and tabs stay.
pub fn plain(text: &str) -> String {
    let blank = |letter: char| if letter != '\n' && letter != '\t' && plays(letter) { ' ' } else { letter };
    text.chars().map(blank).collect()
}

/// Words of others that are part of a line: line feeds and tabs are blanks as well.
pub fn line(text: &str) -> String {
    text.chars().map(|letter| if plays(letter) { ' ' } else { letter }).collect()
}

/// JSON in which such letters stand as escapes: the same values, and nothing for a terminal to do.
pub fn json(text: &str) -> String {
    use std::fmt::Write as _;

    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        // Between its values JSON has line feeds, and in them neither these nor the first controls.
        if matches!(letter, '\n' | '\r' | '\t') || !plays(letter) {
            escaped.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

/// Whether a letter does anything else than to be read: controls of both ranges, those of text that runs from right to left,
/// ends of lines of Unicode's own, and tags, which are invisible and carry a text of their own.
fn plays(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                | '\u{e0000}'..='\u{e007f}')
}

/// Tells on stderr what went wrong, in words that fit after `error:`, and what to do about it.
pub fn error(message: impl Display, hint: Option<&str>) {
    let red = AnsiColor::Red.on_default().bold();
    complaint(&format!("{red}error:{red:#} {}\n", plain(&message.to_string())), hint.map(plain).as_deref());
}

/// Tells on stderr what is not as it should be, and stops nothing, in words that fit after `warning:`.
pub fn warning(message: impl Display) {
    let yellow = AnsiColor::Yellow.on_default().bold();
    complaint(&format!("{yellow}warning:{yellow:#} {}\n", plain(&message.to_string())), None);
}

/// Tells on stderr what is being done, in words that are a line.
pub fn remark(message: impl Display) {
    complaint(&format!("{}\n", plain(&message.to_string())), None);
}

/// Tells on stderr what went wrong in a text that is complete, `error:` and line feeds included, and what to do about it.
pub fn usage(text: &str, hint: &str) {
    complaint(text, Some(hint));
}

/// Nobody is left to be told when stderr itself fails, so that is not told either.
fn complaint(text: &str, hint: Option<&str>) {
    let cyan = AnsiColor::Cyan.on_default().bold();
    let hint = hint.map(|hint| format!("{cyan}hint:{cyan:#} {hint}\n")).unwrap_or_default();
    let whole = format!("{}\n{hint}", text.trim_end());
    let _ = finish(&mut anstream::stderr(), whole.as_bytes());
}

/// Writes all of it; a reader that has gone away has seen what it wanted. Whether it is still there.
fn finish(stream: &mut impl Write, bytes: &[u8]) -> io::Result<bool> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that fails with this error, in the write or only in the flush.
    struct Failing(ErrorKind, bool);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 { Ok(bytes.len()) } else { Err(self.0.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn words_of_others_do_nothing_to_a_terminal() {
        let odd = "\u{1b}\u{7}\r\u{7f}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{e0001}\u{e0041}\u{e007f}";
        for letter in odd.chars() {
            assert_eq!(plain(&format!("a{letter}b")), "a b", "{letter:?}");
            assert_eq!(line(&format!("a{letter}b")), "a b", "{letter:?}");
        }
        // What is read stays: other scripts, joined signs, and the layout of a text.
        let text = "n\u{e4}me \u{645}\u{5d0} \u{1f468}\u{200d}\u{1f469} \u{4e16}";
        assert_eq!(plain(&format!("{text}\n\t{text}")), format!("{text}\n\t{text}"));
        assert_eq!(line(&format!("{text}\n\t{text}")), format!("{text}  {text}"));
    }

    #[test]
    fn json_of_others_does_nothing_to_a_terminal_and_is_the_same_json() {
        let text = "[\n\t\"a\u{7f}\u{9b}\u{202e}\u{e0041}\u{e4}\"]\n";
        assert_eq!(json(text), "[\n\t\"a\\u007f\\u009b\\u202e\\udb40\\udc41\u{e4}\"]\n");
    }

    #[test]
    fn a_broken_pipe_is_success_and_another_error_is_not() {
        for late in [false, true] {
            assert!(finish(&mut Failing(ErrorKind::BrokenPipe, late), b"x").is_ok_and(|heard| !heard));
            assert!(finish(&mut Failing(ErrorKind::StorageFull, late), b"x").is_err());
        }
    }
}
