//! What a chaincode tells of a call before it runs.

use crate::condition::Condition;

/// What a call demands and touches, as far as that can be told beforehand. Nothing depends on it but how
/// soon it is answered, and what is said of one that came to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// What the caller demands of committed versions. A call that demands something in so many words is not
    /// tried again when it loses a race.
    pub conditions: Vec<Condition>,
    /// The keys, each with its namespace, that the call writes or demands something of: none at all for a
    /// call that will be refused. `None` where they cannot be told, as for ranges.
    pub keys: Option<Vec<(String, String)>>,
}

impl Hints {
    /// Whether the caller named a version, or demanded that there be one or none.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.conditions
            .iter()
            .any(|condition| !condition.is_implied)
    }

    /// The keys; none at all where they cannot be told.
    #[must_use]
    pub fn known_keys(&self) -> &[(String, String)] {
        self.keys.as_deref().unwrap_or_default()
    }
}
