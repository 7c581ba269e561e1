//! Whose a session is, and where its token is kept.

use std::path::Path;
use std::slice;

use super::failure::Failure;
use crate::daemon::Wallet;
use crate::token::Place;

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A wallet's, with a token file of its own.
    Wallet(Wallet),
    /// That of several, with the token file of those servers without a wallet's id.
    Shared(Vec<Wallet>),
}

impl Owner {
    /// Those that the session is for.
    pub(super) fn wallets(&self) -> &[Wallet] {
        match self {
            Self::Wallet(wallet) => slice::from_ref(wallet),
            Self::Shared(wallets) => wallets,
        }
    }

    /// The one that a server is told. `None` where it is told none.
    pub(super) fn wallet(&self) -> Option<&Wallet> {
        match self {
            Self::Wallet(wallet) => Some(wallet),
            Self::Shared(_) => None,
        }
    }

    /// Its token file, and no other one that may be somebody else's.
    pub(super) fn place(&self, data_dir: &Path) -> Result<Place, Failure> {
        match self {
            Self::Wallet(wallet) => {
                let place = Place::of_wallet(data_dir, &wallet.id).map_err(Failure::unexpected)?;
                Ok(Place::new(place.path().to_owned()))
            }
            Self::Shared(_) => Ok(Place::of_no_wallet(data_dir)),
        }
    }
}

/// Whose a session is, as a person knows them.
pub(super) fn shown_all(owner: &Owner) -> String {
    owner.wallets().iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A wallet as a person knows it.
pub(super) fn shown(wallet: &Wallet) -> String {
    match &wallet.name {
        Some(name) => format!("{name} ({})", wallet.id),
        None => wallet.id.clone(),
    }
}
