//! One server of a config: whether it changes, and if not, why.

use std::env;
use std::path::Path;

use super::change::Direction;
use crate::command::configs::obstacle;
use crate::command::package;
use crate::hosts::{Server, State};

/// Why a server is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    /// Words that fit after "it is left as it is:".
    pub(super) why: &'static str,
    /// It is told also if nobody has asked for this server by its name: the person may not expect it.
    pub(super) told: bool,
}

/// What speaks against a change of this server. `config`: where it stands.
pub(super) fn objection(server: &Server, config: &Path, direction: &Direction) -> Option<Objection> {
    let (why, told) = match (&server.state, direction) {
        (State::Wrapped, Direction::In { .. }) if !is_gone(server) => ("it is wrapped already", false),
        (State::Plain | State::Wrapped, Direction::In { .. }) if server.disabled => ("it is disabled", false),
        (State::Plain, Direction::In { .. }) if is_whole_line(server, config) => (WHOLE_LINE, true),
        // One that names a program that is gone is put right.
        (State::Wrapped, Direction::In { .. } | Direction::Out) | (State::Plain, Direction::In { .. }) => {
            return None;
        }
        (State::Plain, Direction::Out) => ("it is not wrapped", false),
        (State::ByHand, Direction::In { .. }) => ("mcp-supervise is in its command line already", false),
        (State::ByHand, Direction::Out) => {
            ("mcp-supervise was put into its command line by hand, and is to be taken out by hand", false)
        }
        (state @ (State::Remote | State::Debugged | State::Odd(_)), _) => {
            (obstacle(state)?, *state != State::Remote)
        }
    };
    Some(Objection { why, told })
}

/// Packages whose servers a profile knows, and how it is asked for.
const PROFILES: [(&str, &[&str]); 1] = [(package::WAIAAS, &["--profile", "waiaas"])];

/// The options with which everything that this server needs is done for it.
pub(super) fn profile(server: &Server) -> &'static [&'static str] {
    let is_of = |package: &str| server.words.iter().any(|word| package::is_of(word, package));
    PROFILES.iter().find(|(package, _)| is_of(package)).map_or(&[], |(_, options)| options)
}

/// What is wrong with an entry that [`is_whole_line`].
pub(super) const WHOLE_LINE: &str = "its `command` is a whole command line, and no file has that name; leave the program there, and put the other words into `args`";

/// Whether the supervisor is not there any more, by which a server is wrapped.
pub(super) fn is_gone(server: &Server) -> bool {
    let program = server.words.first().map(Path::new);
    program.is_some_and(|program| program.is_absolute() && !program.exists())
}

/// Whether a whole command line is in the place of the program, where no program has such a name. Some hosts give it to a shell, and
/// the supervisor would look for a file.
pub(super) fn is_whole_line(server: &Server, config: &Path) -> bool {
    let [command] = &server.words[..] else { return false };
    // What a host puts in the place of a variable is not known here.
    let is_line = command.trim().contains(char::is_whitespace) && !command.contains("${");
    is_line && !is_there(Path::new(command), config)
}

/// Whether a program is there, as far as can be known: hosts start it in a folder of the project, or in one of theirs.
fn is_there(program: &Path, config: &Path) -> bool {
    if program.is_absolute() {
        return program.exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let near = config.ancestors().skip(1).take(2).map(Path::to_owned).chain(env::current_dir());
    near.chain(env::split_paths(&path)).any(|folder| folder.join(program).exists())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::hosts::{Document, Shape};

    #[test]
    fn a_server_whose_package_a_profile_knows_gets_the_profile() {
        for (args, expected) in [
            (r#"["-y", "@waiaas/mcp"]"#, &["--profile", "waiaas"][..]),
            (r#"["@waiaas/mcp@2.12.0", "--odd"]"#, &["--profile", "waiaas"]),
            (r#"["-y", "@waiaas/mcp-other"]"#, &[]),
            (r#"["-y", "not/@waiaas/mcp"]"#, &[]),
            ("[]", &[]),
        ] {
            let text = format!(r#"{{"mcpServers": {{"k": {{"command": "npx", "args": {args}}}}}}}"#);
            let document =
                Document::read(&text, Shape::Servers, &|_| None).unwrap_or_else(|bad| panic!("{bad}"));
            assert_eq!(profile(&document.servers()[0]), expected, "{args}");
        }
    }

    #[test]
    fn a_whole_command_line_is_known_from_a_file_with_blanks_in_its_name() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let file = folder.path().join("my server");
        fs::write(&file, "").unwrap_or_else(|error| panic!("{error}"));
        let there = file.display().to_string();
        let config = folder.path().join("c.json");
        for (command, args, expected) in [
            ("npx -y a-server", "[]", true),
            ("/usr/bin/node\\tserver.js", "[]", true),
            ("/gone/my server", "[]", true),
            ("npx -y", "[\"a-server\"]", false),
            (&there, "[]", false),
            ("./my server", "[]", false),
            ("${userHome}/my server", "[]", false),
            ("npx", "[]", false),
            (" npx ", "[]", false),
        ] {
            let text = format!(r#"{{"mcpServers": {{"k": {{"command": "{command}", "args": {args}}}}}}}"#);
            let document =
                Document::read(&text, Shape::Servers, &|_| None).unwrap_or_else(|bad| panic!("{bad}"));
            assert_eq!(is_whole_line(&document.servers()[0], &config), expected, "{command} {args}");
        }
    }
}
