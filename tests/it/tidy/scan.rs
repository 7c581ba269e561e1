//! Reads Rust as far as the rules need it: which paths a file names, and which parts of it are there for tests only.
//!
//! It works on tokens, so comments, texts and the layout of a `use` make no difference. Aliases are followed: what
//! `use crate::engine;` brings in is recognised in `engine::Engine`. Macros are not expanded.

/// What the rules want to know of one file.
pub(super) struct Scan {
    /// Every path outside of tests, with its line. Those of this crate are resolved and start with `crate`; others start
    /// with the name of a crate, or of something local.
    pub(super) paths: Vec<(usize, Vec<String>)>,
    /// Every word outside of tests, with its line, and whether `!` follows.
    pub(super) words: Vec<(usize, String, bool)>,
    /// The modules in files of their own that are declared for tests only.
    pub(super) test_modules: Vec<Vec<String>>,
}

/// Scans the text of the module with this path, `["engine", "io"]` for `src/engine/io.rs`.
pub(super) fn scan(text: &str, module: &[String]) -> Scan {
    let mut test_modules = Vec::new();
    let tokens = without_tests(&tokens(text), module, &mut test_modules);
    let words = words(&tokens);
    let mut reader = Reader { tokens: &tokens, at: 0, module: module.to_vec(), depths: Vec::new(), depth: 0 };
    let found = reader.read();
    let paths = found.iter().map(|path| (path.line, path.resolve(&found, MOST_ALIASES))).collect();
    Scan { paths, words, test_modules }
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Word(String),
    /// `::`
    Colons,
    Sign(char),
}

#[derive(Clone, Debug)]
struct Token {
    line: usize,
    kind: Kind,
}

impl Token {
    fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }

    fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Colons | Kind::Sign(_) => None,
        }
    }
}

/// The tokens of a text, without comments and without the contents of literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let end = match literal_or_comment(&chars, at) {
            Some(end) => end,
            None if is_word(chars[at]) => {
                let end = (at..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len());
                tokens.push(Token { line, kind: Kind::Word(chars[at..end].iter().collect()) });
                end
            }
            None if chars[at] == ':' && chars.get(at + 1) == Some(&':') => {
                tokens.push(Token { line, kind: Kind::Colons });
                at + 2
            }
            None => {
                if !chars[at].is_whitespace() {
                    tokens.push(Token { line, kind: Kind::Sign(chars[at]) });
                }
                at + 1
            }
        };
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the comment, text, character or lifetime that starts here ends. `None` when none starts here.
fn literal_or_comment(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    if starts("//") {
        return Some(rest.iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length));
    }
    if starts("/*") {
        return Some(at + block_comment(rest));
    }
    // A prefix is one only when it does not end a longer word.
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let fresh = at == 0 || !is_word(chars[at - 1]);
    let prefix = if fresh && prefix <= 2 { prefix } else { 0 };
    let raw = rest[..prefix].contains(&'r');
    let hashes = if raw { rest[prefix..].iter().take_while(|c| **c == '#').count() } else { 0 };
    match rest.get(prefix + hashes) {
        Some('"') => Some(at + prefix + hashes + quoted(&rest[prefix + hashes..], raw.then_some(hashes))),
        // `r#type` is a word; what is in front of it says nothing.
        Some(c) if raw && hashes == 1 && is_word(*c) => Some(at + prefix + 1),
        Some('\'') if hashes == 0 && !raw => character(rest, prefix).map(|length| at + length),
        _ => None,
    }
}

/// The length of a block comment, which may hold others.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a text from its first quote; `hashes` for a raw one.
fn quoted(rest: &[char], hashes: Option<usize>) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match (rest[at], hashes) {
            ('\\', None) => at += 1,
            ('"', None) => return at + 1,
            ('"', Some(hashes)) if rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes => {
                return at + 1 + hashes;
            }
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// The length of a character or lifetime, whose quote stands behind the prefix.
fn character(rest: &[char], prefix: usize) -> Option<usize> {
    let body = &rest[prefix + 1..];
    match (body.first()?, body.get(1)) {
        ('\\', _) => Some(prefix + 1 + 2 + body[2..].iter().position(|c| *c == '\'')? + 1),
        (_, Some('\'')) => Some(prefix + 3),
        _ => Some(prefix + 1 + body.iter().take_while(|c| is_word(**c)).count()),
    }
}

/// Leaves out what stands behind `#[cfg(test)]`, and notes the modules among it that have files of their own.
fn without_tests(tokens: &[Token], module: &[String], test_modules: &mut Vec<Vec<String>>) -> Vec<Token> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let Some(end) = attribute(tokens, at) else {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        };
        let words: Vec<&str> = tokens[at..end].iter().filter_map(Token::word).collect();
        if words.first() != Some(&"cfg") || !words.contains(&"test") || words.contains(&"not") {
            kept.extend_from_slice(&tokens[at..end]);
            at = end;
            continue;
        }
        at = end;
        while let Some(end) = attribute(tokens, at) {
            at = end;
        }
        let end = item(tokens, at);
        if let [.., Kind::Word(keyword), Kind::Word(name), Kind::Sign(';')] =
            &tokens[at..end].iter().map(|token| token.kind.clone()).collect::<Vec<_>>()[..]
            && keyword == "mod"
        {
            test_modules.push(module.iter().cloned().chain([name.clone()]).collect());
        }
        at = end;
    }
    kept
}

/// Where the attribute that starts here ends.
fn attribute(tokens: &[Token], at: usize) -> Option<usize> {
    let open = tokens.get(at).filter(|token| token.is('#')).map(|_| at + 1)?;
    tokens.get(open).filter(|token| token.is('['))?;
    let mut depth = 0_usize;
    for (end, token) in tokens.iter().enumerate().skip(open) {
        depth = depth + usize::from(token.is('[')) - usize::from(token.is(']'));
        if depth == 0 {
            return Some(end + 1);
        }
    }
    None
}

/// Where the item, statement, field or arm that starts here ends.
fn item(tokens: &[Token], at: usize) -> usize {
    const ITEMS: &[&str] = &[
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "let",
        "macro_rules",
        "mod",
        "pub",
        "static",
        "struct",
        "trait",
        "type",
        "union",
        "unsafe",
        "use",
    ];
    let first = tokens.get(at).and_then(Token::word).unwrap_or_default();
    let list = tokens[at..].iter().take(6).any(|token| token.word() == Some("use"));
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        match &token.kind {
            Kind::Sign('(' | '[' | '{') => depth += 1,
            Kind::Sign(')' | ']') => depth -= 1,
            Kind::Sign('}') => {
                depth -= 1;
                if depth < 0 {
                    return end;
                }
                if depth == 0 && !list {
                    return end + 1;
                }
            }
            Kind::Sign(';') if depth == 0 => return end + 1,
            Kind::Sign(',') if depth == 0 && !ITEMS.contains(&first) => return end + 1,
            Kind::Word(_) | Kind::Colons | Kind::Sign(_) => {}
        }
    }
    tokens.len()
}

fn words(tokens: &[Token]) -> Vec<(usize, String, bool)> {
    let called = |at: usize| tokens.get(at + 1).is_some_and(|token| token.is('!'));
    tokens.iter().enumerate().filter_map(|(at, t)| Some((t.line, t.word()?.to_owned(), called(at)))).collect()
}

/// Aliases of aliases may go round in circles.
const MOST_ALIASES: u32 = 8;

/// A path as it is written.
struct Found {
    line: usize,
    /// The module it is written in.
    module: Vec<String>,
    /// It starts with `::`, so its first word is a crate.
    global: bool,
    words: Vec<String>,
    /// What a `use` calls it. `None` outside of a `use`.
    alias: Option<String>,
}

impl Found {
    /// The path from its root, aliases of the same module followed as often as is allowed.
    fn resolve(&self, all: &[Found], aliases: u32) -> Vec<String> {
        let first = self.words[0].as_str();
        let from = |base: &[String], rest: &[String]| {
            ["crate".to_owned()].into_iter().chain(base.iter().cloned()).chain(rest.iter().cloned()).collect()
        };
        match first {
            _ if self.global || aliases == 0 => self.words.clone(),
            "crate" => self.words.clone(),
            "self" if self.words.len() > 1 => from(&self.module, &self.words[1..]),
            "super" => {
                let ups = self.words.iter().take_while(|word| *word == "super").count();
                from(&self.module[..self.module.len().saturating_sub(ups)], &self.words[ups..])
            }
            _ => {
                let named =
                    |use_: &&Found| use_.module == self.module && use_.alias.as_deref() == Some(first);
                let import = all
                    .iter()
                    .find(named)
                    .filter(|use_| use_.words[0] != first && !std::ptr::eq(*use_, self));
                let Some(import) = import else { return self.words.clone() };
                import.resolve(all, aliases - 1).into_iter().chain(self.words[1..].iter().cloned()).collect()
            }
        }
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    module: Vec<String>,
    /// The depths at which the inline modules around us were opened.
    depths: Vec<usize>,
    depth: usize,
}

impl Reader<'_> {
    fn read(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            let module = self.tokens.get(self.at + 1).and_then(Token::word);
            let opens = self.tokens.get(self.at + 2).is_some_and(|token| token.is('{'));
            match (&token.kind, module) {
                (Kind::Word(word), _) if word == "use" => {
                    self.at += 1;
                    self.tree(&mut Vec::new(), false, &mut found);
                }
                // A module that is declared here hides a crate of the same name.
                (Kind::Word(word), Some(name)) if word == "mod" => {
                    let words = vec!["self".to_owned(), name.to_owned()];
                    found.push(self.import(token.line, false, words));
                    self.at += 2;
                    if opens {
                        self.module.push(name.to_owned());
                        self.depths.push(self.depth);
                        self.depth += 1;
                        self.at += 1;
                    }
                }
                (Kind::Word(_) | Kind::Colons, _) => self.path(&mut found),
                (Kind::Sign('{'), _) => {
                    self.depth += 1;
                    self.at += 1;
                }
                (Kind::Sign('}'), _) => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depths.last() == Some(&self.depth) {
                        self.depths.pop();
                        self.module.pop();
                    }
                    self.at += 1;
                }
                (Kind::Sign(_), _) => self.at += 1,
            }
        }
        found
    }

    fn path(&mut self, found: &mut Vec<Found>) {
        let line = self.tokens[self.at].line;
        let global = self.step(&Kind::Colons);
        // `<T as Trait>::Name` and `x.name` start no path.
        let before = self.at.checked_sub(if global { 2 } else { 1 }).map(|at| &self.tokens[at]);
        let start =
            before.is_none_or(|token| !token.is('.') && !(global && (token.is('>') || token.is(')'))));
        let mut words = Vec::new();
        while let Some(word) = self.tokens.get(self.at).and_then(Token::word) {
            words.push(word.to_owned());
            self.at += 1;
            if !self.step(&Kind::Colons) {
                break;
            }
        }
        if start && words.len() > 1 {
            found.push(Found { line, module: self.module.clone(), global, words, alias: None });
        }
    }

    /// One tree of a `use`, behind the words that are before it.
    fn tree(&mut self, before: &mut Vec<String>, global: bool, found: &mut Vec<Found>) {
        let length = before.len();
        let global = self.step(&Kind::Colons) || global;
        while let Some(token) = self.tokens.get(self.at) {
            match &token.kind {
                Kind::Word(word) if word == "as" => {
                    let alias = self.tokens.get(self.at + 1).and_then(Token::word).map(str::to_owned);
                    if let (Some(last), Some(_)) = (found.last_mut(), &alias) {
                        last.alias = alias;
                    }
                    self.at += 2;
                    break;
                }
                Kind::Word(word) => {
                    self.at += 1;
                    before.push(word.clone());
                    if self.step(&Kind::Colons) {
                        continue;
                    }
                    // `{self}` names what is before the brace.
                    if length > 0 && word == "self" {
                        before.pop();
                    }
                    found.push(self.import(token.line, global, before.clone()));
                }
                Kind::Sign('*') => {
                    self.at += 1;
                    before.push("*".to_owned());
                    found.push(self.import(token.line, global, before.clone()));
                }
                Kind::Sign('{') => {
                    self.at += 1;
                    while !self.step(&Kind::Sign('}')) && self.at < self.tokens.len() {
                        self.tree(before, global, found);
                        self.step(&Kind::Sign(','));
                    }
                    break;
                }
                Kind::Colons | Kind::Sign(_) => break,
            }
        }
        before.truncate(length);
        if length == 0 {
            self.step(&Kind::Sign(';'));
        }
    }

    fn import(&self, line: usize, global: bool, words: Vec<String>) -> Found {
        let alias = words.last().cloned();
        Found { line, module: self.module.clone(), global, words, alias }
    }

    /// Goes on if this is next.
    fn step(&mut self, kind: &Kind) -> bool {
        let next = self.tokens.get(self.at).is_some_and(|token| token.kind == *kind);
        self.at += usize::from(next);
        next
    }
}
