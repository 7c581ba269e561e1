//! The last thing that went wrong with the server, as it is kept for later messages.

use super::cause::{Cause, CommandLine, Ending, NOT_FOUND, last_words};
use crate::engine::guidance::exit_words;
use crate::engine::process::{Exit, SpawnFault};

/// Consecutive exits with the same last words after which another attempt is assumed to end the same way.
const SAME: u32 = 6;

/// The last thing that went wrong with the server.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Trouble {
    /// How it ended. A shell's code that means a signal is that signal. `None` if it did not even start.
    pub(super) exit: Option<Exit>,
    /// What it last wrote to stderr, masked.
    pub(super) tail: String,
    /// Why it could not be started, and in the system's words, masked.
    pub(super) fault: Option<(SpawnFault, String)>,
    /// Why we ended it, where we did: one clause, masked.
    pub(super) reason: Option<String>,
    /// The cause, as judged from all this.
    pub(super) cause: Cause,
    /// How many exits in a row were alike, this one included.
    times: u32,
}

impl Trouble {
    /// The command could not be started; `said` is in the system's words.
    pub(in crate::engine) fn spawn(fault: SpawnFault, said: String, command: CommandLine<'_>) -> Self {
        let cause = Cause::of_fault(fault, &said, command);
        Self { exit: None, tail: String::new(), fault: Some((fault, said)), reason: None, cause, times: 0 }
    }

    /// The server ended. `reason` is why we ended it, where we did.
    pub(in crate::engine) fn end(
        ending: Ending<'_>,
        reason: Option<String>,
        command: CommandLine<'_>,
    ) -> Self {
        let cause = if reason.is_some() { Cause::Ended } else { Cause::of_end(ending, command) };
        let exit = ending.exit.map(|exit| super::meaning(exit, command));
        let times = u32::from(reason.is_none());
        Self { exit, tail: ending.tail.to_owned(), fault: None, reason, cause, times }
    }

    /// The same, with the count continued if the trouble before it was alike.
    pub(in crate::engine) fn after(mut self, before: Option<&Self>) -> Self {
        let alike = |before: &&Self| {
            self.times > 0
                && before.times > 0
                && before.exit == self.exit
                && last_words(&before.tail) == last_words(&self.tail)
        };
        self.times += before.filter(alike).map_or(0, |before| before.times);
        self
    }

    /// Restarts the count, because what came before no longer matters.
    pub(in crate::engine) fn forgive(&mut self) {
        self.times = self.times.min(1);
    }

    /// Whether the server ended by itself, and was not ended by us.
    pub(in crate::engine) fn is_its_own(&self) -> bool {
        self.fault.is_none() && self.reason.is_none()
    }

    /// Whether another attempt fails in the same way until a person has changed something.
    pub(super) fn is_permanent(&self) -> bool {
        self.cause.is_permanent() || self.is_always_the_same()
    }

    /// Whether a command that it starts may not have been found, and another `PATH` may have it. The code alone is no
    /// proof, but reason enough to look.
    pub(in crate::engine) fn lacks_command(&self) -> bool {
        let unexplained = matches!(
            self.cause,
            Cause::NotFoundInside | Cause::UnexpandedArgument(_) | Cause::PerhapsUnexpanded(_) | Cause::Ended
        );
        unexplained && self.exit == Some(NOT_FOUND)
    }

    /// Whether it has ended in the same way so often that it is expected to again.
    pub(super) fn is_always_the_same(&self) -> bool {
        self.times >= SAME
    }

    /// One clause: "it exited with code 1".
    pub(super) fn clause(&self) -> String {
        let ended = match (&self.reason, self.exit) {
            (Some(reason), _) => return reason.clone(),
            (None, Some(exit @ Exit::Code(_))) => format!("it {}", exit_words(exit, false)),
            (None, Some(exit @ Exit::Signal(_))) => format!("it was {}", exit_words(exit, false)),
            (None, None) => "it could not be ended".to_owned(),
        };
        let clause = self.cause.clause(ended);
        if self.is_always_the_same() {
            format!("{clause}, {} times in a row with the same output", self.times)
        } else {
            clause
        }
    }
}
