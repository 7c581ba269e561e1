//! The architecture as a table: who may import whom.

/// A module and everything below it.
pub(super) struct Room {
    pub(super) name: &'static str,
    /// The modules of ours that it may name.
    pub(super) ours: &'static [&'static str],
    /// What of these it must not name all the same.
    pub(super) but: &'static [&'static str],
    /// The crates of Cargo.toml that it may name.
    pub(super) crates: &'static [&'static str],
    /// The modules of std, and the types, that it must not name.
    pub(super) pure: &'static [&'static str],
}

const ANY: &[&str] = &["*"];
const NOTHING: &[&str] = &[];
/// What makes a run differ from the last one.
const IMPURE: &[&str] = &["fs", "net", "os", "process", "thread", "env", "Instant", "SystemTime"];
/// The same and everything that can be printed or read.
const NO_IO: &[&str] = &["fs", "io", "net", "os", "process", "thread", "env", "Instant", "SystemTime"];

/// Who may import whom. The longest name that fits a module is its room.
pub(super) const ROOMS: &[Room] = &[
    Room {
        name: "wire",
        ours: NOTHING,
        but: NOTHING,
        crates: &["bytes", "memchr", "serde", "serde_json", "thiserror", "tokio_util"],
        pure: IMPURE,
    },
    Room {
        name: "mask",
        ours: NOTHING,
        but: NOTHING,
        crates: &["memchr", "regex_lite", "secrecy", "serde_json"],
        pure: NO_IO,
    },
    Room { name: "pattern", ours: NOTHING, but: NOTHING, crates: &["regex_lite"], pure: NO_IO },
    Room {
        name: "engine",
        ours: &["wire", "mask", "pattern"],
        but: NOTHING,
        crates: &["backoff", "bytes", "memchr", "serde", "serde_json", "thiserror"],
        pure: NO_IO,
    },
    doer("threads", NOTHING),
    doer("stream", &["threads"]),
    doer("child", &["wire", "mask", "stream", "threads", "engine"]),
    doer("watch", &["engine", "threads"]),
    doer("token", &["http", "threads", "disk", "engine::lease"]),
    Room {
        name: "http",
        ours: &["threads"],
        but: NOTHING,
        crates: &["reqwest", "rustls", "secrecy", "serde_json", "thiserror"],
        pure: &["process", "Instant", "SystemTime"],
    },
    doer("gateway", &["wire", "http", "listener", "engine::lease::io"]),
    doer("listener", &["threads"]),
    Room {
        name: "daemon",
        ours: &["http"],
        but: NOTHING,
        crates: &["reqwest", "secrecy", "serde_json", "thiserror", "time"],
        pure: &["fs", "process", "thread", "env", "Instant", "SystemTime"],
    },
    Room {
        name: "datadir",
        ours: NOTHING,
        but: NOTHING,
        crates: &["etcetera", "nix"],
        pure: &["fs", "io", "net", "process", "thread", "Instant", "SystemTime"],
    },
    Room {
        name: "ledger",
        ours: &["engine"],
        but: &["engine::Engine"],
        crates: &["serde", "thiserror", "tokio"],
        pure: NO_IO,
    },
    Room {
        name: "lastgood",
        ours: &["datadir", "threads", "engine::io"],
        but: NOTHING,
        crates: &["bytes", "nix", "serde", "serde_json", "sha2", "tempfile", "thiserror", "tokio"],
        pure: &["net", "process", "Instant"],
    },
    lastgood_data("lastgood::entries", NO_IO),
    lastgood_data("lastgood::format", IMPURE),
    doer("store", &["datadir", "threads", "ledger"]),
    doer("hosts", &["wire", "mask", "engine"]),
    doer("control", &["datadir", "threads", "ledger", "engine::io"]),
    Room {
        name: "report",
        ours: NOTHING,
        but: NOTHING,
        crates: &["anstream", "anstyle", "clap", "unicode_width"],
        pure: IMPURE,
    },
    Room {
        name: "cli",
        ours: &["exit_code"],
        but: NOTHING,
        crates: &["clap", "clap_complete", "thiserror"],
        pure: NO_IO,
    },
    // An address is data.
    Room {
        name: "cli::monitor",
        ours: &["cli"],
        but: NOTHING,
        crates: &["clap"],
        pure: &["fs", "io", "os", "process", "thread", "env", "Instant", "SystemTime"],
    },
    Room { name: "exit_code", ours: NOTHING, but: NOTHING, crates: NOTHING, pure: NO_IO },
    Room {
        name: "command",
        ours: &["cli", "report", "exit_code", "control"],
        but: NOTHING,
        crates: ANY,
        pure: NOTHING,
    },
    Room {
        name: "command::failure",
        ours: &["report", "exit_code"],
        but: NOTHING,
        crates: NOTHING,
        pure: NO_IO,
    },
    Room {
        name: "hosts",
        ours: &["disk"],
        but: NOTHING,
        crates: &["jsonc_parser", "nix", "serde_json", "sha2", "tempfile", "thiserror"],
        pure: &["process", "thread", "env", "Instant", "SystemTime"],
    },
    Room {
        name: "hosts::document",
        ours: NOTHING,
        but: NOTHING,
        crates: &["jsonc_parser", "serde_json", "thiserror"],
        pure: NO_IO,
    },
    Room {
        name: "disk",
        ours: NOTHING,
        but: NOTHING,
        crates: &["nix"],
        pure: &["process", "thread", "env", "Instant", "SystemTime"],
    },
    command(
        "command::wrap",
        &[
            "cli",
            "report",
            "exit_code",
            "command::configs",
            "command::desktop",
            "command::failure",
            "command::package",
            "command::program",
            "hosts",
            "mask",
        ],
    ),
    Room {
        name: "command::desktop",
        ours: &["command::configs", "hosts"],
        but: NOTHING,
        crates: NOTHING,
        pure: &["thread", "env", "Instant", "SystemTime"],
    },
    Room {
        name: "command::configs",
        ours: &["cli", "exit_code", "command::failure", "datadir", "hosts"],
        but: NOTHING,
        crates: &["etcetera"],
        pure: &["fs", "process", "thread", "Instant", "SystemTime"],
    },
    Room {
        name: "command::package",
        ours: NOTHING,
        but: NOTHING,
        crates: NOTHING,
        pure: &["fs", "process", "thread", "env", "Instant", "SystemTime"],
    },
    Room {
        name: "command::program",
        ours: &["command::failure"],
        but: NOTHING,
        crates: NOTHING,
        pure: &["process", "thread", "Instant", "SystemTime"],
    },
    Room {
        name: "command::recorded",
        ours: &["store", "threads"],
        but: NOTHING,
        crates: &["tokio"],
        pure: &["fs", "process", "env", "Instant", "SystemTime"],
    },
    Room {
        name: "command::monitor",
        ours: &[
            "cli",
            "report",
            "exit_code",
            "command::failure",
            "command::recorded",
            "control",
            "listener",
            "store",
            "ledger",
            "threads",
            "engine::io",
        ],
        but: NOTHING,
        crates: ANY,
        pure: &["process", "thread", "env"],
    },
    Room { name: "command::run", ours: ANY, but: NOTHING, crates: ANY, pure: NOTHING },
    Room {
        name: "command::setup",
        ours: &[
            "cli",
            "report",
            "exit_code",
            "command::configs",
            "command::desktop",
            "command::failure",
            "command::package",
            "command::program",
            "hosts",
            "mask",
            "token",
            "daemon",
            "http",
        ],
        but: NOTHING,
        crates: ANY,
        pure: &["process", "thread", "Instant", "SystemTime"],
    },
    command(
        "command::order",
        &[
            "cli",
            "report",
            "exit_code",
            "command::failure",
            "command::recorded",
            "control",
            "store",
            "ledger",
            "engine::io",
        ],
    ),
    command(
        "command::status",
        &["cli", "report", "exit_code", "control", "store", "ledger", "command::order", "command::recorded"],
    ),
    command(
        "command::check",
        &[
            "cli",
            "report",
            "exit_code",
            "wire",
            "mask",
            "stream",
            "threads",
            "child",
            "engine",
            "ledger",
            "control",
            "command::failure",
            "command::name",
        ],
    ),
    // What was seen is judged, and nothing is looked at.
    judging("command::check::judge"),
    judging("command::check::rule"),
    judging("command::check::seen"),
    judging("command::check::facts"),
    judging("command::check::arguments"),
    judging("command::check::baseline"),
    judging("command::check::schema"),
    Room {
        name: "command::check::lines",
        ours: &["mask"],
        but: NOTHING,
        crates: &["bytes", "serde_json"],
        pure: NO_IO,
    },
    Room {
        name: "command::check::nearly",
        ours: &["wire", "command::check::seen"],
        but: NOTHING,
        crates: &["bytes", "memchr", "regex_lite", "serde_json"],
        pure: NO_IO,
    },
    Room {
        name: "command::check::show",
        ours: &["command::check", "cli::check", "report"],
        but: &["command::check::look", "command::check::peer", "command::check::drill"],
        crates: &["anyhow", "clap", "percent_encoding", "quick_junit", "regex_lite", "serde_json", "sha2"],
        pure: NO_IO,
    },
    // Its server is a client of an API.
    command("command::demo", &["report", "exit_code", "wire", "stream", "child", "engine", "http"]),
    Room { name: "command::name", ours: NOTHING, but: NOTHING, crates: NOTHING, pure: NO_IO },
    Room {
        name: "command::manual",
        ours: &["cli", "exit_code", "command::check::RULES"],
        but: NOTHING,
        crates: &["clap", "clap_mangen"],
        pure: IMPURE,
    },
    Room {
        name: "command::completions",
        ours: &["cli"],
        but: NOTHING,
        crates: &["clap", "clap_complete"],
        pure: NO_IO,
    },
    Room { name: "main", ours: ANY, but: NOTHING, crates: ANY, pure: NOTHING },
];

/// A room that acts: it knows the engine's plain data, and neither the engine nor another doer.
const fn doer(name: &'static str, ours: &'static [&'static str]) -> Room {
    Room { name, ours, but: &["engine::Engine"], crates: ANY, pure: NOTHING }
}

/// A part of `check` that decides.
const fn judging(name: &'static str) -> Room {
    let but = &["command::check::look", "command::check::peer", "command::check::drill"];
    let crates = &["jsonschema", "percent_encoding", "serde_json", "similar"];
    Room { name, ours: &["command::check"], but, crates, pure: NO_IO }
}

/// What is kept of last good answers, and how it is written down: data, and no disk.
const fn lastgood_data(name: &'static str, pure: &'static [&'static str]) -> Room {
    let crates = &["bytes", "serde", "serde_json"];
    Room { name, ours: &["lastgood", "engine::io"], but: NOTHING, crates, pure }
}

/// A command that starts servers itself.
const fn command(name: &'static str, ours: &'static [&'static str]) -> Room {
    Room { name, ours, but: &["engine::Engine"], crates: ANY, pure: NOTHING }
}

/// What only these files may name. The unmaintained crate is to be replaced in one place, stdout belongs to the host,
/// and a thread that is not available must not cause a panic (tokio's do, and `tokio::fs` uses such threads).
pub(super) const HOMES: &[(&str, &[&str])] = &[
    ("backoff", &["src/engine/backoff.rs"]),
    ("anstream", &["src/report.rs"]),
    ("std::io::stdout", &["src/report.rs", "src/stream.rs"]),
    ("std::io::Stdout", &["src/report.rs", "src/stream.rs"]),
    ("std::thread::Builder", &["src/threads.rs"]),
    ("std::thread::spawn", &["src/threads.rs"]),
    ("std::thread::scope", &["src/threads.rs"]),
    ("tokio::task::spawn_blocking", &["src/threads.rs"]),
    ("tokio::fs", &["src/threads.rs"]),
];

/// The row of the engine's simulator: it reads its seeds from the environment, shares them out to threads, and does no
/// other I/O.
pub(super) const SIMULATOR: Room = Room {
    name: "engine",
    ours: ANY,
    but: NOTHING,
    crates: &["bytes", "memchr", "proptest", "serde", "serde_json"],
    pure: &["fs", "net", "os", "process", "Instant", "SystemTime"],
};
