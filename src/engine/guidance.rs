//! What the model in the chat is told when a call cannot be served: one JSON object, and the sentences in it.
//!
//! The sentences are for the person; the fields are for programs. Every text is masked before it gets in here.

use serde::Serialize;

use super::process::Exit;

/// Which state of the connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no server: it does not start, or keeps crashing; or too much is waiting for it.
    ServerUnavailable,
    /// The server died with the request in flight.
    ServerRestarted,
    /// The request waited longer than it may.
    ServerTimeout,
    /// The answer is longer than the host would take.
    AnswerTooLarge,
    /// The answer is no JSON.
    AnswerUnreadable,
    /// The session token is over, and nothing has renewed it.
    SessionExpired,
    /// The API behind the server does not answer.
    DaemonUnavailable,
    /// The API behind the server says that it is locked.
    KillSwitchActive,
}

impl Status {
    /// The word in the JSON object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerUnavailable => "server_unavailable",
            Self::ServerRestarted => "server_restarted",
            Self::ServerTimeout => "server_timeout",
            Self::AnswerTooLarge => "answer_too_large",
            Self::AnswerUnreadable => "answer_unreadable",
            Self::SessionExpired => "session_expired",
            Self::DaemonUnavailable => "daemon_unavailable",
            Self::KillSwitchActive => "kill_switch_active",
        }
    }
}

/// Whether the request had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No server has read it.
    NotExecuted,
    /// A server may have carried it out, in whole or in part.
    Unknown,
}

/// The object.
#[derive(Clone, Debug, Serialize)]
pub struct Guidance {
    /// The state.
    pub status: Status,
    /// One sentence for the person.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Whether the same request, made again, can be expected to be served.
    pub retryable: bool,
    /// Whether it had an effect. `None` where nothing was to be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When to try again, in milliseconds. `None` where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The server's name.
    pub server: String,
    /// How the server last ended: `code 1`, `signal 9`. `None` if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// How many times the server has been restarted. `None` if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// The last lines that the server wrote to stderr, masked. `None` where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
    /// The server's or the system's own text. `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Guidance {
    /// As JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An exit in words: `exited with code 1`, `killed by signal 9 (SIGKILL), perhaps out of memory`. There is no guess where
/// the signal may be ours.
pub fn exit_words(exit: Exit, by_us: bool) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => {
            let name = signal_name(signal).map_or_else(String::new, |name| format!(" ({name})"));
            let perhaps = if signal == 9 && !by_us { ", perhaps out of memory" } else { "" };
            format!("killed by signal {signal}{name}{perhaps}")
        }
    }
}

/// The signals whose numbers are the same on Linux and macOS, and that end processes.
pub(super) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}

/// The last whole lines of a text, at most `most` bytes of them.
pub fn last_lines(text: &str, most: usize) -> &str {
    let text = text.trim_end();
    if text.len() <= most {
        return text.trim_start_matches(['\r', '\n']);
    }
    let mut start = text.len() - most;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    match text[start..].find('\n') {
        Some(feed) => &text[start + feed + 1..],
        None => &text[start..],
    }
}
