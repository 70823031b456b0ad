//! Plugin `proxy`, which CoreDNS 1.5.0 has no longer, as plugin `forward`. What the options mean is from the pages of the two.

use super::tree::{Body, Entry};

/// How many servers `forward` takes.
const MOST_SERVERS: usize = 15;

/// Makes the entry a `forward`, and says what was dropped; or why that cannot be.
pub(super) fn to_forward(entry: &mut Entry) -> Result<Vec<String>, &'static str> {
    let args = entry.args();
    if args.len() < 2 {
        return Err("it names no server");
    }
    if args.len() - 1 > MOST_SERVERS {
        return Err("forward takes 15 servers at most");
    }
    let speaks =
        |option: &Entry| option.name() == "protocol" && option.args().first().is_some_and(|to| to != "dns");
    if entry.options().iter().any(speaks) {
        return Err("forward has none of its protocols but DNS");
    }
    let mut dropped = Vec::new();
    if let Some(body) = &mut entry.body {
        let mut at = 0;
        while at < body.entries.len() {
            if option(body, at) {
                at += 1;
            } else {
                dropped.push(body.remove(at).name());
            }
        }
    }
    let words: Vec<&str> = std::iter::once("forward").chain(args.iter().map(String::as_str)).collect();
    entry.replace_words(&words);
    entry.drop_empty_body();
    Ok(dropped)
}

/// Writes an option as `forward` has it; false when it has none like it.
fn option(body: &mut Body, at: usize) -> bool {
    let entry = &mut body.entries[at];
    let (name, args) = (entry.name(), entry.args());
    match (name.as_str(), args.first().map(String::as_str)) {
        ("except" | "max_fails" | "import", _)
        | ("policy", Some("random" | "round_robin" | "sequential")) => true,
        ("policy", Some("first")) => {
            entry.replace_words(&["policy", "sequential"]);
            true
        }
        ("protocol", Some("dns")) if args.get(1).is_some_and(|how| how == "force_tcp") => {
            entry.replace_words(&["force_tcp"]);
            true
        }
        _ => false,
    }
}
