//! What is written about the command line is what the command line does: the man page in the tree, and the README.
//!
//! Write the man page anew with `SNAPSHOTS=overwrite cargo test --test it man`.

use mcp_supervise::cli;
use snapbox::Data;
use snapbox::assert::Assert;
use snapbox::cmd::Command;

#[test]
fn the_page_in_the_tree_is_current() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/man/mcp-supervise.1");
    let printed = Command::new(env!("CARGO_BIN_EXE_mcp-supervise")).arg("man").output().unwrap();
    assert!(printed.status.success());
    Assert::new()
        .action_env("SNAPSHOTS")
        .normalize_paths(false)
        .eq(printed.stdout, Data::read_from(page.as_ref(), Some(snapbox::data::DataFormat::Text)).raw());
}

#[test]
fn the_readme_has_every_option_with_its_default() {
    let readme = include_str!("../../README.md");
    let (before, check) = readme.split_once("## Is this server sound?").expect("there is such a section");
    let (check, after) = check.split_once("\n## ").expect("another one follows");
    let definitions = cli::definitions();
    let of_run: Vec<_> = definitions.get_opts().filter(|option| option.get_env().is_some()).collect();
    let of_check = definitions.find_subcommand("check").expect("there is one").get_opts().collect();
    rows_are(&[before, after].concat(), of_run);
    rows_are(check, of_check);
}

/// Whether these options are the rows of a text's tables, each with its value and its default.
fn rows_are(text: &str, options: Vec<&clap::Arg>) {
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `--")).collect();
    assert_eq!(rows.len(), options.len());
    for (row, option) in rows.iter().zip(options) {
        let (long, valued) = (option.get_long().unwrap_or_default(), option.get_action().takes_values());
        let value = option.get_value_names().filter(|_| valued).map(|names| format!(" {}", names[0]));
        let default = option.get_default_values().first().filter(|_| valued);
        let default = default.map(|default| format!("`{}` |", default.display()));
        let start = format!("| `--{long}{}` | {}", value.unwrap_or_default(), default.unwrap_or_default());
        assert!(row.starts_with(&start), "`{row}` should start with `{start}`");
    }
}
