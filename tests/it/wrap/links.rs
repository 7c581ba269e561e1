//! Configs that have several names, and configs that others are at.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};

use nix::fcntl::{Flock, FlockArg};

use super::Home;

const TEXT: &str = r#"{"mcpServers": {"a": {"command": "x"}}}"#;

#[test]
fn a_link_is_told_with_the_file_that_it_leads_to() {
    let home = Home::new();
    let file = home.put("dotfiles/cursor.json", TEXT);
    fs::create_dir(home.path(".cursor")).expect("it can be made");
    symlink(&file, home.path(".cursor/mcp.json")).expect("it can be made");
    let file = file.canonicalize().expect("it is there").display().to_string();
    let name = format!(".cursor/mcp.json -> {file}");
    for words in [&["wrap", "--list"][..], &["wrap", "--dry-run"], &["wrap", "--yes"], &["unwrap", "--yes"]] {
        let told = home.done(words);
        assert!(told.contains(&name), "{words:?}: {told}");
    }
    assert_eq!(home.text("dotfiles/cursor.json"), TEXT);
    assert!(fs::symlink_metadata(home.path(".cursor/mcp.json")).expect("it is there").is_symlink());
}

#[test]
fn a_file_with_another_name_is_refused_before_anything_is_asked() {
    let home = Home::new();
    let file = home.put(".cursor/mcp.json", TEXT);
    fs::hard_link(&file, home.path("dotfile")).expect("it can be made");
    let other = home.put(".codeium/windsurf/mcp_config.json", TEXT);
    // Nobody could answer a question, and the other config is shown all the same.
    let told = home.run(&["wrap", "--dry-run"]);
    assert_eq!(told.code, 82, "{}", told.stderr);
    assert!(
        told.stderr.contains("one file with another name, a hard link") && told.stderr.contains("hint: "),
        "{}",
        told.stderr
    );
    assert!(
        told.stdout.contains(&other.display().to_string()) && !told.stdout.contains(".cursor"),
        "{}",
        told.stdout
    );
    home.run(&["wrap", "--yes"]);
    let inode = |path: &str| fs::metadata(home.path(path)).expect("it is there").ino();
    assert_eq!(inode(".cursor/mcp.json"), inode("dotfile"));
    assert_eq!(home.text("dotfile"), TEXT);
    // It can be looked at.
    assert!(home.done(&["wrap", "--list", "--host", "cursor"]).contains("not wrapped"));
}

/// It takes as long as the program waits.
#[test]
fn who_holds_the_lock_is_told_and_nothing_is_waited_for_for_ever() {
    let home = Home::new();
    home.put(".cursor/mcp.json", TEXT);
    home.put(".codeium/windsurf/mcp_config.json", TEXT);
    fs::create_dir_all(home.path("data/configs")).expect("it can be made");
    let folder = File::open(home.path("data/configs")).expect("it is there");
    let lock = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| errno).expect("it is free");
    let told = home.run(&["wrap", "--yes"]);
    assert_eq!(told.code, 82, "{}", told.stderr);
    // It would be held for the second file too, and is waited for once.
    assert_eq!(told.stderr.matches("holds the lock on").count(), 1, "{}", told.stderr);
    assert!(told.stderr.contains("data/configs") && told.stderr.contains("hint: "), "{}", told.stderr);
    if cfg!(target_os = "linux") {
        let us = format!("process {} (", std::process::id());
        assert!(told.stderr.contains(&us), "{}", told.stderr);
    }
    assert_eq!(home.text(".cursor/mcp.json"), TEXT);
    drop(lock);
    home.done(&["wrap", "--yes"]);
    assert_ne!(home.text(".cursor/mcp.json"), TEXT);
}
