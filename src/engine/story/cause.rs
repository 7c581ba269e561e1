//! Judges what went wrong from how a server ended or failed to start, its last words and its command line.
//!
//! This is a table of signs, and of the clauses that describe them. It is pure: texts come in masked, and nothing in
//! here knows the engine. An uncertain sign names no cause: a plain exit is reported as what it is.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::engine::guidance::signal_name;
use crate::engine::process::{Exit, SpawnFault};

/// What a shell exits with when it does not find a command.
pub(super) const NOT_FOUND: Exit = Exit::Code(127);
/// What a shell exits with when it cannot execute a command.
const NOT_EXECUTABLE: Exit = Exit::Code(126);
/// How many of the last lines must agree for two exits to have the same last words.
const LAST_WORDS: usize = 5;
/// How much is told of a name that a package manager prints, in characters.
const NAME: usize = 100;

/// Commands that exit with 128 + n if the program that they run was killed by signal n: shells, and launchers of
/// packages and containers that use one.
const LAUNCHERS: [&str; 38] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox", "npx", "npm", "pnpm", "pnpx",
    "yarn", "bunx", "bun", "corepack", "uvx", "uv", "pipx", "poetry", "pdm", "hatch", "conda", "docker",
    "podman", "nerdctl", "sudo", "su", "doas", "timeout", "flatpak", "ssh", "make", "just", "mise", "asdf",
    "op",
];
/// Commands that replace themselves with the command that they are given.
const WRAPPERS: [&str; 7] = ["env", "nice", "nohup", "setsid", "stdbuf", "ionice", "chrt"];

/// A command line, as far as messages about it need it.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct CommandLine<'a> {
    /// Its words, masked.
    pub(in crate::engine) words: &'a [String],
    /// The first line of its file without `#!`. `None` where that is no script.
    pub(in crate::engine) script: Option<&'a str>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Ending<'a> {
    /// Its exit. `None` where it could not be ended.
    pub(in crate::engine) exit: Option<Exit>,
    /// Its last words, masked.
    pub(in crate::engine) tail: &'a str,
    /// Whether it had come as far as serving the host.
    pub(in crate::engine) served: bool,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Cause {
    /// There is no such command.
    NotFound,
    /// There is something by its name, and it cannot be executed.
    NotExecutable,
    /// The interpreter that the first line of the script names does not exist.
    NoInterpreter,
    /// A line of a script ends in a carriage return.
    LineEnds,
    /// The command is a whole command line in one word. The text is the right form for a host's configuration.
    WholeLine(String),
    /// The command contains this, which should have been expanded.
    UnexpandedCommand(String),
    /// The command's file is being written.
    Busy,
    /// The container of the server before is still being stopped.
    Stopping,
    /// The system has no process left.
    ProcessLimit,
    /// The system refused for another reason.
    System,
    /// The thing to be installed first is in no registry: its kind, and its name where that is known.
    NotInRegistry(&'static str, Option<String>),
    /// A command that the server's command starts does not exist.
    NotFoundInside,
    /// The same, and it cannot be executed.
    NotExecutableInside,
    /// It ended by itself before it served, without a word, and its arguments contain this, which should have been
    /// expanded.
    UnexpandedArgument(String),
    /// The same, and its last output may tell another cause: servers expand such text themselves, or take it as a
    /// template.
    PerhapsUnexpanded(String),
    /// It ended, and nothing more is known of the cause.
    Ended,
}

impl Cause {
    /// Why a command could not be started. `said` is in the system's words.
    pub(in crate::engine) fn of_fault(fault: SpawnFault, said: &str, command: CommandLine<'_>) -> Self {
        let name = command.words.first().map_or("", String::as_str);
        match fault {
            SpawnFault::WholeLine(program) => name
                .get(..program)
                .and_then(|program| parted(command.words, program))
                .map_or(Self::NotFound, Self::WholeLine),
            SpawnFault::NotFound => whole_line(command.words)
                .map(Self::WholeLine)
                .or_else(|| unexpanded(name).map(|what| Self::UnexpandedCommand(what.to_owned())))
                .unwrap_or(Self::NotFound),
            // The carriage return is shown as an escape.
            SpawnFault::NotExecutable if said.contains("\\r does not exist") => Self::LineEnds,
            SpawnFault::NotExecutable if said.contains("its interpreter ") => Self::NoInterpreter,
            SpawnFault::NotExecutable => Self::NotExecutable,
            SpawnFault::Busy => Self::Busy,
            SpawnFault::Stopping => Self::Stopping,
            SpawnFault::ProcessLimit => Self::ProcessLimit,
            SpawnFault::System => Self::System,
        }
    }

    /// Why a server ended that we have not ended.
    pub(in crate::engine) fn of_end(ending: Ending<'_>, command: CommandLine<'_>) -> Self {
        let Ending { exit: Some(exit), tail, served: false } = ending else { return Self::Ended };
        let by_shell = matches!(exit, NOT_FOUND | NOT_EXECUTABLE);
        let script = command.script.is_some_and(|line| line.trim_end_matches('\n').ends_with('\r'));
        if by_shell && (script || has_carriage_return(tail)) {
            return Self::LineEnds;
        }
        if let (Exit::Code(1..), Some((kind, name))) = (exit, not_in_registry(tail)) {
            return Self::NotInRegistry(kind, name);
        }
        match (exit, unexpanded_argument(command.words)) {
            (NOT_FOUND, _) if says_not_found(tail) => Self::NotFoundInside,
            (NOT_EXECUTABLE, _) if says_not_executable(tail) => Self::NotExecutableInside,
            (Exit::Code(_), Some(what)) if tail.trim().is_empty() => {
                Self::UnexpandedArgument(what.to_owned())
            }
            (Exit::Code(_), Some(what)) => Self::PerhapsUnexpanded(what.to_owned()),
            (Exit::Code(_) | Exit::Signal(_), _) => Self::Ended,
        }
    }

    /// Whether another attempt fails in the same way until a person has changed something.
    pub(in crate::engine) fn is_permanent(&self) -> bool {
        match self {
            Self::NotFound
            | Self::NotExecutable
            | Self::NoInterpreter
            | Self::LineEnds
            | Self::WholeLine(_)
            | Self::UnexpandedCommand(_)
            | Self::NotInRegistry(..)
            | Self::NotFoundInside
            | Self::NotExecutableInside => true,
            Self::Busy
            | Self::Stopping
            | Self::ProcessLimit
            | Self::System
            | Self::UnexpandedArgument(_)
            | Self::PerhapsUnexpanded(_)
            | Self::Ended => false,
        }
    }

    /// One clause. `ended` is the clause for the exit: `it exited with code 1`.
    pub(in crate::engine) fn clause(&self, ended: String) -> String {
        let plain = match self {
            Self::NotFound => "its command was not found",
            Self::NotExecutable => "its command cannot be executed",
            Self::NoInterpreter => "the interpreter of its script was not found",
            Self::LineEnds => {
                "its script has Windows line endings: a carriage return (CR) became part of a command's name"
            }
            Self::WholeLine(_) => {
                "its command is a whole command line in one word, and there is no such file"
            }
            Self::UnexpandedCommand(what) => {
                return format!("its command was not found, and {what} in it was not expanded");
            }
            Self::Busy => "its file is being written",
            Self::Stopping => "its previous container is still being stopped",
            Self::ProcessLimit => "the process limit is reached, so the system could not start it",
            Self::System => "the system could not start it",
            Self::NotInRegistry(kind, Some(name)) => {
                return format!("its {kind} {name:?} was not found in the registry");
            }
            Self::NotInRegistry(kind, None) => return format!("its {kind} was not found in the registry"),
            Self::NotFoundInside => return format!("{ended}: a command that it starts was not found"),
            Self::NotExecutableInside => {
                return format!("{ended}: a command that it starts cannot be executed");
            }
            Self::UnexpandedArgument(what) => {
                return format!("{ended}, and {what} in its arguments was not expanded");
            }
            Self::PerhapsUnexpanded(_) | Self::Ended => return ended,
        };
        plain.to_owned()
    }

    /// What to do about it, where that is known. `command` is the command line for a person.
    pub(in crate::engine) fn hint(&self, command: &str) -> Option<String> {
        let hint = match self {
            Self::NotFound => format!(
                "Install the command or write its full path into the host's configuration; it is then started by the next call. The command is: {command}"
            ),
            Self::NotExecutable => format!(
                "Make the command executable or correct its path in the host's configuration; it is then started by the next call. The command is: {command}"
            ),
            Self::NoInterpreter => format!(
                "Install the interpreter that the first line of the script names, or correct that line; it is then started by the next call. The command is: {command}"
            ),
            Self::LineEnds => format!(
                "Give the script Unix line endings, for example with: sed -i 's/\\r$//' FILE. It is then started by the next call. The command is: {command}"
            ),
            Self::WholeLine(right) => format!(
                "Split the command into words in the host's configuration: {right}. Then restart the host, or the server from the host."
            ),
            Self::UnexpandedCommand(what) | Self::UnexpandedArgument(what) => format!(
                "Replace {what} by its value in the host's configuration: hosts run commands without a shell, and this host did not expand it. Then restart the host, or the server from the host. The command is: {command}"
            ),
            Self::PerhapsUnexpanded(what) => format!(
                "Read its last output. If it complains about {what} in its arguments, replace {what} by its value in the host's configuration (hosts run commands without a shell), then restart the host, or the server from the host. To see more, run this in a terminal: {command}"
            ),
            Self::ProcessLimit => {
                "End programs that are not needed, or raise the limit (ulimit -u, TasksMax of the service, --pids-limit of the container); a call then starts the server again.".to_owned()
            }
            Self::NotInRegistry(kind, _) => format!(
                "Correct the name or the version of the {kind} in the host's configuration; a private one needs a login first. The command is: {command}"
            ),
            Self::NotFoundInside | Self::NotExecutableInside => format!(
                "Install the command that its last output names, or set the PATH in which it is found in the host's configuration; it is then started by the next call. To see why, run this in a terminal: {command}"
            ),
            Self::Busy | Self::Stopping | Self::System | Self::Ended => return None,
        };
        Some(hint)
    }
}

/// The meaning of an exit. The code 128 + n of a shell, or of a launcher that uses one, means signal n, if that is a
/// signal that ends processes.
pub(in crate::engine) fn meaning(exit: Exit, command: CommandLine<'_>) -> Exit {
    match exit {
        Exit::Code(code) if signal_name(code - 128).is_some() && is_launcher(command) => {
            Exit::Signal(code - 128)
        }
        Exit::Code(_) | Exit::Signal(_) => exit,
    }
}

fn is_launcher(command: CommandLine<'_>) -> bool {
    let words = command.words.iter().map(String::as_str);
    let by_script = command.script.map(|line| line.split_whitespace());
    runs_launcher(words) || by_script.is_some_and(runs_launcher)
}

fn runs_launcher<'w>(words: impl Iterator<Item = &'w str>) -> bool {
    let mut words = words.skip_while(|word| {
        // A wrapper, and the options and variables that it is given.
        WRAPPERS.contains(&file_name(word)) || word.starts_with('-') || word.contains('=')
    });
    words.next().is_some_and(|word| LAUNCHERS.contains(&file_name(word)))
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The last words without what differs from run to run: times, process ids, addresses.
pub(in crate::engine) fn last_words(tail: &str) -> String {
    let lines: Vec<&str> = tail.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut words = String::new();
    for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
        for word in line.split_whitespace() {
            let same = if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word };
            // Writing to a string cannot fail.
            let _ = write!(words, "{same} ");
        }
        words.push('\n');
    }
    words
}

/// The right configuration, if the first word is a whole command line by its own words: it begins with a name without a
/// slash, or with a known launcher. `None` if it does not: a path may have blanks in it.
pub(in crate::engine) fn whole_line(words: &[String]) -> Option<String> {
    let program = words.first()?.split_whitespace().next()?;
    let name = file_name(program);
    let known = LAUNCHERS.contains(&name)
        || WRAPPERS.contains(&name)
        || ["node", "deno", "java", "ruby"].contains(&name)
        || name.starts_with("python");
    if known || !program.contains('/') { parted(words, program) } else { None }
}

/// The configuration with the first word parted after `program`. `None` if there is nothing after it.
fn parted(words: &[String], program: &str) -> Option<String> {
    let (first, others) = words.split_first()?;
    let rest: Vec<&str> = first.trim_start().strip_prefix(program)?.split_whitespace().collect();
    if rest.is_empty() {
        return None;
    }
    let args: Vec<&str> = rest.into_iter().chain(others.iter().map(String::as_str)).collect();
    let json = |value: serde_json::Value| value.to_string();
    Some(format!("\"command\": {}, \"args\": {}", json(program.into()), json(args.into())))
}

/// The part of a word that a shell or a host would have expanded: `${...}`, `$NAME`, `%NAME%`, `~/`. `None` if there is
/// none.
fn unexpanded(word: &str) -> Option<&str> {
    let value = word.split_once('=').map_or(word, |(_, value)| value);
    if word == "~" || word.starts_with("~/") || value.starts_with("~/") {
        return Some(if word == "~" { "~" } else { "~/" });
    }
    if let Some(start) = word.find("${")
        && let Some(len) = word[start..].find('}')
    {
        return Some(&word[start..=start + len]);
    }
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    if let Some(start) = word.find('$') {
        let rest = &word[start + 1..];
        let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let before = word[..start].chars().next_back();
        if is_name(&rest[..len]) && before.is_none_or(|c| matches!(c, '=' | ':' | '/' | ',')) {
            return Some(&word[start..=start + len]);
        }
    }
    let start = word.find('%')?;
    let len = word[start + 1..].find('%')?;
    is_name(&word[start + 1..start + 1 + len]).then(|| &word[start..start + len + 2])
}

/// The same in the arguments, except in code, which follows an option such as `-c` or `-e`.
fn unexpanded_argument(words: &[String]) -> Option<&str> {
    words.windows(2).find_map(|pair| {
        let [before, word] = pair else { return None };
        let short = before.strip_prefix('-').is_some_and(|flags| {
            flags.ends_with('c') && flags.len() <= 4 && !flags.starts_with('-')
                || matches!(flags, "e" | "p" | "pe")
        });
        let code = short || matches!(before.as_str(), "--eval" | "--print" | "--call" | "--command");
        let assigns = word.split_once('=').is_some_and(|(name, _)| !name.contains(char::is_whitespace));
        if code && !assigns { None } else { unexpanded(word) }
    })
}

/// Whether a message names a command that ends in a carriage return, as `env` and shells show it.
fn has_carriage_return(tail: &str) -> bool {
    ["\\r'", "\\r\u{2019}", "$'\\r'", "^M: bad interpreter"].iter().any(|sign| tail.contains(sign))
}

/// Whether a shell, `env` or the like reports a command that does not exist.
fn says_not_found(tail: &str) -> bool {
    let tail = tail.to_lowercase();
    ["not found", "no such file"].iter().any(|sign| tail.contains(sign))
}

/// Whether a shell, `env` or the like reports a command that it may not, or cannot, execute.
fn says_not_executable(tail: &str) -> bool {
    let tail = tail.to_lowercase();
    let signs =
        ["permission denied", "cannot execute", "exec format error", "is a directory", "bad interpreter"];
    signs.iter().any(|sign| tail.contains(sign))
}

/// What a package manager or a container engine reports as not found: the kind of thing, and its name.
fn not_in_registry(tail: &str) -> Option<(&'static str, Option<String>)> {
    // Some programs break lines in the middle of a sentence.
    let text = tail.split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |sign: &str| text.contains(sign);
    let npm = |code: &str| has(&format!("npm error code {code}")) || has(&format!("npm ERR! code {code}"));
    let named = |before: &str, until: &[char]| named(&text, before, until);
    if npm("E404") {
        let name = quoted_before(&text, "' is not in").or_else(|| {
            let path = named("404 Not Found - GET ", &[' '])?;
            Some(path.rsplit('/').next()?.replace("%2f", "/").replace("%2F", "/"))
        });
        return Some(("package", name));
    }
    if npm("ETARGET") || npm("ENOVERSIONS") {
        return Some(("package", named("No matching version found for ", &[' '])));
    }
    if has("was not found in the package registry") {
        return Some(("package", word_before(&text, " was not found in the package registry")));
    }
    if has("No solution found when resolving")
        && (has("there is no version of") || has("there are no versions of"))
    {
        let name = named("there is no version of ", &[' ', ','])
            .or_else(|| named("there are no versions of ", &[' ', ',']));
        return Some(("package", name));
    }
    let offline =
        ["name resolution", "establish a new connection", "resolve host", "timed out", "Network is"];
    if has("No matching distribution found for ") && !offline.iter().any(|sign| has(sign)) {
        return Some(("package", named("No matching distribution found for ", &[' ', '('])));
    }
    if has("ERR_PNPM_FETCH_404") || has("ERR_PNPM_NO_MATCHING_VERSION") {
        return Some(("package", named("No matching version found for ", &[' '])));
    }
    if has("Couldn't find package \"") {
        return Some(("package", named("Couldn't find package \"", &['"'])));
    }
    if has("error: GET https://registry.npmjs.org/") && has(" - 404") {
        return Some(("package", named("error: GET https://registry.npmjs.org/", &[' '])));
    }
    if has("pull access denied for ") && has("repository does not exist") {
        return Some(("image", named("pull access denied for ", &[',', ' '])));
    }
    if has("manifest for ") && has(" not found: manifest unknown") {
        return Some(("image", named("manifest for ", &[' '])));
    }
    None
}

/// The text after `before`, up to one of these characters. `None` if there is none.
fn named(text: &str, before: &str, until: &[char]) -> Option<String> {
    let rest = &text[text.find(before)? + before.len()..];
    let name = &rest[..rest.find(until).unwrap_or(rest.len())];
    tidy(name.trim_end_matches(['.', ':', ',']))
}

/// The text between the last quotation mark and `after`.
fn quoted_before(text: &str, after: &str) -> Option<String> {
    let head = &text[..text.find(after)?];
    let name = &head[head.rfind('\'')? + 1..];
    // `name@*` stands for any version.
    tidy(name.strip_suffix("@*").unwrap_or(name))
}

fn word_before(text: &str, after: &str) -> Option<String> {
    tidy(text[..text.find(after)?].rsplit(' ').next()?)
}

fn tidy(name: &str) -> Option<String> {
    let name: Cow<'_, str> = match name.char_indices().nth(NAME) {
        Some((end, _)) => Cow::Owned(format!("{} ...", &name[..end])),
        None => Cow::Borrowed(name),
    };
    Some(name.into_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
