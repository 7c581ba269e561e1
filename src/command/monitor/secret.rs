//! The file of `--auth-token-file`.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;
use nix::unistd::geteuid;
use secrecy::zeroize::Zeroizing;

/// The shortest secret, in bytes: nobody guesses one of this length that was drawn at random.
const SHORTEST: usize = 16;
/// The longest, in bytes: requests must have room for it.
const LONGEST: usize = 4096;
/// What others must not be allowed: anything.
const OTHERS: u32 = 0o077;

/// Why there is no secret. A clause about the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it cannot be read: {0}")]
    System(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it belongs to another user")]
    Foreign,
    #[error("others may use it")]
    Others,
    #[error("it holds several lines, or bytes that no request can have in it")]
    Control,
    #[error("it holds less than {SHORTEST} bytes")]
    Short,
    #[error("it holds more than {LONGEST} bytes")]
    Long,
}

impl Fault {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::System(_) | Self::NotAFile => "make one with `(umask 077; openssl rand -base64 32 > FILE)`",
            Self::Foreign => "make it yours with `chown`, or name a file of your own",
            Self::Others => "make it yours alone with `chmod 600`",
            Self::Control | Self::Short | Self::Long => "fill it with `openssl rand -base64 32`",
        }
    }
}

/// What is in the file, without the blanks around it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // Nobody waits for the writer of a pipe.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Fault::NotAFile);
    }
    if found.uid() != geteuid().as_raw() {
        return Err(Fault::Foreign);
    }
    if found.mode() & OTHERS != 0 {
        return Err(Fault::Others);
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    file.take(LONGEST as u64 + 2).read_to_end(&mut whole)?;
    let secret = Zeroizing::new(whole.trim_ascii().to_owned());
    if secret.iter().any(u8::is_ascii_control) {
        return Err(Fault::Control);
    }
    match secret.len() {
        ..SHORTEST => Err(Fault::Short),
        SHORTEST..=LONGEST => Ok(secret),
        _ => Err(Fault::Long),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_a_secret_of_our_own_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let with = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        assert_eq!(**with(" 0123456789abcdef\n", 0o600).unwrap(), b"0123456789abcdef"[..]);
        assert!(with("0123456789abcdef", 0o400).is_ok());
        assert!(matches!(with("0123456789abcdef\nsecond\n", 0o600), Err(Fault::Control)));
        assert!(matches!(with("0123456789abcde \n", 0o600), Err(Fault::Short)));
        assert!(matches!(with(&"x".repeat(5000), 0o600), Err(Fault::Long)));
        assert!(matches!(with("0123456789abcdef", 0o640), Err(Fault::Others)));
        assert!(matches!(with("0123456789abcdef", 0o604), Err(Fault::Others)));
        assert!(matches!(read(dir.path()), Err(Fault::NotAFile)));
        assert!(matches!(read(&dir.path().join("none")), Err(Fault::System(_))));
        assert!(matches!(read(Path::new("/dev/null")), Err(Fault::NotAFile)));
    }
}
