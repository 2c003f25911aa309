//! Answers a query from one snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Value, json};

use super::asked::Asked;
use super::bookmark::{self, Bookmark};
use super::builder::Builder;
use super::collation::ABOVE_ALL;
use super::document::{Document, Wanted};
use super::error::QueryError;
use super::found::{ExecutionStats, FindError, Found};
use super::index::sort_key;
use super::normalize::single;
use super::plan::Plan;
use super::planner::{self, Range};
use super::query_index::QueryIndex;
use super::request::Query;
use super::work::{Exceeded, Meter, Spend};
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::value::VersionedValue;
use crate::observer::{Event, Observed};
use crate::state::{Keys, StateSnapshot};

/// The steps of reading a document or an entry of an index, whatever its size.
const READING: u64 = 100;

/// The steps of reading and parsing a document of that many bytes.
pub(crate) fn reading(bytes: usize) -> u64 {
    READING + bytes as u64
}

/// The bookmark of a page before which nothing was found.
const NO_BOOKMARK: &str = "nil";

/// What the reader of a page saw of the ledger.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) asked: Asked,
    /// The documents that were shown, by key. With the skipped ones, these are all that the page asked for.
    pub(crate) shown: BTreeMap<String, Height>,
    /// The documents that were only counted.
    pub(crate) skipped: BTreeMap<String, Height>,
    /// Whether the reader came to the end of the matches.
    pub(crate) is_exhausted: bool,
}

/// A namespace of a snapshot, with its indexes.
pub(crate) struct Source<'a> {
    pub(crate) channel: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) state: &'a dyn StateSnapshot,
    pub(crate) indexes: &'a Builder,
    pub(crate) observed: &'a Observed,
}

/// The documents of an index's keys, read in batches that suit the engine.
struct IndexedDocuments<'a> {
    source: &'a Source<'a>,
    keys: Keys<'a>,
    /// How many to read next: few at first, because the page may be full soon.
    batch: usize,
    /// The most that are read at once.
    most: usize,
    /// The keys to read next.
    waiting: VecDeque<String>,
    read: VecDeque<(String, Option<VersionedValue>)>,
}

impl IndexedDocuments<'_> {
    fn read_more(&mut self) -> Result<(), ReadError> {
        let (state, namespace) = (self.source.state, self.source.namespace);
        while self.waiting.len() < self.batch
            && let Some(key) = self.keys.next()
        {
            self.waiting.push_back(key?);
        }
        let values = state.get_some(namespace, self.waiting.make_contiguous())?;
        if values.len() < self.waiting.len() {
            self.most = values.len();
        }
        self.batch = (self.batch * 4).min(self.most).max(1);
        let keys = self.waiting.drain(..values.len().min(self.waiting.len()));
        self.read.extend(keys.zip(values));
        Ok(())
    }
}

impl Iterator for IndexedDocuments<'_> {
    type Item = Candidate;

    fn next(&mut self) -> Option<Candidate> {
        if self.read.is_empty()
            && let Err(error) = self.read_more()
        {
            return Some(Err(error));
        }
        let (key, value) = self.read.pop_front()?;
        Some(match value {
            Some(value) => Ok((key, value)),
            None => Err(ReadError::DerivedDamaged {
                follower: "state",
                what: "entry of a query index",
                rule: "its document is not there",
            }),
        })
    }
}

type Candidate = Result<(String, VersionedValue), ReadError>;

/// The members of documents that a query needs: for its selector, for the index's filter, and for the places
/// where pages end.
fn wanted(query: &Query, plan: &Plan) -> Wanted {
    let mut wanted = Wanted::default();
    query.selector.add_wanted(&mut wanted);
    if let Some(index) = &plan.index {
        wanted.add_those(index.definition.wanted());
    }
    wanted
}

/// A candidate of a plan as a document, and whether it matches; `None` if it is not a document.
fn look_at(
    query: &Query,
    (plan, wanted): (&Plan, &Wanted),
    (key, value): (&str, &VersionedValue),
    meter: &mut Meter,
) -> Result<Option<(Document, bool)>, Exceeded> {
    let bytes = value.value.len();
    meter.spend(Spend::Reading, reading(bytes))?;
    let Some(document) = Document::read(key, value, wanted, meter)? else {
        return Ok(None);
    };
    // An index also has documents for which its filter took too long.
    let filter = plan.index.as_ref();
    let filter = filter.and_then(|index| index.definition.partial());
    let is_match = query.selector.matches(&document.value, meter)?
        && match filter {
            Some(filter) => filter.matches(&document.value, meter)?,
            None => true,
        };
    if is_match {
        meter.spend(Spend::Reading, query.shown.weight(bytes))?;
    }
    Ok(Some((document, is_match)))
}

impl Source<'_> {
    /// The indexes that are complete in the snapshot.
    fn indexes(&self) -> Result<Vec<Arc<QueryIndex>>, ReadError> {
        let mut built = Vec::new();
        for index in self.indexes.of_namespace(self.namespace) {
            if self.state.is_built(index.id)? {
                built.push(index);
            }
        }
        Ok(built)
    }

    fn plan(&self, query: &Query) -> Result<(Plan, Option<Bookmark>), FindError> {
        let digest = bookmark::digest(self.channel, self.namespace, query);
        let bookmark = query.bookmark.as_ref();
        let bookmark = bookmark.map(|text| Bookmark::decode(text, &digest));
        let bookmark = bookmark.transpose()?;
        let plan = Plan::new(&self.indexes()?, query, bookmark.as_ref())?;
        // The index of the page before is gone.
        let gone = || QueryError::InvalidBookmark(query.bookmark.clone().into());
        Ok((plan.ok_or_else(gone)?, bookmark))
    }

    /// A page; it ends early when its documents exceed `page_bytes`.
    pub(crate) fn find(
        &self,
        query: &Query,
        page_bytes: usize,
        meter: &mut Meter,
    ) -> Result<Found, FindError> {
        Ok(self.page(query, page_bytes, false, meter)?.0)
    }

    /// The same, with what its reader saw; `None` if the answer says nothing about the ledger.
    pub(crate) fn see(
        &self,
        query: &Query,
        page_bytes: usize,
        meter: &mut Meter,
    ) -> Result<(Found, Option<Seen>), FindError> {
        self.page(query, page_bytes, true, meter)
    }

    fn page(
        &self,
        query: &Query,
        page_bytes: usize,
        is_watched: bool,
        meter: &mut Meter,
    ) -> Result<(Found, Option<Seen>), FindError> {
        let (plan, after) = self.plan(query)?;
        if plan.is_empty {
            return Ok((Found::default(), None));
        }
        let (mut shown, mut skipped) = (BTreeMap::new(), BTreeMap::new());
        let mut documents = Vec::new();
        let (mut examined, mut bytes, mut skip) = (0, 0, query.skip);
        let mut last = None;
        let candidates = self.candidates(&plan, query, after.as_ref())?;
        let wanted = wanted(query, &plan);
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        // With a limit of zero nothing is read, and a full page ends the reading.
        for candidate in candidates {
            if documents.len() >= limit || bytes >= page_bytes {
                break;
            }
            let (key, value) = candidate?;
            let looked_at = look_at(query, (&plan, &wanted), (&key, &value), meter);
            let Some((document, is_match)) = looked_at.map_err(|Exceeded| meter.why())? else {
                continue;
            };
            examined += 1;
            if !is_match {
                continue;
            }
            let is_shown = skip == 0;
            skip = skip.saturating_sub(1);
            if is_shown {
                // It was parsed, so it is UTF-8.
                let text = std::str::from_utf8(&value.value).unwrap_or_default();
                let text = query.shown.show(&document, text);
                bytes += text.len();
                documents.push(text);
            }
            if is_watched {
                let rows = if is_shown { &mut shown } else { &mut skipped };
                rows.insert(key.clone(), value.version);
            }
            last = Some((key, document));
        }
        let is_exhausted = documents.len() < limit && bytes < page_bytes;
        let seen = if is_watched && (is_exhausted || last.is_some()) {
            let last = last.as_ref().filter(|_| !is_exhausted);
            let last = last.map(|(key, document)| (key.as_str(), document));
            Some(Seen {
                asked: Asked::of(&plan, query, after.as_ref(), last)?,
                shown,
                skipped,
                is_exhausted,
            })
        } else {
            None
        };
        let bookmark = last.map(|(key, document)| self.bookmark(query, &plan, key, &document));
        let bookmark = bookmark.or_else(|| query.bookmark.clone());
        let returned = documents.len() as u64;
        self.observed.tell(&Event::Queried {
            by_index: plan.index.is_some(),
            examined,
            returned,
        });
        let found = Found {
            bookmark: Some(bookmark.unwrap_or_else(|| NO_BOOKMARK.to_owned())),
            warning: plan.warning(query, examined, returned),
            stats: query.execution_stats.then_some(ExecutionStats {
                documents_examined: examined,
                results_returned: returned,
            }),
            documents,
        };
        Ok((found, seen))
    }

    fn bookmark(&self, query: &Query, plan: &Plan, key: String, document: &Document) -> String {
        let digest = bookmark::digest(self.channel, self.namespace, query);
        let index = plan.index.as_ref().map(|index| &index.definition);
        let values = index.and_then(|definition| definition.values(&document.value));
        let values = values.unwrap_or_default().into_iter().cloned().collect();
        let index = index.map(|index| (index.record.ddoc.clone(), index.record.name.clone()));
        Bookmark::new(index, values, key).encode(&digest)
    }

    /// The candidates, in order, from after the bookmark on.
    fn candidates<'a>(
        &'a self,
        plan: &Plan,
        query: &Query,
        after: Option<&Bookmark>,
    ) -> Result<Box<dyn Iterator<Item = Candidate> + 'a>, ReadError> {
        let is_reversed = query.sort.is_descending;
        let Some(index) = &plan.index else {
            return self.by_key(query, after, is_reversed);
        };
        let (mut from, mut to) = entry_range(plan, query);
        if let Some(Bookmark { values, key, .. }) = after {
            let values: Vec<&Value> = values.iter().collect();
            let mut place = sort_key(&values);
            place.extend_from_slice(key.as_bytes());
            if is_reversed {
                to = to.min(place);
            } else {
                place.push(0);
                from = from.max(place);
            }
        }
        let keys = self.state.entries(index.id, &from, &to, is_reversed)?;
        Ok(Box::new(IndexedDocuments {
            source: self,
            keys,
            batch: 1,
            most: self.state.batch(),
            waiting: VecDeque::new(),
            read: VecDeque::new(),
        }))
    }

    fn by_key<'a>(
        &'a self,
        query: &Query,
        after: Option<&Bookmark>,
        is_reversed: bool,
    ) -> Result<Box<dyn Iterator<Item = Candidate> + 'a>, ReadError> {
        let Some((mut from, mut to)) = key_range(query) else {
            return Ok(Box::new(std::iter::empty()));
        };
        match after {
            Some(Bookmark { key, .. }) if is_reversed => to = Bound::Excluded(key.clone()),
            Some(Bookmark { key, .. }) => from = Bound::Excluded(key.clone()),
            None => (),
        }
        let (from, to) = (from.as_ref(), to.as_ref());
        let (from, to) = (from.map(String::as_str), to.map(String::as_str));
        self.state.rows(self.namespace, from, to, is_reversed)
    }

    /// CouchDB's `_explain`.
    pub(crate) fn explain(&self, query: &Query) -> Result<Value, FindError> {
        let (plan, _) = self.plan(query)?;
        let (mut start, mut end) = plan.keys();
        if query.sort.is_descending {
            std::mem::swap(&mut start, &mut end);
        }
        let selector = query.selector.normal();
        let options = query.options();
        let option = |name| options.get(name).cloned().unwrap_or_default();
        Ok(json!({
            "dbname": self.namespace,
            "index": plan.index_json(),
            "partitioned": false,
            "selector": selector,
            "opts": options,
            "limit": query.limit,
            "skip": query.skip,
            "fields": query.fields,
            "index_candidates": self.others(&plan, query)?,
            "selector_hints": [{
                "type": "json",
                "indexable_fields": planner::bounded_fields(selector),
                "unindexable_fields": unbounded_fields(selector),
            }],
            "mrargs": {
                "include_docs": true,
                "view_type": "map",
                "reduce": false,
                "partition": null,
                "start_key": start,
                "end_key": end,
                "direction": if query.sort.is_descending { "rev" } else { "fwd" },
                "stable": option("stable"),
                "update": option("update"),
                "conflicts": option("conflicts"),
            },
            // Documents are always read, because only state has the values.
            "covering": false,
        }))
    }

    /// The indexes that were not chosen.
    fn others(&self, plan: &Plan, query: &Query) -> Result<Vec<Value>, ReadError> {
        let mut others = Vec::new();
        for index in self.indexes()? {
            if plan
                .index
                .as_ref()
                .is_some_and(|chosen| chosen.id == index.id)
            {
                continue;
            }
            let alone = Plan::new(std::slice::from_ref(&index), query, None);
            let usable = matches!(alone, Ok(Some(Plan { index: Some(_), .. })));
            others.push(json!({
                "index": index.definition.to_json(),
                "analysis": {"usable": usable, "covering": false},
            }));
        }
        if plan.index.is_some() {
            others.push(json!({
                "index": super::plan::all_documents_json(),
                "analysis": {"usable": true, "reasons": [{"name": "unfavored_type"}],
                    "ranking": 1, "covering": null},
            }));
        }
        Ok(others)
    }
}

fn unbounded_fields(selector: &Value) -> Vec<&str> {
    fn all<'a>(selector: &'a Value, fields: &mut Vec<&'a str>) {
        match single(selector) {
            Some((name, Value::Array(parts))) if name.starts_with('$') => {
                for part in parts {
                    all(part, fields);
                }
            }
            Some((name, _)) => fields.push(name),
            None => (),
        }
    }
    let mut fields = Vec::new();
    all(selector, &mut fields);
    let bounded = planner::bounded_fields(selector);
    fields.retain(|field| bounded.binary_search(field).is_err());
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// The range of keys of all possible matches; `None` if nothing can match.
fn key_range(query: &Query) -> Option<(Bound<String>, Bound<String>)> {
    let range = planner::range(query.selector.normal(), "_id", planner::BYTES);
    let Range::Within { low, high } = &range else {
        return None;
    };
    if matches!(high, Some((high, _)) if !high.is_string()) {
        return None;
    }
    let bound = |bound: &Option<(Value, bool)>| match bound {
        Some((Value::String(key), true)) => Bound::Included(key.clone()),
        Some((Value::String(key), false)) => Bound::Excluded(key.clone()),
        _ => Bound::Unbounded,
    };
    Some((bound(low), bound(high)))
}

/// The range of sort keys of all possible matches: the first is inclusive, the last exclusive.
fn entry_range(plan: &Plan, query: &Query) -> (Vec<u8>, Vec<u8>) {
    let selector = query.selector.normal();
    let columns = plan
        .index
        .iter()
        .flat_map(|index| &index.definition.record.fields);
    let (mut low, mut high): (Option<Vec<&Value>>, Option<Vec<&Value>>) =
        (Some(vec![]), Some(vec![]));
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for (column, range) in columns.zip(&plan.ranges) {
        let Range::Within {
            low: first,
            high: last,
        } = range
        else {
            break;
        };
        // An index sorts by collation, but such conditions compare bytes.
        if !is_collated(selector, column) {
            break;
        }
        match (first, &mut low) {
            (Some((first, _)), Some(values)) => {
                values.push(first);
                from = sort_key(values);
            }
            _ => low = None,
        }
        match (last, &mut high) {
            (Some((last, _)), Some(values)) => {
                values.push(last);
                to = sort_key(values);
            }
            _ => high = None,
        }
    }
    to.push(ABOVE_ALL);
    (from, to)
}

/// Whether the bounds on a field are bounds in collation order too.
fn is_collated(selector: &Value, field: &str) -> bool {
    match single(selector) {
        Some(("$and", Value::Array(parts))) => parts.iter().all(|part| is_collated(part, field)),
        Some((name, argument)) if name == field => match single(argument) {
            Some(("$eq", _)) => true,
            Some(("$beginsWith", Value::String(start))) => field != "_id" && start.is_ascii(),
            _ => field != "_id",
        },
        _ => true,
    }
}
