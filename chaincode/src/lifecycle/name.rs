//! Fabric's rules for names and versions in definitions, and for labels of packages.

/// Names of chaincodes that Fabric keeps for itself.
const SYSTEM: [&str; 5] = ["cscc", "escc", "lscc", "qscc", "vscc"];

/// Whether this may name a chaincode: `[a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*`.
pub(super) fn is_chaincode_name(name: &str) -> bool {
    let mut parts = name.split(['-', '_']);
    parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether Fabric keeps this name of a chaincode for itself.
pub(super) fn is_system_name(name: &str) -> bool {
    SYSTEM.contains(&name)
}

/// Whether this may be a version: `[A-Za-z0-9_.+-]+`.
pub(super) fn is_version(version: &str) -> bool {
    !version.is_empty() && version.bytes().all(is_label_byte)
}

/// Whether this may name a collection: `[A-Za-z0-9-][A-Za-z0-9_-]*`.
pub(super) fn is_collection_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && !name.starts_with('_') && name.bytes().all(is_allowed)
}

/// Whether this may be a package's label: `[A-Za-z0-9][A-Za-z0-9_.+-]*`.
pub(super) fn is_label(label: &str) -> bool {
    let first = label.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric()) && label.bytes().all(is_label_byte)
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use quire_testkit::conformance;

    type Rule = fn(&str) -> bool;

    #[test]
    fn names_and_versions_are_what_fabric_takes_for_them() {
        let cases = conformance::read_lines("rules/privdata/names.jsonl");
        assert!(cases.len() > 25);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let rules: [(&str, Rule); 4] = [
                ("valid_chaincode_name", is_chaincode_name),
                ("valid_collection_name", is_collection_name),
                ("valid_version", is_version),
                ("system_chaincode_name", is_system_name),
            ];
            for (rule, holds) in rules {
                assert_eq!(case[rule].as_bool(), Some(holds(text)), "{rule} {text:?}");
            }
        }
    }
}
