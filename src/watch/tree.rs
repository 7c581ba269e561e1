//! Everything below a directory: visited directory by directory, and summed up in one number.
//!
//! Links are seen and not followed: they may lead in a circle, or out to the whole disk. A directory is visited before it
//! is read, so that whoever watches it from then on misses nothing that the reading does not find. What cannot be read
//! or vanishes meanwhile is left out. Nothing in here watches or decides.

use std::collections::VecDeque;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::trace::{Stamp, identity};

/// Visits this directory and all below it, those near the top first, until the visitor breaks off. Gives a digest of
/// what was found on the way: the same number for the same names, files and states, in whatever order they are read.
/// Does nothing when the path is no directory. Needs memory for the paths of directories that are still to be visited.
pub(super) fn walk(root: &Path, mut visit: impl FnMut(&Path) -> ControlFlow<()>) -> u64 {
    let mut digest = 0_u64;
    let mut waiting: VecDeque<PathBuf> = VecDeque::new();
    if fs::symlink_metadata(root).is_ok_and(|found| found.is_dir()) {
        waiting.push_back(root.to_owned());
    }
    while let Some(dir) = waiting.pop_front() {
        if visit(&dir).is_break() {
            break;
        }
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            // Of an entry that is a link this is the link's own.
            let Ok(metadata) = entry.metadata() else { continue };
            let path = entry.path();
            let mut hasher = DefaultHasher::new();
            path.hash(&mut hasher);
            if metadata.is_dir() {
                identity(&metadata).hash(&mut hasher);
                waiting.push_back(path);
            } else {
                Stamp::of(&metadata).hash(&mut hasher);
            }
            digest = digest.wrapping_add(hasher.finish());
        }
    }
    digest
}
