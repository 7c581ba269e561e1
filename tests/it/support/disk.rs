//! A disk of a test's own, as small as it likes, that only one supervisor sees and what that one starts.
//!
//! It is mounted in a mount namespace that the supervisor begins with, so that nobody has to take it off again: it ends with
//! the last process that sees it. Whoever may not have such a namespace on their own has it inside a user namespace, in
//! which they are still who they are. Both are made in the child between fork and exec: a process with threads may not.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, write};

/// A disk to be, in the place of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    folder: CString,
    options: CString,
    /// What is on it from the beginning.
    file: CString,
    text: String,
    read_only: bool,
    /// What makes us in a user namespace who we are outside.
    uids: String,
    gids: String,
}

impl Disk {
    /// A disk of so many KiB in the place of this folder, which is made, with a file on it that nobody else may read.
    /// `None` where the system does not let us have one.
    pub(crate) fn new(folder: &Path, size: usize, file: &str, text: &str) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder can be made");
        let c_string = |text: &[u8]| CString::new(text).expect("there is no null in it");
        let same = |id: u32| format!("{id} {id} 1");
        let disk = Self {
            folder: c_string(folder.as_os_str().as_bytes()),
            options: c_string(format!("size={size}k,mode=0700").as_bytes()),
            file: c_string(folder.join(file).as_os_str().as_bytes()),
            text: text.to_owned(),
            read_only: false,
            uids: same(Uid::current().as_raw()),
            gids: same(Gid::current().as_raw()),
        };
        #[expect(clippy::disallowed_methods, reason = "a trial")]
        let mut trial = Command::new("true");
        disk.mount_for(&mut trial);
        match trial.status() {
            Ok(status) => {
                assert!(status.success());
                Some(disk)
            }
            // A container without the right to mount, or a system without such namespaces.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                let _ =
                    writeln!(io::stderr(), "no disk of our own can be mounted here ({error}): not tested");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The same, and nothing can be written to it any more.
    pub(crate) fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Has the command see the disk.
    pub(crate) fn mount_for(&self, command: &mut Command) {
        let disk = self.clone();
        #[expect(unsafe_code, reason = "only the child may have another namespace")]
        // SAFETY: between fork and exec only system calls are made, with texts that are ready by then.
        unsafe {
            command.pre_exec(move || disk.mount().map_err(io::Error::from));
        }
    }

    fn mount(&self) -> Result<(), Errno> {
        match unshare(CloneFlags::CLONE_NEWNS) {
            Err(Errno::EPERM) => {
                unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
                put(c"/proc/self/setgroups", OFlag::empty(), "deny")?;
                put(c"/proc/self/uid_map", OFlag::empty(), &self.uids)?;
                put(c"/proc/self/gid_map", OFlag::empty(), &self.gids)?;
            }
            unshared => unshared?,
        }
        let none = None::<&std::ffi::CStr>;
        // What is mounted in here stays in here.
        mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let kind = Some(c"tmpfs");
        mount(kind, &*self.folder, kind, MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(&*self.options))?;
        put(&self.file, OFlag::O_CREAT | OFlag::O_EXCL, &self.text)?;
        if self.read_only {
            mount(none, &*self.folder, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)?;
        }
        Ok(())
    }
}

fn put(path: &std::ffi::CStr, how: OFlag, text: &str) -> Result<(), Errno> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC | how, Mode::S_IRUSR | Mode::S_IWUSR)?;
    write(file, text.as_bytes()).map(|_| ())
}

/// A folder as a process sees it.
pub(crate) fn seen_by(pid: i32, folder: &Path) -> PathBuf {
    let mut seen = OsString::from(format!("/proc/{pid}/root"));
    seen.push(folder);
    seen.into()
}

/// Writes to a file until there is no room left.
pub(crate) fn fill(file: &Path) {
    let mut file: File =
        OpenOptions::new().create_new(true).append(true).open(file).expect("a file can be made");
    let full = loop {
        if let Err(error) = file.write_all(&[b'x'; 512]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
}
