//! The room's thread: reads once, then writes what comes, and tells what goes wrong.
//!
//! It knows the disk as two verbs only, so that slow and broken ones can be had for tests. Whatever happens on it, a panic
//! included, ends in reports and never goes further.

use std::mem::{Discriminant, discriminant};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Report;
use super::entries::Entry;
use super::fault::Fault;
use super::format;
use super::queue::Queue;
use crate::engine::io::Good;
use crate::threads;

/// How long one answer waits for others to be written with it. What a host asks for at its start comes in one burst.
const SETTLE: Duration = Duration::from_millis(200);
/// The thread's stack, in bytes: its buffers are on the heap, and no text makes it recurse.
const STACK: usize = 256 * 1024;
/// The most that is kept for another try after a write has failed, in bytes: as many as a file holds.
const MOST_UNWRITTEN: usize = format::LONGEST_WRITTEN;

/// Where answers are kept.
pub(super) trait Disk: Send + 'static {
    /// What earlier runs have left.
    fn load(&mut self) -> Result<Vec<Good>, Fault>;

    /// Merges these, in their order, into what is there. `tell` is for what did not keep it from being done.
    fn write(&mut self, news: &[Entry], tell: &mut dyn FnMut(Fault)) -> Result<(), Fault>;
}

/// Tells each kind of fault once.
#[derive(Debug)]
pub(super) struct Teller {
    reports: mpsc::UnboundedSender<Report>,
    told: Mutex<Vec<Discriminant<Fault>>>,
}

impl Teller {
    pub(super) fn new(reports: mpsc::UnboundedSender<Report>) -> Self {
        Self { reports, told: Mutex::default() }
    }

    pub(super) fn tell(&self, fault: Fault) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = discriminant(&fault);
        if !told.contains(&kind) {
            told.push(kind);
            self.report(Report::Fault(fault));
        }
    }

    /// Whether anybody still listens is not our concern.
    fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}

/// Starts the thread as soon as one is available. `end` is dropped when the thread has ended.
pub(super) fn start(disk: impl Disk, queue: &Arc<Queue>, teller: &Arc<Teller>, end: oneshot::Sender<()>) {
    let started = threads::start_service("last-good", STACK, {
        let (queue, teller) = (Arc::clone(queue), Arc::clone(teller));
        move || {
            live(disk, &queue, &teller);
            drop(end);
        }
    });
    if let Err(error) = started {
        teller.tell(Fault::Thread(error));
    }
}

/// The thread's life. After a panic the room is dark, and what comes is forgotten; that it is so comes before it is told.
fn live(mut disk: impl Disk, queue: &Queue, teller: &Teller) {
    let goods = match catch_unwind(AssertUnwindSafe(|| disk.load())) {
        Ok(Ok(goods)) => goods,
        Ok(Err(fault)) => {
            teller.tell(fault);
            Vec::new()
        }
        Err(_) => {
            queue.abandon();
            teller.tell(Fault::Panicked);
            Vec::new()
        }
    };
    teller.report(Report::Loaded(goods));
    if catch_unwind(AssertUnwindSafe(|| write_all(&mut disk, queue, teller))).is_err() {
        queue.abandon();
        teller.tell(Fault::Panicked);
    }
}

/// Writes what comes until the queue is closed. What could not be written is tried again with what comes next.
fn write_all(disk: &mut impl Disk, queue: &Queue, teller: &Teller) {
    let mut unwritten: Vec<Entry> = Vec::new();
    loop {
        let (goods, last) = queue.take(SETTLE);
        for good in goods {
            let method = good.method.clone();
            match format::entry(good) {
                Ok(entry) => unwritten.push(entry),
                Err(why) => teller.tell(Fault::Misfit { method, why }),
            }
        }
        if !unwritten.is_empty() {
            match disk.write(&unwritten, &mut |fault| teller.tell(fault)) {
                Ok(()) => unwritten.clear(),
                Err(fault) => {
                    teller.tell(fault);
                    bound(&mut unwritten);
                }
            }
        }
        if last {
            return;
        }
    }
}

/// Forgets the oldest until the rest is bearable.
fn bound(unwritten: &mut Vec<Entry>) {
    let mut left = MOST_UNWRITTEN;
    let kept = unwritten.iter().rev().take_while(|entry| {
        let weight = format::weight(entry);
        let fits = weight <= left;
        left = left.saturating_sub(weight);
        fits
    });
    let kept = kept.count();
    unwritten.drain(..unwritten.len() - kept);
}
