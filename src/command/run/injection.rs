//! The token in the server's environment: what the engine has published is put there, for the next child.

use std::ffi::OsString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret as _;

use crate::child::Spec;
use crate::engine::lease::io::{Act, TokenId};
use crate::token::Vault;

/// Where the server gets the token.
pub(super) struct Injection {
    variable: OsString,
    vault: Arc<Mutex<Vault>>,
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injection").field("variable", &self.variable).finish_non_exhaustive()
    }
}

impl Injection {
    pub(super) fn new(variable: OsString, vault: Arc<Mutex<Vault>>) -> Self {
        Self { variable, vault }
    }

    /// What the engine wants done with the token, as far as children's environments go.
    pub(super) fn follow(&self, act: &Act, spec: &mut Spec) {
        match act {
            Act::Publish(token) => self.put(Some(*token), spec),
            Act::Lack => self.put(None, spec),
            Act::Look(_)
            | Act::Renew(_)
            | Act::RenewRegardless(..)
            | Act::Write(_)
            | Act::Answer(_)
            | Act::Probe
            | Act::Verdict(..)
            | Act::Tell(_) => {}
        }
    }

    /// The next child gets this token, or none: also not one that we have inherited.
    pub(super) fn put(&self, token: Option<TokenId>, spec: &mut Spec) {
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let text = token.and_then(|token| vault.get(token)).map(|held| held.text.expose_secret().into());
        spec.env.retain(|(name, _)| *name != self.variable);
        spec.env.push((self.variable.clone(), text));
    }
}
