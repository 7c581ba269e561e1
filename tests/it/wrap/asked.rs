//! What a person at a terminal is asked and warned of, and what becomes of a config that changes meanwhile.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use super::{CONFIGS, Home, program};
use crate::support::plan::fixture;
use crate::support::process::eventually;
use crate::support::terminal::Terminal;

const QUESTION: &str = "Change this file? [y/N] ";

fn at_terminal(home: &Home, words: &[&str]) -> Terminal {
    let mut command = home.command(words);
    command.env("TERM", "xterm");
    Terminal::start(command)
}

#[test]
fn without_a_terminal_and_without_yes_nobody_is_asked_and_nothing_is_written() {
    let home = Home::full();
    let shown = home.run(&["wrap", "--host", "claude-desktop"]);
    assert_eq!(shown.code, 2);
    assert!(
        shown.stderr.contains("stdin is no terminal") && shown.stderr.contains("hint: give --yes"),
        "{}",
        shown.stderr
    );
    assert!(
        shown.stdout.contains("+      \"command\""),
        "the change is shown all the same: {}",
        shown.stdout
    );
    assert_eq!(home.text(CONFIGS[0].0), CONFIGS[0].1);
}

#[test]
fn at_a_terminal_only_yes_means_yes() {
    for (answer, changed) in
        [("y\n", true), ("Yes\n", true), ("n\n", false), ("\n", false), ("yup\n", false), ("\u{4}", false)]
    {
        let home = Home::full();
        let mut terminal = at_terminal(&home, &["wrap", "--host", "claude-desktop"]);
        terminal.until_shown(QUESTION);
        assert_eq!(home.text(CONFIGS[0].0), CONFIGS[0].1, "nothing is written before the answer");
        terminal.type_in(answer);
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(if changed { 0 } else { 84 }), "{answer:?}: {shown}");
        let (summary, question) = (shown.find("4 servers in 1 file of 1 host\r\n"), shown.find(QUESTION));
        assert!(summary.is_some() && summary < question, "it is summed up before the question: {shown}");
        assert_eq!(home.text(CONFIGS[0].0).contains(program()), changed, "{answer:?}: {shown}");
        // In colour, as it is a terminal.
        assert!(shown.contains("\u{1b}[32m+") && shown.contains("\u{1b}[31m-"), "{shown}");
        assert!(!shown.contains("ghp_example"), "{shown}");
    }
}

#[test]
fn a_config_that_changes_while_the_person_thinks_is_not_written_over() {
    let home = Home::full();
    let mut terminal = at_terminal(&home, &["wrap", "--host", "claude-desktop"]);
    terminal.until_shown(QUESTION);
    let theirs = CONFIGS[0].1.replace("Ctrl+Alt+Space", "Ctrl+Space");
    home.put(CONFIGS[0].0, &theirs);
    terminal.type_in("y\n");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(81), "{shown}");
    assert!(shown.contains("it has changed since it was read") && shown.contains("try it again"), "{shown}");
    assert_eq!(home.text(CONFIGS[0].0), theirs);
}

#[test]
fn it_is_told_that_claude_desktop_runs_and_would_write_its_config_again() {
    let home = Home::full();
    let quiet = home.run(&["wrap", "-y", "--host", "cursor"]);
    assert!(!quiet.stderr.contains("Claude Desktop"), "{}", quiet.stderr);
    // A program of that name.
    let desktop = home.path("claude-desktop");
    symlink(fixture(), &desktop).expect("it can be made");
    #[expect(clippy::disallowed_methods, reason = "it stands for a host, and is no server of ours")]
    let mut desktop = std::process::Command::new(desktop)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let warned = eventually(|| {
        let shown = home.run(&["wrap", "--dry-run", "--host", "claude-desktop"]);
        assert!(!shown.stderr.contains("Claude Desktop runs"), "a dry run loses nothing: {}", shown.stderr);
        let shown = home.run(&["wrap", "-y", "--host", "claude-desktop"]);
        let warned = shown.stderr.contains("warning: Claude Desktop runs");
        home.put(CONFIGS[0].0, CONFIGS[0].1);
        warned.then_some(())
    });
    drop(desktop.stdin.take());
    desktop.wait().expect("it ends with its input");
    assert!(warned.is_some(), "it is not told");
}
