//! A query with the index that serves it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bookmark::Bookmark;
use super::error::QueryError;
use super::planner::{self, Range};
use super::query_index::QueryIndex;
use super::request::Query;

/// How a query is answered.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// `None` is `_all_docs`: the documents by key.
    pub(super) index: Option<Arc<QueryIndex>>,
    pub(super) ranges: Vec<Range>,
    /// Whether, by the form of the selector, nothing is asked for, or nothing can match.
    pub(super) is_empty: bool,
}

fn id_column() -> Vec<String> {
    vec!["_id".to_owned()]
}

fn serves(index: &QueryIndex, query: &Query) -> bool {
    let record = &index.definition.record;
    let implied = |field: &&str| {
        !query.sort.fields.iter().any(|sorted| sorted == field)
            && *field != "_id"
            && *field != "_rev"
    };
    let fields: Vec<&str> = record
        .fields
        .iter()
        .map(String::as_str)
        .filter(implied)
        .collect();
    let selector = query.selector.normal();
    planner::requires(selector, &fields)
        && !planner::is_text_search(selector)
        && planner::gives_order(&record.fields, &query.sort.fields, selector)
}

fn all_documents_serve(query: &Query) -> bool {
    query.sort.fields.is_empty()
        || (query.sort.fields == id_column()
            && planner::bounded_fields(query.selector.normal()).contains(&"_id"))
}

fn is_asked_for(index: &QueryIndex, wanted: Option<&(String, Option<String>)>) -> bool {
    let record = &index.definition.record;
    wanted.is_some_and(|(ddoc, name)| {
        record.ddoc == *ddoc && name.as_ref().is_none_or(|name| record.name == *name)
    })
}

impl Plan {
    /// Chooses among the built indexes. `after` tells the choice of an earlier page.
    ///
    /// # Errors
    /// No index gives the requested order, or the index that must be used cannot be used.
    pub(super) fn new(
        indexes: &[Arc<QueryIndex>],
        query: &Query,
        after: Option<&Bookmark>,
    ) -> Result<Option<Self>, QueryError> {
        let asked = |index: &QueryIndex| is_asked_for(index, query.use_index.as_ref());
        let mut usable: Vec<&Arc<QueryIndex>> = indexes
            .iter()
            .filter(|index| !index.definition.is_partial() || asked(index))
            .filter(|index| serves(index, query))
            .collect();
        let all_documents = all_documents_serve(query);
        if let Some(Bookmark { index: pinned, .. }) = after {
            usable.retain(|index| {
                let record = &index.definition.record;
                let pinned = pinned.as_ref();
                pinned.is_some_and(|(ddoc, name)| record.ddoc == *ddoc && record.name == *name)
            });
            return Ok(match (pinned, usable.first()) {
                (None, _) if all_documents => Some(Self::of(None, query)),
                (Some(_), Some(index)) => Some(Self::of(Some(Arc::clone(index)), query)),
                _ => None,
            });
        }
        if usable.is_empty() && !all_documents {
            return Err(QueryError::NoUsableIndex);
        }
        if usable.iter().any(|index| asked(index)) {
            usable.retain(|index| asked(index));
        } else if !query.allow_fallback {
            match &query.use_index {
                Some((ddoc, None)) => {
                    return Err(QueryError::InvalidIndex(format!("_design/{ddoc}")));
                }
                Some((ddoc, Some(name))) => {
                    return Err(QueryError::InvalidIndex(format!("_design/{ddoc}, {name}")));
                }
                None if usable.is_empty() => return Err(QueryError::NoFallback),
                None => (),
            }
        }
        let ranges = planner::ranges(query.selector.normal());
        let best = usable.into_iter().min_by_key(|index| {
            let record = &index.definition.record;
            let covered = planner::prefix(&record.fields, &ranges).len();
            let uncovered = ranges.len() - covered.min(ranges.len());
            (
                uncovered,
                record.fields.len(),
                record.ddoc.clone(),
                record.name.clone(),
            )
        });
        Ok(Some(Self::of(best.cloned(), query)))
    }

    fn of(index: Option<Arc<QueryIndex>>, query: &Query) -> Self {
        let selector = query.selector.normal();
        let columns = index
            .as_ref()
            .map_or_else(id_column, |index| index.definition.record.fields.clone());
        let ranges = planner::prefix(&columns, &planner::ranges(selector));
        let asks_nothing = matches!(
            super::normalize::single(selector),
            Some(("$and" | "$or", Value::Array(parts))) if parts.is_empty()
        );
        Self {
            is_empty: asks_nothing || ranges == [Range::Empty],
            index,
            ranges,
        }
    }

    /// The index as CouchDB shows it.
    pub(super) fn index_json(&self) -> Value {
        match &self.index {
            Some(index) => index.definition.to_json(),
            None => all_documents_json(),
        }
    }

    /// First and last key as CouchDB shows them, for ascending order.
    pub(super) fn keys(&self) -> (Value, Value) {
        if self.is_empty {
            return (Value::Null, Value::Null);
        }
        let lows = self.ranges.iter().map_while(|range| match range {
            Range::Within {
                low: Some((low, _)),
                ..
            } => Some(low.clone()),
            _ => None,
        });
        let highs = self.ranges.iter().map_while(|range| match range {
            Range::Within {
                high: Some((high, _)),
                ..
            } => Some(high.clone()),
            _ => None,
        });
        if self.index.is_some() {
            let highs = highs.chain([json!("<MAX>")]);
            return (lows.collect(), highs.collect());
        }
        // The least key is the empty text, or nothing if the selector says nothing about keys.
        let least = if self.ranges.is_empty() {
            Value::Null
        } else {
            json!("")
        };
        let low = lows.last().unwrap_or(least);
        (low, highs.last().unwrap_or_else(|| json!("<MAX>")))
    }

    /// CouchDB's warning, if there is one.
    pub(super) fn warning(&self, query: &Query, examined: u64, returned: u64) -> Option<String> {
        let mut lines = Vec::new();
        let served = self.index.as_ref();
        if let Some((ddoc, name)) = &query.use_index
            && !served.is_some_and(|index| is_asked_for(index, query.use_index.as_ref()))
        {
            lines.push(match name {
                None => format!(
                    "_design/{ddoc} was not used because it does not contain a valid index for \
                     this query."
                ),
                Some(name) => format!(
                    "_design/{ddoc}, {name} was not used because it is not a valid index for \
                     this query."
                ),
            });
        }
        if served.is_none() {
            let line = "No matching index found, create an index to optimize query time.";
            lines.push(line.to_owned());
        }
        if examined > returned.max(1) * 10 {
            lines.push(
                "The number of documents examined is high in proportion to the number of results \
                 returned. Consider adding a more specific index to improve this."
                    .to_owned(),
            );
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// `_all_docs`, as CouchDB lists it among the indexes.
pub(super) fn all_documents_json() -> Value {
    json!({
        "ddoc": null,
        "name": "_all_docs",
        "type": "special",
        "def": {"fields": [{"_id": "asc"}]},
    })
}
