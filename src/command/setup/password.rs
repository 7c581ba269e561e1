//! Where the master password comes from: the environment, a file, or the terminal, where it is not shown.
//!
//! It is never on a command line, which anybody can read, and never in a message. What held it is cleared.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use secrecy::SecretString;
use secrecy::zeroize::{Zeroize as _, Zeroizing};

use super::failure::Failure;

/// The variable that may hold it.
pub(super) const VARIABLE: &str = "WAIAAS_MASTER_PASSWORD";
/// The longest that is read, in bytes.
const LONGEST: usize = 4096;
/// Who may do anything with a file besides its owner.
const OTHERS: u32 = 0o077;
const SOURCES: &str = "put it into a file that only you can read, and name that with --password-file";

/// A password, and what is to be said about it.
pub(super) struct Given {
    pub(super) text: SecretString,
    /// Where it comes from, in words.
    pub(super) source: String,
    /// What is not as it should be. `None` if all is.
    pub(super) warning: Option<String>,
}

/// The password: that of the variable, else that of the file, else what is answered to the prompt, which is `None` where
/// nobody can be asked.
pub(super) fn find(
    variable: Option<OsString>,
    file: Option<&Path>,
    prompt: impl FnOnce() -> io::Result<Option<String>>,
) -> Result<Given, Failure> {
    let given = if let Some(value) = variable {
        let text =
            value.into_string().map_err(|_| Failure::usage(format!("{VARIABLE} holds no text"), SOURCES))?;
        Given { text: text.into(), source: format!("the variable {VARIABLE}"), warning: None }
    } else if let Some(file) = file {
        of_file(file)?
    } else {
        let typed = prompt().map_err(|error| {
            Failure::usage(format!("failed to read the master password: {error}"), SOURCES)
        })?;
        let Some(typed) = typed else {
            return Err(Failure::usage(
                "the master password is missing, and there is no terminal to ask at",
                SOURCES,
            ));
        };
        Given { text: typed.into(), source: "the terminal".to_owned(), warning: None }
    };
    if secrecy::ExposeSecret::expose_secret(&given.text).is_empty() {
        return Err(Failure::usage(
            format!("the master password is empty; it comes from {}", given.source),
            SOURCES,
        ));
    }
    Ok(given)
}

fn of_file(path: &Path) -> Result<Given, Failure> {
    let shown = path.display();
    let failed = |why: &str| {
        Failure::usage(format!("failed to read the master password from {shown}: {why}"), SOURCES)
    };
    // A pipe is as good as a file: `--password-file <(pass show daemon)`.
    let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
    let there = file.metadata().map_err(|error| failed(&error.to_string()))?;
    // Held from the beginning, for a buffer that grows leaves copies behind. One byte more, to see what is too long.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error.to_string()))?;
    if bytes.len() > LONGEST {
        return Err(failed("it holds more than a password"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("it holds no text"))?;
    // One line end is an editor's; more of them are the password's.
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    let exposed = there.is_file() && there.permissions().mode() & OTHERS != 0;
    let warning = exposed.then(|| format!("others can read the password file {shown}: chmod 600 it"));
    Ok(Given { text: text.into(), source: format!("the file {shown}"), warning })
}

/// Asks for it at the terminal. `None` where there is none.
pub(super) fn ask() -> io::Result<Option<String>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    // The terminal is set back before an interrupt ends us: it would go on without echo.
    let interrupt = SigSet::from(Signal::SIGINT);
    interrupt.thread_block()?;
    let typed = without_echo(|| rpassword::prompt_password("Master password of the daemon: "));
    let unblocked = interrupt.thread_unblock();
    let mut typed = typed?;
    if let Err(error) = unblocked {
        typed.zeroize();
        return Err(error.into());
    }
    Ok(Some(typed))
}

/// Does it while the terminal shows nothing of what is typed: also before the prompt, for a program may answer at once. An interrupt that
/// comes as early is a letter of what is typed, and is found there: as a signal it would wait, and the line before it be gone.
fn without_echo<T>(ask: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    tcsetattr(&terminal, SetArg::TCSANOW, &hidden)?;
    let asked = ask();
    tcsetattr(&terminal, SetArg::TCSANOW, &before)?;
    asked
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use secrecy::ExposeSecret as _;
    use tempfile::TempDir;

    use super::*;
    use crate::exit_code;

    fn nobody() -> io::Result<Option<String>> {
        panic!("somebody was asked")
    }

    fn written(bytes: &[u8], mode: u32) -> (TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        (dir, file)
    }

    #[test]
    fn the_variable_beats_the_file_and_the_file_the_terminal() {
        let (_dir, file) = written(b"of the file\n", 0o600);
        let given = find(Some("of the variable ".into()), Some(&file), nobody).unwrap();
        assert_eq!(given.text.expose_secret(), "of the variable ");
        assert!(given.source.contains(VARIABLE) && given.warning.is_none());
        let given = find(None, Some(&file), nobody).unwrap();
        assert_eq!(given.text.expose_secret(), "of the file");
        assert!(given.source.contains("password") && given.warning.is_none());
        let given = find(None, None, || Ok(Some("typed".to_owned()))).unwrap();
        assert_eq!((given.text.expose_secret(), given.source.as_str()), ("typed", "the terminal"));
    }

    #[test]
    fn one_line_end_is_taken_off() {
        for (bytes, text) in [
            (&b"sesame"[..], "sesame"),
            (b"sesame\n", "sesame"),
            (b"sesame\r\n", "sesame"),
            (b"sesame\n\n", "sesame\n"),
            (b" sesame \n", " sesame "),
            ("Sésam\n".as_bytes(), "Sésam"),
        ] {
            let (_dir, file) = written(bytes, 0o600);
            let given = find(None, Some(&file), nobody).unwrap();
            assert_eq!(given.text.expose_secret(), text);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_warned_of() {
        for mode in [0o644, 0o640, 0o604] {
            let (_dir, file) = written(b"sesame", mode);
            assert!(
                find(None, Some(&file), nobody).unwrap().warning.unwrap().contains("chmod 600"),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn what_is_no_password_is_told_and_not_shown() {
        let told = |result: Result<Given, Failure>| {
            let failure = result.err().unwrap();
            assert_eq!(failure.code, exit_code::USAGE);
            assert!(failure.hint.is_some() && !failure.message.contains("sesame"), "{failure:?}");
            failure.message
        };
        for (bytes, why) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"sesame\xff", "holds no text"),
            (&[b'x'; 5000], "more than a password"),
        ] {
            let (_dir, file) = written(bytes, 0o600);
            let told = told(find(None, Some(&file), nobody));
            assert!(told.contains(why), "{told}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(told(find(None, Some(&dir.path().join("none")), nobody)).contains("No such file"));
        assert!(told(find(None, Some(dir.path()), nobody)).contains("failed to read the master password"));
        assert!(told(find(Some(OsString::new()), None, nobody)).contains("is empty"));
        assert!(told(find(None, None, || Ok(None))).contains("no terminal"));
        assert!(
            told(find(None, None, || Err(io::ErrorKind::UnexpectedEof.into()))).contains("failed to read")
        );
    }
}
