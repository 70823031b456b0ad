//! Exit codes, phases and result documents.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{code, page, read, rows};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `AbcDef` as serde writes it: `abc-def`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[test]
fn every_exit_code_is_described_and_no_other_is() {
    // The enum is private to the binary, so it is read from its source.
    let source = read(&source().join("cli/exit.rs"));
    let body = source.split("pub enum ExitKind {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    let known: Vec<_> = body
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
        .map(|(name, number)| (number.to_owned(), kebab(name)))
        .collect();
    assert!(known.contains(&("4".to_owned(), "invalid-config".to_owned())), "{known:?}");
    let documented: Vec<_> = rows(&page("reference/exit-codes.md"))
        .into_iter()
        .filter(|row| row[0] != "0")
        .map(|row| (row[0].clone(), code(&row[1]).to_owned()))
        .collect();
    assert_eq!(documented, known);
    let short: Vec<_> = rows(page("guide/output.md").split("## Exit codes").nth(1).unwrap())
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(short[1..], known.into_iter().map(|(number, _)| number).collect::<Vec<_>>());
}

#[test]
fn every_phase_is_listed_in_order_and_no_other_is() {
    let page = page("reference/phases.md");
    for (command, metas) in [
        ("init", rkadm_phases::init::metas()),
        ("join", rkadm_phases::join::metas()),
        ("reset", rkadm_phases::reset::metas()),
        ("restore", rkadm_phases::restore::metas()),
        ("restore cluster", rkadm_phases::restore::cluster_metas()),
        ("upgrade apply", rkadm_phases::upgrade::metas(rkadm_phases::upgrade::Scope::Cluster)),
        ("upgrade node", rkadm_phases::upgrade::metas(rkadm_phases::upgrade::Scope::Node)),
    ] {
        let known: Vec<_> = metas
            .into_iter()
            .filter(|meta| !meta.hidden)
            .map(|meta| (meta.id.to_owned(), meta.title.into_owned()))
            .collect();
        let section = page.split(&format!("## {command}\n")).nth(1).unwrap_or_else(|| panic!("no {command}"));
        let documented: Vec<_> = rows(section.split("\n## ").next().unwrap())
            .into_iter()
            .map(|row| (code(&row[0]).to_owned(), row[1].clone()))
            .collect();
        assert_eq!(documented, known, "{command}");
    }
}

#[test]
fn every_kind_of_result_is_described_and_no_other_is() {
    let mut known = BTreeSet::new();
    for file in sources(&source()) {
        let text = read(&file);
        for call in text.split(".result(").skip(1) {
            let kind = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            known.extend(kind.map(str::to_owned));
        }
    }
    let page = page("reference/documents.md");
    let documented: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|heading| *heading != "Phase lines")
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, known);
}

/// The sources of the binary; those of its libraries print nothing.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("src/core") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
