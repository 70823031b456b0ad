//! The structure of a Corefile: blocks of servers, their plugins, and options. It keeps every byte of the text.

use std::fmt;
use std::str::FromStr;

use super::CorefileError;
use super::lex::{self, Token};

/// How many blocks may be within one another. Plugins have two; this is against texts that are made to do harm.
const DEEPEST: usize = 32;

/// A Corefile as it is written. Imports and placeholders are left as they are. Printed, it is the text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corefile {
    pub(super) blocks: Vec<ServerBlock>,
    /// Empty, with what is below the last block.
    pub(super) end: Token,
}

/// One block of the top level: of servers, a snippet, or an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    pub(super) keys: Vec<Token>,
    /// An import has none.
    pub(super) body: Option<Body>,
}

/// What is between two braces. The one block of a file may come without: its braces are empty then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub(super) open: Token,
    pub(super) entries: Vec<Entry>,
    pub(super) close: Token,
}

/// A plugin with its arguments, an option of a plugin, or an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) words: Vec<Token>,
    pub(super) body: Option<Body>,
}

impl Corefile {
    /// Reads a Corefile.
    pub fn parse(text: &str) -> Result<Self, CorefileError> {
        Parser { tokens: lex::tokens(text)?, at: 0, depth: 0 }.corefile()
    }

    /// The blocks of the top level, in their order.
    pub fn blocks(&self) -> &[ServerBlock] {
        &self.blocks
    }
}

impl FromStr for Corefile {
    type Err = CorefileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Corefile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for block in &self.blocks {
            block.keys.iter().for_each(|key| key.write(&mut out));
            block.body.iter().for_each(|body| body.write(&mut out));
        }
        self.end.write(&mut out);
        f.write_str(&out)
    }
}

impl ServerBlock {
    /// The zones and addresses, without the commas between them.
    pub fn keys(&self) -> Vec<String> {
        let values = self.keys.iter().map(Token::value);
        values.map(|key| key.strip_suffix(',').map(str::to_owned).unwrap_or(key)).collect()
    }

    /// The name, when the block is a snippet that others import.
    pub fn snippet(&self) -> Option<String> {
        let [key] = self.keys.as_slice() else { return None };
        let value = key.value();
        value.strip_prefix('(')?.strip_suffix(')').map(str::to_owned)
    }

    /// The plugins; none for an import.
    pub fn entries(&self) -> &[Entry] {
        self.body.as_ref().map_or(&[], |body| body.entries.as_slice())
    }
}

impl Entry {
    /// An entry of one line that was not in the text.
    pub(super) fn new(words: &[&str], line: usize) -> Self {
        let words = words.iter().map(|word| Token::new(word, line)).collect();
        let mut entry = Self { words, body: None };
        entry.space();
        entry
    }

    /// Name of the plugin or option.
    pub fn name(&self) -> String {
        self.words.first().map(Token::value).unwrap_or_default()
    }

    /// What follows the name on its line.
    pub fn args(&self) -> Vec<String> {
        self.words.iter().skip(1).map(Token::value).collect()
    }

    /// What is between the braces.
    pub fn options(&self) -> &[Entry] {
        self.body.as_ref().map_or(&[], |body| body.entries.as_slice())
    }

    /// The line of its name, from 1.
    pub fn line(&self) -> usize {
        self.words.first().map_or(0, Token::line)
    }

    /// Puts one space between words that have none, and a line break after the last. For words that were added or moved.
    pub(super) fn space(&mut self) {
        for (at, word) in self.words.iter_mut().enumerate() {
            if at > 0 && word.before.is_empty() {
                " ".clone_into(&mut word.before);
            }
        }
        if self.body.is_none()
            && let Some(last) = self.words.last_mut()
            && !last.is_last_of_line()
        {
            last.after.push('\n');
        }
    }

    fn write(&self, out: &mut String) {
        self.words.iter().for_each(|word| word.write(out));
        self.body.iter().for_each(|body| body.write(out));
    }
}

impl Body {
    fn write(&self, out: &mut String) {
        self.open.write(out);
        self.entries.iter().for_each(|entry| entry.write(out));
        self.close.write(out);
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    /// The next word; the empty one of the end again and again.
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn at_end(&self) -> bool {
        self.peek().raw.is_empty()
    }

    fn corefile(mut self) -> Result<Corefile, CorefileError> {
        let mut blocks = Vec::new();
        while !self.at_end() {
            blocks.push(self.server_block()?);
        }
        Ok(Corefile { blocks, end: self.take() })
    }

    fn server_block(&mut self) -> Result<ServerBlock, CorefileError> {
        let mut keys: Vec<Token> = Vec::new();
        while !self.at_end() && !self.peek().is("{") {
            if self.peek().is("}") {
                return Err(CorefileError::StrayBrace { line: self.peek().line });
            }
            let key = self.take();
            let more = key.raw.ends_with(',');
            let done = key.is_last_of_line() && !more;
            keys.push(key);
            if done {
                break;
            }
        }
        if keys.first().is_some_and(|key| key.is("import")) {
            return Ok(ServerBlock { keys, body: None });
        }
        let body = if self.peek().is("{") {
            self.body()?
        } else {
            let line = self.peek().line;
            let entries = self.entries()?;
            if !self.at_end() {
                return Err(CorefileError::StrayBrace { line: self.peek().line });
            }
            Body { open: Token::empty(line), entries, close: Token::empty(self.peek().line) }
        };
        Ok(ServerBlock { keys, body: Some(body) })
    }

    /// From one brace to the other.
    fn body(&mut self) -> Result<Body, CorefileError> {
        let open = self.take();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(CorefileError::TooDeep { line: open.line });
        }
        let entries = self.entries()?;
        self.depth -= 1;
        if self.at_end() {
            return Err(CorefileError::OpenBlock { line: open.line });
        }
        Ok(Body { open, entries, close: self.take() })
    }

    /// All up to the closing brace or the end.
    fn entries(&mut self) -> Result<Vec<Entry>, CorefileError> {
        let mut entries = Vec::new();
        while !self.at_end() && !self.peek().is("}") {
            entries.push(self.entry()?);
        }
        Ok(entries)
    }

    fn entry(&mut self) -> Result<Entry, CorefileError> {
        let mut words = Vec::new();
        while !self.at_end() && !self.peek().is("{") && !self.peek().is("}") {
            let word = self.take();
            let done = word.is_last_of_line();
            words.push(word);
            if done {
                return Ok(Entry { words, body: None });
            }
        }
        if words.is_empty() {
            return Err(CorefileError::NamelessBlock { line: self.peek().line });
        }
        if !self.peek().is("{") {
            return Ok(Entry { words, body: None });
        }
        let body = self.body()?;
        if !body.close.is_last_of_line() && !self.at_end() && !self.peek().is("}") {
            return Err(CorefileError::TextAfterBlock { line: body.close.line });
        }
        Ok(Entry { words, body: Some(body) })
    }
}
