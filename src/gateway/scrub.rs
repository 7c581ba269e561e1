//! Tokens out of what an API answers: where one stands, the server gets the stand-in.
//!
//! An API may give the token away: by a renewal, or because it repeats what it was asked with. A token is known by its
//! text, or by the prefix of this API's tokens and the three parts of a JSON Web Token. It may come in pieces: what may
//! be the beginning of one is held until more has come.

use bytes::Bytes;
use memchr::memmem;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

/// The longest token that is known by its form, in bytes: headers of HTTP are not longer.
const LONGEST: usize = 16 << 10;

/// The least length of what is left of a token without its prefix, in bytes, with which it is one: words are shorter.
const BARE: usize = 16;

/// What the server may see of tokens.
#[derive(Clone, Debug)]
pub struct Disguise {
    /// What stands in the place of a token.
    pub stand_in: SecretString,
    /// What each token begins with. Empty where they have no prefix.
    pub prefix: String,
}

/// Replaces tokens in one answer, piece by piece.
pub(super) struct Scrub {
    disguise: Disguise,
    /// Tokens that are known by their text.
    known: Vec<Zeroizing<Vec<u8>>>,
    /// Whether the text must stay as long as it is.
    keeps_length: bool,
    /// What may be the beginning of a token.
    held: Zeroizing<Vec<u8>>,
    /// The tokens that were known by their form.
    found: Vec<SecretString>,
}

/// What begins at a place of the text.
enum Here {
    /// A token of so many bytes.
    Token(usize),
    /// Perhaps a token.
    Perhaps,
    Nothing,
}

impl Scrub {
    /// `tokens` are known by their text, whatever it is.
    pub(super) fn new<'t>(disguise: &Disguise, tokens: impl Iterator<Item = &'t SecretString>) -> Self {
        let mut known = Vec::new();
        let prefix = Some(&*disguise.prefix).filter(|prefix| !prefix.is_empty());
        for token in tokens {
            let text = token.expose_secret();
            // Whoever knows the API knows the prefix too.
            let bare = prefix.and_then(|prefix| text.strip_prefix(prefix)).filter(|bare| bare.len() >= BARE);
            for text in [Some(text), bare].into_iter().flatten() {
                known.push(Zeroizing::new(text.as_bytes().to_vec()));
                // As some write it in JSON.
                if text.contains('/') {
                    known.push(Zeroizing::new(text.replace('/', "\\/").into_bytes()));
                }
            }
        }
        Self {
            disguise: disguise.clone(),
            known,
            keeps_length: false,
            held: Zeroizing::default(),
            found: Vec::new(),
        }
    }

    /// From now on the text stays as long as it is: the stand-in is cut, or filled up.
    pub(super) fn keep_length(&mut self) {
        self.keeps_length = true;
    }

    /// The same for a piece that is held by many: most are handed on as they are.
    pub(super) fn pass(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() && self.next_sign(&piece, false).is_none() {
            return piece;
        }
        self.push(&piece).into()
    }

    /// Whether something is held.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// The next piece without tokens. What is held comes with the piece after it.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        self.take(false)
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.take(true)
    }

    /// A whole text without tokens.
    pub(super) fn whole(&mut self, text: &[u8]) -> Vec<u8> {
        let mut scrubbed = self.push(text);
        scrubbed.append(&mut self.finish());
        scrubbed
    }

    /// Whether a text has no token in it.
    pub(super) fn is_clean(&self, text: &[u8]) -> bool {
        let prefix = Some(self.disguise.prefix.as_bytes()).filter(|prefix| !prefix.is_empty());
        let mut patterns = self.known.iter().map(|token| token.as_slice()).chain(prefix);
        patterns.all(|pattern| memmem::find(text, pattern).is_none())
    }

    /// The tokens that were known by their form since the last time.
    pub(super) fn found(&mut self) -> Vec<SecretString> {
        std::mem::take(&mut self.found)
    }

    fn take(&mut self, is_end: bool) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        let mut scrubbed = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(next) = self.next_sign(&text[at..], is_end) {
            scrubbed.extend_from_slice(&text[at..at + next]);
            at += next;
            match self.look(&text[at..], is_end) {
                Here::Token(length) => {
                    let token = &text[at..at + length];
                    self.replace(token, &mut scrubbed);
                    at += length;
                }
                Here::Perhaps => {
                    self.held = Zeroizing::new(text[at..].to_vec());
                    return scrubbed;
                }
                Here::Nothing => {
                    scrubbed.push(text[at]);
                    at += 1;
                }
            }
        }
        scrubbed.extend_from_slice(&text[at..]);
        scrubbed
    }

    /// Where the next thing stands that may be a token, or the beginning of one.
    fn next_sign(&self, text: &[u8], is_end: bool) -> Option<usize> {
        let prefix = Some(self.disguise.prefix.as_bytes()).filter(|prefix| !prefix.is_empty());
        let patterns = self.known.iter().map(|token| token.as_slice()).chain(prefix);
        let sign = |pattern: &[u8]| {
            memmem::find(text, pattern).or_else(|| {
                let longest = pattern.len().saturating_sub(1).min(text.len());
                let beginnings = (1..=longest).rev().filter(|_| !is_end);
                let mut beginnings = beginnings.filter(|length| text.ends_with(&pattern[..*length]));
                beginnings.next().map(|length| text.len() - length)
            })
        };
        patterns.filter_map(sign).min()
    }

    fn look(&self, text: &[u8], is_end: bool) -> Here {
        let mut known = self.known.iter().filter(|token| text.starts_with(token));
        let prefix = self.disguise.prefix.as_bytes();
        let by_form = !prefix.is_empty() && text.starts_with(prefix);
        if by_form {
            let rest = &text[prefix.len()..];
            let length = rest.iter().take_while(|byte| is_of_a_token(**byte)).count();
            // What goes on as a token does may be a longer one.
            if length == rest.len() && !is_end && length < LONGEST {
                return Here::Perhaps;
            }
            // A sentence may end with a full stop.
            let token = rest[..length].strip_suffix(b".").unwrap_or(&rest[..length]);
            if has_three_parts(token) {
                return Here::Token(prefix.len() + token.len());
            }
        }
        if let Some(token) = known.next() {
            return Here::Token(token.len());
        }
        let begins = |pattern: &[u8]| text.len() < pattern.len() && pattern.starts_with(text);
        let may_begin = self.known.iter().any(|token| begins(token)) || begins(prefix);
        if may_begin && !is_end { Here::Perhaps } else { Here::Nothing }
    }

    fn replace(&mut self, token: &[u8], scrubbed: &mut Vec<u8>) {
        let stand_in = self.disguise.stand_in.expose_secret().as_bytes();
        if token != stand_in
            && !self.known.iter().any(|known| known.as_slice() == token)
            && let Ok(text) = std::str::from_utf8(token)
        {
            self.found.push(text.into());
        }
        if self.keeps_length {
            let filled = stand_in.iter().copied().chain(std::iter::repeat(b'x'));
            scrubbed.extend(filled.take(token.len()));
        } else {
            scrubbed.extend_from_slice(stand_in);
        }
    }
}

/// Whether this is a byte of a JSON Web Token.
fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=')
}

fn has_three_parts(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.');
    parts.by_ref().take(3).filter(|part| !part.is_empty()).count() == 3 && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::{ExposeSecret as _, SecretString};

    use super::{Disguise, Scrub};

    const STAND_IN: &str = "wai_sess_stand.in.x";

    fn scrub(known: &[&str]) -> Scrub {
        let disguise = Disguise { stand_in: STAND_IN.into(), prefix: "wai_sess_".to_owned() };
        let known: Vec<SecretString> = known.iter().map(|text| (*text).into()).collect();
        Scrub::new(&disguise, known.iter())
    }

    #[test]
    fn tokens_are_known_by_their_text_and_by_their_form() {
        for (text, expected) in [
            (r#"{"token":"wai_sess_a.b.c"}"#, r#"{"token":"STAND"}"#),
            ("wai_sess_a.b.c", "STAND"),
            ("wai_sess_a.b.c. Good.", "STAND. Good."),
            ("x secret/token y secret\\/token z", "x STAND y STAND z"),
            ("wai_sess_wai_sess_a.b.c,", "STAND,"),
            (
                "wai_sess_ alone, wai_sess_a.b, wai_sess_.., wai_",
                "wai_sess_ alone, wai_sess_a.b, wai_sess_.., wai_",
            ),
            ("wai_sess_a.b.c.d", "wai_sess_a.b.c.d"),
            ("wai_swai_sess_a.b-_.c==;", "wai_sSTAND;"),
        ] {
            let expected = expected.replace("STAND", STAND_IN);
            assert_eq!(String::from_utf8(scrub(&["secret/token"]).whole(text.as_bytes())).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_found_is_told_and_the_length_may_stay() {
        let mut long = scrub(&["wai_sess_k.n.own"]);
        let text = b"wai_sess_a.b.c wai_sess_k.n.own wai_sess_stand.in.x";
        assert_eq!(long.whole(text), format!("{STAND_IN} {STAND_IN} {STAND_IN}").into_bytes());
        let found: Vec<_> = long.found().iter().map(|token| token.expose_secret().to_owned()).collect();
        assert_eq!(found, ["wai_sess_a.b.c"]);
        long.keep_length();
        let whole = long.whole(text);
        assert_eq!((whole.len(), &whole[..15]), (text.len(), &b"wai_sess_stand "[..]));
    }

    proptest! {
        #[test]
        fn pieces_are_what_the_whole_is(
            text in "(wai_sess_|a\\.b\\.c|[a-c._ -]|s3cret|\"){0,30}", cuts in prop::collection::vec(0..200_usize, 0..6)
        ) {
            let bytes = text.as_bytes();
            let whole = scrub(&["s3cret.b"]).whole(bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut pieces = scrub(&["s3cret.b"]);
            let mut joined = Vec::new();
            for pair in cuts.windows(2) {
                joined.extend(pieces.push(&bytes[pair[0]..pair[1]]));
            }
            joined.extend(pieces.finish());
            prop_assert_eq!(String::from_utf8(joined).unwrap(), String::from_utf8(whole).unwrap());
        }
    }
}
