//! Sentences and tables for people.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use crate::cli::exit::CommandError;

/// An error: what, why, what is left behind, what to do.
pub fn error(error: &CommandError) -> String {
    let mut text = format!("Error: {}\n", error.message);
    for finding in &error.findings {
        let _ = writeln!(text, "  [{}] {}", finding.check, finding.message.replace('\n', "\n    "));
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "    hint: {hint}");
        }
    }
    for line in &error.details {
        let _ = writeln!(text, "  {}", line.replace('\n', "\n  "));
    }
    for hint in &error.hints {
        let _ = writeln!(text, "Hint: {hint}");
    }
    text
}

/// A table without lines, as kubectl prints them.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let lines = table.to_string();
    lines.lines().fold(String::new(), |text, line| text + line.trim_end().trim_start() + "\n")
}

/// A line of a unified diff in the colours that people know from git.
pub fn coloured(line: &str) -> String {
    let code = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "1",
        [b'@', b'@', ..] => "36",
        [b'+', ..] => "32",
        [b'-', ..] => "31",
        _ => return line.to_owned(),
    };
    format!("\u{1b}[{code}m{line}\u{1b}[0m")
}

/// A number of things: `1 change`, `2 changes`.
pub fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Milliseconds as a person reads them.
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(7), "7 ms");
        assert_eq!(duration(4_321), "4.3 s");
        assert_eq!(duration(61_000), "1 min 1 s");
    }

    #[test]
    fn diffs_have_the_colours_of_git() {
        let lines = ["--- a", "+++ a", "@@ -1 +1 @@", "-old", "+new", " same"].map(coloured);
        assert_eq!(
            lines.join("\n").replace('\u{1b}', "^"),
            "^[1m--- a^[0m\n^[1m+++ a^[0m\n^[36m@@ -1 +1 @@^[0m\n^[31m-old^[0m\n^[32m+new^[0m\n same"
        );
    }

    #[test]
    fn tables_have_no_lines() {
        assert_eq!(table(&["ID", "STATUS"], vec![vec!["1".into(), "done".into()]]), "ID  STATUS\n1   done\n");
    }
}
