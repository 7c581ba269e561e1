//! A server that dies of one question is asked the others all the same, and what nobody has looked at is not called sound.

use std::collections::BTreeMap;

use quick_junit::{Report, TestCaseStatus};
use serde_json::Value;

use super::{Checked, check, path_of, sound};
use crate::support::plan::fixture;

/// What is found, as rules with their subjects.
fn found(done: &Checked) -> Vec<(String, Value)> {
    let report = done.json();
    let findings = report["findings"].as_array().expect("a report has findings").iter();
    let pairs = findings.map(|finding| {
        (finding["rule"].as_str().expect("a finding has a rule").to_owned(), finding["subject"].clone())
    });
    pairs.collect()
}

#[test]
fn a_probe_that_is_fatal_takes_no_call_with_it() {
    let options = ["--format", "json", "--call", "pid", "--call", r#"echo {"text": "a"}"#];
    let done = check(&options, &sound(&["--defect", "arguments-fatal"]));
    assert_eq!(found(&done), [("arguments-unanswered".to_owned(), "tool echo".into())], "{}", done.stdout);
    // All that comes behind it is looked at too.
    let options = [&options[..], &["--fail-on", "warning"]].concat();
    let done = check(&options, &sound(&["--defect", "arguments-fatal", "--defect", "junk-fatal"]));
    let rules: Vec<String> = found(&done).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, ["arguments-unanswered", "junk-fatal"], "{}", done.stdout);
}

#[test]
fn a_call_that_is_fatal_takes_no_other_call_with_it() {
    let calls = [
        "--call",
        r#"crash {"code": 3}"#,
        "--call",
        "pid",
        "--call",
        r#"crash {"code": 4}"#,
        "--call",
        "typed",
    ];
    let done = check(&[&["--format", "json"], &calls[..]].concat(), &sound(&["--defect", "output-missing"]));
    let crash = || ("call-failed".to_owned(), Value::from("tool crash"));
    assert_eq!(found(&done), [crash(), crash(), ("call-output".to_owned(), "tool typed".into())]);
}

#[test]
fn a_server_that_ends_after_its_greeting_is_not_started_for_ever() {
    let done = check(
        &["--format", "json", "--timeout", "3s", "--call", "pid"],
        &sound(&["--die-after-answer", "1"]),
    );
    let rules = done.rules();
    // Whatever it was asked when it ended is not to blame.
    assert!(!rules.contains(&"junk-fatal".to_owned()), "{rules:?}");
    assert!(
        rules.contains(&"list-failed".to_owned()) && rules.contains(&"call-failed".to_owned()),
        "{rules:?}"
    );
}

/// The rules by whether they passed, or why they were skipped.
fn cases(done: &Checked) -> BTreeMap<String, Option<String>> {
    let report = Report::deserialize_from_str(&done.stdout).expect("it is JUnit XML");
    let cases = report.test_suites[0].test_cases.iter().map(|case| {
        let skipped = match &case.status {
            TestCaseStatus::Skipped { message, .. } => {
                Some(message.as_ref().expect("it says why").as_str().to_owned())
            }
            TestCaseStatus::Success { .. } | TestCaseStatus::NonSuccess { .. } => None,
        };
        (case.name.as_str().to_owned(), skipped)
    });
    cases.collect()
}

#[test]
fn what_was_not_looked_at_is_skipped() {
    let junit = |options: &[&str], server: &[String]| {
        cases(&check(&[&["--format", "junit"], options].concat(), server))
    };
    let of = |all: &BTreeMap<String, Option<String>>, name: &str| all[name].clone();
    let shell = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();

    let dead = junit(&[], &shell("exit 1"));
    let looked: Vec<&str> = dead.iter().filter(|(_, why)| why.is_none()).map(|(name, _)| &**name).collect();
    assert_eq!(
        looked,
        [
            "check-unfinished",
            "start-failed",
            "stdout-bom",
            "stdout-encoding",
            "stdout-frames",
            "stdout-noise"
        ]
    );
    let absent = junit(&[], &["/no/such/server".to_owned()]);
    let looked: Vec<&str> = absent.iter().filter(|(_, why)| why.is_none()).map(|(name, _)| &**name).collect();
    assert_eq!(looked, ["check-unfinished", "start-failed"]);

    let sound_one = junit(&[], &sound(&[]));
    for (name, why) in [
        ("modern-invalid", Some("the server does not speak 2026-07-28")),
        ("progress-late", Some("no --call")),
        ("call-failed", Some("no --call")),
        ("probe-initialize", None),
        ("strays-fatal", None),
        ("crash-lists", None),
    ] {
        assert_eq!(of(&sound_one, name).as_deref(), why, "{name}");
    }

    let silent =
        junit(&["--timeout", "300ms"], &sound(&["--defect", "method-silent", "--stop-reading-at", "2"]));
    for name in ["strays-fatal", "junk-fatal"] {
        assert_eq!(of(&silent, name).as_deref(), Some("the server was gone, or silent, before"), "{name}");
    }
    let over = junit(&["--max-time", "300ms"], &sound(&["--never-greet"]));
    assert!(
        over.iter()
            .all(|(name, why)| name == "check-unfinished" || why.as_deref() == Some("--max-time was over")),
        "{over:?}"
    );
}

#[test]
fn what_leaves_slowly_is_slow_and_is_not_left_behind() {
    // It does not pass SIGTERM on, as many that are written in a script do not.
    let launcher = format!(
        "exec 3<&0; {} --without-tool contradict --leave-after 3000 <&3 & trap 'exit 0' TERM; wait",
        path_of(&fixture())
    );
    let done = check(&["--format", "json"], &["sh", "-c", &launcher]);
    assert_eq!((done.rules(), done.code), (vec!["leave-eof".to_owned()], 0), "{}", done.stdout);
    assert_eq!(done.json()["facts"].get("leaves"), None, "{}", done.stdout);
}

#[test]
fn what_wrong_arguments_come_to_is_told_where_nothing_shows_it() {
    let why = |server: &[&str]| {
        let done = check(&["--format", "json"], &sound(server));
        assert_eq!((done.rules(), done.code), (Vec::new(), 0), "{}", done.stdout);
        done.json()["notLookedAt"]["arguments"].as_str().map(str::to_owned)
    };
    assert_eq!(why(&[]), None);
    assert_eq!(
        why(&["--defect", "calls-fail"]).as_deref(),
        Some("the server answers each call with the same error")
    );
    let done = check(&["--format", "junit"], &sound(&["--defect", "calls-fail"]));
    for (rule, is_skipped) in [
        ("arguments-accepted", true),
        ("arguments-code", true),
        ("tool-unknown", true),
        ("arguments-unanswered", false),
    ] {
        assert_eq!(cases(&done)[rule].is_some(), is_skipped, "{rule}");
    }
}

#[test]
fn a_farewell_after_sigterm_is_noise_only_where_hosts_have_to_send_it() {
    let launched = |more: &str| {
        let script = format!(
            "exec 3<&0; {} --without-tool contradict {more} <&3 & trap 'echo bye; kill $!; exit 0' TERM; wait",
            path_of(&fixture())
        );
        check(&["--format", "json"], &["sh", "-c", &script])
    };
    let done = launched("");
    assert_eq!(done.rules(), Vec::<String>::new(), "{}", done.stdout);
    let done = launched("--ignore-eof");
    assert_eq!(done.rules(), ["stdout-noise", "leave-eof"], "{}", done.stdout);
    assert_eq!(done.json()["findings"][0]["seen"], "1 line after SIGTERM is no message:\n\"bye\"");
}

#[test]
fn what_a_silent_server_says_on_stderr_is_told() {
    let script = format!(
        "echo 'log in at https://example.org/device' >&2; exec {} --never-greet",
        path_of(&fixture())
    );
    let done = check(&["--format", "json", "--timeout", "1s"], &["sh", "-c", &script]);
    assert_eq!(done.rules(), ["start-silent"], "{}", done.stdout);
    let seen = done.json()["findings"][0]["seen"].clone();
    assert!(
        seen.as_str().is_some_and(|seen| seen.contains("stderr:\nlog in at https://example.org/device")),
        "{seen}"
    );
}
