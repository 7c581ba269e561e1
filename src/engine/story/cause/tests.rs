//! The table of signs, row by row, in the words of the programs that print them.

use super::{Cause, CommandLine, Ending, last_words, meaning, unexpanded};
use crate::engine::process::{Exit, SpawnFault};

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The cause of this exit of a command line, with these last words, before it has served.
fn ended(line: &str, exit: Exit, tail: &str) -> Cause {
    let words = words(line);
    Cause::of_end(
        Ending { exit: Some(exit), tail, served: false },
        CommandLine { words: &words, script: None },
    )
}

#[test]
fn what_a_registry_does_not_have_is_named() {
    let npm = "npm error code E404\nnpm error 404 Not Found - GET https://registry.npmjs.org/@a%2fserver - Not found\n\
               npm error 404  '@a/server@*' is not in this registry.\nnpm error A complete log of this run can be found in: /x";
    let old_npm =
        "npm ERR! code E404\nnpm ERR! 404 Not Found - GET https://r.example/server-nowhere - Not found\n";
    let target = "npm error code ETARGET\nnpm error notarget No matching version found for server@9.9.9.\n";
    // uv breaks its lines.
    let uv = "  \u{d7} No solution found when resolving tool dependencies:\n  \u{2570}\u{2500}\u{25b6} Because mcp-nowhere was not found in the\n      package registry and you require mcp-nowhere";
    let version = "No solution found when resolving tool dependencies: Because there is no version of server==9.9.9 and you require";
    let pip = "ERROR: Could not find a version that satisfies the requirement nowhere (from versions: none)\nERROR: No matching distribution found for nowhere\n";
    let docker = "Unable to find image 'a/b:latest' locally\ndocker: Error response from daemon: pull access denied for a/b, repository does not exist or may require 'docker login'";
    let bun = "error: GET https://registry.npmjs.org/nowhere - 404\n";
    for (line, tail, kind, name) in [
        ("npx -y @a/server", npm, "package", "@a/server"),
        ("npx server-nowhere", old_npm, "package", "server-nowhere"),
        ("npx server@9.9.9", target, "package", "server@9.9.9"),
        ("uvx mcp-nowhere", uv, "package", "mcp-nowhere"),
        ("uvx server==9.9.9", version, "package", "server==9.9.9"),
        ("pipx run nowhere", pip, "package", "nowhere"),
        ("docker run a/b", docker, "image", "a/b"),
        ("bunx nowhere", bun, "package", "nowhere"),
    ] {
        let cause = ended(line, Exit::Code(1), tail);
        assert_eq!(cause, Cause::NotInRegistry(kind, Some(name.to_owned())), "{line}");
        assert!(cause.is_permanent());
    }
    for tail in [
        "npm error code ECONNREFUSED",
        "GET https://api.example/users/1 - 404",
        "Temporary failure in name resolution\nERROR: No matching distribution found for nowhere",
        "the package registry is at https://r.example",
    ] {
        assert_eq!(ended("npx server", Exit::Code(1), tail), Cause::Ended, "{tail}");
    }
    // A server that had served says this of its own work.
    let words = words("npx server");
    let served = Ending { exit: Some(Exit::Code(1)), tail: npm, served: true };
    assert_eq!(Cause::of_end(served, CommandLine { words: &words, script: None }), Cause::Ended);
}

#[test]
fn a_carriage_return_at_the_end_of_a_line_is_seen() {
    for tail in [
        "env: 'node\\r': No such file or directory\nenv: use -[v]S to pass options in shebang lines",
        "/usr/bin/env: \u{2018}python3\\r\u{2019}: No such file or directory",
        "server.sh: line 2: $'\\r': command not found",
    ] {
        assert_eq!(ended("./server", Exit::Code(127), tail), Cause::LineEnds, "{tail}");
    }
    let words = words("./server");
    let command = CommandLine { words: &words, script: Some("/usr/bin/env node\r") };
    let ending = Ending { exit: Some(Exit::Code(127)), tail: "", served: false };
    assert_eq!(Cause::of_end(ending, command), Cause::LineEnds);
    let said = "./server: its interpreter /bin/sh\\r does not exist";
    assert_eq!(Cause::of_fault(SpawnFault::NotExecutable, said, command), Cause::LineEnds);
    let said = "./server: its interpreter /nowhere/node does not exist";
    assert_eq!(Cause::of_fault(SpawnFault::NotExecutable, said, command), Cause::NoInterpreter);
    assert_eq!(ended("./server", Exit::Code(127), "env: node: No such file"), Cause::NotFoundInside);
    assert_eq!(ended("sh -c ./x", Exit::Code(126), "x: Permission denied"), Cause::NotExecutableInside);
}

#[test]
fn a_whole_command_line_in_one_word_is_parted() {
    let cause = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Cause::of_fault(SpawnFault::NotFound, "", CommandLine { words: &words, script: None })
    };
    for (words, right) in [
        (&["npx -y @a/server"][..], r#""command": "npx", "args": ["-y","@a/server"]"#),
        (&["npx -y", "server", "a b"], r#""command": "npx", "args": ["-y","server","a b"]"#),
        (&["/usr/bin/node server.js"], r#""command": "/usr/bin/node", "args": ["server.js"]"#),
        (&["/usr/bin/npx -y server"], r#""command": "/usr/bin/npx", "args": ["-y","server"]"#),
        (&["server /srv/notes"], r#""command": "server", "args": ["/srv/notes"]"#),
        (&["python3.12 -m server"], r#""command": "python3.12", "args": ["-m","server"]"#),
    ] {
        assert_eq!(cause(words), Cause::WholeLine(right.to_owned()), "{words:?}");
    }
    for words in [
        &["/Applications/My App/server"][..],
        &["/Applications/My App/server --x"],
        &["/opt/x/server --stdio"],
        &["npx", "-y server"],
        &["./My Server"],
        &[""],
        &[],
    ] {
        assert_eq!(cause(words), Cause::NotFound, "{words:?}");
    }
    assert_eq!(cause(&["~/bin/server"]), Cause::UnexpandedCommand("~/".to_owned()));
    let folder = "${workspaceFolder}";
    assert_eq!(cause(&[&format!("{folder}/server")]), Cause::UnexpandedCommand(folder.to_owned()));
}

#[test]
fn a_whole_command_line_is_parted_after_the_program_that_exists() {
    for (line, program, right) in [
        ("/opt/x/server --stdio", "/opt/x/server", r#""command": "/opt/x/server", "args": ["--stdio"]"#),
        (
            "/Applications/My App/server --x /y",
            "/Applications/My App/server",
            r#""command": "/Applications/My App/server", "args": ["--x","/y"]"#,
        ),
    ] {
        let words = [line.to_owned()];
        let fault = SpawnFault::WholeLine(program.len());
        let cause = Cause::of_fault(fault, "", CommandLine { words: &words, script: None });
        assert_eq!(cause, Cause::WholeLine(right.to_owned()), "{line}");
    }
}

#[test]
fn what_nothing_has_expanded_is_seen() {
    for (word, what) in [
        ("${workspaceFolder}/data", Some("${workspaceFolder}")),
        ("--root=${env:HOME}/x", Some("${env:HOME}")),
        ("~/notes", Some("~/")),
        ("--root=~/notes", Some("~/")),
        ("$HOME/notes", Some("$HOME")),
        ("--root=$HOME", Some("$HOME")),
        ("%APPDATA%\\notes", Some("%APPDATA%")),
        ("~", Some("~")),
        ("a~b", None),
        ("100%", None),
        ("50%-60%", None),
        ("$1.50", None),
        ("${", None),
        ("pa$WORD", None),
        ("^x$", None),
    ] {
        assert_eq!(unexpanded(word), what, "{word}");
    }
    let argument = |line: &str| ended(line, Exit::Code(1), "");
    assert_eq!(argument("npx server ~/notes"), Cause::UnexpandedArgument("~/".to_owned()));
    assert_eq!(argument("docker run -e ROOT=${HOME} x"), Cause::UnexpandedArgument("${HOME}".to_owned()));
    // A shell and an interpreter expand it themselves.
    for line in ["sh -c server;${X}", "bash -lc exec${X}", "node -e `${x}`", "npx server /notes"] {
        assert_eq!(argument(line), Cause::Ended, "{line}");
    }
    assert!(!argument("npx server ~/notes").is_permanent(), "it may have ended for another reason");
}

#[test]
fn a_server_that_says_why_it_ended_is_believed_before_its_arguments() {
    for (line, what) in [("npx server ~/notes", "~/"), ("npx server --log-format ${time}", "${time}")] {
        let cause = ended(line, Exit::Code(1), "Error: API key is not set\n");
        assert_eq!(cause, Cause::PerhapsUnexpanded(what.to_owned()));
        assert!(!cause.is_permanent());
        assert_eq!(cause.clause("it exited with code 1".to_owned()), "it exited with code 1");
        let hint = cause.hint("npx server").unwrap();
        let (words, condition) = (hint.find("last output"), hint.find("If it"));
        assert!(words.is_some() && words < condition && hint.contains(what), "{hint}");
    }
}

#[test]
fn a_code_of_a_shell_names_a_cause_only_with_words_that_do() {
    for tail in [
        "env: node: No such file or directory",
        "sh: 1: node: not found",
        "run: line 2: uv: command not found",
    ] {
        assert_eq!(ended("./server", Exit::Code(127), tail), Cause::NotFoundInside, "{tail}");
    }
    for tail in ["x: Permission denied", "sh: 1: x: Exec format error", "bash: /srv: Is a directory"] {
        assert_eq!(ended("./server", Exit::Code(126), tail), Cause::NotExecutableInside, "{tail}");
    }
    for tail in ["", "Error: API key is not set"] {
        for code in [126, 127] {
            let cause = ended("./server", Exit::Code(code), tail);
            assert_eq!(cause, Cause::Ended, "{code} {tail}");
            assert!(!cause.is_permanent());
        }
    }
}

#[test]
fn a_code_of_a_launcher_that_stands_for_a_signal_is_told_as_the_signal() {
    for (line, script, code, meant) in [
        ("sh -c server", None, 137, Exit::Signal(9)),
        ("/usr/bin/npx -y server", None, 143, Exit::Signal(15)),
        ("npm exec server", None, 139, Exit::Signal(11)),
        ("env A=b npx server", None, 137, Exit::Signal(9)),
        ("setsid -w bash run.sh", None, 134, Exit::Signal(6)),
        ("docker run x", None, 137, Exit::Signal(9)),
        ("./start", Some("/bin/sh -e"), 137, Exit::Signal(9)),
        ("./start", Some("/usr/bin/env bash"), 137, Exit::Signal(9)),
        // What is no launcher has codes of its own.
        ("python3 server.py", None, 137, Exit::Code(137)),
        ("node server.js", None, 137, Exit::Code(137)),
        ("./start", Some("/usr/bin/env node"), 137, Exit::Code(137)),
        ("./start", None, 137, Exit::Code(137)),
        // What is no signal that ends processes stays a code.
        ("sh -c server", None, 128, Exit::Code(128)),
        ("sh -c server", None, 127, Exit::Code(127)),
        ("sh -c server", None, 145, Exit::Code(145)),
        ("sh -c server", None, 255, Exit::Code(255)),
        ("sh -c server", None, 1, Exit::Code(1)),
    ] {
        let words = words(line);
        let command = CommandLine { words: &words, script };
        assert_eq!(meaning(Exit::Code(code), command), meant, "{line} {script:?} {code}");
        assert_eq!(meaning(Exit::Signal(9), command), Exit::Signal(9));
    }
}

#[test]
fn last_words_are_the_same_whatever_the_time_and_the_process() {
    let run = |time: &str, pid: u32| {
        format!("started\n[{time}] Error: no key\n    at 0x{pid:x} (/x.js:3)\n\nNode.js v22.1.0 pid={pid}\n")
    };
    assert_eq!(
        last_words(&run("2026-11-30T05:48:36Z", 4711)),
        last_words(&run("2026-11-30T05:49:01Z", 4801))
    );
    assert_ne!(
        last_words("Error: no key\nNode.js v22.1.0\n"),
        last_words("Error: no port\nNode.js v22.1.0\n")
    );
    assert_eq!(last_words(""), "");
}
