//! The tokens that were seen, and a number for each: the engine knows no more of them than that.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Credential;
use crate::engine::lease::io::{Token, TokenId};

/// How many are held. What was not asked for longest goes first.
const HELD: usize = 64;

/// Tokens by their numbers.
#[derive(Default)]
pub struct Vault {
    /// The one that was asked for last is the last.
    held: Vec<(TokenId, Credential)>,
    last: u32,
}

impl Vault {
    /// Enters a token that is seen at this time of the wall clock. The same text has the same number, as long as it is held. One
    /// that does not say when it was made counts from when it was first seen.
    pub fn enter(&mut self, mut credential: Credential, now: Duration) -> Token {
        let text = credential.text.expose_secret();
        let known = self.held.iter().position(|(_, held)| held.text.expose_secret() == text);
        let entry = if let Some(at) = known {
            self.held.remove(at)
        } else {
            self.last += 1;
            credential.claims.issued.get_or_insert(now);
            (TokenId(self.last), credential)
        };
        let token = Token { id: entry.0, claims: entry.1.claims };
        if self.held.len() == HELD {
            self.held.remove(0);
        }
        self.held.push(entry);
        token
    }

    /// The token with this number. `None` if it is no longer held.
    pub fn get(&mut self, id: TokenId) -> Option<&Credential> {
        let at = self.held.iter().position(|(held, _)| *held == id)?;
        let entry = self.held.remove(at);
        self.held.push(entry);
        self.held.last().map(|(_, credential)| credential)
    }
}
