//! The demo tells its whole story, and does not tell it when it is not true.

#![expect(clippy::disallowed_methods, reason = "a test starts the program as a person would")]

use std::process::{Command, Output};

fn demo(command: &mut Command) -> (String, String, Option<i32>) {
    // Nothing of the user's: neither what is stored, nor the files of the login shell.
    let home = tempfile::tempdir().expect("a folder");
    command.env("HOME", home.path()).env("SHELL", "/bin/sh").env_remove("XDG_STATE_HOME");
    let Output { stdout, stderr, status } = command.output().expect("the demo runs");
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("the folder is there").collect();
    assert!(left.is_empty(), "the demo leaves {left:?}");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(stdout), text(stderr), status.code())
}

#[test]
fn the_story_is_told_to_its_end() {
    let program = env!("CARGO_BIN_EXE_mcp-supervise");
    // A setting for everyday use does not change the story.
    let (story, errors, code) =
        demo(Command::new(program).arg("demo").env("MCP_SUPERVISE_MAX_RESTARTS", "0"));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{story}");
    for part in [
        "kill -9",
        "server_restarted",
        "server_unavailable",
        "is offered its tools after",
        "4 kills, lost 0, doubled 0",
        "everything was as told",
    ] {
        assert!(story.contains(part), "no {part:?} in:\n{story}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_story_that_is_not_true_is_not_told() {
    // A program without a file cannot start itself as supervisor.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    std::fs::copy(env!("CARGO_BIN_EXE_mcp-supervise"), &copy).expect("a copy");
    let script = r#"exec 3<"$0"; rm "$0"; exec /proc/self/fd/3 demo"#;
    let (story, errors, code) = demo(Command::new("sh").args(["-c", script]).arg(&copy));
    assert_eq!(code, Some(1), "{story}{errors}");
    assert!(errors.starts_with("error: failed to start the supervisor"), "{errors}");
    assert!(!story.contains("as told"), "{story}");
}
