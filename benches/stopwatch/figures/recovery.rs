//! From the kill of an idle server to the next answer.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::timed;
use crate::host::{Between, Chain, Through, scratch};
use crate::statistics::{Rounds, quantile};
use crate::table::Row;

const KILLS: usize = 50;
/// More kills than a minute is allowed by itself, and none of them waits: the restart is measured, not the patience.
const OPTIONS: &[&str] = &["--max-restarts", "1000", "--backoff-initial", "0ms"];

pub(super) fn rows() -> Vec<Row> {
    let folder = scratch();
    let mut chain = Chain::greeted(Between::Supervisor, Through::Pipes, OPTIONS, folder.path());
    let (mut direct, mut supervisor) = (Rounds::default(), Rounds::default());
    for _ in 0..KILLS {
        let mut started = None;
        let seconds =
            timed(|| started = Some(Chain::greeted(Between::Direct, Through::Pipes, &[], folder.path())));
        direct.0.push(seconds * 1e3);
        started.into_iter().for_each(Chain::end);

        let pid = chain.server();
        let mut next = pid;
        let seconds = timed(|| {
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the server runs");
            // A list is safe to repeat, should it meet the dying server.
            next = chain.server();
        });
        assert_ne!(next, pid, "the one that answers is another one");
        supervisor.0.push(seconds * 1e3);
    }
    chain.end();
    let within = supervisor.less(&direct).0.iter().filter(|more| **more <= 20.0).count();
    vec![Row {
        figure: "kill of an idle server to the next answer".into(),
        direct: format!("{} (its start)", direct.told(1, " ms")),
        supervisor: supervisor.told(1, " ms"),
        judged: format!(
            "{within} of {KILLS} within its start + 20 ms; the slowest {:.1} ms more",
            quantile(&supervisor.less(&direct).0, 1.0)
        ),
        budget: "50 of 50".into(),
        ..Row::default()
    }]
}
