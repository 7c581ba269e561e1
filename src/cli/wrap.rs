//! The options of `wrap` and `unwrap`: which servers of which configs. Declarations only.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{PathBufValueParser, TypedValueParser as _};

use super::value;
use crate::exit_code;

/// Which servers, of which configs, and whether they are changed.
#[derive(Clone, Debug, clap::Args)]
#[command(args_override_self = true, max_term_width = 110, after_help = exit_codes())]
pub struct Wrap {
    // None named: all of them.
    /// Change these servers, by their keys in the config [default: all that can be]
    #[arg(value_name = "SERVER")]
    pub servers: Vec<String>,

    // None named: all of them.
    /// Look into the configs of this host only; can be given several times
    #[arg(long, value_name = "HOST")]
    pub host: Vec<Host>,

    /// Look into this file only, whichever host reads it; can be given several times
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(value::full_path))]
    pub config: Vec<PathBuf>,

    // Without it their servers are shown, and left alone.
    /// Change the configs too that others share: `.mcp.json` and the like in a repository
    #[arg(long)]
    pub project: bool,

    /// Show every server of every config, and change nothing
    #[arg(long, conflicts_with_all = ["yes", "dry_run"])]
    pub list: bool,

    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Change it without asking
    #[arg(long, short)]
    pub yes: bool,

    // `None`: the platform's directory for the state of programs.
    /// Keep what the configs were in this directory [default: the platform's directory for state]
    #[arg(
        long,
        value_name = "DIR",
        env = "MCP_SUPERVISE_DATA_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Places"
    )]
    pub data_dir: Option<PathBuf>,
}

/// A program that starts servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Host {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code: of the project, of the user, and of the user for single projects.
    ClaudeCode,
    /// Cursor: of the project, and of the user.
    Cursor,
    /// Visual Studio Code: of the project, and of the user with all profiles.
    Vscode,
    /// GitHub Copilot, in its command line and in VS Code.
    Copilot,
    /// Windsurf.
    Windsurf,
    /// The MCP Inspector.
    Inspector,
}

/// The end of the help.
fn exit_codes() -> String {
    exit_code::listed(&[exit_code::OF_CONFIGS, exit_code::OF_WRAP].concat())
}
