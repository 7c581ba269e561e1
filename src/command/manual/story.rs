//! What the program is for: what it promises, what the chat is told, and how it is used.

use clap_mangen::roff::{Roff, bold, roman};

use super::{entry, further, paragraph, section};

/// What a user may rely on.
pub(super) fn promises() -> Roff {
    let mut roff = section("PROMISES");
    for (what, how) in [
        (
            "The host's connection outlives the server.",
            "Crashes, hangs, starts that fail or take minutes, new versions of its files and the end of its session at an API \
             are absorbed.",
        ),
        (
            "Every request gets exactly one answer.",
            "The server's, or ours. None is lost, and none is answered twice. One that the host has cancelled may get none.",
        ),
        (
            "No call is run twice",
            "by us unless its server has declared it safe to repeat, or --repeat-on-401 asks for it.",
        ),
        ("stdout carries MCP messages", "and nothing else, whatever the server prints."),
        (
            "Nothing is left behind.",
            "The server and its process group are gone within 3 s of a signal, and within 8.5 s of an end of input that owes \
             nothing, also when the supervisor itself is killed. Signals are handed on as they are, and SIGKILL is never the \
             first that a server hears.",
        ),
        (
            "Secrets are masked",
            "in everything that the supervisor writes or answers, and the session token is in none of it.",
        ),
        ("What is forwarded is forwarded byte for byte,", "with the exceptions at the end of this page."),
        ("It costs nothing", "that anyone can feel: a call takes as long as through a copy of bytes."),
        (
            "The chat is told",
            "what happened and what the person can do, as an ordinary result: see GUIDANCE.",
        ),
    ] {
        entry(&mut roff, vec![bold(what)], how.to_owned());
    }
    roff
}

/// What the chat is told.
pub(super) fn guidance() -> Roff {
    let mut roff = section("GUIDANCE");
    paragraph(
        &mut roff,
        "A tool call that cannot be served gets an ordinary result whose text is one JSON object. isError is absent: the tool \
         has not failed. Where such a result would not be valid, the object is the data of a JSON-RPC error -32603. Its status:",
    );
    for (status, when) in [
        (
            "server_unavailable",
            "There is no server: it does not start, keeps crashing, or too much is waiting for it",
        ),
        ("server_restarted", "The call was in flight when the server died: its outcome is unknown"),
        ("server_timeout", "The call waited longer than --hold, or took longer than --call-timeout"),
        (
            "answer_too_large",
            "The answer is longer than --max-answer: its size is given, the outcome is unknown",
        ),
        (
            "answer_unreadable",
            "The server has answered with a line that is not valid JSON: its beginning is quoted, the outcome is unknown",
        ),
        ("session_expired", "The session token is over, or there is none"),
        ("daemon_unavailable", "The API behind the server does not answer"),
        ("kill_switch_active", "The API behind the server says that it is locked"),
    ] {
        entry(&mut roff, vec![bold(status)], when.to_owned());
    }
    further(
        &mut roff,
        "Always there beside it: message (for the person), hint (what to do), retryable, outcome (not_executed or unknown) and \
         server. Where known: retry_after_ms, exit, restarts, stderr_tail (masked) and detail (the server's own text). retryable \
         is false, and there is no retry_after_ms, where trying again leads to the same until a person has changed something: \
         the command does not exist or cannot be executed, its package is in no registry, or it has ended six times with the \
         same exit and the same last output. The tool supervisor_status, which stands in for a list that is not known, is \
         answered at once and without outcome.",
    );
    roff
}

/// How it is used.
pub(super) fn examples() -> Roff {
    let mut roff = section("EXAMPLES");
    for (command, what) in [
        (
            "mcp-supervise wrap",
            "Put the supervisor before all servers of all hosts on this machine, after showing the change",
        ),
        ("mcp-supervise unwrap --dry-run", "Show what taking it out would change"),
        ("mcp-supervise status --watch", "Show what runs, again whenever something changes"),
        (
            "mcp-supervise -- npx -y @modelcontextprotocol/server-everything",
            "Supervise one server on stdin and stdout",
        ),
        (
            "mcp-supervise --watch build -- node build/index.js",
            "Start a server anew whenever it was built anew; its host keeps the connection",
        ),
        ("mcp-supervise restart git", "Start the server git anew, once it has done what it does"),
    ] {
        entry(&mut roff, vec![roman("$ "), bold(command)], what.to_owned());
    }
    roff
}
