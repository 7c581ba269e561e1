//! What a server is called when nobody has named it: the package, script or image that its command runs.
//!
//! A pure function on the words of the command. Runners (`npx`, `uv run`, `docker run`, `sh -c`) are a table of data:
//! their options, which of them take a value, and what the first other word is. The name is shown in logs and answers,
//! so it must never hold a secret: it comes from a word in the package's or script's place and never from the value of
//! an option. An option that the table does not know might take the next word as its value, so the name is the
//! runner's own then.

use std::ffi::OsString;
use std::path::Path;

/// The name for a server that is started with these words. Never empty.
pub fn name(argv: &[OsString]) -> String {
    let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    command(&words).unwrap_or_else(|| "server".to_owned())
}

/// A program that runs another.
struct Runner {
    /// Their file names, with blanks between them, as in all lists here.
    programs: &'static str,
    /// What it runs, after which words of its own. No words: without any.
    verbs: &'static [(&'static [&'static str], Takes)],
    /// Options without a value. A last `*` stands for any ending.
    flags: &'static str,
    /// Options with a value.
    valued: &'static str,
    /// Options whose value is what is run.
    picks: &'static [(&'static str, Takes)],
}

/// What the word that decides is.
#[derive(Clone, Copy)]
enum Takes {
    /// A package, perhaps with scope, version, extras or a URL: `@scope/name@1.2`.
    Package,
    /// A file, or the URL of one.
    Script,
    /// A container image: `registry/name:tag`.
    Image,
    /// A Python module.
    Module,
    /// A command of its own, to its end.
    Command,
    /// A command line in one word.
    Shell,
}

use Takes::{Command, Image, Module, Package, Script, Shell};

const RUNNERS: &[Runner] = &[
    Runner {
        programs: "npx bunx pnpx",
        verbs: &[(&[], Package)],
        flags: NODE_PACKAGE_FLAGS,
        valued: NODE_PACKAGE_VALUED,
        picks: &[],
    },
    Runner {
        programs: "npm pnpm yarn",
        verbs: &[(&["exec"], Package), (&["x"], Package), (&["dlx"], Package)],
        flags: NODE_PACKAGE_FLAGS,
        valued: NODE_PACKAGE_VALUED,
        picks: &[],
    },
    Runner { programs: "uvx", verbs: &[(&[], Package)], flags: UV_FLAGS, valued: UV_VALUED, picks: &[] },
    Runner {
        programs: "uv",
        verbs: &[(&["run"], Command), (&["tool", "run"], Package)],
        flags: UV_FLAGS,
        valued: UV_VALUED,
        picks: &[("-m", Module), ("--module", Module), ("-s", Script), ("--script", Script)],
    },
    Runner {
        programs: "pipx",
        verbs: &[(&["run"], Package)],
        flags: "-q --quiet -v --verbose --no-cache",
        valued: "--spec --with --python -i --index-url --pip-args",
        picks: &[],
    },
    Runner {
        programs: "node nodejs tsx ts-node",
        verbs: &[(&[], Script), (&["watch"], Script)],
        flags: "--no-* --experimental-* --enable-source-maps --watch --inspect --inspect-brk --trace-* \
            --use-* --esm -T",
        valued: "-r --require --import --loader --experimental-loader -C --conditions --env-file \
            --env-file-if-exists --tsconfig -P --project",
        picks: &[],
    },
    Runner {
        programs: "bun",
        verbs: &[(&[], Script), (&["run"], Script), (&["x"], Package)],
        flags: "--bun -b --watch --hot --smol --silent -i --no-install --inspect",
        valued: "-r --preload --cwd --env-file -c --config --tsconfig-override",
        picks: &[],
    },
    Runner {
        programs: "deno",
        verbs: &[(&["run"], Script)],
        flags: "-A -q --quiet -r --reload --watch --allow-* --deny-* --no-* --unstable* --cached-only \
            --frozen",
        valued: "-c --config --import-map --lock --cert --seed -L --log-level",
        picks: &[],
    },
    Runner {
        programs: "python",
        verbs: &[(&[], Script)],
        flags: "-u -B -E -I -O -P -s -S -v -q -b -d",
        valued: "-W -X --check-hash-based-pycs",
        picks: &[("-m", Module)],
    },
    Runner {
        programs: "mcp fastmcp",
        verbs: &[(&["run"], Script)],
        flags: "--no-banner --skip-env --reload",
        valued: "-t --transport --host --port -p --path -l --log-level --with",
        picks: &[],
    },
    Runner {
        programs: "docker podman nerdctl",
        verbs: &[(&["run"], Image), (&["container", "run"], Image)],
        flags: CONTAINER_FLAGS,
        valued: CONTAINER_VALUED,
        picks: &[],
    },
    Runner {
        programs: "sh bash dash zsh ksh",
        verbs: &[(&[], Script)],
        flags: "-l -i -e -u -x -f --login --norc --noprofile --posix",
        valued: "-o -O --rcfile --init-file",
        picks: &[("-c", Shell)],
    },
    Runner {
        programs: "env",
        verbs: &[(&[], Command)],
        flags: "-i --ignore-environment -v --debug",
        valued: "-u --unset -C --chdir",
        picks: &[("-S", Shell), ("--split-string", Shell)],
    },
];

const NODE_PACKAGE_FLAGS: &str = "\
    -y --yes --no --no-install --ignore-existing -q --quiet -s --silent --verbose --bun --offline \
    --prefer-offline --prefer-online --allow-build";

const NODE_PACKAGE_VALUED: &str = "\
    -p --package -c --call --registry --cache --prefix --userconfig -w --workspace --loglevel -C \
    --dir --cwd";

const UV_FLAGS: &str = "\
    -q --quiet -v --verbose -n -U --upgrade --no-* --all-* --isolated --offline --refresh \
    --reinstall --native-tls --system-certs --active --exact --frozen --locked --dev \
    --managed-python --gui-script";

const UV_VALUED: &str = "\
    --from -w --with --with-editable --with-requirements -c --constraints -p --python -i --index \
    --index-url --default-index --extra-index-url -f --find-links --index-strategy \
    --keyring-provider -P --upgrade-package --refresh-package --prerelease --resolution \
    --exclude-newer --link-mode --cache-dir --directory --project --package --env-file --config-file \
    --color --extra --group --only-group --no-extra --no-group --no-binary-package \
    --no-build-package";

const CONTAINER_FLAGS: &str = "\
    -i -t -d -q -P -D --interactive --tty --detach --quiet --publish-all --debug --rm --init \
    --privileged --read-only --no-healthcheck --replace --tls --tlsverify";

const CONTAINER_VALUED: &str = "\
    -a --attach -c --context --config -e --env --env-file -h --hostname -H --host -l --label \
    --label-file --log-level --log-driver --log-opt -m --memory --memory-swap -p --publish --expose \
    -u --user --userns -v --volume --volumes-from --mount --tmpfs --shm-size -w --workdir --name \
    --network --net --network-alias --add-host --dns --ip --ipc --pid --pids-limit --cpus \
    --cpu-shares --cpuset-cpus --gpus --device --cap-add --cap-drop --security-opt --group-add \
    --ulimit --sysctl --platform --pull --runtime --restart --entrypoint --cidfile --secret \
    --stop-signal --stop-timeout --annotation";

/// The name for a command: what its program runs, else the program's own file name. `None` when there is no word.
fn command(words: &[&str]) -> Option<String> {
    let program = file_name(words.first()?)?;
    let kind = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let known = if kind == "python" { kind } else { program };
    let runner = RUNNERS.iter().find(|runner| lists(runner.programs, known));
    runner
        .and_then(|runner| behind(runner, &words[1..]))
        .or_else(|| Some(program.chars().map(|c| if c.is_control() { '?' } else { c }).collect()))
}

/// What a runner with these words runs. `None` when that cannot be told for sure.
fn behind(runner: &Runner, words: &[&str]) -> Option<String> {
    let mut verb: Vec<&str> = Vec::new();
    let mut at = 0;
    let mut options = true;
    while let Some(&word) = words.get(at) {
        at += 1;
        if options && word == "--" {
            options = false;
            continue;
        }
        if options && word.len() > 1 && word.starts_with('-') {
            match runner.option(word)? {
                Reach::Alone => {}
                Reach::WithNext => at += 1,
                Reach::Picks(takes) => return take(takes, &words[at..]),
            }
            continue;
        }
        let longer = |path: &&[&str]| path.starts_with(&verb) && path.get(verb.len()) == Some(&word);
        if runner.verbs.iter().any(|(path, _)| longer(path)) {
            verb.push(word);
            continue;
        }
        let (_, takes) = runner.verbs.iter().find(|(path, _)| *path == verb)?;
        return take(*takes, &words[at - 1..]);
    }
    None
}

/// What an option does to the words behind it.
enum Reach {
    /// Nothing: it has no value, or brings it along.
    Alone,
    /// The next word is its value.
    WithNext,
    /// The next word is what is run.
    Picks(Takes),
}

impl Runner {
    /// `None` for an option that the table does not know.
    fn option(&self, word: &str) -> Option<Reach> {
        if word.starts_with("--") {
            // With `=` it brings its value along, whatever it is.
            return if word.contains('=') { Some(Reach::Alone) } else { self.known(word) };
        }
        let last = word.char_indices().next_back()?.0;
        for (at, letter) in word.char_indices().skip(1) {
            match self.known(&format!("-{letter}"))? {
                Reach::Alone => {}
                with_value if at == last => return Some(with_value),
                Reach::WithNext => return Some(Reach::Alone),
                Reach::Picks(_) => return None,
            }
        }
        Some(Reach::Alone)
    }

    fn known(&self, option: &str) -> Option<Reach> {
        if let Some((_, takes)) = self.picks.iter().find(|(known, _)| *known == option) {
            return Some(Reach::Picks(*takes));
        }
        if lists(self.valued, option) {
            return Some(Reach::WithNext);
        }
        lists(self.flags, option).then_some(Reach::Alone)
    }
}

/// The name in the first of these words.
fn take(takes: Takes, words: &[&str]) -> Option<String> {
    let word = words.first()?;
    match takes {
        Package => package(word),
        Script => script(word),
        Image => clean(image(word)),
        Module => clean(word),
        Command => {
            let words = &words[words.iter().take_while(|word| is_assignment(word)).count()..];
            let word = words.first()?;
            if has_script_suffix(word) { script(word) } else { command(words) }
        }
        Shell => shell(word),
    }
}

/// `@scope/name@1.2`, `name[extra]==1.2`, `github:owner/name#main`, `https://host/name.git`, or a path.
fn package(word: &str) -> Option<String> {
    let path = without_url(word)?;
    // The first character is left out of the search for a version: it may be a scope's `@`.
    let version = path.char_indices().skip(1).find(|(_, c)| "@=<>~![; ".contains(*c)).map(|(at, _)| at);
    let path = path[..version.unwrap_or(path.len())].trim_end_matches('/');
    let name = path.rsplit('/').next()?;
    clean(name.strip_suffix(".git").unwrap_or(name))
}

/// A file without its suffix. One that is called like every other (`dist/index.js`) gets the name of its project's
/// directory.
fn script(word: &str) -> Option<String> {
    const EVERYONES: &[&str] = &["index", "main", "server", "cli", "app", "mod", "__main__"];
    const LAYOUT: &[&str] = &["dist", "build", "out", "src", "lib", "bin", "js", "esm", "cjs", ".", ".."];
    if word.starts_with("npm:") || word.starts_with("jsr:") {
        return package(word);
    }
    let path = without_url(word)?;
    // `mcp run server.py:app` names an object in the file.
    let path = path.rsplit_once(':').map_or(path, |(file, _)| file);
    let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
    let file = parts.next()?;
    let stem = Path::new(file).file_stem()?.to_str()?;
    let project = parts.find(|part| !LAYOUT.contains(part)).filter(|_| EVERYONES.contains(&stem));
    project.and_then(clean).or_else(|| clean(stem))
}

/// `ghcr.io:443/owner/name:tag@sha256:...` is `name`.
fn image(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    name.split(['@', ':']).next().unwrap_or(name)
}

/// The last command of a command line, when it is made of plain words; what is before it is preparation.
fn shell(line: &str) -> Option<String> {
    if line.contains(['\'', '"', '`', '$', '\\', '|', '(', '<', '>']) {
        return None;
    }
    let last = line.split([';', '&', '\n']).rev().find(|part| !part.trim().is_empty())?;
    let words: Vec<&str> =
        last.split_whitespace().skip_while(|word| is_assignment(word) || *word == "exec").collect();
    command(&words)
}

/// The path in a URL or a package specifier, without user, host, query and fragment, any of which may hold a secret.
fn without_url(word: &str) -> Option<&str> {
    let word = word.split(['?', '#']).next()?;
    if let Some((_, rest)) = word.split_once("://") {
        return rest.split_once('/').map(|(_, path)| path).filter(|path| !path.is_empty());
    }
    let prefixes = ["npm:", "jsr:", "github:", "gitlab:"];
    Some(prefixes.iter().find_map(|prefix| word.strip_prefix(prefix)).unwrap_or(word))
}

/// Whether a list with blanks between its words holds this one. A last `*` stands for any ending.
fn lists(words: &str, wanted: &str) -> bool {
    words.split(' ').any(|word| match word.strip_suffix('*') {
        Some(start) => wanted.starts_with(start),
        None => word == wanted,
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn has_script_suffix(word: &str) -> bool {
    Path::new(word).extension().is_some_and(|suffix| suffix == "py" || suffix == "js" || suffix == "ts")
}

fn file_name(word: &str) -> Option<&str> {
    Path::new(word).file_name()?.to_str()
}

/// The word if it reads like a name.
fn clean(name: &str) -> Option<String> {
    let fine = |c: char| c.is_alphanumeric() || "._+-".contains(c);
    let readable = name.chars().any(char::is_alphanumeric) && name.chars().all(fine) && name.len() <= 100;
    readable.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn named(line: &str) -> String {
        name(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_package_script_or_image_gives_the_name() {
        for (line, expected) in [
            ("my-server", "my-server"),
            ("/opt/tools/my-server --verbose", "my-server"),
            ("./run.sh", "run.sh"),
            ("npx -y @modelcontextprotocol/server-everything@1.2", "server-everything"),
            ("npx @modelcontextprotocol/server-everything", "server-everything"),
            ("npx --yes mcp-remote@latest https://host/mcp?key=hunter22", "mcp-remote"),
            ("npx -p @scope/tools -y tool-server", "tool-server"),
            ("npx --package=@scope/tools tool-server", "tool-server"),
            ("npx -- @scope/name", "name"),
            ("npx github:owner/repo#main", "repo"),
            ("npx -y git+https://user:hunter22@host/owner/repo.git", "repo"),
            ("/usr/local/bin/npx -y server", "server"),
            ("bunx --bun @scope/name@2", "name"),
            ("npm exec --yes -- @scope/name@1 --flag", "name"),
            ("npm x -y name", "name"),
            ("npm --prefix /srv/app exec name", "name"),
            ("npm run start", "npm"),
            ("pnpm dlx @scope/name", "name"),
            ("yarn dlx -q name@3", "name"),
            ("uvx mcp-server-time", "mcp-server-time"),
            ("uvx mcp-server-time==1.0", "mcp-server-time"),
            ("uvx mcp[cli]>=1.2", "mcp"),
            ("uvx name@latest", "name"),
            ("uvx --from git+https://hunter22@host/owner/repo server", "server"),
            ("uvx --index-url https://me:hunter22@host/simple name", "name"),
            ("uv tool run --python 3.12 name", "name"),
            ("uv run server-name", "server-name"),
            ("uv --directory /srv/weather run weather.py", "weather"),
            ("uv run --with mcp python -m package", "package"),
            ("uv run -m package", "package"),
            ("uv run --with mcp[cli] mcp run /srv/weather/server.py:app", "weather"),
            ("uv sync", "uv"),
            ("pipx run --spec x==1 name", "name"),
            ("node weather.js", "weather"),
            ("node --no-warnings --import tsx /srv/weather/build/index.js", "weather"),
            ("node --env-file .env /x/node_modules/@scope/name/dist/index.js", "name"),
            ("node dist/index.js", "index"),
            ("node ./server.mjs", "server"),
            ("tsx watch src/weather.ts", "weather"),
            ("bun run weather.ts", "weather"),
            ("bun weather.ts", "weather"),
            ("bun x @scope/name", "name"),
            ("deno run -A --allow-net=host jsr:@scope/name@1.2", "name"),
            ("deno run --allow-read npm:@scope/name", "name"),
            ("deno run -A https://host/path/weather.ts?v=1", "weather"),
            ("deno task start", "deno"),
            ("python weather.py", "weather"),
            ("python -m mcp_server_time", "mcp_server_time"),
            ("python3 -u -m package.server --key hunter22", "package.server"),
            ("/usr/bin/python3.12 -W ignore /srv/weather/src/main.py", "weather"),
            ("docker run -i --rm -e KEY=V mcp/fetch:latest", "fetch"),
            ("docker run -i --rm -eKEY=V --mount type=bind,src=/a,dst=/b mcp/fetch", "fetch"),
            ("docker --context remote run -it ghcr.io/owner/name@sha256:0123", "name"),
            ("docker container run -i localhost:5000/name", "name"),
            ("docker compose run thing", "docker"),
            ("podman run --interactive --env KEY name:1 arg", "name"),
            ("env API_KEY=hunter22 npx -y name", "name"),
            ("env -u HOME -i A=1 B=2 ./tool", "tool"),
            ("env", "env"),
            ("bash /srv/start.sh", "start"),
            ("sh", "sh"),
        ] {
            assert_eq!(named(line), expected, "{line}");
        }
    }

    #[test]
    fn a_shell_line_of_plain_words_is_looked_into() {
        for (option, line, expected) in [
            ("-c", "npx -y @scope/name", "name"),
            ("-lc", "exec npx -y name", "name"),
            ("-c", "cd /srv/app && API_KEY=hunter22 uvx name", "name"),
            ("-c", "name --token hunter22;", "name"),
            ("-c", "API_KEY='hunter 22' npx name", "bash"),
            ("-c", "$(cat hunter22)", "bash"),
            ("-c", "", "bash"),
        ] {
            let argv = ["bash", option, line].map(OsString::from);
            assert_eq!(name(&argv), expected, "{line}");
        }
    }

    #[test]
    fn an_unknown_option_may_have_a_value_so_nothing_behind_it_is_shown() {
        for (line, expected) in [
            ("npx --auth hunter22 name", "npx"),
            ("docker run --http-password hunter22 name", "docker"),
            ("python -K hunter22", "python"),
            ("node --title hunter22 x.js", "node"),
            ("uvx --token hunter22 name", "uvx"),
            ("npx https://hunter22@host", "npx"),
            ("npx https://hunter22@host/", "npx"),
        ] {
            assert_eq!(named(line), expected, "{line}");
        }
    }

    #[test]
    fn odd_words_still_give_a_name() {
        assert_eq!(name(&[]), "server");
        assert_eq!(name(&["/".into()]), "server");
        assert_eq!(name(&["".into()]), "server");
        assert_eq!(name(&["npx".into(), "".into()]), "npx");
        assert_eq!(name(&["a\nb".into()]), "a?b");
        assert_eq!(name(&[OsString::from_vec(b"/bin/\xffx".to_vec())]), "\u{fffd}x");
    }

    fn programs() -> Vec<&'static str> {
        RUNNERS.iter().flat_map(|runner| runner.programs.split(' ')).collect()
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic_and_no_option_value_is_shown(
            program in prop::sample::select(programs()),
            words in prop::collection::vec("[-a-z/@:=.]{0,12}", 0..6),
            option in "--[a-z]{1,12}",
        ) {
            let mut argv: Vec<OsString> = vec![program.into()];
            argv.extend(words.iter().map(OsString::from));
            prop_assert!(!name(&argv).is_empty());
            argv.insert(1, format!("{option}=HUNTER22").into());
            prop_assert!(!name(&argv).contains("HUNTER22"));
        }
    }
}
