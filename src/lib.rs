//! `mcp-supervise`: the process supervisor for MCP servers. This page is the map of the crate.
//!
//! It stands between an MCP host and a stdio MCP server, and the host never loses that server: a crash, a hang, a slow or
//! failed start is absorbed, every request gets exactly one answer, and what went wrong is told in the chat.
//!
//! ```text
//!            stdin   +----------+  Input   +--------+
//!  host  ----------> |          | -------> |        |
//!        <---------- |   run    |          | engine |   decides: no clock, no I/O
//!            stdout  |  (relay) | <------- |        |
//!                    |          |  Output  +--------+
//!                    |          |
//!                    |          |  spawn, signal, reap   +-------+
//!                    |          | ---------------------> | child | ---- server (its own session)
//!                    |          |                        +-------+
//!                    |          |                            ^
//!                    |          |         guardian: ends the group should we be killed
//!                    |          |
//!                    |          |  notes   +--------+  batches   +-------+
//!                    |          | -------> | ledger | ---------> | store |   sessions.db, on a thread of its own
//!                    |          | <------- |        | <--- control socket: status, events, restart, stop
//!                    |          |  orders  +--------+
//!                    |  beside  | <---- watch (files change), lastgood (answers of earlier runs), the login shell's PATH:
//!                    |          |       slow or optional, on threads or in processes of their own
//!                    |  keeper  | <---> token (its file, its renewal), gateway (server --> API): on a thread of their own
//!                    +----------+
//! ```
//!
//! # The rooms
//! | room | what it is for | it knows nothing of |
//! |---|---|---|
//! | [`wire`] | bytes to messages: lines, the peek, edits in place | servers, hosts, time |
//! | [`engine`] | decides everything: the conversation, restarts, answers, stops; its header has the invariants | clocks, I/O, tokio, doers |
//! | [`mask`], [`pattern`] | secrets out of texts; a text that the user describes | where the texts go |
//! | [`threads`] | starts threads, which can fail | what runs on them |
//! | [`stream`] | inherited and owned descriptors as byte streams | what the bytes mean |
//! | [`child`] | the server's process: spawn, signals, exit, reaping, stderr tail, its terminal, the guardian, containers; the login shell's `PATH` | the engine's mind |
//! | [`watch`] | tells that files have changed: watched paths, the executable | what follows from it |
//! | [`lastgood`] | last good greetings and lists on disk, on a thread of its own | when they are needed |
//! | [`ledger`] | what the notes of a session add up to: its row, its events, how long things took | clocks, disks, who looks |
//! | [`store`] | writes the ledger down, in a file of `SQLite`, and reads what was written | what is counted |
//! | [`control`] | the socket on which a supervisor is asked and told, and the other side of it | what follows from an order |
//! | [`datadir`] | where the directories for what is stored and for sockets are | what is in them |
//! | [`token`] | the session token: its text, its file, the request that renews it | when it is renewed |
//! | [`listener`] | takes connections on this machine, and keeps other users from taking all places | what is said on them |
//! | [`http`] | the one HTTP client, and how APIs say what is wrong | what is asked with it |
//! | [`gateway`] | puts the session token on what a server asks of its API, over loopback | when a token is over, where it is kept |
//! | [`daemon`] | the API of the daemon that issues sessions | files, what a person sees |
//! | [`hosts`] | the configs of hosts: where they are, what they name, how they are changed and kept | who asks, what is shown |
//! | [`disk`] | that what was written is on the disk | what is written |
//! | [`cli`] | the command line, declarations only | what the commands do |
//! | [`report`] | what a person sees; the only place that prints | tokio, doers |
//! | [`command::check`] | looks at a server and judges what it saw: looking decides nothing, judging does nothing | the relay |
//! | [`command::monitor`] | the page, the API and the metrics over all supervisors: knows them by their sockets and the store only | the engine, the relay |
//! | [`command`] | brings the doers together; `run` is the only place where engine and doers meet | |
//! | [`exit_code`] | our exit codes, as promises | |
//!
//! # Rules that hold everywhere
//! - The engine decides and does nothing; the doers do and decide nothing.
//! - While a server is supervised, stdout carries MCP messages and nothing else.
//! - A message is never re-serialised: forwarded bytes are the bytes received.
//! - Notes carry methods, ids, sizes and times, never payloads; texts are masked before they are shown.

pub mod child;
pub mod cli;
pub mod command;
pub mod control;
pub mod daemon;
pub mod datadir;
pub mod disk;
pub mod engine;
pub mod exit_code;
pub mod gateway;
pub mod hosts;
pub mod http;
pub mod lastgood;
pub mod ledger;
pub mod listener;
pub mod mask;
pub mod pattern;
pub mod report;
pub mod store;
pub mod stream;
pub mod threads;
pub mod token;
pub mod watch;
pub mod wire;
