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

/// Where the system keeps what may go at any time, beside what `TMPDIR` says.
const TEMPORARY: [&str; 6] =
    ["/tmp", "/var/tmp", "/dev/shm", "/private/tmp", "/private/var/folders", "/var/folders"];
/// The file that marks a directory which can be made again, and is emptied without a question.
const CACHE: &str = "CACHEDIR.TAG";

/// Why this program will not be there for long: because of the directory that it is in, by its own name or by that of the file behind
/// a link.
pub(super) fn will_vanish(program: &Path) -> Option<String> {
    let real = program.canonicalize().ok();
    [Some(program), real.as_deref()].into_iter().flatten().find_map(will_vanish_from)
}

fn will_vanish_from(program: &Path) -> Option<String> {
    let folders = || program.ancestors().skip(1);
    let is_build = |folder: &&Path| folder.ends_with("target") || folder.join(CACHE).is_file();
    if let Some(folder) = folders().find(is_build) {
        return Some(format!(
            "it is below {}, where programs are built, and which is emptied at times",
            folder.display()
        ));
    }
    let named = TEMPORARY.iter().map(PathBuf::from).chain([env::temp_dir()]);
    let temporary = named.flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]).flatten();
    let folder =
        temporary.into_iter().find(|folder| folder.parent().is_some() && program.starts_with(folder))?;
    Some(format!("it is below {}, where files are temporary", folder.display()))
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
    #[test]
    fn a_program_that_will_vanish_is_known_by_where_it_is() {
        for (program, word) in [
            ("/home/ada/x/target/release/mcp-supervise", Some("/home/ada/x/target,")),
            ("/tmp/mcp-supervise", Some("/tmp,")),
            ("/var/tmp/a/mcp-supervise", Some("/var/tmp,")),
            ("/usr/bin/mcp-supervise", None),
            ("/home/ada/targets/tmp/mcp-supervise", None),
        ] {
            let why = will_vanish(Path::new(program));
            assert_eq!(why.is_some(), word.is_some(), "{program}: {why:?}");
            assert!(why.unwrap_or_default().contains(word.unwrap_or_default()), "{program}");
        }
    }

    #[test]
    fn a_link_to_a_program_that_will_vanish_vanishes_with_it() {
        // Below the folder of the build, which is no temporary one everywhere.
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        fs::create_dir_all(folder.join("built/debug")).unwrap();
        let program = folder.join("built/debug/p");
        fs::write(&program, "").unwrap();
        fs::write(folder.join("built").join(CACHE), "").unwrap();
        symlink(&program, folder.join("p")).unwrap();
        for program in [program, folder.join("p")] {
            assert!(will_vanish(&program).is_some());
        }
        let named = will_vanish_from(&folder.join("built/debug/p")).unwrap();
        assert!(named.contains("built, where programs are built"), "{named}");
    }
}
