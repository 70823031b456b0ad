//! What is wrong with a configuration, and where.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One problem, at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub struct ConfigError {
    /// File that holds the problem; `None` when it came from a flag or a default.
    pub file: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// Column in the line, from 1.
    pub column: Option<u32>,
    /// The field, `networking.podSubnet`, or the flag, `--pod-network-cidr`; empty for a whole document.
    pub field_path: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    /// A problem with a field, whose place is not known yet.
    pub fn new(field_path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field_path: field_path.into(), message: message.into(), ..Self::default() }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What problems are listed by: flags first, then the place.
    pub(crate) fn order(&self) -> (Option<String>, Option<u32>, Option<u32>) {
        (self.file.clone(), self.line, self.column)
    }

    /// The same at a place in a file.
    #[must_use]
    pub fn at(mut self, file: &str, position: Position) -> Self {
        self.file = Some(file.to_owned());
        self.line = Some(position.line);
        self.column = Some(position.column);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(file)?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        if !self.field_path.is_empty() {
            write!(f, "{}: ", self.field_path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Every problem of a configuration, by line within a file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// Something the user should know, and that does not stop the command. Shown the same way as an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warning(pub ConfigError);

impl Warning {
    /// A warning about a field, whose place is not known yet.
    pub fn new(field_path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(ConfigError::new(field_path, message))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Collects problems while checks go on.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// What stops the command.
    pub errors: Vec<ConfigError>,
    /// What does not.
    pub warnings: Vec<Warning>,
}

impl Problems {
    /// Adds an error.
    pub fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(ConfigError::new(path, message));
    }

    /// Adds an error with advice.
    pub fn error_hint(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.errors.push(ConfigError::new(path, message).hint(hint));
    }

    /// Adds what was found in a part of the document.
    pub fn append_below(&mut self, part: &str, inner: Self) {
        let below =
            |error: ConfigError| ConfigError { field_path: format!("{part}.{}", error.field_path), ..error };
        self.errors.extend(inner.errors.into_iter().map(below));
        self.warnings.extend(inner.warnings.into_iter().map(|warning| Warning(below(warning.0))));
    }

    /// Adds a warning.
    pub fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning::new(path, message));
    }
}
