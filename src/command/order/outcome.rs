//! What comes of an order: the supervisor is listened to until it is done, or cannot be.
//!
//! What it tells is taken together by [`Progress`], which waits for nothing and is pure.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::control::client::{Ear, Refusal, Supervisor};
use crate::control::{Status, Told};
use crate::engine::io::Order;
use crate::ledger::{Kind, TokenState};

/// How long it may take: a server has 30 s to finish what it does, and 5 minutes to start, for it may be downloaded.
const LONGEST: Duration = Duration::from_secs(6 * 60);
/// A supervisor that lives gives a sign of it every 5 s.
const SILENCE: Duration = Duration::from_secs(15);
/// From this revision of the protocol on there is no greeting: whether a server serves is known when it is asked something.
const WITHOUT_GREETING: &str = "2026";

/// What was ordered is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// A new server of this process id serves.
    Serves(u32),
    /// It runs, and serves as soon as its host says something.
    Runs(u32),
    /// The supervisor has ended.
    Ended,
}

/// What was ordered is not done.
#[derive(Debug)]
pub(super) enum Undone {
    /// The supervisor did not take the order, or is not to be heard any more.
    Refused(Refusal),
    /// The server was started anew and is not available: what was last told of it.
    Unavailable(String),
    /// It waits for a session token.
    Token,
    /// It takes too long: the phase.
    Late(String),
}

/// Gives the order, and waits for what comes of it. `patience`: how long the supervisor may take to answer. How long it took.
pub(super) async fn bring_about(
    supervisor: &Supervisor,
    order: Order,
    patience: Duration,
) -> Result<(Done, Duration), Undone> {
    // Heard before the order is given, so that nothing that comes of it is missed.
    let mut ear = supervisor.listen(patience).await.map_err(Undone::Refused)?;
    let before = timeout(patience, first(&mut ear)).await.map_err(|_| Undone::Refused(Refusal::Silent))?;
    let mut progress = Progress::new(order, &before.ok_or(Undone::Refused(Refusal::Gone))?);
    let began = Instant::now();
    supervisor.order(order, patience).await.map_err(Undone::Refused)?;
    let end = began + LONGEST;
    loop {
        let Some(left) = end.checked_duration_since(Instant::now()) else {
            return Err(Undone::Late(progress.phase));
        };
        let outcome = match timeout(left.min(SILENCE), ear.next()).await {
            Ok(Some(told)) => progress.see(&told),
            Ok(None) => Some(progress.gone()),
            // Else the time is over, which is told above.
            Err(_) if left > SILENCE => Some(Err(Undone::Refused(Refusal::Silent))),
            Err(_) => None,
        };
        match outcome {
            None => {}
            Some(outcome) => return outcome.map(|done| (done, began.elapsed())),
        }
    }
}

/// The first status that it tells. `None` if it is gone.
async fn first(ear: &mut Ear) -> Option<Status> {
    loop {
        if let Told::Status(status) = ear.next().await? {
            return Some(*status);
        }
    }
}

/// How far an order is carried out.
#[derive(Debug)]
struct Progress {
    order: Order,
    /// How many servers had been started anew before it.
    restarts: u64,
    /// The process of the server before it. `None` where there was none.
    server_pid: Option<u32>,
    phase: String,
    /// How the last attempt has failed. `None` before one has.
    failed: Option<String>,
}

impl Progress {
    fn new(order: Order, before: &Status) -> Self {
        let session = &before.session;
        let (phase, server_pid) = (session.phase.clone(), before.gauges.server_pid);
        Self { order, restarts: session.restarts, server_pid, phase, failed: None }
    }

    /// Takes in what is told after the order. What has come of it, once that is known.
    fn see(&mut self, told: &Told) -> Option<Result<Done, Undone>> {
        match told {
            Told::Event(event) if event.kind == Kind::Crashed => self.failed = Some(event.text.clone()),
            Told::Event(_) | Told::Alive => {}
            Told::Status(status) => self.phase.clone_from(&status.session.phase),
        }
        if self.order == Order::Stop {
            return None;
        }
        if self.phase == "degraded"
            && let Some(why) = &self.failed
        {
            return Some(Err(Undone::Unavailable(why.clone())));
        }
        let Told::Status(status) = told else { return None };
        let session = &status.session;
        // The first that could be started at all has not been started anew.
        let is_new = session.restarts > self.restarts || status.gauges.server_pid != self.server_pid;
        let greets = session.client_name.is_some()
            && session.protocol_version.as_deref().is_none_or(|version| version < WITHOUT_GREETING);
        match (&*session.phase, status.gauges.server_pid) {
            ("serving", Some(pid)) if is_new => Some(Ok(Done::Serves(pid))),
            ("starting", Some(pid)) if is_new && !greets => Some(Ok(Done::Runs(pid))),
            ("waiting", None) if session.token_state == TokenState::Absent => Some(Err(Undone::Token)),
            _ => None,
        }
    }

    /// What has come of it when the supervisor is gone.
    fn gone(&self) -> Result<Done, Undone> {
        match self.order {
            Order::Stop => Ok(Done::Ended),
            Order::Restart | Order::RestartSoon => Err(Undone::Refused(Refusal::Gone)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Event, Gauges, Session};

    /// A supervisor whose host has greeted.
    fn status(phase: &str, restarts: u64, server_pid: Option<u32>) -> Status {
        let session = Session {
            phase: phase.to_owned(),
            restarts,
            client_name: Some("host".to_owned()),
            protocol_version: Some("2025-06-18".to_owned()),
            ..Session::begins("a".to_owned(), 0)
        };
        let gauges = Gauges { server_pid, ..Gauges::default() };
        Status { session, gauges, release: String::new(), options: String::new() }
    }

    fn told(phase: &str, restarts: u64, server_pid: Option<u32>) -> Told {
        Told::Status(Box::new(status(phase, restarts, server_pid)))
    }

    fn crashed(text: &str) -> Told {
        let (session, text) = ("a".to_owned(), text.to_owned());
        Told::Event(Event { session, at: 0, kind: Kind::Crashed, text })
    }

    fn progress(order: Order, phase: &str) -> Progress {
        Progress::new(order, &status(phase, 3, Some(7)))
    }

    #[test]
    fn a_restart_is_done_when_another_server_serves() {
        let mut progress = progress(Order::Restart, "serving");
        for told in [
            told("serving", 3, Some(7)),
            told("draining", 3, Some(7)),
            Told::Alive,
            told("crashed", 3, None),
            crashed("by somebody else"),
            told("starting", 4, Some(8)),
        ] {
            assert!(progress.see(&told).is_none(), "{told:?}");
        }
        assert!(matches!(progress.see(&told("serving", 4, Some(8))), Some(Ok(Done::Serves(8)))));
        assert!(matches!(progress.gone(), Err(Undone::Refused(Refusal::Gone))));
    }

    #[test]
    fn a_server_that_does_not_come_back_is_told_with_its_last_end() {
        let mut progress = progress(Order::RestartSoon, "degraded");
        assert!(progress.see(&told("degraded", 3, None)).is_none(), "it was so before");
        assert!(progress.see(&told("starting", 4, Some(8))).is_none());
        assert!(progress.see(&crashed("exited with code 3")).is_none());
        let outcome = progress.see(&told("degraded", 4, None));
        assert!(matches!(&outcome, Some(Err(Undone::Unavailable(why))) if why == "exited with code 3"));
        let mut unstarted = self::progress(Order::Restart, "degraded");
        // All of it is over before it is looked at.
        assert!(unstarted.see(&told("degraded", 3, None)).is_none());
        let outcome = unstarted.see(&crashed("could not be started"));
        assert!(matches!(&outcome, Some(Err(Undone::Unavailable(why))) if why == "could not be started"));
    }

    #[test]
    fn a_server_to_which_no_host_has_spoken_is_only_expected_to_run() {
        for (name, version) in [(None, Some("2025-06-18")), (Some("host"), Some("2026-07-28"))] {
            let mut new = status("starting", 4, Some(8));
            new.session.client_name = name.map(str::to_owned);
            new.session.protocol_version = version.map(str::to_owned);
            let outcome = progress(Order::Restart, "starting").see(&Told::Status(Box::new(new)));
            assert!(matches!(outcome, Some(Ok(Done::Runs(8)))), "{outcome:?}");
        }
    }

    #[test]
    fn the_first_server_that_can_be_started_at_all_is_a_new_one() {
        let mut progress = Progress::new(Order::Restart, &status("degraded", 0, None));
        assert!(progress.see(&told("degraded", 0, None)).is_none());
        assert!(progress.see(&told("starting", 0, Some(8))).is_none());
        assert!(matches!(progress.see(&told("serving", 0, Some(8))), Some(Ok(Done::Serves(8)))));
    }

    #[test]
    fn a_server_that_waits_for_a_token_is_waited_for_no_longer() {
        let mut new = status("waiting", 3, None);
        new.session.token_state = TokenState::Absent;
        let outcome = progress(Order::Restart, "waiting").see(&Told::Status(Box::new(new)));
        assert!(matches!(outcome, Some(Err(Undone::Token))), "{outcome:?}");
    }

    #[test]
    fn a_stop_is_done_when_the_supervisor_is_gone() {
        let mut progress = progress(Order::Stop, "serving");
        assert!(progress.see(&crashed("on its way")).is_none());
        assert!(progress.see(&told("stopping", 3, Some(7))).is_none());
        assert!(matches!(progress.gone(), Ok(Done::Ended)));
    }
}
