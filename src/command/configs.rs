//! The configs of hosts, for the commands that change them.

use std::env;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::cli::wrap::Host as Named;
use crate::datadir::data_dir;
use crate::exit_code;
use crate::hosts::{Bad, Fault, Format, Host, Surroundings};

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
