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
    let mut listing = Listing { kind, entries: Vec::new(), pages: Vec::new(), fault: None };
    let mut cursors: Vec<Value> = Vec::new();
    for page in 1.. {
        let params = cursors.last().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let mut result = match peer.ask(kind.method(), params).await {
            Answer::Result { value, .. } => value,
            other @ (Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_)) => {
                listing.fault = Some(ListFault::Failed(page, other));
                break;
            }
        };
        let members = result.as_object_mut();
        let Some(Value::Array(entries)) = members.and_then(|members| members.remove(kind.member())) else {
            listing.fault = Some(ListFault::NoEntries(page));
            break;
        };
        listing.entries.extend(entries);
        let cursor = result["nextCursor"].clone();
        listing.pages.push(result);
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
