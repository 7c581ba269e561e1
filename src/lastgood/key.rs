//! Which server an answer belongs to, as the name of a file.
//!
//! A server is its command with all arguments, the working directory and the name that it was given. Arguments can hold
//! secrets, so they go into a hash and nowhere else.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The name of a server for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key of a server: its whole command, the directory that it runs in, and what `--name` says; `None` where that
    /// was not given, which is not the same as an empty name.
    pub fn new(argv: &[OsString], working_directory: &Path, name: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        // Each list and each word goes in after its length: no two different servers look the same to the hash.
        hash.update(length(argv.len()));
        for word in argv {
            feed(&mut hash, word);
        }
        feed(&mut hash, working_directory.as_os_str());
        hash.update(length(usize::from(name.is_some())));
        if let Some(name) = name {
            feed(&mut hash, OsStr::new(name));
        }
        let mut hex = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a String has no errors.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    /// The name of the server's file.
    pub(super) fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.0)
    }
}

const SUFFIX: &str = ".json";

/// Whether a file has the name of some server's.
pub(super) fn is_file_name(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
    stem.is_some_and(|stem| {
        stem.len() == 64 && stem.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn feed(hash: &mut Sha256, word: &OsStr) {
    hash.update(length(word.len()));
    hash.update(word.as_bytes());
}

fn length(length: usize) -> [u8; 8] {
    (length as u64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(argv: &[&str], directory: &str, name: Option<&str>) -> Key {
        let argv: Vec<OsString> = argv.iter().map(Into::into).collect();
        Key::new(&argv, Path::new(directory), name)
    }

    #[test]
    fn the_name_of_a_server_is_the_sha_256_of_its_parts_and_stays_so_from_release_to_release() {
        // printf of the 8-byte lengths and the words, through sha256sum.
        let expected = "6ee9e6dc81fc8f90270721a0ed2090037a63f6c4dd500d99c76386f439123433.json";
        let name = key(&["npx", "-y", "server"], "/home/user", Some("notes")).file_name();
        assert_eq!(name, expected);
        assert!(is_file_name(OsStr::new(&name)));
    }

    #[test]
    fn servers_that_differ_anywhere_have_different_keys() {
        let keys = [
            key(&[], "", None),
            key(&["ab", "c"], "/d", None),
            key(&["a", "bc"], "/d", None),
            key(&["abc"], "/d", None),
            key(&["ab", "c", ""], "/d", None),
            key(&["ab", "c", "/d"], "", None),
            key(&["ab"], "c", Some("/d")),
            key(&["ab", "c"], "/d", Some("")),
            key(&["ab", "c"], "/d", Some("n")),
            key(&["ab", "c"], "/dn", None),
            key(&["c", "ab"], "/d", None),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != one), "{one:?}");
        }
    }

    #[test]
    fn arguments_that_are_no_text_are_told_apart() {
        let [one, other] =
            [b"\xff", b"\xfe"].map(|word| Key::new(&[OsStr::from_bytes(word).into()], Path::new("/"), None));
        assert_ne!(one, other);
    }

    #[test]
    fn only_what_looks_like_a_key_is_taken_for_a_servers_file() {
        let good = key(&["a"], "/", None).file_name();
        for bad in
            ["", ".json", "notes.json", &good[1..], &good[..64], &good.to_uppercase(), &format!("{good}.bak")]
        {
            assert!(!is_file_name(OsStr::new(bad)), "{bad}");
        }
        assert!(!is_file_name(OsStr::from_bytes(b"\xff.json")));
    }
}
