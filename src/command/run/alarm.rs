//! One alarm clock for the relay.
//!
//! The runtime's own timers look at the clock before and after every wait, which each message would pay for. On Linux the
//! kernel keeps the time instead, in a descriptor that can be read when it is over; elsewhere the runtime does.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

/// It rings once, and can be set again and again.
#[derive(Debug)]
pub(super) struct Alarm(clock::Clock);

impl Alarm {
    /// A clock that is not set. Must be called inside a runtime that has been made by [`Alarm::runtime`].
    pub(super) fn new() -> io::Result<Self> {
        clock::Clock::new().map(Self)
    }

    /// A runtime with all that an alarm needs, and no timers of its own where it needs none.
    pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
        clock::builder().build()
    }

    /// Rings after this time from now on, and no longer at the time that it was set to before.
    pub(super) fn ring_in(&mut self, time: Duration) {
        self.0.set(time);
    }

    /// Ready when it rings, once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }

    /// Waits for this, but no longer than `patience`; `None` then. The alarm must not be set for anything else.
    pub(super) async fn within<T>(
        &mut self,
        patience: Duration,
        mut awaited: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        self.ring_in(patience);
        poll_fn(|cx| match awaited(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }
}

#[cfg(target_os = "linux")]
mod clock {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::runtime::Builder;

    use crate::stream::register;

    pub(super) fn builder() -> Builder {
        let mut builder = Builder::new_current_thread();
        builder.enable_io();
        builder
    }

    #[derive(Debug)]
    pub(super) struct Clock(AsyncFd<Timer>);

    #[derive(Debug)]
    struct Timer(TimerFd);

    impl AsFd for Timer {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl AsRawFd for Timer {
        fn as_raw_fd(&self) -> RawFd {
            self.as_fd().as_raw_fd()
        }
    }

    impl Clock {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
            register(Timer(timer), Interest::READABLE).map(Self)
        }

        pub(super) fn set(&mut self, time: Duration) {
            // A time of zero would turn it off.
            let time = Expiration::OneShot(TimeSpec::from_duration(time.max(Duration::from_nanos(1))));
            // Fails for times that no clock has, which no duration is.
            let _ = self.0.get_ref().0.set(time, TimerSetTimeFlags::empty());
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            loop {
                // It fails only when the runtime is going down; whoever asks is going down with it.
                let Ok(mut guard) = ready!(self.0.poll_read_ready(cx)) else { return Poll::Ready(()) };
                let mut count = [0; 8];
                match nix::unistd::read(&guard.get_inner().0, &mut count) {
                    Err(Errno::EAGAIN) => guard.clear_ready(),
                    Err(Errno::EINTR) => {}
                    Ok(_) | Err(_) => {
                        guard.clear_ready();
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod clock {
    use std::future::Future as _;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::time::{Sleep, sleep};

    pub(super) fn builder() -> Builder {
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        builder
    }

    #[derive(Debug)]
    pub(super) struct Clock(Option<Pin<Box<Sleep>>>);

    impl Clock {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(None))
        }

        pub(super) fn set(&mut self, time: Duration) {
            self.0 = Some(Box::pin(sleep(time)));
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let Some(sleep) = &mut self.0 else { return Poll::Pending };
            ready!(sleep.as_mut().poll(cx));
            self.0 = None;
            Poll::Ready(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::task::Poll;
    use std::time::Duration;

    use super::Alarm;

    #[test]
    fn it_rings_once_at_the_time_that_it_was_last_set_to() {
        Alarm::runtime().unwrap().block_on(async {
            let mut alarm = Alarm::new().unwrap();
            alarm.ring_in(Duration::from_secs(3600));
            alarm.ring_in(Duration::ZERO);
            poll_fn(|cx| alarm.poll(cx)).await;
            assert_eq!(alarm.within(Duration::from_millis(1), |_| Poll::<()>::Pending).await, None);
            assert_eq!(alarm.within(Duration::from_secs(3600), |_| Poll::Ready(7)).await, Some(7));
            // What it was set to last is far away.
            let other = tokio::spawn(async { tokio::task::yield_now().await });
            tokio::select! {
                () = poll_fn(|cx| alarm.poll(cx)) => panic!("it rang"),
                done = other => done.unwrap(),
                () = pending() => {}
            }
        });
    }
}
