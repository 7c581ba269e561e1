//! The options of `setup`. Declarations only, like the rest of the command line.
//!
//! Their environment variables are the daemon's own, so that what is set for it holds here too. There is none for the
//! master password among them, and no option: `command::setup` reads it from where nobody else sees it.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{NonEmptyStringValueParser, PathBufValueParser, TypedValueParser as _};

use super::value;
use super::wrap::Host;
use crate::exit_code;

/// What the environment variables of these options begin with, but for one that `run` has too.
pub const VARIABLES: &str = "WAIAAS_";

/// Of which daemon a session is obtained, for which wallet, on which terms.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "mcp-supervise setup [OPTIONS]",
    args_override_self = true,
    max_term_width = 110,
    after_help = exit_codes()
)]
pub struct Setup {
    /// Ask the daemon at this address
    #[arg(
        long,
        value_name = "URL",
        env = "WAIAAS_BASE_URL",
        default_value = "http://127.0.0.1:3100",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Daemon"
    )]
    pub base_url: String,

    // `None`: `~/.waiaas`.
    /// Keep the token in the folder mcp-tokens of this directory, which is the daemon's own [default: ~/.waiaas]
    #[arg(
        long,
        value_name = "DIR",
        env = "WAIAAS_DATA_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Daemon"
    )]
    pub waiaas_dir: Option<PathBuf>,

    // `None`: the environment has it, or it is asked for at the terminal.
    /// Read the master password from this file, unless `WAIAAS_MASTER_PASSWORD` has it [default: ask at the terminal]
    #[arg(
        long,
        value_name = "FILE",
        env = "WAIAAS_MASTER_PASSWORD_FILE",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Daemon"
    )]
    pub password_file: Option<PathBuf>,

    /// Trust the certificates in this PEM file too
    #[arg(
        long,
        value_name = "FILE",
        env = "MCP_SUPERVISE_UPSTREAM_CA",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Daemon"
    )]
    pub upstream_ca: Option<PathBuf>,

    // `None`: the only one that there is, or with `all` each of them.
    /// Obtain a session for the wallet with this id or name [default: the only one that the daemon has]
    #[arg(
        long,
        value_name = "WALLET",
        env = "WAIAAS_WALLET_ID",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with_all = ["all", "together"],
        help_heading = "Wallets"
    )]
    pub wallet: Option<String>,

    /// Obtain a session for each wallet that the daemon has
    #[arg(long, help_heading = "Wallets")]
    pub all: bool,

    /// Obtain one session for several wallets, for a server without `WAIAAS_WALLET_ID`: those that it had, or all
    #[arg(long, conflicts_with = "all", help_heading = "Wallets")]
    pub together: bool,

    // `None`: the daemon decides.
    /// Let the token last this long before it has to be renewed, from 300s to 8760h [default: the daemon's]
    #[arg(long, value_name = "DURATION", value_parser = value::session_life, help_heading = "Sessions")]
    pub ttl: Option<Duration>,

    // `None`: the daemon decides.
    /// Let the session be renewed this often at most [default: the daemon's]
    #[arg(long, value_name = "N", help_heading = "Sessions")]
    pub max_renewals: Option<u32>,

    // `None`: the daemon decides.
    /// Let the session end after this time, however often it was renewed [default: the daemon's]
    #[arg(long, value_name = "DURATION", value_parser = value::seconds, help_heading = "Sessions")]
    pub absolute_lifetime: Option<Duration>,

    /// Obtain the token in this way
    #[arg(long, value_name = "WAY", default_value = "sessions", help_heading = "Sessions")]
    pub via: Via,

    /// Revoke the session whose token was in the file, once the new token is in its place
    #[arg(long, help_heading = "Sessions")]
    pub revoke_old: bool,

    /// Write the entry into a config too, unless a server of its name or its wallet is there, and keep what the config was
    #[arg(long, help_heading = "Config")]
    pub write: bool,

    /// Put the supervisor before a server of the same wallet that the config has without it [default: ask at the terminal]
    #[arg(long, requires = "write", help_heading = "Config")]
    pub replace: bool,

    // `None`: `config` names it.
    /// Write it into the config of this host, that of the user; the names are those of `wrap`
    #[arg(long, value_name = "HOST", requires = "write", help_heading = "Config")]
    pub host: Option<Host>,

    // `None`: where the host has it.
    /// Write it into this file, in the form of the host's configs
    #[arg(
        long,
        value_name = "FILE",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        requires = "write",
        help_heading = "Config"
    )]
    pub config: Option<PathBuf>,

    // `None`: the platform's directory for the state of programs.
    /// Keep what the config was in this directory [default: the platform's directory for state]
    #[arg(
        long,
        value_name = "DIR",
        env = "MCP_SUPERVISE_DATA_DIR",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Config"
    )]
    pub data_dir: Option<PathBuf>,

    /// Tell what was done in this form; neither of them has a token in it
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub output: Output,
}

/// Who writes the token file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// The daemon answers with the token, which we write to the file.
    Sessions,
    /// The daemon writes the file itself; only `--ttl` can be chosen then.
    McpTokens,
}

/// How it is told what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For a person.
    Text,
    /// For a program: one JSON object, whose fields are in the manual.
    Json,
}

/// The end of the help.
fn exit_codes() -> String {
    exit_code::listed(&[exit_code::OF_SETUP, exit_code::OF_CONFIGS].concat())
}
