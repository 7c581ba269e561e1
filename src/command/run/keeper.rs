//! The keeper of the session: does what the lease wants done with the token, on a thread of its own, beside the gateway.
//!
//! It reads and writes the token file, renews the token, and hands tokens to the gateway; when and whether is the
//! engine's. Nothing it does may hold up the relay, and a panic in here ends the session's keeping and nothing else. What
//! a token says is known in here, in the token room and in the gateway, and nowhere else.

mod last;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime;
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::last::Last;
use super::beside::News;
use super::clock::Clock;
use crate::engine::lease::io::{Act, Event, Found, Renewal, Token, TokenId};
use crate::gateway::{self, Door, Published, Side, Verdict, Word};
use crate::http;
use crate::mask::Mask;
use crate::threads;
use crate::token::renewal::{self, Api, Outcome};
use crate::token::{Credential, Form, Lock, NoLock, Place, Reading, Vault};

/// How long another supervisor may hold the lock: as long as its renewal may take, and a little more.
const LOCKED: Duration = Duration::from_secs(35);

/// Delay before a look that got no thread is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the file system may take before it is gone on without.
const SOON: Duration = Duration::from_secs(2);

/// What the keeper needs to know.
pub(super) struct Keeping {
    /// Where the token is kept. `None` where there is no file.
    pub(super) place: Option<Place>,
    /// What the environment holds, as text. `None` if nothing.
    pub(super) environment: Option<SecretString>,
    /// What tokens look like.
    pub(super) form: Form,
    /// How they are renewed. `None`: not by us.
    pub(super) api: Option<Api>,
    /// Further roots of trust, a PEM file.
    pub(super) ca: Option<PathBuf>,
    /// The API, where the token goes to another machine in the clear.
    pub(super) open_way: Option<String>,
    /// The gateway. `None` where the server gets the token itself.
    pub(super) gateway: Option<(Door, gateway::Options)>,
    /// Where tokens are held.
    pub(super) vault: Arc<Mutex<Vault>>,
    /// What learns the tokens.
    pub(super) mask: Mask,
    /// What is to be done.
    pub(super) acts: mpsc::UnboundedReceiver<Act>,
}

impl Keeping {
    /// The files in which a token is kept.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.place.iter().flat_map(Place::files)
    }
}

/// Tells the relay what the engine is not to know.
type Tell = mpsc::UnboundedSender<News>;
/// Tells the engine.
type Events = mpsc::UnboundedSender<Event>;

/// The keeper at work.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Never sends; closed once nothing is under way that would be lost.
    ended: oneshot::Receiver<()>,
}

impl Keeper {
    /// Starts the keeper. It ends when nothing more can be asked of it, and no renewal is under way.
    pub(super) fn start(keeping: Keeping, tell: Tell, events: Events) -> Self {
        let (ending, ended) = oneshot::channel();
        let dark = (tell.clone(), events.clone());
        let unborn = tell.clone();
        let body = move || {
            // Dropped however this ends.
            let _ending = ending;
            let told = match catch_unwind(AssertUnwindSafe(|| run(keeping, tell, events))) {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why,
                Err(_) => "go on keeping the session: its thread has panicked".to_owned(),
            };
            go_dark(&dark, told);
        };
        if let Err(error) = threads::start_service("session", threads::ORDINARY, body) {
            // The session is not lost: keeping it starts as soon as a thread is available.
            let _ = unborn.send(News::Fault(format!("start keeping the session: {error}; trying again")));
        }
        Self { ended }
    }

    /// Ready once it has ended.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.ended).poll(cx).map(|_| ())
    }
}

fn run(keeping: Keeping, tell: Tell, events: Events) -> Result<(), String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("start keeping the session: {error}"))?;
    runtime.block_on(keep(keeping, tell, events));
    // A file system that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn keep(keeping: Keeping, tell: Tell, events: Events) {
    let (publish, tokens) = watch::channel(Published::Unknown);
    let (judge, verdicts) = mpsc::unbounded_channel();
    let stand_in = keeping.gateway.as_ref().map(|(_, options)| options.disguise.stand_in.clone());
    let shared = Arc::new(Shared {
        place: keeping.place,
        environment: keeping.environment,
        form: keeping.form,
        api: keeping.api,
        ca: keeping.ca,
        client: OnceCell::new(),
        mask: keeping.mask,
        vault: keeping.vault,
        warned: Mutex::default(),
        renewed: Mutex::default(),
        last: Mutex::default(),
        stand_in,
        tell,
        events,
    });
    if let Some(api) = keeping.open_way {
        shared.warn(
            "open",
            format!("the token goes to {api} unencrypted; hint: use https:// where the API has it"),
        );
    }
    let (see, mut seen) = mpsc::unbounded_channel();
    let (probe, probes) = mpsc::unbounded_channel();
    let mut used = None;
    if let Some((door, options)) = keeping.gateway {
        let side = Side { tokens, tell: shared.events.clone(), verdicts, seen: see, probes };
        tokio::spawn(Arc::clone(&shared).serve(door, options, side));
    }
    let (wanted, looks) = watch::channel(0);
    tokio::spawn(look_when_wanted(Arc::clone(&shared), looks));
    let mut acts = keeping.acts;
    let mut renewals = JoinSet::new();
    loop {
        tokio::select! {
            act = acts.recv() => match act {
                None => break,
                // One look at a time, whatever is asked meanwhile: a file system may not answer for a while.
                Some(Act::Look(look)) => _ = wanted.send_replace(look),
                Some(Act::Renew(token)) => {
                    renewals.spawn(Arc::clone(&shared).renew(token, None));
                }
                Some(Act::RenewRegardless(token, other)) => {
                    renewals.spawn(Arc::clone(&shared).renew(token, Some(other)));
                }
                Some(Act::Write(token)) => {
                    tokio::spawn(Arc::clone(&shared).write_late(token));
                }
                Some(Act::Publish(token)) => {
                    used = Some(token);
                    let text = shared.text(token);
                    publish.send_replace(text.map_or(Published::Nothing, |text| Published::Token(token, text)));
                }
                Some(Act::Lack) => _ = publish.send_replace(Published::Nothing),
                Some(Act::Verdict(request, again)) => {
                    let again = again.and_then(|token| Some((token, shared.text(token)?)));
                    let word = again.map_or(Word::AsItIs, |(token, text)| Word::Again(token, text));
                    let _ = judge.send(Verdict { request, word });
                }
                Some(Act::Probe) => _ = probe.send(()),
                Some(Act::Answer(request)) => {
                    let _ = judge.send(Verdict { request, word: shared.word() });
                }
                // The engine logs that.
                Some(Act::Tell(_)) => {}
            },
            Some(text) = seen.recv() => shared.sees(&text, used),
            Some(renewal) = renewals.join_next() => {
                let failed = || Renewal::Failed("that has panicked".to_owned());
                shared.tell(Event::Renewed(renewal.unwrap_or_else(|_| failed())));
            }
        }
    }
    // What the API has granted would be lost with us.
    while renewals.join_next().await.is_some() {}
}

/// Tells that there is no way to the API any more; why, as a text that fits after "failed to".
fn go_dark((tell, events): &(Tell, Events), why: String) {
    // Nobody may want to know any more.
    let _ = events.send(Event::Lost(format!("it failed to {why}")));
    let _ = tell.send(News::Fault(why));
}

/// Looks where the token is kept, as often as that is wanted.
async fn look_when_wanted(shared: Arc<Shared>, mut looks: watch::Receiver<u64>) {
    while looks.changed().await.is_ok() {
        let look = *looks.borrow_and_update();
        let looking = Arc::clone(&shared);
        // One that has panicked has found nothing.
        while threads::blocking({
            let looking = Arc::clone(&looking);
            move || looking.tell(looking.look(look))
        })
        .await
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        {
            sleep(AGAIN).await;
        }
    }
}

/// What the tasks of the keeper share.
struct Shared {
    place: Option<Place>,
    environment: Option<SecretString>,
    form: Form,
    api: Option<Api>,
    /// Further roots of trust.
    ca: Option<PathBuf>,
    client: OnceCell<reqwest::Client>,
    mask: Mask,
    vault: Arc<Mutex<Vault>>,
    /// What was warned of: once each.
    warned: Mutex<Vec<&'static str>>,
    /// The last token that was granted, and those in whose place it may be written. `None` before the first.
    renewed: Mutex<Option<(TokenId, [Option<TokenId>; 2])>>,
    /// What the last renewal came to. `None` before the first.
    last: Mutex<Option<Last>>,
    /// What the server sees in the place of a token. `None` without a gateway.
    stand_in: Option<SecretString>,
    tell: Tell,
    events: Events,
}

impl Shared {
    /// The client, made when it is first needed: for it the roots of trust are read, which takes longer than to find the token
    /// for which a server may wait.
    async fn client(&self) -> Result<reqwest::Client, String> {
        let make = || async {
            loop {
                let ca = self.ca.clone();
                match threads::blocking(move || http::client(ca.as_deref())).await {
                    Ok(made) => return made.map_err(|fault| fault.to_string()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.warn("client", format!("failed to make the HTTP client: {error}; trying again"));
                        sleep(AGAIN).await;
                    }
                    Err(error) => return Err(format!("make the HTTP client: {error}")),
                }
            }
        };
        self.client.get_or_try_init(make).await.cloned()
    }

    /// The gateway, as long as it can be.
    async fn serve(self: Arc<Self>, door: Door, options: gateway::Options, side: Side) {
        let why = match self.client().await {
            Ok(client) => match tokio::spawn(gateway::serve(door, options, client, side)).await {
                Ok(()) => return,
                Err(_) => "go on with the gateway: it has panicked".to_owned(),
            },
            Err(why) => why,
        };
        go_dark(&(self.tell.clone(), self.events.clone()), why);
    }

    fn tell(&self, event: Event) {
        // Nobody may want to know any more.
        let _ = self.events.send(event);
    }

    fn warn(&self, what: &'static str, text: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if !warned.contains(&what) {
            warned.push(what);
            let _ = self.tell.send(News::Warning(text));
        }
    }

    fn look(&self, look: u64) -> Event {
        let file = self.place.as_ref().map_or(Found::Nothing, |place| self.in_file(place));
        let environment = self
            .environment
            .as_ref()
            .map_or(Found::Nothing, |text| self.found(text.expose_secret().as_bytes()));
        Event::Found { look: Some(look), file, environment }
    }

    fn in_file(&self, place: &Place) -> Found {
        match place.read() {
            Reading::Nothing => Found::Nothing,
            Reading::Refused(why) => Found::Unusable(why),
            Reading::Text { text, exposed } => {
                if exposed {
                    let path = place.path().display();
                    self.warn(
                        "exposed",
                        format!(
                            "others than its owner may read or change the token file; hint: chmod 600 {path}"
                        ),
                    );
                }
                self.found(&text)
            }
        }
    }

    fn found(&self, text: &[u8]) -> Found {
        match self.form.read(text) {
            Ok(credential) => Found::Token(self.enter(credential)),
            Err(why) => Found::Unusable(why.to_owned()),
        }
    }

    fn enter(&self, credential: Credential) -> Token {
        self.mask.learn(&credential.text);
        if let Some(rest) = credential.text.expose_secret().strip_prefix(&self.form.prefix) {
            self.mask.learn(&SecretString::from(rest));
        }
        self.vault().enter(credential, Clock::wall())
    }

    fn vault(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, token: TokenId) -> Option<SecretString> {
        self.vault().get(token).map(|credential| credential.text.clone())
    }

    fn write(&self, token: TokenId) -> Result<(), String> {
        match (&self.place, self.text(token)) {
            (Some(place), Some(text)) => place.write(&text),
            // There is nowhere to write it to; or it is long out of use.
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// The same, but for no longer than a file system may take: what is written later is written all the same.
    async fn write_soon(self: &Arc<Self>, token: TokenId) -> Result<(), String> {
        let shared = Arc::clone(self);
        let written = timeout(SOON, threads::blocking(move || shared.write(token))).await;
        match written {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => Err(format!("cannot be written: {error}")),
            Err(_) => Err(format!("is not written after {} s", SOON.as_secs())),
        }
    }

    /// Writes a granted token that could not be written when it was granted. What somebody else has put into the file since
    /// then stays, and is looked at.
    async fn write_late(self: Arc<Self>, token: TokenId) {
        let Ok(_lock) = self.lock().await else {
            let why = "is not written: another supervisor holds its lock".to_owned();
            return self.tell(Event::Written(token, Err(why)));
        };
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = renewed.filter(|(new, _)| *new == token).map(|(_, replaced)| replaced);
        let written = match self.in_file_now().await {
            None => Err(format!("cannot be read within {} s", SOON.as_secs())),
            Some(Found::Token(there)) if there.id == token => Ok(()),
            Some(Found::Token(there)) if !replaced.is_some_and(|old| old.contains(&Some(there.id))) => {
                self.tell(Event::Stirred);
                Ok(())
            }
            Some(Found::Token(_) | Found::Nothing | Found::Unusable(_)) => self.write_soon(token).await,
        };
        self.tell(Event::Written(token, written));
    }

    /// What is in the file now; nothing, if that cannot be known soon.
    async fn in_file_soon(self: &Arc<Self>) -> Found {
        self.in_file_now().await.unwrap_or_default()
    }

    /// The same, `None` if that cannot be known soon.
    async fn in_file_now(self: &Arc<Self>) -> Option<Found> {
        let shared = Arc::clone(self);
        let read = threads::blocking(move || shared.place.as_ref().map(|place| shared.in_file(place)));
        Some(timeout(SOON, read).await.ok()?.ok()?.unwrap_or_default())
    }

    /// The lock on the file, where there is a file, and it can be had.
    async fn lock(&self) -> Result<Option<Lock>, ()> {
        let Some(place) = &self.place else { return Ok(None) };
        match place.lock(LOCKED).await {
            Ok(lock) => Ok(Some(lock)),
            Err(NoLock::Held) => Err(()),
            Err(NoLock::Impossible(why)) => {
                let what =
                    format!("the token file cannot be locked ({why}); the token is renewed all the same");
                self.warn("lock", what);
                Ok(None)
            }
        }
    }

    /// What a server is answered that asks for a renewal itself.
    fn word(&self) -> Word {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*last, &self.api, &self.stand_in) {
            (Some(last), Some(api), Some(stand_in)) => last.word(api, stand_in),
            _ => Word::AsItIs,
        }
    }

    /// A token was in an answer of the API. One of the session of the token that is used may be its successor.
    fn sees(&self, text: &SecretString, used: Option<TokenId>) {
        self.mask.learn(text);
        let Ok(credential) = self.form.read(text.expose_secret().as_bytes()) else { return };
        let ours = used.and_then(|used| self.vault().get(used)?.session.clone());
        if credential.session.is_some() && credential.session == ours {
            let token = self.enter(credential);
            *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.id, [used, None]));
            self.tell(Event::Seen(token));
        }
    }

    /// Renews a token, unless the file holds another one than it, and than the one that is named.
    async fn renew(self: Arc<Self>, token: TokenId, unusable: Option<TokenId>) -> Renewal {
        let (renewal, said) = self.ask(token, unusable).await;
        let last = match (&renewal, said) {
            (Renewal::Superseded(other), _) => self.vault().get(other.id).cloned().map(Last::Superseded),
            (Renewal::Granted(new, _), Some(said)) => {
                Some(Last::Said(said, self.vault().get(new.id).cloned()))
            }
            (_, Some(said)) => Some(Last::Said(said, None)),
            (Renewal::Failed(why), None) => Some(Last::Failed(why.clone())),
            (_, None) => None,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        renewal
    }

    /// The same; and what the API has said.
    async fn ask(
        self: &Arc<Self>,
        token: TokenId,
        unusable: Option<TokenId>,
    ) -> (Renewal, Option<renewal::Said>) {
        let failed = |why: String| (Renewal::Failed(why), None);
        let Some(credential) = self.vault().get(token).cloned() else {
            return failed("the token is no longer held".to_owned());
        };
        let Some(api) = &self.api else { return failed("nobody knows how".to_owned()) };
        let client = match self.client().await {
            Ok(client) => client,
            Err(why) => return failed(why),
        };
        let Ok(_lock) = self.lock().await else {
            return failed("another supervisor holds the lock of the token file".to_owned());
        };
        let is_other = |found: &Found| match found {
            Found::Token(other) if other.id != token && Some(other.id) != unusable => Some(*other),
            Found::Token(_) | Found::Nothing | Found::Unusable(_) => None,
        };
        if let Some(other) = is_other(&self.in_file_soon().await) {
            return (Renewal::Superseded(other), None);
        }
        match renewal::renew(&client, api, &self.form, &credential).await {
            Outcome::Granted(granted, said) => {
                let new = self.enter(granted);
                let replaced = (new.id, [Some(token), unusable]);
                *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(replaced);
                // Somebody who does not know of the lock may have written another one meanwhile: that one stays.
                let written = match is_other(&self.in_file_soon().await) {
                    Some(other) if other.id != new.id => Ok(()),
                    _ => self.write_soon(new.id).await,
                };
                (Renewal::Granted(new, written), Some(said))
            }
            Outcome::Refused(answer, said) => (Renewal::Refused(answer), Some(said)),
            Outcome::Failed(why) => failed(why),
        }
    }
}
