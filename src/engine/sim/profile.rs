//! What kind of run it is: which faults are likely, what the server speaks, how long the host stays.

use super::rng::Rng;
use super::server::Kind;
use crate::engine::io::SpawnFault;

/// How a server responds to our pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pings {
    Answers,
    /// It says nothing to them.
    Ignores,
    /// It says something that is no answer.
    Garbles,
    Dies,
}

/// What kind of run this is: the chances of what may happen, in percent.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// A fault hits the living server after an act of the host.
    pub fault: u64,
    pub spawn_fault: u64,
    /// The fault of spawning is the same each time. `None`: any.
    pub spawn_fault_kind: Option<SpawnFault>,
    pub greets_slowly: u64,
    pub never_greets: u64,
    pub refuses: u64,
    pub dies_young: u64,
    pub drifts: u64,
    pub never_answers: u64,
    pub answers_late: u64,
    pub wild: u64,
    pub stubborn: u64,
    /// A tool fails.
    pub fails: u64,
    /// A fault is that the server hangs.
    pub hangs: u64,
    /// How the server takes pings.
    pub pings: Pings,
    /// What the host calls itself, where it is not Claude Desktop.
    pub client: &'static str,
    /// Files change after an act of the host.
    pub changes: u64,
    /// Which eras the server speaks.
    pub kind: Kind,
    /// The host takes its time.
    pub leisurely: bool,
    /// How many things the host does.
    pub acts: u64,
    /// The host sends more than the queue holds, at once.
    pub burst: bool,
    /// The server's answers have their ids in the other spelling.
    pub twins: bool,
    /// The newest version that the server speaks.
    pub speaks: &'static str,
    pub max_answer: usize,
}

impl Profile {
    /// Draws what was added to the models later, from a generator of its own, so that the rest of a run does not
    /// change.
    pub(super) fn extend(&mut self, rng: &mut Rng) {
        self.pings = *rng.pick(&[
            Pings::Answers,
            Pings::Answers,
            Pings::Answers,
            Pings::Ignores,
            Pings::Garbles,
            Pings::Dies,
        ]);
        if rng.percent(5) {
            self.client = "claude-code";
        }
    }

    pub(super) fn draw(rng: &mut Rng) -> Self {
        let calm = Self {
            fault: 3,
            spawn_fault: 0,
            spawn_fault_kind: None,
            greets_slowly: 3,
            never_greets: 0,
            refuses: 1,
            dies_young: 0,
            drifts: 2,
            never_answers: 4,
            answers_late: 10,
            wild: 6,
            stubborn: 15,
            fails: 5,
            hangs: 5,
            pings: Pings::Answers,
            client: "model-host",
            leisurely: false,
            changes: 1,
            kind: *rng.pick(&[
                Kind::Legacy,
                Kind::LocksAtOnce,
                Kind::LocksLater,
                Kind::LocksAtOnce,
                Kind::Strict,
            ]),
            acts: 6 + rng.below(18),
            burst: false,
            twins: rng.percent(8),
            speaks: *rng.pick(&["2025-11-25", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]),
            max_answer: 1500,
        };
        match rng.below(100) {
            0..10 => calm,
            10..55 => {
                let fault = 15 + rng.below(25);
                Self { fault, drifts: 6, answers_late: 30, never_answers: 10, ..calm }
            }
            55..65 => Self { dies_young: 60, fault: 20, greets_slowly: 15, ..calm },
            65..72 => Self { fault: 50, drifts: 0, answers_late: 40, ..calm },
            72..80 => {
                let kinds = [
                    Some(SpawnFault::NotFound),
                    Some(SpawnFault::Busy),
                    Some(SpawnFault::NotExecutable),
                    Some(SpawnFault::System),
                    None,
                ];
                Self { spawn_fault: 60, spawn_fault_kind: *rng.pick(&kinds), fault: 15, ..calm }
            }
            80..88 => Self { greets_slowly: 60, never_greets: 20, fault: 8, ..calm },
            88..91 => Self { hangs: 60, fault: 15, acts: 4 + rng.below(8), leisurely: true, ..calm },
            91..93 => Self { changes: 15, fault: 5, ..calm },
            93..97 => Self { wild: 45, fault: 12, answers_late: 25, never_answers: 12, ..calm },
            97..99 => Self { drifts: 60, fault: 25, refuses: 10, ..calm },
            _ => Self { burst: rng.percent(25), greets_slowly: 50, fault: 20, ..calm },
        }
    }
}
