//! Changes of a Corefile that leave the rest of the text, and the comments, where they are.

use super::lex::Token;
use super::tree::{Body, Entry};

impl Entry {
    fn last_mut(&mut self) -> Option<&mut Token> {
        match &mut self.body {
            Some(body) => Some(&mut body.close),
            None => self.words.last_mut(),
        }
    }

    /// The spaces before its name.
    fn indent(&self) -> String {
        let before = self.words.first().map(|word| word.before.as_str()).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default().to_owned()
    }

    /// An entry of several lines that was not in the text.
    pub(super) fn block(words: &[String], options: &[Vec<String>], line: usize) -> Self {
        let new = |words: &[String]| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            Self::new(&words, line)
        };
        let mut entry = new(words);
        entry.words.iter_mut().for_each(|word| word.after.clear());
        let token = |raw: &str, before: &str| Token {
            before: before.to_owned(),
            after: "\n".to_owned(),
            ..Token::new(raw, line)
        };
        let entries = options.iter().map(|words| new(words)).collect();
        entry.body = Some(Body { open: token("{", " "), entries, close: token("}", "") });
        entry
    }

    fn set_indent(&mut self, indent: &str) {
        if let Some(word) = self.words.first_mut() {
            indent.clone_into(&mut word.before);
        }
        if let Some(body) = &mut self.body {
            let step = if indent.contains('\t') { "\t" } else { "   " };
            let deeper = format!("{indent}{step}");
            body.entries.iter_mut().for_each(|entry| entry.set_indent(&deeper));
            indent.clone_into(&mut body.close.before);
        }
    }

    /// Takes the braces away when nothing is left between them, unless a comment is.
    pub(super) fn drop_empty_body(&mut self) {
        let empty = |body: &Body| {
            body.entries.is_empty() && !body.open.after.contains('#') && !body.close.before.contains('#')
        };
        if self.body.as_ref().is_some_and(empty) {
            self.drop_body();
        }
    }

    /// Takes the braces away with all between them.
    pub(super) fn drop_body(&mut self) {
        if let Some(body) = self.body.take()
            && let Some(word) = self.words.last_mut()
        {
            word.after = body.close.after;
        }
    }

    /// Takes words away, all but the first `keep` ones.
    pub(super) fn truncate(&mut self, keep: usize) {
        while self.words.len() > keep.max(1) {
            self.remove_word(self.words.len() - 1);
        }
    }

    /// Takes one word away. The comment at the line's end stays.
    pub(super) fn remove_word(&mut self, at: usize) {
        let removed = self.words.remove(at);
        if at == self.words.len()
            && let Some(last) = self.words.last_mut()
        {
            last.after = removed.after;
        }
    }

    /// Puts another line in its place: same indentation, same comments.
    pub(super) fn replace_words(&mut self, words: &[&str]) {
        let mut new = Self::new(words, self.line());
        let (Some(first), Some(last)) = (self.words.first(), self.words.last()) else { return };
        if let Some(word) = new.words.first_mut() {
            word.before.clone_from(&first.before);
        }
        if let Some(word) = new.words.last_mut() {
            word.after.clone_from(&last.after);
        }
        self.words = new.words;
    }
}

impl Body {
    /// Takes an entry out with the comment on its line. Comments above it stay, as they may be about more.
    pub(super) fn remove(&mut self, at: usize) -> Entry {
        let mut entry = self.entries.remove(at);
        let ends_line = entry.last_mut().is_some_and(|token| token.is_last_of_line());
        let before = entry.words.first().map(|word| word.before.as_str()).unwrap_or_default();
        let above = before.rfind('\n').map_or("", |end| &before[..=end]);
        let next = self.entries.get_mut(at).and_then(|entry| entry.words.first_mut());
        let next = next.unwrap_or(&mut self.close);
        if above.contains('#') {
            next.before.insert_str(0, above);
        }
        if ends_line {
            self.break_line(at);
        }
        entry
    }

    /// Puts an entry at this place, indented like the one before it.
    pub(super) fn insert(&mut self, at: usize, mut entry: Entry) {
        let like = self.entries.get(at.saturating_sub(1));
        let indent = like.map_or_else(|| "    ".to_owned(), Entry::indent);
        entry.set_indent(&indent);
        self.break_line(at);
        self.entries.insert(at, entry);
    }

    /// Sees to it that what is put at this place begins a line.
    fn break_line(&mut self, at: usize) {
        let previous = match at.checked_sub(1) {
            Some(previous) => self.entries.get_mut(previous).and_then(Entry::last_mut),
            None => Some(&mut self.open),
        };
        if let Some(token) = previous
            && !token.is_last_of_line()
            && !token.raw.is_empty()
        {
            token.after.push('\n');
        }
    }
}
