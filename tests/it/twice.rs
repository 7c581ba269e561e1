//! Two supervisors of one command at once, as Claude Desktop starts each server twice: a hundred pairs, one after another.
//!
//! Both of a pair have the same command line, folder and data directory, and so the same file on disk. They end in all
//! ways that hosts have, one of them sometimes in its first 200 ms. Each round's server has a tool of its own, so that each
//! round has something to write, and what is found on disk afterwards can be told from what an earlier round has left.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::dice::Dice;
use crate::support::{Host, Plan, call, guidance, process, text_of};

const ROUNDS: u64 = 100;
/// Claude Desktop may kill the first of two this soon.
const SOON: Duration = Duration::from_millis(200);
/// What is told by a supervisor whose disk is slower than an end may be.
const LATE: &str = "failed to finish writing last good answers in time";

/// How a supervisor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The host closes its stdin, with an answer owed.
    OfInput,
    /// The same, and all is answered.
    OfInputIdle,
    Terminated,
    Killed,
    /// Killed in its first 200 ms, wherever it is then.
    KilledSoon,
}

/// The ends of the one and the other, in turn.
const ENDS: [(End, End); 8] = [
    (End::OfInput, End::OfInput),
    (End::KilledSoon, End::OfInputIdle),
    (End::Terminated, End::OfInput),
    (End::Killed, End::OfInputIdle),
    (End::OfInputIdle, End::OfInputIdle),
    (End::KilledSoon, End::Terminated),
    (End::Terminated, End::Terminated),
    (End::Killed, End::Terminated),
];

/// The tool that only this round's servers have.
fn tool(round: u64) -> String {
    format!("tool-of-round-{round}")
}

/// Has a tool of this name in it.
fn has_tool(list: &Value, name: &str) -> bool {
    list["result"]["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == name))
}

/// Greets, lists and calls.
fn converse(host: &mut Host, round: u64) {
    assert_eq!(host.greet()["result"]["serverInfo"]["name"], "fixture-server", "round {round}");
    let list = host.list();
    assert!(has_tool(&list, &tool(round)), "round {round}: {list}");
    let word = format!("word {round}");
    assert_eq!(text_of(&host.ask(1, "echo", &json!({"text": word}))), word, "round {round}");
    assert_eq!(
        text_of(&host.ask(2, "count", &json!({}))),
        "1",
        "round {round}: another host's calls are counted"
    );
}

/// Starts the end. What is owed is owed from now on.
fn begin(host: &mut Host, end: End) {
    match end {
        End::OfInputIdle => host.close_stdin(),
        End::OfInput => {
            host.send(call("last", "slow", &json!({"ms": 2})));
            host.close_stdin();
        }
        End::Terminated => {
            host.send(call("last", "slow", &json!({"ms": 2})));
            host.signal(Signal::SIGTERM);
        }
        End::Killed | End::KilledSoon => host.signal(Signal::SIGKILL),
    }
}

/// Waits for the end, and looks at all that came. True unless it has told that its disk was too slow.
fn finish(host: &mut Host, end: End, round: u64) -> bool {
    let code = host.exit();
    if matches!(end, End::Killed | End::KilledSoon) {
        assert_eq!(code, 128 + 9, "round {round}");
        return true;
    }
    assert_eq!(code, 0, "round {round}: {end:?}");
    host.all_lines();
    for id in [json!("greet"), json!("list"), json!(1), json!(2)] {
        assert_eq!(host.answers(id.clone()), 1, "round {round}: {id}");
    }
    if end == End::OfInput {
        assert_eq!(text_of(&host.answer("last")), "slept 2 ms", "round {round}");
    }
    if end == End::Terminated && host.answers("last") > 0 {
        // Whether the call was read before the signal was heeded is nobody's promise; that it is no error is.
        let last = host.answer("last");
        assert!(text_of(&last) == "slept 2 ms" || guidance(&last).is_some(), "round {round}: {last}");
    }
    let stderr = host.all_stderr();
    assert!(stderr.lines().all(|line| line.contains(LATE)), "round {round}: {end:?}: {stderr}");
    stderr.is_empty()
}

/// What is in the folder of all servers' files.
fn kept(plan: &Plan) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(plan.path("data/last-good")) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The one file that is kept, which a reader can understand at any time.
fn kept_text(plan: &Plan, interrupted: bool) -> String {
    let mut files = kept(plan);
    if interrupted {
        // Whoever ends between two system calls cannot tidy up. A later writer does, when the file is an hour old.
        for unfinished in files.extract_if(.., |file| file.to_string_lossy().contains("/.new-")) {
            fs::remove_file(unfinished).expect("it is ours");
        }
    }
    let [file] = &files[..] else { panic!("not one file: {files:?}") };
    let text = fs::read_to_string(file).expect("it is ours");
    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    text
}

/// What a host is given at once, from disk, while its server reads nothing.
fn serve_from_disk(plan: &Plan, more: &str, round: u64) {
    fs::write(plan.path("more"), format!("{more} --wait-for {}", plan.path("never").display()))
        .expect("it is ours");
    let mut host = plan.clone().options("--instant-start --stop-grace 20ms --term-grace 20ms").start();
    assert_eq!(host.greet()["result"]["capabilities"]["logging"], json!({}), "round {round}");
    let list = host.list();
    assert!(has_tool(&list, &tool(round)), "round {round}: {list}");
    assert_eq!(host.finish(), 0, "round {round}");
}

#[test]
fn two_supervisors_of_one_command_are_started_and_stopped_a_hundred_times() {
    let plan = Plan::new();
    let plan = plan.clone().server_with("--more", plan.path("more"));
    let mut dice = Dice::new(1);
    let folder = plan.path("").display().to_string();
    let mut late = 0;
    for round in 0..ROUNDS {
        let more = format!("--extra-tool {}", tool(round));
        fs::write(plan.path("more"), &more).expect("it is ours");
        let ends = ENDS[usize::try_from(round).expect("it is small") % ENDS.len()];
        let (mut one, mut other) = (plan.clone().start(), plan.clone().start());
        let mut in_time = true;
        if ends.0 == End::KilledSoon {
            one.send(crate::support::message::initialize("2025-06-18"));
            process::pause(dice.duration(SOON));
            begin(&mut one, ends.0);
            converse(&mut other, round);
        } else {
            converse(&mut one, round);
            converse(&mut other, round);
            begin(&mut one, ends.0);
        }
        begin(&mut other, ends.1);
        in_time &= finish(&mut one, ends.0, round);
        in_time &= finish(&mut other, ends.1, round);
        // The guardian of one that was killed may wait for the system to forget the server: it is looked for later.
        one.until("both are gone, and their servers", || {
            process::mentioning(&folder).into_iter().all(|pid| process::is_called(pid, "mcp-sup-guard"))
        });
        // The other has seen this round's list, and has had its end to write it.
        let killed = matches!(ends.0, End::Killed | End::KilledSoon);
        let text = kept_text(&plan, killed || !in_time);
        assert!(text.contains("serverInfo") && text.contains("inputSchema"), "round {round}: {text}");
        assert!(text.contains(&tool(round)) || !in_time, "round {round}: its list is not on disk: {text}");
        late += u64::from(!in_time);
        if in_time && round % 10 == 9 {
            serve_from_disk(&plan, &more, round);
        }
    }
    assert!(
        process::eventually(|| process::mentioning(&folder).is_empty().then_some(())).is_some(),
        "guardians are left: {:?}",
        process::mentioning(&folder)
    );
    assert!(late < ROUNDS / 2, "the disk was too slow in {late} rounds: nothing was shown");
}
