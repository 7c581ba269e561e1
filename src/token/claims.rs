//! What a token's text says: its claims, where it is a JSON Web Token. Nothing is verified, for the key is not ours.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::Credential;
use crate::engine::lease::io::Claims;

/// The longest token that is read, in bytes: headers of HTTP are not longer.
pub(super) const LONGEST: usize = 16 * 1024;
/// The shortest that is read, in bytes: shorter secrets could not be masked without masking ordinary words.
const SHORTEST: usize = 8;

/// Careful in what it makes, and lenient in what it reads.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What tokens look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// What each begins with. Empty where they have no prefix.
    pub prefix: String,
    /// Whether a text that is no JSON Web Token is a token too: one that does not say when it ends.
    pub opaque: bool,
}

impl Form {
    /// The token in a file or a variable.
    ///
    /// # Errors
    /// Why it is none, as words that fit after "the token file".
    pub fn read(&self, text: &[u8]) -> Result<Credential, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "holds no text")?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > LONGEST {
            return Err("holds more than a token");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds more than one word, or characters that no token has");
        }
        let Some(rest) = text.strip_prefix(&self.prefix).filter(|rest| !rest.is_empty()) else {
            return Err("holds a text that does not begin as a token does");
        };
        let Some(claims) = json_web_token(rest) else {
            let known = Credential { text: text.into(), claims: Claims::default(), session: None };
            return match self.opaque {
                true if text.len() < SHORTEST => Err("holds less than a token: fewer than 8 characters"),
                true => Ok(known),
                false => Err("holds a text that is no JSON Web Token"),
            };
        };
        if is_cut_off(rest) {
            return Err("holds a part of a token");
        }
        let expires = match claims.get("exp").map(Value::as_number) {
            None => None,
            Some(Some(at)) => Some(time(at)),
            Some(None) => return Err("holds a token whose `exp` is no number"),
        };
        let issued = claims["iat"].as_number().map(time);
        let named = ["sub", "sid", "sessionId"].iter().filter_map(|name| claims[name].as_str());
        let session = named.into_iter().find(|id| !id.is_empty()).map(str::to_owned);
        Ok(Credential { text: text.into(), claims: Claims { issued, expires }, session })
    }
}

/// The claims of a JSON Web Token. `None` if this is none.
fn json_web_token(text: &str) -> Option<Value> {
    let mut parts = text.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims: Value = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
    claims.is_object().then_some(claims)
}

/// Whether the end of a JSON Web Token is missing, as while a careless writer is at it: the signature is shorter than those of
/// its algorithm are. Of most algorithms nothing is said.
fn is_cut_off(text: &str) -> bool {
    let mut parts = text.split('.');
    let (Some(header), Some(signature)) = (parts.next(), parts.nth(1)) else { return false };
    let header: Option<Value> =
        BASE64.decode(header).ok().and_then(|header| serde_json::from_slice(&header).ok());
    // Of 32, 48 and 64 bytes, in Base64 without padding.
    let whole = match header.as_ref().and_then(|header| header["alg"].as_str()) {
        Some("HS256") => 43,
        Some("HS384") => 64,
        Some("HS512") => 86,
        _ => return false,
    };
    signature.len() < whole
}

/// A point of time since the Unix epoch. What cannot be one is as far from our days as it gets.
fn time(seconds: &serde_json::Number) -> Duration {
    match (seconds.as_u64(), seconds.as_f64()) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(seconds)) if seconds <= 0.0 => Duration::ZERO,
        (None, seconds) => {
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(Duration::MAX)
        }
    }
}
