//! Which headers go on, and which belong to one connection only.
//!
//! Those of a connection end here, on both sides: what `Connection` names, framing, proxies' own. All others go on as
//! they came, repeated ones in their order. Trailers go on where the message is in chunks, as it must be to carry any.

use hyper::HeaderMap;
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue,
    RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::scrub::Scrub;

/// Makes the headers of a request those that the API gets, but for its authorization. `chunked`: its body has no length.
pub(super) fn toward_upstream(headers: &mut HeaderMap, chunked: bool) {
    let takes_trailers = words(headers, &TE).any(|word| word.eq_ignore_ascii_case("trailers"));
    end_of_connection(headers, chunked);
    // The client library writes the API's own name, and waits for nobody's leave to send a body.
    headers.remove(HOST);
    headers.remove(EXPECT);
    // What is compressed cannot be looked through for tokens, and two halves of one are none.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(RANGE);
    if chunked {
        headers.remove(CONTENT_LENGTH);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Makes the headers of an answer those that the gateway's client gets. `chunked`: its body has no length.
pub(super) fn toward_server(headers: &mut HeaderMap, chunked: bool) {
    // What is in chunks has the length that it has: another one was never true.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    end_of_connection(headers, chunked);
}

/// Whether an answer is in a form in which nobody could see a token, though another form was asked for. Which one.
pub(super) fn encoding(headers: &HeaderMap) -> Option<String> {
    let mut encodings = words(headers, &CONTENT_ENCODING);
    encodings.find(|word| !word.is_empty() && !word.eq_ignore_ascii_case("identity")).map(str::to_owned)
}

/// Takes the tokens out of headers.
pub(super) fn without_tokens(headers: &mut HeaderMap, scrub: &mut Scrub) {
    for value in headers.values_mut() {
        if scrub.is_clean(value.as_bytes()) {
            continue;
        }
        // Where a token could stand, a stand-in can.
        if let Ok(clean) = HeaderValue::from_bytes(&scrub.whole(value.as_bytes())) {
            *value = clean;
        }
    }
}

fn end_of_connection(headers: &mut HeaderMap, chunked: bool) {
    let named = words(headers, &CONNECTION).filter_map(|word| HeaderName::from_bytes(word.as_bytes()).ok());
    let of_proxies = headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned();
    let ends: Vec<_> = named.chain(of_proxies).collect();
    for name in ends {
        headers.remove(name);
    }
    for name in [CONNECTION, HeaderName::from_static("keep-alive"), TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if !chunked {
        headers.remove(TRAILER);
    }
}

/// The words of a list, over all headers of this name.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
