//! The master password: where it is taken from, and that it is shown nowhere, not even while it is typed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Setup, living};
use crate::support::daemon::{Daemon, PASSWORD, WALLET};
use crate::support::process::eventually;
use crate::support::terminal::Terminal;

/// A file with this in it, and a folder that it is in.
fn file(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("password");
    fs::write(&path, text).expect("a file can be written");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
    (dir, path)
}

fn setup(daemon: &Daemon) -> Setup {
    Setup::of(daemon).without("WAIAAS_MASTER_PASSWORD")
}

#[test]
fn it_comes_from_a_file_or_from_the_variable_before_that() {
    let daemon = Daemon::of(&[WALLET], "--max-sessions 9");
    let (_dir, right) = file(&format!("{PASSWORD}\n"), 0o600);
    let (_other_dir, wrong) = file("wrong horse", 0o600);
    setup(&daemon).option("--password-file", &right).run().done();
    setup(&daemon).variable("WAIAAS_MASTER_PASSWORD_FILE", &right).run().done();
    Setup::of(&daemon).option("--password-file", &wrong).run().done();
    // The command line wins over the variable of the file; an empty variable is none.
    let both =
        setup(&daemon).variable("WAIAAS_MASTER_PASSWORD_FILE", &wrong).option("--password-file", &right);
    both.variable("WAIAAS_MASTER_PASSWORD", "").run().done();
    let shown = setup(&daemon).option("--password-file", &wrong).run();
    shown.failed(65, "the daemon says that the master password is wrong");
    assert!(shown.stderr.contains(&format!("the file {}", wrong.display())), "{}", shown.stderr);
    assert!(!shown.stderr.contains("wrong horse"));
}

#[test]
fn a_wrong_one_is_an_error_of_its_own() {
    for options in ["", "--errors nested"] {
        let daemon = Daemon::of(&[WALLET], options);
        let wrong = || Setup::of(&daemon).variable("WAIAAS_MASTER_PASSWORD", "wrong horse");
        for shown in [wrong().run(), wrong().option("--wallet", WALLET).run(), wrong().options("--all").run()]
        {
            shown.failed(65, "the master password is wrong");
            assert!(shown.stderr.contains("WAIAAS_MASTER_PASSWORD"), "{}", shown.stderr);
            assert!(shown.stdout.is_empty() && !shown.stderr.contains("wrong horse"));
        }
        assert!(living(&daemon).is_empty());
    }
}

#[test]
fn a_file_that_is_missing_or_open_to_others_is_told() {
    let daemon = Daemon::of(&[WALLET], "");
    let (dir, open) = file(PASSWORD, 0o644);
    let missing = dir.path().join("missing");
    setup(&daemon).option("--password-file", &missing).run().failed(2, &missing.display().to_string());
    let shown = setup(&daemon).option("--password-file", &open).run();
    assert_eq!(shown.code, 0);
    assert!(shown.stderr.starts_with("warning: others can read the password file"), "{}", shown.stderr);
}

#[test]
fn without_one_and_without_a_terminal_nobody_is_asked() {
    let daemon = Daemon::of(&[WALLET], "");
    setup(&daemon).run().failed(2, "there is no terminal to ask at");
    setup(&daemon).variable("WAIAAS_MASTER_PASSWORD", "two\nlines").run().failed(2, "no request can carry");
}

#[test]
fn it_is_no_option_and_the_refusal_does_not_repeat_it() {
    let daemon = Daemon::of(&[WALLET], "");
    for words in [
        &["--password", "sesame"][..],
        &["--password=sesame"],
        &["--password"],
        &["--all", "--password", "sesame", "word"],
    ] {
        let shown = words.iter().fold(Setup::of(&daemon), |setup, word| Setup {
            command: setup.command.arg(word),
            home: setup.home,
        });
        let shown = shown.run();
        shown.failed(2, "can read the command lines of all programs");
        assert!(
            !shown.stderr.contains("sesame") && shown.stderr.contains("--password-file"),
            "{}",
            shown.stderr
        );
    }
    assert!(daemon.log().is_empty());
}

/// The program at a terminal of its own, and its home.
fn ask(daemon: &Daemon) -> (Terminal, TempDir) {
    let home = tempfile::tempdir().expect("a folder");
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test, which needs a terminal of its own"
    )]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
    command.arg("setup").env_clear().env("HOME", home.path());
    command.env("WAIAAS_BASE_URL", daemon.base()).env("WAIAAS_DATA_DIR", daemon.data_dir());
    let mut terminal = Terminal::start(command);
    terminal.until_shown("Master password of the daemon: ");
    // At once: some type as soon as they are asked.
    assert!(!terminal.echoes(), "what is typed is shown");
    (terminal, home)
}

#[test]
fn it_is_asked_for_at_the_terminal_and_not_shown() {
    let daemon = Daemon::of(&[WALLET], "");
    let (mut terminal, _home) = ask(&daemon);
    terminal.type_in(&format!("{PASSWORD}\n"));
    let (status, shown) = terminal.end();
    assert!(status.success(), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("wai_sess_"), "{shown}");
    assert!(shown.contains("mcpServers"), "{shown}");
}

#[test]
fn an_interrupt_at_the_prompt_leaves_the_terminal_as_it_was() {
    let daemon = Daemon::of(&[WALLET], "");
    let (mut terminal, _home) = ask(&daemon);
    terminal.type_in("corr\u{3}");
    let status = eventually(|| terminal.child.try_wait().expect("it is our child")).expect("it ends");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(nix::libc::SIGINT));
    assert!(terminal.echoes());
}
