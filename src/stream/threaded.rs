//! A terminal or a file, for which the runtime cannot wait: a thread of its own reads or writes it.
//!
//! The thread starts with the first read or write. If none is available, an operation that would not block is done in
//! place, any other fails, and the next one asks for a thread again. So a log file is still written, and the relay
//! never waits for a person who types.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::ReadBuf;
use tokio::sync::mpsc as replies;

use crate::threads;

/// How many bytes are read or written at a time.
const ROOM: usize = 64 * 1024;

/// What the thread is asked for.
#[derive(Debug)]
enum Job {
    Read,
    Write(Vec<u8>),
}

/// What was read; nothing for a write, and at the end.
type Done = io::Result<Vec<u8>>;

#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
    done: replies::UnboundedReceiver<Done>,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The thread is working.
    Busy,
    Done(Done),
}

/// One direction of a terminal or file.
#[derive(Debug)]
pub(super) struct Threaded {
    file: Arc<File>,
    /// `None` until it is needed, and where none could be had.
    worker: Option<Worker>,
    state: State,
    /// What was read and not taken yet.
    read: Vec<u8>,
    taken: usize,
}

impl Threaded {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file), worker: None, state: State::Idle, read: Vec::new(), taken: 0 }
    }

    /// An error belongs to this read.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let left = &self.read[self.taken..];
            if !left.is_empty() || buf.remaining() == 0 {
                let count = left.len().min(buf.remaining());
                buf.put_slice(&left[..count]);
                self.taken += count;
                return Poll::Ready(Ok(()));
            }
            if matches!(self.state, State::Idle) {
                self.ask(Job::Read);
            }
            self.read = ready!(self.poll_done(cx))?;
            self.taken = 0;
            if self.read.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Accepts bytes and writes them later. An error is returned by the next write or flush.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let mut bytes = Vec::new();
        for slice in slices {
            let room = ROOM - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let count = bytes.len();
        if count > 0 {
            self.ask(Job::Write(bytes));
        }
        Poll::Ready(Ok(count))
    }

    /// Ready when all is written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.state {
            State::Idle => Poll::Ready(Ok(())),
            State::Busy | State::Done(_) => self.poll_done(cx).map(|done| done.map(drop)),
        }
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Done(done) => Poll::Ready(done),
            State::Idle | State::Busy => {
                let Some(worker) = &mut self.worker else { return Poll::Ready(Err(gone())) };
                match worker.done.poll_recv(cx) {
                    Poll::Ready(Some(done)) => Poll::Ready(done),
                    Poll::Ready(None) => Poll::Ready(Err(gone())),
                    Poll::Pending => {
                        self.state = State::Busy;
                        Poll::Pending
                    }
                }
            }
        }
    }

    fn ask(&mut self, job: Job) {
        if self.worker.is_none() {
            match start(&self.file) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => {
                    let done = if is_ready(&self.file, &job) { perform(&self.file, job) } else { Err(error) };
                    self.state = State::Done(done);
                    return;
                }
            }
        }
        let sent = self.worker.as_ref().is_some_and(|worker| worker.jobs.send(job).is_ok());
        self.state = if sent { State::Busy } else { State::Done(Err(gone())) };
    }
}

fn start(file: &Arc<File>) -> io::Result<Worker> {
    let (jobs, asked) = mpsc::channel::<Job>();
    let (reply, done) = replies::unbounded_channel();
    let file = Arc::clone(file);
    threads::start("file", threads::SMALL, move || {
        for job in asked {
            if reply.send(perform(&file, job)).is_err() {
                return;
            }
        }
    })?;
    Ok(Worker { jobs, done })
}

fn perform(file: &File, job: Job) -> Done {
    let mut file = file;
    match job {
        Job::Write(bytes) => file.write_all(&bytes).map(|()| Vec::new()),
        Job::Read => {
            let mut bytes = vec![0; ROOM];
            loop {
                match file.read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => {
                        bytes.truncate(read?);
                        return Ok(bytes);
                    }
                }
            }
        }
    }
}

/// Whether the operation would not block: a file never blocks, and a terminal is polled.
fn is_ready(file: &File, job: &Job) -> bool {
    let wanted = match job {
        Job::Read => PollFlags::POLLIN,
        Job::Write(_) => PollFlags::POLLOUT,
    };
    let mut asked = [PollFd::new(file.as_fd(), wanted)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn gone() -> io::Error {
    io::Error::other("its thread has ended")
}
