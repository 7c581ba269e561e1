//! Lists, read to their end as hosts do, or to what keeps them from it.

use serde_json::{Value, json};

use super::peer::Peer;
use super::seen::{Answer, Kind, ListFault, Listing};

/// A list with more pages than this is taken for endless.
const MOST_PAGES: usize = 1000;

/// All pages of these lists.
pub(super) async fn lists(peer: &mut Peer, kinds: &[Kind]) -> Vec<Listing> {
    let mut all = Vec::new();
    for kind in kinds {
        all.push(list(peer, *kind).await);
    }
    all
}

async fn list(peer: &mut Peer, kind: Kind) -> Listing {
    let mut listing = Listing { kind, entries: Vec::new(), first: Value::Null, fault: None };
    let mut cursors: Vec<Value> = Vec::new();
    for page in 1.. {
        let params = cursors.last().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let result = match peer.ask(kind.method(), params).await {
            Answer::Result { value, .. } => value,
            other @ (Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_)) => {
                listing.fault = Some(ListFault::Failed(page, other));
                break;
            }
        };
        let Some(entries) = result[kind.member()].as_array() else {
            listing.fault = Some(ListFault::NoEntries(page));
            break;
        };
        listing.entries.extend(entries.iter().cloned());
        let cursor = result["nextCursor"].clone();
        if page == 1 {
            listing.first = result;
        }
        // Clients take an empty one for none too.
        if cursor.is_null() || cursor == "" {
            break;
        }
        if cursors.contains(&cursor) || page == MOST_PAGES {
            listing.fault = Some(ListFault::Endless { pages: page, again: page < MOST_PAGES });
            break;
        }
        cursors.push(cursor);
    }
    listing
}
