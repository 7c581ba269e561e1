//! What the last renewal came to, for a server that asks for one itself.

use bytes::Bytes;
use secrecy::SecretString;

use crate::gateway::Word;
use crate::token::Credential;
use crate::token::renewal::{self, Api, Said};

/// What the last renewal came to.
pub(super) enum Last {
    /// The API has said this; the new token, if it has granted one.
    Said(Said, Option<Credential>),
    /// Somebody else had renewed the session; the token that he has put into the file.
    Superseded(Credential),
    /// The API has said nothing; why.
    Failed(String),
}

impl Last {
    /// The answer that the server gets. There is no token in it.
    pub(super) fn word(&self, api: &Api, stand_in: &SecretString) -> Word {
        match self {
            Self::Said(said, granted) => {
                let body = renewal::disguised(said, api, granted.as_ref(), stand_in);
                Word::Answer(said.status, Bytes::from(body))
            }
            Self::Superseded(credential) => {
                Word::Answer(200, Bytes::from(renewal::told(api, credential, stand_in)))
            }
            Self::Failed(why) => Word::Failed(why.clone()),
        }
    }
}
