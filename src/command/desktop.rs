//! Whether Claude Desktop runs: it writes its config again when it quits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::configs::surroundings;
use crate::hosts::{Host, of_user};

/// What its process is called: its own name on macOS, and those of its packages for Linux.
const NAMES: [&str; 3] = ["Claude", "claude-desktop", "Claude Desktop"];

/// What a person should know then.
pub(super) const WARNING: &str = "Claude Desktop runs, and writes its config again when it quits: should this be lost then, quit it and do this again";

/// Whether a change of this config may be lost because Claude Desktop runs.
pub(super) fn may_undo(config: &Path) -> bool {
    let its = surroundings().map(|surroundings| of_user(&surroundings, Host::ClaudeDesktop));
    let same = |its: PathBuf| Some(its.canonicalize().ok()? == config.canonicalize().ok()?);
    its.ok().and_then(same).unwrap_or(false) && runs()
}

/// Whether a process of this name is there, as far as the system tells.
fn runs() -> bool {
    if cfg!(target_os = "linux") { names_of_linux() } else { names_of_ps() }
        .iter()
        .any(|name| NAMES.contains(&&**name))
}

fn names_of_linux() -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

fn names_of_ps() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "it is asked, and is no server")]
    let listed =
        Command::new("/bin/ps").args(["-axo", "comm="]).stderr(Stdio::null()).stdin(Stdio::null()).output();
    let text = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned()).unwrap_or_default();
    text.lines().map(|line| line.rsplit('/').next().unwrap_or(line).to_owned()).collect()
}
