//! Files that a check writes: reports and the baseline. Each is written in one step, and never through a link.
//!
//! A pull request can bring a link under the name of such a file. What the link names would be written over with a text
//! that its author decides in part, so a link is refused.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Why nothing may be written at this place, and what to do about it. `None` if it may.
pub(super) fn refusal(path: &Path) -> Option<(String, &'static str)> {
    if path.file_name().is_none() {
        return Some(("it is no name of a file".to_owned(), "name a file"));
    }
    let folder = folder(path);
    match fs::metadata(folder) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => return Some((format!("{} is no folder", folder.display()), "name a file in a folder")),
        Err(error) => return Some((format!("{}: {error}", folder.display()), "make the folder first")),
    }
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_symlink() => Some((
            "it is a link, and what a link names is not written over".to_owned(),
            "name the file itself, or remove the link",
        )),
        Ok(about) if !about.is_file() => Some((
            "it is there, and is no file".to_owned(),
            "name a file; what --format asks for is printed to stdout",
        )),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some((error.to_string(), "name another place")),
    }
}

/// Writes all of it or nothing. A link that has come since [`refusal`] is replaced, and what it names stays as it is.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some((why, _)) = refusal(path) {
        return Err(io::Error::other(why));
    }
    let readable = fs::Permissions::from_mode(0o666);
    let mut file =
        tempfile::Builder::new().prefix(".check-").permissions(readable).tempfile_in(folder(path))?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_and_what_is_not_there_are_written() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        symlink(at("precious"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        for name in ["link", "dangling", "", "none/file"] {
            assert!(refusal(&at(name)).is_some(), "{name}");
            assert!(write(&at(name), "text").is_err(), "{name}");
        }
        assert!(refusal(Path::new("/dev/null")).is_some());
        assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
        assert!(!at("nowhere").exists());
        for text in ["one", "two"] {
            write(&at("file"), text).unwrap();
            assert_eq!(fs::read_to_string(at("file")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 4);
    }
}
