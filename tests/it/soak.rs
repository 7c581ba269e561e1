//! Endurance: several hosts at once, each with a supervisor and a server that misbehaves, in both eras of the protocol.
//!
//! Mixed traffic from a seed, and in its midst every trouble that a server can make: kills, hangs, stops, noise, slow and
//! failed starts. Each request gets exactly one answer, which is the right one or guidance for which there was a reason;
//! nothing that is not safe to repeat is run twice; memory, descriptors and threads are flat; in the end nothing is left.
//!
//! `cargo test` plays each trouble once before the first measurement and some again after it. `SOAK_SECONDS` plays on for so
//! long, and tells how it goes. `SOAK_SEED` makes the same choices again.
//!
//! | file | what it is for |
//! |---|---|
//! | `traffic` | what hosts ask, and what is right to answer |
//! | `trouble` | what disturbs servers |
//! | `book` | what a host is owed, and whether what comes is right |
//! | `player` | one host and its supervisor |
//! | `round` | a burst, a trouble, and what is looked at in the silence after it |
//! | `gauge` | what a supervisor holds, and when that is flat |

mod book;
mod gauge;
mod player;
mod round;
mod traffic;
mod trouble;

use std::thread;
use std::time::Duration;

use gauge::Gauge;
use player::{Player, Role};
use trouble::Trouble;

use crate::support::dice::Dice;
use crate::support::join;
use crate::support::process::Since;

/// Between two lines that tell how a long run goes.
const NEWS: Duration = Duration::from_secs(10);

/// How many rounds a short run has after the first measurement.
const SHORT: usize = 6;

/// How a run goes on.
#[derive(Clone, Copy, Debug)]
struct Run {
    seed: u64,
    /// `None` for a short run.
    length: Option<Duration>,
    since: Since,
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn nothing_is_lost_doubled_or_left_in_a_long_run_with_troubles_of_all_kinds() {
    let run = Run {
        seed: setting("SOAK_SEED").unwrap_or(1),
        length: setting("SOAK_SECONDS").map(Duration::from_secs),
        since: Since::now(),
    };
    println!("SOAK_SEED={}", run.seed);
    let hosts = Role::ALL.map(|role| thread::spawn(move || host(role, run)));
    for story in hosts.map(join) {
        println!("{story}");
    }
}

/// The whole life of one host, and its summary.
#[expect(clippy::print_stdout, reason = "whoever lets it play for long wants to see how it goes")]
fn host(role: Role, run: Run) -> String {
    // No two hosts of a run make the same choices.
    let seed = run.seed * 10 + Role::ALL.iter().position(|other| *other == role).map_or(0, |at| at as u64);
    let mut player = Player::start(role, seed);
    let mut troubles = Dice::new(seed + 5);
    player.greet();
    let mut gauge = Gauge::new(&mut player);
    let all = Trouble::all(role);
    for trouble in troubles.shuffled(&all) {
        player.play(trouble);
    }
    gauge.take(&mut player);
    let mut told = run.since.elapsed();
    loop {
        let mut next = troubles.shuffled(&all);
        if run.length.is_none() {
            next.truncate(SHORT);
        }
        for trouble in next {
            player.play(trouble);
            if run.length.is_some() && run.since.elapsed() > told + NEWS {
                told = run.since.elapsed();
                println!("{:4} s {}; {gauge}", told.as_secs(), player.news());
            }
        }
        gauge.take(&mut player);
        if run.length.is_none_or(|length| run.since.elapsed() > length) {
            break;
        }
    }
    let by_signal = matches!(role, Role::Batches);
    let news = player.news();
    let (code, took) = player.end(by_signal);
    if code != 0 {
        player.fail(&format!("the supervisor exits with {code}"));
    }
    format!("{news}; {gauge}; gone after {} ms", took.as_millis())
}
