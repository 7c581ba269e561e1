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

use super::{Cli, Command, Run, definitions, definitions_with};

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
        Some(command @ (Command::Demo { .. } | Command::Completions { .. } | Command::Man)) => {
            return Ok(command);
        }
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

/// The second reading. `named`: the command `run` is named; `watches`: the words say what to watch.
fn read_with_settings(words: &[OsString], named: bool, watches: bool) -> Result<Run, Refusal> {
    // The variables are read at the level that takes them: the other one has nothing that could override them.
    let definitions = if named { definitions().mut_args(without_env) } else { definitions() };
    let definitions = if watches { definitions } else { separated(definitions) };
    let variables = definitions.clone();
    let cli = read(definitions, words).map_err(|error| refusal_of_variable(&error, &variables, named))?;
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

/// The same for a value that came from the environment: clap names the option only, and the person never wrote that.
fn refusal_of_variable(error: &clap::Error, definitions: &clap::Command, named: bool) -> Refusal {
    let level = if named { definitions.find_subcommand("run") } else { Some(definitions) };
    let variable = level
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .find(|arg| arg.get_long().is_some_and(|long| names(error, &format!("--{long}"))))
        .and_then(clap::Arg::get_env);
    match (refusal(error), variable) {
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
