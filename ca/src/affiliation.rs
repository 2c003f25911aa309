//! Affiliations: paths of names with dots between, as `org1.department1`. The empty path is the root of all.

use serde::Serialize;

use crate::error::{Code, Refusal};

/// Most bytes of one name of a path: it becomes a unit of a certificate.
const MAX_NAME_BYTES: usize = 64;
/// Most names of a path.
const MAX_DEPTH: usize = 16;

/// The types that are roles: what a unit of these names says of its subject, Fabric and the node believe.
const ROLES: [&str; 4] = ["client", "peer", "admin", "orderer"];

/// The role that a name is, whatever its case.
#[must_use]
pub fn role(name: &str) -> Option<&'static str> {
    let mut roles = ROLES.into_iter();
    roles.find(|role| name.trim().eq_ignore_ascii_case(role))
}

/// Makes sure that no name of a path is a role: each becomes a unit of a certificate.
///
/// # Errors
/// With `code` if one is.
pub fn check_roles(path: &str, code: Code) -> Result<(), Refusal> {
    match path.split('.').find_map(role) {
        None => Ok(()),
        Some(role) => {
            let detail = format!("No name of an affiliation can be {role:?}, which is a role");
            Err(Refusal::new(400, code, detail))
        }
    }
}

/// The affiliations that a new registry has, which are those of a new Fabric CA.
pub const FIRST: [&str; 5] = [
    "org1",
    "org1.department1",
    "org1.department2",
    "org2",
    "org2.department1",
];

/// Makes sure that a path can be an affiliation.
///
/// # Errors
/// With `code` if not.
pub fn check(path: &str, code: Code) -> Result<(), Refusal> {
    let is_name = |name: &str| {
        let bytes = 1..=MAX_NAME_BYTES;
        bytes.contains(&name.len()) && name.chars().all(|char| !char.is_control() && char != '/')
    };
    if path.split('.').count() <= MAX_DEPTH && path.split('.').all(is_name) {
        return check_roles(path, code);
    }
    let detail = format!(
        "{path:?} is no affiliation: those are at most {MAX_DEPTH} names of 1 to {MAX_NAME_BYTES} bytes, \
         with dots between"
    );
    Err(Refusal::new(400, code, detail))
}

/// Whether `path` is `above` or below it.
#[must_use]
pub fn is_within(path: &str, above: &str) -> bool {
    above.is_empty() || path == above || is_below(path, above)
}

/// Whether `path` is below `above`.
#[must_use]
pub fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The path above, of one that is not at the top.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(parent, _)| parent)
}

/// An affiliation with those below it, as an answer tells them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// The whole path.
    pub name: String,
    /// Those below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affiliations: Vec<Tree>,
}

impl Tree {
    /// The tree of sorted paths. Where several stand at the top, they hang under one without a name.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a String>) -> Option<Self> {
        let mut root = Self::default();
        for path in paths {
            root.insert(path);
        }
        if root.affiliations.len() > 1 {
            return Some(root);
        }
        root.affiliations.pop()
    }

    fn insert(&mut self, path: &str) {
        let mut node = self;
        loop {
            let above = node.affiliations.iter();
            let found = above
                .rev()
                .position(|child| is_below(path, &child.name))
                .map(|from_end| node.affiliations.len() - 1 - from_end);
            let Some(at) = found else {
                break;
            };
            let Some(child) = node.affiliations.get_mut(at) else {
                return;
            };
            node = child;
        }
        node.affiliations.push(Self {
            name: path.to_owned(),
            affiliations: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_begins_with_the_whole_name_and_a_dot() {
        for (path, above, expected) in [
            ("org1", "org1", true),
            ("org1.a", "org1", true),
            ("org1.a.b", "org1", true),
            ("org12", "org1", false),
            ("org1", "org1.a", false),
            ("", "org1", false),
            ("anything", "", true),
            ("", "", true),
        ] {
            assert_eq!(is_within(path, above), expected, "{path} in {above}");
        }
    }

    #[test]
    fn a_tree_has_one_top_or_one_without_a_name() {
        let paths = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let one: Vec<String> = paths(&["a", "a.b", "a.b.c", "a.d"]);
        let tree = Tree::of(&one).unwrap();
        assert_eq!(
            serde_json::to_string(&tree).unwrap(),
            r#"{"name":"a","affiliations":[{"name":"a.b","affiliations":[{"name":"a.b.c"}]},{"name":"a.d"}]}"#
        );
        let two: Vec<String> = paths(&["a", "b"]);
        assert_eq!(Tree::of(&two).unwrap().name, "");
        assert_eq!(Tree::of(&Vec::new()), None);
    }

    #[test]
    fn a_path_of_empty_or_endless_names_is_refused() {
        let deep = ["a"; 17].join(".");
        let long = "a".repeat(65);
        for path in ["", ".", "a.", ".a", "a..b", "a/b", "a\nb", &deep, &long] {
            assert!(check(path, Code::AddAffiliation).is_err(), "{path}");
        }
        assert!(check("org1.department 1", Code::AddAffiliation).is_ok());
    }
}
