//! `man`: the man page. The parts about the command line are generated from its definitions, the rest is written here.
//! Pure rendering: the same definitions give the same bytes, whatever the environment holds.

use std::fmt::Write as _;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::{cli, exit_code};

/// The man page, as roff source.
pub fn render() -> Vec<u8> {
    let mut definitions = cli::definitions();
    definitions.build();
    let man = Man::new(definitions.clone()).manual("User Commands");
    let mut page = generated(&man, Man::render_title);
    for section in [
        generated(&man, Man::render_name_section),
        generated(&man, Man::render_synopsis_section),
        generated(&man, Man::render_description_section),
        commands(&definitions).render(),
        generated(&man, Man::render_options_section),
        wrap(&definitions).render(),
        setup(&definitions).render(),
        status(&definitions).render(),
        exit_status().render(),
        environment(&definitions).render(),
        files().render(),
        forwarding().render(),
    ] {
        // Every part comes with the same preamble, which belongs at the head of the page only.
        page.push_str(section.strip_prefix(&Roff::new().render()).unwrap_or(&section));
    }
    page.into_bytes()
}

/// One part of the page, written by `clap_mangen`.
fn generated(man: &Man, part: impl Fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    part(man, &mut bytes).expect("writing to memory cannot fail");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What `clap_mangen` would write here refers to one man page for each command, and there are none.
fn commands(definitions: &Command) -> Roff {
    let mut roff = section("COMMANDS");
    for command in definitions.get_subcommands() {
        let mut head = vec![bold(command.get_name())];
        for argument in command.get_positionals() {
            head.push(roman(" "));
            head.push(italic(argument.get_value_names().unwrap_or_default().join(" ")));
        }
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        entry(&mut roff, head, about);
    }
    roff
}

/// What `wrap` and `unwrap` do to which files.
fn wrap(definitions: &Command) -> Roff {
    let mut roff = section("WRAP AND UNWRAP");
    paragraph(
        &mut roff,
        "mcp-supervise wrap puts the supervisor before the servers in the configs of hosts, and unwrap takes it out again. Both \
         show the change and ask before anything is written. The command of an entry becomes this program by its full \
         path, and its args become --name with the entry's key, --, and what was there. Every other byte stays as it is, \
         comments and line ends included; unwrap of a file that nobody has changed since gives it back byte for byte, and of \
         one that was changed takes out our words only. What a config was is kept in the folder configs of the directory \
         for what is stored, the last 20 times. Restart the host afterwards.",
    );
    paragraph(
        &mut roff,
        "An entry is left as it is if its server is not started by the host (it has a url), if it is disabled, if \
         mcp-supervise is in its command line already, behind env or a shell too, if VS Code is to debug it, and if it cannot be \
         understood. unwrap takes the supervisor out of disabled entries too. A config that is not JSON (with comments and \
         with commas before closing brackets) is left alone, and so is one that changes between the look at it and the answer. \
         Claude Desktop writes its config again when it quits: quit it first.",
    );
    paragraph(&mut roff, "The configs that are looked into, where they are there:");
    for (host, files) in [
        (
            "claude-desktop",
            "claude_desktop_config.json in ~/.config/Claude, on macOS in ~/Library/Application Support/Claude",
        ),
        (
            "claude-code",
            "the project's .mcp.json, and ~/.claude.json (or that in CLAUDE_CONFIG_DIR) with the servers of the user and those \
             of the user for single projects",
        ),
        ("cursor", "the project's .cursor/mcp.json, and ~/.cursor/mcp.json"),
        (
            "vscode",
            "the project's .vscode/mcp.json, and mcp.json of the user and of each profile in ~/.config/Code/User, on macOS in \
             ~/Library/Application Support/Code/User; and those of Code - Insiders",
        ),
        ("copilot", "the project's .mcp.json, and mcp-config.json in ~/.copilot or in COPILOT_HOME"),
        ("windsurf", "~/.codeium/windsurf/mcp_config.json"),
        ("inspector", "~/.mcp-inspector/mcp.json"),
    ] {
        entry(&mut roff, vec![bold(host)], files.to_owned());
    }
    paragraph(
        &mut roff,
        "XDG_CONFIG_HOME moves ~/.config. The project's are those in this directory, or in the nearest one above it that has \
         one, up to the root of the repository.",
    );
    options(&mut roff, definitions, "wrap");
    roff
}

/// What `setup` does, its options, and what it tells a program.
fn setup(definitions: &Command) -> Roff {
    let mut roff = section("SETUP");
    paragraph(
        &mut roff,
        "mcp-supervise setup asks a WAIaaS daemon for a session, stores its token in the file that the supervisor reads, and \
         prints the entry for the host's config, or with --write puts it there. The token is not in what it prints. A supervisor that is already running with \
         this file takes the new token at once. The master password is read from WAIAAS_MASTER_PASSWORD, from the file that \
         is named, or at the terminal, without echo; it is no option, because anybody can read command lines.",
    );
    options(&mut roff, definitions, "setup");
    roff.control("PP", []);
    paragraph(&mut roff, "With --output json, one object is printed as soon as a session was asked for:");
    for (field, meaning) in [
        ("base_url", "the daemon's address"),
        (
            "sessions",
            "a list of those that were obtained: wallet_id, wallet_name (null where there is none), session_id (null where it \
             is not known), token_file, expires_at (seconds since 1970, null for a session that does not end by itself), key \
             (of the entry in config), and replaced, which is null or the session whose token was in the file before: its \
             session_id and whether it is revoked",
        ),
        (
            "failures",
            "a list of the wallets that got none: wallet_id, wallet_name, exit_code, message, hint (null where there is none); \
             setup exits with the first one's code",
        ),
        ("warnings", "a list of texts"),
        ("config", "the entries, in the member mcpServers"),
        (
            "written",
            "null, or what became of the config that --write was to write: file, kept (where what it was is, null if there was \
             nothing to keep), and left (a list of the keys whose servers were there already, and are something else)",
        ),
    ] {
        entry(&mut roff, vec![bold(field)], meaning.to_owned());
    }
    roff
}

/// What `status` shows, and what it and the monitor tell a program.
fn status(definitions: &Command) -> Roff {
    let mut roff = section("STATUS");
    paragraph(
        &mut roff,
        "mcp-supervise status asks the supervisors that run, and reads the record of those that ran before. One that does not \
         answer within half a second is shown as it was last recorded. restart and stop find a server by its name, or by its \
         session's id or the end of that, of 4 letters at least.",
    );
    options(&mut roff, definitions, "status");
    roff.control("PP", []);
    paragraph(
        &mut roff,
        "With --json one object is printed, with --watch too one a line, each time that something has changed: running (a \
         list of sessions), recent (a list of sessions that are over, the one that ended last first) and warnings (a list of texts: what \
         is missing, and why). All times are milliseconds since 1970. The fields of a session:",
    );
    for (field, meaning) in [
        ("id", "a UUID of version 7"),
        ("name, command", "the server's name, and its command line, secrets masked"),
        ("transport", "stdio"),
        ("client_name, client_version", "what the host calls itself; null before it has greeted"),
        (
            "protocol_version, server_name, server_version",
            "what the server has greeted with; null before it has",
        ),
        ("pid, pid_started", "the supervisor's process, and when it started, in a form to be compared only"),
        ("created_at", "when the session began"),
        ("last_active", "when the host last said anything; null if it never has"),
        ("alive_at", "when the supervisor was last known to live; it is written once a minute at least"),
        ("phase", "starting, serving, draining, crashed, waiting, degraded, stopping or stopped"),
        ("tool_calls, requests", "requests of the host with the method tools/call, and all of them"),
        ("errors", "answers of the server that were JSON-RPC errors"),
        ("guidance_answers", "requests that were answered with guidance"),
        ("restarts", "servers that were started after the first"),
        ("noise_lines", "lines on the server's stdout that were no messages"),
        ("bytes_to_server, bytes_to_host", "what was written to them"),
        (
            "token_state, token_expires_at",
            "none (the server gets no session token), unknown, absent, active or expired; and when it ends, null if it does not",
        ),
        ("closed_at", "when the session ended; null while it has not"),
        (
            "close_reason",
            "host_eof, host_gone, signal, asked (by stop), or lost (its end was not recorded: the supervisor was killed, as a \
             rule); null while it runs",
        ),
        ("answering", "of one that runs: whether its supervisor has answered"),
        (
            "server_pid, guidance, latency, recovery",
            "of one that has answered: the server's process, how often each status of guidance was given, and how long requests, \
             and the times without a server, have lasted: count, sum (in seconds) and buckets, each with what did not last longer than its bound and not as \
             long as the one before; the bounds of latency are 0.5, 1, 2.5, 5, 10, 25, 100 and 500 ms, 1, 5, 30 and 120 s, \
             those of recovery 10, 25, 50, 100, 250 and 500 ms, 1, 2.5, 5, 10, 60 and 300 s",
        ),
    ] {
        entry(&mut roff, vec![bold(field)], meaning.to_owned());
    }
    roff
}

/// The options of a command that has some of its own.
fn options(roff: &mut Roff, definitions: &Command, command: &str) {
    for option in definitions.find_subcommand(command).into_iter().flat_map(Command::get_arguments) {
        let Some(long) = option.get_long().filter(|long| *long != "help") else { continue };
        let mut head = vec![bold(format!("--{long}"))];
        if option.get_action().takes_values() {
            head.extend([roman(" "), italic(option.get_value_names().unwrap_or_default().join(" "))]);
            let default = option.get_default_values().first();
            head.extend(default.map(|default| roman(format!(" [default: {}]", default.display()))));
        }
        let mut help = option.get_help().map(ToString::to_string).unwrap_or_default();
        for value in option.get_possible_values().iter().filter(|_| option.get_action().takes_values()) {
            let meaning = value.get_help().map(ToString::to_string).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(help, ". {}: {}", value.get_name(), uncapitalized(&meaning));
        }
        entry(roff, head, help);
    }
}

fn exit_status() -> Roff {
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
    let other =
        format!("The server's own code, or {} and the number of the signal that ended it", exit_code::SIGNAL);
    entry(&mut roff, vec![roman("other")], other);
    roff
}

fn environment(definitions: &Command) -> Roff {
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
fn files() -> Roff {
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
        "The control sockets of the supervisors that run; the second where there is no /run/user/UID. --runtime-dir names \
         another directory."
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
fn forwarding() -> Roff {
    let mut roff = section("WHAT IS NOT FORWARDED BYTE FOR BYTE");
    paragraph(
        &mut roff,
        "What is forwarded is forwarded as it came, byte for byte, but for these exceptions:",
    );
    for exception in [
        "from the second start of the server on, the ids of the server's requests, its progress tokens and the \
         requestId in its cancellations carry the number of the start, and lose it again on the way back",
        "a byte order mark at the start of a line is left out",
        "progress notifications that a repeated request would send backwards are left out",
        "what a restarted server answers to the greeting, the logging level, the subscriptions and the listening \
         streams that it is told again does not reach the host, unless it accepts a stream in another way than before",
        "listChanged is true in the capabilities tools, prompts and resources that an answer to initialize names: the \
         host is told when a restarted server has other lists",
        "ttlMs is 0 in answers of an earlier run, or of before a crash, that are given again",
        "answers that come too late or twice do not reach the host",
        "host notifications that a fresh or dead server must not hear do not reach it",
        "an answer longer than --max-answer is replaced by one that tells its size",
        "a JSON message that follows noise on the same line is cut out of it; other lines of the server's stdout that \
         are no message go to stderr",
        "bytes that are no UTF-8 in an answer or a notification become U+FFFD, as hosts that read such a line at all read \
         it",
        "a result with isError is replaced by guidance where the API behind the server is why the tool has failed",
        "a batch of which an element is one of these is put together again without it",
    ] {
        roff.control("IP", ["\\(bu", "2"]);
        roff.text([roman(exception)]);
    }
    roff
}

/// A sentence as it goes on inside another one.
fn uncapitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn section(title: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff
}

fn paragraph(roff: &mut Roff, text: &str) {
    roff.text([roman(text)]);
}

/// A term and what is to be said about it.
fn entry(roff: &mut Roff, term: Vec<Inline>, text: String) {
    roff.control("TP", []);
    roff.text(term);
    roff.text([roman(text)]);
}
