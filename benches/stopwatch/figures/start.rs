//! From the start of the process to the answer to `initialize`.

use super::{THREE, in_turn, timed};
use crate::host::{Chain, Through, scratch};
use crate::table::Row;

const ROUNDS: usize = 101;

pub(super) fn rows() -> Vec<Row> {
    let folder = scratch();
    let times = in_turn(ROUNDS, |who| {
        let mut chain = None;
        let seconds = timed(|| chain = Some(Chain::greeted(THREE[who], Through::Pipes, &[], folder.path())));
        chain.into_iter().for_each(Chain::end);
        seconds * 1e3
    });
    let [direct, copy, supervisor] = &times;
    vec![Row {
        figure: "spawn to greeting".into(),
        direct: direct.told(1, " ms"),
        copy: copy.told(1, " ms"),
        supervisor: supervisor.told(1, " ms"),
        judged: supervisor.less(direct).told(1, " ms more than direct"),
        budget: "<= 3 ms".into(),
    }]
}
