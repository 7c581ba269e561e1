//! The entry for a host's config: the daemon's MCP server with the supervisor in front of it. Pure functions.
//!
//! What is in it everybody may read: where the daemon, its directory and the wallet are, and never a token.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use reqwest::Url;
use serde::Serialize;
use serde_json::Value;

use crate::command::package;
use crate::daemon::Wallet;
use crate::hosts::{Members, is_ours};

/// The fewest characters of an id that tell two wallets of one name apart: with fewer, each new wallet would rename them.
const FEWEST: usize = 4;

/// The key of the entry whose server has no wallet's id.
pub(super) const SHARED: &str = "waiaas";
/// The variables that tell it its wallet, its daemon and that one's directory, and, in former times, its token.
const WALLET: &str = "WAIAAS_WALLET_ID";
const BASE_URL: &str = "WAIAAS_BASE_URL";
const DATA_DIR: &str = "WAIAAS_DATA_DIR";
pub(super) const TOKEN: &str = "WAIAAS_SESSION_TOKEN";

/// A config that has nothing but these entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Config {
    #[serde(rename = "mcpServers")]
    pub(super) servers: BTreeMap<String, Entry>,
}

/// How a host starts a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    command: String,
    args: Vec<String>,
    env: Environment,
}

impl Entry {
    /// What it says, in its order.
    pub(super) fn members(&self) -> Members {
        // Texts have a form in JSON.
        let env = serde_json::to_value(&self.env).unwrap_or_default();
        vec![("command", self.command.clone().into()), ("args", self.args.clone().into()), ("env", env)]
    }
}

/// What the supervisor and the server are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Environment {
    #[serde(rename = "WAIAAS_BASE_URL")]
    base_url: String,
    #[serde(rename = "WAIAAS_DATA_DIR")]
    data_dir: String,
    #[serde(rename = "WAIAAS_WALLET_ID", skip_serializing_if = "Option::is_none")]
    wallet_id: Option<String>,
    #[serde(rename = "WAIAAS_WALLET_NAME", skip_serializing_if = "Option::is_none")]
    wallet_name: Option<String>,
}

/// What is the same in all entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// This program, in full.
    pub(super) program: String,
    /// The daemon's address.
    pub(super) base_url: String,
    /// The daemon's directory, in full.
    pub(super) data_dir: String,
    /// A file with certificates, in full. `None` where there is none.
    pub(super) ca: Option<String>,
}

impl Common {
    /// The entry of this wallet, or of no certain one, under this key.
    pub(super) fn entry(&self, key: &str, wallet: Option<&Wallet>) -> Entry {
        let args = ["--name", key].into_iter().chain(self.options());
        Entry {
            command: self.program.clone(),
            args: args.chain(["--", "npx", "-y", package::WAIAAS]).map(str::to_owned).collect(),
            env: self.environment(wallet),
        }
    }

    /// What stands among our words beside the name.
    pub(super) fn options(&self) -> Vec<&str> {
        let ca = self.ca.iter().flat_map(|ca| ["--upstream-ca", ca]);
        ["--profile", "waiaas"].into_iter().chain(ca).collect()
    }

    /// The variables of an entry of this wallet, or of no certain one, as a config has them.
    pub(super) fn variables(&self, wallet: Option<&Wallet>) -> Value {
        // Texts have a form in JSON.
        serde_json::to_value(self.environment(wallet)).unwrap_or_default()
    }

    fn environment(&self, wallet: Option<&Wallet>) -> Environment {
        Environment {
            base_url: self.base_url.clone(),
            data_dir: self.data_dir.clone(),
            wallet_id: wallet.map(|wallet| wallet.id.clone()),
            wallet_name: wallet.and_then(|wallet| wallet.name.clone()),
        }
    }

    /// What an entry of a config is to this wallet, or to servers that are told none. `None` where it starts another server, or
    /// one of another wallet or another daemon.
    pub(super) fn kin(&self, entry: &Value, wallet: Option<&Wallet>) -> Option<Kin> {
        let args = entry.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let words = || entry.get("command").into_iter().chain(args).filter_map(Value::as_str);
        // What is not said is for the server to find, and it finds what is here.
        let is_or_unsaid = |name, is_same: &dyn Fn(&str) -> bool| variable(entry, name).is_none_or(is_same);
        let is_of_it = variable(entry, WALLET) == wallet.map(|wallet| &*wallet.id)
            && is_or_unsaid(BASE_URL, &|url| is_at(url, &self.base_url))
            && is_or_unsaid(DATA_DIR, &|dir| Path::new(dir) == Path::new(&self.data_dir))
            && words().any(|word| package::is_of(word, package::WAIAAS));
        let is_supervised = || words().any(|word| is_ours(word) || word == self.program);
        is_of_it.then(|| if is_supervised() { Kin::Supervised } else { Kin::Unsupervised })
    }
}

/// What an entry is to a wallet whose server it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kin {
    /// It starts the server behind the supervisor.
    Supervised,
    /// It starts the server without one.
    Unsupervised,
}

/// Whether an entry has a token in its variables.
pub(super) fn has_token(entry: &Value) -> bool {
    variable(entry, TOKEN).is_some()
}

/// What a server is told in this variable. `None` where that is nothing.
fn variable<'e>(entry: &'e Value, name: &str) -> Option<&'e str> {
    entry.get("env")?.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Whether this is the address of the daemon, which has no slash at its end.
fn is_at(url: &str, base_url: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/') == base_url;
    plain(url.trim()) || Url::parse(url.trim()).is_ok_and(|url| plain(url.as_str()))
}

/// The keys of these wallets, in their order. No two are equal, as long as no two ids are.
pub(super) fn keys(wallets: &[Wallet]) -> Vec<String> {
    slugs(wallets).into_iter().map(|slug| format!("waiaas-{slug}")).collect()
}

fn slugs(wallets: &[Wallet]) -> Vec<String> {
    let plain: Vec<String> =
        wallets.iter().map(|wallet| slug(wallet.name.as_ref().unwrap_or(&wallet.id))).collect();
    // The oldest keeps its key when another one of its name is made: ids begin with the time.
    let is_first = |at: usize| {
        let same = (0..plain.len()).filter(|other| plain[*other] == plain[at]);
        same.min_by_key(|other| &wallets[*other].id) == Some(at)
    };
    let shared: Vec<bool> = (0..plain.len()).map(|at| !is_first(at)).collect();
    let with = |end: &dyn Fn(&str) -> String, is_told_apart: &dyn Fn(usize) -> bool| -> Vec<String> {
        let slugs = plain.iter().zip(wallets).enumerate().map(|(at, (slug, wallet))| match end(&wallet.id) {
            end if is_told_apart(at) && !end.is_empty() => format!("{slug}-{end}"),
            _ => slug.clone(),
        });
        slugs.collect()
    };
    let longest = wallets.iter().map(|wallet| wallet.id.chars().count()).max().unwrap_or_default();
    (FEWEST..=longest.max(FEWEST))
        .map(|count| with(&|id| last(id, count), &|at| shared[at]))
        .find(|slugs| are_distinct(slugs))
        // Ids may differ only in what no slug may have, and a name may be spelt like another one with its id. What comes last
        // here has no dash in it, so that these are as different as the ids are.
        .unwrap_or_else(|| with(&hex, &|_| true))
}

fn are_distinct(slugs: &[String]) -> bool {
    let mut sorted: Vec<&String> = slugs.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// Lower case, one `-` for each run of anything else than letters and digits of ASCII, and none at the ends.
fn slug(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name.split(|c: char| !is_plain(c)).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() { "wallet".to_owned() } else { slug }
}

/// The last characters of an id, of those that a slug may have. Its first ones are the time at which it was made.
fn last(id: &str, count: usize) -> String {
    let plain: Vec<char> = id.to_lowercase().chars().filter(|c| is_plain(*c)).collect();
    plain[plain.len().saturating_sub(count)..].iter().collect()
}

fn hex(id: &str) -> String {
    id.bytes().fold(String::with_capacity(2 * id.len()), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn wallet(id: &str, name: Option<&str>) -> Wallet {
        Wallet { id: id.to_owned(), name: name.map(str::to_owned), terminated: false }
    }

    #[test]
    fn a_slug_is_what_every_host_takes_for_a_key() {
        for (name, expected) in [
            ("main", "main"),
            ("Main Wallet", "main-wallet"),
            ("  Trading -- Bot #2! ", "trading-bot-2"),
            ("-a-", "a"),
            ("Über", "ber"),
            ("钱包", "wallet"),
            ("!!!", "wallet"),
            ("", "wallet"),
            ("a_b.c/d", "a-b-c-d"),
            ("0", "0"),
        ] {
            assert_eq!(slug(name), expected, "{name:?}");
        }
    }

    #[test]
    fn equal_slugs_are_told_apart_by_the_ends_of_the_ids() {
        for (wallets, expected) in [
            (vec![], vec![]),
            (vec![wallet("0192-aaaa", Some("Main"))], vec!["main"]),
            (vec![wallet("0192-aaaa", None)], vec!["0192-aaaa"]),
            (
                vec![
                    wallet("0192-7aaa", Some("Main")),
                    wallet("0192-bbbb", Some("other")),
                    wallet("0192-8aaa", Some("main!")),
                ],
                vec!["main", "other", "main-8aaa"],
            ),
            // The last four are the same.
            (vec![wallet("0192-1-AAAA", Some("a")), wallet("0192-2-AAAA", Some("a"))], vec!["a", "a-aaaa"]),
            // What tells two apart would be the name of a third.
            (
                vec![
                    wallet("x1-aaaa", Some("a")),
                    wallet("y1-bbbb", Some("a")),
                    wallet("z1-cccc", Some("a aaaa")),
                ],
                vec!["a", "a-bbbb", "a-aaaa"],
            ),
            // One is short.
            (vec![wallet("1", Some("a")), wallet("21", Some("a"))], vec!["a", "a-21"]),
            // They differ only in what no slug may have.
            (vec![wallet("a_b", Some("a")), wallet("A-b", Some("a"))], vec!["a-ab", "a"]),
        ] {
            assert_eq!(slugs(&wallets), expected, "{wallets:?}");
        }
        assert_eq!(keys(&[wallet("x", Some("Main"))]), ["waiaas-main"]);
    }

    #[test]
    fn an_entry_puts_the_supervisor_before_the_server() {
        let common = Common {
            program: "/opt/mcp-supervise".to_owned(),
            base_url: "http://127.0.0.1:3100".to_owned(),
            data_dir: "/home/a/.waiaas".to_owned(),
            ca: None,
        };
        let entry = common.entry("waiaas-main", Some(&wallet("0192", Some("Main"))));
        let expected = json!({
            "command": "/opt/mcp-supervise",
            "args": ["--name", "waiaas-main", "--profile", "waiaas", "--", "npx", "-y", "@waiaas/mcp"],
            "env": {
                "WAIAAS_BASE_URL": "http://127.0.0.1:3100",
                "WAIAAS_DATA_DIR": "/home/a/.waiaas",
                "WAIAAS_WALLET_ID": "0192",
                "WAIAAS_WALLET_NAME": "Main",
            },
        });
        assert_eq!(json!(entry), expected);
        let trusting = Common { ca: Some("/etc/ca.pem".to_owned()), ..common };
        let entry = json!(trusting.entry("k", Some(&wallet("0192", None))));
        assert_eq!(
            entry["args"].as_array().map(|args| &args[4..6]),
            Some(&[json!("--upstream-ca"), json!("/etc/ca.pem")][..])
        );
        assert_eq!(entry["env"].as_object().map(serde_json::Map::len), Some(3));
        let entry = json!(trusting.entry("k", None));
        assert_eq!(entry["env"].as_object().map(serde_json::Map::len), Some(2));
    }

    #[test]
    fn the_servers_of_a_wallet_are_known_from_others() {
        let main = wallet("0192", Some("Main"));
        let common = Common {
            program: "/opt/supervisor".to_owned(),
            base_url: "http://127.0.0.1:3100".to_owned(),
            data_dir: "/home/a/.waiaas".to_owned(),
            ca: None,
        };
        let of = |env: &Value| json!({"command": "npx", "args": ["-y", "@waiaas/mcp@2"], "env": env});
        let kin = |entry: &Value, wallet| common.kin(entry, wallet);
        for (env, of_main, of_none) in [
            (json!({"WAIAAS_WALLET_ID": "0192"}), true, false),
            (json!({"WAIAAS_WALLET_ID": "0193"}), false, false),
            (json!({"WAIAAS_WALLET_ID": "", "X": "1"}), false, true),
            (json!(null), false, true),
            (json!({"WAIAAS_WALLET_ID": "0192", "WAIAAS_BASE_URL": "http://127.0.0.1:3100/"}), true, false),
            (json!({"WAIAAS_WALLET_ID": "0192", "WAIAAS_BASE_URL": "HTTP://127.0.0.1:3100"}), true, false),
            (json!({"WAIAAS_WALLET_ID": "0192", "WAIAAS_BASE_URL": ""}), true, false),
            (json!({"WAIAAS_WALLET_ID": "0192", "WAIAAS_BASE_URL": "http://127.0.0.1:3101"}), false, false),
            (json!({"WAIAAS_BASE_URL": "https://prod.example:3100"}), false, false),
            (json!({"WAIAAS_DATA_DIR": "/home/a/.waiaas/"}), false, true),
            (json!({"WAIAAS_DATA_DIR": "/srv/prod"}), false, false),
        ] {
            let found = (kin(&of(&env), Some(&main)).is_some(), kin(&of(&env), None).is_some());
            assert_eq!(found, (of_main, of_none), "{env}");
        }
        for (entry, expected) in [
            (json!({"command": "npx", "args": ["@waiaas/mcp"]}), Some(Kin::Unsupervised)),
            (json!({"command": "npx", "args": ["@waiaas/mcp", 1]}), Some(Kin::Unsupervised)),
            (json!({"command": "npx", "args": ["@waiaas/mcp2"]}), None),
            (
                json!({"command": "/bin/mcp-supervise", "args": ["--", "npx", "@waiaas/mcp"]}),
                Some(Kin::Supervised),
            ),
            (
                json!({"command": "/opt/supervisor", "args": ["--", "npx", "@waiaas/mcp"]}),
                Some(Kin::Supervised),
            ),
            (json!({"command": "/bin/mcp-supervise", "args": ["--", "npx", "x"]}), None),
            (json!({"url": "https://x"}), None),
            (json!("npx @waiaas/mcp"), None),
        ] {
            assert_eq!(kin(&entry, None), expected, "{entry}");
        }
        assert!(has_token(&of(&json!({"WAIAAS_SESSION_TOKEN": "t"}))));
        assert!(!has_token(&of(&json!({"WAIAAS_SESSION_TOKEN": ""}))) && !has_token(&of(&json!({}))));
        assert_eq!(kin(&json!(common.entry("k", Some(&main))), Some(&main)), Some(Kin::Supervised));
    }

    proptest! {
        #[test]
        fn no_two_keys_are_equal_and_all_are_plain(
            wallets in vec(("[a-cA-C_-]{0,3}[a-b-]{1,6}", "[aAb !-]{0,4}(-[ab]{4})?|.{0,6}", any::<bool>()), 0..8)
        ) {
            let mut known: Vec<Wallet> = Vec::new();
            for (id, name, named) in wallets {
                if known.iter().all(|wallet| wallet.id != id) {
                    known.push(Wallet { id, name: named.then_some(name), terminated: false });
                }
            }
            let keys = keys(&known);
            prop_assert!(are_distinct(&keys), "{known:?}: {keys:?}");
            for key in &keys {
                let plain = key.chars().all(|c| is_plain(c) || c == '-');
                prop_assert!(plain && !key.ends_with('-') && !key.contains("--"), "{key}");
            }
        }

        #[test]
        fn every_name_has_a_slug(name in ".{0,40}") {
            let slug = slug(&name);
            prop_assert!(!slug.is_empty() && !slug.starts_with('-') && !slug.ends_with('-'));
            prop_assert!(slug.chars().all(|c| is_plain(c) || c == '-') && !slug.contains("--"));
        }
    }
}
