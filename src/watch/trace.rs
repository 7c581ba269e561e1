//! What a path leads to right now, and over which names.
//!
//! The path is followed by hand, name by name and link by link, because each of these names can change what the path
//! leads to: a link is pointed elsewhere, a directory is moved away, the first of three missing directories is made. The
//! directories in which names were looked up are real ones, without links, so that they compare with the paths in events.
//!
//! Nothing in here watches, and nothing in here keeps anything: a trace is a picture of one moment. It reads no file's
//! content and changes nothing.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// How many links are followed on one path, as in Linux.
const LINKS: usize = 40;

/// Which file or directory it is: its device and its inode.
pub(super) type Identity = (u64, u64);

/// Where a path led.
#[derive(Debug)]
pub(super) struct Trace {
    /// Every name that was looked up, in order. Empty for the root alone.
    pub(super) steps: Vec<Step>,
    /// What was found.
    pub(super) seen: Seen,
    /// Why nothing was found, where it is not just missing.
    pub(super) fault: Option<io::Error>,
}

/// One name that was looked up.
#[derive(Debug)]
pub(super) struct Step {
    /// The real directory in which it was looked up.
    pub(super) dir: PathBuf,
    /// Which directory that was.
    pub(super) identity: Identity,
    /// The directory and the name.
    pub(super) name: PathBuf,
    /// Whether a change of this name is likely: it is a link, or the last name that was looked up. The others are
    /// directories on the way.
    pub(super) near: bool,
}

/// The fingerprint of a path: equal means that nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing is there, or it cannot be reached.
    Nothing,
    /// A file, or anything else that is no directory.
    File {
        /// Its real path.
        real: PathBuf,
        /// Its state.
        stamp: Stamp,
    },
    /// A directory. What is in it is no part of this.
    Dir {
        /// Its real path.
        real: PathBuf,
        /// Which directory it is.
        identity: Identity,
        /// Its permissions.
        mode: u32,
    },
}

/// What changes when a file does: the last two are seconds and nanoseconds since the Unix epoch. Reading changes none
/// of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    identity: Identity,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            identity: identity(metadata),
            size: metadata.size(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Follows an absolute path. Takes as long as the file system takes to look its names up.
pub(super) fn follow(path: &Path) -> Trace {
    let mut steps: Vec<Step> = Vec::new();
    let (seen, fault) = match find(path, &mut steps) {
        Ok(seen) => (seen, None),
        Err(error) if is_absent(&error) => (Seen::Nothing, None),
        Err(error) => (Seen::Nothing, Some(error)),
    };
    if let Some(last) = steps.last_mut() {
        last.near = true;
    }
    Trace { steps, seen, fault }
}

/// Whether the error only says that something is not there, or no longer there.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn find(path: &Path, steps: &mut Vec<Step>) -> io::Result<Seen> {
    let mut here = PathBuf::from("/");
    let mut found = fs::symlink_metadata(&here)?;
    // Of each directory down to where we are, the root first.
    let mut identities = vec![identity(&found)];
    let mut rest: Vec<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if !found.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if name == ".." {
            if identities.len() > 1 {
                identities.pop();
                here.pop();
                found = fs::symlink_metadata(&here)?;
            }
            continue;
        }
        let dir = here.clone();
        let at = here.join(name);
        let identity_of_dir = identities[identities.len() - 1];
        steps.push(Step { dir, identity: identity_of_dir, name: at.clone(), near: false });
        let next = fs::symlink_metadata(&at)?;
        if next.is_symlink() {
            if let Some(step) = steps.last_mut() {
                step.near = true;
            }
            links += 1;
            if links > LINKS {
                // Links that lead in a circle lead nowhere, until one of them is changed.
                return Ok(Seen::Nothing);
            }
            let target = fs::read_link(&at)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
                found = fs::symlink_metadata(&here)?;
                identities.truncate(1);
            }
            rest.extend(names(&target));
        } else {
            identities.push(identity(&next));
            here = at;
            found = next;
        }
    }
    Ok(if found.is_dir() {
        Seen::Dir { real: here, identity: identity(&found), mode: found.mode() }
    } else {
        Seen::File { real: here, stamp: Stamp::of(&found) }
    })
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect();
    names.reverse();
    names
}
