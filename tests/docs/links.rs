//! Links within the book lead somewhere, and every page can be found.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{book, read};

fn pages(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "book") {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(path);
        }
    }
    found
}

/// Targets of `[text](target)` outside code blocks, without those that lead elsewhere.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = vec![];
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        for rest in line.split("](").skip(1).filter(|_| !in_code) {
            let target = rest.split(')').next().unwrap_or_default();
            if !target.contains("://") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchor that renderers give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn links_lead_somewhere() {
    let root = book().parent().unwrap().to_owned();
    let mut wrong = vec![];
    for page in pages(&book()).into_iter().chain([root.join("README.md"), root.join("CHANGELOG.md")]) {
        for link in links(&read(&page)) {
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there = match place {
                "" => target.exists(),
                place => read(&target).lines().any(|line| {
                    line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == place
                }),
            };
            if !there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = book().join("SUMMARY.md");
    let listed: BTreeSet<_> = links(&read(&summary)).into_iter().map(|link| book().join(link)).collect();
    let mut there = pages(&book());
    there.remove(&summary);
    assert_eq!(there, listed);
}
