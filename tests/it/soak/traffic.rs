//! What hosts ask, and what is right to answer: chosen by the dice, in each era.

use serde_json::{Value, json};

use super::book::Right;
use crate::support::dice::Dice;

/// Above what a pipe holds, and well below what may wait for a server (16 MiB) when a few of them come together.
const BIG: (u64, u64) = (100_000, 3_000_000);

/// The same for the SDK's server, which takes its time for them.
const BIG_MODERN: (u64, u64) = (100_000, 1_000_000);

/// A request before it has an id.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) params: Value,
    pub(super) right: Right,
    pub(super) safe: bool,
    pub(super) journaled: bool,
    /// It asks for its progress.
    pub(super) progress: bool,
    /// Nothing answers it unless it is cancelled or its server dies.
    pub(super) endless: bool,
    /// About as many bytes travel.
    pub(super) bytes: u64,
}

impl Ask {
    /// One that is safe to repeat.
    pub(super) fn method(method: &'static str, params: Value, right: Right) -> Self {
        Self {
            method,
            params,
            right,
            safe: true,
            journaled: false,
            progress: false,
            endless: false,
            bytes: 0,
        }
    }

    pub(super) fn tool(name: &str, arguments: &Value, right: Right) -> Self {
        Self::method("tools/call", json!({"name": name, "arguments": arguments}), right)
    }

    /// One that is not.
    pub(super) fn once(name: &str, arguments: &Value, right: Right) -> Self {
        Self { safe: false, journaled: true, ..Self::tool(name, arguments, right) }
    }

    fn with_progress(self) -> Self {
        Self { progress: true, ..self }
    }

    fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    fn weighing(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }
}

/// What never changes, as the host has seen it first: method, params and result. No later server has anything else.
pub(super) type Known = Vec<(&'static str, Value, Value)>;

fn text(words: impl Into<String>) -> Right {
    Right::Text(words.into())
}

/// Something that never changes.
fn known(dice: &mut Dice, known: &Known) -> Ask {
    let (method, params, result) = dice.pick(known);
    Ask::method(method, params.clone(), Right::Result(result.clone()))
}

/// What a host of the eras with a greeting asks. The number is that of the request.
pub(super) fn legacy(dice: &mut Dice, number: u64, seen: &Known, most: u64) -> Ask {
    match dice.below(100) {
        0..20 => {
            let word = dice.text(number % 300);
            Ask::tool("echo", &json!({"text": word}), text(word))
        }
        20..24 => {
            let bytes = dice.between(BIG.0, BIG.1);
            let word = dice.text(bytes);
            Ask::tool("echo", &json!({"text": word}), text(word)).weighing(2 * bytes)
        }
        24..29 => {
            // Some of them are longer than the host would take.
            let bytes = dice.between(BIG.0, most + most / 4);
            let right = usize::try_from(bytes).expect("it fits into memory");
            Ask::tool("big", &json!({"bytes": bytes}), Right::Line(right)).weighing(bytes)
        }
        29..40 => Ask::once("count", &json!({}), Right::Number),
        40..45 => {
            let (key, value) = (dice.text(5), dice.text(20));
            Ask::tool("put", &json!({"key": key, "value": value}), text(format!("{key} is {value}")))
        }
        45..50 => {
            let ms = dice.below(40);
            Ask::once("slow", &json!({"ms": ms}), text(format!("slept {ms} ms")))
        }
        50..55 => {
            let ms = dice.below(40);
            Ask::tool("slow-safe", &json!({"ms": ms}), text(format!("slept {ms} ms")))
        }
        55..57 => Ask::once("hang", &json!({}), Right::None).endless(),
        57..58 => Ask::tool("hang-safe", &json!({}), Right::None).endless(),
        58..64 => known(dice, seen),
        64..68 => Ask::method("ping", json!({}), Right::Result(json!({}))),
        68..73 => {
            let uri = format!("fixture://item/{}", dice.text(8));
            let right = json!({"contents": [
                {"uri": uri, "mimeType": "text/plain", "text": format!("the {}", &uri["fixture://".len()..])},
            ]});
            Ask::method("resources/read", json!({ "uri": uri }), Right::Result(right))
        }
        73..76 => {
            let who = dice.text(8);
            let said = format!("Say hello to {who}.");
            let right = json!({"messages": [{"role": "user", "content": {"type": "text", "text": said}}]});
            Ask::method(
                "prompts/get",
                json!({"name": "hello", "arguments": {"who": who}}),
                Right::Result(right),
            )
        }
        76..79 => {
            let params = json!({
                "ref": {"type": "ref/prompt", "name": "hello"},
                "argument": {"name": "who", "value": "al"},
            });
            let right = json!({"completion": {"values": ["alice", "alan"], "total": 2, "hasMore": false}});
            Ask::method("completion/complete", params, Right::Result(right))
        }
        79..85 => {
            let (n, ms) = (dice.between(1, 20), dice.below(3));
            Ask::tool("progress", &json!({"n": n, "ms": ms}), text(format!("reported {n}"))).with_progress()
        }
        85..91 => Ask::once("ask", &json!({"method": "roots/list"}), Right::OurAnswer),
        91..93 => {
            let (n, bytes) = (dice.between(1, 500), dice.below(400));
            Ask::tool("flood", &json!({"n": n, "bytes": bytes}), text(format!("sent {n}")))
                .weighing(n * bytes)
        }
        93..95 => Ask::once("fail", &json!({}), text("failed as asked")),
        95..97 => Ask::tool("typed", &json!({}), Right::Start("{\"pid\":")),
        97..98 => {
            Ask { journaled: false, safe: false, ..Ask::tool("nobody", &json!({}), Right::Error(-32602)) }
        }
        98..99 => Ask { safe: false, ..Ask::method("unknown/method", json!({}), Right::Error(-32601)) },
        _ => Ask::method("resources/read", json!({"uri": "fixture://nothing"}), Right::Error(-32002)),
    }
}

/// What a host of the era without a greeting asks.
pub(super) fn modern(dice: &mut Dice, number: u64, seen: &Known) -> Ask {
    match dice.below(100) {
        0..25 => {
            let word = dice.text(number % 300);
            Ask::tool("echo", &json!({"text": word}), text(word))
        }
        25..30 => {
            let bytes = dice.between(BIG_MODERN.0, BIG_MODERN.1);
            let word = dice.text(bytes);
            Ask::tool("echo", &json!({"text": word}), text(word)).weighing(2 * bytes)
        }
        30..35 => {
            let bytes = dice.between(BIG_MODERN.0, BIG_MODERN.1);
            let right = "x".repeat(usize::try_from(bytes).expect("it fits into memory"));
            Ask::tool("big", &json!({"bytes": bytes}), text(right)).weighing(bytes)
        }
        // The journal of this server has the text.
        35..55 => Ask::once("note", &json!({"text": number.to_string()}), text(number.to_string())),
        55..62 => {
            let ms = dice.below(60);
            Ask::tool("slow", &json!({"ms": ms}), text(format!("slept {ms} ms")))
        }
        62..70 => {
            let ms = dice.below(60);
            Ask::tool("slow", &json!({"ms": ms}), text(format!("slept {ms} ms"))).with_progress()
        }
        70..72 => Ask::tool("slow", &json!({"ms": 3_600_000}), text("slept 3600000 ms")).endless(),
        72..80 => known(dice, seen),
        80..88 => {
            let (left, right) = (dice.below(1000), dice.below(1000));
            let sum = text((left + right).to_string());
            Ask { journaled: false, ..Ask::once("add", &json!({"left": left, "right": right}), sum) }
        }
        88..93 => Ask { journaled: false, ..Ask::once("touch", &json!({}), text("touched")) },
        _ => Ask::method("resources/read", json!({"uri": "fixture://nothing"}), Right::Error(-32602)),
    }
}
