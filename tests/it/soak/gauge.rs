//! What a supervisor holds: memory, descriptors and threads, and when that counts as flat.

use std::{fmt, fs};

use super::player::Player;
use crate::support::process;

/// What is held at one moment. Memory is in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) resident: u64,
    /// What no other process shares.
    pub(super) private: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
}

impl Sample {
    /// `None` where the system does not tell.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let rollup = |name| process::figure(pid, "smaps_rollup", name);
        Some(Self {
            resident: process::memory(pid)?,
            private: rollup("Private_Clean")? + rollup("Private_Dirty")?,
            descriptors: process::descriptors(pid).len(),
            threads: fs::read_dir(format!("/proc/{pid}/task")).ok()?.count(),
        })
    }
}

/// How much more than in the beginning is none: what a heap keeps of what was given back (128 KiB, as the hosts' supervisors
/// are told), for each of up to four threads, and as much again for holes between what lives. Buffers that have not begun
/// anew are not in it: they show in one sample and not in the next.
const SLACK: u64 = 2 * 4 * 128;
/// How often is looked, with a line of so many MiB before each look.
const TRIES: [u64; 12] = [9, 6, 7, 5, 10, 8, 6, 9, 5, 7, 8, 10];

/// The samples of one supervisor, each in the silence after a round, and the lowest of a few.
#[derive(Debug)]
pub(super) struct Gauge {
    samples: Vec<Sample>,
    /// The first one, by which the others are judged, is worth all tries.
    thorough: bool,
}

impl Gauge {
    pub(super) fn new(thorough: bool) -> Self {
        Self { samples: Vec::new(), thorough }
    }

    /// Takes one. Memory, descriptors and threads must come down to what they were in the first one.
    pub(super) fn take(&mut self, player: &mut Player) {
        let mut lowest: Option<Sample> = None;
        for (at, mebibytes) in TRIES.into_iter().enumerate() {
            player.rest(mebibytes);
            let Some(now) = self.settled(player) else { return };
            if lowest.is_none_or(|lowest| now.resident < lowest.resident) {
                lowest = Some(now);
            }
            let enough = match (self.samples.first(), lowest) {
                (Some(first), Some(lowest)) => lowest.resident <= first.resident + SLACK,
                _ => at == 3 && !self.thorough,
            };
            if enough {
                break;
            }
        }
        self.samples.extend(lowest);
        if let (Some(first), Some(last)) = (self.samples.first(), self.samples.last())
            && last.resident > first.resident + SLACK
        {
            player.fail(&format!("the supervisor grows: {self}"));
        }
    }

    /// A sample once the threads that reap have ended. `None` where the system does not tell.
    fn settled(&self, player: &mut Player) -> Option<Sample> {
        let first = self.samples.first().copied();
        let mut found = None;
        player.tend("as few descriptors and threads are in use as in the beginning", |player| {
            found = Sample::of(player.pid());
            let (Some(first), Some(now)) = (first, found) else { return true };
            now.descriptors <= first.descriptors && now.threads <= first.threads
        });
        found
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return f.write_str("nothing was measured");
        };
        write!(
            f,
            "memory {} -> {} KiB (private {} -> {}), descriptors {} -> {}, threads {} -> {}",
            first.resident,
            last.resident,
            first.private,
            last.private,
            first.descriptors,
            last.descriptors,
            first.threads,
            last.threads,
        )
    }
}
