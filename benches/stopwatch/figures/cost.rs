//! What a relayed message costs in system calls and allocations.

use std::fs;

use crate::host::{Between, Chain, Through, scratch};
use crate::table::Row;
use crate::trace;

/// Enough that what happens now and then does not show.
const CALLS: u32 = 2000;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (through, name) in [(Through::Pipes, "pipes"), (Through::Sockets, "socketpairs")] {
        rows.push(Row {
            figure: format!("system calls a message, {name}"),
            copy: system_calls(Between::Copy, through),
            supervisor: system_calls(Between::Supervisor, through),
            budget: "aim: 4".into(),
            ..Row::default()
        });
    }
    for size in [200, 20_000] {
        let (count, bytes) = allocations(size);
        rows.push(Row {
            figure: format!("allocations a message of {size} B"),
            supervisor: format!("{count:.1}, {bytes:.0} B"),
            budget: "aim: do not grow with the message".into(),
            ..Row::default()
        });
    }
    rows
}

/// A call has two messages, one each way.
fn system_calls(between: Between, through: Through) -> String {
    let folder = scratch();
    let mut chain = Chain::greeted(between, through, &[], folder.path());
    chain.call(200);
    let pid = chain.process.id();
    let calls = trace::calls(pid, folder.path(), || (0..CALLS).for_each(|_| chain.call(200)));
    chain.end();
    let Some(calls) = calls else { return "strace is not installed, or may not look".into() };
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
    let a_message = |count: u64| count as f64 / f64::from(2 * CALLS);
    let parts: Vec<String> = calls
        .iter()
        .filter(|(_, count)| a_message(**count) >= 0.01)
        .map(|(name, count)| format!("{name} {:.2}", a_message(*count)))
        .collect();
    format!("{:.2}: {}", a_message(calls.values().sum()), parts.join(", "))
}

/// How many allocations a message makes, and of how many bytes: what twice as many calls add, by their number.
fn allocations(size: usize) -> (f64, f64) {
    let [few, many] = [CALLS, 2 * CALLS].map(|calls| {
        let folder = scratch();
        let mut chain = Chain::greeted(Between::Counted, Through::Pipes, &[], folder.path());
        (0..calls).for_each(|_| chain.call(size));
        chain.end();
        let counts = fs::read_to_string(folder.path().join("counts")).expect("the counts were written");
        let mut numbers = counts.split(' ').map(|number| number.parse::<f64>().expect("they are numbers"));
        [(); 2].map(|()| numbers.next().expect("there are two"))
    });
    let a_message = |part: usize| (many[part] - few[part]) / f64::from(2 * CALLS);
    (a_message(0), a_message(1))
}
