//! The configs of hosts: where they are, which servers they name, and how they are changed and kept.
//!
//! ```text
//! places --which are there--> config --bytes--> document: servers, and the text with some of them wrapped (pure)
//!                               ^                  |
//!                               +--kept, replaced--+
//! ```
//!
//! A config is somebody else's, and often the only one that there is: what was in it is kept first, it is replaced whole
//! or not at all, and not if it has changed since it was read.

mod document;
mod file;
mod places;

pub use self::document::{Added, Bad, Document, Members, Server, Shape, Split, State, with_servers};
pub use self::file::{Config, Fault};
pub use self::places::{Found, Host, Surroundings, find, of_user};
