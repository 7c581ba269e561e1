//! What the daemon's answers say. Pure functions; what is wrong with an answer they tell in words that name no secret.

use secrecy::SecretString;
use serde_json::Value;

use super::{Expiry, Issued, Provisioned, Wallet, Why};
use crate::http::error_code;

/// The longest text of the daemon that is shown, in characters.
const LONGEST: usize = 500;

/// `{items:[{id,name?,status?}]}`
pub(super) fn wallets(body: &[u8]) -> Result<Vec<Wallet>, String> {
    let body = object(body)?;
    let items = body["items"].as_array().ok_or("the answer has no list `items`")?;
    let mut wallets = Vec::<Wallet>::with_capacity(items.len());
    for item in items {
        let id = text(&item["id"]).ok_or("the answer has a wallet without a proper id")?;
        if !wallets.iter().any(|wallet| wallet.id == id) {
            let terminated = matches!(item["status"].as_str(), Some("TERMINATED" | "TERMINATING"));
            wallets.push(Wallet { id, name: shown(&item["name"]), terminated });
        }
    }
    Ok(wallets)
}

/// `[{id}]`, or the same under `items` or `data`. The ids, or `None` where there is no list.
pub(super) fn sessions(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let lists = [Some(&body), body.get("items"), body.get("data")];
    let list = lists.into_iter().flatten().find_map(Value::as_array)?;
    Some(list.iter().filter_map(|session| text(&session["id"])).collect())
}

/// `{id | sessionId, token, expiresAt?}`. With what is wrong comes the session, where the answer names it.
pub(super) fn issued(body: &[u8]) -> Result<Issued, (String, Option<String>)> {
    let mut body = object(body).map_err(|why| (why, None))?;
    let session = text(&body["id"]).or_else(|| text(&body["sessionId"]));
    let expires = expiry(&body).map_err(|why| (why, session.clone()))?;
    match body.get_mut("token").map(Value::take) {
        Some(Value::String(token)) if !token.is_empty() => {
            Ok(Issued { session, token: SecretString::from(token), expires })
        }
        _ => Err(("the answer has no `token`".to_owned(), session)),
    }
}

/// `{walletId, walletName?, tokenPath, expiresAt?}`
pub(super) fn provisioned(body: &[u8]) -> Result<Provisioned, String> {
    let body = object(body)?;
    let file = text(&body["tokenPath"]).ok_or("the answer has no `tokenPath`")?;
    Ok(Provisioned { name: shown(&body["walletName"]), file: file.into(), expires: expiry(&body)? })
}

/// An answer that is a no: `{code, message, hint?}`, or the same under `error`.
pub(super) fn refusal(status: u16, body: &[u8]) -> Why {
    let code = error_code(body);
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = |name: &str| shown(&body[name]).or_else(|| shown(&body["error"][name]));
    match (status, code.as_deref()) {
        (_, Some("INVALID_MASTER_PASSWORD")) | (401, None) => Why::WrongPassword,
        (_, Some("WALLET_NOT_FOUND")) => Why::NoSuchWallet,
        // A page for browsers says nothing that fits into a line.
        _ => Why::Refused { status, code, message: said("message"), hint: said("hint") },
    }
}

fn object(body: &[u8]) -> Result<Value, String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "the answer is no JSON")?;
    if body.is_object() { Ok(body) } else { Err("the answer is no JSON object".to_owned()) }
}

fn expiry(body: &Value) -> Result<Option<Expiry>, String> {
    let value = &body["expiresAt"];
    if value.is_null() {
        // With a null, those that write ISO 8601 mean what the others mean with a 0.
        return Ok(body.get("expiresAt").map(|_| Expiry::Never));
    }
    Expiry::read(value).map(Some).ok_or_else(|| "the answer's `expiresAt` is no time".to_owned())
}

/// An id or a path, as it is: one that could not be shown is none.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && !text.contains(is_order)).map(str::to_owned)
}

/// A text that may be shown. `None` where there is none, or nothing of it is left.
fn shown(value: &Value) -> Option<String> {
    let words: Vec<&str> = value.as_str()?.split(|c: char| c.is_whitespace() || is_order(c)).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let text: String = words.join(" ").chars().take(LONGEST).collect();
    (!text.is_empty()).then_some(text)
}

/// Whether a terminal would do something else with it than show it: control characters, and those that turn the
/// direction of writing.
fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
