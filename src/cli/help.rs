//! Help that fits a screen: what `-h` and `--help` show of the definitions. Manual and completions have all of them.
//!
//! The first help is about commands. Of the options of `run`, which are many, `-h` has none and `--help` the names; what
//! they mean is in `run --help`, the one help that needs several screens.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// What stands at the end.
const FURTHER: &str = "`mcp-supervise COMMAND --help` and `mcp-supervise man` tell more.";
/// How wide the lines are, and where the names of options begin.
const WIDTH: usize = 80;
const INDENT: usize = 16;

/// Whether these words may ask for help.
pub(super) fn is_asked_for(words: &[OsString]) -> bool {
    words.iter().any(|word| ["-h", "--help", "help"].iter().any(|help| word == help))
}

/// The definitions with the help that a screen has room for.
pub(super) fn short(definitions: Command) -> Command {
    let names = names(&definitions);
    let flag = |name: &'static str, short, action| {
        Arg::new(name).short(short).long(name).action(action).help_heading(None)
    };
    let help = flag("help", 'h', ArgAction::Help).help("Print help; --help tells more");
    let version = flag("version", 'V', ArgAction::Version).help("Print the version");
    let one = flag("help", 'h', ArgAction::HelpShort).help("Print help");
    let of_run = help.clone();
    definitions
        .mut_args(|arg| arg.hide_short_help(true).hide_long_help(true))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([help, version].map(|arg| arg.hide_long_help(true)))
        .after_help(FURTHER)
        .after_long_help(format!("{names}\n{FURTHER}"))
        .mut_subcommands(|command| {
            let help = if command.get_name() == "run" { &of_run } else { &one };
            command.disable_help_flag(true).arg(help)
        })
}

/// The options of `run` by what they are about, without more than their names.
fn names(definitions: &Command) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for option in definitions.get_opts() {
        let (heading, long) = (option.get_help_heading().unwrap_or("Naming"), option.get_long());
        let name = format!("--{}", long.unwrap_or_default());
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, names)) => names.push(name),
            None => groups.push((heading, vec![name])),
        }
    }
    let mut lines = vec!["Options, which `mcp-supervise run --help` explains:".to_owned()];
    for (heading, names) in groups {
        let mut line = format!("  {heading:<width$}", width = INDENT - 3);
        for name in names {
            if line.len() + 1 + name.len() > WIDTH {
                lines.push(std::mem::replace(&mut line, " ".repeat(INDENT - 1)));
            }
            line.push(' ');
            line.push_str(&name);
        }
        lines.push(line);
    }
    lines.push(String::new());
    lines.join("\n")
}
