//! What real Fabric and real CouchDB did, as `tests/conformance` keeps it.
//!
//! The README of that folder says what each file is. Every file in it is compressed by gzip; a path
//! here is the file's path in that folder without `.gz`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

/// The content of a file.
///
/// # Panics
///
/// If there is no such file, or if it is damaged.
#[must_use]
pub fn read(path: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
    let file = folder.join(format!("{path}.gz"));
    let mut content = Vec::new();
    let opened = File::open(&file).and_then(|file| GzDecoder::new(file).read_to_end(&mut content));
    if let Err(error) = opened {
        panic!("{}: {error}", file.display());
    }
    content
}

/// The content of a file that is text.
///
/// # Panics
///
/// If there is no such file, if it is damaged, or if it is not text.
#[must_use]
pub fn read_text(path: &str) -> String {
    String::from_utf8(read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values in a file that has one JSON value on each line.
///
/// # Panics
///
/// If there is no such file, if it is damaged, or if a line is not JSON.
#[must_use]
pub fn read_lines(path: &str) -> Vec<Value> {
    let text = read_text(path);
    text.lines().map(|line| parsed(path, line)).collect()
}

/// The table of malformed envelopes, one in each block, with the codes of Fabric's own validator.
///
/// # Panics
///
/// If the table is not there, or is damaged.
#[must_use]
pub fn fabric_verdicts() -> Vec<Value> {
    const TABLE: &str = "fabric-verdicts/verdicts.jsonl";
    let text = read_text(TABLE);
    // Its first line names the identities whose bytes the other lines leave out.
    let (names, cases) = text.split_once('\n').unwrap_or_default();
    let names: Value = parsed(TABLE, names);
    let names = names.get("identities").and_then(Value::as_object);
    let names = names.into_iter().flatten();
    let whole = names.fold(cases.to_owned(), |text, (name, identity)| {
        text.replace(name, identity.as_str().unwrap_or_default())
    });
    whole.lines().map(|line| parsed(TABLE, line)).collect()
}

fn parsed(path: &str, line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A folder with one block file, under the name that a peer gives it.
///
/// # Panics
///
/// If there is no such file, if it is damaged, or if the folder cannot be made.
#[must_use]
pub fn block_files(path: &str) -> TempDir {
    let content = read(path);
    let folder = tempfile::tempdir();
    let folder = folder.and_then(|folder| {
        fs::write(folder.path().join("blockfile_000000"), content)?;
        Ok(folder)
    });
    folder.unwrap_or_else(|error| panic!("a folder for {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file that is there, with its path as `read` takes it.
    fn files(folder: &Path, within: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{within}{name}");
            if entry.path().is_dir() {
                files(&entry.path(), &format!("{path}/"), found);
            } else if let Some(path) = path.strip_suffix(".gz") {
                found.push(path.to_owned());
            } else {
                assert!(matches!(&*path, "README.md" | "read.mjs"), "{path}");
            }
        }
    }

    #[test]
    fn every_file_is_whole_and_stands_in_the_readme() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        let mut found = Vec::new();
        files(&folder, "", &mut found);
        assert!(found.len() > 20, "{found:?}");
        for path in found {
            assert!(!read(&path).is_empty(), "{path}");
            let (_, name) = path.rsplit_once('/').unwrap();
            assert!(readme.contains(&format!("`{name}`")), "{path}");
        }
    }

    #[test]
    #[should_panic(expected = "no-such-file.gz")]
    fn a_missing_file_is_named() {
        drop(read("fabric-ledgers/no-such-file"));
    }
}
