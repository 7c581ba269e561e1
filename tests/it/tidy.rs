//! The source tree itself: who may import whom, and the habits that no lint knows.
//!
//! The table [`ROOMS`] is the architecture. A new room needs a row; a new import that breaks a row needs another design,
//! or a reason to change the architecture. Code for tests may import more, and the simulator in the engine may too, but
//! for clocks and I/O.

mod rooms;
mod scan;

use std::fs;
use std::path::Path;

use rooms::{HOMES, ROOMS, Room, SIMULATOR};
use scan::scan;

const LONGEST_FILE: usize = 600;

/// A file of the tree: its path from the top, and its text.
type File = (String, String);

#[test]
fn the_tree_keeps_its_rules() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "fixtures", "benches"] {
        collect(top, Path::new(folder), &mut files);
    }
    assert!(files.iter().any(|(path, _)| path == "src/engine/mod.rs"), "the tree was not found");
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    let broken = [shapes(&files), imports(&files, &crates(&manifest))].concat();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// All text files below a folder, in an order that does not depend on the machine.
fn collect(top: &Path, folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(top.join(folder)) else { return };
    let mut names: Vec<_> = entries.map(|entry| entry.expect("a readable folder").file_name()).collect();
    names.sort();
    for name in names {
        let path = folder.join(name);
        if path.ends_with("node_modules") {
            // What others have written is theirs.
            continue;
        }
        if top.join(&path).is_dir() {
            collect(top, &path, files);
        } else if let Ok(text) = fs::read_to_string(top.join(&path)) {
            files.push((path.display().to_string(), text));
        }
    }
}

/// The crates that Cargo.toml names, as they are written in code.
fn crates(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            names.push(name.trim().replace('-', "_"));
        }
    }
    names
}

/// How files begin and how long they are.
fn shapes(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in files {
        let lines = text.lines().count();
        // Files that a tool generates are not read from top to bottom, and a standard is as long as it is.
        let is_given = path.ends_with("/package-lock.json") || path.starts_with("fixtures/schemas/");
        if lines > LONGEST_FILE && !is_given {
            broken.push(format!("{path}: {lines} lines, more than {LONGEST_FILE}: two things in one room"));
        }
        if is_rust(path) && !text.starts_with("//!") {
            broken
                .push(format!("{path}:1: starts without `//!`: what is it for, and what must it never do?"));
        }
    }
    broken
}

/// What files name that they must not.
fn imports(files: &[File], crates: &[String]) -> Vec<String> {
    let sources: Vec<_> = files.iter().filter(|(path, _)| is_rust(path)).collect();
    let scans: Vec<_> =
        sources.iter().map(|(path, text)| (path, module(path), scan(text, &module(path)))).collect();
    let test_modules: Vec<_> = scans.iter().flat_map(|(_, _, scan)| &scan.test_modules).collect();
    let mut broken = Vec::new();
    for (path, module, scan) in &scans {
        let for_tests = !path.starts_with("src/") || test_modules.iter().any(|test| module.starts_with(test));
        let mut breaks = |line: usize, what: String| broken.push(format!("{path}:{line}: {what}"));
        for (line, named) in &scan.paths {
            for (name, homes) in HOMES {
                if begins(&named.join("::"), name) && !homes.contains(&path.as_str()) && !for_tests {
                    breaks(*line, format!("names `{name}`, which only {} may", homes.join(" and ")));
                }
            }
        }
        let room = room(module);
        let room = match (for_tests, &room) {
            (false, room) => *room,
            (true, Some(Room { name: "engine", .. })) if path.starts_with("src/") => Some(&SIMULATOR),
            (true, _) => continue,
        };
        let Some(room) = room else {
            if path.as_str() != "src/lib.rs" {
                breaks(1, "is in no room of the table in tests/it/tidy.rs".to_owned());
            }
            continue;
        };
        for (line, named) in &scan.paths {
            if let Some(what) = room.refuses(named, crates) {
                breaks(*line, what);
            }
        }
        for (line, word, called) in &scan.words {
            if room.pure.contains(&word.as_str()) && word.starts_with(char::is_uppercase) {
                breaks(*line, format!("names `{word}`, and {} must not know the time", room.name));
            }
            let prints = ["print", "println", "eprint", "eprintln", "dbg"].contains(&word.as_str());
            if prints && *called && path.as_str() != "src/report.rs" && !for_tests {
                breaks(*line, format!("prints with `{word}!`; only src/report.rs does"));
            }
        }
    }
    broken
}

impl Room {
    /// Why it must not name this path. `None` when it may.
    fn refuses(&self, named: &[String], crates: &[String]) -> Option<String> {
        let text = named.join("::");
        let name = self.name;
        if let Some(ours) = text.strip_prefix("crate::") {
            let allowed = begins(ours, name) || self.ours.iter().any(|may| *may == "*" || begins(ours, may));
            let everything = ours.strip_suffix("::*").unwrap_or(ours);
            let hidden = |but: &&str| begins(ours, but) || ours.ends_with('*') && begins(but, everything);
            return (!allowed || self.but.iter().any(hidden)).then(|| format!("{name} names `{text}`"));
        }
        let std = named.len() > 1 && ["std", "core", "alloc"].contains(&named[0].as_str());
        if std && self.pure.contains(&named[1].as_str()) {
            return Some(format!("{name} names `{text}`, and does no such thing itself"));
        }
        let known = crates.contains(&named[0]);
        let allowed = self.crates.iter().any(|may| *may == "*" || named[0] == *may);
        (known && !allowed).then(|| format!("{name} names the crate `{}`", named[0]))
    }
}

/// Whether a path is this one, or below it.
fn begins(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|suffix| suffix == "rs")
}

/// `src/engine/io.rs` is `["engine", "io"]`, `src/lib.rs` the root.
fn module(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let inner = inner.trim_end_matches(".rs").trim_end_matches("/mod");
    if inner == "lib" { Vec::new() } else { inner.split('/').map(str::to_owned).collect() }
}

fn room(module: &[String]) -> Option<&'static Room> {
    let path = module.join("::");
    ROOMS.iter().filter(|room| begins(&path, room.name)).max_by_key(|room| room.name.len())
}

/// What is found in a tree of these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let crates =
        ["proptest", "tokio", "nix", "tracing", "bytes", "backoff", "clap", "anstream"].map(str::to_owned);
    let files: Vec<File> = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    [shapes(&files), imports(&files, &crates)].concat()
}

#[test]
fn what_breaks_a_rule_is_found() {
    for (path, text, what) in [
        ("src/wire.rs", "use crate::engine::Gen;", "wire names `crate::engine::Gen`"),
        ("src/wire/line.rs", "fn f() { super::super::engine::io::f() }", "wire names `crate::engine::io::f`"),
        (
            "src/child.rs",
            "use crate::{wire::Line, engine::{io::Gen, Engine}};",
            "child names `crate::engine::Engine`",
        ),
        (
            "src/child.rs",
            "use crate::engine;\nfn f(_: engine::Engine) {}",
            ":3: child names `crate::engine::Engine`",
        ),
        (
            "src/child.rs",
            "use crate::engine::{self as brain};\nfn f(_: brain::Engine) {}",
            "`crate::engine::Engine`",
        ),
        ("src/child.rs", "use crate::engine::*;", "child names `crate::engine::*`"),
        ("src/child.rs", "use crate::command::name::name;", "child names `crate::command::name::name`"),
        ("src/child.rs", "mod a { use super::super::token::T; }", "child names `crate::token::T`"),
        ("src/stream.rs", "use crate::wire::Line;", "stream names `crate::wire::Line`"),
        ("src/lastgood/x.rs", "use crate::engine::Engine;", "lastgood names `crate::engine::Engine`"),
        ("src/lastgood/format.rs", "use std::fs;", "lastgood::format names `std::fs`"),
        ("src/command/demo.rs", "use super::run::go;", "command::demo names `crate::command::run::go`"),
        ("src/command/name.rs", "use crate::cli::Run;", "command::name names `crate::cli::Run`"),
        ("src/report.rs", "use tokio::io;", "report names the crate `tokio`"),
        ("src/engine/x.rs", "use tokio::time::sleep;", "engine names the crate `tokio`"),
        ("src/engine/x.rs", "fn f() { ::tracing::warn!(\"x\") }", "engine names the crate `tracing`"),
        ("src/engine/x.rs", "use std::{fmt, fs::File};", "engine names `std::fs::File`"),
        ("src/engine/x.rs", "fn f() { std::process::exit(1) }", "engine names `std::process::exit`"),
        ("src/engine/x.rs", "use std::net as n;", "engine names `std::net`"),
        ("src/engine/x.rs", "use std::time::{Duration, Instant};", "must not know the time"),
        ("src/engine/x.rs", "fn f(_: &std::time::SystemTime) {}", "must not know the time"),
        ("src/engine/x.rs", "use backoff::ExponentialBackoff;", "names `backoff`"),
        ("src/engine/mod.rs", "mod backoff;\nfn f() { ::backoff::f() }", "names `backoff`"),
        ("src/child.rs", "fn f() { backoff::f() }", "names `backoff`"),
        ("src/child.rs", "use std::io;\nfn f() { io::stdout(); }", "names `std::io::stdout`"),
        (
            "src/child.rs",
            "use std::thread;\nfn f() { thread::Builder::new(); }",
            "names `std::thread::Builder`",
        ),
        ("src/child.rs", "fn f() { std::thread::spawn(|| ()); }", "names `std::thread::spawn`"),
        ("src/child.rs", "use tokio::task::spawn_blocking;", "names `tokio::task::spawn_blocking`"),
        ("src/child.rs", "fn f() { println!(\"x\") }", "prints with `println!`"),
        ("src/attic.rs", "", "no room of the table"),
        ("src/engine/x.rs", "/* a /* b */ ' */ use tokio::x; // \"", "engine names the crate `tokio`"),
        ("src/engine/x.rs", "const A: &str = r#\"\"//\"#; use tokio::x;", "engine names the crate `tokio`"),
        ("src/engine/x.rs", "const A: char = '\"'; use tokio::x;", "engine names the crate `tokio`"),
        ("src/engine/x.rs", "fn f<'a>(_: &'a str) { tokio::x() }", "engine names the crate `tokio`"),
        ("src/engine/x.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nuse tokio::x;", ":4: engine names"),
        ("src/engine/x.rs", "#[cfg(test)]\nuse a::{b};\nuse tokio::x;", "engine names the crate"),
        ("src/engine/x.rs", "#[cfg(not(test))]\nuse tokio::x;", "engine names the crate"),
        ("src/engine/x.rs", "struct A { #[cfg(test)] b: u8, c: tokio::X }", "engine names the crate"),
    ] {
        let found = found(&[(path, &format!("//! A room.\n{text}\n"))]);
        assert!(found.iter().any(|line| line.contains(what)), "{path}: {text}: {found:?}");
    }
}

#[test]
fn what_keeps_the_rules_is_let_through() {
    for (path, text) in [
        ("src/wire.rs", "use bytes::Bytes; use self::line::Line; use crate::wire::id::Id; mod line;"),
        ("src/engine/x.rs", "use std::time::Duration; use super::io::Gen; use crate::wire::Line;"),
        ("src/engine/x.rs", "use super::backoff::Delay; use super::backoff; fn f() { backoff::f() }"),
        ("src/engine/backoff.rs", "use backoff::ExponentialBackoff;"),
        ("src/engine/mod.rs", "mod backoff; use self::backoff::Delay; fn f() { backoff::f() }"),
        (
            "src/engine/x.rs",
            "// use tokio::x;\n/* Instant */ const A: &str = \"std::fs::File\"; /// `tokio::x`\n",
        ),
        ("src/engine/x.rs", "#[cfg(test)]\nmod tests { use tokio::x; use std::fs; fn f() { println!() } }"),
        ("src/engine/x.rs", "#[cfg(test)]\n#[expect(dead_code)]\npub(crate) use crate::child::{x, y};"),
        ("src/engine/x.rs", "fn f(x: X) { x.tokio.y(); x.std().fs() }"),
        ("src/child.rs", "use crate::engine::io::{Gen, Exit}; use crate::{stream, wire}; use tokio::x;"),
        ("src/command/run.rs", "use super::name; use crate::{child, engine::Engine};"),
        ("src/command/mod.rs", "pub mod name; pub mod run;"),
        ("src/lib.rs", "pub mod engine;"),
        ("src/main.rs", "use mcp_supervise::cli;"),
        ("tests/it/main.rs", "use tokio::x; fn f() { println!() }"),
    ] {
        let found = found(&[(path, &format!("//! A room.\n{text}\n"))]);
        assert!(found.is_empty(), "{path}: {text}: {found:?}");
    }
}

#[test]
fn the_simulator_may_import_more_and_does_no_io() {
    let engine = ("src/engine/mod.rs", "//! A room.\n#[cfg(test)]\nmod sim;\n");
    let fine =
        "//! A test.\nuse proptest::x; use crate::command::name; use std::env::var; fn f() { println!() }\n";
    assert!(found(&[engine, ("src/engine/sim.rs", fine), ("src/engine/sim/host.rs", fine)]).is_empty());
    for bad in ["use std::fs;", "use tokio::x;", "fn f() { std::time::Instant::now() }"] {
        let found = found(&[engine, ("src/engine/sim/host.rs", &format!("//! A test.\n{bad}\n"))]);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
    }
}

#[test]
fn long_files_and_files_without_a_header_are_found() {
    let long = format!("//! A room.\n{}", "\n".repeat(LONGEST_FILE));
    assert!(found(&[("fixtures/a.txt", &long)])[0].contains("601 lines"));
    assert!(found(&[("fixtures/a.txt", &long[..LONGEST_FILE])]).is_empty());
    assert!(found(&[("tests/real/package-lock.json", &long)]).is_empty());
    assert!(found(&[("tests/it/x.rs", "// A test.\n")])[0].contains("starts without"));
}
