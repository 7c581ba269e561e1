//! What the chat and the log say about real servers that fail: whether it is true, and whether it helps.

use std::fs;

use serde_json::{Value, json};

use crate::support::plan::executable;
use crate::support::{Host, Plan, guidance, process, text_of};

/// The guidance for a call once the server is known to be unavailable.
fn told_of_a_call(host: &mut Host) -> Value {
    host.greet();
    host.stderr_line_with("the server is not available");
    let answer = host.ask("call", "echo", &json!({"text": "a"}));
    guidance(&answer).unwrap_or_else(|| host.fail("the call was not answered with guidance"))
}

fn text<'t>(told: &'t Value, field: &str) -> &'t str {
    told[field].as_str().unwrap_or_default()
}

#[test]
fn a_script_with_windows_line_endings_is_told_as_that() {
    for (first, code) in [("#!/bin/sh\r\n", 126), ("#!/usr/bin/env sh\r\n", 127)] {
        let plan = Plan::new();
        let command = plan.path("server");
        executable(&command, &format!("{first}exit 0\r\n"));
        let mut host = plan.command([&command]).options("--max-restarts 0").start();
        let told = told_of_a_call(&mut host);
        assert!(text(&told, "message").contains("Windows line endings"), "{first:?}: {told}");
        assert!(text(&told, "hint").contains("sed -i"), "{first:?}: {told}");
        assert_eq!((&told["retryable"], told.get("retry_after_ms")), (&json!(false), None), "{told}");
        assert_eq!(host.finish(), code);
    }
}

#[test]
fn a_command_line_in_one_word_and_what_nothing_expands_are_named() {
    for (word, message, hint) in [
        ("mcp-nowhere -y server", "a whole command line in one word", r#""command": "mcp-nowhere""#),
        ("~/bin/mcp-nowhere", "~/ in it was not expanded", "without a shell"),
        ("${workspaceFolder}/server", "${workspaceFolder} in it was not expanded", "without a shell"),
    ] {
        let mut host = Plan::new().command([word]).start();
        let told = told_of_a_call(&mut host);
        assert!(text(&told, "message").contains(message), "{told}");
        assert!(text(&told, "hint").contains(hint), "{told}");
        assert_eq!((&told["retryable"], told.get("retry_after_ms")), (&json!(false), None), "{told}");
        assert_eq!(host.finish(), 127);
    }
}

#[test]
fn a_code_that_means_a_signal_is_told_alike_in_chat_and_log() {
    let mut host = Plan::new().options("--max-restarts 0").script("sh -c 'kill -KILL $$'; exit $?").start();
    let told = told_of_a_call(&mut host);
    assert_eq!(told["exit"], "signal 9");
    assert!(text(&told, "message").contains("killed by signal 9 (SIGKILL), perhaps out of memory"), "{told}");
    assert_eq!(host.finish(), 137);
    assert!(host.all_stderr().contains("killed by signal 9 (SIGKILL)"), "{}", host.all_stderr());
}

#[test]
fn the_same_exit_six_times_is_told_as_one_that_stays() {
    let mut host = Plan::new()
        .options("--backoff-max 0s")
        .script("echo \"no key, process $$ at $(date +%s%N)\" >&2; exit 2")
        .start();
    let told = told_of_a_call(&mut host);
    assert!(text(&told, "message").contains("6 times in a row"), "{told}");
    assert_eq!((&told["retryable"], told.get("retry_after_ms")), (&json!(false), None), "{told}");
    assert_eq!(host.finish(), 2);
}

#[test]
fn a_server_that_prints_and_does_not_answer_is_told_with_its_last_lines() {
    let banner = "Server listening on http://localhost:3000";
    for stream in ["1", "2"] {
        let mut host = Plan::new()
            .options("--init-timeout 100ms --hold 200ms")
            .script(&format!(
                "printf 'loading 1%%\\rloading 100%%\\n' >&2; echo '{banner}' >&{stream}; cat > /dev/null"
            ))
            .start();
        host.stderr_line_with(banner);
        host.greet();
        assert_eq!(host.list()["result"]["tools"][0]["name"], "supervisor_status");
        for (tool, said) in [("supervisor_status", ""), ("echo", "so this request was not executed")] {
            let told = guidance(&host.ask(tool, tool, &json!({}))).expect("there is no answer");
            let message = text(&told, "message");
            assert!(message.contains("has printed something, but has answered nothing yet"), "{told}");
            assert!(message.contains(said) && !message.contains("not ready"), "{told}");
            assert!(text(&told, "hint").contains("web server"), "{told}");
            let tail = text(&told, "stderr_tail");
            assert!(
                tail.contains(banner) && tail.contains("loading 100%") && !tail.contains("loading 1%"),
                "{told}"
            );
        }
        host.finish();
    }
}

#[test]
fn a_bar_of_progress_does_not_hide_what_was_said() {
    let mut host = Plan::new()
        .options("--max-restarts 0")
        .script(
            "echo 'Error: the disk is full' >&2; i=0; \
             while [ $i -lt 5000 ]; do printf '\\r\\033[2K\\033[36mcleaning\\033[0m %d of 5000' $i >&2; i=$((i+1)); done; \
             echo >&2; exit 1",
        )
        .start();
    let told = told_of_a_call(&mut host);
    assert_eq!(text(&told, "stderr_tail"), "Error: the disk is full\ncleaning 4999 of 5000");
    host.finish();
}

#[test]
fn a_call_that_ends_the_server_twice_is_told_as_that() {
    let mut host = Plan::new().start();
    host.greet();
    host.list();
    let told = guidance(&host.ask("call", "crash-safe", &json!({}))).expect("nothing can answer it");
    assert_eq!((&told["status"], &told["retryable"]), (&json!("server_restarted"), &json!(false)));
    let message = text(&told, "message");
    assert!(
        message.contains("\"crash-safe\"") && message.contains("the call itself seems to end it"),
        "{told}"
    );
    assert!(text(&told, "hint").starts_with("Do not make the same call again"), "{told}");
    host.finish();
}

#[test]
fn the_log_says_that_a_server_is_back_and_who_asks_for_what() {
    let mut host = Plan::new().start();
    host.greet();
    host.list();
    process::kill_hard(host.server(1));
    host.server(2);
    assert_eq!(text_of(&host.ask(1, "echo", &json!({"text": "a"}))), "a");
    host.stderr_line_with("serving again after ");
    host.finish();
    let stderr = host.all_stderr();
    let line = stderr.lines().find(|line| line.contains("serving again after ")).unwrap_or_default();
    assert!(line.contains("WARN") && line.contains(" s, restart 1 of 5 in 60 s"), "{line}");

    let mut host = Plan::new().options("--log debug").start();
    host.greet();
    host.ask("the-id", "echo", &json!({"text": "a-payload"}));
    host.finish();
    let stderr = host.all_stderr();
    for what in ["asked", "done"] {
        let line = stderr.lines().find(|line| line.contains("tools/call") && line.contains(what));
        let line = line.unwrap_or_else(|| panic!("{what}: {stderr}"));
        assert!(line.contains("echo") && line.contains("the-id") && line.contains("DEBUG"), "{line}");
    }
    assert!(!stderr.contains("a-payload"), "{stderr}");
}

#[test]
fn an_executable_bit_that_is_set_later_is_seen() {
    let plan = Plan::new();
    let command = plan.path("server");
    fs::write(&command, "#!/bin/sh\nexec \"$@\"\n").unwrap();
    let words: Vec<_> = [command.clone().into_os_string()].into_iter().chain(plan.fixture()).collect();
    let mut host = plan.command(words).options("--log debug").start();
    host.stderr_line_with("watching for changes");
    executable(&command, "#!/bin/sh\nexec \"$@\"\n");
    let server = host.server(1);
    host.greet();
    assert_eq!(host.state(1)["pid"], server);
    assert_eq!(host.finish(), 0);
}
