//! The fixture daemon itself: what tests of session tokens rely on.

mod api;
mod failing;
mod tools;
