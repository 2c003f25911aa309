//! The documents name files that exist. These tests guard against text with the old name of a renamed file.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents at the top and in `docs`.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<_> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .map(|name| root().join(name))
        .into();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    documents.extend(docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")));
    documents
}

/// The texts between `open` and `close`, each on one line.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    let lines = text.lines();
    lines.flat_map(move |line| {
        let parts = line.split(open).skip(1);
        parts.filter_map(move |part| part.split_once(close).map(|(inside, _)| inside))
    })
}

/// The name in a link to a heading.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

fn has_anchor(document: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(document).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    wanted.is_empty() || headings.map(anchor).any(|name| name == wanted)
}

/// Links without a target.
fn broken_links(document: &Path, text: &str) -> Vec<String> {
    let links = between(text, "](", ')').filter(|link| !link.contains("://"));
    let broken = links.filter(|link| {
        let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() {
            document.to_owned()
        } else {
            document.parent().unwrap().join(file)
        };
        !target.exists() || !has_anchor(&target, wanted)
    });
    broken.map(str::to_owned).collect()
}

/// Paths in code type that begin with a folder of the repository and do not exist. Files that building and
/// running leave (`.gitignore`) may be missing.
fn missing_paths(text: &str) -> Vec<String> {
    // Every second part of a line is in code type.
    let quoted = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let paths = quoted.filter(|name| {
        let folder = name.split_once('/').map_or("", |(folder, _)| folder);
        let plain = !name.contains([' ', '*', '<', '=', '{']);
        let left = matches!(folder, "target" | "quire-data");
        plain && !left && !matches!(folder, "" | ".") && root().join(folder).is_dir()
    });
    let missing = paths.filter(|path| !root().join(path).exists());
    missing.map(str::to_owned).collect()
}

#[test]
fn every_file_that_the_documents_name_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let names = broken_links(&document, &text)
            .into_iter()
            .chain(missing_paths(&text));
        missing.extend(names.map(|name| format!("{}: {name}", document.display())));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_missing_file_is_noticed() {
    let document = root().join("README.md");
    let text = "see [it](ledger/src/lib.rs), [that](ledger/src/none.rs), [there](#no-such-heading)";
    assert_eq!(
        broken_links(&document, text),
        ["ledger/src/none.rs", "#no-such-heading"]
    );
    let text = "`scripts/test.sh`, `scripts/none.sh`, `DATA/lock`, `/v1/channels`, `wire/src`, \
                `target/none`";
    assert_eq!(missing_paths(text), ["scripts/none.sh"]);
}
