//! From the words of a command line, and the environment, to one [`Command`].
//!
//! The words are read twice: first without the environment, to learn which command is meant, then with it. So a bad
//! value in an environment variable is told by the variable's name, never hides behind an option that overrides it,
//! and never stands in the way of a command that takes no options. Where none of them is set, as in most hosts' configs,
//! the first reading stands: clap takes half a millisecond for each. Nothing in here prints or exits.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use super::setup::{Setup, VARIABLES};
use super::{Cli, Command, Run, definitions, definitions_with, help};

/// Why there is no [`Command`].
#[derive(Debug)]
pub enum Refusal {
    /// Help or version was asked for: this text, with colour codes, belongs on stdout, and all is well.
    Show(String),
    /// The words cannot be understood.
    Usage(UsageError),
}

/// A command line, or an environment variable, that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct UsageError {
    /// What is wrong, over several lines, with colour codes and with `error:` in front. Ends with a line feed.
    pub text: String,
    /// What to do about it: one line without `hint:`.
    pub hint: String,
}

/// Reads the words of a command line, the program's own name first, and the environment variables of the options:
/// `any_setting` says whether one of those is set ([`is_setting`]).
pub fn parse(words: impl IntoIterator<Item = OsString>, any_setting: bool) -> Result<Command, Refusal> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if let Some(name) = named(&words) {
        return read_named(name, &words);
    }
    let mut cli = read(plain(), &words).map_err(|error| refusal(&error))?;
    if let Some(at) = run_behind_options(&cli, &words)? {
        let name = words.remove(at);
        words.insert(1, name);
        cli = read(plain(), &words).map_err(|error| refusal(&error))?;
    }
    let named = cli.command.is_some();
    let mut run = match cli.command {
        None => cli.run,
        Some(Command::Run(run)) => run,
        Some(
            command @ (Command::Setup(_)
            | Command::Status(_)
            | Command::Restart(_)
            | Command::Stop(_)
            | Command::Monitor(_)
            | Command::Check(_)
            | Command::Wrap(_)
            | Command::Unwrap(_)
            | Command::Demo { .. }
            | Command::Completions { .. }
            | Command::Man),
        ) => return Ok(command),
    };
    if any_setting {
        run = read_with_settings(&words, named, !run.watch.is_empty())?;
    }
    if run.command.first().is_none_or(|program| program.is_empty()) {
        let message = "the server's command starts with an empty word";
        return Err(refusal(&Cli::command().error(ErrorKind::InvalidValue, message)));
    }
    Ok(Command::Run(run))
}

/// Whether an environment variable of this name is one of ours.
pub fn is_setting(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"MCP_SUPERVISE_")
}

/// Whether these are words for `setup`, and an environment variable of this name is one of those that it reads besides.
pub fn is_setting_of_setup(name: &OsStr, words: &[OsString]) -> bool {
    is_of_setup(words) && name.as_encoded_bytes().starts_with(VARIABLES.as_bytes())
}

/// Whether these are words for `setup`.
fn is_of_setup(words: &[OsString]) -> bool {
    named(words) == Some(SETUP)
}

const SETUP: &str = "setup";
/// The commands with options of their own, beside `run`.
const NAMED: [&str; 8] = [SETUP, "status", "restart", "stop", "monitor", "check", "wrap", "unwrap"];

/// The command that these words name. It is the first of them: options before it are options of `run`.
fn named(words: &[OsString]) -> Option<&'static str> {
    NAMED.into_iter().find(|name| words.get(1).is_some_and(|word| word == name))
}

/// The words of a named command, and then the environment variables of its options, which may be set for others too.
fn read_named(name: &str, words: &[OsString]) -> Result<Command, Refusal> {
    // Before clap sees it, which might show what comes with it.
    let password =
        |word: &OsString| word == "--password" || word.as_encoded_bytes().starts_with(b"--password=");
    if name == SETUP && words.iter().any(password) {
        return Err(no_password_here());
    }
    let refused = |error: &clap::Error| match refusal(error) {
        Refusal::Usage(usage) => {
            let hint = if names(error, "NAME|ID") {
                "name a server as `mcp-supervise status` shows it".to_owned()
            } else {
                format!("`mcp-supervise {name} --help` lists the options and what they accept")
            };
            Refusal::Usage(UsageError { hint, ..usage })
        }
        show @ Refusal::Show(_) => show,
    };
    let command = |cli: Cli| {
        // There is one: the first word is its name.
        cli.command
            .ok_or_else(|| refused(&plain().error(ErrorKind::InvalidSubcommand, "the command comes first")))
    };
    let first = command(read(plain(), words).map_err(|error| refused(&error))?)?;
    // What is set for a server does not speak against what is asked for here.
    let several = matches!(first, Command::Setup(Setup { all: true, .. } | Setup { together: true, .. }));
    let of_wallet = |arg: clap::Arg| if several && arg.get_id() == "wallet" { without_env(arg) } else { arg };
    let definitions =
        definitions().mut_args(without_env).mut_subcommand(name, |command| command.mut_args(of_wallet));
    let level = definitions.find_subcommand(name).cloned();
    command(read(definitions, words).map_err(|error| of_variable(refused(&error), &error, level.as_ref()))?)
}

/// There is no `--password`, and why.
fn no_password_here() -> Refusal {
    let text =
        "there is no `--password`: whoever is on this machine can read the command lines of all programs";
    let definitions = plain();
    let mut setup = definitions.find_subcommand(SETUP).cloned().unwrap_or_default();
    let error = setup.error(ErrorKind::UnknownArgument, text);
    Refusal::Usage(UsageError {
        text: error.render().ansi().to_string(),
        hint: "leave it out to be asked for the password, or put it into a file and name that with --password-file"
            .to_owned(),
    })
}

/// The second reading. `named`: the command `run` is named; `watches`: the words say what to watch.
fn read_with_settings(words: &[OsString], named: bool, watches: bool) -> Result<Run, Refusal> {
    // The variables are read at the level that takes them: the other one has nothing that could override them.
    let definitions = if named { definitions().mut_args(without_env) } else { definitions() };
    let definitions = if watches { definitions } else { separated(definitions) };
    let variables = definitions.clone();
    let level = if named { variables.find_subcommand("run") } else { Some(&variables) };
    let cli = read(definitions, words).map_err(|error| of_variable(refusal(&error), &error, level))?;
    Ok(match cli.command {
        Some(Command::Run(run)) => run,
        _ => cli.run,
    })
}

/// Where `run` stands when options come before it: `mcp-supervise --hold 5s run npx`. clap takes it for the server's first
/// word then. The other commands take none of these options.
fn run_behind_options(cli: &Cli, words: &[OsString]) -> Result<Option<usize>, Refusal> {
    let Some(first) = cli.run.command.first().filter(|_| cli.command.is_none()) else {
        return Ok(None);
    };
    // The server's words are the last ones, whatever stands before them.
    let at = words.len() - cli.run.command.len();
    let escaped = words[at - 1] == OsStr::new("--");
    let ours = first.to_str().filter(|name| !escaped && plain().find_subcommand(name).is_some());
    match ours {
        None => Ok(None),
        Some("run") => Ok(Some(at)),
        Some(name) => {
            let text = format!("the options before `{name}` are options of `run`\n");
            let error = plain().error(ErrorKind::ArgumentConflict, text);
            Err(Refusal::Usage(UsageError {
                text: error.render().ansi().to_string(),
                hint: format!("put `--` before `{name}` to supervise a program of that name"),
            }))
        }
    }
}

/// The definitions without the environment.
fn plain() -> clap::Command {
    definitions_with(without_env)
}

fn without_env(arg: clap::Arg) -> clap::Arg {
    arg.env(Resettable::Reset)
}

/// The definitions for paths that come from the variable of `--watch`, where they are separated as in `PATH`.
fn separated(definitions: clap::Command) -> clap::Command {
    let separate = |arg: clap::Arg| if arg.get_id() == "watch" { arg.value_delimiter(':') } else { arg };
    definitions.mut_args(separate).mut_subcommands(|command| command.mut_args(separate))
}

fn read(definitions: clap::Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let definitions = if help::is_asked_for(words) { help::short(definitions) } else { definitions };
    Cli::from_arg_matches(&definitions.try_get_matches_from(words)?)
}

/// Words that cannot be understood, with the hint that fits.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap's list of kinds is open")]
fn refusal(error: &clap::Error) -> Refusal {
    let hint = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return Refusal::Show(error.render().ansi().to_string());
        }
        ErrorKind::UnknownArgument => {
            "options of the server come after its command; when that starts with a dash, put `--` before it"
        }
        ErrorKind::MissingRequiredArgument if names(error, "SHELL") => {
            "name a shell: mcp-supervise completions bash"
        }
        ErrorKind::MissingRequiredArgument => {
            "give the server's command, as in `mcp-supervise -- npx -y PACKAGE`, or try `mcp-supervise demo`"
        }
        _ => "`mcp-supervise --help` lists the options and what they accept",
    };
    Refusal::Usage(UsageError { text: error.render().ansi().to_string(), hint: hint.to_owned() })
}

/// The same for a value that came from the environment: clap names the option only, and the person never wrote that. `level`:
/// the definitions of the command whose options they are.
fn of_variable(refusal: Refusal, error: &clap::Error, level: Option<&clap::Command>) -> Refusal {
    let variable = level
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .find(|arg| arg.get_long().is_some_and(|long| names(error, &format!("--{long}"))))
        .and_then(clap::Arg::get_env);
    match (refusal, variable) {
        (Refusal::Usage(usage), Some(variable)) => {
            let variable = variable.display();
            let hint =
                format!("the value comes from the environment variable {variable}: correct it or unset it");
            Refusal::Usage(UsageError { hint, ..usage })
        }
        (other, _) => other,
    }
}

/// Whether the error is about this argument: `--hold` in clap's notation `--hold <DURATION>`.
fn names(error: &clap::Error, arg: &str) -> bool {
    let holds = |text: &String| text.split([' ', '<', '>']).any(|word| word == arg);
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => holds(text),
        Some(ContextValue::Strings(texts)) => texts.iter().any(holds),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
