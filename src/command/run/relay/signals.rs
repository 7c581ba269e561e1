//! The signals that ask us to stop, each reported as it came; and the one that reports the end of an inherited orphan.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::child::{inherits_orphans, reap_orphans};
use crate::engine::io::StopSignal;

/// A listener for each of them.
#[derive(Debug)]
pub(super) struct Signals {
    term: Signal,
    /// `None` where the process that started us has it ignored, as `nohup` does.
    int: Option<Signal>,
    hup: Option<Signal>,
    /// SIGCHLD: a process that we have inherited may have ended. `None` unless we are process 1.
    child: Option<Signal>,
}

impl Signals {
    /// Listens for them from now on. Must be called inside the runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: heeded(SignalKind::interrupt())?,
            hup: heeded(SignalKind::hangup())?,
            child: inherits_orphans().then(|| signal(SignalKind::child())).transpose()?,
        })
    }

    /// The next signal that asks us to stop. Collects orphans on the way.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<StopSignal> {
        while self.child.as_mut().is_some_and(|child| child.poll_recv(cx).is_ready()) {
            reap_orphans();
        }
        // If several have arrived, SIGTERM comes last: programs that stop others in steps send it after the others.
        for (signal, name) in [(&mut self.int, StopSignal::Int), (&mut self.hup, StopSignal::Hup)] {
            if signal.as_mut().is_some_and(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(name);
            }
        }
        self.term.poll_recv(cx).map(|_| StopSignal::Term)
    }
}

/// Listens for a signal, unless it is ignored.
fn heeded(kind: SignalKind) -> io::Result<Option<Signal>> {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    #[expect(unsafe_code, reason = "the safe wrappers change the disposition that is to be asked for")]
    // SAFETY: without a new action the call only writes the present one, which is read only if it was written.
    let ignored = unsafe {
        libc::sigaction(kind.as_raw_value(), std::ptr::null(), current.as_mut_ptr()) == 0
            && current.assume_init().sa_sigaction == libc::SIG_IGN
    };
    if ignored { Ok(None) } else { signal(kind).map(Some) }
}
