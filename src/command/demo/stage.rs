//! Where the demo is played: its folder, what ends it early, and the cleaning up after each act.

use std::env;
use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::host::{Counts, Host};

/// How long the whole story may take: many times what it does take, so that a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the story is played.
#[derive(Debug)]
pub(super) struct Stage {
    /// This program.
    pub(super) myself: OsString,
    folder: TempDir,
    ending: Ending,
}

/// What ends the demo before its time.
#[derive(Debug)]
struct Ending {
    deadline: Instant,
    signals: [Signal; 3],
}

impl Stage {
    /// Needs a tokio runtime.
    pub(super) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = signals.map(listen);
        let ours_alone = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("mcp-supervise-demo-").permissions(ours_alone).tempdir();
        let folder = folder.with_context(|| {
            let place = env::temp_dir();
            format!("failed to make a folder in {}; the variable TMPDIR names another place", place.display())
        })?;
        Ok(Self {
            myself: env::current_exe().context("failed to find this program")?.into_os_string(),
            folder,
            ending: Ending {
                deadline: Instant::now() + PATIENCE,
                signals: [interrupt?, terminate?, hangup?],
            },
        })
    }

    /// What is stored is stored here, and gone afterwards.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command of the demo's server.
    pub(super) fn server(&self) -> [OsString; 3] {
        [self.myself.clone(), "demo".into(), "--serve".into()]
    }

    /// Plays an act, and closes the connection as a host does. Gives what the act came to, the supervisor's exit code and
    /// the counts. However this ends, the supervisor is gone, and what it has started too.
    pub(super) async fn play<T>(
        &mut self,
        mut host: Host,
        act: impl AsyncFnOnce(&mut Host) -> Result<T>,
    ) -> Result<(T, i32, Counts)> {
        let played = tokio::select! {
            played = whole(&mut host, act) => played,
            early = self.ending.comes() => Err(early),
        };
        match played {
            Ok(_) => host.forget(),
            Err(_) => host.abandon().await,
        }
        played
    }

    /// Takes the folder away.
    pub(super) fn clear(self) -> Result<()> {
        let place = self.folder.path().display().to_string();
        self.folder.close().with_context(|| format!("failed to remove {place}"))
    }
}

async fn whole<T>(
    host: &mut Host,
    act: impl AsyncFnOnce(&mut Host) -> Result<T>,
) -> Result<(T, i32, Counts)> {
    let came = act(host).await?;
    let (code, counts) = host.stop().await?;
    Ok((came, code, counts))
}

impl Ending {
    /// Waits for it, and says what it is.
    async fn comes(&mut self) -> Error {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            () = sleep_until(self.deadline) => anyhow!("the demo did not come to its end in time"),
            _ = interrupt.recv() => anyhow!("the demo was interrupted"),
            _ = terminate.recv() => anyhow!("the demo was asked to end"),
            _ = hangup.recv() => anyhow!("the demo has lost its terminal"),
        }
    }
}
