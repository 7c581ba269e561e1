//! What the demo tells: who does what, one line each, as narrow as a terminal.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::report;

/// How wide the lines are, but for words that are longer.
const WIDTH: usize = 100;
/// Where what is done begins, behind who does it.
const INDENT: usize = 12;

/// Nobody reads what is told any more: no failure, and no reason to go on.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads what is told")]
pub(super) struct Unheard;

/// Tells what somebody does.
pub(super) fn tell(who: &str, what: &str) -> Result<()> {
    say(&folded(&format!("{who:>10}  "), what, INDENT))
}

/// Tells what comes next.
pub(super) fn title(text: &str) -> Result<()> {
    say(&format!("\n{text}\n"))
}

/// Tells something that nobody does.
pub(super) fn remark(text: &str) -> Result<()> {
    say(&folded("", text, 0))
}

/// Tells what the chat is told.
pub(super) fn tell_guidance(guidance: &Value) -> Result<()> {
    let field = |name: &str| guidance[name].as_str().unwrap_or_default();
    tell("chat", &format!("{}: {}", field("status"), field("message")))?;
    tell("", field("hint"))
}

fn say(text: &str) -> Result<()> {
    let heard = report::heard(text).context("failed to write to stdout")?;
    ensure!(heard, Unheard);
    Ok(())
}

/// A text in lines, with `start` before the first of them and blanks before the others. Ends with a line feed.
fn folded(start: &str, text: &str, indent: usize) -> String {
    let mut lines = start.to_owned();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words_and_words_are_not() {
        let long = "x".repeat(120);
        let told = folded("      host  ", &format!("{} {long} end", ["word"; 30].join(" ")), INDENT);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert!(lines[0].starts_with("      host  word word") && lines[0].len() <= WIDTH, "{told}");
        assert!(lines[1].starts_with("            word") && lines[1].len() <= WIDTH, "{told}");
        assert_eq!(lines[2], format!("            {long}"));
        assert_eq!(lines[3], "            end");
    }
}
