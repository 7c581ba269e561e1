//! Every spelling of a command line, and what is made of it. What the environment does is tested on the program itself,
//! in `tests/it/cli.rs`: these tests read the words only.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::cli::{Level, LogFormat, Replay, Run};

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("mcp-supervise").chain(line.split_whitespace()).map(OsString::from).collect()
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Refusal> {
    super::parse(words, false)
}

fn run(line: &str) -> Run {
    match parse(words(line)) {
        Ok(Command::Run(run)) => run,
        other => panic!("{line}: {other:?}"),
    }
}

fn refused(line: &str) -> UsageError {
    match parse(words(line)) {
        Err(Refusal::Usage(error)) => error,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_servers_command_starts_at_the_first_word_that_is_not_ours() {
    for (line, command) in [
        ("server", "server"),
        ("-- server", "server"),
        ("npx -y server --verbose", "npx -y server --verbose"),
        ("--hold 5s npx -y server --verbose", "npx -y server --verbose"),
        ("--hold=5s -- npx -y server --hold 7s", "npx -y server --hold 7s"),
        ("run npx -y server", "npx -y server"),
        ("run -- npx -y server", "npx -y server"),
        ("run --hold 5s npx -y server", "npx -y server"),
        ("--hold 5s run npx -y server", "npx -y server"),
        ("--hold 5s run -- npx -y server", "npx -y server"),
        ("run run x", "run x"),
        ("run demo", "demo"),
        ("--hold 5s run demo", "demo"),
        ("-- run x", "run x"),
        ("--hold 5s -- run x", "run x"),
        ("run -- run x", "run x"),
        ("-- demo", "demo"),
        ("-- -x --help", "-x --help"),
        ("server -- x", "server -- x"),
        ("-- server -- x", "server -- x"),
        ("server run demo", "server run demo"),
        ("server --help", "server --help"),
        ("server -V --bogus", "server -V --bogus"),
        ("completion bash", "completion bash"),
        ("--instant-start server", "server"),
        ("- x", "- x"),
    ] {
        assert_eq!(run(line).command, &words(command)[1..], "{line}");
        // The same when the environment is read too.
        assert!(
            matches!(super::parse(words(line), true), Ok(Command::Run(run)) if run.command == words(command)[1..]),
            "{line}"
        );
    }
}

#[test]
fn options_before_and_after_the_commands_name_count_alike() {
    let run = run("--hold 5s --max-restarts 9 run --hold 6s --name x server --hold 7s");
    assert_eq!((run.hold, run.max_restarts), (Duration::from_secs(6), 9));
    assert_eq!(run.name.as_deref(), Some("x"));
}

#[test]
fn each_watch_is_one_path_whatever_is_in_it() {
    for (line, paths) in [
        ("server", &[][..]),
        ("--watch a server", &["a"]),
        ("--watch a --watch b server", &["a", "b"]),
        ("--watch=a --hold 5s --watch=b -- server --watch c", &["a", "b"]),
        ("run --watch a --watch b server", &["a", "b"]),
        ("--watch a run --watch b server", &["a", "b"]),
        ("--watch a:b --watch :c: server", &["a:b", ":c:"]),
        ("--watch a,b;c server", &["a,b;c"]),
        ("--watch a --watch a server", &["a", "a"]),
    ] {
        let expected: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        assert_eq!(run(line).watch, expected, "{line}");
    }
    let odd = OsString::from_vec(b"/\xff:\xfe x".to_vec());
    let mut argv = words("--watch");
    argv.extend([odd.clone(), "server".into()]);
    match parse(argv) {
        Ok(Command::Run(run)) => assert_eq!(run.watch, [PathBuf::from(odd)]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_paths_in_the_variable_of_watch_are_separated() {
    for line in ["--watch a:/b,c:./d server", "run --watch a:/b,c:./d server"] {
        let cli = read(separated(plain()), &words(line)).unwrap();
        let run = if let Some(Command::Run(run)) = cli.command { run } else { cli.run };
        assert_eq!(run.watch, ["a", "/b,c", "./d"].map(PathBuf::from), "{line}");
    }
    for empty in [":", "a:", ":a", "a::b"] {
        let error = read(separated(plain()), &words(&format!("--watch {empty} server"))).unwrap_err();
        assert!(names(&error, "--watch"), "{empty}: {error}");
    }
}

#[test]
fn the_defaults_are_those_of_the_manual() {
    for run in [run("server"), run("run server")] {
        assert_eq!(run.name, None);
        assert_eq!((run.max_restarts, run.restart_window), (5, Duration::from_secs(60)));
        assert_eq!(
            (run.backoff_initial, run.backoff_max),
            (Duration::from_millis(250), Duration::from_secs(30))
        );
        assert_eq!((run.hold, run.init_grace), (Duration::from_secs(10), Duration::from_secs(2)));
        assert_eq!((run.init_timeout, run.instant_start, run.replay), (None, false, Replay::Safe));
        assert_eq!((run.stop_grace, run.term_grace), (Duration::from_secs(5), Duration::from_secs(2)));
        assert_eq!((run.max_line, run.max_answer), (64 << 20, (10 << 20) - (64 << 10)));
        assert_eq!((run.log, run.log_file, run.log_format), (Level::Warn, None, LogFormat::Text));
    }
}

#[test]
fn the_servers_words_need_not_be_text() {
    let odd = OsString::from_vec(b"\xff\xfe".to_vec());
    for before in ["", "--", "run", "run --", "--hold 5s run"] {
        let mut argv = words(before);
        argv.extend([odd.clone(), odd.clone()]);
        match parse(argv) {
            Ok(Command::Run(run)) => assert_eq!(run.command, [odd.clone(), odd.clone()], "{before}"),
            other => panic!("{before}: {other:?}"),
        }
    }
}

#[test]
fn the_other_commands_are_found() {
    assert!(matches!(parse(words("demo")), Ok(Command::Demo { serve: false })));
    assert!(matches!(parse(words("man")), Ok(Command::Man)));
    assert!(matches!(
        parse(words("completions zsh")),
        Ok(Command::Completions { shell: clap_complete::Shell::Zsh })
    ));
}

#[test]
fn help_and_version_are_no_errors() {
    for (line, part) in [
        ("--help", "--max-restarts"),
        ("-h", "Print the version"),
        ("help", "--max-restarts"),
        ("run -h", "--max-restarts"),
        ("run --help", "--max-restarts"),
        ("help run", "--max-restarts"),
        ("demo --help", "ten seconds"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        match parse(words(line)) {
            Err(Refusal::Show(text)) => assert!(text.contains(part), "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn help_fits_a_screen_of_80_columns() {
    for (line, most) in [
        ("-h", 25),
        ("--help", 50),
        ("check --help", 50),
        ("wrap --help", 50),
        ("status --help", 50),
        ("setup -h", 75),
    ] {
        let Err(Refusal::Show(text)) = parse(words(line)) else { panic!("{line} shows nothing") };
        let plain = anstream::adapter::strip_str(&text).to_string();
        // As many as a terminal of 80 columns makes of them.
        let lines: usize = plain.lines().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
        assert!(lines <= most, "{line}: {lines} lines\n{plain}");
    }
}

#[test]
fn every_refusal_says_what_is_wrong_and_what_to_do() {
    for (line, text, hint) in [
        ("", "CMD", "mcp-supervise -- npx -y PACKAGE"),
        ("--", "CMD", "mcp-supervise -- npx -y PACKAGE"),
        ("run", "CMD", "mcp-supervise -- npx -y PACKAGE"),
        ("--hold 5s", "CMD", "mcp-supervise -- npx -y PACKAGE"),
        ("--bogus server", "--bogus", "options of the server come after"),
        ("-y server", "-y", "options of the server come after"),
        ("run --bogus server", "--bogus", "options of the server come after"),
        ("demo x", "x", "put `--` before it"),
        ("--hold 5 server", "write it as 250ms, 10s, 5m or 1h", "--help"),
        ("--hold= server", "--hold", "--help"),
        ("--hold", "--hold", "--help"),
        ("--max-line 5MB server", "write it as 65536, 64KiB or 10MiB", "--help"),
        ("--hold -5s server", "it must not be negative", "--help"),
        ("--max-restarts -1 server", "--max-restarts", "--help"),
        ("--replay all server", "safe", "--help"),
        ("--name= server", "--name", "--help"),
        ("--watch= server", "--watch", "--help"),
        ("--watch a --watch= server", "--watch", "--help"),
        ("--hold 5s demo", "options of `run`", "put `--` before `demo`"),
        ("completions", "SHELL", "name a shell"),
        ("restart", "NAME|ID", "`mcp-supervise status`"),
        ("stop --data-dir ~/x a", "--data-dir", "`mcp-supervise stop --help`"),
        ("status --recent many", "--recent", "`mcp-supervise status --help`"),
        ("--keep 90 server", "the unit is missing; write it as 90d", "--help"),
        ("--keep 400d server", "longer than a year", "--help"),
        ("--hold 5s status", "options of `run`", "put `--` before `status`"),
        ("completions tcsh", "tcsh", "--help"),
    ] {
        let error = refused(line);
        assert!(error.text.contains(text), "{line}: {}", error.text);
        assert!(error.hint.contains(hint), "{line}: {}", error.hint);
        assert!(!error.hint.contains('\n'), "{line}");
    }
}

#[test]
fn an_empty_command_is_refused() {
    for before in ["--", "run", "--hold 5s run --"] {
        let mut argv = words(before);
        argv.push(OsString::new());
        assert!(matches!(parse(argv), Err(Refusal::Usage(_))), "{before}");
    }
}

#[test]
fn no_words_at_all_are_refused_and_do_not_panic() {
    assert!(matches!(parse([]), Err(Refusal::Usage(_))));
}

#[test]
fn every_option_can_be_set_by_the_variable_of_its_name() {
    let definitions = definitions();
    for level in [&definitions, definitions.find_subcommand("run").unwrap()] {
        let options: Vec<_> = level.get_opts().filter_map(|o| Some((o.get_long()?, o.get_env()))).collect();
        assert_eq!(options.len(), 45);
        for (long, variable) in options {
            let expected = format!("MCP_SUPERVISE_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(variable, Some(OsStr::new(&expected)), "--{long}");
        }
    }
}

#[test]
fn the_definitions_hold_together() {
    definitions().debug_assert();
}

#[test]
fn help_texts_are_imperative_and_end_without_full_stop() {
    let definitions = definitions();
    let setup = definitions.find_subcommand("setup").unwrap();
    for option in definitions.get_opts().chain(setup.get_opts()) {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with(char::is_uppercase) && !help.ends_with('.'), "{option}: {help}");
    }
}

#[test]
fn setup_has_options_of_its_own_and_hints_of_its_own() {
    let setup = |line: &str| match parse(words(line)) {
        Ok(Command::Setup(setup)) => setup,
        other => panic!("{line}: {other:?}"),
    };
    let plain = setup("setup --base-url http://127.0.0.1:1");
    assert_eq!((plain.base_url.as_str(), plain.all, plain.ttl), ("http://127.0.0.1:1", false, None));
    let full = setup("setup --all --ttl 24h --max-renewals 3 --via mcp-tokens --revoke-old --output json");
    assert!(full.all && full.revoke_old);
    assert_eq!((full.ttl, full.max_renewals), (Some(Duration::from_secs(86_400)), Some(3)));
    for (line, text, hint) in [
        ("setup --bogus", "--bogus", "setup --help"),
        ("setup --all --wallet x", "--wallet", "setup --help"),
        ("setup --wallet=", "--wallet", "setup --help"),
        ("setup --max-renewals -1", "--max-renewals", "setup --help"),
        ("setup --absolute-lifetime 1500ms", "whole seconds", "setup --help"),
        ("setup --password sesame --bogus", "there is no `--password`", "--password-file"),
        ("setup --all --password=sesame", "there is no `--password`", "--password-file"),
        ("--hold 5s setup", "options of `run`", "put `--` before `setup`"),
    ] {
        let error = refused(line);
        assert!(error.text.contains(text) && !error.text.contains("sesame"), "{line}: {}", error.text);
        assert!(error.hint.contains(hint) && !error.hint.contains('\n'), "{line}: {}", error.hint);
    }
    assert!(
        matches!(parse(words("setup --help")), Err(Refusal::Show(text)) if text.contains("--revoke-old"))
    );
    assert_eq!(run("-- setup --all").command, ["setup", "--all"]);
}

#[test]
fn the_daemons_variables_are_settings_of_setup_only() {
    for (line, is) in
        [("setup", true), ("setup --all", true), ("run setup", false), ("-- setup", false), ("x", false)]
    {
        assert_eq!(is_setting_of_setup(OsStr::new("WAIAAS_WALLET_ID"), &words(line)), is, "{line}");
        assert!(!is_setting_of_setup(OsStr::new("HOME"), &words(line)), "{line}");
    }
}
