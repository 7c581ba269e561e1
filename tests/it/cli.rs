//! The program's command line: what reaches stdout and stderr, the exit codes, and what the environment does.

use snapbox::cmd::Command;

/// The program, with nothing of ours in its environment.
fn program() -> Command {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MCP_SUPERVISE_"));
    ours.fold(Command::new(env!("CARGO_BIN_EXE_mcp-supervise")), |command, (name, _)| {
        command.env_remove(name)
    })
}

fn ends(command: Command) -> (i32, String, String) {
    let output = command.output().expect("the program was built for this test");
    let text = |bytes| String::from_utf8(bytes).expect("we print UTF-8");
    (output.status.code().expect("no signal ended it"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_usage_error_is_told_on_stderr_with_a_hint_and_code_2() {
    for words in [&[][..], &["--"], &["--", ""], &["--bogus", "x"], &["--hold", "5", "x"], &["completions"]] {
        let (code, stdout, stderr) = ends(program().args(words));
        assert_eq!((code, stdout.as_str()), (2, ""), "{words:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{words:?}: {stderr}");
        assert!(stderr.lines().last().unwrap().starts_with("hint: "), "{words:?}: {stderr}");
    }
}

#[test]
fn what_was_asked_for_is_on_stdout_and_nothing_on_stderr() {
    for words in [&["--help"][..], &["--version"], &["man"], &["completions", "bash"], &["run", "-h"]] {
        let (code, stdout, stderr) = ends(program().args(words));
        assert_eq!((code, stderr.as_str()), (0, ""), "{words:?}");
        assert!(!stdout.is_empty() && !stdout.contains('\u{1b}'), "{words:?}: {stdout}");
    }
}

#[test]
fn an_empty_variable_is_none() {
    for name in ["DATA_DIR", "WATCH", "CALL_TIMEOUT", "NAME", "HOLD", "NO_STORE", "LOG_FILE"] {
        let (code, stdout, stderr) =
            ends(program().args(["--no-store", "true"]).env(format!("MCP_SUPERVISE_{name}"), ""));
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", ""), "{name}");
    }
}

#[test]
fn a_path_that_only_a_shell_understands_is_refused() {
    for words in [["--watch", "~/src", "true"], ["--watch=~", "--no-store", "true"]] {
        let (code, _, stderr) = ends(program().args(words));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("write the path in full"), "{stderr}");
    }
}

#[test]
fn a_bad_value_in_a_variable_is_told_by_the_variables_name() {
    for (name, value) in [
        ("MCP_SUPERVISE_HOLD", "soon"),
        ("MCP_SUPERVISE_MAX_ANSWER", "10MB"),
        ("MCP_SUPERVISE_MAX_RESTARTS", "many"),
        ("MCP_SUPERVISE_LOG", "loud"),
        ("MCP_SUPERVISE_INSTANT_START", "perhaps"),
        ("MCP_SUPERVISE_WATCH", "a::b"),
        ("MCP_SUPERVISE_WATCH", "/a:"),
        ("MCP_SUPERVISE_WATCH", "/a:~/b"),
    ] {
        for words in [&["server"][..], &["run", "server"], &["--name", "x", "run", "server"]] {
            let (code, stdout, stderr) = ends(program().env(name, value).args(words));
            assert_eq!((code, stdout.as_str()), (2, ""), "{name}={value} {words:?}");
            let hint = stderr.lines().last().unwrap();
            assert!(hint.starts_with("hint: ") && hint.contains(name), "{name}={value} {words:?}: {stderr}");
        }
    }
}

#[test]
fn a_variable_that_no_option_needs_does_no_harm() {
    let (code, _, stderr) = ends(program().env("MCP_SUPERVISE_HOLD", "soon").arg("man"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let good = program().env("MCP_SUPERVISE_HOLD", "3s").env("MCP_SUPERVISE_INSTANT_START", "1");
    assert_eq!(ends(good.args(["completions", "fish"])).0, 0);
}

#[test]
fn help_reads_the_same_whatever_the_environment_holds() {
    let plain = ends(program().arg("--help")).1;
    assert_eq!(ends(program().env("MCP_SUPERVISE_NAME", "sesame").arg("--help")).1, plain);
    assert!(!plain.contains("sesame"));
}
