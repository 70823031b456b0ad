//! What is done about each option of a plugin.

use super::plugins::Work;
use super::table::{self, Edit, OptionRule};
use super::tree::{Body, Entry};

impl Work {
    /// The options of a plugin. What comes back are the addresses that it transferred its zones to.
    pub(super) fn options(&mut self, plugin: &str, body: &mut Body) -> Vec<String> {
        let mut addresses = Vec::new();
        let mut at = 0;
        while at < body.entries.len() {
            let name = body.entries[at].name();
            let to = self.to;
            let rule = table::OPTIONS
                .iter()
                .find(|rule| rule.plugin == plugin && rule.option == name && rule.removed <= to);
            let kept = rule.is_none_or(|rule| self.option(rule, body, at, &mut addresses));
            at += usize::from(kept);
        }
        addresses
    }

    /// One option that a rule is for. False when it is there no longer.
    fn option(&mut self, rule: &OptionRule, body: &mut Body, at: usize, addresses: &mut Vec<String>) -> bool {
        let OptionRule { plugin, option, removed, edit } = rule;
        let entry = &mut body.entries[at];
        let (line, args) = (entry.line(), entry.args());
        let what = format!("option {option} of plugin {plugin}");
        let (kept, change) = match edit {
            Edit::Drop => (false, format!("{what} was removed in {removed}: dropped")),
            Edit::DropIgnored => (false, format!("{what} does nothing since {removed}: dropped")),
            Edit::Replace(words) => {
                entry.replace_words(words);
                (true, format!("{what} was removed in {removed}: now {}", words.join(" ")))
            }
            Edit::Transfer if args.first().is_some_and(|word| word == "to") => {
                addresses.extend(args.into_iter().skip(1));
                (
                    false,
                    format!(
                        "option transfer to of plugin {plugin} was removed in {removed}: now plugin transfer"
                    ),
                )
            }
            Edit::Transfer => return true,
            Edit::Prefix(word) => {
                let words: Vec<&str> =
                    [*word, *option].into_iter().chain(args.iter().map(String::as_str)).collect();
                entry.replace_words(&words);
                (true, format!("{what} needs {word} before it since {removed}: added"))
            }
            Edit::DropValue(value) => {
                if !drop_value(entry, value) {
                    return true;
                }
                (entry.words.len() > 1, format!("{what} refuses {value} since {removed}: dropped"))
            }
            Edit::Reload(place) => {
                let Some(seconds) = args.get(*place) else { return true };
                entry.truncate(place + 1);
                if !body.entries.iter().any(|entry| entry.name() == "reload") {
                    body.insert(at + 1, Entry::new(&["reload", &format!("{seconds}s")], line));
                }
                (true, format!("the timeout of {what} was removed in {removed}: now reload"))
            }
        };
        self.changed(line, &change);
        if !kept {
            body.remove(at);
        }
        kept
    }
}

/// Takes all arguments of this value away; false when there are none.
fn drop_value(entry: &mut Entry, value: &str) -> bool {
    let before = entry.words.len();
    while let Some(place) = entry.args().iter().position(|arg| arg.eq_ignore_ascii_case(value)) {
        entry.remove_word(place + 1);
    }
    entry.words.len() < before
}

/// The zones that a plugin is given; without any they are those of its block.
pub(super) fn zones(entry: &Entry) -> Vec<String> {
    let names_file = usize::from(entry.name() == "file");
    entry.args().split_off(names_file.min(entry.words.len().saturating_sub(1)))
}

/// Adds the addresses to the plugin `transfer` of these zones, or such a plugin at this place. True when it did that.
pub(super) fn add_transfer(body: &mut Body, at: usize, zones: Vec<String>, addresses: Vec<String>) -> bool {
    let same = |entry: &&mut Entry| entry.name() == "transfer" && entry.args() == zones;
    let existing = body.entries.iter_mut().find(same).and_then(|entry| entry.body.as_mut());
    let had: Vec<String> = existing.iter().flat_map(|body| &body.entries).flat_map(Entry::args).collect();
    let mut to = vec!["to".to_owned()];
    for address in addresses {
        if !had.contains(&address) && !to[1..].contains(&address) {
            to.push(address);
        }
    }
    if let Some(existing) = existing {
        if to.len() > 1 {
            let words: Vec<&str> = to.iter().map(String::as_str).collect();
            let line = existing.open.line();
            existing.insert(existing.entries.len(), Entry::new(&words, line));
        }
        return false;
    }
    let line = body.entries.get(at.saturating_sub(1)).map_or(0, Entry::line);
    let words: Vec<String> = std::iter::once("transfer".to_owned()).chain(zones).collect();
    body.insert(at, Entry::block(&words, &[to], line));
    true
}
