//! The configs of hosts, for the commands that change them.

use std::env;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::cli::wrap::Host as Named;
use crate::cli::{self, Command};
use crate::datadir::data_dir;
use crate::exit_code;
use crate::hosts::{Bad, Fault, Format, Host, State, Surroundings};

/// Where what configs were is kept, in the directory for everything that we store.
const BACKUPS: &str = "configs";

/// A host by its name on the command line.
pub(super) fn host(named: Named) -> Host {
    match named {
        Named::ClaudeDesktop => Host::ClaudeDesktop,
        Named::ClaudeCode => Host::ClaudeCode,
        Named::Cursor => Host::Cursor,
        Named::Vscode => Host::VsCode,
        Named::Copilot => Host::Copilot,
        Named::Windsurf => Host::Windsurf,
        Named::Inspector => Host::Inspector,
    }
}

/// The user's directory. `None` where nobody says which it is.
pub(super) fn home() -> Option<PathBuf> {
    etcetera::home_dir().ok()
}

/// What decides here where configs are.
pub(super) fn surroundings() -> Result<Surroundings, Failure> {
    let home = etcetera::home_dir().map_err(|_| {
        Failure::usage("failed to look for configs: HOME is not set", "set it, or name a file with --config")
    })?;
    // What is no full path is to be ignored, says the specification.
    let directory = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(Surroundings {
        config: directory("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        here: env::current_dir().ok(),
        claude: directory("CLAUDE_CONFIG_DIR"),
        copilot: directory("COPILOT_HOME"),
        mac: cfg!(target_os = "macos"),
        home,
    })
}

/// Where what configs were is kept.
pub(super) fn backups(data: Option<&Path>) -> Result<PathBuf, Failure> {
    data_dir(data).map(|data| data.join(BACKUPS)).ok_or_else(|| {
        Failure::usage("there is no directory to keep what the configs were", "set HOME, or give --data-dir")
    })
}

/// A config that is not what hosts read. `else_do`: what can be done but to correct it.
pub(super) fn unreadable(path: &Path, bad: &Bad, else_do: &str) -> Failure {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    let by_name = extension.and_then(|extension| Format::of_extension(&extension));
    if let Some(format) = by_name.or(bad.format) {
        return Failure {
            code: exit_code::CONFIG_UNREADABLE,
            message: format!(
                "failed to change {}: it is {format}, and this program changes JSON only",
                path.display()
            ),
            hint: Some(format!(
                "change the server there by hand: {}; give the full path of mcp-supervise where the host has a short PATH",
                format.by_hand("mcp-supervise")
            )),
        };
    }
    Failure {
        code: exit_code::CONFIG_UNREADABLE,
        message: format!("failed to read {}: {bad}", path.display()),
        hint: Some(format!("correct it there, or {else_do}")),
    }
}

/// A config that could not be read, kept or replaced.
pub(super) fn failure(fault: &Fault) -> Failure {
    let (code, hint) = match fault {
        Fault::Read { .. } | Fault::NoConfig { .. } | Fault::NoText { .. } => {
            (exit_code::CONFIG_UNREADABLE, None)
        }
        Fault::Changed { .. } => {
            (exit_code::CONFIG_CHANGED, Some("a program that has it open may have written it: try it again"))
        }
        Fault::Linked { .. } => (
            exit_code::CONFIG_NOT_WRITTEN,
            Some("remove its other names, or make them symbolic links to this one, and try it again"),
        ),
        Fault::Locked { .. } => (
            exit_code::CONFIG_NOT_WRITTEN,
            Some("it was waited for, for 5 s: let it come to its end, and try it again"),
        ),
        Fault::Keep { .. } | Fault::Replace { .. } => {
            (exit_code::CONFIG_NOT_WRITTEN, Some("nothing was changed"))
        }
    };
    Failure { code, message: format!("failed to {fault}"), hint: hint.map(str::to_owned) }
}

/// How many of the words after our program's name are ours: as our own command line has it.
pub(super) fn split(words: &[String]) -> Option<usize> {
    split_plainly(words).or_else(|| {
        let line = ["mcp-supervise".to_owned()].into_iter().chain(words.iter().cloned()).map(Into::into);
        match cli::parse(line, false) {
            Ok(Command::Run(run)) => words.len().checked_sub(run.command.len()),
            _ => None,
        }
    })
}

/// The same for what we write ourselves, which is nearly all that is there: a whole command line is not built for each of thousands
/// of servers. `None` where that says nothing.
fn split_plainly(words: &[String]) -> Option<usize> {
    let is_plain = |name: &str| {
        let mut letters = name.bytes();
        letters.next().is_some_and(|first| first.is_ascii_alphanumeric())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.'))
    };
    match words {
        [option, name, end, command, ..] if option == "--name" && is_plain(name) && end == "--" => {
            Some(3).filter(|_| !command.is_empty())
        }
        _ => None,
    }
}

/// Why the command line of a server in this state cannot be changed at all, as words that fit after "it is left as it is:".
pub(super) fn obstacle(state: &State) -> Option<&'static str> {
    match state {
        State::Plain | State::Wrapped | State::ByHand => None,
        State::Remote => Some("it is not started by its host, but somewhere else"),
        State::Debugged => Some("VS Code puts a debugger into its command; take `dev.debug` out first"),
        State::Odd(why) => Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_words_are_counted_as_the_command_line_counts_them() {
        for line in [
            "--name k -- npx",
            "--name k -- npx -y -- x",
            "--name a.b_c-1 -- --odd",
            "--name k -- --",
            "--name k -- run",
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let whole = ["mcp-supervise".to_owned()].into_iter().chain(words.iter().cloned()).map(Into::into);
            let Ok(Command::Run(run)) = cli::parse(whole, false) else { panic!("{line}") };
            assert_eq!(split_plainly(&words), Some(words.len() - run.command.len()), "{line}");
        }
        for line in ["--name k npx", "--name k --", "--name -x -- npx", "-- npx", "--hold 5s -- npx", ""] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(split_plainly(&words), None, "{line}");
        }
        assert_eq!(split(&["--hold", "5s", "--", "npx"].map(str::to_owned)), Some(3));
        assert_eq!(split(&["--name", "k", "--"].map(str::to_owned)), None);
    }
}
