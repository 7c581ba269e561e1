//! Where this program is, as other programs can start it later.

use std::env;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Its full path, as a text. One that `PATH` has, if that is this very program: the file itself may be one of a version
/// that goes with the next update.
pub(super) fn program() -> Result<String, Failure> {
    let file = env::current_exe()
        .map_err(|error| Failure::unexpected(format!("failed to find this program: {error}")))?;
    let found = env::var_os("PATH").and_then(|path| in_path(env::split_paths(&path), &file));
    let program = found.unwrap_or(file);
    program.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::unexpected(format!("failed to write the entry: the path {} is no text", program.display()))
    })
}

/// The first of these directories, named in full, that has the program under its own name, and has this one.
fn in_path(path: impl Iterator<Item = PathBuf>, file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?;
    let there = path.filter(|directory| directory.is_absolute()).map(|directory| directory.join(name));
    let first = there.into_iter().find(|candidate| candidate.is_file())?;
    (first.canonicalize().ok()? == file.canonicalize().ok()?).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_stable_name_is_found_where_it_is_the_same_program() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["cellar", "bin", "other"] {
            fs::create_dir(at(name)).unwrap();
        }
        let file = at("cellar").join("p");
        fs::write(&file, "").unwrap();
        symlink(&file, at("bin").join("p")).unwrap();
        fs::write(at("other").join("p"), "another").unwrap();
        let find = |names: &[&str]| in_path(names.iter().map(|name| at(name)), &file);
        assert_eq!(find(&["none", "bin", "other"]), Some(at("bin").join("p")));
        assert_eq!(find(&["other", "bin"]), None, "the name means another program there");
        assert_eq!(find(&["none"]), None);
        assert_eq!(in_path([PathBuf::from("bin")].into_iter(), &file), None);
    }
}
