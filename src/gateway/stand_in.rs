//! What opens the gateway, made anew for each run: a token that looks like the real one, or a path.
//!
//! A server may read its token: so the stand-in is a token of three parts without an end, with which the server's own code
//! is content and which it never renews. Its signature is random and signs nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::json;

/// A stand-in token. `prefix` is what the API's tokens begin with, `now` the wall-clock time since the Unix epoch.
pub fn stand_in(prefix: &str, now: Duration) -> Result<SecretString, getrandom::Error> {
    let session = hex(random::<16>()?);
    let header = encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
    let claims = json!({ "sub": session, "sessionId": session, "iat": now.as_secs() });
    let claims = encode(claims.to_string());
    let signature = encode(random::<32>()?);
    Ok(format!("{prefix}{header}.{claims}.{signature}").into())
}

/// A segment of a path that nobody guesses, of 256 bit.
pub fn random_path() -> Result<SecretString, getrandom::Error> {
    Ok(encode(random::<32>()?).into())
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], getrandom::Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}
