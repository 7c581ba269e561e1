//! What is worth knowing of a server besides what is wrong with it. Pure.

use std::time::Duration;

use super::judge::{some, starts};
use super::seen::{Ending, Era, Kind, Seen, Way};

/// What it calls itself. `None` before it has.
pub(super) fn name(seen: &Seen) -> Option<String> {
    let greeting = seen.main.greeting()?;
    let info = [&greeting["serverInfo"], &greeting["_meta"]["io.modelcontextprotocol/serverInfo"]];
    info.iter().find_map(|info| {
        let version = info["version"].as_str().unwrap_or_default();
        Some(format!("{} {version}", info["name"].as_str()?).trim_end().to_owned())
    })
}

/// Labels and texts.
pub(super) fn facts(seen: &Seen) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if !seen.greeted() {
        return facts;
    }
    facts.push(("speaks", revisions(seen).join(", ")));
    let starts: Vec<String> = starts(seen).into_iter().map(time).collect();
    facts.push(("starts", format!("in {}", starts.join(", "))));
    let offers: Vec<String> = Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let listing = seen.main.listings.iter().find(|listing| listing.kind == kind)?;
            Some(match &listing.fault {
                Some(_) if listing.pages.is_empty() => format!("{}s not listed", kind.word()),
                Some(_) | None => some(listing.entries.len(), kind.word()),
            })
        })
        .collect();
    facts.push(("offers", if offers.is_empty() { "no lists".to_owned() } else { offers.join(", ") }));
    let endings: Vec<&Ending> = seen.lives().filter_map(|life| life.ending.as_ref()).collect();
    // If one of them was late, a time of the others says nothing.
    let slowest = |way: Way| {
        let times: Option<Vec<Duration>> =
            endings.iter().filter(|it| it.asked == way).map(|it| it.took.filter(|_| it.in_time())).collect();
        times?.into_iter().max().map(time)
    };
    let leaves: Vec<String> = [(Way::EndOfInput, "the end of its input"), (Way::Term, "SIGTERM")]
        .into_iter()
        .filter_map(|(way, words)| Some(format!("{} after {words}", slowest(way)?)))
        .collect();
    if !leaves.is_empty() {
        facts.push(("leaves", leaves.join(", ")));
    }
    if let Some(Ok(recovery)) = seen.drill.as_ref().map(|drill| drill.outcome.as_ref()) {
        facts.push(("recovers", format!("{} after it was killed", time(recovery.after))));
    }
    facts
}

/// The revisions that it has agreed to.
fn revisions(seen: &Seen) -> Vec<String> {
    let mut all: Vec<String> = seen
        .lives()
        .filter_map(|life| {
            let greeting = life.greeting()?;
            Some(match life.era {
                Era::Legacy => vec![greeting["protocolVersion"].as_str().unwrap_or("?").to_owned()],
                Era::Modern => {
                    let versions = greeting["supportedVersions"].as_array().into_iter().flatten();
                    versions.filter_map(|version| version.as_str().map(str::to_owned)).collect()
                }
            })
        })
        .flatten()
        .collect();
    all.sort();
    all.dedup();
    all
}

fn time(time: Duration) -> String {
    match time.as_millis() {
        0 => "less than 1 ms".to_owned(),
        ms @ 1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
