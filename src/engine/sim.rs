//! The simulator: a model host, model servers and a doer around one engine, in virtual time, from one seed.
//!
//! The checker keeps books of its own and asks after every step whether the invariants of the engine hold. A run that
//! fails is told by its seed, and `SIM_SEED=n cargo test seeds` shows the whole conversation. `SIM_SEEDS=n` runs more.
//! Planted bugs show that the checker sees, and counts of what happened that the models still lead it everywhere.

mod api;
mod books;
mod bugs;
mod check;
mod check_account;
mod check_child;
mod check_era;
mod check_host;
mod check_inject;
mod check_life;
mod check_match;
mod check_ours;
mod check_plans;
mod check_pulse;
mod check_session;
mod check_stop;
mod cover;
mod host;
mod log;
mod parse;
mod profile;
mod rng;
mod server;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::cover::Cover;
use self::log::Log;
use self::world::World;

pub(super) use self::bugs::Bug;
use crate::ledger::{Event, Session};

/// How many seeds each test run tries.
pub(crate) const SEEDS: u64 = 10_000;

/// An invariant that does not hold.
#[derive(Clone, Debug)]
struct Violation {
    invariant: &'static str,
    detail: String,
}

impl Violation {
    fn new(invariant: &'static str, detail: impl Into<String>) -> Self {
        Self { invariant, detail: detail.into() }
    }
}

/// One run: what it covered, or what it violated; and its conversation.
fn run(seed: u64, planted: Option<Bug>) -> (Result<Cover, Violation>, Log) {
    let (mut world, config) = World::new(seed);
    let mut log = Log::default();
    let result = catch_unwind(AssertUnwindSafe(|| world.run(config, planted, &mut log)));
    let result = result.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Err(Violation::new("the engine does not panic", words.unwrap_or_default()))
    });
    (result.map(|()| world.checker.cover), log)
}

/// What the notes of a run add up to, and the events of it.
pub(crate) fn simulated(seed: u64) -> (Session, Vec<Event>) {
    let (mut world, config) = World::new(seed);
    let ran = world.run(config, None, &mut Log::default());
    assert!(ran.is_ok(), "seed {seed}: {ran:?}");
    world.checker.account.told(seed)
}

/// Panics with what a person needs to find the fault.
fn tell(seed: u64, violation: &Violation, log: &Log) -> ! {
    panic!(
        "seed {seed}: \"{}\" does not hold: {}\n{}\nrun it alone: SIM_SEED={seed} cargo test --lib seeds -- --nocapture",
        violation.invariant,
        violation.detail,
        log.last(60)
    );
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn all_seeds_keep_the_invariants() {
    if let Some(seed) = number_from("SIM_SEED") {
        let (result, log) = run(seed, None);
        println!("{}", log.last(usize::MAX));
        if let Err(violation) = result {
            tell(seed, &violation, &log);
        }
        return;
    }
    let seeds = number_from("SIM_SEEDS").unwrap_or(SEEDS);
    let (mut cover, failed) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| every_second(1, seeds));
        let (mut cover, mut failed) = every_second(0, seeds);
        let (more, worse) = odd.join().unwrap();
        cover.add(&more);
        failed.extend(worse);
        (cover, failed)
    });
    if let Some(seed) = failed.values().flatten().min() {
        for (invariant, seeds) in &failed {
            println!("{} seeds break \"{invariant}\", the first is {}", seeds.len(), seeds[0]);
        }
        let (result, log) = run(*seed, None);
        tell(*seed, &result.unwrap_err(), &log);
    }
    cover.count("seeds", seeds);
    println!("{cover}");
    cover.assert_enough(seeds);
}

/// Runs every second seed. What they covered, and which of them break which invariant.
fn every_second(first: u64, seeds: u64) -> (Cover, BTreeMap<&'static str, Vec<u64>>) {
    let mut cover = Cover::default();
    let mut failed: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for seed in (first..seeds).step_by(2) {
        match run(seed, None) {
            (Ok(covered), log) => {
                cover.add(&covered);
                cover.count("inputs and outputs", log.len());
            }
            (Err(violation), _) => failed.entry(violation.invariant).or_default().push(seed),
        }
    }
    (cover, failed)
}
