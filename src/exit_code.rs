//! The exit codes, all of them. They are promises: scripts and hosts read them, so none changes its meaning.
//!
//! `run` exits 0 when the server's last exit was code 0 or a signal of our own stop. Otherwise it exits as a shell
//! reports that exit (its code, or 128 + its signal), or with [`NOT_FOUND`], [`NOT_EXECUTABLE`] or [`OUTPUT_LOST`]. The
//! codes from 64 on belong to the commands that name them.

/// All is well.
pub const DONE: i32 = 0;
/// Something failed that has no code of its own: an error of the system, an answer that cannot be understood, or a `demo`
/// that did not go as it should.
pub const UNEXPECTED: i32 = 1;
/// The command line, or an environment variable, cannot be understood, or leaves out what is needed.
pub const USAGE: i32 = 2;
/// `setup`: the daemon cannot be reached.
pub const UNREACHABLE: i32 = 64;
/// `setup`: the daemon says that the master password is wrong.
pub const WRONG_PASSWORD: i32 = 65;
/// `setup`: the daemon has no wallet, or not the one that was asked for.
pub const NO_WALLET: i32 = 66;
/// `setup`: the daemon has several wallets, and none was chosen.
pub const SEVERAL_WALLETS: i32 = 67;
/// `setup`: the daemon refuses a session.
pub const REFUSED: i32 = 68;
/// `setup`: the token file cannot be written.
pub const NOT_WRITTEN: i32 = 69;
/// `restart`, `stop`: several servers that run have this name.
pub const AMBIGUOUS: i32 = 70;
/// `restart`, `stop`: nothing of this name or id runs, and nothing is known that did.
pub const UNKNOWN: i32 = 71;
/// `restart`, `stop`: it has ended already.
pub const GONE: i32 = 72;
/// `restart`, `stop`: it runs, and does not answer or does not do it.
pub const NOT_DONE: i32 = 73;
/// `monitor`: the address cannot be listened at; often another program has the port.
pub const CANNOT_LISTEN: i32 = 74;
/// `wrap`, `unwrap`, `setup --write`: a config cannot be read or understood.
pub const CONFIG_UNREADABLE: i32 = 80;
/// `wrap`, `unwrap`, `setup --write`: a config has changed between reading and writing.
pub const CONFIG_CHANGED: i32 = 81;
/// `wrap`, `unwrap`, `setup --write`: a config cannot be written, or what it was cannot be kept.
pub const CONFIG_NOT_WRITTEN: i32 = 82;
/// `wrap`, `unwrap`: there is no config, no server of that name in one, or servers are where no known host has them.
pub const NO_CONFIG: i32 = 83;
/// `wrap`, `unwrap`: the person did not want it.
pub const DECLINED: i32 = 84;
/// `check`: the server is not sound.
pub const NOT_SOUND: i32 = 85;
/// `check`: the server could not be started, or could not be greeted.
pub const NOT_STARTED: i32 = 86;
/// `check`: the baseline cannot be read, understood or written.
pub const NO_BASELINE: i32 = 87;
/// `run`: output for the host cannot be written to stdout, as on a disk that is full, or was not read in time, and the
/// server's last exit gives no other code.
pub const OUTPUT_LOST: i32 = 88;
/// The supervisor itself has failed in a way that nobody has foreseen, which ends it: a panic, by Rust's convention.
pub const PANICKED: i32 = 101;
/// The server's command is there and cannot be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// The server's command is not there.
pub const NOT_FOUND: i32 = 127;
/// What a signal's number is added to, when a signal ended the server.
pub const SIGNAL: i32 = 128;

/// The codes of `setup`, with what they mean there: for help and manual.
pub const OF_SETUP: &[(i32, &str)] = &[
    (UNREACHABLE, "The daemon cannot be reached"),
    (WRONG_PASSWORD, "The master password is wrong"),
    (NO_WALLET, "The daemon has no wallet, or not the one that was asked for"),
    (SEVERAL_WALLETS, "The daemon has several wallets, and none was chosen: they are listed"),
    (REFUSED, "The daemon refuses a session"),
    (NOT_WRITTEN, "The token file cannot be written"),
];

/// The codes of `restart` and `stop`, likewise.
pub const OF_ORDERS: &[(i32, &str)] = &[
    (AMBIGUOUS, "Several servers of this name run: they are listed"),
    (UNKNOWN, "No server of this name or id runs"),
    (GONE, "It has ended already"),
    (NOT_DONE, "It does not answer, or does not do it"),
];

/// The codes of whatever changes the configs of hosts, likewise.
pub const OF_CONFIGS: &[(i32, &str)] = &[
    (CONFIG_UNREADABLE, "A config cannot be read, or is not what a host reads"),
    (CONFIG_CHANGED, "A config has changed meanwhile, and is not written over"),
    (CONFIG_NOT_WRITTEN, "A config cannot be written, or what it was cannot be kept"),
];

/// The codes of `wrap` and `unwrap` beside these, likewise.
pub const OF_WRAP: &[(i32, &str)] = &[
    (
        NO_CONFIG,
        "There is no config, no server of that name in one, or servers are where no known host has them",
    ),
    (DECLINED, "The question was not answered with yes"),
];

/// The codes of `check`, likewise.
pub const OF_CHECK: &[(i32, &str)] = &[
    (NOT_SOUND, "The server is not sound: there are findings"),
    (NOT_STARTED, "The server could not be started, or not be greeted"),
    (NO_BASELINE, "The baseline cannot be read, understood or written"),
];

/// Codes with what they mean, as the end of a help text.
pub fn listed(codes: &[(i32, &str)]) -> String {
    let lines = codes.iter().map(|(code, meaning)| format!("  {code}  {meaning}\n"));
    std::iter::once("Exit codes:\n".to_owned()).chain(lines).collect()
}
