//! The configs that others share, and what a person is told before a config changes.

use std::fs;
use std::os::unix::fs::symlink;

use super::{CONFIGS, Home, program};

const PROJECT: (&str, &str) = CONFIGS[2];

#[test]
fn a_config_in_a_repository_is_left_alone_unless_it_is_asked_for() {
    let home = Home::new();
    let text = r#"{"servers": {"v": {"command": "x"}}, "inputs": []}"#;
    let cursor = r#"{"mcpServers": {"c": {"command": "x"}}}"#;
    home.put(PROJECT.0, PROJECT.1);
    home.put("work/.vscode/mcp.json", text);
    home.put("work/.cursor/mcp.json", cursor);
    home.put(".cursor/mcp.json", cursor);
    let told = home.run(&["wrap", "--yes"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert_eq!(
        told.stderr.matches("is left alone: all who work on the repository").count(),
        3,
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("`--project` changes it too"), "{}", told.stderr);
    assert!(told.stdout.contains("1 server in 1 file of 1 host"), "{}", told.stdout);
    assert_eq!(
        (home.text(PROJECT.0), home.text("work/.vscode/mcp.json")),
        (PROJECT.1.to_owned(), text.to_owned())
    );
    // Also one that is named, and where nothing else is there.
    let told = home.run(&["wrap", "--yes", "api"]);
    assert_eq!((told.code, &*told.stdout), (0, "nothing was changed\n"), "{}", told.stderr);
    assert_eq!(told.stderr.matches("is left alone").count(), 1, "{}", told.stderr);
    // What has nothing to change is not talked of.
    assert!(!home.run(&["unwrap", "--yes"]).stderr.contains("left alone"));

    let told = home.run(&["wrap", "--yes", "--project"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(
        told.stderr.contains("all who share it need the program too") && told.stderr.contains(PROJECT.0),
        "{}",
        told.stderr
    );
    for path in [PROJECT.0, "work/.vscode/mcp.json", "work/.cursor/mcp.json"] {
        let wrapped = home.text(path);
        assert!(
            wrapped.contains(r#""command": "mcp-supervise""#) && !wrapped.contains(program()),
            "{wrapped}"
        );
    }
    assert!(home.text(".cursor/mcp.json").contains(program()));
    let told = home.run(&["unwrap", "--yes"]);
    assert_eq!(told.stderr.matches("is left alone").count(), 3, "{}", told.stderr);
    home.done(&["unwrap", "--yes", "--project"]);
    assert_eq!(
        (home.text(PROJECT.0), home.text("work/.vscode/mcp.json")),
        (PROJECT.1.to_owned(), text.to_owned())
    );
    assert_eq!(
        (home.text("work/.cursor/mcp.json"), home.text(".cursor/mcp.json")),
        (cursor.to_owned(), cursor.to_owned())
    );
}

#[test]
fn a_config_that_is_named_as_a_file_is_asked_for_and_one_in_no_repository_is_the_users() {
    let home = Home::new();
    home.put(PROJECT.0, PROJECT.1);
    let told = home.run(&["wrap", "--yes", "--config", ".mcp.json"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stderr.contains("need the program too") && !home.text(PROJECT.0).contains(program()));
    home.done(&["unwrap", "--yes", "--config", ".mcp.json"]);
    assert_eq!(home.text(PROJECT.0), PROJECT.1);
    fs::remove_dir(home.path("work/.git")).expect("it is empty");
    home.done(&["wrap", "--yes"]);
    assert!(home.text(PROJECT.0).contains(program()));
    // What somebody keeps in a repository at home is not a project's.
    fs::create_dir(home.path(".git")).expect("it can be made");
    home.put(".cursor/mcp.json", r#"{"mcpServers": {"c": {"command": "x"}}}"#);
    home.done(&["wrap", "--yes", "--host", "cursor"]);
    assert!(home.text(".cursor/mcp.json").contains(program()));
}

#[test]
fn a_projects_config_that_leads_out_of_its_repository_is_refused() {
    let home = Home::new();
    let mine = home.put("mine.json", PROJECT.1);
    symlink(&mine, home.path(PROJECT.0)).expect("it can be made");
    for words in [&["wrap", "--yes", "--project"][..], &["wrap", "--yes", "--config", ".mcp.json"]] {
        let told = home.run(words);
        assert_eq!(told.code, 82, "{}{}", told.stdout, told.stderr);
        for words in ["it is a link to ", "mine.json, which is outside of the repository", "hint: "] {
            assert!(told.stderr.contains(words), "{words}: {}", told.stderr);
        }
    }
    // So is a folder of it.
    home.put("elsewhere/mcp.json", r#"{"mcpServers": {"c": {"command": "x"}}}"#);
    symlink(home.path("elsewhere"), home.path("work/.cursor")).expect("it can be made");
    assert_eq!(home.run(&["wrap", "--yes", "--project", "--host", "cursor"]).code, 82);
    assert!(
        !home.text("mine.json").contains("mcp-supervise")
            && !home.text("elsewhere/mcp.json").contains("mcp-supervise")
    );
    // One that stays inside is changed where it leads.
    fs::remove_file(home.path(PROJECT.0)).expect("it is there");
    home.put("work/conf/shared.json", PROJECT.1);
    symlink("conf/shared.json", home.path(PROJECT.0)).expect("it can be made");
    let told = home.done(&["wrap", "--yes", "--project", "--host", "claude-code"]);
    assert!(told.contains("work/.mcp.json -> ") && told.contains("work/conf/shared.json"), "{told}");
    assert!(home.text("work/conf/shared.json").contains("mcp-supervise"));
}

#[test]
fn all_is_summed_up_in_one_line() {
    let home = Home::full();
    let shown = home.done(&["wrap", "--dry-run", "--project"]);
    assert!(shown.ends_with("\n13 servers in 8 files of 7 hosts; 6 remote ones left alone\n"), "{shown}");
    let shown = home.done(&["wrap", "--dry-run", "git", "sentry"]);
    assert!(shown.ends_with("\n1 server in 1 file of 1 host; 1 remote one left alone\n"), "{shown}");
    home.put("c.json", r#"{"mcpServers": {"c": {"command": "x"}}}"#);
    let shown = home.done(&["wrap", "-y", "--config", "../c.json"]);
    assert!(shown.contains("\n1 server in 1 file\n"), "{shown}");
    assert!(home.done(&["unwrap", "-y", "--config", "../c.json"]).contains("\n1 server in 1 file\n"));
}

#[test]
fn a_program_that_will_vanish_is_warned_of() {
    let home = Home::new();
    home.put(".cursor/mcp.json", r#"{"mcpServers": {"c": {"command": "x"}}}"#);
    // Where programs are built, as that of this test.
    let told = home.run(&["wrap", "--dry-run"]);
    assert!(told.stderr.contains("will not be there for long: it is below"), "{}", told.stderr);
    // It does not matter where it is taken out.
    home.done(&["wrap", "--yes"]);
    assert!(!home.run(&["unwrap", "--dry-run"]).stderr.contains("for long"));
    home.put(PROJECT.0, PROJECT.1);
    let told = home.run(&["wrap", "--dry-run", "--project", "api"]);
    assert!(!told.stderr.contains("for long"), "others have it elsewhere: {}", told.stderr);
}
