//! The lock on what configs were: of two of us that change configs at once, one waits; and it does not wait for ever.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::poll;

/// Waits until nobody else of us replaces a config: so many tries, and so many milliseconds after each. `None` if somebody still does
/// then. Makes the directory, for its owner alone.
pub(super) fn take(folder: &Path, tries: usize, pause: u16) -> io::Result<Option<Flock<File>>> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = File::open(folder)?;
    for attempt in 0.. {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, errno)) if errno != Errno::EWOULDBLOCK && errno != Errno::EINTR => {
                return Err(errno.into());
            }
            Err(_) if attempt >= tries => break,
            Err((back, _)) => file = back,
        }
        // Nothing is waited for but the time; a signal that ends it early costs a try.
        let _ = poll(&mut [], pause);
    }
    Ok(None)
}

/// Who holds it: process and program, as far as the system tells.
pub(super) fn holder(folder: &Path) -> String {
    let Ok(found) = fs::metadata(folder) else { return "another process".to_owned() };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let holders = locks.lines().filter_map(|line| of_line(line, found.ino()));
    let told: Vec<String> = holders
        .filter(|pid| has_open(*pid, folder))
        .map(|pid| match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(program) => format!("process {pid} ({})", program.trim_end().escape_debug()),
            Err(_) => format!("process {pid}"),
        })
        .collect();
    if told.is_empty() { "another process".to_owned() } else { told.join(", ") }
}

/// The process of a line of `/proc/locks`, if that is a lock like ours on this inode. A line with `->` is of one that waits.
fn of_line(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
    // The device is not compared: some file systems tell one here and another one to `stat`.
    (file.rsplit(':').next()?.parse() == Ok(inode)).then_some(())?;
    // A process of another namespace has no number here.
    pid.parse().ok().filter(|pid| *pid > 0)
}

/// Whether this process has it open. Taken for so where it does not let us look.
fn has_open(pid: u32, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return true };
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_it_is_named_and_it_is_free_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/b");
        let held = take(&folder, 0, 0).unwrap().unwrap();
        assert!(take(&folder, 2, 1).unwrap().is_none());
        if cfg!(target_os = "linux") {
            let by = holder(&folder);
            assert!(by.starts_with(&format!("process {} (", std::process::id())), "{by}");
        }
        drop(held);
        assert_eq!(holder(&folder), "another process", "nobody can be named");
        assert!(take(&folder, 0, 0).unwrap().is_some());
    }

    #[test]
    fn one_that_is_given_back_meanwhile_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path(), 0, 0).unwrap().unwrap();
        std::thread::scope(|scope| {
            // A million tries are more than enough, and an error ends the test.
            let taking = scope.spawn(|| take(folder.path(), 1_000_000, 1).map(|lock| lock.is_some()));
            drop(held);
            assert!(taking.join().unwrap().unwrap());
        });
    }

    #[test]
    fn only_a_holder_of_this_file_counts() {
        for (line, pid) in [
            ("1: FLOCK  ADVISORY  WRITE 812 00:1b:4711 0 EOF", Some(812)),
            ("1: -> FLOCK  ADVISORY  WRITE 813 00:1b:4711 0 EOF", None),
            ("2: FLOCK  ADVISORY  WRITE 812 00:1b:4712 0 EOF", None),
            ("3: POSIX  ADVISORY  WRITE 812 00:1b:4711 0 EOF", None),
            ("4: FLOCK  ADVISORY  WRITE -1 00:1b:4711 0 EOF", None),
            ("5: FLOCK  ADVISORY  WRITE 0 00:1b:4711 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(of_line(line, 4711), pid, "{line}");
        }
    }
}
