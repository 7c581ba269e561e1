//! Why a command has not done what was asked, as a person and a script are told: words, a hint, an exit code.

use std::fmt::Display;

use crate::{exit_code, report};

/// What has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The exit code.
    pub(super) code: i32,
    /// Words that fit after `error:`.
    pub(super) message: String,
    /// What to do about it. `None` where nobody knows.
    pub(super) hint: Option<String>,
}

impl Failure {
    /// Something that has no code of its own.
    pub(super) fn unexpected(message: impl Into<String>) -> Self {
        Self { code: exit_code::UNEXPECTED, message: message.into(), hint: None }
    }

    /// What the command line or the environment has, or has not.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: exit_code::USAGE, message: message.into(), hint: Some(hint.into()) }
    }

    /// The command could not begin.
    pub(super) fn start(error: impl Display) -> Self {
        Self::unexpected(format!("failed to start: {error}"))
    }

    /// Tells it.
    pub(super) fn tell(&self) {
        report::error(&self.message, self.hint.as_deref());
    }
}
