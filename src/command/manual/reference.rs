//! What is looked up: exit codes, variables, files, and what is not forwarded as it came.

use clap::Command;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{entry, paragraph, section, uncapitalized};
use crate::exit_code;

pub(super) fn exit_status() -> Roff {
    let mut roff = section("EXIT STATUS");
    for (code, meaning) in [
        (exit_code::DONE, "All is well; the server's last exit was code 0, or a signal of our own stop"),
        (
            exit_code::UNEXPECTED,
            "Something failed that has no code of its own: an error of the system, an answer that cannot be understood, or \
             a demo that did not go as it should",
        ),
        (
            exit_code::USAGE,
            "The command line, or an environment variable, cannot be understood, or leaves out what is needed",
        ),
        (exit_code::CANNOT_LISTEN, "From monitor: the address cannot be listened at"),
        (
            exit_code::OUTPUT_LOST,
            "Output for the host cannot be written to stdout, for instance because the disk is full",
        ),
        (
            exit_code::PANICKED,
            "The supervisor itself has failed in a way that nobody has foreseen: please report it",
        ),
        (exit_code::NOT_EXECUTABLE, "The server's command is there and cannot be executed"),
        (exit_code::NOT_FOUND, "The server's command is not there"),
    ] {
        entry(&mut roff, vec![bold(code.to_string())], meaning.to_owned());
    }
    for (code, meaning) in exit_code::OF_SETUP {
        entry(&mut roff, vec![bold(code.to_string())], format!("From setup: {}", uncapitalized(meaning)));
    }
    for (code, meaning) in exit_code::OF_ORDERS {
        let text = format!("From restart and stop: {}", uncapitalized(meaning));
        entry(&mut roff, vec![bold(code.to_string())], text);
    }
    for (code, meaning) in exit_code::OF_CONFIGS {
        let text = format!("From wrap, unwrap and setup --write: {}", uncapitalized(meaning));
        entry(&mut roff, vec![bold(code.to_string())], text);
    }
    for (code, meaning) in exit_code::OF_WRAP {
        let text = format!("From wrap and unwrap: {}", uncapitalized(meaning));
        entry(&mut roff, vec![bold(code.to_string())], text);
    }
    for (code, meaning) in exit_code::OF_CHECK {
        let text = format!("From check: {}", uncapitalized(meaning));
        entry(&mut roff, vec![bold(code.to_string())], text);
    }
    let other =
        format!("The server's own code, or {} and the number of the signal that ended it", exit_code::SIGNAL);
    entry(&mut roff, vec![roman("other")], other);
    roff
}

pub(super) fn environment(definitions: &Command) -> Roff {
    let mut roff = section("ENVIRONMENT");
    paragraph(
        &mut roff,
        "Each option is read from an environment variable too, so that the env block of a host's config can set it. \
         The command line wins.",
    );
    for option in definitions.get_arguments() {
        if let (Some(variable), Some(long)) = (option.get_env(), option.get_long()) {
            entry(&mut roff, vec![bold(variable.display().to_string())], format!("As --{long}"));
        }
    }
    let setup = definitions.find_subcommand("setup");
    for option in setup.into_iter().flat_map(Command::get_arguments) {
        let of_run = |variable| definitions.get_arguments().any(|option| option.get_env() == Some(variable));
        if let (Some(variable), Some(long)) =
            (option.get_env().filter(|name| !of_run(name)), option.get_long())
        {
            entry(&mut roff, vec![bold(variable.display().to_string())], format!("As --{long} of setup"));
        }
    }
    entry(
        &mut roff,
        vec![bold("WAIAAS_MASTER_PASSWORD")],
        "The master password for setup, before any file".to_owned(),
    );
    entry(
        &mut roff,
        vec![bold("HTTP_PROXY"), roman(", "), bold("HTTPS_PROXY"), roman(", "), bold("ALL_PROXY")],
        "The proxy on the way to an API, but never to this machine; in capitals or not. Where one is set, a server that \
         uses the gateway gets NO_PROXY and no_proxy with 127.0.0.1 added."
            .to_owned(),
    );
    entry(
        &mut roff,
        vec![bold("NO_COLOR"), roman(", "), bold("CLICOLOR_FORCE")],
        "Never or always colour".to_owned(),
    );
    roff
}

/// What is stored, and what is read.
pub(super) fn files() -> Roff {
    let mut roff = section("FILES");
    entry(
        &mut roff,
        vec![italic("$XDG_STATE_HOME/mcp-supervise"), roman(", "), italic("~/.local/state/mcp-supervise")],
        "What is stored: in last-good the greetings and lists of each server, for its next slow start, in sessions.db \
         the record of sessions, a SQLite file, and in configs what configs were before wrap, unwrap or setup changed them. On macOS it is ~/Library/Application Support/mcp-supervise. --data-dir names \
         another directory, and with --no-store nothing is stored."
            .to_owned(),
    );
    entry(
        &mut roff,
        vec![italic("/run/user/UID/mcp-supervise"), roman(", "), italic("/tmp/mcp-supervise-UID")],
        "The control sockets of the supervisors that run; the second where there is no /run/user/UID, and where \
         neither can be used, the folder sockets of the directory for what is stored. --runtime-dir names another directory."
            .to_owned(),
    );
    entry(
        &mut roff,
        vec![italic("FILE"), roman(", "), italic("FILE.lock"), roman(" of --token-file")],
        "The session token, for its owner alone, and the lock of whoever renews it. With --profile waiaas it is \
         mcp-tokens/WALLET in WAIAAS_DATA_DIR, or in ~/.waiaas, where setup writes it; mcp-token there is read, and \
         locked, as long as that one is not there."
            .to_owned(),
    );
    entry(
        &mut roff,
        vec![italic("$SHELL")],
        "Asked for its PATH, as an interactive login shell, when a command was not found. It gets no variable that is \
         kept from the server."
            .to_owned(),
    );
    roff
}

/// What is not forwarded as it came: promised to be complete.
pub(super) fn forwarding() -> Roff {
    let mut roff = section("WHAT IS NOT FORWARDED BYTE FOR BYTE");
    paragraph(
        &mut roff,
        "What is forwarded is forwarded as it came, byte for byte, but for these exceptions:",
    );
    for exception in [
        "from the second start of the server on, the ids of the server's requests, its progress tokens and the \
         requestId in its cancellations carry the number of the start, and lose it again on the way back; not in \
         revision 2026-07-28, where servers ask nothing",
        "if a server ends its listening streams because of a planned restart, the host is not told",
        "a byte order mark at the start of a line is left out",
        "progress notifications that a repeated request would send backwards, or of a request that the host does not wait \
         for, are left out; a task's go on",
        "an answer whose id comes back in another spelling, such as \"0\" for 0, carries the id as the host wrote it; \
         so do progress tokens, requestId and subscription ids",
        "if an earlier request was given up and the server may still answer it, a new request with the same id or progress \
         token is written under an id of the supervisor's, and translated back",
        "what a restarted server answers to the greeting, the logging level, the subscriptions and the listening \
         streams that it is told again does not reach the host, unless it accepts a stream in another way than before",
        "listChanged is true in the capabilities tools, prompts and resources that an answer to initialize names: the \
         host is told when a restarted server has other lists",
        "ttlMs is 0 in stored answers, from an earlier run or from before a crash",
        "answers that come too late or twice do not reach the host",
        "host notifications that a fresh or dead server must not hear do not reach it",
        "an answer longer than --max-answer is replaced by one that tells its size",
        "a JSON message at the end of a line of noise is cut out of the line; an answer only if none arrives on its own \
         line within 250 ms; other lines of the server's stdout that are no message go to stderr",
        "NaN, Infinity and -Infinity become null in what the server says",
        "bytes that are no UTF-8 in an answer or a notification become U+FFFD, as hosts that read such a line at all read \
         it",
        "a result is replaced by guidance where the API behind the server is why the tool has failed: one with isError, \
         and one without it whose text is a JSON object in which session_expired or network_error is true, as the MCP server \
         of a WAIaaS daemon has it",
        "a batch of which an element is one of these is put together again without it",
    ] {
        roff.control("IP", ["\\(bu", "2"]);
        roff.text([roman(exception)]);
    }
    roff
}
