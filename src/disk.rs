//! What every room needs that writes files which must not be lost.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::fsync;

/// Has a file or a directory on the disk, as far as its file system does such things: one that does not know how would
/// never let a token be written.
pub fn sync(file: &File) -> io::Result<()> {
    const UNKNOWN: [Errno; 4] = [Errno::EINVAL, Errno::ENOTSUP, Errno::EOPNOTSUPP, Errno::ENOSYS];
    let is_unknown = |error: &io::Error| {
        error.raw_os_error().is_some_and(|number| UNKNOWN.contains(&Errno::from_raw(number)))
    };
    match file.sync_all() {
        // On macOS that asks the disk itself, which not every file system can; this one asks the system.
        Err(error) if is_unknown(&error) => match fsync(file) {
            Err(errno) if !UNKNOWN.contains(&errno) => Err(errno.into()),
            Ok(()) | Err(_) => Ok(()),
        },
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_file_system_that_cannot_sync_lets_files_be_written() {
        // A pipe has nothing that could be on a disk, and says so.
        let (_reader, writer) = io::pipe().unwrap_or_else(|error| panic!("{error}"));
        let pipe = File::from(OwnedFd::from(writer));
        assert_eq!(pipe.sync_all().map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
        assert!(sync(&pipe).is_ok());
    }
}
