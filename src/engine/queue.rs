//! What waits for a server, in the order in which the host sent it. Bounded by number and by bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::wire::Id;

/// The most messages that wait.
pub(super) const QUEUE_MESSAGES: usize = 1024;
/// The most bytes that wait.
pub(super) const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// One line that waits.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// One request.
    Request(Id),
    /// An array of requests and others, of which the requests are in the table.
    Batch {
        /// The line as it came. `None` once an element is no longer to be sent.
        whole: Option<Bytes>,
        /// The elements.
        elements: Vec<BatchElement>,
    },
    /// A notification, or a line that could not be read as a request.
    Other {
        /// As it came.
        line: Bytes,
        /// How many answers to it may come.
        answers: u32,
    },
}

/// One element of a batch that waits.
#[derive(Clone, Debug)]
pub(super) enum BatchElement {
    /// A request in the table.
    Request(Id),
    /// Another message, without line feed, and how many answers to it may come.
    Other(Bytes, u32),
}

/// A line at its place.
#[derive(Debug)]
struct Line {
    what: What,
    bytes: usize,
}

#[derive(Debug)]
enum What {
    Alone(Id),
    Batch {
        whole: Option<Bytes>,
        /// In their order. `None` for a request that was taken out.
        elements: Vec<Option<BatchElement>>,
        /// How many of them are left.
        left: usize,
    },
    Other(Waiting),
}

/// The queue. A request leads directly to its line, however many wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By place: the first line has the lowest.
    lines: BTreeMap<i64, Line>,
    /// The line of each request, and which element of it the request is.
    places: BTreeMap<Id, (i64, usize)>,
    /// The lines that are one request.
    alone: BTreeSet<i64>,
    bytes: usize,
}

impl Queue {
    /// Appends a line of `bytes` bytes.
    ///
    /// # Errors
    /// If the queue is full: the line is not in it.
    pub(super) fn push(&mut self, waiting: Waiting, bytes: usize) -> Result<(), Waiting> {
        if self.lines.len() >= QUEUE_MESSAGES || self.bytes + bytes > QUEUE_BYTES {
            return Err(waiting);
        }
        let place = self.lines.last_key_value().map_or(0, |(last, _)| last + 1);
        self.put(place, waiting, bytes);
        Ok(())
    }

    /// Puts a line in front of all others, whether or not there is room: it was accepted before.
    pub(super) fn push_front(&mut self, waiting: Waiting, bytes: usize) {
        let place = self.lines.first_key_value().map_or(0, |(first, _)| first - 1);
        self.put(place, waiting, bytes);
    }

    fn put(&mut self, place: i64, waiting: Waiting, bytes: usize) {
        let what = match waiting {
            Waiting::Request(id) => {
                self.places.insert(id.clone(), (place, 0));
                self.alone.insert(place);
                What::Alone(id)
            }
            Waiting::Batch { whole, elements } => {
                for (number, element) in elements.iter().enumerate() {
                    if let BatchElement::Request(id) = element {
                        self.places.insert(id.clone(), (place, number));
                    }
                }
                let left = elements.len();
                What::Batch { whole, elements: elements.into_iter().map(Some).collect(), left }
            }
            other @ Waiting::Other { .. } => What::Other(other),
        };
        self.bytes += bytes;
        self.lines.insert(place, Line { what, bytes });
    }

    /// Takes the first line.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let place = *self.lines.first_key_value()?.0;
        self.take(place)
    }

    /// Takes the first wanted request out that came alone, whatever waits in front of it.
    pub(super) fn pop_request_if(&mut self, wanted: impl Fn(&Id) -> bool) -> Option<Id> {
        let is_wanted = |place: &&i64| match &self.lines[*place].what {
            What::Alone(id) => wanted(id),
            What::Batch { .. } | What::Other(_) => false,
        };
        let place = *self.alone.iter().find(is_wanted)?;
        match self.take(place)? {
            Waiting::Request(id) => Some(id),
            Waiting::Batch { .. } | Waiting::Other { .. } => None,
        }
    }

    fn take(&mut self, place: i64) -> Option<Waiting> {
        let line = self.lines.remove(&place)?;
        self.bytes -= line.bytes;
        Some(match line.what {
            What::Alone(id) => {
                self.alone.remove(&place);
                self.places.remove(&id);
                Waiting::Request(id)
            }
            What::Batch { whole, elements, .. } => {
                let elements: Vec<BatchElement> = elements.into_iter().flatten().collect();
                for element in &elements {
                    if let BatchElement::Request(id) = element {
                        self.places.remove(id);
                    }
                }
                Waiting::Batch { whole, elements }
            }
            What::Other(other) => other,
        })
    }

    /// Takes one request out, from its batch where it is in one.
    pub(super) fn remove(&mut self, id: &Id) {
        let Some((place, number)) = self.places.remove(id) else { return };
        let Some(line) = self.lines.get_mut(&place) else { return };
        if let What::Batch { whole, elements, left } = &mut line.what {
            *whole = None;
            *left -= usize::from(elements[number].take().is_some());
            if *left > 0 {
                return;
            }
        }
        self.bytes -= line.bytes;
        self.alone.remove(&place);
        self.lines.remove(&place);
    }

    /// The requests that wait, in no particular order.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Id> {
        self.places.keys()
    }

    /// Forgets everything. How many lines these were.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(self).lines.len()
    }

    /// How many lines wait.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BatchElement, QUEUE_BYTES, QUEUE_MESSAGES, Queue, Waiting};
    use crate::wire::Id;

    fn other() -> Waiting {
        Waiting::Other { line: Bytes::from_static(b"x"), answers: 0 }
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut queue = Queue::default();
        for _ in 0..QUEUE_MESSAGES {
            assert!(queue.push(other(), 1).is_ok());
        }
        assert!(queue.push(other(), 1).is_err());
        queue.clear();
        assert!(queue.push(other(), QUEUE_BYTES).is_ok());
        assert!(queue.push(other(), 1).is_err());
        // What was accepted before is accepted again.
        queue.push_front(other(), 1);
        assert_eq!(queue.len(), 2);
        queue.pop();
        queue.pop();
        assert!(queue.push(other(), QUEUE_BYTES).is_ok());
    }

    #[test]
    fn a_request_that_is_taken_out_makes_room() {
        let mut queue = Queue::default();
        let id = Id::text("a");
        assert!(queue.push(Waiting::Request(id.clone()), QUEUE_BYTES).is_ok());
        queue.remove(&id);
        assert_eq!(queue.len(), 0);
        assert!(queue.push(other(), QUEUE_BYTES).is_ok());
    }

    fn batch(names: &[&str]) -> Waiting {
        let whole = Some(Bytes::from_static(b"[]"));
        Waiting::Batch {
            whole,
            elements: names.iter().map(|name| BatchElement::Request(Id::text(name))).collect(),
        }
    }

    #[test]
    fn what_is_left_of_a_batch_keeps_its_order_and_an_empty_one_is_none() {
        let mut queue = Queue::default();
        assert!(queue.push(batch(&["a", "b", "c"]), 3).is_ok());
        queue.push_front(batch(&["d"]), 1);
        queue.remove(&Id::text("b"));
        queue.remove(&Id::text("d"));
        assert_eq!((queue.len(), queue.requests().count()), (1, 2));
        let Some(Waiting::Batch { whole: None, elements }) = queue.pop() else {
            panic!("it is a batch, and not whole")
        };
        let left: Vec<String> = elements.iter().map(|element| format!("{element:?}")).collect();
        assert_eq!(left, ["Request(\"a\")", "Request(\"c\")"]);
        assert!(queue.pop().is_none() && queue.requests().count() == 0);
    }

    #[test]
    fn a_request_that_came_alone_is_taken_from_behind_what_did_not() {
        let mut queue = Queue::default();
        for waiting in
            [other(), batch(&["a"]), Waiting::Request(Id::text("b")), Waiting::Request(Id::text("c"))]
        {
            assert!(queue.push(waiting, 1).is_ok());
        }
        queue.push_front(Waiting::Request(Id::text("first")), 1);
        let taken = [
            queue.pop_request_if(|_| true),
            queue.pop_request_if(|_| true),
            queue.pop_request_if(|_| true),
            queue.pop_request_if(|_| true),
        ];
        assert_eq!(
            taken.map(|id| id.map(|id| id.to_json())),
            [Some("\"first\"".into()), Some("\"b\"".into()), Some("\"c\"".into()), None]
        );
        assert_eq!(queue.len(), 2);
    }
}
