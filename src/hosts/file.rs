//! A config on disk: read, kept, replaced.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::libc;
use sha2::{Digest as _, Sha256};

use super::lock;
use crate::disk::sync;

/// The longest config that is read, in bytes: Claude Code's holds all that was ever said to it in some versions.
const LONGEST: u64 = 256 * 1024 * 1024;
/// How many former contents of one config are kept.
const KEPT: usize = 20;
/// How often another process that replaces a config is waited for, and how many milliseconds each time: 5 s in all,
/// and a replacement takes a moment.
const TRIES: usize = 500;
const TRY: u16 = 10;

/// A config, as it was read.
#[derive(Debug)]
pub struct Config {
    /// As it was named, perhaps a link.
    pub path: PathBuf,
    /// The file itself.
    target: PathBuf,
    /// How many names the file has beside this one: hard links.
    other_names: u64,
    text: String,
    /// There is none yet.
    absent: bool,
}

/// Why a config cannot be read or replaced. A text that fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system says so.
    #[error("read {path}: {source}")]
    Read {
        /// The config.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else than a file of a config's size.
    #[error("read {path}: it is {what}")]
    NoConfig {
        /// The config.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is no text.
    #[error("read {path}: its byte {at} is no UTF-8")]
    NoText {
        /// The config.
        path: PathBuf,
        /// Where, the first byte is 0.
        at: usize,
    },
    /// It has changed since it was read.
    #[error("replace {path}: it has changed since it was read")]
    Changed {
        /// The config.
        path: PathBuf,
    },
    /// The file has other names, and would be another file than they are.
    #[error("replace {path}: it is one file with {}, from which it would be parted", named(*.others))]
    Linked {
        /// The config.
        path: PathBuf,
        /// How many other names.
        others: u64,
    },
    /// Another process is at it.
    #[error("replace {path}: {by} holds the lock on {folder}")]
    Locked {
        /// The config.
        path: PathBuf,
        /// Where what it was was to be kept.
        folder: PathBuf,
        /// Who, as far as the system tells.
        by: String,
    },
    /// What it was cannot be kept.
    #[error("keep what {path} was in {folder}: {source}")]
    Keep {
        /// The config.
        path: PathBuf,
        /// Where it was to be kept.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be replaced.
    #[error("replace {path}: {source}")]
    Replace {
        /// The config.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// If it is no file, or no text.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let fault = |source| Fault::Read { path: path.to_owned(), source };
        let target = path.canonicalize().map_err(fault)?;
        let bytes =
            bytes(&target).map_err(fault)?.map_err(|what| Fault::NoConfig { path: path.to_owned(), what })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Fault::NoText { path: path.to_owned(), at: error.utf8_error().valid_up_to() })?;
        let other_names = fs::metadata(&target).map_err(fault)?.nlink().saturating_sub(1);
        Ok(Self { path: path.to_owned(), target, other_names, text, absent: false })
    }

    /// The same, and an empty one where there is none yet.
    ///
    /// # Errors
    /// Likewise.
    pub fn read_or_new(path: &Path) -> Result<Self, Fault> {
        // A link to nowhere is there, and is none.
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (path, target) = (path.to_owned(), path.to_owned());
                Ok(Self { path, target, other_names: 0, text: String::new(), absent: true })
            }
            _ => Self::read(path),
        }
    }

    /// What is in it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file itself.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The file itself, where its path leads to it by a symbolic link.
    pub fn linked(&self) -> Option<&Path> {
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        self.path.ancestors().any(is_link).then_some(&self.target)
    }

    /// Whether it can be replaced, as far as can be known before: a file that has other names would be parted from them.
    ///
    /// # Errors
    /// If it has other names.
    pub fn is_alone(&self) -> Result<(), Fault> {
        match self.other_names {
            0 => Ok(()),
            others => Err(Fault::Linked { path: self.path.clone(), others }),
        }
    }

    /// Puts this in its place, and what it was into this directory, under the name that is given back: `None` where there
    /// was none.
    ///
    /// # Errors
    /// If it has changed since it was read, or cannot be kept or replaced: then it is as it was.
    pub fn replace(&self, text: &str, backups: &Path) -> Result<Option<PathBuf>, Fault> {
        let fault = |source| Fault::Replace { path: self.path.clone(), source };
        self.is_alone()?;
        let unkept = |source| Fault::Keep { path: self.path.clone(), folder: backups.to_owned(), source };
        // Two of us at a time: what one of them has read is no more what the other has written.
        let Some(_lock) = lock::take(backups, TRIES, TRY).map_err(unkept)? else {
            let (path, folder) = (self.path.clone(), backups.to_owned());
            return Err(Fault::Locked { path, by: lock::holder(&folder), folder });
        };
        if self.absent {
            return self.make(text).map(|()| None);
        }
        let kept = self.keep(backups).map_err(unkept)?;
        let there = fs::metadata(&self.target).map_err(fault)?;
        if there.nlink() > 1 {
            return Err(Fault::Linked { path: self.path.clone(), others: there.nlink() - 1 });
        }
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        let new = written(folder, text, &there).map_err(fault)?;
        if !self.is_unchanged() {
            return Err(Fault::Changed { path: self.path.clone() });
        }
        new.persist(&self.target).map_err(|error| fault(error.error))?;
        File::open(folder).and_then(|folder| sync(&folder)).map_err(fault)?;
        Ok(Some(kept))
    }

    /// Makes it, for its owner alone: its entries may get secrets.
    fn make(&self, text: &str) -> Result<(), Fault> {
        let fault = |source| Fault::Replace { path: self.path.clone(), source };
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(fault)?;
        let mut new =
            tempfile::Builder::new().prefix(".mcp-supervise-").tempfile_in(folder).map_err(fault)?;
        new.as_file_mut().write_all(text.as_bytes()).and_then(|()| sync(new.as_file())).map_err(fault)?;
        new.persist_noclobber(&self.target).map_err(|error| {
            let taken = error.error.kind() == io::ErrorKind::AlreadyExists;
            if taken { Fault::Changed { path: self.path.clone() } } else { fault(error.error) }
        })?;
        File::open(folder).and_then(|folder| sync(&folder)).map_err(fault)
    }

    fn is_unchanged(&self) -> bool {
        self.path.canonicalize().is_ok_and(|target| target == self.target)
            && matches!(bytes(&self.target), Ok(Ok(bytes)) if bytes == self.text.as_bytes())
    }

    /// Keeps what it is, for its owner alone: it may hold secrets.
    fn keep(&self, backups: &Path) -> io::Result<PathBuf> {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        // Of two configs of one name each has its own.
        let digest = Sha256::digest(self.target.as_os_str().as_encoded_bytes());
        let stem = format!("{name}.{:02x}{:02x}{:02x}{:02x}.", digest[0], digest[1], digest[2], digest[3]);
        let same = |path: &PathBuf| fs::read(path).is_ok_and(|kept| kept == self.text.as_bytes());
        let numbers = numbers(backups, &stem);
        if let Some(kept) = numbers.iter().rev().map(|number| numbered(backups, &stem, *number)).find(same) {
            return Ok(kept);
        }
        let mut number = numbers.last().copied().unwrap_or(0);
        let (kept, mut file) = loop {
            number += 1;
            let path = numbered(backups, &stem, number);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => break (path, file),
                // Somebody else keeps something at the same time.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        if let Err(error) = file.write_all(self.text.as_bytes()).and_then(|()| sync(&file)) {
            // Half of it is worse than none.
            let _ = fs::remove_file(&kept);
            return Err(error);
        }
        forget(backups, &stem);
        Ok(kept)
    }
}

/// What is in a file, which nobody is waited for; or what it is instead.
fn bytes(path: &Path) -> io::Result<Result<Vec<u8>, &'static str>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(Err("no regular file"));
    }
    if found.len() > LONGEST {
        return Ok(Err("larger than any config"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}

/// A file without a name yet that has this text, and the mode and the owner of the one that it is to replace.
fn written(folder: &Path, text: &str, there: &Metadata) -> io::Result<tempfile::NamedTempFile> {
    let mut new = tempfile::Builder::new().prefix(".mcp-supervise-").tempfile_in(folder)?;
    let file = new.as_file_mut();
    file.write_all(text.as_bytes())?;
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) != (there.uid(), there.gid()) {
        fchown(&*file, Some(there.uid()), Some(there.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(there.mode() & 0o7777))?;
    sync(file)?;
    Ok(new)
}

/// The numbers of what was kept of a config.
fn numbers(backups: &Path, stem: &str) -> Vec<usize> {
    let entries = fs::read_dir(backups).into_iter().flatten().flatten();
    let mut numbers: Vec<usize> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(stem)?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn numbered(backups: &Path, stem: &str, number: usize) -> PathBuf {
    backups.join(format!("{stem}{number:06}"))
}

/// Removes the oldest of too many, but for the very first: what the config was before we ever changed it.
fn forget(backups: &Path, stem: &str) {
    let numbers = numbers(backups, stem);
    let too_many = numbers.len().saturating_sub(KEPT);
    for number in numbers.iter().skip(1).take(too_many) {
        let _ = fs::remove_file(numbered(backups, stem, *number));
    }
}

/// So many hard links.
fn named(count: u64) -> String {
    if count == 1 {
        "another name, a hard link".to_owned()
    } else {
        format!("{count} other names, hard links")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_is_replaced_keeps_its_mode_and_its_link_and_what_it_was() {
        let folder = folder();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", &link).unwrap();
        let backups = folder.path().join("made/backups");
        let config = Config::read(&link).unwrap();
        assert_eq!(config.text(), "old");
        let kept = config.replace("new", &backups).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "old");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&real), mode(&kept), mode(&backups)), (0o640, 0o600, 0o700));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn a_file_with_other_names_is_not_parted_from_them() {
        let folder = folder();
        let (path, other) = (folder.path().join("c.json"), folder.path().join("dotfile"));
        fs::write(&path, "old").unwrap();
        let before = Config::read(&path).unwrap();
        fs::hard_link(&path, &other).unwrap();
        // Also where the name is newer than our look at the file.
        for config in [before, Config::read(&path).unwrap()] {
            let told = config.replace("new", &folder.path().join("b")).unwrap_err().to_string();
            assert!(told.contains("one file with another name, a hard link"), "{told}");
        }
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!((inode(&path), fs::read_to_string(&path).unwrap()), (inode(&other), "old".to_owned()));
        fs::remove_file(&other).unwrap();
        Config::read(&path).unwrap().replace("new", &folder.path().join("b")).unwrap();
    }

    #[test]
    fn a_link_tells_where_it_leads() {
        let folder = folder();
        let folder = folder.path().canonicalize().unwrap();
        fs::create_dir(folder.join("real")).unwrap();
        fs::write(folder.join("real/c.json"), "{}").unwrap();
        symlink("real/c.json", folder.join("link.json")).unwrap();
        symlink("real", folder.join("linked")).unwrap();
        let linked = |path: &str| Config::read(&folder.join(path)).unwrap().linked().map(Path::to_owned);
        let real = Some(folder.join("real/c.json"));
        assert_eq!(
            (linked("link.json"), linked("linked/c.json"), linked("real/c.json")),
            (real.clone(), real, None)
        );
    }

    #[test]
    fn what_has_changed_since_it_was_read_is_not_replaced() {
        let folder = folder();
        let path = folder.path().join("c.json");
        fs::write(&path, "old").unwrap();
        let config = Config::read(&path).unwrap();
        fs::write(&path, "somebody's").unwrap();
        let told = config.replace("new", &folder.path().join("b")).unwrap_err().to_string();
        assert!(told.contains("it has changed since it was read"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
        fs::remove_file(&path).unwrap();
        assert!(config.replace("new", &folder.path().join("b")).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn one_that_is_not_there_is_made_unless_somebody_makes_it_meanwhile() {
        let folder = folder();
        let (path, backups) = (folder.path().join("made/c.json"), folder.path().join("b"));
        let config = Config::read_or_new(&path).unwrap();
        assert_eq!((config.text(), config.replace("new", &backups).unwrap()), ("", None));
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().mode() & 0o777),
            ("new".to_owned(), 0o600)
        );
        assert!(matches!(config.replace("again", &backups), Err(Fault::Changed { .. })));
        assert_eq!(Config::read_or_new(&path).unwrap().text(), "new");
        let nowhere = folder.path().join("nowhere");
        symlink("gone", &nowhere).unwrap();
        Config::read_or_new(&nowhere).unwrap_err();
    }

    #[test]
    fn the_last_few_of_what_it_was_are_kept() {
        let folder = folder();
        let (path, backups) = (folder.path().join("c.json"), folder.path().join("b"));
        fs::write(&path, "0").unwrap();
        let kept: Vec<PathBuf> = (1..=KEPT + 5)
            .map(|number| {
                Config::read(&path).unwrap().replace(&number.to_string(), &backups).unwrap().unwrap()
            })
            .collect();
        assert_eq!(fs::read_dir(&backups).unwrap().count(), KEPT);
        assert_eq!(fs::read_to_string(kept.last().unwrap()).unwrap(), (KEPT + 4).to_string());
        assert!(kept[0].exists() && !kept[1].exists() && !kept[5].exists() && kept[6].exists());
        // What is kept already is not kept again.
        let config = Config::read(&path).unwrap();
        fs::write(&path, "7").unwrap();
        let again = Config::read(&path).unwrap().replace(config.text(), &backups).unwrap();
        assert_eq!(again.as_ref(), Some(&kept[7]));
        assert_eq!(fs::read_dir(&backups).unwrap().count(), KEPT);
        // Of another config of the same name nothing is forgotten.
        let other = folder.path().join("o/c.json");
        fs::create_dir(folder.path().join("o")).unwrap();
        fs::write(&other, "x").unwrap();
        Config::read(&other).unwrap().replace("y", &backups).unwrap();
        assert_eq!(fs::read_dir(&backups).unwrap().count(), KEPT + 1);
    }

    #[test]
    fn what_is_no_config_is_told() {
        let folder = folder();
        let path = folder.path().join("c.json");
        let told = |path: &Path| Config::read(path).unwrap_err().to_string();
        assert!(told(&path).contains("No such file"), "{}", told(&path));
        fs::write(&path, b"{\"a\": \"\xff\"}").unwrap();
        assert!(told(&path).ends_with("its byte 7 is no UTF-8"), "{}", told(&path));
        assert!(told(folder.path()).ends_with("it is no regular file"), "{}", told(folder.path()));
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(told(&pipe).ends_with("it is no regular file"), "{}", told(&pipe));
        let loops = folder.path().join("loops");
        symlink("loops", &loops).unwrap();
        Config::read(&loops).unwrap_err();
    }

    #[test]
    fn of_two_who_change_it_at_once_one_is_told() {
        let folder = folder();
        let (path, backups) = (folder.path().join("c.json"), folder.path().join("b"));
        for _ in 0..50 {
            fs::write(&path, "old").unwrap();
            let both: Vec<Config> = (0..2).map(|_| Config::read(&path).unwrap()).collect();
            let done: Vec<bool> = std::thread::scope(|scope| {
                let replacing: Vec<_> = both
                    .iter()
                    .zip(["one", "two"])
                    .map(|(config, text)| scope.spawn(|| config.replace(text, &backups).is_ok()))
                    .collect();
                replacing.into_iter().map(|replacing| replacing.join().unwrap()).collect()
            });
            assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_leaves_it_as_it_was() {
        let folder = folder();
        let path = folder.path().join("c.json");
        fs::write(&path, "old").unwrap();
        let config = Config::read(&path).unwrap();
        // A file is in the way.
        let told = config.replace("new", &path.join("b")).unwrap_err().to_string();
        assert!(told.contains("keep what"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
