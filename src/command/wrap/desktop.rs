//! Whether Claude Desktop runs: it writes its config again when it quits.

use std::fs;
use std::process::{Command, Stdio};

/// What its process is called: its own name on macOS, and those of its packages for Linux.
const NAMES: [&str; 3] = ["Claude", "claude-desktop", "Claude Desktop"];

/// Whether a process of this name is there, as far as the system tells.
pub(super) fn runs() -> bool {
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
