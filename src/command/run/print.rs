//! A fingerprint of a file: enough to notice that an upgrade has replaced the server's command.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The file's identity, its length, and when it was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Print {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Print {
    /// `None` if there is no such file. Links are followed.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        let changed = (meta.mtime(), meta.mtime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), length: meta.len(), changed })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Print;

    #[test]
    fn another_file_in_its_place_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        assert_eq!(Print::of(&link), None);
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::write(&file, "one").unwrap();
        let first = Print::of(&link);
        assert!(first.is_some() && first == Print::of(&file));
        fs::write(dir.path().join("new"), "two").unwrap();
        fs::rename(dir.path().join("new"), &file).unwrap();
        assert_ne!(Print::of(&link), first);
    }
}
