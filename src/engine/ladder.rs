//! The ladders by which a child is stopped, as data: which step comes when, for which processes, and when the stop is
//! complete. No I/O, no engine.
//!
//! A ladder begins when the child's stdin is closed, or when a signal to us is forwarded. What follows depends on why the
//! child is stopped (`Way`), and another reason that comes meanwhile can only make it quicker:
//!
//! | way | SIGTERM after | SIGKILL after that |
//! |---|---|---|
//! | the host's end | `--stop-grace` | `--term-grace` |
//! | a planned restart | `--stop-grace` | 5 s |
//! | a planned restart in a hurry | 1 s | 5 s |
//! | an unusable child | at once | 2 s |
//!
//! A signal to us is forwarded as it is. SIGKILL follows after 1.5 s or `--term-grace`, whichever is less. If the
//! signal was not SIGTERM, SIGTERM follows after half of that time. SIGKILL is never the first signal that a child
//! gets.
//!
//! Things that come to a server at once may not all be noticed: a Python program looks for signals before it reads and
//! not before it sleeps, so that it misses a signal that comes with the end of its input. So the child's stdin is closed
//! 150 ms after a forwarded signal, and a signal that comes when it has just been closed waits until 150 ms have passed.
//! Signals that wait keep their distance from each other.
//!
//! Signals go to the leader of the group first. The others get each signal once, when the leader has gone or 200 ms
//! later: wrappers such as `sh` forward signals themselves, and others such as `npx` do not. The grace belongs to the
//! group: it goes on after the leader's exit while a helper is saving, and ends once the group is empty.

use std::time::Duration;

use super::io::{GroupSignal, Whom};
use super::process::Exit;

/// How long an exit is waited for after SIGKILL: a process in an uninterruptible sleep must not keep us.
const KILL_GRACE: Duration = Duration::from_millis(450);
/// The least time between a signal that is forwarded and the end of the child's input, whichever comes first; half of the
/// time until SIGKILL at most. A server on a busy machine has noticed the first by then, and a host that goes from SIGINT to
/// SIGTERM in 100 ms is not held up. Further signals put the end of the input off once more by so much, and no longer.
const APART: Duration = Duration::from_millis(150);
/// The least time between two different signals that are forwarded: if we were held up, they reach us at once.
const BREATH: Duration = Duration::from_millis(50);
/// Delay before the rest of the group gets a signal while the leader lives.
const REST: Duration = Duration::from_millis(200);
/// The longest time from a signal to us to SIGKILL: hosts send us SIGKILL 2 s after their own SIGTERM.
const HANDED: Duration = Duration::from_millis(1500);
/// From SIGTERM to SIGKILL in a planned restart.
const PLANNED: Duration = Duration::from_secs(5);
/// From the end of input to SIGTERM in a planned restart that is urgent: many servers ignore the end of input.
const HURRIED: Duration = Duration::from_secs(1);
/// From SIGTERM to SIGKILL for an unusable child.
const UNFIT: Duration = Duration::from_secs(2);
/// The first pause before a group that was not empty is examined again. Each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How much time a child has.
#[derive(Clone, Copy, Debug)]
pub struct Graces {
    /// After its stdin was closed.
    pub stop: Duration,
    /// After SIGTERM.
    pub term: Duration,
}

/// Why a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The host has ended its side.
    HostEnd,
    /// Another child is to take its place.
    Planned,
    /// The same, and the successor is urgent.
    Hurried,
    /// It has never served, or no longer reads, writes or answers.
    Unfit,
    /// We got this signal. It is forwarded after this time.
    Signalled(GroupSignal, Duration),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Close the child's stdin.
    CloseStdin,
    /// Send this signal.
    Tell(GroupSignal, Whom),
    /// SIGKILL to the whole group.
    Kill,
    /// Look whether the group is empty.
    Look,
    /// Nothing more can be done.
    GiveUp,
}

/// How far the stop of one child is. Times are monotonic.
#[derive(Debug)]
pub(super) struct Ladder {
    begun: Duration,
    /// When the child's stdin is to be closed. `None` if that is not planned, or was done.
    close: Option<Duration>,
    /// When it was closed.
    closed: Option<Duration>,
    /// When the leader was last sent a signal.
    told: Option<Duration>,
    /// Signals to us that are still to be forwarded, and when, the oldest first.
    handed: Vec<(Duration, GroupSignal)>,
    /// The last signal to us: when it came, when it is forwarded, and which it is.
    last: Option<(Duration, Duration, GroupSignal)>,
    /// When SIGTERM of our own comes. `None` if none is planned, or it was sent.
    term: Option<Duration>,
    kill: Duration,
    /// The signals that were sent to the leader, or to the rest once the leader had gone.
    sent: Vec<GroupSignal>,
    /// The signals that the rest of the group has not got yet, and when they come at the latest.
    rest: Vec<(Duration, GroupSignal)>,
    killed: bool,
    leader_gone: bool,
    /// When the group is examined next.
    look: Option<Duration>,
    pause: Duration,
    give_up: Option<Duration>,
    /// Whether the group is no longer waited for.
    over: bool,
    /// Whether the leader has exited because its input ended. The group is then left alone.
    left: bool,
}

impl Ladder {
    /// Begins a stop. [`Ladder::take`] adds what it consists of.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            begun: now,
            close: None,
            closed: None,
            told: None,
            handed: Vec::new(),
            last: None,
            term: None,
            kill: Duration::MAX,
            sent: Vec::new(),
            rest: Vec::new(),
            killed: false,
            leader_gone: false,
            look: None,
            pause: FIRST_PAUSE,
            give_up: None,
            over: false,
            left: false,
        }
    }

    /// Adds a reason to stop the child. There may be others already.
    pub(super) fn take(&mut self, way: Way, now: Duration, graces: Graces) {
        match way {
            Way::HostEnd => self.plan(now + graces.stop, graces.term),
            Way::Planned => self.plan(now + graces.stop, PLANNED),
            Way::Hurried => self.plan((self.begun + HURRIED.min(graces.stop)).max(now), PLANNED),
            Way::Unfit => self.plan(now, UNFIT),
            Way::Signalled(signal, after) => {
                let grace = HANDED.min(graces.term);
                let apart = APART.min(grace / 2);
                let at = self.turn_of(signal, after, apart, now);
                self.handed.push((at, signal));
                self.last = Some((now, at, signal));
                self.kill = self.kill.min(at + grace);
                if signal == GroupSignal::Term {
                    self.term = None;
                } else if !self.is_told(GroupSignal::Term) {
                    self.term = Some(self.term.map_or(at + grace / 2, |term| term.min(at + grace / 2)));
                }
                if after.is_zero() && self.closed.is_none() {
                    self.close = Some((at + apart).min(self.begun + apart * 2));
                    return;
                }
            }
        }
        self.close_by(now);
    }

    /// When a signal to us is forwarded: at once, or after this time, or as long after the one before it as it has come after
    /// that; not in the moment in which the child's stdin is closed, but before SIGKILL.
    fn turn_of(&mut self, signal: GroupSignal, after: Duration, apart: Duration, now: Duration) -> Duration {
        if self.leader_gone {
            return now;
        }
        let earliest = self.closed.map_or(now, |closed| now.max(closed + apart));
        // What still waits for answers that are owed waits no longer.
        let early = self.handed.first().map_or(Duration::ZERO, |(at, _)| at.saturating_sub(earliest));
        for (at, _) in &mut self.handed {
            *at -= early;
        }
        let at = self.last.map_or(earliest + after, |(came, at, before)| {
            let breath = if before == signal { Duration::ZERO } else { BREATH };
            earliest.max(at.saturating_sub(early) + breath.max(now.saturating_sub(came)))
        });
        at.min(now + self.kill.saturating_sub(now) / 2)
    }

    /// Whether this signal was sent, or is to be forwarded.
    fn is_told(&self, signal: GroupSignal) -> bool {
        self.sent.contains(&signal) || self.handed.iter().any(|(_, waits)| *waits == signal)
    }

    /// Closes the child's stdin at this time or before, but not in the moment of a signal.
    fn close_by(&mut self, at: Duration) {
        if self.closed.is_none() {
            let at = self.told.map_or(at, |told| at.max(told + APART).min(self.begun + APART * 2));
            self.close = Some(self.close.map_or(at, |planned| planned.min(at)));
        }
    }

    fn plan(&mut self, term: Duration, grace: Duration) {
        if !self.is_told(GroupSignal::Term) {
            self.term = Some(self.term.map_or(term, |earlier| earlier.min(term)));
        }
        self.kill = self.kill.min(term + grace);
    }

    /// The leader has exited because its input ended, and was sent nothing.
    pub(super) fn leaves(&mut self) {
        self.leader_gone = true;
        self.left = true;
        self.over = true;
    }

    /// The leader has exited otherwise. The rest of the group gets the signals that it has missed, and has the rest of
    /// the time.
    pub(super) fn leader_goes(&mut self, now: Duration, graces: Graces) {
        self.leader_gone = true;
        self.give_up = None;
        self.over = self.killed;
        // Nobody is left who could mistake one for the other.
        self.close = self.close.map(|_| now);
        if self.sent.is_empty() && self.handed.is_empty() {
            self.term = Some(now);
            self.kill = self.kill.min(now + graces.term);
        }
        for (at, _) in self.handed.iter_mut().chain(&mut self.rest) {
            *at = now;
        }
        self.look = Some(now);
    }

    /// The result of examining the group.
    pub(super) fn looked(&mut self, now: Duration, empty: bool) {
        if empty {
            self.over = true;
        } else {
            self.look = Some(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The next thing to do at this time. `None` if nothing is due.
    pub(super) fn due(&mut self, now: Duration) -> Option<Step> {
        if self.over {
            return None;
        }
        let is_due = |at: Duration| at <= now;
        if self.close.take_if(|at| is_due(*at)).is_some() {
            self.closed = Some(now);
            return Some(Step::CloseStdin);
        }
        if !self.killed {
            if self.rest.first().is_some_and(|(at, _)| is_due(*at)) {
                return Some(Step::Tell(self.rest.remove(0).1, Whom::Rest));
            }
            if self.handed.first().is_some_and(|(at, _)| is_due(*at)) {
                let (_, signal) = self.handed.remove(0);
                return Some(self.tell(signal, now));
            }
            if self.term.is_some_and(is_due) {
                return Some(self.tell(GroupSignal::Term, now));
            }
            if is_due(self.kill) {
                self.killed = true;
                self.over = self.leader_gone;
                self.give_up = Some(now + KILL_GRACE);
                return Some(Step::Kill);
            }
            if self.look.is_some_and(is_due) {
                self.look = None;
                return Some(Step::Look);
            }
        }
        self.give_up.take_if(|at| is_due(*at)).map(|_| Step::GiveUp)
    }

    fn tell(&mut self, signal: GroupSignal, now: Duration) -> Step {
        if signal == GroupSignal::Term {
            self.term = None;
        }
        self.sent.push(signal);
        if self.leader_gone {
            return Step::Tell(signal, Whom::Rest);
        }
        self.told = Some(now);
        if !self.rest.iter().any(|(_, waits)| *waits == signal) {
            // It comes before SIGKILL in any case.
            self.rest.push((now + REST.min(self.kill.saturating_sub(now) / 2), signal));
        }
        Step::Tell(signal, Whom::Leader)
    }

    /// When the next step is due. `None` if the ladder waits for an event.
    pub(super) fn next(&self) -> Option<Duration> {
        if self.over {
            return None;
        }
        if self.killed {
            return self.give_up;
        }
        let first = |signals: &[(Duration, GroupSignal)]| signals.first().map(|(at, _)| *at);
        let times =
            [self.close, first(&self.handed), self.term, first(&self.rest), Some(self.kill), self.look];
        times.into_iter().flatten().min()
    }

    /// Whether the child was sent a signal, or is to be handed on one that we were sent.
    pub(super) fn tells(&self) -> bool {
        self.killed || !self.sent.is_empty() || !self.handed.is_empty()
    }

    /// Whether the group is no longer waited for.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the group is left alone.
    pub(super) fn is_left(&self) -> bool {
        self.left
    }

    /// Whether this exit is the effect of a signal that we sent or got, as the system or a shell reports it. Who signals us
    /// may signal the child too, and before we do.
    pub(super) fn explains(&self, exit: Exit) -> bool {
        let killed = self.killed.then_some(GroupSignal::Kill);
        let handed = self.handed.iter().map(|(_, signal)| *signal);
        self.sent.iter().copied().chain(handed).chain(killed).any(|signal| {
            let number = signal.number();
            exit == Exit::Signal(number) || exit == Exit::Code(128 + number)
        })
    }

    /// Closes the child's stdin now. Only for planted bugs.
    #[cfg(test)]
    pub(super) fn close_now(&mut self, now: Duration) {
        self.close = self.close.map(|_| now);
    }

    /// Makes SIGKILL due now. Only for planted bugs.
    #[cfg(test)]
    pub(super) fn kill_now(&mut self, now: Duration) {
        self.handed.clear();
        self.term = None;
        self.kill = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Graces, Ladder, Step, Way};
    use crate::engine::io::GroupSignal::{Hup, Int, Term};
    use crate::engine::io::Whom::{Leader, Rest};

    const GRACES: Graces = Graces { stop: Duration::from_secs(5), term: Duration::from_secs(2) };

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// The steps until the ladder waits for anything but time, with their times in milliseconds.
    fn climbed(ladder: &mut Ladder) -> Vec<(u128, Step)> {
        let mut steps = Vec::new();
        while let Some(at) = ladder.next() {
            while let Some(step) = ladder.due(at) {
                steps.push((at.as_millis(), step));
            }
        }
        steps
    }

    fn ladder(way: Way) -> Ladder {
        let mut ladder = Ladder::new(Duration::ZERO);
        ladder.take(way, Duration::ZERO, GRACES);
        ladder
    }

    const CLOSED: (u128, Step) = (0, Step::CloseStdin);

    fn end(kill: u128) -> [(u128, Step); 2] {
        [(kill, Step::Kill), (kill + 450, Step::GiveUp)]
    }

    fn tell(at: u128, signal: super::GroupSignal) -> [(u128, Step); 2] {
        [(at, Step::Tell(signal, Leader)), (at + 200, Step::Tell(signal, Rest))]
    }

    #[test]
    fn each_way_has_its_times_and_none_begins_with_sigkill() {
        for (way, term, kill) in [
            (Way::HostEnd, 5000, 7000),
            (Way::Planned, 5000, 10_000),
            (Way::Hurried, 1000, 6000),
            (Way::Unfit, 0, 2000),
            (Way::Signalled(Term, ms(500)), 500, 2000),
        ] {
            let steps = [&[CLOSED][..], &tell(term, Term), &end(kill)].concat();
            assert_eq!(climbed(&mut ladder(way)), steps, "{way:?}");
        }
    }

    #[test]
    fn a_signal_that_is_not_sigterm_is_followed_by_it() {
        for signal in [Int, Hup] {
            let steps = climbed(&mut ladder(Way::Signalled(signal, Duration::ZERO)));
            let [leader, rest] = tell(0, signal);
            let first = [leader, (150, Step::CloseStdin), rest];
            assert_eq!(steps, [&first[..], &tell(750, Term), &end(1500)].concat());
        }
    }

    #[test]
    fn further_signals_are_handed_on_in_their_order_and_give_no_more_time() {
        let mut ladder = ladder(Way::Signalled(Int, ms(500)));
        assert_eq!((ladder.due(ms(0)), ladder.due(ms(100))), (Some(Step::CloseStdin), None));
        ladder.take(Way::Signalled(Term, Duration::ZERO), ms(100), GRACES);
        ladder.take(Way::Signalled(Term, Duration::ZERO), ms(100), GRACES);
        let leader = |signal| Step::Tell(signal, Leader);
        let told = [(150, leader(Int)), (250, leader(Term)), (250, leader(Term))];
        let rest = [(350, Step::Tell(Int, Rest)), (450, Step::Tell(Term, Rest))];
        assert_eq!(climbed(&mut ladder), [&told[..], &rest, &end(1750)].concat());
    }

    /// The steps of a ladder that further reasons are added to, each at its time in milliseconds.
    fn played(graces: Graces, ways: &[(u64, Way)]) -> Vec<(u128, Step)> {
        let mut ladder = Ladder::new(ms(ways[0].0));
        let mut steps = Vec::new();
        for (number, (at, way)) in ways.iter().enumerate() {
            ladder.take(*way, ms(*at), graces);
            let until = ways.get(number + 1).map_or(Duration::MAX, |(at, _)| ms(*at));
            let mut now = ms(*at);
            loop {
                while let Some(step) = ladder.due(now) {
                    steps.push((now.as_millis(), step));
                }
                match ladder.next().filter(|at| *at < until) {
                    Some(at) => now = at,
                    None => break,
                }
            }
        }
        steps
    }

    const INT: Way = Way::Signalled(Int, Duration::ZERO);
    const TERM: Way = Way::Signalled(Term, Duration::ZERO);

    #[test]
    fn signals_that_wait_keep_their_distance() {
        let leader = |signal| Step::Tell(signal, Leader);
        let steps = played(GRACES, &[(0, Way::HostEnd), (5, INT), (105, TERM)]);
        assert_eq!(steps[..3], [CLOSED, (150, leader(Int)), (250, leader(Term))]);
        // Both reach us at once when we were held up.
        let steps = played(GRACES, &[(0, INT), (0, TERM)]);
        assert_eq!(steps[..3], [(0, leader(Int)), (50, leader(Term)), (200, Step::CloseStdin)]);
    }

    #[test]
    fn many_signals_do_not_put_off_the_end_of_input_for_long() {
        let signals: Vec<(u64, Way)> = (0..10).map(|number| (number * 100, INT)).collect();
        let steps = played(GRACES, &signals);
        assert!(steps.contains(&(300, Step::CloseStdin)), "{steps:?}");
    }

    #[test]
    fn a_signal_to_us_stands_for_our_own_of_that_kind() {
        let graces = Graces { stop: ms(100), ..GRACES };
        let steps = played(graces, &[(0, Way::HostEnd), (10, TERM)]);
        assert_eq!(steps[..3], [&[CLOSED][..], &tell(150, Term)].concat());
        assert_eq!(steps.len(), 5, "{steps:?}");
    }

    #[test]
    fn short_graces_leave_room_for_all_of_it() {
        let graces = Graces { stop: ms(20), term: ms(100) };
        let steps = played(graces, &[(0, TERM)]);
        assert_eq!(steps[..2], [(0, Step::Tell(Term, Leader)), (50, Step::CloseStdin)]);
        assert_eq!(steps[3], (100, Step::Kill));
        let steps = played(graces, &[(0, Way::HostEnd), (10, INT)]);
        let at = |step| steps.iter().position(|(_, other)| *other == step);
        assert!(at(Step::Tell(Int, Leader)).is_some_and(|told| Some(told) < at(Step::Kill)), "{steps:?}");
    }

    #[test]
    fn a_signal_and_the_end_of_input_come_apart() {
        let mut both = ladder(Way::HostEnd);
        assert_eq!(both.due(ms(0)), Some(Step::CloseStdin));
        both.take(Way::Signalled(Term, Duration::ZERO), ms(3), GRACES);
        assert_eq!((both.due(ms(3)), both.next()), (None, Some(ms(150))));
        let mut both = ladder(Way::Signalled(Int, Duration::ZERO));
        assert_eq!(both.due(ms(0)), Some(Step::Tell(Int, Leader)));
        both.take(Way::HostEnd, ms(3), GRACES);
        assert_eq!((both.due(ms(3)), both.next()), (None, Some(ms(150))));
        both.take(Way::Signalled(Term, Duration::ZERO), ms(99), GRACES);
        assert_eq!(both.due(ms(99)), Some(Step::Tell(Term, Leader)));
        assert_eq!(both.due(ms(248)), Some(Step::Tell(Int, Rest)));
        assert_eq!((both.due(ms(248)), both.due(ms(249))), (None, Some(Step::CloseStdin)));
    }

    #[test]
    fn a_leader_that_has_gone_leaves_its_time_to_the_others() {
        let mut ladder = ladder(Way::Signalled(Term, Duration::ZERO));
        assert_eq!(ladder.due(ms(0)), Some(Step::Tell(Term, Leader)));
        ladder.leader_goes(ms(30), GRACES);
        assert_eq!(ladder.due(ms(30)), Some(Step::CloseStdin));
        assert_eq!(ladder.due(ms(30)), Some(Step::Tell(Term, Rest)));
        assert_eq!(ladder.due(ms(30)), Some(Step::Look));
        let mut now = ms(30);
        while ladder.due(now) != Some(Step::Kill) {
            ladder.looked(now, false);
            now = ladder.next().unwrap();
        }
        assert_eq!((now, ladder.is_over()), (ms(1500), true));
    }

    #[test]
    fn a_group_that_is_empty_ends_it() {
        let mut ladder = ladder(Way::Unfit);
        assert_eq!(ladder.due(ms(0)), Some(Step::CloseStdin));
        assert_eq!(ladder.due(ms(0)), Some(Step::Tell(Term, Leader)));
        ladder.leader_goes(ms(30), GRACES);
        while ladder.due(ms(30)) != Some(Step::Look) {}
        ladder.looked(ms(30), true);
        assert!(ladder.is_over() && ladder.next().is_none() && ladder.due(ms(9000)).is_none());
    }

    #[test]
    fn a_leader_that_dies_unasked_leaves_others_a_word_and_time() {
        let mut ladder = ladder(Way::HostEnd);
        assert_eq!(ladder.due(ms(0)), Some(Step::CloseStdin));
        ladder.leader_goes(ms(1000), GRACES);
        assert_eq!(ladder.due(ms(1000)), Some(Step::Tell(Term, Rest)));
        assert_eq!(ladder.due(ms(1000)), Some(Step::Look));
        assert_eq!(ladder.next(), Some(ms(3000)));
    }

    #[test]
    fn all_is_over_in_time_whatever_the_graces() {
        for term in [0, 1, 100, 300, 1500, 60_000] {
            let graces = Graces { stop: ms(60_000), term: ms(term) };
            let mut ladder = Ladder::new(Duration::ZERO);
            ladder.take(Way::HostEnd, Duration::ZERO, graces);
            ladder.take(Way::Signalled(Hup, Duration::ZERO), ms(1000), graces);
            let steps = climbed(&mut ladder);
            let when = |step| steps.iter().find(|(_, other)| *other == step).map(|(at, _)| *at);
            let kill = when(Step::Kill).unwrap();
            assert!(kill <= 2500, "{term}: {steps:?}");
            let told = when(Step::Tell(Term, Rest)).unwrap();
            assert!(told <= kill && when(Step::Tell(Term, Leader)).unwrap() <= told, "{term}: {steps:?}");
        }
    }
}
