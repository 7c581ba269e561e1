//! What disturbs a host's servers, one trouble a round, and how many deaths it brings.
//!
//! Some troubles strike the server that runs. Others are moods: the server that runs is killed, and the one after it
//! misbehaves as it finds written down at its start.

use super::player::Role;
use crate::support::dice::Dice;

/// How many bytes travel in a round, at most: less than may wait for a server.
const BYTES: u64 = 12 * 1024 * 1024;

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// None.
    Calm,
    /// SIGKILL, wherever the server is: between two lines, or in the middle of one.
    Kill,
    /// The same, and to the next server too, soon after its start.
    KillTwice,
    /// SIGSTOP for good.
    Stop,
    /// The same in the silence after the round.
    StopIdle,
    /// SIGSTOP, and SIGCONT soon after: the server may be taken for hung, and need not be.
    Blink,
    /// It leaves with code 75, before it answers that call.
    HandOff,
    /// It dies of a call, after its answer.
    LastAnswer,
    /// It dies of a signal in a call.
    Crash,
    /// It dies of a call that is safe to repeat, and so does the next one, if there is time for it.
    Poison,
    /// A call takes longer than it may.
    TimeOut,
    /// The next server begins late.
    SlowStart,
    /// The next server dies before it reads anything.
    DieOnStart,
    /// The next server mixes noise of all kinds into what it says.
    Noise,
    /// The next server never ceases to print noise.
    Endless,
    /// The next server dies in the middle of an answer.
    MidLine,
    /// The next server closes its stdout, and lives on.
    CloseStdout,
    /// The next server reads no more, and lives on.
    Deaf,
}

use Trouble::{
    Blink, Calm, CloseStdout, Crash, Deaf, DieOnStart, Endless, HandOff, Kill, KillTwice, LastAnswer,
    MidLine, Noise, Poison, SlowStart, Stop, StopIdle, TimeOut,
};

impl Trouble {
    /// All troubles of a role, those that are met most often more than once.
    pub(super) fn all(role: Role) -> Vec<Self> {
        let mut all = vec![
            Calm, Kill, Kill, KillTwice, Stop, StopIdle, Blink, HandOff, Crash, SlowStart, DieOnStart, Noise,
        ];
        if role != Role::Modern {
            all.extend([LastAnswer, Poison, Endless, MidLine, CloseStdout, Deaf]);
        }
        if role == Role::Sockets {
            all.push(TimeOut);
        }
        all
    }

    /// How many servers die of it, at least.
    pub(super) fn deaths(self) -> usize {
        match self {
            Calm | Blink | TimeOut => 0,
            KillTwice | DieOnStart | CloseStdout | Deaf => 2,
            Kill | Poison | Stop | StopIdle | HandOff | LastAnswer | Crash | SlowStart | Noise | Endless
            | MidLine => 1,
        }
    }

    /// The most bytes of one request or its answer that may travel meanwhile, and of all together.
    pub(super) fn largest(self) -> (u64, u64) {
        match self {
            // What is cut out of noise on its line is no longer than noise is read: 1 MiB.
            Noise => (1_000_000, BYTES),
            // More than the pipe holds and the relay keeps for a server that does not read would stop the host, which could
            // then not even take its requests back.
            Deaf | Endless => (1_000, 100_000),
            Calm | Kill | KillTwice | Stop | StopIdle | Blink | HandOff | LastAnswer | Crash | Poison
            | TimeOut | SlowStart | DieOnStart | MidLine | CloseStdout => (BYTES, BYTES),
        }
    }

    /// Whether the server that it leaves behind goes on like that, or may: where a round is short, it has not come to dying
    /// in the middle of an answer.
    pub(super) fn lasts(self) -> bool {
        matches!(self, DieOnStart | Noise | Endless | MidLine)
    }

    /// What the next server finds written down. `None` if the trouble is the running server's.
    pub(super) fn mood(self, role: Role, dice: &mut Dice, once: &str) -> Option<String> {
        let late = dice.between(20, 150);
        if role == Role::Modern {
            // Lines of a shell.
            return match self {
                SlowStart => Some(format!("sleep 0.{late:03}")),
                DieOnStart => Some(format!("mkdir '{once}' 2>/dev/null && exit 3")),
                Noise => {
                    Some("echo '*** ready {not json}'; echo '[1,2,3]'; echo; echo on stderr >&2".to_owned())
                }
                Calm | Kill | KillTwice | Stop | StopIdle | Blink | HandOff | LastAnswer | Crash | Poison
                | TimeOut | Endless | MidLine | CloseStdout | Deaf => None,
            };
        }
        // Beyond what the greeting takes, so that it happens in the midst of the traffic.
        let soon = dice.between(8, 20);
        match self {
            SlowStart => Some(format!("--slow-start {late}")),
            DieOnStart => Some(format!("--die-on-start --die-once {once} --exit-code {}", dice.below(100))),
            Noise => {
                let lines = [
                    "banner",
                    "json-log",
                    "blank",
                    "colour",
                    "invalid-utf8",
                    "lookalike",
                    "array",
                    "half-line",
                ];
                let mut kinds = dice.shuffled(&lines)[..3].to_vec();
                kinds.push(*dice.pick(&["bom", "crlf", "glued", "no-newline", "blank"]));
                let kinds: String = kinds.iter().flat_map(|kind| [" --noise ", kind]).collect();
                Some(format!("--stderr-lines {}{kinds}", dice.below(2000)))
            }
            Endless => Some("--noise endless-lines".to_owned()),
            MidLine => Some(format!("--die-mid-line={soon} --exit-signal KILL")),
            CloseStdout => Some(format!("--close-stdout-at {soon}")),
            Deaf => Some(format!("--stop-reading-at {soon}")),
            Calm | Kill | KillTwice | Stop | StopIdle | Blink | HandOff | LastAnswer | Crash | Poison
            | TimeOut => None,
        }
    }
}
