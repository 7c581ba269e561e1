//! Our other commands, run beside the supervisors of a plan: they look where those are recorded and where their sockets
//! are.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::process::eventually;
use super::{Host, Plan};

/// The command with these words.
pub(crate) fn command(plan: &Plan, words: &[&str]) -> Command {
    let mut command = plan.beside();
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MCP_SUPERVISE_"))
    {
        command.env_remove(name);
    }
    command
        .env("MCP_SUPERVISE_DATA_DIR", plan.path("data"))
        .env("MCP_SUPERVISE_RUNTIME_DIR", plan.path("run"));
    command.env("HOME", plan.path("")).stdin(Stdio::null()).args(words);
    command
}

/// What the command with these words does: its code, what it says on stdout, and on stderr.
pub(crate) fn ours(plan: &Plan, words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(plan, words).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// What `status --json` says now.
pub(crate) fn status(plan: &Plan) -> Value {
    let (code, stdout, stderr) = ours(plan, &["status", "--json"]);
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// Asks for the status until something is found in it.
pub(crate) fn until_status<T>(plan: &Plan, host: &Host, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
    let found = eventually(|| find(&status(plan)));
    found.unwrap_or_else(|| host.fail(&format!("the status does not tell {what}: {}", status(plan))))
}

/// The only session that runs, once it is one that answers and in this phase.
pub(crate) fn running(plan: &Plan, host: &Host, phase: &str) -> Value {
    until_status(plan, host, phase, |status| {
        let one = status["running"].as_array().filter(|running| running.len() == 1)?.first()?;
        (one["answering"] == true && one["phase"] == phase).then(|| one.clone())
    })
}

/// The sessions that are over, the newest first.
pub(crate) fn over(plan: &Plan) -> Vec<Value> {
    status(plan)["recent"].as_array().expect("it is a list").clone()
}
