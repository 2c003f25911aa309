//! The list of parts against a directory that was used.

use std::path::{Path, PathBuf};

use quire_ledger::StateEngine;

use super::parts::{Needed, PARTS, Part};
use super::*;

/// Every file below a folder, from it on.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_file_of_a_directory_that_was_used_belongs_to_a_part() {
    let data = tempfile::tempdir().unwrap();
    let directory = Directory::open(
        data.path(),
        ("QuireMSP", None),
        &StateEngine::Fjall,
        16 << 20,
    )
    .unwrap();
    let files = files(data.path());
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let path = file.strip_prefix(data.path()).unwrap();
        assert!(Part::of(path).is_some(), "{}", path.display());
    }
    drop(directory);
}

#[test]
fn the_more_particular_part_is_the_one_that_a_path_belongs_to() {
    for (path, expected) in [
        ("lock", "lock"),
        ("id-store/main.json", "id-store/"),
        ("channels/main/blockfile_000000", "channels/*/blockfile_*"),
        ("channels/main/indexes.json", "channels/*/indexes.json"),
        ("channels/main", "channels/*/"),
        ("channels", "channels/"),
        ("organization/ca/priv_sk", "organization/ca/"),
        ("organization/msp/config.yaml", "organization/msp/"),
        ("organization/given/msp-id", "organization/given/"),
        ("organization", "organization/"),
        ("ca/registry", "ca/"),
        ("identities/a/msp/keystore/priv_sk", "identities/"),
        (
            "identities/a/msp/cacerts/ca-cert.pem",
            "identities/*/msp/cacerts/",
        ),
        (
            "identities/a/msp/config.yaml",
            "identities/*/msp/config.yaml",
        ),
        ("derived/0.jnl", "derived/"),
        ("derived.damaged-3/0.jnl", "derived.damaged-*/"),
        ("check-abc/0.jnl", "check-*/"),
    ] {
        let part = Part::of(Path::new(path)).unwrap();
        assert_eq!(part.path, expected, "{path}");
    }
    assert!(Part::of(Path::new("elsewhere")).is_none());
}

#[test]
fn what_a_start_cannot_make_again_has_advice() {
    for part in PARTS {
        let wants_advice = part.needed != Needed::Nobody;
        assert_eq!(!part.advice.is_empty(), wants_advice, "{}", part.path);
    }
}
