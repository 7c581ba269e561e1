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
pub fn ask(question: impl Display) -> io::Result<String> {
    finish(&mut anstream::stderr(), question.to_string().as_bytes())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer)
}

/// A text with words of others in it, as a terminal may be given it: without what moves a cursor or turns the text around.
pub fn plain(text: &str) -> String {
    let moves = |letter: char| {
        (letter.is_control() && letter != '\n' && letter != '\t')
            || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if moves(letter) { ' ' } else { letter }).collect()
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
    fn a_broken_pipe_is_success_and_another_error_is_not() {
        for late in [false, true] {
            assert!(finish(&mut Failing(ErrorKind::BrokenPipe, late), b"x").is_ok_and(|heard| !heard));
            assert!(finish(&mut Failing(ErrorKind::StorageFull, late), b"x").is_err());
        }
    }
}
