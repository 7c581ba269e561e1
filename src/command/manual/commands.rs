//! The commands: what they do, their options, and what they tell a program.

use std::fmt::Write as _;

use clap::Command;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{entry, further, paragraph, section, uncapitalized};

/// What `clap_mangen` would write here refers to one man page for each command, and there are none.
pub(super) fn commands(definitions: &Command) -> Roff {
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
pub(super) fn wrap(definitions: &Command) -> Roff {
    let mut roff = section("WRAP AND UNWRAP");
    paragraph(
        &mut roff,
        "mcp-supervise wrap puts the supervisor before the servers in the configs of hosts, and unwrap takes it out again. Both \
         show the change and ask before anything is written. The command of an entry becomes this program by its full \
         path, in a config that is shared by its bare name, and its args become --name with the entry's key, --, and what was there. Every other byte stays as it is, \
         comments and line ends included; unwrap of a file that nobody has changed since gives it back byte for byte, and of \
         one that was changed takes out our words only. What a config was is kept in the folder configs of the directory \
         for what is stored, the last 20 times. Restart the host afterwards.",
    );
    further(
        &mut roff,
        "An entry is left as it is if its server is not started by the host (it has a url), if it is disabled, if \
         mcp-supervise is in its command line already, behind env or a shell too, if VS Code is to debug it, and if it cannot be \
         understood. unwrap takes the supervisor out of disabled entries too. A config that is not JSON (with comments and \
         with commas before closing brackets) is left alone, and so is one that changes between the look at it and the answer. \
         Claude Desktop writes its config again when it quits: quit it first.",
    );
    further(
        &mut roff,
        "A project's configs are left alone in a repository, where others share them, unless --project asks for them or \
         --config names one; colleagues then need the program too. Of a config that is a symbolic link the file behind it \
         is changed and named, but no project's config outside of its repository; one with another hard link is refused. An entry \
         before whose server a supervisor stands that is gone gets this program. Servers under keys that no known host has are \
         told by their keys (exit code 83), and so are configs in TOML and YAML, with what to write by hand.",
    );
    further(&mut roff, "The configs that are looked into, where they are there:");
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
    further(
        &mut roff,
        "XDG_CONFIG_HOME moves ~/.config. The project's are those in this directory, or in the nearest one above it that has \
         one, up to the root of the repository.",
    );
    options(&mut roff, definitions, "wrap");
    roff
}

/// What `setup` does, its options, and what it tells a program.
pub(super) fn setup(definitions: &Command) -> Roff {
    let mut roff = section("SETUP");
    paragraph(
        &mut roff,
        "mcp-supervise setup asks a WAIaaS daemon for a session, stores its token in the file that the supervisor reads, and \
         prints the entry for the host's config, or with --write puts it there. The token is not in what it prints. A supervisor that is already running with \
         this file takes the new token at once. The master password is read from WAIAAS_MASTER_PASSWORD, from the file that \
         is named, or at the terminal, without echo; it is no option, because anybody can read command lines.",
    );
    paragraph(
        &mut roff,
        "A server without WAIAAS_WALLET_ID has one session for several, whose token is in the file mcp-token of the daemon's \
         directory. setup begins that session anew for the wallets that it had, if no wallet is named and the daemon still \
         lists it; with --together it makes such a session where there is none.",
    );
    options(&mut roff, definitions, "setup");
    further(&mut roff, "With --output json, one object is printed as soon as a session was asked for:");
    for (field, meaning) in [
        ("base_url", "the daemon's address"),
        (
            "sessions",
            "a list of those that were obtained: wallet_id (null for a session of wallets together), wallet_name (null where there \
             is none), wallet_ids (of all wallets that it is for), session_id (null where it \
             is not known), token_file, expires_at (seconds since 1970, null for a session that does not end by itself), key \
             (of the entry in config), and replaced, which is null or the session whose token was in the file before: its \
             session_id and whether it is revoked",
        ),
        (
            "failures",
            "a list of the wallets that got none: wallet_id, wallet_name, wallet_ids, exit_code, message, hint (null where there is none); \
             setup exits with the first one's code",
        ),
        ("warnings", "a list of texts"),
        ("config", "the entries, in the member mcpServers"),
        (
            "written",
            "null, or what became of the config that --write was to write: file, kept (where what it was is, null if there was \
             nothing to keep), and lists of keys: left (of servers that were there already, and are something else), replaced (of \
             servers of the same wallet that got the supervisor), unsupervised (of those that have none still)",
        ),
    ] {
        entry(&mut roff, vec![bold(field)], meaning.to_owned());
    }
    roff
}

/// What `status` shows, and what it and the monitor tell a program.
pub(super) fn status(definitions: &Command) -> Roff {
    let mut roff = section("STATUS");
    paragraph(
        &mut roff,
        "mcp-supervise status asks the supervisors that run, and reads the record of those that ran before. One that does not \
         answer within half a second is shown as it was last recorded. restart and stop find a server by its name, or by its \
         session's id or the end of that, of 4 letters at least. They wait until the new server serves, or the supervisor has ended, \
         and say how long that took, or what came of it instead.",
    );
    options(&mut roff, definitions, "status");
    further(
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
        (
            "api_state",
            "what is known of the API by how the last request to it through the gateway has ended: unknown (none has yet, or \
             there is no gateway), ok, locked or unreachable; of a session that is over, what was known last",
        ),
        ("closed_at", "when the session ended; null while it has not"),
        (
            "close_reason",
            "host_eof, host_gone, signal, asked (by stop), or lost (its end was not recorded: the supervisor was killed, as a \
             rule); null while it runs",
        ),
        ("answering", "of one that runs: whether its supervisor has answered"),
        ("release, options", "of one that has answered: its version, and its options, secrets masked"),
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
pub(super) fn options(roff: &mut Roff, definitions: &Command, command: &str) {
    for option in definitions.find_subcommand(command).into_iter().flat_map(Command::get_arguments) {
        let Some(long) = option.get_long().filter(|long| *long != "help") else { continue };
        let mut head = vec![bold(format!("--{long}"))];
        if option.get_action().takes_values() {
            head.extend([roman(" "), italic(option.get_value_names().unwrap_or_default().join(" "))]);
            let default = option.get_default_values().first();
            head.extend(default.map(|default| roman(format!(" [default: {}]", default.display()))));
        }
        let mut help = option.get_help().map(ToString::to_string).unwrap_or_default();
        // Of hosts there is more to say than what they are called.
        let explained = option.get_action().takes_values() && option.get_id() != "host";
        for value in option.get_possible_values().iter().filter(|_| explained) {
            let meaning = value.get_help().map(ToString::to_string).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(help, ". {}: {}", value.get_name(), uncapitalized(&meaning));
        }
        entry(roff, head, help);
    }
}
