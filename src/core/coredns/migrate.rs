//! Brings a Corefile from one CoreDNS version to another.

use std::collections::{BTreeMap, BTreeSet};

use super::CorefileError;
use super::plugins::Work;
use super::table::{self, Version};
use super::tree::{Corefile, Entry};

/// A Corefile for another CoreDNS version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migration {
    /// The Corefile; the very same bytes when there are no changes.
    pub text: String,
    /// What was changed, one sentence each, with lines of the text as it was.
    pub changes: Vec<String>,
    /// What keeps the new version from running with any change of this Corefile, one sentence each. Where there is
    /// something, the operator's Corefile and CoreDNS have to stay as they are.
    pub unsupported: Vec<String>,
}

/// Brings a Corefile from one CoreDNS version to another. What version the text was written for does not matter to the
/// changes: all that the new version refuses is changed. Nothing is changed for an older or the same version. What is
/// imported from files is not seen.
pub fn migrate(text: &str, from: &str, to: &str) -> Result<Migration, CorefileError> {
    let version =
        |text: &str| Version::parse(text).ok_or_else(|| CorefileError::Version { text: text.to_owned() });
    let (from, to) = (version(from)?, version(to)?);
    let unchanged = Migration { text: text.to_owned(), ..Migration::default() };
    if to < from {
        return Ok(unchanged);
    }
    let mut corefile = Corefile::parse(text)?;
    let mut work = Work { to, changes: Vec::new(), unsupported: Vec::new() };
    let users = snippet_users(&corefile);
    for block in &mut corefile.blocks {
        let users = block.snippet().map(|name| users.get(&name).cloned().unwrap_or_default());
        let Some(body) = &mut block.body else { continue };
        match users {
            None => work.plugins(body),
            Some(users) if users.contains(&User::Server) => work.plugins(body),
            // Only the options of one plugin: what a name means would else depend on who imports.
            Some(users) => {
                if let [User::Plugin(plugin)] = users.iter().collect::<Vec<_>>().as_slice() {
                    let moved = work.options(plugin, body);
                    if !moved.is_empty() {
                        work.unsupported.push(format!(
                            "option transfer of plugin {plugin} is in a snippet, and cannot become a plugin there"
                        ));
                    }
                }
            }
        }
    }
    if from < table::READY && to >= table::READY {
        work.add_ready(&mut corefile);
    }
    let Work { changes, unsupported, .. } = work;
    if from == to || changes.is_empty() {
        return Ok(Migration { unsupported, ..unchanged });
    }
    Ok(Migration { text: corefile.to_string(), changes, unsupported })
}

/// Who imports a snippet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    /// A block of servers, so the snippet has plugins.
    Server,
    /// A plugin's block, so the snippet has options.
    Plugin(String),
}

/// Who imports which snippet, through other snippets too. CoreDNS never looks into one that nobody imports.
fn snippet_users(corefile: &Corefile) -> BTreeMap<String, BTreeSet<User>> {
    let mut imports: Vec<(Option<String>, String, Option<String>)> = Vec::new();
    for block in &corefile.blocks {
        for entry in block.entries() {
            note_imports(entry, None, &mut |plugin, name| imports.push((block.snippet(), name, plugin)));
        }
    }
    let mut users: BTreeMap<String, BTreeSet<User>> = BTreeMap::new();
    // A snippet may import one that is above it only, but this needs not rely on it.
    for _ in 0..=corefile.blocks.len() {
        for (within, name, plugin) in &imports {
            let new = match (plugin, within) {
                (Some(plugin), _) => BTreeSet::from([User::Plugin(plugin.clone())]),
                (None, None) => BTreeSet::from([User::Server]),
                (None, Some(within)) => users.get(within).cloned().unwrap_or_default(),
            };
            users.entry(name.clone()).or_default().extend(new);
        }
    }
    users
}

fn note_imports(entry: &Entry, plugin: Option<&str>, note: &mut dyn FnMut(Option<String>, String)) {
    let name = entry.name();
    if name == "import" {
        entry.args().into_iter().take(1).for_each(|of| note(plugin.map(str::to_owned), of));
    }
    for option in entry.options() {
        note_imports(option, plugin.or(Some(&name)), note);
    }
}
