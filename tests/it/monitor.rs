//! `monitor`, from real supervisors to whoever asks over HTTP or listens over a WebSocket.

mod client;
mod hostile;
mod live;
mod start;
