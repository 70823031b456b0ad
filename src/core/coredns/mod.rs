//! CoreDNS's configuration, the Corefile: read without loss, and brought from the syntax of one CoreDNS version to that of
//! another. Pure: texts in, texts out. The data is in [`table`].

mod default;
mod edit;
mod lex;
mod migrate;
mod options;
mod plugins;
mod proxy;
pub mod table;
mod tree;

#[cfg(test)]
mod migrate_tests;
#[cfg(test)]
mod tests;

pub use default::is_default;
pub use lex::Token;
pub use migrate::{Migration, migrate};
pub use tree::{Body, Corefile, Entry, ServerBlock};

/// A text that is no Corefile, or a version that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorefileError {
    /// A quoted string that never ends.
    #[error("Corefile line {line}: the quote is not closed")]
    OpenQuote {
        /// Where it begins.
        line: usize,
    },
    /// A block that never ends. Some versions of CoreDNS take it, others hang.
    #[error("Corefile line {line}: the block is not closed")]
    OpenBlock {
        /// Where it begins.
        line: usize,
    },
    /// A closing brace of no block.
    #[error("Corefile line {line}: }} closes nothing")]
    StrayBrace {
        /// Its line.
        line: usize,
    },
    /// Braces where a plugin or option should be.
    #[error("Corefile line {line}: {{ with no name before it")]
    NamelessBlock {
        /// Their line.
        line: usize,
    },
    /// CoreDNS reads what follows a closing brace on its line as another use of the same plugin.
    #[error("Corefile line {line}: text after }}")]
    TextAfterBlock {
        /// The line of the brace.
        line: usize,
    },
    /// Deeper than any plugin's options go.
    #[error("Corefile line {line}: blocks within blocks too deep")]
    TooDeep {
        /// Where it gets too deep.
        line: usize,
    },
    /// Not a version, so nobody knows what changes.
    #[error("{text:?} is not a CoreDNS version such as \"v1.12.1\"")]
    Version {
        /// As given.
        text: String,
    },
}
