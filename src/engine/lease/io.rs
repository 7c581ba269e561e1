//! What happens to a lease, and what it wants done: plain data, shared with the doers.

use std::time::Duration;

use super::Answer;

/// A token, by the number that its holder gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId(pub u32);

/// A request that was refused, by the number that the gateway gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a token says of itself, in wall-clock time since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// When it was made.
    pub issued: Option<Duration>,
    /// When it ends. `None`: never.
    pub expires: Option<Duration>,
}

/// A token and what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which one.
    pub id: TokenId,
    /// What it says.
    pub claims: Claims,
}

/// What was found in one of the places where a token is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// Nothing is there.
    #[default]
    Nothing,
    /// This one.
    Token(Token),
    /// Something that is no token, or must not be read, and why; a text that fits after "the token file".
    Unusable(String),
}

/// How a renewal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// With a new token. It is in the file; else why it is not.
    Granted(Token, Result<(), String>),
    /// The API was not asked, because the file held another token by then.
    Superseded(Token),
    /// The API has said no.
    Refused(Answer),
    /// The API has said nothing, or nothing that can be understood; a text that fits after "failed to renew:".
    Failed(String),
}

/// How a request ended that was made with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an answer of the API other than those below.
    Heard,
    /// With a 401 that says nothing of the session.
    Unrelated,
    /// The API has said that it is locked, by its kill switch.
    Locked,
    /// The API was not reached: nothing was sent to it.
    Unsent,
    /// The API has not answered.
    Unreachable,
    /// The session was refused, and the request is not repeated.
    Refused,
    /// Without an answer, before the API could be said to be silent: whoever asked has left, and it may be carried out all
    /// the same.
    Left,
}

/// What happens to the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to [`Act::Look`], or the news that something has changed: the file beats the environment.
    Found {
        /// Which [`Act::Look`] this answers. `None` for news that nobody has asked for.
        look: Option<u64>,
        /// In the file.
        file: Found,
        /// In the environment.
        environment: Found,
    },
    /// What is in the file may be another one now.
    Stirred,
    /// The answer to [`Act::Renew`].
    Renewed(Renewal),
    /// The answer to [`Act::Write`].
    Written(TokenId, Result<(), String>),
    /// A request was answered with a 401 that speaks of the session; it waits for an [`Act::Verdict`].
    Refused {
        /// Which one.
        request: RequestId,
        /// What it was made with.
        token: TokenId,
        /// The API has said so itself: the token is given up for it. Else somebody says that it has.
        certain: bool,
    },
    /// The server itself has asked for a renewal; it waits for an [`Act::Answer`] or an [`Act::Verdict`].
    Wanted(RequestId),
    /// This token was in an answer of the API.
    Seen(Token),
    /// A request begins: [`Event::Ended`] comes once for it.
    Asked,
    /// A request has ended that was made with this token.
    Ended(TokenId, End),
    /// The answer to [`Act::Probe`].
    Probed(End),
    /// A request has ended because there was no token to make it with.
    Lacked,
    /// Nobody keeps the session any more; why, as a clause.
    Lost(String),
    /// The time of [`super::Lease::deadline`] has come.
    Timer,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Look where the token is kept: [`Event::Found`] comes with this number.
    Look(u64),
    /// Renew this token, unless the file holds another one by then: [`Event::Renewed`] comes.
    Renew(TokenId),
    /// The same, also if the file holds this other one: it is none that could be used.
    RenewRegardless(TokenId, TokenId),
    /// Write this token into the file: [`Event::Written`] comes.
    Write(TokenId),
    /// From now on this one is used; also when the session has expired, for the requests that [`super::Lease::admits`].
    Publish(TokenId),
    /// There is no token that could be used, as far as was looked.
    Lack,
    /// Ask the API for something, to see whether it answers: [`Event::Probed`] comes.
    Probe,
    /// The server's own request for a renewal is answered with what the last renewal came to.
    Answer(RequestId),
    /// What becomes of a refused request: made once more with this token, or handed back as it is. A request for a renewal
    /// is never made: there is nothing to renew, or nobody who does.
    Verdict(RequestId, Option<TokenId>),
    /// Something for the logs.
    Tell(Fact),
}

/// Why a token is no longer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its time has passed.
    Time,
    /// A request that was made with it was refused.
    Request,
    /// Its renewal was refused, for good.
    Renewal,
}

/// What happened, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Another token was found, and is used from now on.
    Adopted(TokenId),
    /// The token was renewed.
    Renewed(TokenId),
    /// A renewal came to nothing and is tried again; why.
    NotRenewed(String),
    /// The session is not renewed any more; why.
    NoMoreRenewals(String),
    /// The new token is in use and not in the file; why.
    NotWritten(String),
    /// There is no token to begin with.
    Absent,
    /// What lies in the file is not used; why.
    NotUsable(String),
    /// The session has expired.
    Expired(Cause),
    /// It has not, as was thought.
    Revived(TokenId),
}

/// How it stands with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has looked yet.
    Unknown,
    /// No token was found so far.
    Absent,
    /// The token is used.
    Active,
    /// It is over.
    Expired(Cause),
}
