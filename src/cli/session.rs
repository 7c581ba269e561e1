//! The options of the session token and the gateway. Declarations only, like the rest of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::ValueEnum;
use clap::builder::{
    BoolishValueParser, NonEmptyStringValueParser, OsStringValueParser, PathBufValueParser,
    TypedValueParser as _,
};

use super::value;

/// Where the token comes from, how it is renewed, and how the server gets to the API with it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Session token")]
pub struct Session {
    /// Do everything that this kind of server needs; each option below overrides a part of it
    #[arg(long, value_name = "NAME", env = "MCP_SUPERVISE_PROFILE")]
    pub profile: Option<Profile>,

    /// Keep the token in this file: read, watched, and written when it is renewed
    #[arg(
        long,
        value_name = "FILE",
        env = "MCP_SUPERVISE_TOKEN_FILE",
        value_parser = PathBufValueParser::new().try_map(value::full_path)
    )]
    pub token_file: Option<PathBuf>,

    /// Take the token from this environment variable where the file is not there; the server does not get the variable
    #[arg(
        long,
        value_name = "VAR",
        env = "MCP_SUPERVISE_TOKEN_ENV",
        value_parser = OsStringValueParser::new().try_map(value::variable)
    )]
    pub token_env: Option<OsString>,

    /// Take for a token only what begins with this
    #[arg(long, value_name = "TEXT", env = "MCP_SUPERVISE_TOKEN_PREFIX")]
    pub token_prefix: Option<String>,

    /// Start a gateway on 127.0.0.1 to the API at this address, which puts the token on each request; with --inject-env
    /// only what the API is called and where `--renew waiaas` finds it
    #[arg(long, value_name = "URL", env = "MCP_SUPERVISE_UPSTREAM", value_parser = NonEmptyStringValueParser::new())]
    pub upstream: Option<String>,

    /// Tell the server the gateway's address in this variable
    #[arg(
        long,
        value_name = "VAR",
        env = "MCP_SUPERVISE_UPSTREAM_ENV",
        value_parser = OsStringValueParser::new().try_map(value::variable)
    )]
    pub upstream_env: Option<OsString>,

    // A minute: agents' own requests for a completion take half of it.
    /// Answer for the API when it has not begun to answer after this time; 0 waits for ever
    #[arg(
        long,
        value_name = "DURATION",
        env = "MCP_SUPERVISE_UPSTREAM_TIMEOUT",
        default_value = "60s",
        value_parser = value::duration
    )]
    pub upstream_timeout: Duration,

    /// Trust the certificates in this PEM file too
    #[arg(
        long,
        value_name = "FILE",
        env = "MCP_SUPERVISE_UPSTREAM_CA",
        value_parser = PathBufValueParser::new().try_map(value::full_path)
    )]
    pub upstream_ca: Option<PathBuf>,

    /// Give the server a worthless stand-in in this variable, which only the gateway takes [default: a secret path in
    /// the gateway's address]
    #[arg(
        long,
        value_name = "VAR",
        env = "MCP_SUPERVISE_STAND_IN_ENV",
        value_parser = OsStringValueParser::new().try_map(value::variable)
    )]
    pub stand_in_env: Option<OsString>,

    /// Give the server the token itself in this variable, and start the server again when it is another one; for servers
    /// that cannot be sent to a gateway
    #[arg(
        long,
        value_name = "VAR",
        env = "MCP_SUPERVISE_INJECT_ENV",
        value_parser = OsStringValueParser::new().try_map(value::variable),
        conflicts_with_all = ["upstream_env", "stand_in_env"]
    )]
    pub inject_env: Option<OsString>,

    /// With --inject-env: a failed tool says that the token was refused if this is in its text [default: `401`,
    /// `unauthorized`, or that a token or session has expired]
    #[arg(
        long,
        value_name = "REGEX",
        env = "MCP_SUPERVISE_REFUSED_PATTERN",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub refused_pattern: Option<String>,

    /// With --inject-env: make a refused call again with the new token also if its tool is not declared safe to repeat;
    /// it may then be carried out twice
    #[arg(
        long = "repeat-on-401",
        env = "MCP_SUPERVISE_REPEAT_ON_401",
        value_parser = BoolishValueParser::new()
    )]
    pub repeat_on_401: bool,

    /// Keep this variable from the server; may be given more than once, or several separated by `:`
    #[arg(
        long,
        value_name = "VAR",
        env = "MCP_SUPERVISE_HIDE_ENV",
        value_parser = OsStringValueParser::new().try_map(value::variable),
        value_delimiter = ':',
        action = ArgAction::Append
    )]
    pub hide_env: Vec<OsString>,

    /// Send the token in this header
    #[arg(long, value_name = "NAME", env = "MCP_SUPERVISE_AUTH_HEADER", default_value = "authorization")]
    pub auth_header: String,

    /// Put this word before the token; nothing where it is empty
    #[arg(long, value_name = "WORD", env = "MCP_SUPERVISE_AUTH_SCHEME", default_value = "Bearer")]
    pub auth_scheme: String,

    /// Renew the token as this kind of API has it
    #[arg(long, value_name = "KIND", env = "MCP_SUPERVISE_RENEW")]
    pub renew: Option<Renew>,

    /// Renew the token by a request to this address; `{session}` in it is the session's id
    #[arg(
        long,
        value_name = "URL",
        env = "MCP_SUPERVISE_RENEW_URL",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with = "renew"
    )]
    pub renew_url: Option<String>,

    /// Use this method for it
    #[arg(long, value_name = "METHOD", env = "MCP_SUPERVISE_RENEW_METHOD", default_value = "POST")]
    pub renew_method: String,

    /// Find the new token here in the answer, a JSON pointer
    #[arg(
        long,
        value_name = "POINTER",
        env = "MCP_SUPERVISE_RENEW_TOKEN_PATH",
        default_value = "/token",
        value_parser = value::pointer
    )]
    pub renew_token_path: String,

    // 0.6: the daemon allows it from half of the life on, and what is left is time enough for trying again.
    /// Renew the token after this part of its life
    #[arg(
        long,
        value_name = "FRACTION",
        env = "MCP_SUPERVISE_RENEW_AT",
        default_value = "0.6",
        value_parser = value::fraction
    )]
    pub renew_at: f64,

    /// Answer tool calls while the session has expired, or relay them to the server all the same
    #[arg(long, value_name = "WHAT", env = "MCP_SUPERVISE_ON_EXPIRED", default_value = "answer")]
    pub on_expired: OnExpired,
}

impl Session {
    /// Whether these options say where a token is.
    pub fn names_a_token(&self) -> bool {
        self.profile.is_some() || self.token_file.is_some() || self.token_env.is_some()
    }
}

/// What a profile is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// The MCP server of a `WAIaaS` daemon.
    Waiaas,
}

/// A way of renewing tokens that needs no further options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Renew {
    /// That of a `WAIaaS` daemon, at the address of `--upstream`.
    Waiaas,
    /// None.
    None,
}

/// What becomes of tool calls while the session has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnExpired {
    /// They are answered with guidance, but for one every 5 s.
    #[default]
    Answer,
    /// The server gets them.
    Relay,
}
