//! Where each host has its configs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document::Shape;

/// A program that starts servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code.
    ClaudeCode,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    VsCode,
    /// GitHub Copilot, in its command line and in VS Code.
    Copilot,
    /// Windsurf.
    Windsurf,
    /// The MCP Inspector.
    Inspector,
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ClaudeDesktop,
        Self::ClaudeCode,
        Self::Cursor,
        Self::VsCode,
        Self::Copilot,
        Self::Windsurf,
        Self::Inspector,
    ];

    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::Copilot => "Copilot",
            Self::Windsurf => "Windsurf",
            Self::Inspector => "Inspector",
        }
    }

    /// Where its configs have their servers.
    pub fn shape(self) -> Shape {
        match self {
            Self::ClaudeCode => Shape::Projects,
            Self::VsCode => Shape::VsCode,
            Self::ClaudeDesktop | Self::Cursor | Self::Copilot | Self::Windsurf | Self::Inspector => {
                Shape::Servers
            }
        }
    }
}

/// What decides where configs are.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The user's directory.
    pub home: PathBuf,
    /// Where programs have their configs: `XDG_CONFIG_HOME`, else `.config` in the user's directory. Not used on macOS.
    pub config: PathBuf,
    /// Where we are: configs of projects are looked for here, and above.
    pub here: Option<PathBuf>,
    /// `CLAUDE_CONFIG_DIR`.
    pub claude: Option<PathBuf>,
    /// `COPILOT_HOME`.
    pub copilot: Option<PathBuf>,
    /// This is macOS.
    pub mac: bool,
}

/// A config that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who reads it.
    pub host: Host,
    /// Where it is.
    pub path: PathBuf,
}

/// What the system says of a path that is not there.
const NOWHERE: [io::ErrorKind; 2] = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];

/// The configs of these hosts that are there, each file once.
pub fn find(surroundings: &Surroundings, hosts: &[Host]) -> Vec<Found> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for place in places(surroundings).into_iter().filter(|place| hosts.contains(&place.host)) {
        match fs::symlink_metadata(&place.path) {
            Err(error) if NOWHERE.contains(&error.kind()) => continue,
            // What is there and cannot be used is to be told by whoever reads it.
            _ => {}
        }
        let real = place.path.canonicalize().unwrap_or_else(|_| place.path.clone());
        if !seen.contains(&real) {
            seen.push(real);
            found.push(place);
        }
    }
    found
}

/// Where this host has the config of the user, for all projects: the one that new servers belong in.
pub fn of_user(surroundings: &Surroundings, host: Host) -> PathBuf {
    let everywhere = Surroundings { here: None, ..surroundings.clone() };
    let first = places(&everywhere).into_iter().find(|place| place.host == host);
    first.map_or_else(PathBuf::new, |place| place.path)
}

/// All places where these hosts have configs, of projects the nearest.
pub(super) fn places(surroundings: &Surroundings) -> Vec<Found> {
    let Surroundings { home, config, here, claude, copilot, mac } = surroundings;
    let programs = if *mac { home.join("Library/Application Support") } else { config.clone() };
    let project = |name: &str| here.as_deref().and_then(|here| nearest(here, home, name));
    let mut places = Vec::new();
    let mut add = |host, path: Option<PathBuf>| places.extend(path.map(|path| Found { host, path }));
    add(Host::ClaudeDesktop, Some(programs.join("Claude/claude_desktop_config.json")));
    add(Host::ClaudeCode, project(".mcp.json"));
    add(Host::ClaudeCode, Some(claude.as_ref().unwrap_or(home).join(".claude.json")));
    add(Host::Cursor, project(".cursor/mcp.json"));
    add(Host::Cursor, Some(home.join(".cursor/mcp.json")));
    add(Host::VsCode, project(".vscode/mcp.json"));
    for edition in ["Code", "Code - Insiders"] {
        let user = programs.join(edition).join("User");
        add(Host::VsCode, Some(user.join("mcp.json")));
        for profile in directories(&user.join("profiles")) {
            add(Host::VsCode, Some(profile.join("mcp.json")));
        }
    }
    add(Host::Copilot, project(".mcp.json"));
    let copilot = copilot.clone().unwrap_or_else(|| home.join(".copilot"));
    add(Host::Copilot, Some(copilot.join("mcp-config.json")));
    add(Host::Windsurf, Some(home.join(".codeium/windsurf/mcp_config.json")));
    add(Host::Inspector, Some(home.join(".mcp-inspector/mcp.json")));
    places
}

/// The file of this name in this directory or in one above it, up to the root of the repository. What is in the user's
/// own directory belongs to no project.
fn nearest(here: &Path, home: &Path, name: &str) -> Option<PathBuf> {
    let root = here.ancestors().find(|directory| directory.join(".git").exists()).unwrap_or(here);
    // A directory is told in full, and the user's may be known by a link.
    let real = home.canonicalize();
    let is_home = |directory: &Path| directory == home || real.as_ref().is_ok_and(|home| directory == home);
    let inside = here.ancestors().take_while(|directory| directory.starts_with(root) && !is_home(directory));
    inside.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// The directories in a directory, in the order of their names.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str) -> PathBuf {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{}").unwrap();
        path
    }

    fn seen(surroundings: &Surroundings, hosts: &[Host]) -> Vec<(Host, String)> {
        let short = |path: &Path| path.strip_prefix(&surroundings.home).unwrap().display().to_string();
        find(surroundings, hosts).iter().map(|found| (found.host, short(&found.path))).collect()
    }

    #[test]
    fn each_host_is_found_where_it_has_its_configs() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for (mac, programs) in [(false, "conf"), (true, "Library/Application Support")] {
            let desktop = format!("{programs}/Claude/claude_desktop_config.json");
            let code = format!("{programs}/Code/User/mcp.json");
            let profile = format!("{programs}/Code/User/profiles/-4f1/mcp.json");
            let insiders = format!("{programs}/Code - Insiders/User/mcp.json");
            let expected = [
                (Host::ClaudeDesktop, &*desktop),
                (Host::ClaudeCode, "work/.mcp.json"),
                (Host::ClaudeCode, ".claude.json"),
                (Host::Cursor, "work/a/.cursor/mcp.json"),
                (Host::Cursor, ".cursor/mcp.json"),
                (Host::VsCode, "work/.vscode/mcp.json"),
                (Host::VsCode, &*code),
                (Host::VsCode, &*profile),
                (Host::VsCode, &*insiders),
                (Host::Copilot, ".copilot/mcp-config.json"),
                (Host::Windsurf, ".codeium/windsurf/mcp_config.json"),
                (Host::Inspector, ".mcp-inspector/mcp.json"),
            ];
            for (_, path) in expected {
                put(&home, path);
            }
            fs::create_dir_all(home.join("work/.git")).unwrap();
            let surroundings = Surroundings {
                home: home.clone(),
                config: home.join("conf"),
                here: Some(home.join("work/a")),
                mac,
                ..Surroundings::default()
            };
            let expected: Vec<_> = expected.iter().map(|(host, path)| (*host, (*path).to_owned())).collect();
            assert_eq!(seen(&surroundings, &Host::ALL), expected);
            let shared = seen(&surroundings, &[Host::Copilot]);
            assert_eq!(shared[0], (Host::Copilot, "work/.mcp.json".to_owned()), "it reads that too");
            // In the user's own directory there is no project.
            let at_home = Surroundings { here: Some(home.clone()), ..surroundings };
            assert!(seen(&at_home, &Host::ALL).iter().all(|(_, path)| !path.starts_with("work")));
            assert_eq!(seen(&at_home, &[Host::Cursor]), [(Host::Cursor, ".cursor/mcp.json".to_owned())]);
        }
    }

    #[test]
    fn variables_say_where_claude_code_and_copilot_are() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        put(&home, "c/.claude.json");
        put(&home, "d/mcp-config.json");
        // What is there and is no config is for whoever reads it to tell.
        fs::create_dir_all(home.join(".cursor/mcp.json")).unwrap();
        // A directory above that is in no repository is somebody else's.
        put(&home, "up/.mcp.json");
        fs::create_dir_all(home.join("up/in")).unwrap();
        let surroundings = Surroundings {
            home: home.clone(),
            claude: Some(home.join("c")),
            copilot: Some(home.join("d")),
            here: Some(home.join("up/in")),
            ..Surroundings::default()
        };
        let expected = [
            (Host::ClaudeCode, "c/.claude.json".to_owned()),
            (Host::Cursor, ".cursor/mcp.json".to_owned()),
            (Host::Copilot, "d/mcp-config.json".to_owned()),
        ];
        assert_eq!(seen(&surroundings, &Host::ALL), expected);
    }
}
