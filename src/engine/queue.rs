//! What waits for a server, in the order in which the host sent it. Bounded by number and by bytes.

use std::collections::VecDeque;

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
    /// A notification, or a line that is no message and is handed on untracked.
    Other(Bytes),
}

/// One element of a batch that waits.
#[derive(Clone, Debug)]
pub(super) enum BatchElement {
    /// A request in the table.
    Request(Id),
    /// Another message, without line feed.
    Other(Bytes),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<(Waiting, usize)>,
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
        self.bytes += bytes;
        self.lines.push_back((waiting, bytes));
        Ok(())
    }

    /// Puts a line in front of all others, whether or not there is room: it was accepted before.
    pub(super) fn push_front(&mut self, waiting: Waiting, bytes: usize) {
        self.bytes += bytes;
        self.lines.push_front((waiting, bytes));
    }

    /// Takes the first line.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (waiting, bytes) = self.lines.pop_front()?;
        self.bytes -= bytes;
        Some(waiting)
    }

    /// Takes the first request out that came alone, whatever waits in front of it.
    pub(super) fn pop_request(&mut self) -> Option<Id> {
        let at = self.lines.iter().position(|(waiting, _)| matches!(waiting, Waiting::Request(_)))?;
        let (waiting, bytes) = self.lines.remove(at)?;
        self.bytes -= bytes;
        match waiting {
            Waiting::Request(id) => Some(id),
            Waiting::Batch { .. } | Waiting::Other(_) => None,
        }
    }

    /// Takes one request out, from its batch where it is in one.
    pub(super) fn remove(&mut self, id: &Id) {
        let bytes = &mut self.bytes;
        self.lines.retain_mut(|(waiting, size)| {
            let keep = match waiting {
                Waiting::Request(queued) => queued != id,
                Waiting::Batch { whole, elements } => {
                    let before = elements.len();
                    elements
                        .retain(|element| !matches!(element, BatchElement::Request(queued) if queued == id));
                    if elements.len() < before {
                        *whole = None;
                    }
                    !elements.is_empty()
                }
                Waiting::Other(_) => true,
            };
            if !keep {
                *bytes -= *size;
            }
            keep
        });
    }

    /// Forgets everything. How many lines these were.
    pub(super) fn clear(&mut self) -> usize {
        self.bytes = 0;
        std::mem::take(&mut self.lines).len()
    }

    /// How many lines wait.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{QUEUE_BYTES, QUEUE_MESSAGES, Queue, Waiting};
    use crate::wire::Id;

    fn other() -> Waiting {
        Waiting::Other(Bytes::from_static(b"x"))
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
}
