//! What the demo tells: who does what, one line each, as narrow as a terminal.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::report::{self, folded};

/// How wide the lines are, but for words that are longer.
const WIDTH: usize = 80;
/// Where what is done begins, behind who does it.
const INDENT: usize = 12;

/// Nobody reads what is told any more: no failure, and no reason to go on.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads what is told")]
pub(super) struct Unheard;

/// Tells what somebody does.
pub(super) fn tell(who: &str, what: &str) -> Result<()> {
    say(&folded(&format!("{who:>10}  "), what, INDENT, WIDTH))
}

/// Tells what comes next.
pub(super) fn title(text: &str) -> Result<()> {
    say(&format!("\n{text}\n"))
}

/// Tells something that nobody does.
pub(super) fn remark(text: &str) -> Result<()> {
    say(&folded("", text, 0, WIDTH))
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
