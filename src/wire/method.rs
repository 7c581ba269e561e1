//! Methods: the ones that the protocol names are not written down anew for each message.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// The method of a request or a notification. Cloning one that the protocol names costs nothing.
#[derive(Clone)]
pub struct Method(Name);

#[derive(Clone)]
enum Name {
    Known(&'static str),
    Other(Box<str>),
}

/// Those that make up nearly all of the traffic.
const KNOWN: [&str; 16] = [
    "tools/call",
    "tools/list",
    "notifications/progress",
    "notifications/message",
    "resources/read",
    "prompts/get",
    "completion/complete",
    "ping",
    "notifications/cancelled",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "notifications/resources/updated",
];

impl Method {
    /// The method of this name.
    pub fn new(name: &str) -> Self {
        match KNOWN.iter().find(|known| **known == name) {
            Some(known) => Self(Name::Known(known)),
            None => Self(Name::Other(name.into())),
        }
    }
}

impl Deref for Method {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Name::Known(name) => name,
            Name::Other(name) => name,
        }
    }
}

impl Borrow<str> for Method {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Method {}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
