//! The book says what the code does: reference pages against the code, links against the files.

mod configuration;
mod events;
mod links;
mod reference;

use std::path::{Path, PathBuf};

/// The folder of the book.
fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Compares a generated file of the book with what it would be now, or writes it when `UPDATE_DOCS` is set.
fn is_up_to_date(name: &str, text: &str) {
    let path = book().join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    } else {
        assert!(read(&path) == text, "{name} is not up to date: run `make docs-reference`");
    }
}

/// A page of the book.
fn page(name: &str) -> String {
    read(&book().join(name))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of all tables in the text, without their headers, as trimmed cells.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|');
    let mut rows = vec![];
    for (index, line) in lines.iter().enumerate() {
        let is_header = lines.get(index + 1).is_some_and(|next| next.starts_with("|---"));
        if is_row(line) && !line.starts_with("|---") && !is_header {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

/// The text between backquotes, if the cell is nothing else.
fn code(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or_default()
}
