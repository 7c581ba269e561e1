//! Bytes to messages: the line codec, the peek at a message without parsing its payload, and edits in place.
//!
//! A message is never re-serialised. It is read as one line ([`LineCodec`]), looked at just far enough to know what it
//! is ([`Frame::read`]), and handed on as the bytes that came; where a word of it must change ([`edit`]), only that
//! word's bytes are replaced. Numbers, key order, spaces, escapes and unknown members survive therefore.
//!
//! This room knows JSON-RPC and nothing of servers, hosts or time, and imports nothing of ours.

mod codec;
pub mod edit;
mod id;
mod json;
#[cfg(test)]
mod laws;
mod mend;
mod message;
mod method;
mod page;
mod salvage;

pub use codec::{ENDS, Line, LineCodec, NOISE_LIMIT, Oversize};
pub use id::Id;
pub use mend::{Mended, mend};
pub use message::{
    ENVELOPE_VERSION, Element, Frame, Malformed, Message, Notification, Params, Parsed, Request, Response,
    peek,
};
pub use method::Method;
pub use page::{Declared, ListPage};
pub use salvage::{Remains, Salvaged, remains, remains_of, salvage};
