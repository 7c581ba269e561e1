//! The command line: declarations only. Help, man page and completions come from here, and nowhere else is an option,
//! its default or its environment variable named.
//!
//! `run` is the command that a host's config names, so it needs no name: the first word that is no command or option of
//! ours starts the server's command, and everything after it belongs to the server. How words become one [`Command`] is
//! in [`parse`](mod@parse), how texts become durations and sizes in [`value`]. Nothing in here acts or prints.

pub mod check;
mod help;
pub mod monitor;
pub mod parse;
pub mod session;
pub mod sessions;
pub mod setup;
pub mod value;
pub mod wrap;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{
    BoolishValueParser, NonEmptyStringValueParser, PathBufValueParser, TypedValueParser as _,
};
use clap::{ArgAction, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

pub use parse::{Refusal, UsageError, is_setting, is_setting_of_setup, parse};

/// The whole command line as clap sees it. Callers get a [`Command`] from [`parse()`] instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "mcp-supervise",
    version,
    about = "Supervise a stdio MCP server, so that its host never sees it disconnect",
    long_about = "Supervise a stdio MCP server, so that its host never sees it disconnect\n\n\
        Put `mcp-supervise --` before the server's command in the host's config. \
        The server is restarted when it dies, every request gets one answer, \
        and when something fails the chat is told what happened and what to do.\n\n\
        Every option of `run` can be set by an environment variable too. \
        Durations are written as 250ms, 10s, 5m or 1h, sizes as 65536, 64KiB or 10MiB.",
    override_usage = "mcp-supervise [OPTIONS] [--] CMD...\n       mcp-supervise COMMAND",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_value_name = "COMMAND",
    args_override_self = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What to do. `None` for `run` without its name.
    #[command(subcommand)]
    command: Option<Command>,
    /// The options of `run` without its name. Meaningless when there is a command.
    #[command(flatten)]
    run: Run,
}

/// What the person or the host asked for.
#[expect(clippy::large_enum_variant, reason = "there is one of it in the life of the program")]
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Supervise one server on stdin and stdout, as without a command
    Run(Run),
    /// Obtain a session from a daemon, and the entry for a host's config
    Setup(setup::Setup),
    /// Show the servers that run, and those that ran before
    Status(sessions::Status),
    /// Start a server anew; its host keeps the connection
    Restart(sessions::Restart),
    /// End a server and its supervisor; its host loses it
    Stop(sessions::Target),
    /// Show all servers of this user on a web page, with API and metrics
    Monitor(monitor::Monitor),
    /// Tell whether a server is sound: a smoke test for CI
    Check(check::Check),
    /// Put the supervisor before the servers in the configs of hosts
    Wrap(wrap::Wrap),
    /// Take the supervisor out of the configs of hosts again
    Unwrap(wrap::Wrap),
    /// Show the whole story in ten seconds, with a server that crashes
    Demo {
        /// Be the server of the demo
        #[arg(long, hide = true)]
        serve: bool,
    },
    /// Print shell completions
    Completions {
        /// Write for this shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// How to supervise, and what.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "mcp-supervise run [OPTIONS] [--] CMD...",
    args_override_self = true,
    max_term_width = 110
)]
pub struct Run {
    /// Run this server; what starts with a dash after its first word is the server's own
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        num_args = 1..,
        value_hint = ValueHint::CommandWithArguments
    )]
    pub command: Vec<OsString>,

    // `None`: the name is derived from the command, by `command::name`.
    /// Call the server this in logs and answers [default: the package or script in CMD]
    #[arg(long, value_name = "NAME", env = "MCP_SUPERVISE_NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,

    /// Answer for the server, and try it only now and then, after more crashes than this in the window
    #[arg(
        long,
        value_name = "N",
        env = "MCP_SUPERVISE_MAX_RESTARTS",
        default_value_t = 5,
        help_heading = "Restarting"
    )]
    pub max_restarts: u32,

    /// Count the crashes of this much time
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_RESTART_WINDOW",
        default_value = "60s",
        value_parser = value::duration,
        help_heading = "Restarting"
    )]
    pub restart_window: Duration,

    /// Wait this long before the second restart in a row, and twice as long each time after; 0 turns waiting off
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_BACKOFF_INITIAL",
        default_value = "250ms",
        value_parser = value::duration,
        help_heading = "Restarting"
    )]
    pub backoff_initial: Duration,

    /// Wait no longer than this before a restart; the smaller of the two wins
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_BACKOFF_MAX",
        default_value = "30s",
        value_parser = value::duration,
        help_heading = "Restarting"
    )]
    pub backoff_max: Duration,

    /// Send requests that were in flight at a crash again: those that are safe to repeat, or none
    #[arg(
        long,
        value_name = "WHICH",
        env = "MCP_SUPERVISE_REPLAY",
        default_value = "safe",
        help_heading = "Restarting"
    )]
    pub replay: Replay,

    /// Let a request wait this long for a server that is on its way
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_HOLD",
        default_value = "10s",
        value_parser = value::duration,
        help_heading = "Waiting"
    )]
    pub hold: Duration,

    /// Give the server this long to greet before the host is greeted as the server did in an earlier run
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_INIT_GRACE",
        default_value = "2s",
        value_parser = value::duration,
        help_heading = "Waiting"
    )]
    pub init_grace: Duration,

    // `None`: 25 s, 50 s for a host that calls itself `claude-ai`, 2.5 s for `claude-code`: known only once it has spoken.
    /// Let the host wait this long for the server's greeting [default: 25s, for Claude Desktop 50s, for Claude Code 2.5s]
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_INIT_TIMEOUT",
        value_parser = value::duration,
        help_heading = "Waiting"
    )]
    pub init_timeout: Option<Duration>,

    /// Give the host its greeting and lists from an earlier run at once, while the server starts
    #[arg(
        long,
        env = "MCP_SUPERVISE_INSTANT_START",
        value_parser = BoolishValueParser::new(),
        help_heading = "Waiting"
    )]
    pub instant_start: bool,

    /// Ping an idle server this often; a server that is silent three times is pinged again before its next request, and
    /// restarted if it stays silent; 0 turns this off
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_PING_INTERVAL",
        default_value = "60s",
        value_parser = value::duration,
        help_heading = "Hanging"
    )]
    pub ping_interval: Duration,

    // `None`: a call may take as long as it takes.
    /// Answer a tool call that takes longer than this, and cancel it at the server; 0 turns this off [default: off]
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_CALL_TIMEOUT",
        value_parser = value::duration,
        help_heading = "Hanging"
    )]
    pub call_timeout: Option<Duration>,

    // On the command line each is one path, whatever is in it. In the variable `parse` lets `:` separate them.
    /// Restart the server when this file, or anything below this directory, changes; may be given more than once, in the
    /// variable separated by `:`
    #[arg(
        long,
        value_name = "PATH",
        env = "MCP_SUPERVISE_WATCH",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        action = ArgAction::Append,
        help_heading = "Restarting"
    )]
    pub watch: Vec<PathBuf>,

    // `None`: the platform's directory for the state of programs.
    /// Keep what is stored in this directory [default: the platform's directory for state]
    #[arg(
        long,
        value_name = "DIR",
        env = "MCP_SUPERVISE_DATA_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Storing"
    )]
    pub data_dir: Option<PathBuf>,

    // Of sessions that are over.
    /// Keep the record of sessions for this long, as 90d or 12h, and of the last 100 for longer
    #[arg(
        long,
        value_name = "AGE",
        env = "MCP_SUPERVISE_KEEP",
        default_value = "90d",
        value_parser = value::age,
        help_heading = "Storing"
    )]
    pub keep: Duration,

    // `None`: see `datadir`.
    /// Open the control socket in this directory [default: the user's directory for sockets]
    #[arg(
        long,
        value_name = "DIR",
        env = "MCP_SUPERVISE_RUNTIME_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Storing"
    )]
    pub runtime_dir: Option<PathBuf>,

    /// Store nothing, and read nothing that was stored
    #[arg(
        long,
        env = "MCP_SUPERVISE_NO_STORE",
        value_parser = BoolishValueParser::new(),
        help_heading = "Storing"
    )]
    pub no_store: bool,

    /// Give the server this long to exit after its stdin is closed, before SIGTERM
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_STOP_GRACE",
        default_value = "5s",
        value_parser = value::duration,
        help_heading = "Stopping"
    )]
    pub stop_grace: Duration,

    /// Give the server this long to exit after SIGTERM, before SIGKILL
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_TERM_GRACE",
        default_value = "2s",
        value_parser = value::duration,
        help_heading = "Stopping"
    )]
    pub term_grace: Duration,

    // In bytes, the line feed not counted.
    /// Read lines of up to this size
    #[arg(
        long,
        value_name = "SIZE",
        env = "MCP_SUPERVISE_MAX_LINE",
        default_value = "64MiB",
        value_parser = value::size,
        help_heading = "Limits"
    )]
    pub max_line: usize,

    // In bytes. Hosts cut the connection at 10 MiB: the default, 10 MiB - 64 KiB, stays below it.
    /// Hand lines of up to this size to the host, and tell it of larger ones
    #[arg(
        long,
        value_name = "SIZE",
        env = "MCP_SUPERVISE_MAX_ANSWER",
        default_value = "10176KiB",
        value_parser = value::size,
        help_heading = "Limits"
    )]
    pub max_answer: usize,

    /// Log what is at least this important
    #[arg(
        long,
        value_name = "LEVEL",
        env = "MCP_SUPERVISE_LOG",
        default_value = "warn",
        help_heading = "Logging"
    )]
    pub log: Level,

    // `None`: to stderr.
    /// Append the log to this file [default: write it to stderr]
    #[arg(
        long,
        value_name = "FILE",
        env = "MCP_SUPERVISE_LOG_FILE",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Logging"
    )]
    pub log_file: Option<PathBuf>,

    /// Write the log as text or as one JSON object a line
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MCP_SUPERVISE_LOG_FORMAT",
        default_value = "text",
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,

    /// The session token.
    #[command(flatten)]
    pub session: session::Session,
}

/// Which requests that were in flight at a crash are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Replay {
    /// Those that the protocol or the server declares safe to repeat.
    Safe,
    /// None of them.
    None,
}

/// How important an event must be to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Nothing.
    Off,
    /// What ended or would end the relay.
    Error,
    /// What is worth a person's attention.
    Warn,
    /// One line per event in a server's life.
    Info,
    /// One line per request.
    Debug,
    /// One line per message that was not handed on.
    Trace,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// The clap definitions that help, man page, completions and parsing share.
pub fn definitions() -> clap::Command {
    definitions_with(|arg| arg)
}

/// The definitions with each argument changed by this.
fn definitions_with(change: impl Copy + Fn(clap::Arg) -> clap::Arg) -> clap::Command {
    let refine = |arg: clap::Arg| {
        // A negative number must be refused as a bad value and not as an unknown option.
        let number = arg.get_value_names().is_some_and(|names| {
            ["N", "DURATION", "SIZE", "AGE"].iter().any(|name| names[0].as_str() == *name)
        });
        // Help must read the same whatever the environment holds, and must not show it.
        change(arg.hide_env_values(true).allow_hyphen_values(number))
    };
    Cli::command().mut_args(refine).mut_subcommands(|command| command.mut_args(refine))
}
