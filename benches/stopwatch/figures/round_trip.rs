//! One call of 200 bytes after the other.

use std::path::Path;

use super::{THREE, in_turn, on_one_cpu, timed};
use crate::host::{Between, Chain, Through, scratch};
use crate::statistics::{Rounds, quantile};
use crate::table::Row;

const ROUNDS: usize = 25;
const CALLS: usize = 2000;
const SIZE: usize = 200;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (through, what) in [(Through::Pipes, "pipes"), (Through::Sockets, "socketpairs")] {
        let [p50, p99] =
            on_one_cpu(|| measure(|between, folder| Chain::greeted(between, through, &[], folder)));
        rows.push(Row::ratio(
            &format!("round trip 200 B, one CPU, {what}, p50"),
            &p50,
            1,
            " us",
            "<= 1.00 (1.10)",
        ));
        rows.push(Row::ratio("the same, p99", &p99, 1, " us", ""));
    }
    let [p50, p99] = on_one_cpu(|| measure(Chain::greeted_sdk));
    rows.push(Row::ratio("the same with an SDK's server, pipes, p50", &p50, 1, " us", "<= 1.00 (1.10)"));
    rows.push(Row::ratio("the same, p99", &p99, 1, " us", ""));
    let [p50, p99] = measure(|between, folder| Chain::greeted(between, Through::Pipes, &[], folder));
    rows.push(Row::ratio("round trip 200 B, all CPUs, pipes, p50", &p50, 1, " us", ""));
    rows.push(Row::ratio("the same, p99", &p99, 1, " us", ""));
    rows
}

/// In microseconds, the median and the 99th percentile of each round.
fn measure(start: impl Fn(Between, &Path) -> Chain) -> [[Rounds; 3]; 2] {
    let folder = scratch();
    let mut chains = THREE.map(|between| start(between, folder.path()));
    for chain in &mut chains {
        (0..CALLS).for_each(|_| chain.call(SIZE));
    }
    let mut p99 = [const { Rounds(Vec::new()) }; 3];
    let p50 = in_turn(ROUNDS, |who| {
        let times: Vec<f64> = (0..CALLS).map(|_| timed(|| chains[who].call(SIZE)) * 1e6).collect();
        p99[who].0.push(quantile(&times, 0.99));
        quantile(&times, 0.5)
    });
    chains.into_iter().for_each(Chain::end);
    [p50, p99]
}
