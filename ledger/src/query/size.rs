//! How large a selector may be. What is larger is refused before anything is made of it: these numbers
//! are the same on every node, and bound what a query holds and what one document costs it.

use serde_json::Value;

use super::error::QueryError;

/// Most bytes of a query or of the definition of an index.
pub(super) const MAX_QUERY_BYTES: usize = 1 << 20;
/// Most conditions, those that join others included.
const MAX_CONDITIONS: usize = 10_000;
/// Most values in the lists of `$in`, `$nin` and `$all`.
const MAX_VALUES: usize = 50_000;
/// Most bytes of the paths of fields, each as often as it stands in the normal form.
const MAX_PATH_BYTES: usize = 1 << 20;
/// Most patterns of `$regex`.
const MAX_PATTERNS: usize = 100;
/// Most steps of these patterns, which is what of a pattern repeats: see `regex::machine`.
const MAX_PATTERN_STEPS: u64 = 32 << 10;
/// Most names in the paths of fields that are shown.
const MAX_SHOWN_NAMES: usize = 10_000;

/// What a selector has so far.
#[derive(Debug, Default)]
pub(super) struct Size {
    conditions: usize,
    values: usize,
    path_bytes: usize,
    patterns: usize,
    pattern_steps: u64,
}

fn check(is_within: bool, what: &str, limit: impl std::fmt::Display) -> Result<(), QueryError> {
    if is_within {
        return Ok(());
    }
    Err(QueryError::TooLarge(format!(
        "a query has at most {limit} {what}"
    )))
}

/// Refuses the text of a query that is too long.
pub(super) fn check_text(text: &[u8]) -> Result<(), QueryError> {
    check(text.len() <= MAX_QUERY_BYTES, "bytes", MAX_QUERY_BYTES)
}

/// Refuses paths of fields to be shown that have too many names.
pub(super) fn check_shown(names: usize) -> Result<(), QueryError> {
    check(
        names <= MAX_SHOWN_NAMES,
        "names in its fields",
        MAX_SHOWN_NAMES,
    )
}

impl Size {
    pub(super) fn condition(&mut self) -> Result<(), QueryError> {
        self.conditions += 1;
        check(
            self.conditions <= MAX_CONDITIONS,
            "conditions",
            MAX_CONDITIONS,
        )
    }

    pub(super) fn list(&mut self, values: &Value) -> Result<(), QueryError> {
        self.values += values.as_array().map_or(0, Vec::len);
        check(
            self.values <= MAX_VALUES,
            "values in lists of $in, $nin and $all",
            MAX_VALUES,
        )
    }

    pub(super) fn path(&mut self, path: &str) -> Result<(), QueryError> {
        self.path_bytes += path.len();
        check(
            self.path_bytes <= MAX_PATH_BYTES,
            "bytes of paths, each counted with every condition below it",
            MAX_PATH_BYTES,
        )
    }

    pub(super) fn pattern(&mut self, steps: u64) -> Result<(), QueryError> {
        self.patterns += 1;
        self.pattern_steps = self.pattern_steps.saturating_add(steps);
        check(
            self.patterns <= MAX_PATTERNS,
            "patterns of $regex",
            MAX_PATTERNS,
        )?;
        check(
            self.pattern_steps <= MAX_PATTERN_STEPS,
            "characters in its patterns, repetitions written out",
            MAX_PATTERN_STEPS,
        )
    }
}
