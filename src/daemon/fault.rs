//! Why a request to the daemon has not done what it was for.

/// A request that has not done what it was for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Fault {
    /// What it was for, as words that fit after "failed to".
    pub what: &'static str,
    /// What came of it.
    pub why: Why,
    /// The session that was opened all the same, and that nobody has the token of. `None` where none is known.
    pub left: Option<String>,
}

/// What came of a request instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No answer.
    #[error("{reason}")]
    Unreachable {
        /// Why, in the system's words.
        reason: String,
        /// Whether the daemon may have done what it was asked for, which is more than to tell something.
        done: bool,
        /// Whether it is because nobody who is trusted vouches for the daemon's certificate.
        untrusted: bool,
    },
    /// The daemon says that the master password is another one.
    #[error("the daemon says that the master password is wrong")]
    WrongPassword,
    /// The daemon says that it has no such wallet.
    #[error("the daemon has no such wallet")]
    NoSuchWallet,
    /// The daemon says no.
    #[error("the daemon refuses: {}", in_words(code.as_deref(), message.as_deref(), *status))]
    Refused {
        /// The answer's status.
        status: u16,
        /// Its code. `None` where it has none.
        code: Option<String>,
        /// What it says for a person. `None` where it says nothing.
        message: Option<String>,
        /// What it says that a person can do. `None` where it says nothing.
        hint: Option<String>,
    },
    /// The daemon says what a daemon does not say.
    #[error("{0}")]
    NotUnderstood(String),
}

impl Fault {
    /// Whether the wallet has as many sessions as it may have.
    pub fn is_full(&self) -> bool {
        matches!(&self.why, Why::Refused { code: Some(code), .. } if code == "SESSION_LIMIT_EXCEEDED")
    }

    /// Whether this daemon, or the wallet that was asked about, has nothing of the kind.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.why, Why::NoSuchWallet | Why::Refused { status: 404 | 405 | 501, .. })
    }

    /// Whether the session that it was about is not there any more.
    pub(super) fn is_gone(&self) -> bool {
        let Why::Refused { code: Some(code), .. } = &self.why else { return false };
        matches!(code.as_str(), "SESSION_NOT_FOUND" | "SESSION_REVOKED")
    }
}

fn in_words(code: Option<&str>, message: Option<&str>, status: u16) -> String {
    match (code, message) {
        (Some(code), Some(message)) => format!("{message} ({status} {code})"),
        (Some(said), None) | (None, Some(said)) => format!("{said} ({status})"),
        (None, None) => status.to_string(),
    }
}
