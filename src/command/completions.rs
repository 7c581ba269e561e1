//! `completions`: what a shell needs to complete our command line, generated from the same definitions as the help.

use clap::Command;
use clap_complete::Shell;

use crate::cli;

/// The completion script for this shell.
pub fn render(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definitions(), "mcp-supervise", &mut script);
    if shell == Shell::Bash {
        // Of a name with a hyphen the generator makes two, and finds no option of a command then:
        // <https://github.com/clap-rs/clap/issues/6421>
        return String::from_utf8_lossy(&script).replace("mcp__subcmd__supervise", "mcp__supervise").into();
    }
    script
}

/// Without the server's command of `run` without its name: zsh would take that for the first word, and never find a command
/// of ours.
fn definitions() -> Command {
    let all = cli::definitions();
    let bare = Command::new("mcp-supervise").version(env!("CARGO_PKG_VERSION")).args(all.get_opts().cloned());
    bare.subcommands(all.get_subcommands().cloned())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(render(*shell)).unwrap();
            for word in ["max-restarts", "log-format", "completions", "demo"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
