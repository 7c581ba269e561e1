//! `completions`: what a shell needs to complete our command line, generated from the same definitions as the help.

use clap_complete::Shell;

use crate::cli;

/// The completion script for this shell.
pub fn render(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::definitions(), "mcp-supervise", &mut script);
    script
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
