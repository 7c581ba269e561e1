//! The one place where threads are started: it can fail, and never panics.
//!
//! A user's processes and threads are limited together (`ulimit -u`, `TasksMax=` of systemd, `--pids-limit` of containers),
//! and a thread that cannot be had is a fault of what wanted it: told once and tried again, while messages go on. What would
//! panic there is never called: [`std::thread::spawn`], tokio's `spawn_blocking`, and crates that start threads on their own
//! only after [`may_start`].

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use tokio::sync::oneshot;

/// The stack of a thread that makes a system call or two, in bytes.
pub const SMALL: usize = 64 * 1024;
/// The stack of a thread that runs code of others, in bytes: what Rust gives.
pub const ORDINARY: usize = 2 * 1024 * 1024;
/// What the system's refusal means. It says only "Resource temporarily unavailable".
pub const LIMIT: &str = "the process limit is reached";

/// Starts a thread with a stack of this many bytes.
///
/// # Errors
/// If the system has no thread to give; the text fits after "failed to start NAME: ".
pub fn start<T: Send + 'static>(
    name: &str,
    stack: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).stack_size(stack).spawn(body).map_err(named)
}

/// Runs what blocks on a thread of its own. Dropping the future lets it run on without anybody to hear of it.
///
/// # Errors
/// If the system has no thread to give, or if the work panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let body = move || {
        // Nobody may want to know any more.
        let _ = tell.send(work());
    };
    start("blocking", ORDINARY, body)?;
    told.await.map_err(|_| io::Error::other("it panicked"))
}

/// Whether a thread could be had a moment ago, for crates that panic where they get none. The one that was had is gone again,
/// which leaves its place to theirs.
///
/// # Errors
/// If the system has no thread to give.
pub fn may_start() -> io::Result<()> {
    // A panic in it is as good as none: it has run.
    let _ = start("trial", SMALL, || ())?.join();
    Ok(())
}

fn named(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => io::Error::new(io::ErrorKind::WouldBlock, LIMIT),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nix::errno::Errno;

    use super::{blocking, may_start, named};

    #[tokio::test]
    async fn what_blocks_gives_its_value_and_a_panic_is_an_error() {
        assert_eq!(blocking(|| 6 * 7).await.unwrap(), 42);
        assert_eq!(blocking(|| panic!("of the work")).await.unwrap_err().to_string(), "it panicked");
        may_start().unwrap();
    }

    #[test]
    fn a_refusal_is_told_as_the_limit_that_it_is() {
        let refused = |errno: Errno| named(io::Error::from(errno)).to_string();
        assert_eq!(refused(Errno::EAGAIN), "the process limit is reached");
        assert!(refused(Errno::ENOMEM).starts_with("Cannot allocate memory"));
    }
}
