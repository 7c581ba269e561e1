//! The options of `status`, `restart` and `stop`: which sessions, and where they are found. Declarations only.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PathBufValueParser, TypedValueParser as _};

use super::value;
use crate::exit_code;

/// Where sessions are recorded, and where those that run are asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Places {
    // `None`: the platform's directory for the state of programs.
    /// Read the record of sessions in this directory [default: the platform's directory for state]
    #[arg(
        long,
        value_name = "DIR",
        env = "MCP_SUPERVISE_DATA_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Places"
    )]
    pub data_dir: Option<PathBuf>,

    // `None`: see `datadir`.
    /// Look for control sockets in this directory [default: the user's directory for sockets]
    #[arg(
        long,
        value_name = "DIR",
        env = "MCP_SUPERVISE_RUNTIME_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Places"
    )]
    pub runtime_dir: Option<PathBuf>,
}

/// What is shown of them.
#[derive(Clone, Debug, clap::Args)]
#[command(override_usage = "mcp-supervise status [OPTIONS]", args_override_self = true, max_term_width = 110)]
pub struct Status {
    /// Print one JSON object, whose fields are in the manual
    #[arg(long)]
    pub json: bool,

    /// Print what belongs into a bug report: versions, options, the last events, without secrets
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub report: bool,

    /// Show it anew whenever something has changed, until interrupted
    #[arg(long)]
    pub watch: bool,

    /// Show this many of the sessions that ended last
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub recent: u32,

    /// Where they are.
    #[command(flatten)]
    pub places: Places,
}

/// One that runs.
#[derive(Clone, Debug, clap::Args)]
#[command(args_override_self = true, max_term_width = 110, after_help = exit_codes())]
pub struct Target {
    /// The server's name, or its session's id as `status` shows it, or the end of that
    #[arg(value_name = "NAME|ID", value_parser = NonEmptyStringValueParser::new())]
    pub server: String,

    /// Where they are.
    #[command(flatten)]
    pub places: Places,
}

/// Options of `restart`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_override_self = true, max_term_width = 110, after_help = exit_codes())]
pub struct Restart {
    /// Send SIGTERM 1 s after the server's stdin is closed, which leaves it little time to save
    #[arg(long)]
    pub now: bool,

    /// The server to restart.
    #[command(flatten)]
    pub target: Target,
}

/// The end of the help.
fn exit_codes() -> String {
    exit_code::listed(exit_code::OF_ORDERS)
}
