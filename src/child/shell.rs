//! Recognises interactive shells, as in `bash -ic "npx server"`, which people use to get the `PATH` of their terminal.

use std::ffi::OsString;
use std::path::Path;

/// The shells that look for their terminal when they are interactive.
const SHELLS: [&str; 8] = ["ash", "bash", "dash", "fish", "ksh", "mksh", "sh", "zsh"];

/// Whether this command is a shell that is told to be interactive. One word may combine several options, as `-lic`
/// does.
pub(super) fn is_interactive(argv: &[OsString]) -> bool {
    let Some((command, arguments)) = argv.split_first() else { return false };
    let name = Path::new(command).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let options =
        arguments.iter().map_while(|word| word.to_str()?.strip_prefix('-').filter(|rest| !rest.is_empty()));
    SHELLS.contains(&name)
        && options.clone().any(|word| word == "-interactive" || !word.starts_with('-') && word.contains('i'))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::is_interactive;

    #[test]
    fn a_shell_is_interactive_by_its_options() {
        let is = |command: &str| is_interactive(&command.split(' ').map(OsString::from).collect::<Vec<_>>());
        for command in [
            "bash -ic server",
            "/bin/zsh -lic server",
            "bash -l -i -c server",
            "fish --interactive -c server",
        ] {
            assert!(is(command), "{command}");
        }
        for command in [
            "bash -c server -i",
            "bash --init-file x -c server",
            "sh script -i",
            "node -i",
            "bash",
            "npx -y server",
        ] {
            assert!(!is(command), "{command}");
        }
    }
}
