//! Namespaces come into being by being written to, so a label that names them has a bound.

use std::collections::HashSet;

use parking_lot::RwLock;

/// Names that get a label of their own.
const MAX_NAMED: usize = 50;
/// What all others are called.
const OTHER: &str = "other";

/// The first names that came.
#[derive(Debug, Default)]
pub(crate) struct Chaincodes(RwLock<HashSet<String>>);

impl Chaincodes {
    /// The label of a name that has taken effect, which is remembered if there is room.
    pub(crate) fn learn(&self, name: &str) -> String {
        if self.is_known(name) {
            return name.to_owned();
        }
        let mut known = self.0.write();
        if known.len() >= MAX_NAMED && !known.contains(name) {
            return OTHER.to_owned();
        }
        known.insert(name.to_owned());
        name.to_owned()
    }

    fn is_known(&self, name: &str) -> bool {
        self.0.read().contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_makes_up_names_makes_no_more_labels() {
        let chaincodes = Chaincodes::default();
        let labels: HashSet<String> = (0..1000)
            .map(|name| chaincodes.learn(&format!("cc{name}")))
            .collect();
        assert_eq!(labels.len(), MAX_NAMED + 1);
        assert!(labels.contains(OTHER));
        assert_eq!(chaincodes.learn("cc0"), "cc0");
    }
}
