//! When to ask those who seldom have something to say.
//!
//! A message wakes the relay in each direction, and asking a signal, a process and a timer then costs more than handing
//! the message on. So they are asked under a waker of their own, which wakes the relay too and leaves a mark: without the
//! mark they have nothing to say. Whoever changes what is to be asked has to leave the mark himself
//! ([`Cold::ask_again`]), for nobody would be woken for that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The mark and who is woken.
#[derive(Debug)]
pub(super) struct Cold {
    mark: Arc<Mark>,
    /// Wakes by way of the mark.
    waker: Waker,
    /// Who asked last, and how it is woken, as addresses. A clone of a waker need not be equal to it.
    relay: (usize, usize),
    again: bool,
}

#[derive(Debug)]
struct Mark {
    woken: AtomicBool,
    relay: Mutex<Waker>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.relay.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

impl Default for Cold {
    fn default() -> Self {
        let mark = Arc::new(Mark { woken: AtomicBool::new(false), relay: Mutex::new(Waker::noop().clone()) });
        Self { waker: Waker::from(Arc::clone(&mark)), mark, relay: (0, 0), again: true }
    }
}

impl Cold {
    /// They are to be asked, although nobody was woken.
    pub(super) fn ask_again(&mut self) {
        self.again = true;
    }

    /// The waker under which they are to be asked now. `None` if none of them has anything to say.
    pub(super) fn due(&mut self, cx: &Context<'_>) -> Option<Waker> {
        let relay = (cx.waker().data().addr(), std::ptr::from_ref(cx.waker().vtable()).addr());
        if self.relay != relay {
            self.relay = relay;
            self.mark.relay.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cx.waker());
            self.again = true;
        }
        // Taken away before they are asked: whoever is woken from now on is not missed.
        let woken = self.mark.woken.load(Ordering::Relaxed) && self.mark.woken.swap(false, Ordering::Acquire);
        (std::mem::take(&mut self.again) || woken).then(|| self.waker.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::Cold;

    #[test]
    fn they_are_asked_at_first_when_woken_and_when_told_to() {
        let mut cold = Cold::default();
        let cx = Context::from_waker(Waker::noop());
        let waker = cold.due(&cx).expect("at first");
        assert!(cold.due(&cx).is_none());
        waker.wake_by_ref();
        assert!(cold.due(&cx).is_some() && cold.due(&cx).is_none(), "once when woken");
        cold.ask_again();
        assert!(cold.due(&cx).is_some() && cold.due(&cx).is_none(), "once when told to");
    }
}
