//! What a server seems to be that runs and answers nothing, by the lines that it prints: another kind of server, one
//! that asks a question, a download. Pure; what is not certain is worded as a guess.

/// How many of the last lines count: a question further back is no longer open.
const LAST: usize = 12;

/// What a server seems to be doing instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Looks {
    /// It serves the web.
    Web,
    /// It waits for a log-in.
    LogIn,
    /// It waits for an answer in a terminal.
    Asks,
    /// It is being installed or built.
    Installs,
    /// None of these.
    Unknown,
}

impl Looks {
    /// What these lines look like.
    pub(in crate::engine) fn of(text: &str) -> Self {
        let lines: Vec<String> =
            text.lines().map(|line| line.trim().to_lowercase()).filter(|line| !line.is_empty()).collect();
        let lines = &lines[lines.len().saturating_sub(LAST)..];
        if lines.last().is_some_and(|line| asks(line)) {
            return Self::Asks;
        }
        let any = |looks: fn(&str) -> bool| lines.iter().any(|line| looks(line));
        match () {
            () if any(asks_to_log_in) => Self::LogIn,
            () if any(serves_the_web) => Self::Web,
            () if any(installs) => Self::Installs,
            () => Self::Unknown,
        }
    }

    /// What to do about it. `command` is the command line for a person.
    pub(in crate::engine) fn hint(self, command: &str) -> String {
        let look = format!("run this in a terminal to see why: {command}");
        match self {
            Self::Web => format!(
                "Its output looks like a web server's, but a host talks to its servers over stdin and stdout. Start it in that mode (often --stdio, or --transport stdio), or configure its URL in the host instead of a command. The command is: {command}"
            ),
            Self::LogIn => format!(
                "It seems to wait for somebody to log in: follow the link in its last lines, then try again. If it stays like this, {look}"
            ),
            Self::Asks => format!(
                "It seems to wait for an answer in a terminal, and under a host there is none: answer it once by hand, or give the option that does (for npx: -y). Run this in a terminal: {command}"
            ),
            Self::Installs => format!(
                "It seems to be still installing or building what it needs: try again in a minute. If it stays like this, {look}"
            ),
            Self::Unknown => format!(
                "Its last lines may tell why: it may still be starting, or be no server that speaks MCP over stdin and stdout. Try again in a few seconds. If it stays like this, {look}"
            ),
        }
    }
}

fn has_any(line: &str, signs: &[&str]) -> bool {
    signs.iter().any(|sign| line.contains(sign))
}

fn asks(line: &str) -> bool {
    const CHOICES: [&str; 8] =
        ["(y)", "(y/n)", "[y/n]", "(yes/no)", "[yes/no]", "(y/n/a)", "[y/n/a]", "(y/n/q)"];
    const WANTED: [&str; 9] =
        ["password", "passphrase", "username", "user name", "login", "token", "code", "api key", "secret"];
    let prompts = line.ends_with([':', '>', '?']);
    let line = line.trim_end_matches([' ', ':', '>', '?']);
    CHOICES.iter().any(|choice| line.ends_with(choice))
        || prompts && WANTED.iter().any(|wanted| line.ends_with(wanted))
        || has_any(line, &["press any key", "press enter", "press return"])
}

fn asks_to_log_in(line: &str) -> bool {
    line.contains("http")
        && line.contains("://")
        && has_any(
            line,
            &["authoriz", "authenticat", "log in", "login", "sign in", "browser", "device", "visit"],
        )
}

fn serves_the_web(line: &str) -> bool {
    let address = ["http://", "https://", "localhost:", "127.0.0.1", "0.0.0.0", "[::]", "port "];
    let serves = [
        "listening",
        "running",
        "started",
        "serving",
        "server",
        "ready",
        "local:",
        "network:",
        "available",
        "bound",
    ];
    has_any(line, &address) && has_any(line, &serves)
}

fn installs(line: &str) -> bool {
    let signs = [
        "npm warn",
        "npm notice",
        "npm http",
        "download",
        "install",
        "building",
        "compiling",
        "resolved ",
        "resolving",
        "prepared ",
        "fetching",
        "pulling",
        "unpacking",
        "extracting",
    ];
    has_any(line, &signs) || line.split_whitespace().any(|word| word.ends_with('%') && word.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::Looks;

    #[test]
    fn what_a_server_seems_to_do_instead_of_answering() {
        for (text, looks) in [
            ("INFO: Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)\n", Looks::Web),
            ("Server listening on port 3000", Looks::Web),
            ("  VITE v5  ready in 300 ms\n  Local:   http://localhost:5173/\n", Looks::Web),
            (" * Running on http://127.0.0.1:5000\n", Looks::Web),
            ("Need to install the following packages:\nserver@1.0.0\nOk to proceed? (y) ", Looks::Asks),
            ("[sudo] password for me:\nPassword: ", Looks::Asks),
            ("Enter your API key: ", Looks::Asks),
            ("Overwrite? [y/N]", Looks::Asks),
            ("Please authorize by visiting:\nhttps://a.example/authorize?x=1\n", Looks::LogIn),
            ("npm warn deprecated x@1\n", Looks::Installs),
            ("Downloading numpy (16.2MiB)\n", Looks::Installs),
            ("latest: Pulling from a/b\n", Looks::Installs),
            ("fetched 45%", Looks::Installs),
            ("reading the configuration", Looks::Unknown),
            ("MCP server running on stdio", Looks::Unknown),
            ("", Looks::Unknown),
        ] {
            assert_eq!(Looks::of(text), looks, "{text}");
            assert!(Looks::of(text).hint("npx server").contains("npx server"));
        }
    }
}
