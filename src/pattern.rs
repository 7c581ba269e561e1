//! A regular expression that is made ready when it is first asked, for most runs never ask.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use regex_lite::Regex;

/// What a text is compared with.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    /// `None` inside if it is no regular expression.
    regex: Arc<OnceLock<Option<Regex>>>,
}

impl Pattern {
    /// A pattern of our own: it is a regular expression.
    pub fn known(text: &str) -> Self {
        Self { text: text.into(), regex: Arc::default() }
    }

    /// Whether it is found in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| Regex::new(&self.text).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let regex = Regex::new(text).map_err(|error| error.to_string())?;
        let ready = OnceLock::new();
        // It is new.
        let _ = ready.set(Some(regex));
        Ok(Self { text: text.into(), regex: Arc::new(ready) })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn one_that_is_no_regular_expression_is_refused_and_says_why() {
        assert!("(".parse::<Pattern>().is_err_and(|why| !why.is_empty()));
        let given: Pattern = "a+".parse().expect("it is one");
        assert!(given.is_in("baa") && !given.is_in("b"));
        let known = Pattern::known("(?i)x");
        assert!(known.is_in("X") && known.clone().is_in("x") && !known.is_in("y"));
    }
}
