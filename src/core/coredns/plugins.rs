//! What is done about each plugin of a Corefile.

use super::options::{add_transfer, zones};
use super::proxy;
use super::table::{self, Version};
use super::tree::{Body, Corefile, Entry};

/// A migration under way.
pub(super) struct Work {
    pub(super) to: Version,
    pub(super) changes: Vec<String>,
    pub(super) unsupported: Vec<String>,
}

impl Work {
    pub(super) fn changed(&mut self, line: usize, what: &str) {
        self.changes.push(format!("line {line}: {what}"));
    }

    fn is_unsupported(&mut self, line: usize, what: &str) {
        self.unsupported.push(format!("line {line}: {what}"));
    }

    /// The plugins of a block of servers.
    pub(super) fn plugins(&mut self, body: &mut Body) {
        let mut at = 0;
        while at < body.entries.len() {
            let entry = &mut body.entries[at];
            at += 1;
            let name = entry.name();
            let known_later = entry.words.first().is_some_and(super::Token::has_placeholder);
            if known_later || name == "import" || !self.supported(entry) {
                continue;
            }
            let zones = zones(entry);
            let Some(options) = &mut entry.body else { continue };
            let had_options = !options.entries.is_empty();
            let addresses = self.options(&name, options);
            if had_options {
                entry.drop_empty_body();
            }
            if !addresses.is_empty() {
                let added = add_transfer(body, at, zones, addresses);
                at += usize::from(added);
            }
        }
    }

    /// Whether the new version has the plugin; changes what can be, and notes what cannot.
    fn supported(&mut self, entry: &mut Entry) -> bool {
        let (name, line) = (entry.name(), entry.line());
        let to = self.to;
        if name == "proxy" && to >= table::FORWARD {
            self.proxy(entry);
            return false;
        }
        let Some(plugin) = table::find(&name) else {
            self.is_unsupported(line, &format!("plugin {name} is not in the default build of CoreDNS"));
            return false;
        };
        if to < plugin.since {
            let since = plugin.since;
            self.is_unsupported(
                line,
                &format!("plugin {name} is in the default build of CoreDNS from {since} on"),
            );
            return false;
        }
        if let Some(until) = plugin.until.filter(|until| to >= *until) {
            self.is_unsupported(
                line,
                &format!("plugin {name} was removed in {until}, and nothing replaces it"),
            );
            return false;
        }
        match name.as_str() {
            "secondary" if to >= table::SECONDARY_NEEDS_TRANSFER => self.secondary(entry),
            "multisocket" if to >= table::SOCKETS_CAPPED => self.multisocket(entry),
            _ => {}
        }
        self.strict(entry);
        true
    }

    fn proxy(&mut self, entry: &mut Entry) {
        let line = entry.line();
        let removed = table::FORWARD;
        match proxy::to_forward(entry) {
            Ok(dropped) => {
                let without = if dropped.is_empty() {
                    String::new()
                } else {
                    format!(", without {} which it has not", dropped.join(", "))
                };
                self.changed(line, &format!("plugin proxy was removed in {removed}: now forward{without}"));
            }
            Err(why) => {
                self.is_unsupported(line, &format!("plugin proxy was removed in {removed}, and {why}"));
            }
        }
    }

    fn secondary(&mut self, entry: &Entry) {
        let from = |option: &Entry| match option.name().as_str() {
            "transfer" => option.args().first().is_some_and(|word| word == "from"),
            name => name == "import",
        };
        if !entry.options().iter().any(from) {
            let since = table::SECONDARY_NEEDS_TRANSFER;
            self.is_unsupported(
                entry.line(),
                &format!("plugin secondary needs the option transfer from since {since}, and has none"),
            );
        }
    }

    fn multisocket(&mut self, entry: &mut Entry) {
        let most = table::MOST_SOCKETS;
        let sockets = entry.args().first().and_then(|sockets| sockets.parse::<u64>().ok());
        if sockets.is_some_and(|sockets| sockets > most) {
            entry.replace_words(&["multisocket", &most.to_string()]);
            let since = table::SOCKETS_CAPPED;
            self.changed(
                entry.line(),
                &format!("plugin multisocket takes {most} sockets at most since {since}: now {most}"),
            );
        }
    }

    /// Takes away what a plugin ignored up to some version, and refuses since.
    fn strict(&mut self, entry: &mut Entry) {
        let name = entry.name();
        let to = self.to;
        let rules = table::STRICT.iter().filter(|rule| rule.plugin == name);
        for rule in rules.filter(|rule| (rule.since..=table::NEWEST).contains(&to)) {
            let since = rule.since;
            if !rule.args && entry.words.len() > 1 {
                entry.truncate(1);
                self.changed(
                    entry.line(),
                    &format!("plugin {name} takes no arguments since {since}: dropped"),
                );
            }
            if !rule.args && entry.body.is_some() {
                entry.drop_body();
                self.changed(entry.line(), &format!("plugin {name} takes no options since {since}: dropped"));
            }
            let Some(body) = &mut entry.body else { continue };
            let had_options = !body.entries.is_empty();
            let mut at = 0;
            while at < body.entries.len() {
                let option = body.entries[at].name();
                let placeholder = body.entries[at].words.first().is_some_and(super::Token::has_placeholder);
                if placeholder || option == "import" || rule.options.contains(&option.as_str()) {
                    at += 1;
                    continue;
                }
                let line = body.remove(at).line();
                self.changed(
                    line,
                    &format!(
                        "option {option} of plugin {name} did nothing and is refused since {since}: dropped"
                    ),
                );
            }
            if had_options {
                entry.drop_empty_body();
            }
        }
    }

    /// Adds plugin `ready` beside the first `kubernetes` when no block has it.
    pub(super) fn add_ready(&mut self, corefile: &mut Corefile) {
        let has = |entry: &Entry| entry.name() == "ready";
        if corefile.blocks.iter().any(|block| block.entries().iter().any(has)) {
            return;
        }
        for block in &mut corefile.blocks {
            let Some(body) = &mut block.body else { continue };
            let Some(at) = body.entries.iter().position(|entry| entry.name() == "kubernetes") else {
                continue;
            };
            let line = body.entries[at].line();
            body.insert(at + 1, Entry::new(&["ready"], line));
            let since = table::READY;
            self.changed(line, &format!("plugin ready, which readiness probes ask since {since}: added"));
            return;
        }
    }
}
