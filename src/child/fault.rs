//! A failed start in words: which fault it is, what the system says about which file, and where that file was looked for.
//!
//! The system's number alone misleads. A script whose interpreter is missing fails with the same ENOENT as a command that
//! does not exist, and a directory with the same EACCES as a file that may not be executed. This looks at the files to
//! tell them apart; it never starts anything and never decides whether to try again.
//!
//! A file that is empty or half-written is not always a failed start. Where the system does not know the format, `execvp` of
//! glibc and of macOS runs the file by `/bin/sh`, as shells do for scripts without a first line: it starts, and ends at once
//! with whatever the shell makes of it, code 0 for an empty file.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{self, Path, PathBuf};

use nix::errno::Errno;

use super::{SpawnError, Spec};
use crate::engine::io::SpawnFault;
use crate::threads;

/// Where the system looks for commands when `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file that the command's name refers to: an absolute path, in which links are not resolved. A name with a slash
/// is such a path already, even if nothing exists there yet, or nothing executable. `None` for a name that is not found
/// in the `PATH`, and for a directory. Reads the disk.
pub fn executable(spec: &Spec) -> Option<PathBuf> {
    let name = spec.argv.first()?;
    let file = if has_slash(name) { PathBuf::from(name) } else { locate(name, &path_of(spec))? };
    path::absolute(file).ok().filter(|file| !file.is_dir())
}

/// The first line of the command's file, without `#!`, which names the interpreter. `None` where the file is no script,
/// or is not found in our own `PATH`. Reads the disk.
pub fn script_line(argv: &[OsString]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    first_line(&locate(argv.first()?, &path)?)
}

pub(super) fn explain(spec: &Spec, error: &io::Error) -> SpawnError {
    let name = spec.argv.first().map(OsString::as_os_str).unwrap_or_default();
    let said = |fault, words: &str| SpawnError { fault, message: format!("{}: {words}", name.display()) };
    let Some(errno) = error.raw_os_error().map(Errno::from_raw) else {
        // Rust's own refusal, of a zero byte in an argument.
        return said(SpawnFault::NotExecutable, &error.to_string());
    };
    if errno == Errno::ENOENT {
        let path = path_of(spec);
        return match locate(name, &path) {
            None if name.is_empty() || has_slash(name) => match program_of(name) {
                Some(program) => said(
                    SpawnFault::WholeLine(program.as_os_str().len()),
                    &format!("{}, but {} is an executable file", errno.desc(), program.display()),
                ),
                None => said(SpawnFault::NotFound, errno.desc()),
            },
            None => said(SpawnFault::NotFound, &format!("not found in PATH ({})", path.display())),
            Some(file) => said(SpawnFault::NotExecutable, &missing_loader(&file)),
        };
    }
    if errno == Errno::EACCES && Path::new(name).is_dir() {
        return said(SpawnFault::NotExecutable, Errno::EISDIR.desc());
    }
    if errno == Errno::ETXTBSY {
        // An upgrade is under way.
        return said(SpawnFault::Busy, errno.desc());
    }
    if errno == Errno::EAGAIN {
        // The system's own message, "Resource temporarily unavailable", does not name the limit.
        return said(SpawnFault::ProcessLimit, threads::LIMIT);
    }
    let passing = matches!(
        errno,
        Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC | Errno::EINTR | Errno::EIO
    );
    said(if passing { SpawnFault::System } else { SpawnFault::NotExecutable }, errno.desc())
}

/// The `PATH` that the child would have had.
fn path_of(spec: &Spec) -> OsString {
    let changed = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    changed.unwrap_or_else(|| env::var_os("PATH")).unwrap_or_else(|| DEFAULT_PATH.into())
}

/// The file that the name stands for, if there is one that may be executed.
fn locate(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if has_slash(name) {
        return Some(PathBuf::from(name)).filter(|file| is_executable(file));
    }
    if name.is_empty() {
        return None;
    }
    env::split_paths(path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether it is a file that somebody may execute.
pub(super) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The path of a program that the name begins with, if the name is a whole command line: what stands before a blank.
fn program_of(name: &OsStr) -> Option<&Path> {
    let name = name.as_bytes();
    let blanks = name.iter().enumerate().filter(|(_, byte)| byte.is_ascii_whitespace());
    blanks
        .map(|(at, _)| OsStr::from_bytes(&name[..at]))
        .filter(|program| has_slash(program))
        .map(Path::new)
        .find(|program| is_executable(program))
}

/// A name with a slash is a path and is looked for nowhere else.
fn has_slash(name: &OsStr) -> bool {
    name.as_bytes().contains(&b'/')
}

/// The file is there and the system says it is not: what has to run it is missing.
fn missing_loader(file: &Path) -> String {
    match interpreter(file) {
        // Escaped, because the usual culprit is an invisible carriage return.
        Some(interpreter) => format!("its interpreter {} does not exist", interpreter.escape_debug()),
        None => "it exists, but the loader that it asks for does not".to_owned(),
    }
}

/// The interpreter that the first line of a script names.
fn interpreter(file: &Path) -> Option<String> {
    first_line(file)?.split([' ', '\t']).next().map(str::to_owned)
}

/// The first line of a script, without `#!` and the blanks after it.
fn first_line(file: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim_start_matches([' ', '\t']).to_owned())
}
