//! The options of `monitor`. Declarations only, like the rest of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser as _};

use super::sessions::Places;
use super::value;

/// Where the monitor is seen, and what it looks at.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "mcp-supervise monitor [OPTIONS]",
    args_override_self = true,
    max_term_width = 110
)]
pub struct Monitor {
    /// Listen at this address and port; port 0 takes a free one; beyond this machine only with --auth-token-file
    #[arg(
        long,
        value_name = "ADDR",
        env = "MCP_SUPERVISE_LISTEN",
        default_value = "127.0.0.1:7420",
        help_heading = "Access"
    )]
    pub listen: SocketAddr,

    // `None`: whoever may connect as this user may look.
    /// Let in only who knows what is in this file, as a bearer token or as a password; the file must be yours alone
    #[arg(
        long,
        value_name = "FILE",
        env = "MCP_SUPERVISE_AUTH_TOKEN_FILE",
        value_parser = PathBufValueParser::new().try_map(value::full_path),
        help_heading = "Access"
    )]
    pub auth_token_file: Option<PathBuf>,

    /// Where the sessions are.
    #[command(flatten)]
    pub places: Places,
}
