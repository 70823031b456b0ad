//! Quotes what the YAML crate leaves plain, because it means a text in YAML 1.2, and what Kubernetes, whose reader is one of
//! YAML 1.1, takes for something else: `on` for true, `1_000` for a number.

/// Quotes such keys and values in a text of the YAML crate: one node in each line, no flow style, nothing folded.
pub(super) fn for_old_readers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    // The column of the node whose text stands in the lines below it, further right.
    let mut block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        let indent = content.len() - content.trim_start_matches(' ').len();
        if block.is_some_and(|column| content.trim().is_empty() || indent > column) {
            out += line;
            continue;
        }
        let (start, column) = start_of_node(content, indent);
        let (head, node) = content.split_at(start);
        out += head;
        let (key, value) = split_key(node);
        if let Some(key) = key {
            push(&mut out, key);
            out.push(':');
            out += &node[key.len() + 1..node.len() - value.len()];
        }
        push(&mut out, value);
        out += end;
        block = is_block(value).then_some(if key.is_some() { start } else { column });
    }
    out
}

/// Behind the marks of a list: where the node begins, and where its last mark does.
fn start_of_node(line: &str, indent: usize) -> (usize, usize) {
    let (mut start, mut column) = (indent, indent);
    while ["- ", "? ", ": "].iter().any(|mark| line[start..].starts_with(mark)) {
        column = start;
        start += 2;
    }
    (start, column)
}

/// Key and value of an entry, or a value alone.
fn split_key(node: &str) -> (Option<&str>, &str) {
    let length = match node.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted_length(node, quote),
        _ => match (node.find(": "), node.strip_suffix(':')) {
            (Some(at), _) => at,
            (None, Some(key)) => key.len(),
            (None, None) => return (None, node),
        },
    };
    match node[length..].strip_prefix(':') {
        Some(value) => (Some(&node[..length]), value.trim_start_matches(' ')),
        None => (None, node),
    }
}

/// Bytes of a quoted text, both quotes included.
fn quoted_length(node: &str, quote: char) -> usize {
    let mut chars = node.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote == '"' {
            chars.next();
        } else if char == quote {
            // Two of the single ones stand for one.
            if quote == '\'' && chars.next_if(|(_, next)| *next == quote).is_some() {
                continue;
            }
            return at + 1;
        }
    }
    node.len()
}

/// Whether the text is in the lines below.
fn is_block(value: &str) -> bool {
    let rest = value.strip_prefix(['|', '>']);
    rest.is_some_and(|rest| rest.chars().all(|char| char == '+' || char == '-' || char.is_ascii_digit()))
}

fn push(out: &mut String, scalar: &str) {
    if is_misread(scalar) {
        out.push('\'');
        out.push_str(scalar);
        out.push('\'');
    } else {
        out.push_str(scalar);
    }
}

/// Whether a plain text is a truth value or a number in YAML 1.1 and neither in 1.2.
fn is_misread(scalar: &str) -> bool {
    const TRUTH: [&str; 16] =
        ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    TRUTH.contains(&scalar) || is_old_number(scalar)
}

fn is_old_number(scalar: &str) -> bool {
    let digits = scalar.trim_start_matches(['+', '-']);
    let begins = digits.starts_with(|char: char| char.is_ascii_digit() || char == '.');
    let grouped = digits.contains('_')
        && digits.chars().all(|char| char.is_ascii_hexdigit() || "_.xXoO+-".contains(char));
    let binary = digits
        .strip_prefix("0b")
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|char| matches!(char, '0' | '1' | '_')));
    begins && (grouped || binary)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{from_str, to_string};

    #[test]
    fn what_kubernetes_would_take_for_something_else_is_quoted() {
        let value = json!({
            "a": "yes", "b": ["on", "off", "plain", {"c": "No", "y": "n"}], "n": {"d": "1_000", "e": "0b11"},
            "f": true, "g": 1, "h": "true", "yes": {}, "i": [], "k": "not: yes", "l": "1.5", "m": "a_b", "o": "0x1_F",
        });
        let text = to_string(&value);
        assert_eq!(
            text,
            "a: 'yes'\nb:\n- 'on'\n- 'off'\n- plain\n- c: 'No'\n  'y': 'n'\n'n':\n  d: '1_000'\n  e: '0b11'\nf: true\ng: 1\n\
             h: 'true'\n'yes': {}\ni: []\nk: 'not: yes'\nl: '1.5'\nm: a_b\no: '0x1_F'\n"
        );
        assert_eq!(from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn texts_of_several_lines_stay_as_they_are() {
        let value = json!({
            "data": {"config": "a: yes\nb:\n- on\n\n  deeper: no\n", "next": "yes"},
            "list": ["x: on\ny: off\n", {"k": "on\n\nz: no\n", "l": "off"}, "off"],
            "key: odd": "it's 'on'\n", "quoted \"on\"": "on", "'": "no", "\t": "off",
        });
        let text = to_string(&value);
        assert_eq!(from_str::<Value>(&text).unwrap(), value, "{text}");
        for line in [
            "  config: |",
            "    a: yes",
            "    - on",
            "  next: 'yes'",
            "  x: on",
            "  l: 'off'",
            "- 'off'",
            "\"\\t\": 'off'",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn long_keys_are_understood() {
        let value = json!({("k".repeat(200)): "on", "z": {("l".repeat(200)): ["off"]}});
        let text = to_string(&value);
        assert_eq!(from_str::<Value>(&text).unwrap(), value, "{text}");
        assert_eq!((text.matches("'on'").count(), text.matches("'off'").count()), (1, 1), "{text}");
    }
}
