//! Watches on real files, in directories that go with the test.
//!
//! What counts is waited for. What does not count is followed by something that does: each scene also watches the
//! directory `bell` as the other kind, and what happens there is told only when its own event was heard, after all events
//! before it. So a ring that comes alone says that nothing before it was told.

mod directories;
mod files;
mod links;
mod parts;

use std::fs::{self, File, OpenOptions, Permissions};
use std::future::ready;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::{Fault, Watch};
use crate::engine::io::Changed;

/// Far longer than anything takes: a test that waits so long has failed.
const WATCHDOG: Duration = Duration::from_secs(60);

/// What it is, and how it is done in the directory of a scene.
type Act = (&'static str, fn(&Path));

async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    timeout(WATCHDOG, event).await.unwrap_or_else(|_| panic!("{what}: nothing came"))
}

/// What is there without waiting.
async fn at_once<T>(event: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        event = event => Some(event),
        () = ready(()) => None,
    }
}

/// A directory of its own, in which one path is watched.
struct Scene {
    dir: TempDir,
    watch: Watch,
    rings: u32,
}

impl Scene {
    /// Watches `path` in a directory that `before` has furnished.
    async fn new(before: impl FnOnce(&Path), path: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bell")).unwrap();
        before(dir.path());
        let watched = (Changed::Watched, dir.path().join(path));
        let bell = (Changed::Executable, dir.path().join("bell"));
        let watch = Watch::start(vec![watched, bell], Duration::ZERO);
        within("ready", watch.ready()).await;
        Self { dir, watch, rings: 0 }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Does this, and waits until the watched path is told to have changed.
    async fn counts(&mut self, what: &str, act: impl FnOnce(&Path)) {
        act(self.path());
        assert_eq!(within(what, self.watch.changed()).await, Changed::Watched, "{what}");
        self.ring(what).await;
        assert_eq!(at_once(self.watch.fault()).await, None, "{what}");
    }

    /// Does this, and makes sure that nothing is told.
    async fn does_not_count(&mut self, what: &str, act: impl FnOnce(&Path)) {
        act(self.path());
        assert!(!self.ring(what).await, "{what}: was told");
        assert_eq!(at_once(self.watch.fault()).await, None, "{what}");
    }

    /// Rings, and hears everything up to the ring. Whether the watched path was told to have changed.
    async fn ring(&mut self, what: &str) -> bool {
        // A directory that is made is one event, and so it is told once.
        self.rings += 1;
        fs::create_dir(self.path().join("bell").join(self.rings.to_string())).unwrap();
        let mut told = false;
        while within(what, self.watch.changed()).await == Changed::Watched {
            told = true;
        }
        told
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
}

fn rename(from: PathBuf, to: PathBuf) {
    fs::rename(from, to).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Links `path` to `target`, in one step if there is something already, as those do who install things.
fn link(target: impl AsRef<Path>, path: &Path) {
    let next = path.with_extension("next");
    symlink(target, &next).unwrap();
    rename(next, path.to_owned());
}
