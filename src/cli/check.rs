//! The options of `check`: which server, what is asked of it, how it is told. Declarations only.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser as _};
use clap::{ValueEnum, ValueHint};

use super::value;
use crate::exit_code;

/// Which server, and how.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "mcp-supervise check [OPTIONS] [--] CMD...",
    args_override_self = true,
    max_term_width = 110,
    after_help = exit_codes()
)]
pub struct Check {
    /// Check this server; what starts with a dash after its first word is the server's own
    #[arg(
        value_name = "CMD",
        required_unless_present = "list_rules",
        trailing_var_arg = true,
        num_args = 1..,
        value_hint = ValueHint::CommandWithArguments
    )]
    pub command: Vec<OsString>,

    /// Call this tool too, as 'add {"a": 1, "b": 2}'; can be given several times
    #[arg(long, value_name = "CALL", value_parser = value::call)]
    pub call: Vec<value::Call>,

    // `None`: nothing is compared.
    /// Compare what the server offers with this file
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(value::full_path))]
    pub baseline: Option<PathBuf>,

    /// Write what the server offers into the baseline, to be reviewed and committed, instead of comparing
    #[arg(long, requires = "baseline")]
    pub write_baseline: bool,

    /// Fail on findings that are at least this bad
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    pub fail_on: FailOn,

    /// Let this rule be broken; can be given several times
    #[arg(long, value_name = "RULE")]
    pub allow: Vec<String>,

    /// Print the report in this form
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,

    // The report goes there besides, whatever is printed. `None`: not written in this form.
    /// Write the report to this file too, in the form of --format json
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(value::full_path))]
    pub json: Option<PathBuf>,

    /// Write the report to this file too, in the form of --format junit
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(value::full_path))]
    pub junit: Option<PathBuf>,

    /// Write the report to this file too, in the form of --format sarif
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(value::full_path))]
    pub sarif: Option<PathBuf>,

    /// Wait this long for the server's greeting, and for each answer
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = value::duration)]
    pub timeout: Duration,

    /// End the whole check after this long, and report what it was still at work on
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = value::duration)]
    pub max_time: Duration,

    /// List the rules, and check nothing
    #[arg(long)]
    pub list_rules: bool,
}

/// From when on a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// On errors.
    Error,
    /// On warnings too.
    Warning,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
    /// For CI systems that show test results.
    Junit,
    /// For code scanning.
    Sarif,
    /// For the log of GitHub Actions.
    Github,
}

/// The end of the help.
fn exit_codes() -> String {
    exit_code::listed(exit_code::OF_CHECK)
}
