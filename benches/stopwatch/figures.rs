//! What is measured, in the order of the table.

mod cost;
mod gateway;
mod growth;
mod memory;
mod outside;
mod recovery;
mod round_trip;
mod start;
mod throughput;

use std::time::Instant;

use crate::host::Between;
use crate::statistics::Rounds;
use crate::table::{self, Row};

/// Who takes turns: without anything, the baseline, and what is judged.
const THREE: [Between; 3] = [Between::Direct, Between::Copy, Between::Supervisor];

/// A measurement of one or more rows.
type Measure = fn() -> Vec<Row>;

const FIGURES: &[(&str, Measure)] = &[
    ("round-trip", round_trip::rows),
    ("in-flight", throughput::small),
    ("megabyte", throughput::big),
    ("start-up", start::rows),
    ("memory", memory::rows),
    ("recovery", recovery::rows),
    ("cost", cost::rows),
    ("growth", growth::rows),
    ("gateway", gateway::rows),
    ("outside", outside::rows),
];

/// Measures the figures whose names contain one of the words, all if there is none, and prints the table.
pub(crate) fn print(words: &[String]) {
    table::head();
    for (name, measure) in FIGURES {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            measure().iter().for_each(table::print);
        }
    }
}

/// Measures the three in turn, each round beginning with another one.
fn in_turn(rounds: usize, mut measure: impl FnMut(usize) -> f64) -> [Rounds; 3] {
    let mut all = [const { Rounds(Vec::new()) }; 3];
    for round in 0..rounds {
        for turn in 0..THREE.len() {
            let who = (round + turn) % THREE.len();
            all[who].0.push(measure(who));
        }
    }
    all
}

/// How long something takes, in seconds.
fn timed(work: impl FnOnce()) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "this is where time is read")]
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Runs something with this process, and all that it starts, on one CPU. Where the system cannot do that, as it is.
fn on_one_cpu<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    {
        use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
        use nix::unistd::Pid;

        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).expect("the system tells which CPUs may be used");
        let mut last = CpuSet::new();
        // The last one: the first has more of the system's own work.
        let free = (0..CpuSet::count()).rev().find(|cpu| before.is_set(*cpu).unwrap_or(false)).unwrap_or(0);
        last.set(free).expect("it was among those");
        sched_setaffinity(this, &last).expect("a smaller set is allowed");
        let done = work();
        sched_setaffinity(this, &before).expect("the set was ours before");
        done
    }
    #[cfg(not(target_os = "linux"))]
    work()
}
