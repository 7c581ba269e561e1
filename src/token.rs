//! The session token outside of the engine: what its text says, the file that it is kept in, the request that renews it.
//!
//! ```text
//!  file, environment --> Form::read --> Credential --> Vault: a number for each text, which is all the engine knows
//!                                                        |
//!                                  renewal::renew  <-----+----->  Place::write, under Place::lock
//! ```
//!
//! A token is somebody else's: nothing in here verifies one, and whether it may be used, is renewed or given up is decided
//! by the engine alone. Its text is cleared from memory when it is dropped, has no `Debug`, and is in no error.

mod claims;
pub mod file;
mod lock;
pub mod renewal;
#[cfg(test)]
mod tests;
mod vault;

use secrecy::SecretString;

pub use claims::Form;
pub use file::{Place, Reading};
pub use lock::{Lock, NoLock};
pub use vault::Vault;

use crate::engine::lease::io::Claims;

/// From now on no other process of this user reads our memory and our environment, and neither is written to a core file. So
/// it is for what we fork; a program that we start is like any other.
pub fn keep_private() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // Where the system refuses it, all is as it was.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// A token's text, and what it says of itself.
#[derive(Clone)]
pub struct Credential {
    /// The text, its prefix included, without white space around it.
    pub text: SecretString,
    /// When it was made and when it ends.
    pub claims: Claims,
    /// Which session it is of. `None` where it does not say.
    pub session: Option<String>,
}
