//! Bounds the selectors of queries and of new indexes. A larger selector is refused before anything is made
//! of it: these numbers are the same on every node, and bound what a query holds and what each document
//! costs. What a channel holds already is read as it was admitted.

use serde_json::Value;

use super::error::QueryError;

/// The most bytes of a query or of the definition of an index.
pub(super) const MAX_QUERY_BYTES: usize = 1 << 20;
/// The most conditions, including those that join others.
const MAX_CONDITIONS: usize = 10_000;
/// The most values in the lists of `$in`, `$nin` and `$all`.
const MAX_VALUES: usize = 50_000;
/// The most bytes of the paths of fields, each as often as it is in the normal form.
const MAX_PATH_BYTES: usize = 1 << 20;
/// The most patterns of `$regex`.
const MAX_PATTERNS: usize = 100;
/// The most steps of these patterns, repetitions included: see `regex::machine`.
const MAX_PATTERN_STEPS: u64 = 32 << 10;
/// The most names in the paths of fields that are shown.
const MAX_SHOWN_NAMES: usize = 10_000;

/// The most steps of finding the ranges of its fields, which no meter ends.
const MAX_PLANNING_STEPS: u64 = 20_000_000;

/// The most bytes of an index's filter, in normal form, and the most steps of its patterns: the filter is
/// kept as long as the channel is open, and applied to every document that is written.
const MAX_FILTER_BYTES: usize = 16 << 10;
const MAX_FILTER_PATTERN_STEPS: u64 = 256;

/// When a selector was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is asked now, or is part of a new definition: every limit applies.
    Now,
    /// A channel holds it. It may have been admitted when there were fewer limits; limits that protect this
    /// process apply nevertheless.
    Before,
}

/// What a selector has so far.
#[derive(Debug)]
pub(super) struct Size {
    admission: Admission,
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

/// Refuses a selector whose ranges take too long to find.
pub(super) fn check_planning(steps: u64) -> Result<(), QueryError> {
    check(
        steps <= MAX_PLANNING_STEPS,
        "steps of comparing the bounds of its fields with each other",
        MAX_PLANNING_STEPS,
    )
}

/// Refuses the filter of an index that is too large.
pub(super) fn check_filter(text: &str, pattern_steps: u64) -> Result<(), QueryError> {
    let refused = |what: &str, limit: u64| {
        let reason = format!("the filter of an index has at most {limit} {what}");
        Err(QueryError::TooLarge(reason))
    };
    if text.len() > MAX_FILTER_BYTES {
        return refused("bytes in normal form", MAX_FILTER_BYTES as u64);
    }
    if pattern_steps > MAX_FILTER_PATTERN_STEPS {
        return refused(
            "characters in its patterns, repetitions written out",
            MAX_FILTER_PATTERN_STEPS,
        );
    }
    Ok(())
}

impl Size {
    pub(super) fn new(admission: Admission) -> Self {
        Self {
            admission,
            conditions: 0,
            values: 0,
            path_bytes: 0,
            patterns: 0,
            pattern_steps: 0,
        }
    }

    /// Refuses a selector that has too much of something, if it is asked now.
    fn check(
        &self,
        is_within: bool,
        what: &str,
        limit: impl std::fmt::Display,
    ) -> Result<(), QueryError> {
        check(
            is_within || self.admission == Admission::Before,
            what,
            limit,
        )
    }

    pub(super) fn condition(&mut self) -> Result<(), QueryError> {
        self.conditions += 1;
        self.check(
            self.conditions <= MAX_CONDITIONS,
            "conditions",
            MAX_CONDITIONS,
        )
    }

    pub(super) fn list(&mut self, values: &Value) -> Result<(), QueryError> {
        self.values += values.as_array().map_or(0, Vec::len);
        self.check(
            self.values <= MAX_VALUES,
            "values in lists of $in, $nin and $all",
            MAX_VALUES,
        )
    }

    /// This applies whenever it was admitted: a short text can mean paths of gigabytes.
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
        self.check(
            self.patterns <= MAX_PATTERNS,
            "patterns of $regex",
            MAX_PATTERNS,
        )?;
        self.check(
            self.pattern_steps <= MAX_PATTERN_STEPS,
            "characters in its patterns, repetitions written out",
            MAX_PATTERN_STEPS,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::index::IndexRequest;
    use crate::query::request::Query;

    fn asked(query: &Value) -> Result<Query, QueryError> {
        Query::parse(query.to_string().as_bytes())
    }

    fn selected(selector: &Value) -> Result<Query, QueryError> {
        asked(&json!({ "selector": selector }))
    }

    fn is_refused(asked: Result<Query, QueryError>, limit: &str) -> bool {
        match asked {
            Err(error @ QueryError::TooLarge(_)) => error.to_string().contains(limit),
            _ => false,
        }
    }

    #[test]
    fn a_query_is_as_large_as_it_may_be_and_no_larger() {
        let many = |count: usize| (0..count).map(|n| json!({ "a": n })).collect::<Vec<_>>();
        // Each branch is a condition, and so is the operator that joins them.
        let or = |count: usize| json!({"$or": many(count)});
        assert!(selected(&or(9_999)).is_ok());
        assert!(is_refused(selected(&or(10_000)), "10000 conditions"));

        let values = |count: usize| (0..count).collect::<Vec<_>>();
        let lists = |count: usize| json!({"a": {"$in": values(count), "$nin": values(25_000)}});
        assert!(selected(&lists(25_000)).is_ok());
        assert!(is_refused(selected(&lists(25_001)), "50000 values"));

        let patterns = |count: usize, pattern: &str| {
            let one = json!({"a": {"$regex": pattern}});
            json!({"$nor": vec![one; count]})
        };
        assert!(selected(&patterns(100, "a{326}")).is_ok());
        assert!(is_refused(selected(&patterns(101, "a")), "100 patterns"));
        assert!(is_refused(
            selected(&patterns(100, "a{327}")),
            "32768 characters"
        ));
        let bomb = selected(&patterns(1, "(x{0,90}){0,91}y0"));
        assert!(matches!(bomb, Err(QueryError::BadRegex(_))), "{bomb:?}");

        let long = "n".repeat(1 << 19);
        let path = |count: usize| json!({&long: {"$and": vec![json!({"$gt": 1}); count]}});
        assert!(selected(&path(2)).is_ok());
        assert!(is_refused(selected(&path(3)), "1048576 bytes of paths"));

        let fields = |count: usize| json!({"selector": {}, "fields": vec!["a.b"; count]});
        assert!(asked(&fields(5_000)).is_ok());
        assert!(is_refused(asked(&fields(5_001)), "10000 names"));

        let hyphens = "\u{ad}".repeat(1_000);
        let bounds = |count: usize| {
            let bounds = vec![json!({"a": {"$gt": ""}}); count];
            json!({"$and": [{"a": {"$gt": &hyphens}}, {"$and": bounds}]})
        };
        assert!(selected(&bounds(1_200)).is_ok());
        assert!(is_refused(selected(&bounds(1_300)), "20000000 steps"));

        let text = |count: usize| format!("{{\"selector\":{{}}{}}}", " ".repeat(count - 15));
        assert!(Query::parse(text(1 << 20).as_bytes()).is_ok());
        assert!(is_refused(
            Query::parse(text((1 << 20) + 1).as_bytes()),
            "1048576 bytes"
        ));
    }

    #[test]
    fn the_filter_of_an_index_is_small() {
        let index = |filter: Value| {
            let index = json!({"fields": ["a"], "partial_filter_selector": filter});
            IndexRequest::parse(json!({ "index": index }).to_string().as_bytes())
        };
        let pattern = |count: usize| json!({"a": {"$regex": "a".repeat(count)}});
        assert!(index(pattern(255)).is_ok());
        assert!(matches!(index(pattern(256)), Err(QueryError::TooLarge(_))));
        let text = |count: usize| json!({"a": "x".repeat(count)});
        assert!(index(text((16 << 10) - 16)).is_ok());
        assert!(matches!(
            index(text(16 << 10)),
            Err(QueryError::TooLarge(_))
        ));
    }
}
