//! The other side of the control socket: who runs, and what is asked of them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::door::{self, Address, Fault};
use super::{Complaint, Status, Told};
use crate::engine::io::Order;

/// The longest answer that is read, in bytes: many times what a status needs.
const LONGEST: usize = 1024 * 1024;

/// The supervisors of one user.
#[derive(Clone, Debug)]
pub struct Supervisors {
    /// Where their sockets may be.
    dirs: Vec<PathBuf>,
}

/// A supervisor that may be running.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Supervisor {
    address: Address,
}

/// Why a supervisor does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is gone.
    #[error("it is gone")]
    Gone,
    /// It does not answer in time: it hangs, or is stopped.
    #[error("it does not answer")]
    Silent,
    /// It says no.
    #[error("{}", .0.error)]
    Refused(Complaint),
    /// It says something that cannot be understood: it may be of another release.
    #[error("its answer cannot be understood: {0}")]
    Strange(String),
    /// The system does not let us ask.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Supervisors {
    /// Those whose sockets are in this directory; `None` for where the user's are, which may be in the one for what is stored,
    /// `None` for the platform's.
    pub fn of(runtime_dir: Option<&Path>, data_dir: Option<&Path>) -> Self {
        Self::in_dirs(crate::datadir::runtime_dirs(runtime_dir, data_dir))
    }

    /// Those whose sockets are in these directories.
    pub fn in_dirs(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// The directories, as a text.
    pub fn places(&self) -> String {
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        dirs.join(" or ")
    }

    /// Those that have a socket now, in the order in which they were started. None where there is no directory yet.
    ///
    /// # Errors
    /// If none of the directories is ours alone and can be read.
    pub fn list(&self) -> Result<Vec<Supervisor>, Fault> {
        let (mut all, mut used, mut first) = (Vec::new(), false, None);
        for dir in &self.dirs {
            match found(dir) {
                Ok(found) => {
                    used = true;
                    all.extend(found.into_iter().map(|address| Supervisor { address }));
                }
                Err(fault) => _ = first.get_or_insert(fault),
            }
        }
        match first {
            // No supervisor can have its socket there.
            Some(fault) if !used => Err(fault),
            _ => {
                all.sort_by(|one, other| one.session().cmp(other.session()));
                Ok(all)
            }
        }
    }
}

/// The sockets in a directory.
fn found(dir: &Path) -> Result<Vec<Address>, Fault> {
    match door::check(dir) {
        Ok(()) => {}
        Err(Fault::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(fault) => return Err(fault),
    }
    door::addresses(dir).map_err(|source| Fault::System { path: dir.to_owned(), source })
}

impl Supervisor {
    /// The id of its session.
    pub fn session(&self) -> &str {
        &self.address.session
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.address.pid
    }

    /// What it says of itself, if it says so within this time.
    ///
    /// # Errors
    /// If it does not.
    pub async fn status(&self, within: Duration) -> Result<Status, Refusal> {
        timeout(within, async { read(self.ask(Method::GET, "/status").await?).await })
            .await
            .unwrap_or(Err(Refusal::Silent))
    }

    /// Asks it for this. It has heard it when this returns, and may not have done it yet.
    ///
    /// # Errors
    /// If it does not take the order.
    pub async fn order(&self, order: Order, within: Duration) -> Result<(), Refusal> {
        let path = match order {
            Order::Restart => "/restart",
            Order::RestartSoon => "/restart-now",
            Order::Stop => "/stop",
        };
        let ask = async { read::<serde_json::Value>(self.ask(Method::POST, path).await?).await };
        timeout(within, ask).await.unwrap_or(Err(Refusal::Silent)).map(|_| ())
    }

    /// Listens to it, if it answers within this time.
    ///
    /// # Errors
    /// If it does not.
    pub async fn listen(&self, within: Duration) -> Result<Ear, Refusal> {
        let answer =
            timeout(within, self.ask(Method::GET, "/events")).await.unwrap_or(Err(Refusal::Silent))?;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Err(Refusal::Silent);
        }
        if answer.status() != StatusCode::OK {
            return Err(Refusal::Strange(answer.status().to_string()));
        }
        Ok(Ear { body: answer.into_body(), read: Vec::new() })
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response<Incoming>, Refusal> {
        let stream = match door::connect(&self.address.path) {
            Ok(stream) => stream,
            Err(error) => {
                door::remove_if_dead(&self.address);
                let kind = error.kind();
                return Err(if matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) {
                    Refusal::Gone
                } else if kind == io::ErrorKind::WouldBlock {
                    // Its queue of connections is full.
                    Refusal::Silent
                } else {
                    error.into()
                });
            }
        };
        let stream = TokioIo::new(tokio::net::UnixStream::from_std(stream)?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| of(&error))?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let request =
            request.body(Empty::<Bytes>::new()).map_err(|error| Refusal::Strange(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| of(&error))
    }
}

/// A connection that breaks is that of a process that ends.
fn of(error: &hyper::Error) -> Refusal {
    if error.is_parse() { Refusal::Strange(error.to_string()) } else { Refusal::Gone }
}

async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, Refusal> {
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        return Err(Refusal::Silent);
    }
    let well = answer.status().is_success();
    let body = http_body_util::Limited::new(answer.into_body(), LONGEST);
    let body = body.collect().await.map_err(|_| Refusal::Gone)?.to_bytes();
    if !well {
        return Err(match serde_json::from_slice::<Complaint>(&body) {
            Ok(complaint) => Refusal::Refused(complaint),
            Err(error) => Refusal::Strange(error.to_string()),
        });
    }
    serde_json::from_slice(&body).map_err(|error| Refusal::Strange(error.to_string()))
}

/// Listens to one supervisor.
#[derive(Debug)]
pub struct Ear {
    body: Incoming,
    /// What was read of a line that is not whole.
    read: Vec<u8>,
}

impl Ear {
    /// The next thing that it tells. `None` when it is gone. What another release tells, and this one does not know, is
    /// passed over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if let Ok(told) = serde_json::from_slice(&line) {
                    return Some(told);
                }
            }
            if self.read.len() > LONGEST {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}
