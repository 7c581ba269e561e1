//! The traps that others have fallen into or that the protocol sets, and for each the test that shows that we do not.
//!
//! `fixtures/traps.txt` has the traps, one a line; [`SHOWN`] names for each the one test that shows it first and foremost,
//! in the cheapest layer that can, and what shows it besides. The test here reads the sources: what is named must exist,
//! and what exists in neither list is missing. It must never run what it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What shows something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// A conversation in `fixtures/session`, in virtual time.
    Conversation(&'static str),
    /// A planted bug of the engine's simulator, which is to be found.
    Simulator(&'static str),
    /// A test of this binary: its file and its function.
    Test(&'static str, &'static str),
    /// A test in `src`: its file and its function.
    Unit(&'static str, &'static str),
    /// A scenario with the SDK and servers from `PyPI`: its file in `tests/real` and its function.
    Real(&'static str, &'static str),
    /// It can go wrong only with a part that is not there yet. Once this file is, a test of its own must be named.
    ToCome(&'static str),
}

use Layer::{Conversation, Real, Simulator, Test, ToCome, Unit};

/// A trap, what shows it first and foremost, and what shows it besides.
type Entry = (&'static str, Layer, &'static [Layer]);

const SHOWN: &[Entry] = &[
    (
        "no notifications/initialized to the new child",
        Simulator("ForgetInitialized"),
        &[Conversation("crash-idle"), Test("restart", "a_host_does_not_notice_twenty_kills")],
    ),
    (
        "own replies leak to the host as id 1",
        Simulator("ForwardReplayedGreeting"),
        &[Conversation("state-restored"), Simulator("ForwardStrayAnswers")],
    ),
    (
        "the protocol version is silently lowered",
        Conversation("version-replayed"),
        &[Conversation("version-lower"), Conversation("slow-version-lower")],
    ),
    (
        "progress is lost",
        Conversation("progress"),
        &[
            Conversation("modern-progress"),
            Test("real_sdk", "progress_and_cancellation_reach_whom_they_are_meant_for"),
        ],
    ),
    ("custom methods are lost", Conversation("custom-methods"), &[Conversation("custom-methods-modern")]),
    (
        "server-to-host requests are lost",
        Conversation("server-requests"),
        &[Test("real_sdk", "a_second_server_can_ask_the_host")],
    ),
    (
        "calls in flight hang for ever",
        Simulator("LoseAnswerAtCrash"),
        &[
            Conversation("crash-in-flight-unsafe"),
            Test("real_sdk", "a_call_in_flight_at_a_crash_gets_guidance_as_its_result"),
        ],
    ),
    (
        "calls in flight are run again whatever they do",
        Simulator("RepeatUnsafe"),
        &[
            Conversation("crash-in-flight-methods"),
            Simulator("RepeatForEver"),
            Test("restart", "a_host_does_not_notice_twenty_kills"),
        ],
    ),
    (
        "a banner before the greeting wedges the proxy",
        Conversation("noise-before-greeting"),
        &[Test("noise", "only_messages_reach_stdout")],
    ),
    (
        "on the host's EOF the wrapper never exits",
        Simulator("NeverKill"),
        &[Conversation("eof-idle"), Conversation("eof-owed-too-long")],
    ),
    (
        "on the host's EOF the wrapper leaves a stubborn child",
        Conversation("ladder"),
        &[Test("stopping", "nothing_is_left_of_a_stubborn_server")],
    ),
    (
        "on SIGKILL of the wrapper everybody leaves orphans",
        Test(
            "stopping",
            "nothing_is_left_when_the_supervisor_is_killed_between_two_servers_or_before_a_greeting",
        ),
        &[Test("stopping", "nothing_is_left_of_a_stubborn_server")],
    ),
    (
        "giving up for good after N failures",
        Conversation("degraded-retry"),
        &[Conversation("changed-degraded"), Conversation("modern-retried")],
    ),
    (
        "a counter reset by a spawn and not by sustained serving",
        Simulator("SpawnCountsAsServing"),
        &[Conversation("backoff-sustained")],
    ),
    (
        "a restart after a shutdown was asked for",
        Conversation("stop-crash"),
        &[
            Conversation("stop-crash-eof"),
            Conversation("stop-while-starting"),
            Conversation("stop-while-waiting"),
        ],
    ),
    (
        "a busy server taken for a hung one",
        Simulator("HangWhileBusy"),
        &[Conversation("hang-busy"), Conversation("hang-call-between")],
    ),
    (
        "fixed ports: the second copy dies",
        Test("second_copy", "two_of_one_command_live_and_die_without_each_other"),
        &[Test("second_copy", "a_supervisor_takes_no_port")],
    ),
    (
        "SQLite on the data path, a commit per message",
        Test("relay", "a_call_costs_nothing_but_its_own_two_lines"),
        &[
            Test("record/faults", "a_record_that_is_locked_holds_nothing_up"),
            Test("record/faults", "where_nothing_can_be_recorded_calls_go_on_and_it_is_told_once"),
        ],
    ),
    (
        "Nagle on a loopback socket",
        Unit("gateway/tests/connections", "small_pieces_are_not_held_back_on_either_side"),
        &[Test("second_copy", "a_supervisor_takes_no_port")],
    ),
    (
        "empty error texts",
        Test("said", "no_error_and_no_guidance_is_without_words"),
        &[
            Test("degraded", "a_command_that_cannot_be_started_is_told_with_its_reason"),
            Test("cli", "a_usage_error_is_told_on_stderr_with_a_hint_and_code_2"),
        ],
    ),
    (
        "host EOF: child gone and exit within 2 s",
        Conversation("ladder"),
        &[
            Conversation("eof-idle"),
            Test("real_sdk", "the_shutdown_of_the_sdks_own_transport_leaves_nothing"),
        ],
    ),
    (
        "host EOF with a child that ignores EOF and SIGTERM",
        Test("stopping", "nothing_is_left_of_a_stubborn_server"),
        &[Conversation("ladder")],
    ),
    (
        "host EOF: no process of the group left",
        Test("stopping", "a_server_that_has_to_be_told_twice_leaves_no_helper"),
        &[Test("stopping", "nothing_is_left_of_a_stubborn_server")],
    ),
    ("host EOF: last stderr bytes relayed", Test("stopping", "last_answers_and_last_words_arrive"), &[]),
    (
        "SIGKILL of the supervisor: the child dies",
        Test("stopping", "nothing_is_left_of_a_stubborn_server"),
        &[Test(
            "stopping",
            "nothing_is_left_when_the_supervisor_is_killed_between_two_servers_or_before_a_greeting",
        )],
    ),
    (
        "crash mid-line",
        Conversation("crash-mid-line"),
        &[Test("restart", "every_death_is_survived"), Conversation("drain-before-judging")],
    ),
    (
        "crash mid-batch of responses",
        Conversation("batch-crash-mid-line"),
        &[
            Conversation("batch-crash"),
            Test("restart", "what_was_answered_before_the_death_is_not_asked_again"),
        ],
    ),
    ("crash between initialize and initialized", Conversation("greeting-crash-between"), &[]),
    ("crash during replayed initialize", Conversation("greeting-crash-during-replay"), &[]),
    (
        "crash during server/discover",
        Conversation("probe-kills"),
        &[Simulator("RepeatProbe"), Real("eras", "deadly_probe")],
    ),
    (
        "crash loop with backoff",
        Conversation("backoff"),
        &[Conversation("modern-crash-loop"), Simulator("SpawnCountsAsServing")],
    ),
    ("id 0", Conversation("ids-zero"), &[Conversation("relay-ids")]),
    ("string ids", Conversation("relay-ids"), &[Test("relay", "bytes_arrive_as_they_were_sent")]),
    ("2^53+1 ids", Conversation("relay-ids"), &[Conversation("ids-zero")]),
    (
        "duplicate ids across directions: host id 0 and server id 0 both live",
        Conversation("ids-both-directions"),
        &[],
    ),
    (
        "a late answer to a dead child's sampling request never reaches the new child",
        Conversation("server-requests-crash"),
        &[Simulator("KeepDeadAsks")],
    ),
    (
        "the host gets notifications/cancelled for a dead child's request",
        Test("restart", "requests_of_different_servers_do_not_get_mixed_up"),
        &[Conversation("server-requests-crash")],
    ),
    ("legacy replay order", Conversation("state-restored"), &[Conversation("crash-in-flight-safe")]),
    (
        "setLevel and subscribe restored",
        Simulator("ForgetSubscription"),
        &[
            Conversation("state-restored"),
            Test("restart", "the_next_server_is_told_what_the_host_had_said"),
            Test("real_sdk", "a_second_server_knows_the_level_and_the_subscriptions"),
        ],
    ),
    (
        "roots/list of generation 2 carries a fresh id",
        Simulator("KeepDeadIds"),
        &[Conversation("server-requests-crash")],
    ),
    (
        "the answer to roots/list of generation 2 is mapped back",
        Conversation("server-requests"),
        &[Test("restart", "requests_of_different_servers_do_not_get_mixed_up")],
    ),
    (
        "modern: subscriptions/listen re-sent",
        Conversation("listen-crash"),
        &[Conversation("listen-several"), Real("eras", "listening")],
    ),
    (
        "modern: the ack of a re-sent listen swallowed",
        Simulator("ForwardAcknowledgement"),
        &[Conversation("listen-crash"), Conversation("listen-other-filter")],
    ),
    (
        "modern: notifications after a restart tagged",
        Test("said", "what_we_say_in_every_conversation_has_the_form_of_its_revision"),
        &[Conversation("listen-crash"), Conversation("listen-filter-limits")],
    ),
    (
        "modern: no initialize and no ping ever sent",
        Test("said", "a_modern_child_hears_nothing_of_the_legacy_era_from_us"),
        &[Conversation("modern-crash-idle"), Conversation("hang-modern")],
    ),
    (
        "modern: the first message to the child is a request",
        Test("said", "the_first_that_a_child_hears_is_a_request"),
        &[Conversation("modern-first"), Conversation("listen-first-request")],
    ),
    (
        "dual-era child behind a legacy host: the first bytes into each new child are initialize",
        Conversation("dual-era-legacy-host"),
        &[
            Simulator("WriteBeforeGreeting"),
            Simulator("KeepProbedChild"),
            Real("eras", "probe_then_greeting"),
        ],
    ),
    (
        "degraded answers valid per negotiated revision",
        Test("said", "every_degraded_answer_has_the_form_of_its_revision"),
        &[Real("degraded", "answers"), Conversation("degraded-answers"), Conversation("modern-degraded")],
    ),
    (
        "resultType, ttlMs and cacheScope only in 2026-07-28",
        Test("said", "what_we_say_in_every_conversation_has_the_form_of_its_revision"),
        &[Test("said", "every_degraded_answer_has_the_form_of_its_revision")],
    ),
    (
        "a line of 9.9 MiB",
        Conversation("line-lengths"),
        &[Test("bad_input", "an_answer_that_a_host_would_not_take_is_told_instead")],
    ),
    ("a line of 10.1 MiB", Conversation("line-lengths"), &[Conversation("too-large-answer")]),
    (
        "a line of 17 MiB",
        Conversation("line-lengths"),
        &[Test("bad_input", "a_line_without_measure_costs_an_error_and_no_memory")],
    ),
    ("CRLF", Conversation("line-ends"), &[Test("noise", "only_messages_reach_stdout")]),
    ("BOM", Conversation("noise-bom"), &[Test("noise", "only_messages_reach_stdout")]),
    ("invalid UTF-8", Conversation("noise-not-text"), &[Test("noise", "only_messages_reach_stdout")]),
    ("pino-style JSON logs", Conversation("noise"), &[Test("noise", "only_messages_reach_stdout")]),
    (
        "blank lines",
        Conversation("noise"),
        &[Conversation("line-ends"), Test("noise", "only_messages_reach_stdout")],
    ),
    (
        "two supervisors of the same command at once",
        Test("kept", "two_supervisors_at_once_leave_a_whole_file_whenever_one_looks"),
        &[Test("second_copy", "two_of_one_command_live_and_die_without_each_other")],
    ),
];

/// The top of the source tree.
struct Tree<'t>(&'t Path);

impl Tree<'_> {
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_default()
    }

    /// What is wrong with naming this. `None` if nothing is.
    fn fault(&self, layer: Layer) -> Option<String> {
        let (is_there, what) = match layer {
            Conversation(name) => {
                let file = format!("fixtures/session/{name}.txt");
                (self.read(&file).starts_with("# "), file)
            }
            Simulator(bug) => {
                let file = "src/engine/sim/bugs.rs";
                let text = self.read(file);
                let (_, planted) = text.split_once("const BUGS").unwrap_or_default();
                (planted.contains(&format!("Bug::{bug},")), format!("{bug} in {file}"))
            }
            Test(module, function) => {
                let file = format!("tests/it/{module}.rs");
                (is_test(&self.read(&file), function), format!("{function} in {file}"))
            }
            Unit(module, function) => {
                let file = format!("src/{module}.rs");
                (is_test(&self.read(&file), function), format!("{function} in {file}"))
            }
            Real(module, function) => {
                let file = format!("tests/real/{module}.py");
                let text = self.read(&file);
                // What is a scenario has a name to be told by, and helpers have none.
                let scenario = text.contains(&format!("def {function}(self, name: str"));
                // It is handed to what runs it, or called.
                let used = [',', ')', '('].iter().any(|end| text.contains(&format!(".{function}{end}")));
                (scenario && used, format!("{function} in {file}"))
            }
            ToCome(file) => {
                let came = self.0.join(file).exists();
                return came.then(|| format!("{file} is there: name the test that shows it with that"));
            }
        };
        (!is_there).then(|| format!("{what} is not there"))
    }
}

/// Whether a text has a test function of this name.
fn is_test(text: &str, function: &str) -> bool {
    let plain = text.split_once(&format!("\nfn {function}() {{\n"));
    let Some((before, _)) = plain.or_else(|| text.split_once(&format!("\nasync fn {function}() {{\n")))
    else {
        return false;
    };
    let marks = ["#[test]", "#[tokio::test]"];
    before.lines().rev().take_while(|line| line.starts_with("#[")).any(|line| marks.contains(&line))
}

/// What is wrong with the table, given the traps that it is for.
fn faults(traps: &[&str], shown: &[Entry], tree: &Tree<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (trap, first, besides) in shown {
        if !seen.insert(*trap) {
            faults.push(format!("{trap}: two entries"));
        }
        if !traps.contains(trap) {
            faults.push(format!("{trap}: no such trap"));
        }
        if matches!(first, ToCome(_)) {
            faults.push(format!("{trap}: what is to come shows nothing yet"));
        }
        let mut named = BTreeSet::new();
        for layer in besides.iter().chain([first]) {
            if !named.insert(*layer) {
                faults.push(format!("{trap}: {layer:?} is named twice"));
            }
            faults.extend(tree.fault(*layer).map(|fault| format!("{trap}: {fault}")));
        }
    }
    let missing = traps.iter().filter(|trap| !seen.contains(*trap));
    faults.extend(missing.map(|trap| format!("{trap}: no entry")));
    faults
}

/// The traps of a text: one a line, with headings and blank lines between them.
fn traps(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn every_trap_has_its_test() {
    let tree = Tree(Path::new(env!("CARGO_MANIFEST_DIR")));
    let text = tree.read("fixtures/traps.txt");
    let traps = traps(&text);
    assert_eq!(traps.len(), traps.iter().collect::<BTreeSet<_>>().len(), "a trap is listed twice");
    assert!(traps.len() > 50, "only {} traps", traps.len());
    let faults = faults(&traps, SHOWN, &tree);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_table_that_rots_is_found() {
    const THERE: Layer = Conversation("ladder");
    let tree = Tree(Path::new(env!("CARGO_MANIFEST_DIR")));
    let first = |first: Layer| faults(&["a"], &[("a", first, &[])], &tree);
    for there in [
        THERE,
        Simulator("NeverKill"),
        Test("traps", "every_trap_has_its_test"),
        Real("eras", "listening"),
        Unit("token/tests", "one_at_a_time_holds_the_lock"),
    ] {
        assert_eq!(first(there), Vec::<String>::new(), "{there:?}");
    }
    for gone in [
        Conversation("no-such"),
        Simulator("NoSuch"),
        // What is a part of another name, a function that is no test, and one of another file.
        Simulator("Never"),
        Test("traps", "is_test"),
        Test("traps", "every_trap"),
        Test("relay", "every_trap_has_its_test"),
        Real("eras", "no_such"),
        Real("eras", "serves"),
        ToCome("src/lib.rs"),
        ToCome("src/no_such.rs"),
    ] {
        assert_eq!(first(gone).len(), if gone == ToCome("src/lib.rs") { 2 } else { 1 }, "{gone:?}");
    }
    let table = |shown: &[Entry]| faults(&["a", "b"], shown, &tree).join(", ");
    assert_eq!(table(&[("a", THERE, &[]), ("b", THERE, &[])]), "");
    assert_eq!(table(&[("a", THERE, &[])]), "b: no entry");
    assert_eq!(table(&[("a", THERE, &[]), ("b", THERE, &[]), ("b", THERE, &[])]), "b: two entries");
    assert_eq!(table(&[("a", THERE, &[]), ("b", THERE, &[]), ("c", THERE, &[])]), "c: no such trap");
    assert_eq!(
        table(&[("a", THERE, &[]), ("b", THERE, &[THERE])]),
        "b: Conversation(\"ladder\") is named twice"
    );
    assert_eq!(table(&[("a", THERE, &[]), ("b", THERE, &[ToCome("src/no_such.rs")])]), "");
}
