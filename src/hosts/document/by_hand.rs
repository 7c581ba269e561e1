//! Whether somebody has put us into a command line by hand, behind a shell or behind a program that starts another one.

use super::{file_name, is_ours};

/// What reads the word after `-c`, or its file, as a script.
const SHELLS: [&str; 8] = ["sh", "bash", "zsh", "fish", "dash", "ksh", "ash", "cmd"];
/// What starts the program after its own options.
const STARTERS: [&str; 14] = [
    "env",
    "exec",
    "command",
    "nice",
    "nohup",
    "sudo",
    "doas",
    "setsid",
    "timeout",
    "caffeinate",
    "stdbuf",
    "ionice",
    "xvfb-run",
    "time",
];

/// Whether we are started by this command line, and not by its first word.
pub(super) fn is_by_hand(command: &str, args: &[String]) -> bool {
    let name = file_name(command);
    if SHELLS.contains(&name) {
        args.iter().any(|word| in_script(word)) || args.iter().any(|word| is_ours(word))
    } else {
        STARTERS.contains(&name) && started(args.iter().map(String::as_str))
    }
}

/// Whether one of the commands of a script is ours.
fn in_script(script: &str) -> bool {
    let commands = script.split([';', '&', '|', '(', ')', '{', '}', '\n', '`']);
    commands.into_iter().any(|command| {
        let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        words.next().is_some_and(|first| {
            let rest: Vec<&str> = words.collect();
            let alone = is_ours(first) && !rest.is_empty();
            alone
                || ((is_assignment(first) || STARTERS.contains(&file_name(first)))
                    && started(rest.into_iter()))
        })
    })
}

/// Whether we are what these words start: before the program there are only options with their values, assignments, times, and
/// other starters.
fn started<'w>(words: impl Iterator<Item = &'w str>) -> bool {
    let mut after_option = false;
    for word in words {
        if is_ours(word) {
            return true;
        }
        let is_option = word.starts_with('-');
        let passes = is_option
            || after_option
            || is_assignment(word)
            || word.starts_with(|first: char| first.is_ascii_digit())
            || STARTERS.contains(&file_name(word));
        if !passes {
            return false;
        }
        after_option = is_option && word != "--" && word != "-";
    }
    false
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_found_where_we_are_started_and_not_where_we_are_named() {
        for (line, expected) in [
            (&["env", "A=1", "/opt/mcp-supervise", "--", "npx"][..], true),
            (&["/usr/bin/env", "-u", "B", "mcp-supervise", "npx"], true),
            (&["timeout", "1h", "/usr/bin/mcp-supervise", "--", "x"], true),
            (&["sudo", "-u", "ada", "nice", "-n", "5", "mcp-supervise", "x"], true),
            (&["/bin/sh", "-lc", "exec mcp-supervise -- npx"], true),
            (&["sh", "-c", "exec '/usr/bin/mcp-supervise' -- x"], true),
            (&["sh", "-c", "cd /x;mcp-supervise -- x"], true),
            (&["bash", "-c", "A=1 \"$HOME/.local/bin/mcp-supervise\" x"], true),
            (&["cmd", "/c", "mcp-supervise", "npx"], true),
            (&["bash", "-c", "cd /src/mcp-supervise && python server.py"], false),
            (&["env", "NODE_ENV=x", "node", "srv.js", "--root", "/home/me/mcp-supervise"], false),
            (&["npx", "filesystem", "/home/a/mcp-supervise"], false),
            (&["sh", "-c", "exec npx x"], false),
            (&["sh"], false),
        ] {
            let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(is_by_hand(&words[0], &words[1..]), expected, "{line:?}");
        }
    }
}
