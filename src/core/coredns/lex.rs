//! The words of a Corefile, with all that stands between them: put together again they are the text, byte for byte.

use super::CorefileError;

/// One word, brace or quoted string, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whole lines above (blank ones and comments), and the indentation.
    pub(super) before: String,
    /// The word as written, with its quotes. Empty for the end of a text or of a block without braces.
    pub(super) raw: String,
    /// Spaces and a comment up to the end of the line, with the line break.
    pub(super) after: String,
    /// Line of the text, from 1. For what was added, the line beside which it was added.
    pub(super) line: usize,
}

impl Token {
    /// A word that was not in the text. It is quoted where CoreDNS needs that.
    pub(super) fn new(value: &str, line: usize) -> Self {
        let plain = !value.is_empty()
            && !value.starts_with('"')
            && !value.contains(|c: char| c.is_whitespace() || c == '#');
        let raw = if plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\\\"")) };
        Self { before: String::new(), raw, after: String::new(), line }
    }

    /// The brace that is not there.
    pub(super) fn empty(line: usize) -> Self {
        let nothing = String::new;
        Self { before: nothing(), raw: nothing(), after: nothing(), line }
    }

    /// What CoreDNS reads: without quotes, and with `\"` as `"`. Nothing else is an escape, and placeholders of the
    /// environment stay, as only CoreDNS's own environment has their values.
    pub fn value(&self) -> String {
        match self.raw.strip_prefix('"') {
            Some(inner) => inner.strip_suffix('"').unwrap_or(inner).replace("\\\"", "\""),
            None => self.raw.clone(),
        }
    }

    /// The line of the text, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Whether the word is this. A quoted brace is a brace to CoreDNS as well.
    pub(super) fn is(&self, value: &str) -> bool {
        self.value() == value
    }

    /// Whether the value depends on CoreDNS's environment, `{$NAME}` or `{%NAME%}`.
    pub fn has_placeholder(&self) -> bool {
        self.raw.contains("{$") || self.raw.contains("{%")
    }

    /// Whether no other word follows on the same line.
    pub(super) fn is_last_of_line(&self) -> bool {
        self.after.contains('\n')
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push_str(&self.before);
        out.push_str(&self.raw);
        out.push_str(&self.after);
    }
}

/// All words of a text. The last one is empty and holds what is below the last line.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, CorefileError> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let mut tokens = Vec::new();
    loop {
        let before = lexer.gap();
        let line = lexer.line;
        let raw = lexer.word()?;
        let end = raw.is_empty();
        let after = if end { String::new() } else { lexer.rest_of_line() };
        tokens.push(Token { before, raw, after, line });
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    fn take(&mut self, bytes: usize) -> String {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken.to_owned()
    }

    /// All up to the next word: spaces, comments, and the byte order mark that some editors put first.
    fn gap(&mut self) -> String {
        let mut taken = String::new();
        loop {
            let spaces = self.rest.find(|c: char| !c.is_whitespace() && c != '\u{feff}');
            let spaces = spaces.unwrap_or(self.rest.len());
            taken += &self.take(spaces);
            if !self.rest.starts_with('#') {
                return taken;
            }
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            taken += &self.take(comment);
        }
    }

    /// A word up to a space, or to a `#`, which begins a comment within a word too; or a quoted string.
    fn word(&mut self) -> Result<String, CorefileError> {
        if !self.rest.starts_with('"') {
            let end = self.rest.find(|c: char| c.is_whitespace() || c == '#');
            let end = end.unwrap_or(self.rest.len());
            return Ok(self.take(end));
        }
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if c == '"' && !escaped {
                return Ok(self.take(at + 1));
            }
            escaped = c == '\\' && !escaped;
        }
        Err(CorefileError::OpenQuote { line: self.line })
    }

    /// What follows a word on its line. Empty where another word does.
    fn rest_of_line(&mut self) -> String {
        let line = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let text = &self.rest[..line];
        let end_of_line = text.trim_start().is_empty() || text.trim_start().starts_with('#');
        if end_of_line { self.take(line) } else { String::new() }
    }
}
