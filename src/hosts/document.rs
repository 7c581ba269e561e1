//! The text of a config: which servers it names, and how one is put behind the supervisor and taken out again. Pure.
//!
//! Nothing is written anew. An edit replaces the words that are ours to replace, and every other byte stays where it is:
//! comments, line ends, numbers, keys that nobody here knows.
//!
//! ```text
//! "command": "npx", "args": ["-y", "x"]   <->   "command": "/usr/bin/mcp-supervise", "args": ["--name", "k", "--", "npx", "-y", "x"]
//! ```
//!
//! The two directions are inverse. What is not in the new text, whether there was an `args` before, is in its spelling:
//! an array that we have made begins with a blank, and in one that was there our words follow the bracket.

mod added;
mod by_hand;
mod read;
mod shown;
#[cfg(test)]
mod tests;

use std::ops::Range;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::errors::ParseError;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, ParseResult, parse_to_ast};

pub use self::added::{Added, Members, with_servers};
use self::read::{Reader, groups};

/// What a file begins with that some editors write, and that no host takes for text.
const MARK: char = '\u{feff}';
/// How our program is called, in whatever directory.
const PROGRAM: &str = "mcp-supervise";

/// Where a host's config has its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In `mcpServers`.
    Servers,
    /// In `mcpServers`, and in that of each of `projects`.
    Projects,
    /// In `servers`.
    VsCode,
    /// Nobody says: in `mcpServers` and in that of each of `projects`, or, where neither is, in `servers`.
    Unknown,
}

/// A server that a config names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its key.
    pub name: String,
    /// The directory of the project that it is for. `None` where the config has it for all.
    pub project: Option<String>,
    /// What can be done with it.
    pub state: State,
    /// The host does not start it.
    pub disabled: bool,
    /// Its command line. Empty where it has none that can be understood.
    pub words: Vec<String>,
    /// What has to be known to edit it.
    place: Option<Place>,
}

impl Server {
    /// The words that the server itself is started with, without ours.
    pub fn own_words(&self) -> &[String] {
        let ours =
            self.place.as_ref().filter(|_| self.state == State::Wrapped).map_or(0, |place| place.ours + 1);
        self.words.get(ours..).unwrap_or_default()
    }
}

/// What can be done with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The host starts it on stdio.
    Plain,
    /// The host starts us, and we start it.
    Wrapped,
    /// We are somewhere in its command line, where somebody has put us by hand.
    ByHand,
    /// It is somewhere else, and nobody starts it.
    Remote,
    /// VS Code puts a debugger into its command, and would not find it behind us.
    Debugged,
    /// It cannot be understood, for this reason.
    Odd(&'static str),
}

/// Where the words of an entry are in the text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The property `command`, up to the end of its value.
    property: Range<usize>,
    /// Its value.
    command: Range<usize>,
    /// What stands between the name of the property and its value.
    colon: Range<usize>,
    args: Option<Args>,
    /// How many elements of `args` are not the server's.
    ours: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Args {
    /// Where the property begins, if it follows `command` and nothing but a comma is between them.
    follows: bool,
    /// From bracket to bracket.
    array: Range<usize>,
    elements: Vec<Range<usize>>,
}

/// Why a text cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct Bad {
    /// The first line is 1.
    pub line: usize,
    /// In characters; the first one is 1.
    pub column: usize,
    /// Why.
    pub why: String,
}

/// A config.
#[derive(Debug)]
pub struct Document<'t> {
    text: &'t str,
    servers: Vec<Server>,
    comments: Vec<Range<usize>>,
    variables: Vec<(String, String)>,
    /// Texts that are not to be shown.
    hidden: Vec<Range<usize>>,
}

/// Tells how many of the words after our program's name are before the server's command. `None` where no server's command is.
pub type Split<'s> = &'s dyn Fn(&[String]) -> Option<usize>;

impl<'t> Document<'t> {
    /// Reads a text of this shape.
    ///
    /// # Errors
    /// If it is not what hosts read: JSON, with comments and with commas before closing brackets.
    pub fn read(text: &'t str, shape: Shape, split: Split<'_>) -> Result<Self, Bad> {
        let mark = if text.starts_with(MARK) { MARK.len_utf8() } else { 0 };
        let read = parsed(&text[mark..])?;
        let comments = comments(&read).into_iter().map(|range| shifted(range, mark)).collect();
        let mut found =
            Self { text, servers: Vec::new(), comments, variables: Vec::new(), hidden: Vec::new() };
        let root = match &read.value {
            Some(Value::Object(root)) => root,
            // Some hosts make an empty file.
            None => return Ok(found),
            Some(_) => return Err(Bad { line: 1, column: 1, why: "it is no object".to_owned() }),
        };
        let reader = Reader { mark, split };
        for (project, servers) in groups(root, shape) {
            found.servers.extend(reader.servers(servers, project.as_deref()));
        }
        found.hidden = shown::hidden(root, mark, &found.servers);
        found.variables = shown::variables(root);
        Ok(found)
    }

    /// The servers, in the order of the text.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The variables of environments, as names and values: among them are what secrets there are.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The text with these servers, which are [`State::Plain`], behind this program.
    pub fn wrapped(&self, servers: &[&Server], program: &str) -> String {
        self.edited(servers.iter().flat_map(|server| self.wrap(server, program)).collect())
    }

    /// The text with these servers, which are [`State::Wrapped`], as they were.
    pub fn unwrapped(&self, servers: &[&Server]) -> String {
        self.edited(servers.iter().flat_map(|server| self.unwrap(server)).collect())
    }

    fn edited(&self, mut edits: Vec<(Range<usize>, String)>) -> String {
        edits.sort_by_key(|(range, _)| range.start);
        let mut text = self.text.to_owned();
        for (range, new) in edits.into_iter().rev() {
            text.replace_range(range, &new);
        }
        text
    }

    fn wrap(&self, server: &Server, program: &str) -> Vec<(Range<usize>, String)> {
        let Some(place) = &server.place else { return Vec::new() };
        let mut words = match &*server.name {
            // No command line holds a null.
            name if name.is_empty() || name.contains('\0') => vec![],
            name if name.starts_with('-') => vec![literal(&format!("--name={name}"))],
            name => vec![literal("--name"), literal(name)],
        };
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

    fn unwrap(&self, server: &Server) -> Vec<(Range<usize>, String)> {
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
        let commas = self.text[part.clone()].match_indices(',').map(|(at, _)| part.start + at);
        let code = |at: &usize| self.comments.iter().all(|comment| !comment.contains(at));
        commas.into_iter().find(code).map(|at| at..at + 1)
    }

    fn has_comment(&self, part: Range<usize>) -> bool {
        self.comments.iter().any(|comment| comment.start >= part.start && comment.end <= part.end)
    }
}

/// What hosts read, and nothing beyond that.
fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn parsed(text: &str) -> Result<ParseResult<'_>, Bad> {
    let collect = CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
    parse_to_ast(text, &collect, &options()).map_err(|error| bad(&error))
}

fn bad(error: &ParseError) -> Bad {
    let why = error.kind().to_string();
    let mut letters = why.chars();
    let why = letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
    Bad { line: error.line_display(), column: error.column_display(), why }
}

fn comments(read: &ParseResult<'_>) -> Vec<Range<usize>> {
    let tokens = read.tokens.iter().flatten();
    let is_comment =
        |token: &&TokenAndRange<'_>| matches!(token.token, Token::CommentLine(_) | Token::CommentBlock(_));
    tokens.filter(is_comment).map(|token| token.range.start..token.range.end).collect()
}

fn shifted(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// The value of a key. Of several the last one, as hosts have it.
fn value<'o, 'a>(object: &'o Object<'a>, key: &str) -> Option<&'o Value<'a>> {
    object.properties.iter().rfind(|property| property.name.as_str() == key).map(|property| &property.value)
}

/// A text as JSON has it.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_ours(word: &str) -> bool {
    file_name(word) == PROGRAM
}
