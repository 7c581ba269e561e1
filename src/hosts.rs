//! The configs of hosts: where they are, which servers they name, and how they are changed and kept.
//!
//! ```text
//! places --which are there--> config --bytes--> document: servers, and the text with some of them wrapped (pure)
//!                               ^                  |
//!                               +--kept, replaced--+
//! ```
//!
//! A config is somebody else's, and often the only one that there is: what was in it is kept first, it is replaced whole
//! or not at all, and not if it has changed since it was read. Two of us do not write at once (`lock`), a file with several names
//! keeps them, and what belongs to a repository (`project`) is known from what is the user's.

mod document;
mod file;
mod lock;
mod places;
mod project;

pub(crate) use self::document::steps;
pub use self::document::{
    Added, Bad, Document, Edited, Elsewhere, Extra, Format, Lines, Members, New, Server, Shape, Split, State,
    Veil, entries, is_ours, with_servers,
};
pub use self::file::{Config, Fault};
pub use self::places::{Found, Host, Surroundings, find, of_user};
pub use self::project::repository;
