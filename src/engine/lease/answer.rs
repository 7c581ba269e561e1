//! What an API means by its answer to a renewal: the code decides, and where there is none that we know, the status.

use std::time::Duration;

/// An answer to a renewal that brought no token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The error's `code`, where one could be read.
    pub code: Option<String>,
    /// How long it asks us to wait, by `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The token is younger than the API thought: once more, a little later.
    TooEarly,
    /// The session does not end.
    Unlimited,
    /// It ends when it ends, and is not renewed again.
    NoMore,
    /// Somebody else has renewed it.
    Overtaken,
    /// It is over.
    Over,
    /// That says nothing about the session: once more, later.
    Later,
}

impl Answer {
    pub(super) fn meaning(&self) -> Meaning {
        match (self.code.as_deref(), self.status) {
            (Some("RENEWAL_TOO_EARLY"), _) => Meaning::TooEarly,
            (Some("RENEWAL_NOT_REQUIRED"), _) => Meaning::Unlimited,
            (
                Some(
                    "RENEWAL_LIMIT_REACHED"
                    | "RENEWAL_LIMIT_EXCEEDED"
                    | "SESSION_ABSOLUTE_LIFETIME_EXCEEDED"
                    | "SESSION_LIFETIME_EXPIRED",
                ),
                _,
            ) => Meaning::NoMore,
            // The guard in front of everything says so, and nothing of the session, under 409 too.
            (Some("KILL_SWITCH_ACTIVE" | "SYSTEM_LOCKED"), _) => Meaning::Later,
            (Some("SESSION_RENEWAL_MISMATCH" | "RENEWAL_CONFLICT"), _) | (_, 409) => Meaning::Overtaken,
            // A 404 without that word may as well come from a wrong URL, and a 401 with another one from a proxy.
            (Some("INVALID_TOKEN" | "TOKEN_EXPIRED" | "SESSION_REVOKED" | "SESSION_NOT_FOUND"), _)
            | (None, 401) => Meaning::Over,
            _ => Meaning::Later,
        }
    }

    /// The answer in a few words, for logs: no text of the API's own is in it but its code.
    pub(super) fn words(&self) -> String {
        match &self.code {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}
