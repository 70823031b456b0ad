//! Configuration files as trees that know the line of everything in them.
//!
//! Several files may hold several documents each. What is checked here is what does not depend on the kind: that the
//! text is UTF-8 and YAML, that keys do not repeat, and that each document says what it is. The rest is
//! [`super::schema`]'s work.

mod plain;

use super::error::{ConfigError, ConfigErrors, Position, Warning};
use super::schema;
use saphyr::{MarkedYamlOwned, Marker, ScanError, YamlDataOwned, YamlLoader};
use saphyr_parser::{BufferedInput, Parser};
use serde_json::{Map, Number, Value};

/// A configuration file as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name shown in messages, normally the path.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

impl Source {
    /// A file from its name and content.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned {
    /// Start of the value.
    pub at: Position,
    /// The value.
    pub node: Node,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Str(String),
    /// A list.
    List(Vec<Spanned>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Start of the key.
    pub at: Position,
    /// The value.
    pub value: Spanned,
}

impl Spanned {
    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Spanned> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.node {
            Node::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Node::Str(text) = &self.node { Some(text) } else { None }
    }

    /// The value without positions. Keys with `null` are left out, because Kubernetes reads them as not given.
    pub fn to_value(&self) -> Value {
        match &self.node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Number((*value).into()),
            Node::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Node::Str(value) => Value::String(value.clone()),
            Node::List(items) => items.iter().map(Spanned::to_value).collect(),
            Node::Map(entries) => {
                let given = entries.iter().filter(|entry| entry.value.node != Node::Null);
                Value::Object(
                    given.map(|entry| (entry.key.clone(), entry.value.to_value())).collect::<Map<_, _>>(),
                )
            }
        }
    }

    /// Where a field such as `apiServer.certSANs[1]` stands, or else the nearest part of it that does.
    fn locate(&self, field_path: &str) -> Position {
        let mut here = self;
        let mut at = self.at;
        for step in field_path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let found =
                match (&here.node, step.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())) {
                    (Node::List(items), Some(index)) => items.get(index).map(|item| (item, item.at)),
                    _ => here.entry(step).map(|entry| (&entry.value, entry.at)),
                };
            let Some((next, position)) = found else { break };
            (here, at) = (next, position);
        }
        at
    }
}

/// One YAML document that says what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Name of its file.
    pub file: String,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
    /// Its content, `apiVersion` and `kind` included.
    pub root: Spanned,
}

impl Document {
    /// The content without positions.
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }
}

/// Finds the schema of a document by its `apiVersion` and `kind`.
type Recognise = fn(&str, &str) -> Result<Option<&'static schema::KindSchema>, ConfigError>;

/// Every document of the files given with `--config`, checked against the schema.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    pub(super) list: Vec<Document>,
    given: bool,
    /// What the user should know about the files.
    pub warnings: Vec<Warning>,
}

impl Documents {
    /// No file was given.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads and checks files. Fails with every problem of all of them.
    pub fn load(sources: &[Source]) -> Result<Self, ConfigErrors> {
        Self::load_kinds(sources, schema::recognise)
    }

    /// As [`Self::load`], of versions that can be migrated too.
    pub(super) fn load_old(sources: &[Source]) -> Result<Self, ConfigErrors> {
        Self::load_kinds(sources, schema::recognise_old)
    }

    fn load_kinds(sources: &[Source], recognise: Recognise) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut loaded = Self { given: !sources.is_empty(), ..Self::default() };
        for source in sources {
            match read(source) {
                Ok(roots) => loaded.identify(&source.name, roots, recognise, &mut errors),
                Err(error) => errors.push(error),
            }
        }
        for document in &loaded.list {
            errors.extend(schema::check(document));
        }
        if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) }
    }

    /// True when there was a file, whatever it held.
    pub fn given(&self) -> bool {
        self.given
    }

    /// The document of a kind; there is at most one.
    pub fn find(&self, kind: &str) -> Option<&Document> {
        self.list.iter().find(|document| document.kind == kind)
    }

    /// All documents, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.list.iter()
    }

    /// The error with the place of its field in the document of `kind`, if the user wrote one.
    pub(crate) fn place(&self, kind: &str, error: ConfigError) -> ConfigError {
        match self.find(kind) {
            Some(document) => {
                let position = document.root.locate(&error.field_path);
                error.at(&document.file, position)
            }
            None => error,
        }
    }

    /// Sorts the roots of one file into documents, warnings and errors.
    fn identify(
        &mut self,
        file: &str,
        roots: Vec<Spanned>,
        recognise: Recognise,
        errors: &mut Vec<ConfigError>,
    ) {
        for root in roots {
            let field = |name: &str| root.get(name).and_then(Spanned::as_str).unwrap_or_default().to_owned();
            let (api_version, kind) = (field("apiVersion"), field("kind"));
            match recognise(&api_version, &kind) {
                Ok(None) => self.warnings.push(Warning(
                    ConfigError::new("", format!("ignored document of {api_version}, kind {kind:?}"))
                        .at(file, root.at),
                )),
                Ok(Some(_)) => {
                    if let Some(first) = self.find(&kind) {
                        let place = format!("{}:{}", first.file, first.root.at.line);
                        errors.push(
                            ConfigError::new(
                                "kind",
                                format!("kind {kind:?} is given twice, first at {place}"),
                            )
                            .at(file, root.locate("kind")),
                        );
                    } else {
                        self.list.push(Document { file: file.to_owned(), api_version, kind, root });
                    }
                }
                Err(error) => {
                    let position = root.locate(&error.field_path);
                    errors.push(error.at(file, position));
                }
            }
        }
    }
}

/// The non-empty documents of a file.
fn read(source: &Source) -> Result<Vec<Spanned>, ConfigError> {
    let file = &source.name;
    let text = std::str::from_utf8(&source.bytes).map_err(|error| {
        let before = &source.bytes[..error.valid_up_to()];
        let mut lines = before.split(|byte| *byte == b'\n');
        let last = String::from_utf8_lossy(lines.next_back().unwrap_or_default()).chars().count();
        let line = 1 + count(lines.count());
        let column = 1 + count(last);
        ConfigError::new("", "not UTF-8 text").at(file, Position { line, column })
    })?;
    if text.trim().is_empty() {
        return Err(ConfigError { file: Some(file.clone()), ..ConfigError::new("", "the file is empty") });
    }
    let loaded = parse(text).map_err(|error| syntax_error(file, text, &error))?;
    let mut roots = Vec::new();
    for document in &loaded {
        let root = convert(document).map_err(|error| {
            let at = position(document.span.start);
            let position =
                error.line.zip(error.column).map_or(at, |(line, column)| Position { line, column });
            error.at(file, position)
        })?;
        if root.node != Node::Null {
            roots.push(root);
        }
    }
    if roots.is_empty() {
        return Err(ConfigError {
            file: Some(file.clone()),
            ..ConfigError::new("", "the file has no document")
        });
    }
    Ok(roots)
}

/// The documents of a text, with scalars as they are written: what they mean is not the parser's to say.
fn parse(text: &str) -> Result<Vec<MarkedYamlOwned>, ScanError> {
    let mut loader = YamlLoader::default();
    loader.early_parse(false);
    Parser::new(BufferedInput::new(text.chars())).load(&mut loader, true)?;
    match loader.error() {
        Some(error) => Err(error.clone()),
        None => Ok(loader.into_documents()),
    }
}

/// The parser's error; a repeated key is named, because the parser does not.
fn syntax_error(file: &str, text: &str, error: &ScanError) -> ConfigError {
    let at = position(*error.marker());
    if error.info() == "duplicated key in mapping" {
        let rest: String =
            text.chars().skip(error.marker().index()).take_while(|c| !matches!(c, ':' | '\n')).collect();
        return given_twice(rest.trim().trim_matches(['"', '\''])).at(file, at);
    }
    ConfigError::new("", format!("not valid YAML: {}", error.info())).at(file, at)
}

fn position(marker: Marker) -> Position {
    Position { line: count(marker.line()), column: count(marker.col() + 1) }
}

/// Positions past four billion need no precision.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Our tree of the parser's. An error holds its own position.
fn convert(yaml: &MarkedYamlOwned) -> Result<Spanned, ConfigError> {
    let at = position(yaml.span.start);
    let wrong = |message: &str| ConfigError::new("", message).at("", at);
    let node = match &yaml.data {
        YamlDataOwned::Representation(text, style, tag) => {
            plain::resolve(text, *style, tag.as_ref()).map_err(wrong)?
        }
        YamlDataOwned::Sequence(items) => Node::List(items.iter().map(convert).collect::<Result<_, _>>()?),
        YamlDataOwned::Mapping(entries) => {
            let mut converted: Vec<Entry> = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key_node = convert(key)?;
                let Node::Str(name) = key_node.node else {
                    return Err(ConfigError::new("", "the key of a map must be text")
                        .hint("put it in quotes")
                        .at("", key_node.at));
                };
                if converted.iter().any(|entry| entry.key == name) {
                    return Err(given_twice(&name).at("", key_node.at));
                }
                converted.push(Entry { key: name, at: key_node.at, value: convert(value)? });
            }
            Node::Map(merged(converted)?)
        }
        YamlDataOwned::Tagged(..) => return Err(wrong("custom YAML tags are not supported")),
        // The parser gives this for a document without content.
        YamlDataOwned::BadValue => Node::Null,
        YamlDataOwned::Value(_) | YamlDataOwned::Alias(_) => return Err(wrong("unexpected YAML node")),
    };
    Ok(Spanned { at, node })
}

fn given_twice(key: &str) -> ConfigError {
    ConfigError::new("", format!("key {key:?} is given twice"))
}

/// The entries with those of maps that the key `<<` names, as far as they are not given here.
fn merged(mut entries: Vec<Entry>) -> Result<Vec<Entry>, ConfigError> {
    let Some(at) = entries.iter().position(|entry| entry.key == "<<") else { return Ok(entries) };
    let merge = entries.remove(at);
    let maps = match merge.value.node {
        Node::List(items) => items,
        _ => vec![merge.value],
    };
    for map in maps {
        let Node::Map(others) = map.node else {
            return Err(ConfigError::new("", "only maps can be merged with <<").at("", map.at));
        };
        for other in others {
            if entries.iter().all(|entry| entry.key != other.key) {
                entries.push(other);
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
