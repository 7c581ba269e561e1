//! Resident memory of the supervisor: when it has greeted, after ten thousand calls, and after a gigabyte.

use std::thread;
use std::time::Duration;

use super::throughput::flood;
use crate::host::{Between, Chain, Through, scratch};
use crate::table::Row;

const BUDGET: &str = "<= 6 MiB, flat";
const MEGABYTE: usize = 1_000_000;

/// How long after it is looked.
const SETTLED: Duration = Duration::from_secs(2);

/// What is done before it is looked at the memory.
type Stage = fn(&mut Chain);

pub(super) fn rows() -> Vec<Row> {
    let folder = scratch();
    let stages: [(&str, Stage); 4] = [
        ("greeted", |_| {}),
        ("after 10,000 calls of 200 B", |chain| (0..10_000).for_each(|_| chain.call(200))),
        ("after 1 GB more, in calls of 1 MB, 4 in flight", |chain| flood(chain, 500, 4, MEGABYTE)),
        ("after 1 GB more", |chain| flood(chain, 500, 4, MEGABYTE)),
    ];
    let mut chains = [Between::Copy, Between::Supervisor]
        .map(|between| Chain::greeted(between, Through::Pipes, &[], folder.path()));
    let mut rows = Vec::new();
    for (what, work) in stages {
        let [copy, supervisor] = chains.each_mut().map(|chain| {
            work(chain);
            // What a burst of long lines has taken is given back a second after it.
            thread::sleep(SETTLED);
            ["VmRSS", "VmHWM"].map(|name| told(chain.memory(name)))
        });
        rows.push(Row {
            figure: format!("resident, {what}"),
            copy: copy[0].clone(),
            supervisor: supervisor[0].clone(),
            judged: format!("{} (at most so far {})", supervisor[0], supervisor[1]),
            budget: BUDGET.into(),
            ..Row::default()
        });
    }
    chains.into_iter().for_each(Chain::end);
    rows
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn told(kib: Option<u64>) -> String {
    kib.map_or_else(|| "not told by the system".into(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0))
}
