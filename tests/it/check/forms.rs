//! The report in each of its forms.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::Value;

use super::{check, check_in, path_of, sound};
use crate::support::plan::fixture;
use crate::support::terminal::Terminal;

/// With an error, a warning, an odd character and what an XML reader would stumble over.
const TROUBLE: [&str; 6] = [
    "--noise",
    "colour",
    "--tool",
    r#"{"name": "a<b>&\"c\"", "description": "%0A::error::x", "inputSchema": {"type": "object"}}"#,
    "--extra-tool",
    "files.read",
];

/// The standard's own schema, as OASIS publishes it (the address is its `$id`), unchanged. It lies here because the tests run
/// where cargo has fetched only what this platform needs, and where no network is.
const SCHEMA: &str = include_str!("../../../fixtures/schemas/sarif-2.1.0.json");

fn schema() -> Value {
    // A bracket that a strict reader of patterns wants escaped.
    serde_json::from_str(&SCHEMA.replace("{2}]?$", "{2}\\\\]?$")).expect("it is JSON")
}

#[test]
fn sarif_fits_its_schema() {
    let validator = jsonschema::validator_for(&schema()).expect("it is a schema");
    for server in [sound(&[]), sound(&TROUBLE), vec!["/no/such/server".to_owned()]] {
        let done = check(&["--format", "sarif"], &server);
        let log = done.json();
        let errors: Vec<String> = validator.iter_errors(&log).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", done.stdout);
        serde_json::from_value::<serde_sarif::sarif::Sarif>(log.clone()).expect("a reader reads it");
        let run = &log["runs"][0];
        for result in run["results"].as_array().expect("there are results") {
            let index =
                usize::try_from(result["ruleIndex"].as_u64().expect("it is a number")).expect("it is small");
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        }
    }
    assert!(!validator.is_valid(&serde_json::json!({"version": "2.1.0", "runs": [{"results": []}]})));
}

#[test]
fn sarif_names_the_script_and_knows_a_finding_again() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let script = folder.path().join("server.sh");
    fs::write(&script, format!("exec {} --noise banner\n", path_of(&fixture()))).expect("it can be written");
    let log = || check_in(folder.path(), &["--format", "sarif"], &["sh", "./server.sh"]).json();
    let (first, second) = (log(), log());
    let result = |log: &Value| log["runs"][0]["results"][0].clone();
    let place = &result(&first)["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(place, "server.sh");
    assert_eq!(result(&first)["partialFingerprints"], result(&second)["partialFingerprints"]);
}

#[test]
fn junit_is_read_by_a_reader_of_junit() {
    let done = check(&["--format", "junit"], &sound(&TROUBLE));
    assert_eq!(done.code, 85, "{}", done.stderr);
    let report = Report::deserialize_from_str(&done.stdout).expect("it is JUnit XML");
    let suite = &report.test_suites[0];
    let by_name: BTreeMap<&str, _> = suite.test_cases.iter().map(|case| (case.name.as_str(), case)).collect();
    let failed: Vec<&str> = suite
        .test_cases
        .iter()
        .filter(|case| {
            matches!(case.status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. })
        })
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(failed, ["stdout-noise", "tool-name"]);
    assert_eq!(suite.failures, 2);
    // A warning that does not fail is told all the same.
    let warning = by_name["tool-name-long"];
    assert!(matches!(warning.status, TestCaseStatus::Success { .. }));
    assert!(warning.system_out.as_ref().is_some_and(|out| out.as_str().contains("files.read")));
    assert!(matches!(by_name["call-failed"].status, TestCaseStatus::Skipped { .. }));
    assert!(matches!(by_name["leave-term"].status, TestCaseStatus::Success { .. }));
}

#[test]
fn github_gets_one_line_a_finding_and_no_command_of_others() {
    let done = check(&["--format", "github"], &sound(&TROUBLE));
    let commands: Vec<&str> =
        done.stdout.lines().filter(|line| line.trim_start().starts_with("::")).collect();
    assert_eq!(commands.len(), 3, "{}", done.stdout);
    assert!(
        commands[0].starts_with("::error title=fixture-server 0.1.0%3A stdout-noise::"),
        "{}",
        commands[0]
    );
    assert!(commands.iter().any(|line| line.starts_with("::warning title=")), "{commands:?}");
}

#[test]
fn a_server_gives_a_ci_system_no_commands_in_any_form() {
    // Its name comes first in a text, and in the title of each annotation.
    let name = "::error::x ##[set-env name=A]b ##vso[task.complete]";
    let evil = r#"{"name": "a ##vso[b]", "description": "x\n::set-output name=a::b", "inputSchema": {"type": "object"}}"#;
    let server = sound(&[
        "--rewrite",
        r#""name":"fixture-server""#,
        &format!(r#""name":"{name}""#),
        "--tool",
        evil,
        "--defect",
        "list-error",
        "--rewrite",
        "no list today",
        r"no list\n  ::stop-commands::x\n##vso[task.setvariable variable=A]b",
    ]);
    for format in ["text", "github", "json", "junit", "sarif"] {
        let done = check(&["--format", format, "--call", "##[c]nobody"], &server);
        assert!(done.stdout.contains("list-failed"), "{format}: {}", done.stdout);
        let ours = |line: &&str| {
            format == "github" && (line.starts_with("::error title=") || line.starts_with("::warning title="))
        };
        for line in done.stdout.lines() {
            assert!(ours(&line) || !line.trim_start().starts_with("::"), "{format}: {line}");
            assert!(!line.contains("##[") && !line.to_lowercase().contains("##vso["), "{format}: {line}");
        }
        if format == "json" {
            assert_eq!(done.json()["server"], format!("{name} 0.1.0"));
        }
        if format == "junit" {
            let report = Report::deserialize_from_str(&done.stdout).expect("it is JUnit XML");
            let shown = name.replace("##[", "## [").replace("##vso[", "##vso [");
            assert_eq!(report.test_suites[0].name.as_str(), format!("{shown} 0.1.0"));
        }
    }
}

#[test]
fn a_name_turns_no_text_around_in_any_form() {
    let server =
        sound(&["--rewrite", r#""name":"fixture-server""#, "\"name\":\"a\u{202e}b\u{2028}c\u{85}d\""]);
    for format in ["text", "github", "json", "junit", "sarif"] {
        let done = check(&["--format", format], &server);
        assert!(done.stdout.contains("a b c d"), "{format}: {}{}", done.stdout, done.stderr);
        let odd = done.stdout.chars().find(|letter| matches!(letter, '\u{202e}' | '\u{2028}' | '\u{85}'));
        assert_eq!(odd, None, "{format}: {}", done.stdout);
    }
}

#[test]
fn one_run_writes_several_reports() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let at = |name: &str| path_of(&folder.path().join(name));
    fs::write(at("junit.xml"), "what was there before").expect("it can be written");
    let options = ["--junit", &at("junit.xml"), "--sarif", &at("check.sarif"), "--json", &at("check.json")];
    let done = check(&options, &sound(&TROUBLE));
    assert_eq!(done.code, 85, "{}", done.stderr);
    assert!(done.stdout.ends_with("not sound: 2 errors, 1 warning\n"), "{}", done.stdout);
    let text = |name: &str| fs::read_to_string(at(name)).expect("it was written");
    let junit = Report::deserialize_from_str(&text("junit.xml")).expect("it is JUnit XML");
    assert_eq!(junit.test_suites[0].failures, 2);
    let json = |name: &str| -> Value { serde_json::from_str(&text(name)).expect("it is JSON") };
    assert_eq!(json("check.json")["errors"], 2);
    assert_eq!(json("check.sarif")["runs"][0]["results"].as_array().map(Vec::len), Some(3));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 3);
}

#[test]
fn nothing_is_written_through_a_link() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let at = |name: &str| path_of(&folder.path().join(name));
    fs::write(at("precious"), "precious").expect("it can be written");
    std::os::unix::fs::symlink(at("precious"), at("link")).expect("it can be made");
    let pids = at("pids");
    for (options, code) in [
        (&["--junit", &at("link")][..], 2),
        (&["--sarif", &at("link")], 2),
        (&["--json", &at("link")], 2),
        (&["--baseline", &at("link"), "--write-baseline"], 87),
    ] {
        let done = check(options, &sound(&["--pid-file", &pids]));
        assert_eq!((done.code, &*done.stdout), (code, ""), "{options:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("it is a link") && done.stderr.contains("hint: name the file itself"),
            "{}",
            done.stderr
        );
    }
    assert_eq!(fs::read_to_string(at("precious")).expect("it is there"), "precious");
    assert!(!folder.path().join("pids").exists(), "a server was started");
}

#[test]
fn text_fits_80_columns_and_moves_no_cursor() {
    let done = check(&[], &sound(&TROUBLE));
    assert!(!done.stdout.contains('\u{1b}'), "{}", done.stdout);
    for line in done.stdout.lines() {
        let own = !line.starts_with("        ") && !line.trim_start().contains('/');
        assert!(!own || line.chars().count() <= 80, "{line}");
    }
    for words in [
        "error stdout-noise\n",
        "  seen  ",
        "  why   ",
        "  hint  ",
        "not looked at: calls (no --call); baseline",
    ] {
        assert!(done.stdout.contains(words), "{words}: {}", done.stdout);
    }
    assert!(done.stdout.ends_with("not sound: 2 errors, 1 warning\n"), "{}", done.stdout);
}

#[test]
fn colour_is_for_terminals_that_want_it_and_so_is_what_is_looked_at_now() {
    for (variable, coloured) in
        [(None, true), (Some(("NO_COLOR", "1")), false), (Some(("TERM", "dumb")), false)]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
        command.args(["check", "--"]).args(sound(&["--noise", "banner"])).env("TERM", "xterm");
        // Whatever this test itself runs under.
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            command.env_remove(name);
        }
        command.envs(variable);
        let (status, shown) = Terminal::start(command).end();
        assert_eq!(status.code(), Some(85), "{shown}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{variable:?}: {shown:?}");
        assert!(shown.contains("looking at a crash"), "{shown}");
    }
}

#[test]
fn a_baseline_is_the_same_each_time_and_shows_what_has_changed() {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let path = folder.path().join("baseline.json");
    let file = path.to_str().expect("it is a text");
    let missing = check(&["--baseline", file], &sound(&[]));
    assert_eq!(missing.code, 87, "{}", missing.stderr);
    assert!(missing.stderr.contains("hint: --write-baseline makes one"), "{}", missing.stderr);

    let write = || check(&["--baseline", file, "--write-baseline"], &sound(&[]));
    assert_eq!(write().code, 0);
    let first = fs::read_to_string(&path).expect("it was written");
    assert_eq!(write().code, 0);
    assert_eq!(fs::read_to_string(&path).expect("it was written"), first);
    assert_eq!(check(&["--baseline", file, "--fail-on", "warning"], &sound(&[])).code, 0);

    // Somebody has changed one description.
    fs::write(&path, first.replace("Stores a value under a key", "Stores a value"))
        .expect("it can be written");
    let done = check(&["--baseline", file], &sound(&[]));
    assert_eq!(done.code, 85, "{}", done.stdout);
    for line in [
        "error baseline-changed tool put",
        r#"-  "description": "Stores a value","#,
        r#"+  "description": "Stores a value under a key","#,
    ] {
        assert!(done.stdout.contains(line), "{line}: {}", done.stdout);
    }
    // A server that does not tell all that it offers is no reason to forget what it did.
    let broken = check(&["--baseline", file, "--write-baseline"], &sound(&["--defect", "list-error"]));
    assert_eq!(broken.code, 87, "{}", broken.stderr);
    assert!(broken.stderr.contains("tools/list could not be read"), "{}", broken.stderr);
    assert!(fs::read_to_string(&path).expect("it is there").contains("Stores a value"));

    for (text, words) in
        [("{", "it is not JSON"), ("{}", "no member"), (r#"{"mcpSuperviseBaseline": 9}"#, "form 9")]
    {
        fs::write(&path, text).expect("it can be written");
        let done = check(&["--baseline", file], &sound(&[]));
        assert_eq!(done.code, 87, "{}", done.stderr);
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
}
