//! What the engine is told once, at its start, and the documented defaults.

use std::ffi::OsString;
use std::time::Duration;

use super::backoff::Limits;
use super::ladder::Graces;
use super::story::CommandLine;
use super::upstream::Session;
use crate::mask::Mask;

/// Which requests in flight at a crash are sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Those that are safe to repeat by their method or by what their tool declares.
    #[default]
    Safe,
    /// None.
    Never,
}

/// What the engine is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's name, as it is shown everywhere.
    pub name: String,
    /// The server's command line for hints, secrets masked.
    pub command: String,
    /// The words of it, each masked.
    pub words: Vec<String>,
    /// The first line of the command's file, without `#!`. `None` where it is no script, or none was found.
    pub script: Option<String>,
    /// The limits of restarting.
    pub restarts: Limits,
    /// How long a request waits for a server that is on its way.
    pub hold: Duration,
    /// How long a greeting waits for a server when an earlier greeting of it is known.
    pub init_grace: Duration,
    /// What earlier runs have left is given to the host at once, as long as the server has not served.
    pub instant_start: bool,
    /// How often an idle server is asked whether it lives. Zero: never.
    pub ping_interval: Duration,
    /// How long a tool call may take. `None` or zero: as long as it takes.
    pub call_timeout: Option<Duration>,
    /// Whether the command is a bare name, which is looked for in the `PATH`.
    pub bare_command: bool,
    /// Our own `PATH`. `None` if there is none.
    pub path: Option<OsString>,
    /// How long a greeting waits for a server before we answer it. `None`: as the host's own limit allows.
    pub init_timeout: Option<Duration>,
    /// Which requests are repeated.
    pub repeat: Repeat,
    /// The pace of the ladders.
    pub graces: Graces,
    /// The longest line that is handed to the host, in bytes.
    pub max_answer: usize,
    /// Decides the jitter of the back-off.
    pub seed: u64,
    /// What may not be shown.
    pub mask: Mask,
    /// The session that the server needs. `None` if it needs none of ours.
    pub session: Option<Session>,
}

impl Config {
    /// The command line, as far as words about it need it.
    pub(super) fn command_line(&self) -> CommandLine<'_> {
        CommandLine { words: &self.words, script: self.script.as_deref() }
    }
}

impl Default for Config {
    /// The documented defaults, for a server named `server`.
    fn default() -> Self {
        Self {
            name: "server".to_owned(),
            command: "server".to_owned(),
            words: vec!["server".to_owned()],
            script: None,
            restarts: Limits {
                max_restarts: 5,
                window: Duration::from_secs(60),
                initial: Duration::from_millis(250),
                max: Duration::from_secs(30),
            },
            hold: Duration::from_secs(10),
            init_grace: Duration::from_secs(2),
            instant_start: false,
            ping_interval: Duration::from_secs(60),
            call_timeout: None,
            bare_command: true,
            path: None,
            init_timeout: None,
            repeat: Repeat::Safe,
            graces: Graces { stop: Duration::from_secs(5), term: Duration::from_secs(2) },
            max_answer: 10 * 1024 * 1024 - 64 * 1024,
            seed: 0,
            mask: Mask::default(),
            session: None,
        }
    }
}
