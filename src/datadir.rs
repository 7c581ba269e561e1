//! Where we keep things: one directory for what is stored, one for sockets. Places only, nothing is made or looked at here
//! but what the environment says and which directories there are.

use std::env;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use nix::unistd::geteuid;

/// The directory for what is stored: the given one, else the platform's (`$XDG_STATE_HOME/mcp-supervise`,
/// `~/.local/state/mcp-supervise`, on macOS `~/Library/Application Support/mcp-supervise`). `None` without a home.
pub fn data_dir(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(state_dir)
}

/// The platform's directory for what we store.
fn state_dir() -> Option<PathBuf> {
    // The library would go on to look the user up, and a process that was started without a home is to have none.
    let told = |name| env::var_os(name).is_some_and(|path| Path::new(&path).is_absolute());
    if !told("HOME") && (cfg!(target_os = "macos") || !told("XDG_STATE_HOME")) {
        return None;
    }
    let platform = etcetera::base_strategy::choose_native_strategy().ok()?;
    // On macOS state has no directory of its own.
    Some(platform.state_dir().unwrap_or_else(|| platform.data_dir()).join("mcp-supervise"))
}

/// The directories for sockets, the first that can be used before the others: the given one alone; else `/run/user/UID/mcp-supervise`
/// where the system has made that user's directory, else `/tmp/mcp-supervise-UID`, and then one in the directory for what is
/// stored, for anybody can have made the one in `/tmp` before us.
///
/// The environment is not asked: hosts start servers without `XDG_RUNTIME_DIR` and `TMPDIR`, and whoever looks for them
/// from a terminal has both.
pub fn runtime_dirs(given: Option<&Path>, stored: Option<&Path>) -> Vec<PathBuf> {
    let user = geteuid().as_raw();
    if let Some(given) = given {
        return vec![given.to_owned()];
    }
    let of_user = PathBuf::from(format!("/run/user/{user}"));
    let ours = of_user.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == user);
    let first = if ours {
        of_user.join("mcp-supervise")
    } else {
        PathBuf::from(format!("/tmp/mcp-supervise-{user}"))
    };
    std::iter::once(first).chain(data_dir(stored).map(|dir| dir.join("sockets"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_for_sockets_that_was_given_is_the_only_one_and_another_has_one_to_fall_back_on() {
        let (given, stored) = (Path::new("/given"), Path::new("/stored"));
        assert_eq!(runtime_dirs(Some(given), Some(stored)), [given]);
        let dirs = runtime_dirs(None, Some(stored));
        assert_eq!(dirs.len(), 2);
        assert!(!dirs[0].starts_with(stored), "{dirs:?}");
        assert_eq!(dirs[1], stored.join("sockets"));
    }
}
