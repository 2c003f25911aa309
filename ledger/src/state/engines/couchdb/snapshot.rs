//! A view of state as it was at one height: what the server has, without what the view must not show yet.
//!
//! Documents are read first and [`Undo`] is asked second. It knows what a batch replaces before the first
//! document of the batch is written, so it can always tell if a document that was read is too new.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use fjall::{Keyspace, Snapshot};
use parking_lot::Mutex;

use super::database;
use super::document::{Place, ServerDocument};
use super::half_written::Name;
use super::names;
use super::server::Server;
use super::undo::Held;
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::value::VersionedValue;
use crate::query::entries;
use crate::state::{Keys, NamespaceSummary, Rows, StateSnapshot};

/// Rows of the first page of a range, and the most of any page.
const FIRST_PAGE: usize = 32;
const MAX_PAGE: usize = 1000;
/// Pages do not grow beyond this many bytes of values.
const PAGE_BYTES: usize = 2 << 20;
/// The most keys that are asked for at once.
const BATCH: usize = 256;

/// One view.
pub(super) struct CouchSnapshot {
    pub(super) server: Arc<Server>,
    pub(super) held: Held,
    pub(super) view: Snapshot,
    pub(super) entries: Keyspace,
    /// The values of keys that were announced.
    pub(super) expected: Mutex<HashMap<Name, Option<VersionedValue>>>,
}

impl fmt::Debug for CouchSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CouchSnapshot")
            .field("height", &self.held.height)
            .finish_non_exhaustive()
    }
}

impl CouchSnapshot {
    /// What the view shows for a key that changed since.
    #[expect(clippy::option_option, reason = "the inner one is what the key held")]
    fn undone(&self, namespace: &str, key: &str) -> Option<Option<VersionedValue>> {
        self.server.undo.get(self.held.height, namespace, key)
    }

    /// A document as the server has it now.
    fn document(&self, namespace: &str, key: &str) -> Result<Option<ServerDocument>, ReadError> {
        let Some(database) = self.server.database(namespace) else {
            return Ok(None);
        };
        let id = names::id(namespace, key);
        let gather = Arc::clone(&self.server.gather);
        let run = |calls| gather.get(calls, database, id);
        self.server.couch.run(run)
    }

    /// Documents of keys, by namespace and id, as the server has them now; namespaces are read at the same
    /// time.
    fn documents(
        &self,
        names: &[Name],
    ) -> Result<HashMap<String, HashMap<String, ServerDocument>>, ReadError> {
        let mut ids: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (namespace, key) in names {
            let id = names::id(namespace, key);
            ids.entry(namespace).or_default().push(id);
        }
        let jobs = ids.into_iter().filter_map(|(namespace, ids)| {
            let database = self.server.database(namespace)?;
            Some((namespace.to_owned(), database, ids))
        });
        let jobs: Vec<_> = jobs.collect();
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        self.server.fetch(jobs)
    }
}

impl StateSnapshot for CouchSnapshot {
    fn height(&self) -> u64 {
        self.held.height
    }

    fn get(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        let name = (namespace.to_owned(), key.to_owned());
        if let Some(known) = self.expected.lock().get(&name) {
            return Ok(known.clone());
        }
        if let Some(before) = self.undone(namespace, key) {
            return Ok(before);
        }
        let document = self.document(namespace, key)?;
        if let Some(before) = self.undone(namespace, key) {
            return Ok(before);
        }
        self.server.value(namespace, document.as_ref())
    }

    fn get_many(
        &self,
        namespace: &str,
        keys: &[String],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let names = keys.iter().map(|key| (namespace.to_owned(), key.clone()));
        self.get_all(&names.collect::<Vec<_>>())
    }

    fn get_some(
        &self,
        namespace: &str,
        keys: &[String],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let Some(database) = self.server.database(namespace) else {
            return self.get_many(namespace, keys);
        };
        let asked = keys.iter().enumerate();
        let asked = asked.filter(|(_, key)| self.undone(namespace, key).is_none());
        let asked: Vec<(usize, String)> = asked
            .map(|(position, key)| (position, names::id(namespace, key)))
            .collect();
        let ids: Vec<String> = asked.iter().map(|(_, id)| id.clone()).collect();
        let (count, documents) = if ids.is_empty() {
            (0, HashMap::new())
        } else {
            self.server
                .couch
                .run(|calls| async move { database::fetch_some(&calls, &database, &ids).await })?
        };
        let end = asked
            .get(count)
            .map_or(keys.len(), |(position, _)| *position);
        let values = keys.iter().take(end).map(|key| {
            if let Some(before) = self.undone(namespace, key) {
                return Ok(before);
            }
            let stored = documents.get(&names::id(namespace, key));
            self.server.value(namespace, stored)
        });
        values.collect()
    }

    fn get_all(&self, names: &[Name]) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let undone = |(namespace, key): &Name| self.undone(namespace, key);
        let asked = names.iter().filter(|name| undone(name).is_none());
        let documents = self.documents(&asked.cloned().collect::<Vec<_>>())?;
        let values = names.iter().map(|name| {
            if let Some(before) = undone(name) {
                return Ok(before);
            }
            let (namespace, key) = name;
            let found = documents.get(namespace);
            let stored = found.and_then(|found| found.get(&names::id(namespace, key)));
            self.server.value(namespace, stored)
        });
        values.collect()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn expect(&self, keys: &[Name]) -> Result<(), ReadError> {
        let values = self.get_all(keys)?;
        self.expected
            .lock()
            .extend(keys.iter().cloned().zip(values));
        Ok(())
    }

    fn may_write(&self, namespace: &str) -> Result<(), ReadError> {
        self.server.may_write(namespace)
    }

    fn trouble(&self) -> Option<String> {
        self.server.couch.trouble()
    }

    fn version(&self, namespace: &str, key: &str) -> Result<Option<Height>, ReadError> {
        Ok(self.get(namespace, key)?.map(|value| value.version))
    }

    fn count(&self, namespace: &str) -> Result<u64, ReadError> {
        let Some(database) = self.server.database(namespace) else {
            return Ok(0);
        };
        let own: Vec<String> = if namespace.is_empty() {
            vec![names::SAVEPOINT.to_owned(), names::METADATA.to_owned()]
        } else {
            Vec::new()
        };
        self.server.couch.run(|calls| async move {
            let all = database::count(&calls, &database).await?;
            let own = database::fetch(&calls, &database, &own).await?;
            Ok(all.saturating_sub(own.len() as u64))
        })
    }

    fn rows<'a>(
        &'a self,
        namespace: &str,
        from: Bound<&str>,
        to: Bound<&str>,
        is_reversed: bool,
    ) -> Result<Rows<'a>, ReadError> {
        let Some(place) = self.server.place(namespace) else {
            return Ok(Box::new(std::iter::empty()));
        };
        let id = |key: &str| names::id(namespace, key);
        Ok(Box::new(Pages {
            snapshot: self,
            place,
            from: from.map(id),
            to: to.map(id),
            is_reversed,
            is_examined: false,
            size: FIRST_PAGE,
            rows: VecDeque::new(),
            is_last: false,
        }))
    }

    fn examine<'a>(&'a self, namespace: &str) -> Result<Rows<'a>, ReadError> {
        let Some(place) = self.server.place(namespace) else {
            return Ok(Box::new(std::iter::empty()));
        };
        Ok(Box::new(Pages {
            snapshot: self,
            place,
            from: Bound::Unbounded,
            to: Bound::Unbounded,
            is_reversed: false,
            is_examined: true,
            size: FIRST_PAGE,
            rows: VecDeque::new(),
            is_last: false,
        }))
    }

    fn is_built(&self, index: u64) -> Result<bool, ReadError> {
        entries::is_built(&self.view, &self.entries, index)
    }

    fn entries<'a>(
        &'a self,
        index: u64,
        from: &[u8],
        to: &[u8],
        is_reversed: bool,
    ) -> Result<Keys<'a>, ReadError> {
        let range = (from, to);
        Ok(entries::documents(
            &self.view,
            &self.entries,
            index,
            range,
            is_reversed,
        ))
    }

    fn namespaces(&self) -> Result<Vec<NamespaceSummary>, ReadError> {
        let mut namespaces = Vec::new();
        for name in self.server.namespaces() {
            let changed = self.server.undo.all(self.held.height, &name);
            let keys = if changed.is_empty() {
                self.count(&name)?
            } else {
                let mut keys = 0;
                for row in self.rows(&name, Bound::Unbounded, Bound::Unbounded, false)? {
                    row?;
                    keys += 1;
                }
                keys
            };
            if keys > 0 {
                namespaces.push(NamespaceSummary {
                    name,
                    keys,
                    exact: true,
                });
            }
        }
        Ok(namespaces)
    }

    fn has_metadata(&self, namespace: &str) -> Result<bool, ReadError> {
        Ok(self.server.has_metadata(namespace))
    }
}

/// The rows of a range, a page at a time.
struct Pages<'a> {
    snapshot: &'a CouchSnapshot,
    place: Place,
    /// The bounds of the ids that are not read yet.
    from: Bound<String>,
    to: Bound<String>,
    is_reversed: bool,
    /// Whether more is checked than a read needs, and damage does not end the range.
    is_examined: bool,
    size: usize,
    rows: VecDeque<Row>,
    is_last: bool,
}

type Row = Result<(String, VersionedValue), ReadError>;

/// Whether an id lies between two bounds.
fn is_between(from: &Bound<String>, id: &str, to: &Bound<String>) -> bool {
    let after = match from {
        Bound::Unbounded => true,
        Bound::Included(from) => from.as_str() <= id,
        Bound::Excluded(from) => from.as_str() < id,
    };
    let before = match to {
        Bound::Unbounded => true,
        Bound::Included(to) => id <= to.as_str(),
        Bound::Excluded(to) => id < to.as_str(),
    };
    after && before
}

fn is_empty(from: &Bound<String>, to: &Bound<String>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
        _ => false,
    }
}

impl Pages<'_> {
    /// Parameters of `_all_docs`, without the number of rows. Bounds are inclusive: rows that do not belong
    /// are skipped.
    fn query(&self) -> Vec<(&'static str, String)> {
        let text = |id: &String| serde_json::Value::from(id.as_str()).to_string();
        let bound = |bound: &Bound<String>| match bound {
            Bound::Included(id) | Bound::Excluded(id) => Some(text(id)),
            Bound::Unbounded => None,
        };
        let low = bound(&self.from);
        let high = bound(&self.to).or_else(|| self.snapshot.server.last_id().as_ref().map(text));
        let (start, end) = if self.is_reversed {
            (high, low)
        } else {
            (low, high)
        };
        let mut query = vec![("include_docs", "true".to_owned())];
        if self.is_reversed {
            query.push(("descending", "true".to_owned()));
        }
        query.extend(start.map(|start| ("startkey", start)));
        query.extend(end.map(|end| ("endkey", end)));
        query
    }

    fn read_page(&mut self) -> Result<(), ReadError> {
        if is_empty(&self.from, &self.to) {
            self.is_last = true;
            return Ok(());
        }
        let (database, query, size) = (self.place.database.clone(), self.query(), self.size);
        let server = &self.snapshot.server;
        let (page, size) = server
            .couch
            .run(|calls| async move { database::page(&calls, &database, &query, size).await })?;
        self.size = size;
        self.is_last = page.rows < self.size;
        // What comes after the last row is for the next page.
        let (mut from, mut to) = (self.from.clone(), self.to.clone());
        if !self.is_last
            && let Some(last) = page.last
        {
            if self.is_reversed {
                self.to = Bound::Excluded(last.clone());
                from = Bound::Included(last);
            } else {
                self.from = Bound::Excluded(last.clone());
                to = Bound::Included(last);
            }
        }
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let namespace = self.place.namespace.as_str();
        let undone = server.undo.all(self.snapshot.held.height, namespace);
        let undone: BTreeMap<String, _> = undone.into_iter().collect();
        let mut bytes = 0;
        for stored in page.documents {
            let Some(key) = names::key(namespace, &stored.id) else {
                continue;
            };
            if !is_between(&from, &stored.id, &to) || undone.contains_key(&key) {
                continue;
            }
            let value = if self.is_examined {
                stored.whole_value(&self.place)
            } else {
                stored.value(&self.place)
            };
            bytes += value.as_ref().map_or(0, |value| value.value.len());
            rows.insert(stored.id, value.map(|value| (key, value)));
        }
        for (key, value) in undone {
            let id = names::id(namespace, &key);
            if let Some(value) = value
                && is_between(&from, &id, &to)
            {
                rows.insert(id, Ok((key, value)));
            }
        }
        if bytes < PAGE_BYTES {
            self.size = (self.size * 2).min(MAX_PAGE);
        }
        if self.is_reversed {
            self.rows.extend(rows.into_values().rev());
        } else {
            self.rows.extend(rows.into_values());
        }
        Ok(())
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<(String, VersionedValue), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rows.is_empty() && !self.is_last {
            if let Err(error) = self.read_page() {
                self.is_last = true;
                return Some(Err(error));
            }
        }
        let row = self.rows.pop_front()?;
        if row.is_err() && !self.is_examined {
            self.rows.clear();
            self.is_last = true;
        }
        Some(row)
    }
}
