//! Panics: told like everything else that happens, in one line, and without a secret in it.
//!
//! Left to itself, Rust writes them to stderr as they are: past the relay, which may be in the middle of a line there, and
//! with whatever the message quotes. A panic in a room beside the relay is logged, and ends that room. One that ends the
//! relay is logged too, for a log file; nobody is left then to write what goes to stderr, so it is told there as well, by
//! [`Panics::resume`]. Nothing in here may panic, or wait for long.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::mask::Mask;
use crate::report;
use crate::threads;

/// How long whoever reads our stderr may take for it: a host has to see that we are gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The panics of this program, from [`Panics::mask_all`] on.
#[derive(Clone, Debug, Default)]
pub(super) struct Panics {
    /// What was told of the last one on the relay's thread. `None` before the first.
    last: Arc<Mutex<Option<String>>>,
}

impl Panics {
    /// From now on all panics are logged. To be called on the relay's thread.
    pub(super) fn mask_all(&self, server: String, mask: Mask) {
        let last = Arc::clone(&self.last);
        let relay = thread::current().id();
        panic::set_hook(Box::new(move |info| {
            let (place, message) = told(info, &mask);
            if thread::current().id() == relay {
                let words = format!("mcp-supervise has panicked at {place}: {message}");
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
            }
            let thread = thread::current();
            let thread = thread.name().unwrap_or_default();
            tracing::error!(target: "mcp-supervise", server, thread, place, "panicked: {message}");
        }));
    }

    /// Goes on with a panic that has ended the relay, once it is told on stderr.
    pub(super) fn resume(&self, panic: Box<dyn Any + Send>) -> ! {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(words) = last {
            let (done, told) = mpsc::channel::<()>();
            let tell = |words: &str| {
                report::error(
                    words,
                    Some("this is a fault of mcp-supervise itself; start the host's server again"),
                );
            };
            let telling = {
                let words = words.clone();
                move || {
                    tell(&words);
                    drop(done);
                }
            };
            // The channel carries no value; it closes once everything is reported. Without a thread, this one reports,
            // and may take its time.
            match threads::start("last-words", threads::ORDINARY, telling) {
                Ok(_) => _ = told.recv_timeout(LAST_WORDS),
                Err(_) => tell(&words),
            }
        }
        panic::resume_unwind(panic)
    }
}

/// Where it was, and what it says: masked before it is made one line, for a secret may have been learned in several.
fn told(info: &PanicHookInfo<'_>, mask: &Mask) -> (String, String) {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let payload = info.payload();
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    (mask.apply(&place).into_owned(), mask.apply(message).replace(char::is_control, " "))
}
