//! One session: obtained, its token stored, and the session before it revoked. In this order, whatever fails:
//! until the new token is in the file, the old one is what everybody has.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::failure::Failure;
use super::owner::Owner;
use crate::cli::setup::Via;
use crate::daemon::{Daemon, Expiry, Fault, Issued, Password, Terms, Wallet, Whose, Why};
use crate::mask::Mask;
use crate::token::{Credential, Form, Lock, NoLock, Place, Reading};

/// What a session token of the daemon begins with.
const PREFIX: &str = "wai_sess_";
/// How long a supervisor may hold the lock of the token file: as long as its renewal may take, and a little more.
const LOCKED: Duration = Duration::from_secs(35);

/// How sessions are obtained.
pub(super) struct Work<'a> {
    pub(super) daemon: Daemon,
    pub(super) password: Password,
    /// Where the password comes from, in words.
    pub(super) source: String,
    pub(super) mask: Mask,
    /// The daemon's directory.
    pub(super) data_dir: &'a Path,
    pub(super) via: Via,
    pub(super) terms: Terms,
    pub(super) revoke_old: bool,
}

/// A session that was obtained, and whose token is in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obtained {
    pub(super) owner: Owner,
    /// Its id. `None` where nobody says it.
    pub(super) session: Option<String>,
    /// Where its token is.
    pub(super) file: PathBuf,
    /// When it ends. `None` where nobody says it.
    pub(super) expires: Option<Expiry>,
    /// The session whose token was there before. `None` if there was none.
    pub(super) replaced: Option<Replaced>,
}

/// A session whose token was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its id. `None` where the token does not say.
    pub(super) session: Option<String>,
    /// Whether it is revoked.
    pub(super) revoked: bool,
}

/// A token in its file, and what the daemon has said of its session.
struct Stored {
    credential: Credential,
    session: Option<String>,
    expires: Option<Expiry>,
    name: Option<String>,
}

impl Work<'_> {
    /// Obtains this session. What is not as it should be, and stops nothing, is added to the warnings.
    pub(super) async fn obtain(
        &self,
        owner: &Owner,
        warnings: &mut Vec<String>,
    ) -> Result<Obtained, Failure> {
        let place = owner.place(self.data_dir)?;
        // Where there is no token nobody renews one, and a wallet that gets none is to leave nothing.
        let is_used = fs::symlink_metadata(place.path()).is_ok();
        let lock = if is_used { self.lock(&place, warnings).await } else { None };
        let old = self.old(&place, warnings);
        let stored = match (self.via, owner.wallet()) {
            (Via::McpTokens, Some(wallet)) => self.provision(wallet, &place, old.as_ref(), warnings).await?,
            (Via::Sessions, _) | (Via::McpTokens, None) => {
                self.open(owner, &place, old.as_ref(), is_used, warnings).await?
            }
        };
        drop(lock);
        let session = stored.session.or_else(|| stored.credential.session.clone());
        let replaced = match old {
            Some(old) => self.replace(old, &stored.credential, session.as_ref(), warnings).await,
            None => None,
        };
        let said = stored.expires.filter(|end| *end != Expiry::Never);
        let owner = match owner {
            Owner::Wallet(wallet) => {
                Owner::Wallet(Wallet { name: wallet.name.clone().or(stored.name), ..wallet.clone() })
            }
            Owner::Shared(_) => owner.clone(),
        };
        Ok(Obtained {
            owner,
            session,
            file: place.path().to_owned(),
            // The token itself is what the end is read from in the end.
            expires: said.or(stored.credential.claims.expires.map(Expiry::from_epoch)).or(stored.expires),
            replaced,
        })
    }

    /// Keeps supervisors from renewing the old token meanwhile: their new one would take the place of ours.
    async fn lock(&self, place: &Place, warnings: &mut Vec<String>) -> Option<Lock> {
        if self.via == Via::McpTokens && !place.path().parent().is_some_and(Path::exists) {
            // The daemon makes the directory, if it is here at all.
            return None;
        }
        let why = match place.lock(LOCKED).await {
            Ok(lock) => return Some(lock),
            Err(NoLock::Held) => "a supervisor keeps it locked".to_owned(),
            Err(NoLock::Impossible(why)) => why,
        };
        let file = place.path().display();
        warnings.push(format!(
            "failed to lock the token file {file}: {why}; a supervisor that renews its token now may overwrite it"
        ));
        None
    }

    /// The token that is in the file now. `None` if there is none, or none that can be read.
    fn old(&self, place: &Place, warnings: &mut Vec<String>) -> Option<Credential> {
        let read = match place.read() {
            Reading::Nothing => return None,
            Reading::Text { text, .. } => form().read(&text).map_err(str::to_owned),
            Reading::Refused(why) => Err(why),
        };
        match read {
            Ok(old) => {
                self.mask.learn(&old.text);
                Some(old)
            }
            Err(why) => {
                if self.revoke_old {
                    let file = place.path().display();
                    warnings.push(format!("no old session was revoked: the token file {file} {why}"));
                }
                None
            }
        }
    }

    /// The session whose token is there now. `None` where there is none that can be read, or it does not say.
    pub(super) fn session_in(&self, place: &Place) -> Option<String> {
        self.old(place, &mut Vec::new())?.session
    }

    /// Has a session opened, and stores its token. One whose token cannot be stored is of no use to anybody.
    async fn open(
        &self,
        owner: &Owner,
        place: &Place,
        old: Option<&Credential>,
        locked: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Stored, Failure> {
        let wallets: Vec<&str> = owner.wallets().iter().map(|wallet| &*wallet.id).collect();
        let whose = owner.wallet().map_or(Whose::All(&wallets), |wallet| Whose::One(&wallet.id));
        let mut opened = self.daemon.open_session(&self.password, whose, self.terms).await;
        let before = old.and_then(|old| old.session.as_deref()).filter(|_| self.revoke_old);
        let mut revoked = None;
        if let (Err(fault), Some(before)) = (&opened, before)
            && fault.is_full()
        {
            // The one that is to be revoked anyway has the place.
            self.daemon.revoke(&self.password, before).await.map_err(|fault| self.failure(&fault))?;
            revoked = Some(before);
            opened = self.daemon.open_session(&self.password, whose, self.terms).await;
        }
        let stored = self.store(opened, place, locked, warnings).await;
        stored.map_err(|failure| match revoked {
            Some(session) => self.after_revoking(failure, session, place),
            None => failure,
        })
    }

    /// Stores the token of a session that was opened.
    async fn store(
        &self,
        opened: Result<Issued, Fault>,
        place: &Place,
        locked: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Stored, Failure> {
        let issued = match opened {
            Ok(issued) => issued,
            Err(fault) => {
                let failure = self.failure(&fault);
                return Err(match fault.left {
                    Some(session) => self.give_up(failure, Some(&session), warnings).await,
                    None => failure,
                });
            }
        };
        self.mask.learn(&issued.token);
        let session = issued.session.as_deref();
        let credential = match form().read(issued.token.expose_secret().as_bytes()) {
            Ok(credential) => credential,
            Err(why) => {
                let why = Why::NotUnderstood(format!("the answer {why}"));
                let failure = self.failure(&Fault { what: "open a session", why, left: None });
                return Err(self.give_up(failure, session, warnings).await);
            }
        };
        let session = session.or(credential.session.as_deref());
        let _lock = if locked { None } else { self.lock(place, warnings).await };
        if let Err(why) = place.write(&credential.text) {
            let failure = Failure::not_written(&format!("{} {why}", place.path().display()));
            return Err(self.give_up(failure, session, warnings).await);
        }
        Ok(Stored { session: issued.session, expires: issued.expires, name: None, credential })
    }

    /// A failure after the old session had to make room: whoever has its token is without one from now on.
    fn after_revoking(&self, failure: Failure, session: &str, place: &Place) -> Failure {
        let message = format!(
            "{}; the old session {session} is revoked already, and its token in {} is of no use any more",
            failure.message,
            place.path().display()
        );
        Failure { message: self.masked(&message), ..failure }
    }

    /// Revokes a session whose token nobody has, and tells what came of that.
    async fn give_up(&self, failure: Failure, session: Option<&str>, warnings: &mut Vec<String>) -> Failure {
        let Some(session) = session else {
            warnings.push(
                "a session was opened that nobody can use, and the daemon has not said which".to_owned(),
            );
            return failure;
        };
        match self.daemon.revoke(&self.password, session).await {
            Ok(()) => {
                let message = format!(
                    "{}; the session {session}, which was opened for it, is revoked",
                    failure.message
                );
                Failure { message, ..failure }
            }
            Err(fault) => {
                warnings.push(self.masked(&format!(
                    "the session {session} was opened, and nobody can use it: failed to {fault}"
                )));
                failure
            }
        }
    }

    /// Has the daemon write the file, and looks whether it did.
    async fn provision(
        &self,
        wallet: &Wallet,
        place: &Place,
        old: Option<&Credential>,
        warnings: &mut Vec<String>,
    ) -> Result<Stored, Failure> {
        let made = self.daemon.provision(&self.password, &wallet.id, self.terms.ttl).await;
        let made = made.map_err(|fault| self.failure(&fault))?;
        let file = place.path().display();
        let elsewhere = |why: &str| {
            Failure {
            hint: Some(
                "is it another machine's, or a container's? name the daemon's own directory with --waiaas-dir, or \
                 leave out --via mcp-tokens"
                    .to_owned(),
            ),
            ..Failure::not_written(&self.masked(&format!(
                "{file} {why}; the daemon says that it has written {}",
                made.file.display()
            )))
        }
        };
        let (text, exposed) = match place.read() {
            Reading::Text { text, exposed } => (text, exposed),
            Reading::Nothing => return Err(elsewhere("is not there")),
            Reading::Refused(why) => return Err(elsewhere(&why)),
        };
        let credential = form().read(&text).map_err(elsewhere)?;
        self.mask.learn(&credential.text);
        if old.is_some_and(|old| is_same(&old.text, &credential.text)) {
            return Err(elsewhere("holds the token of before"));
        }
        if exposed && let Err(why) = place.write(&credential.text) {
            warnings.push(format!("others can read the token file {file}, and it {why}"));
        }
        // It may be another spelling of the same place: what counts is what is there.
        if made.file != place.path()
            && fs::canonicalize(&made.file).ok() != fs::canonicalize(place.path()).ok()
        {
            warnings.push(self.masked(&format!(
                "the daemon says that it has written {}, and the token is in {file}",
                made.file.display()
            )));
        }
        Ok(Stored { credential, session: None, expires: made.expires, name: made.name })
    }

    /// What becomes of the session before this one. `None` if it is the same one.
    async fn replace(
        &self,
        old: Credential,
        new: &Credential,
        session: Option<&String>,
        warnings: &mut Vec<String>,
    ) -> Option<Replaced> {
        if is_same(&old.text, &new.text) || old.session.is_some() && old.session.as_ref() == session {
            return None;
        }
        let old = old.session.filter(|id| !id.chars().any(char::is_control));
        let mut revoked = false;
        if self.revoke_old {
            match &old {
                None => warnings
                    .push("the old token does not say of which session it is: it was not revoked".to_owned()),
                Some(id) => match self.daemon.revoke(&self.password, id).await {
                    Ok(()) => revoked = true,
                    Err(fault) => {
                        warnings.push(
                            self.masked(&format!("the old session {id} was not revoked: failed to {fault}")),
                        );
                    }
                },
            }
        }
        Some(Replaced { session: old, revoked })
    }

    /// A fault as it is told.
    pub(super) fn failure(&self, fault: &Fault) -> Failure {
        let failure = Failure::of(fault, &self.source);
        // Where the daemon writes the file, the old session goes only after that.
        let makes_room = !self.revoke_old && self.via == Via::Sessions;
        let failure = if fault.is_full() && !makes_room { failure.without_room() } else { failure };
        let hint = failure.hint.map(|hint| self.masked(&hint));
        Failure { message: self.masked(&failure.message), hint, code: failure.code }
    }

    /// A text with something of the daemon's in it, without secrets.
    pub(super) fn masked(&self, text: &str) -> String {
        self.mask.apply(text).into_owned()
    }
}

fn form() -> Form {
    Form { prefix: PREFIX.to_owned(), opaque: false }
}

fn is_same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret() == b.expose_secret()
}
