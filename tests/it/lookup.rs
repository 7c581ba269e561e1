//! Commands that a bare `PATH` does not have: the login shell is asked, and what it says is used or told.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::plan::{executable, fixture};
use crate::support::{Host, Plan, guidance, message, process, request, text_of};

/// The name of a command that no system has.
const COMMAND: &str = "mcp-demo-server";

/// A plan for a command that is in the folder `tools` alone, with a shell for which this script speaks. The script is
/// called as shells are, with its options and a command.
fn shell(script: &str) -> Plan {
    let plan = Plan::new();
    let tools = plan.path("tools");
    fs::create_dir(&tools).expect("the folder is ours");
    symlink(fixture(), tools.join(COMMAND)).expect("the folder is ours");
    let shell = plan.path("shell");
    executable(&shell, &format!("#!/bin/sh\nhere='{}'\n{script}\n", plan.path("").display()));
    let plan = plan.variable("SHELL", &shell.display().to_string());
    let words = bare(&plan);
    plan.command(words)
}

/// The command line of the fixture server by a name that has to be looked for.
fn bare(plan: &Plan) -> Vec<OsString> {
    [COMMAND.into()].into_iter().chain(plan.fixture().into_iter().skip(1)).collect()
}

/// The `PATH` of the server.
fn path_of_server(host: &mut Host) -> String {
    text_of(&host.ask("path", "env", &json!({"name": "PATH"}))).to_owned()
}

#[test]
fn a_command_that_only_the_login_shell_finds_is_started_with_its_path() {
    let plan = shell("echo 'Welcome!'; PATH=\"${here}tools:/usr/bin:/bin\"; export PATH; eval \"$2\"");
    let path = format!("{}tools:/usr/bin:/bin", plan.path("").display());
    let mut host = plan.start();
    let greeting = host.greet();
    assert_eq!(greeting["result"]["serverInfo"]["name"], "fixture-server");
    assert_eq!(path_of_server(&mut host), path);
    // The next one as well, without asking again.
    process::kill_hard(host.server(1));
    host.server(2);
    assert_eq!(text_of(&host.ask("after", "env", &json!({"name": "PATH"}))), path);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_guarded_bashrc_is_read() {
    let plan = Plan::new();
    let tools = plan.path("versions/node/v22/bin");
    fs::create_dir_all(&tools).unwrap();
    symlink(fixture(), tools.join(COMMAND)).unwrap();
    fs::write(plan.path(".profile"), "if [ -n \"$BASH_VERSION\" ]; then . \"$HOME/.bashrc\"; fi\n").unwrap();
    let bashrc = "case $- in *i*) ;; *) return;; esac\n\
                  echo 'Now using node v22'\n\
                  export NVM_DIR=\"$HOME\"\n\
                  [ -d \"$NVM_DIR\" ] && PATH=\"$NVM_DIR/versions/node/v22/bin:$PATH\"\n";
    fs::write(plan.path(".bashrc"), bashrc).unwrap();
    let words = bare(&plan);
    let mut host = plan.variable("SHELL", "/bin/bash").command(words).start();
    host.greet();
    let path = path_of_server(&mut host);
    assert!(path.starts_with(&tools.display().to_string()), "{path}");
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_script_whose_interpreter_only_the_login_shell_finds_is_started() {
    let plan = shell("PATH=\"${here}tools:$PATH\"; export PATH; eval \"$2\"");
    executable(&plan.path("tools/mcp-demo-node"), "#!/bin/sh\nshift\nexec \"$@\"\n");
    let script = plan.path("server.js");
    executable(&script, "#!/usr/bin/env mcp-demo-node\n");
    let words: Vec<OsString> = [script.into_os_string()].into_iter().chain(plan.fixture()).collect();
    // The first exit, of code 127, is none of the server's.
    let mut host = plan.command(words).options("--max-restarts 0").start();
    host.greet();
    let tools = host.path("tools").display().to_string();
    assert!(path_of_server(&mut host).starts_with(&tools));
    assert_eq!(host.finish(), 0);
}

#[test]
fn what_was_tried_is_told() {
    let plan = shell("PATH=/nowhere/bin; export PATH; eval \"$2\"").variable("PATH", "/usr/bin:/bin");
    let shell = plan.path("shell").display().to_string();
    let mut host = plan.start();
    host.greet();
    assert_eq!(host.list()["result"]["tools"][0]["name"], "supervisor_status");
    let told = guidance(&host.ask(1, "supervisor_status", &json!({}))).expect("it tells the story");
    assert_eq!(told["status"], "server_unavailable");
    let detail = told["detail"].as_str().unwrap_or_default();
    for part in ["not found in PATH (", &shell, "its PATH is /nowhere/bin"] {
        assert!(detail.contains(part), "{part}: {told}");
    }
    assert_eq!(host.finish(), 127);
}

#[test]
fn the_login_shell_gets_nothing_that_is_kept_from_the_server() {
    let plan = shell("env > \"${here}seen\"; PATH=\"${here}tools:$PATH\"; export PATH; eval \"$2\"");
    let data = plan.path("").display().to_string();
    let mut host = plan
        .options("--profile waiaas --hide-env SECRET_OF_OURS")
        .variable("SECRET_OF_OURS", "sesame")
        .variable("WAIAAS_SESSION_TOKEN", "wai_sess_e30.e30.sesame")
        .variable("WAIAAS_DATA_DIR", &data)
        .variable("WAIAAS_WALLET_NAME", "Main")
        .start();
    host.greet();
    let seen = host.file("seen");
    for name in ["SECRET_OF_OURS=", "WAIAAS_SESSION_TOKEN=", "WAIAAS_DATA_DIR=", "sesame"] {
        assert!(!seen.contains(name), "{name}: {seen}");
    }
    assert!(seen.contains("WAIAAS_WALLET_NAME=Main\n") && seen.contains("HOME="), "{seen}");
    host.finish();
}

/// A shell that hangs, with a child.
fn hanging() -> Plan {
    shell(
        "sleep 1000 & echo \"$$ $!\" > \"${here}pids-of-shell.new\"; mv \"${here}pids-of-shell.new\" \"${here}pids-of-shell\"; wait",
    )
}

/// The shell and its child, once both run.
fn family(host: &Host) -> Vec<i32> {
    host.until("the shell hangs", || host.path("pids-of-shell").exists());
    let told = host.file("pids-of-shell");
    told.split_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
}

#[test]
fn a_shell_that_hangs_holds_up_nothing_but_the_server() {
    let mut host = hanging().start();
    let family = family(&host);
    host.send(message::initialize("2025-06-18"));
    for id in 0..20 {
        host.send(request(id, "ping", &json!({})));
        assert_eq!(host.answer(id)["result"], json!({}));
    }
    assert_eq!(host.answers("greet"), 0);
    assert!(family.iter().all(|pid| !process::is_gone(*pid)), "it has not hung so far");
    // Whatever else a greeting waits for, it does not wait longer than for the shell.
    let greeting = host.answer("greet");
    assert_eq!(greeting["result"]["capabilities"], json!({"tools": {"listChanged": true}}));
    for pid in &family {
        host.until_gone("the shell that hangs", *pid);
    }
    let told = guidance(&host.ask("call", "echo", &json!({"text": "a"}))).expect("there is no server");
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("it did not answer within 5 s"), "{told}");
    assert_eq!(host.finish(), 127);
}

#[test]
fn no_shell_outlives_the_supervisor() {
    for signal in [None, Some(Signal::SIGTERM), Some(Signal::SIGKILL)] {
        let mut host = hanging().start();
        let family = family(&host);
        match signal {
            None => host.close_stdin(),
            Some(signal) => host.signal(signal),
        }
        let code = host.exit();
        assert_eq!(code == 128 + 9, signal == Some(Signal::SIGKILL), "{code} after {signal:?}");
        for pid in family {
            host.until_gone("the shell that hangs", pid);
        }
    }
}
