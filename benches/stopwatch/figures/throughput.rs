//! Many calls at a time.

use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::{THREE, in_turn, on_one_cpu, timed};
use crate::host::{Between, Chain, Through, push_call, scratch};
use crate::statistics::Rounds;
use crate::table::Row;

const BUDGET_SMALL: &str = ">= 0.95";
const BUDGET_BIG: &str = ">= 0.80";

/// 200 bytes, 64 in flight.
pub(super) fn small() -> Vec<Row> {
    let what = "200 B, 64 in flight";
    let work = |chain: &mut Chain| stream(chain, 20_000, 64, 200);
    let pipes = measure(least(Through::Pipes), 15, work);
    let one_cpu = on_one_cpu(|| measure(least(Through::Pipes), 15, work));
    let sockets = measure(least(Through::Sockets), 15, work);
    let sdk = measure(Chain::greeted_sdk, 15, |chain| stream(chain, 4_000, 64, 200));
    vec![
        Row::ratio(&format!("{what}, an SDK's server, pipes"), &sdk, 1, " k/s", BUDGET_SMALL),
        Row::ratio(&format!("{what}, pipes"), &pipes, 0, " k/s", BUDGET_SMALL),
        Row::ratio(&format!("{what}, pipes, one CPU"), &one_cpu, 0, " k/s", BUDGET_SMALL),
        Row::ratio(&format!("{what}, socketpairs"), &sockets, 0, " k/s", BUDGET_SMALL),
    ]
}

/// One megabyte, 4 in flight.
pub(super) fn big() -> Vec<Row> {
    let what = "1 MB, 4 in flight";
    let mut rows = Vec::new();
    for (through, name) in [(Through::Pipes, "pipes"), (Through::Sockets, "socketpairs")] {
        let rates = measure(least(through), 11, |chain| {
            flood(chain, 100, 4, 1_000_000);
            100.0
        });
        rows.push(Row::ratio(&format!("{what}, {name}"), &rates, 0, " MB/s", BUDGET_BIG));
    }
    let rates = measure(Chain::greeted_sdk, 7, |chain| {
        flood(chain, 40, 4, 1_000_000);
        40.0
    });
    rows.push(Row::ratio(&format!("{what}, an SDK's server, pipes"), &rates, 0, " MB/s", BUDGET_BIG));
    rows
}

/// A chain to the server that does the least.
fn least(through: Through) -> impl Fn(Between, &Path) -> Chain {
    move |between, folder| Chain::greeted(between, through, &[], folder)
}

/// Rates of the three: what `work` gives, in each second.
fn measure(
    start: impl Fn(Between, &Path) -> Chain,
    rounds: usize,
    mut work: impl FnMut(&mut Chain) -> f64,
) -> [Rounds; 3] {
    let folder = scratch();
    let mut chains = THREE.map(|between| start(between, folder.path()));
    for chain in &mut chains {
        work(chain);
    }
    let rates = in_turn(rounds, |who| {
        let mut done = 0.0;
        let seconds = timed(|| done = work(&mut chains[who]));
        done / seconds
    });
    chains.into_iter().for_each(Chain::end);
    rates
}

/// Keeps so many small calls in flight: for each answer that a read brings, one more is written. Gives thousands of calls.
pub(super) fn stream(chain: &mut Chain, calls: u32, in_flight: u32, size: usize) -> f64 {
    let mut buffer = vec![0; 64 * 1024];
    let mut line = Vec::new();
    let (mut sent, mut answered) = (0, 0);
    while answered < calls {
        let room = (in_flight + answered - sent).min(calls - sent);
        line.clear();
        for _ in 0..room {
            let id = chain.take_id();
            push_call(&mut line, id, size);
        }
        sent += room;
        chain.write(&line);
        let count = chain.from.read(&mut buffer).expect("the chain answers");
        assert!(count > 0, "the chain has ended");
        answered += u32::try_from(memchr::memchr_iter(b'\n', &buffer[..count]).count()).unwrap_or(0);
    }
    f64::from(calls) / 1e3
}

/// Keeps so many big calls in flight. A thread of its own writes: both directions may be full at once.
pub(super) fn flood(chain: &mut Chain, calls: usize, in_flight: usize, size: usize) {
    let first = chain.take_id();
    for _ in 1..calls {
        chain.take_id();
    }
    let mut to = chain.to.take().expect("the chain was not told to end");
    let mut from = chain.from.try_clone().expect("a descriptor is to be had");
    let (answered, answers) = mpsc::channel();
    let writer = thread::spawn(move || {
        use std::io::Write as _;

        let mut line = Vec::new();
        for (number, id) in (first..).take(calls).enumerate() {
            if number >= in_flight {
                answers.recv().expect("the reader reads all answers");
            }
            line.clear();
            push_call(&mut line, id, size);
            to.write_all(&line).expect("the chain reads");
        }
        to
    });
    let mut buffer = vec![0; 64 * 1024];
    let mut seen = 0;
    while seen < calls {
        let count = from.read(&mut buffer).expect("the chain answers");
        assert!(count > 0, "the chain has ended");
        for _ in memchr::memchr_iter(b'\n', &buffer[..count]) {
            seen += 1;
            // The writer may have nothing more to write.
            let _ = answered.send(());
        }
    }
    chain.to = Some(writer.join().expect("the writer writes"));
}
