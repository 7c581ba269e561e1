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
mod edit;
mod elsewhere;
mod format;
mod read;
mod shown;
pub(crate) mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::errors::ParseError;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, ParseResult, parse_to_ast};

pub use self::added::{Added, Members, New, entries, with_servers};
pub use self::edit::{Edited, Extra, Lines};
pub use self::elsewhere::Elsewhere;
pub use self::format::Format;
use self::read::{Reader, groups};
pub use self::shown::Veil;

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
    /// The format that it looks like instead. `None` where it looks like none that is known.
    pub format: Option<Format>,
}

impl Bad {
    /// Of a text that is JSON, and says something else than a config.
    fn config(why: impl Into<String>) -> Self {
        Self { line: 1, column: 1, why: why.into(), format: None }
    }
}

/// A config.
#[derive(Debug)]
pub struct Document<'t> {
    text: &'t str,
    shape: Shape,
    servers: Vec<Server>,
    elsewhere: Vec<Elsewhere>,
    /// In the order of the text.
    comments: Vec<Range<usize>>,
    variables: Vec<(String, String)>,
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
        let (servers, elsewhere, variables) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = Self { text, shape, servers, elsewhere, comments, variables };
        // Some hosts make an empty file.
        let Some(value) = &read.value else { return Ok(found) };
        let groups = value.as_object().map(|root| groups(root, shape)).unwrap_or_default();
        let known: BTreeSet<usize> = groups.iter().map(|(_, servers)| servers.range.start).collect();
        found.elsewhere = elsewhere::elsewhere(value, &known);
        let Value::Object(root) = value else {
            return if found.elsewhere.is_empty() { Err(Bad::config("it is no object")) } else { Ok(found) };
        };
        let reader = Reader { mark, split };
        for (project, servers) in groups {
            found.servers.extend(reader.servers(servers, project.as_deref()));
        }
        found.variables = shown::variables(root);
        Ok(found)
    }

    /// The servers, in the order of the text.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Servers that are where they are not looked for.
    pub fn elsewhere(&self) -> &[Elsewhere] {
        &self.elsewhere
    }

    /// The variables of environments, as names and values: among them are what secrets there are.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
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
    parse_to_ast(text, &collect, &options()).map_err(|error| bad(text, &error))
}

fn bad(text: &str, error: &ParseError) -> Bad {
    let why = error.kind().to_string();
    let mut letters = why.chars();
    let why = letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
    let (line, column) = (error.line_display(), error.column_display());
    Bad { line, column, why, format: Format::of_text(text) }
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

/// Whether a word of a command line is this program.
pub fn is_ours(word: &str) -> bool {
    file_name(word) == PROGRAM
}
