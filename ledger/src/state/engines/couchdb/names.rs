//! Names in CouchDB: Fabric's names of databases, and ids for keys that CouchDB would refuse.
//!
//! A key is its own id, with a few exceptions: ids that start with `_` are CouchDB's, an id is never empty,
//! and two ids of a channel's first database are Fabric's own. These keys get other ids, so that every key
//! has an id, no two keys have the same, and ids sort like keys.

use sha2::{Digest as _, Sha256};

/// The longest name that is not cut.
const MAX_NAME_CHARS: usize = 238;
/// What is kept of each part of a longer name.
const MAX_PART_CHARS: usize = 50;
/// Prefix of the ids of keys that start with `_`, and of keys that start with it: it sorts directly below
/// `_`, because no character comes after its last one.
const ESCAPE: &str = "^\u{10ffff}";

/// Id of the document that says how far state is.
pub(super) const SAVEPOINT: &str = "statedb_savepoint";
/// Id of the document that says which databases a channel has.
pub(super) const METADATA: &str = "channel_metadata";
/// The namespace whose database also holds those two.
const SYSTEM_NAMESPACE: &str = "";

/// The database of data that belongs to no single namespace. It is also the database of the namespace `""`.
pub(super) fn metadata_database(channel: &str) -> String {
    let name = if channel.len() > MAX_NAME_CHARS {
        format!("{}({})", cut(channel), digest(channel))
    } else {
        channel.to_owned()
    };
    format!("{name}_").replace('.', "$")
}

/// The database of a namespace, by Fabric's rules. Two namespaces may get one name.
pub(super) fn namespace_database(channel: &str, namespace: &str) -> String {
    if namespace == SYSTEM_NAMESPACE {
        return metadata_database(channel);
    }
    let whole = format!("{channel}_{namespace}");
    let mut escaped = String::with_capacity(namespace.len());
    for c in namespace.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('$');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    let is_allowed =
        |c: char| matches!(c, 'a'..='z' | '0'..='9' | '$' | '_' | '.' | '(' | ')' | '+' | '-');
    let escaped_ok = escaped.chars().all(is_allowed);
    if escaped_ok && channel.len() + 1 + escaped.len() <= MAX_NAME_CHARS {
        return format!("{channel}_{escaped}").replace('.', "$");
    }
    let kept: String = escaped.chars().filter(|c| is_allowed(*c)).collect();
    let mut parts = kept.split("$$");
    let first = cut(parts.next().unwrap_or_default());
    let part = match (parts.next(), parts.next()) {
        (Some(collection), None) => format!("{first}$${}", cut(collection)),
        _ => first.to_owned(),
    };
    format!("{}_{part}({})", cut(channel), digest(&whole)).replace('.', "$")
}

/// The database of a namespace if another namespace has that name already.
pub(super) fn other_database(channel: &str, namespace: &str) -> String {
    let whole = format!("{channel}_{namespace}");
    format!("{}_({})", cut(channel), digest(&whole)).replace('.', "$")
}

fn cut(text: &str) -> &str {
    match text.char_indices().nth(MAX_PART_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Whether the text is one of the ids that no key has as its own, followed by zero bytes only.
fn is_displaced(namespace: &str, text: &str) -> bool {
    let stem = text.trim_end_matches('\0');
    stem.is_empty() || (namespace == SYSTEM_NAMESPACE && matches!(stem, SAVEPOINT | METADATA))
}

/// The id of a key's document. The byte order of ids is the order of keys.
pub(super) fn id(namespace: &str, key: &str) -> String {
    if is_displaced(namespace, key) {
        return format!("{key}\0");
    }
    if key.starts_with('_') || key.starts_with(ESCAPE) {
        return format!("{ESCAPE}{key}");
    }
    key.to_owned()
}

/// The key of a document; `None` if it is not a key's document.
pub(super) fn key(namespace: &str, id: &str) -> Option<String> {
    if id.starts_with('_') {
        return None;
    }
    if is_displaced(namespace, id) {
        return id.strip_suffix('\0').map(str::to_owned);
    }
    Some(id.strip_prefix(ESCAPE).unwrap_or(id).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_have_fabrics_names() {
        // The rules are from Fabric 3.1, core/ledger/kvledger/txmgmt/statedb/statecouchdb/couchdbutil.go.
        for (namespace, expected) in [
            ("", "main_"),
            ("basic", "main_basic"),
            ("_lifecycle", "main__lifecycle"),
            ("myCC", "main_my$c$c"),
            ("cc$$hcollA", "main_cc$$hcoll$a"),
            ("a.b", "main_a$b"),
        ] {
            assert_eq!(namespace_database("main", namespace), expected);
        }
        assert_eq!(metadata_database("my.channel"), "my$channel_");
        let long = "c".repeat(240);
        let name = namespace_database("main", &long);
        let hash = digest(&format!("main_{long}"));
        assert_eq!(name, format!("main_{}({hash})", "c".repeat(50)));
        let name = namespace_database("main", &format!("{long}$$p{long}"));
        assert!(name.starts_with(&format!("main_{}$$p{}(", "c".repeat(50), "c".repeat(49))));
        let name = metadata_database(&long);
        assert_eq!(name, format!("{}({})_", "c".repeat(50), digest(&long)));
        assert!(namespace_database("main", "a b").starts_with("main_ab("));
    }

    #[test]
    fn every_key_has_an_id_of_its_own_in_order() {
        let mut keys = vec![
            "",
            "\0",
            "\0\0",
            "\0a\0",
            "a",
            "^",
            "^\u{10fffe}",
            ESCAPE,
            "^\u{10ffff}_",
            "_",
            "_a",
            "_design/x",
            "__",
            "`",
            "\u{10ffff}",
            SAVEPOINT,
            METADATA,
            "statedb_savepoint\0",
            "statedb_savepoint\0\0",
            "statedb_savepoint\0a",
            "statedb_savepoinu",
            "é",
            "😀",
        ];
        keys.sort_unstable();
        for namespace in ["", "cc"] {
            let ids: Vec<String> = keys.iter().map(|key| id(namespace, key)).collect();
            assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
            for (key, id) in keys.iter().zip(&ids) {
                assert!(!id.is_empty() && !id.starts_with('_'));
                assert_eq!(super::key(namespace, id).as_deref(), Some(*key));
            }
        }
        assert_eq!(key("", SAVEPOINT), None);
        assert_eq!(key("cc", SAVEPOINT).as_deref(), Some(SAVEPOINT));
        assert_eq!(key("cc", "_design/x"), None);
    }
}
