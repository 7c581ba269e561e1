//! The configs of projects: those in a repository are shared with everybody who works on it.

use std::path::{self, Path, PathBuf};

/// How the configs of projects are called.
const NAMES: [&str; 3] = [".mcp.json", ".cursor/mcp.json", ".vscode/mcp.json"];
/// What a repository has in its root.
const MARKS: [&str; 4] = [".git", ".jj", ".hg", ".svn"];

/// The root of the repository to which this config belongs, if it is that of a project in one. What is in the user's own directory is
/// the user's, whatever that directory is kept in.
pub fn repository(config: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let config = path::absolute(config).ok()?;
    let name = NAMES.iter().find(|name| config.ends_with(name))?;
    let folder = config.ancestors().nth(Path::new(name).components().count())?;
    // A folder that cannot be told in full holds nothing that could be read.
    let folder = folder.canonicalize().ok()?;
    if home.and_then(|home| home.canonicalize().ok()).is_some_and(|home| home == folder) {
        return None;
    }
    let has_mark = |folder: &&Path| MARKS.iter().any(|mark| folder.join(mark).exists());
    folder.ancestors().find(has_mark).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_projects_config_in_a_repository_is_shared() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for folder in ["work/.git", "work/in/.cursor", "alone"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        // As in a work tree or a submodule.
        fs::create_dir_all(home.join("tree/.vscode")).unwrap();
        fs::write(home.join("tree/.git"), "gitdir: elsewhere").unwrap();
        let root = |config: &str| {
            let found = repository(&home.join(config), Some(&home));
            found.map(|root| root.strip_prefix(&home).unwrap().display().to_string())
        };
        assert_eq!(root("work/.mcp.json").as_deref(), Some("work"));
        assert_eq!(root("work/in/.cursor/mcp.json").as_deref(), Some("work"));
        assert_eq!(root("alone/../work/.mcp.json").as_deref(), Some("work"));
        assert_eq!(root("tree/.vscode/mcp.json").as_deref(), Some("tree"));
        for other in ["work/mcp.json", "work/.cursor/other.json", "alone/.mcp.json", "gone/.mcp.json"] {
            assert_eq!(root(other), None, "{other}");
        }
        // Somebody keeps the whole of it in a repository.
        fs::create_dir(home.join(".git")).unwrap();
        assert_eq!((root(".cursor/mcp.json"), root(".mcp.json")), (None, None));
    }
}
