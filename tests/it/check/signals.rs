//! A check is ended by a signal at any time: at work on a schema, and before a reader that does not read.

use std::fs::File;
use std::io::{PipeWriter, Read as _, Write as _};
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{path_of, program, sound};
use crate::support::process::{eventually, is_gone};

fn terminated(mut child: Child) -> Option<i32> {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    let status = eventually(|| child.try_wait().expect("it is ours"));
    let _ = child.kill();
    status.expect("it ends").code()
}

/// Writes until there is no room.
fn fill(writer: &mut PipeWriter) {
    fcntl(&*writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it is a pipe");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl(&*writer, FcntlArg::F_SETFL(OFlag::empty())).expect("it is a pipe");
}

#[test]
fn a_check_at_work_on_a_schema_obeys_signals() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let pids = folder.path().join("pids");
    // For each level of the value both parts are gone through.
    let both = json!({"properties": {"a": {"$ref": "#"}}});
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"type": "object", "allOf": [{"properties": {"a": {"$ref": "#/$defs/b"}}}, {"properties": {"a": {"$ref": "#/$defs/b"}}}]}}});
    let tool = json!({"name": "deep", "description": "a", "inputSchema": schema});
    let value = (0..60).fold(both, |inner, _| json!({ "a": inner }));
    let server = sound(&["--tool", &tool.to_string(), "--pid-file", &path_of(&pids)]);
    let mut command = program();
    command.args(["check", "--call", &format!("deep {value}"), "--"]).args(&server);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it was built");
    // All processes of the server are gone: what is left is the judging.
    let started = eventually(|| {
        let text = std::fs::read_to_string(&pids).ok()?;
        let pids: Vec<i32> = text.lines().filter_map(|pid| pid.parse().ok()).collect();
        (pids.len() >= 6 && pids.iter().all(|pid| is_gone(*pid))).then_some(())
    });
    assert!(started.is_some(), "the server was not looked at");
    assert_eq!(terminated(child), Some(128 + 15));
}

#[test]
fn a_check_whose_report_is_not_read_obeys_signals_and_has_written_its_files() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let file = folder.path().join("report.json");
    let (reader, mut writer) = std::io::pipe().expect("the system has pipes");
    fill(&mut writer);
    let mut command = program();
    command.args(["check", "--format", "sarif", "--json", &path_of(&file), "--"]).args(sound(&[]));
    let child = command.stdout(writer).stderr(Stdio::null()).spawn().expect("it was built");
    assert!(eventually(|| file.exists().then_some(())).is_some(), "the file is not written");
    assert_eq!(terminated(child), Some(128 + 15));
    let mut text = String::new();
    File::open(&file).expect("it is there").read_to_string(&mut text).expect("it is a text");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|report| report["sound"] == true));
    drop(reader);
}
