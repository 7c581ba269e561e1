//! The door: the port on which the gateway will listen, on this machine only.
//!
//! It is opened before the server is started, because the server must be told where it is; those who knock before somebody
//! serves wait.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use secrecy::{ExposeSecret as _, SecretString};

use super::{Entrance, Options};

/// A port of this machine's own, chosen by the kernel.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    port: u16,
}

impl Door {
    /// Opens it. Needs no runtime.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Which port it is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server uses in place of the API's address, without a slash at the end. It is a secret where a path is.
    pub fn url(&self, options: &Options) -> SecretString {
        let path = match &options.entrance {
            Entrance::StandIn(_) => String::new(),
            Entrance::Path(path) => format!("/{}", path.expose_secret()),
        };
        format!("http://127.0.0.1:{}{path}{}", self.port, options.upstream.base()).into()
    }

    pub(super) fn into_listener(self) -> TcpListener {
        self.listener
    }
}
