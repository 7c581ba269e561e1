//! `monitor`, from real supervisors to whoever asks over HTTP or listens over a WebSocket.

pub(crate) mod client;
mod hostile;
mod live;
mod start;
