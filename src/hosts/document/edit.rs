//! The edits of a config: one server behind the supervisor, or out from behind it. Every byte that no edit names stays. Pure.

use std::ops::Range;

use super::{Args, Document, Server, State, literal, steps};

/// A part of the text, in bytes, and what stands there instead.
pub(super) type Edit = (Range<usize>, String);

/// What else a server gets among our words: options, without the program and `--name`.
pub type Extra<'e> = &'e dyn Fn(&Server) -> &'e [&'e str];

/// A text that was edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The new text.
    pub text: String,
    /// Where it differs from what it was, in its order. No two touch each other.
    pub changes: Vec<Lines>,
}

/// Lines that stand in the place of others. The first line is 0; a range may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Those that were there.
    pub old: Range<usize>,
    /// Those that are there now.
    pub new: Range<usize>,
}

impl<'t> Document<'t> {
    /// The text with these servers behind this program. Those that are [`State::Plain`] get our words, with what is `extra`
    /// among them; those that are [`State::Wrapped`] get the program alone, in the place of one that has gone.
    pub fn wrapped(&self, servers: &[&Server], program: &str, extra: Extra<'_>) -> Edited {
        self.with(servers.iter().flat_map(|server| self.wrap(server, program, extra(server))).collect())
    }

    /// The text with these servers, which are [`State::Wrapped`], as they were.
    pub fn unwrapped(&self, servers: &[&Server]) -> Edited {
        self.with(servers.iter().flat_map(|server| self.unwrap(server)).collect())
    }

    fn with(&self, mut edits: Vec<Edit>) -> Edited {
        edits.sort_by_key(|(range, _)| range.start);
        let text = self.edited(&edits);
        let changes = changes(self.text, &text, &edits);
        Edited { text, changes }
    }

    /// The text with these edits, which are in its order.
    pub(super) fn edited(&self, edits: &[Edit]) -> String {
        let mut text =
            String::with_capacity(self.text.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>());
        let mut at = 0;
        for (range, new) in edits {
            text.push_str(&self.text[at..range.start]);
            text.push_str(new);
            at = range.end;
        }
        text.push_str(&self.text[at..]);
        steps::count(text.len());
        text
    }

    fn wrap(&self, server: &Server, program: &str, extra: &[&str]) -> Vec<Edit> {
        let Some(place) = &server.place else { return Vec::new() };
        if server.state == State::Wrapped {
            return vec![(place.command.clone(), literal(program))];
        }
        let mut words = match &*server.name {
            // No command line holds a null.
            name if name.is_empty() || name.contains('\0') => vec![],
            name if name.starts_with('-') => vec![literal(&format!("--name={name}"))],
            name => vec![literal("--name"), literal(name)],
        };
        words.extend(extra.iter().map(|word| literal(word)));
        words.extend([literal("--"), self.text[place.command.clone()].to_owned()]);
        let added = match &place.args {
            None => {
                let before = self.before(&place.property);
                let comma = if before.contains('\n') { "," } else { ", " };
                let before = if before.contains('\n') { before } else { "" };
                let colon = &self.text[place.colon.clone()];
                let colon = if colon.trim() == ":" { colon } else { ": " };
                let end = place.command.end;
                (end..end, format!("{comma}{before}\"args\"{colon}[ {} ]", words.join(", ")))
            }
            Some(Args { array, elements, .. }) => match elements.first() {
                None => (array.start + 1..array.start + 1, words.join(", ")),
                Some(first) => {
                    let before = self.before(first);
                    let between = if before.contains('\n') { before } else { " " };
                    let text = words.iter().fold(String::new(), |text, word| text + word + "," + between);
                    (first.start..first.start, text)
                }
            },
        };
        vec![(place.command.clone(), literal(program)), added]
    }

    fn unwrap(&self, server: &Server) -> Vec<Edit> {
        let Some((place, Args { follows, array, elements })) =
            server.place.as_ref().and_then(|place| Some((place, place.args.as_ref()?)))
        else {
            return Vec::new();
        };
        let Some((first, command)) = elements.first().zip(elements.get(place.ours)) else {
            return Vec::new();
        };
        let back = (place.command.clone(), self.text[command.clone()].to_owned());
        let made = &self.text[array.start + 1..first.start] == " ";
        let next = elements.get(place.ours + 1);
        // Where what comes after the last of our words begins, and where they end.
        let end = next.map_or(array.end - 1, |next| next.start);
        let ours = first.start..next.map_or(command.end, |next| next.start);
        let gone = if self.has_comment(ours.clone()) {
            // Somebody else has written them between our words, and keeps them.
            let words = &elements[..=place.ours];
            let ends = words.iter().skip(1).map(|word| word.start).chain([end]);
            let commas = words.iter().zip(ends).filter_map(|(word, end)| self.comma(word.end..end));
            words.iter().cloned().chain(commas).collect()
        } else {
            let alone = next.is_none();
            let whole = place.command.end..array.end;
            let made = alone && made && *follows && !self.has_comment(whole.clone());
            let comma = if alone && !made { self.comma(command.end..end) } else { None };
            [if made { whole } else { ours }].into_iter().chain(comma).collect::<Vec<_>>()
        };
        [back].into_iter().chain(gone.into_iter().map(|part| (part, String::new()))).collect()
    }

    /// The blanks before something, from the end of the line before on; what is before them on the same line does not count.
    fn before(&self, range: &Range<usize>) -> &'t str {
        let before = &self.text[..range.start];
        let blanks = &before[before.trim_end().len()..];
        let line = blanks.rfind('\n').map(|at| if blanks[..at].ends_with('\r') { at - 1 } else { at });
        line.map_or(blanks, |at| &blanks[at..])
    }

    /// The comma in this part of the text that is in no comment.
    fn comma(&self, part: Range<usize>) -> Option<Range<usize>> {
        let mut commas = self.text[part.clone()].match_indices(',').map(|(at, _)| part.start + at);
        let is_code = |at: &usize| {
            let next = self.first_comment(|comment| comment.end > *at);
            next.is_none_or(|comment| !comment.contains(at))
        };
        commas.find(is_code).map(|at| at..at + 1)
    }

    fn has_comment(&self, part: Range<usize>) -> bool {
        self.first_comment(|comment| comment.start >= part.start)
            .is_some_and(|comment| comment.end <= part.end)
    }

    /// The first comment of which this is true; it is of all that follow.
    fn first_comment(&self, is_true: impl Fn(&Range<usize>) -> bool) -> Option<&Range<usize>> {
        let at = self.comments.partition_point(|comment| {
            steps::count(1);
            !is_true(comment)
        });
        self.comments.get(at)
    }
}

/// Which lines these edits change, which are in the order of the text.
fn changes(old: &str, new: &str, edits: &[Edit]) -> Vec<Lines> {
    let ends = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
    let mut changes: Vec<Lines> = Vec::new();
    let (mut at, mut old_line, mut new_line) = (0, 0, 0);
    for (range, text) in edits {
        let between = ends(&old[at..range.start]);
        (old_line, new_line) = (old_line + between, new_line + between);
        let from = (old_line, new_line);
        (old_line, new_line) = (old_line + ends(&old[range.clone()]), new_line + ends(text));
        at = range.end;
        match changes.last_mut() {
            Some(last) if last.old.end >= from.0 => {
                (last.old.end, last.new.end) = (old_line + 1, new_line + 1);
            }
            _ => changes.push(Lines { old: from.0..old_line + 1, new: from.1..new_line + 1 }),
        }
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    steps::count(old.len() + new.len());
    for Lines { old: before, new: after } in &mut changes {
        // What an edit has only moved is no change.
        let is_one = |before: &Range<usize>, after: &Range<usize>| {
            before.start < before.end && after.start < after.end
        };
        while is_one(before, after) && old[before.start] == new[after.start] {
            (before.start, after.start) = (before.start + 1, after.start + 1);
        }
        while is_one(before, after) && old[before.end - 1] == new[after.end - 1] {
            (before.end, after.end) = (before.end - 1, after.end - 1);
        }
    }
    changes.retain(|Lines { old, new }| old.start < old.end || new.start < new.end);
    changes
}
