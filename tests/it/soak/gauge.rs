//! What a supervisor holds: memory, descriptors and threads, and when that counts as flat.

use std::{fmt, fs};

use super::player::Player;
use crate::support::process;

/// What is held at one moment. Memory is in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) resident: u64,
    /// What no other process shares and no file holds.
    pub(super) private: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
}

impl Sample {
    /// `None` where the system does not tell.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Some(Self {
            resident: process::memory(pid)?,
            private: process::figure(pid, "smaps_rollup", "Private_Dirty")?,
            descriptors: process::descriptors(pid).len(),
            threads: fs::read_dir(format!("/proc/{pid}/task")).ok()?.count(),
        })
    }
}

/// How much more private memory than in the beginning is none, in KiB: what a heap keeps that has been used, and what the
/// supervisor does not give back because it will need it again.
const SLACK: u64 = 1536;

/// The samples of one supervisor, each in the silence after a round.
#[derive(Debug)]
pub(super) struct Gauge {
    /// After the greeting. By this one memory is judged. `None` where the system does not tell.
    greeted: Option<Sample>,
    /// After the first round. By this one descriptors and threads are judged: by then all are in use that are needed.
    first: Option<Sample>,
    last: Option<Sample>,
}

impl Gauge {
    /// After the greeting.
    pub(super) fn new(player: &mut Player) -> Self {
        player.rest();
        Self { greeted: Sample::of(player.pid()), first: None, last: None }
    }

    /// Takes one. Whatever has happened, all comes down to what it was: the memory of long lines a second after the last of
    /// them, threads when they have reaped what they wait for.
    pub(super) fn take(&mut self, player: &mut Player) {
        player.rest();
        let Some(greeted) = self.greeted else { return };
        let mut now = None;
        let flat = player.comes_to_hold(|player| {
            now = Sample::of(player.pid());
            let Some(now) = now else { return true };
            let first = self.first.unwrap_or(now);
            now.private <= greeted.private + SLACK
                && now.descriptors <= first.descriptors
                && now.threads <= first.threads
        });
        self.last = now;
        self.first = self.first.or(now);
        if !flat {
            player.fail(&format!("the supervisor grows: {self}"));
        }
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(greeted), Some(first), Some(last)) = (self.greeted, self.first, self.last) else {
            return f.write_str("nothing was measured");
        };
        write!(
            f,
            "memory {} -> {} -> {} KiB (private {} -> {} -> {}), descriptors {} -> {}, threads {} -> {}",
            greeted.resident,
            first.resident,
            last.resident,
            greeted.private,
            first.private,
            last.private,
            first.descriptors,
            last.descriptors,
            first.threads,
            last.threads,
        )
    }
}
