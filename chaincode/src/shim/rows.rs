//! Rows of queries, as many at a time as Fabric sends.

use bytes::Bytes;
use quire_ledger::{Height, Order, Query, RangeReader, Simulator};
use quire_wire::Message as _;
use quire_wire::query_result::{KeyModification, Kv};
use quire_wire::shim::{QueryResponse, QueryResponseMetadata, QueryResultBytes};
use serde_json::{Map, Value};

use super::request::Failure;

/// Rows that are sent at once where no pages are asked for; Fabric's `MaxResultLimit`.
const BATCH_ROWS: usize = 100;
/// Bytes of rows after which a batch is sent, however few they are.
const BATCH_BYTES: usize = 32 << 20;
/// Documents that are looked for at once, at most.
const FOUND_ROWS: usize = 1000;
/// So often no more are looked for than the next batch has, because what was found is what the transaction
/// read. There may be 100 questions in a transaction, so of many documents it is more.
const BATCHES_FOUND: usize = 50;
/// Bytes after which no more documents are looked for at once.
const FOUND_BYTES: usize = 1 << 20;
/// Writes of a key's past that are looked for at once.
const PAST_ROWS: usize = 100;

/// An open query.
#[derive(Debug)]
pub(super) struct Rows {
    source: Source,
    /// A row that was read, and belongs to the next batch.
    pending: Option<QueryResultBytes>,
    /// Rows that were given so far.
    given: usize,
}

/// Where rows come from.
#[derive(Debug)]
enum Source {
    Range(RangeReader),
    Documents(Documents),
    Past(Past),
}

/// The documents that match a query.
#[derive(Debug)]
pub(super) struct Documents {
    namespace: String,
    /// Without limit and bookmark.
    query: Map<String, Value>,
    /// Whether the query says which members it wants.
    shows: bool,
    bookmark: String,
    /// Rows of the page; none where no page is asked for.
    page: Option<usize>,
    /// How often was looked so far.
    asked: usize,
    found: std::vec::IntoIter<String>,
    is_last: bool,
}

/// The writes of a key, the newest first.
#[derive(Debug)]
pub(super) struct Past {
    namespace: String,
    key: String,
    after: Option<Height>,
    heights: std::vec::IntoIter<Height>,
    is_last: bool,
}

/// A row, and what it makes the node hold until the transaction ends.
struct Row {
    bytes: QueryResultBytes,
    held: usize,
}

impl Rows {
    pub(super) fn of_range(range: RangeReader) -> Self {
        Self::new(Source::Range(range))
    }

    pub(super) fn of_documents(documents: Documents) -> Self {
        Self::new(Source::Documents(documents))
    }

    pub(super) fn of_past(namespace: &str, key: String) -> Self {
        Self::new(Source::Past(Past {
            namespace: namespace.to_owned(),
            key,
            after: None,
            heights: Vec::new().into_iter(),
            is_last: false,
        }))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            pending: None,
            given: 0,
        }
    }

    /// What the node holds of it between two batches, beside the row that is pending.
    pub(super) fn ahead_bytes(&self) -> usize {
        match self.source {
            Source::Range(_) => RangeReader::AHEAD_BYTES,
            Source::Documents(_) => FOUND_BYTES,
            Source::Past(_) => 0,
        }
    }

    /// The rows that Fabric would send next, and the bytes that they make the node hold. `most` is how many
    /// there may be in all. A page is sent in one piece.
    pub(super) fn batch(
        &mut self,
        simulator: &mut Simulator,
        id: &str,
        (is_page, most): (bool, usize),
    ) -> Result<(QueryResponse, usize), Failure> {
        let mut results: Vec<_> = self.pending.take().into_iter().collect();
        let (mut bytes, mut held) = (0, 0);
        let mut has_more = false;
        while self.given < most {
            let Some(row) = self.next(simulator)? else {
                break;
            };
            self.given += 1;
            held += row.held;
            if !is_page && (results.len() == BATCH_ROWS || bytes > BATCH_BYTES) {
                self.pending = Some(row.bytes);
                has_more = true;
                break;
            }
            bytes += row.bytes.result_bytes.len();
            if is_page && bytes > BATCH_BYTES {
                return Err(Failure::Say(format!(
                    "a page has more than {BATCH_BYTES} bytes, ask for a smaller one"
                )));
            }
            results.push(row.bytes);
        }
        let metadata = if is_page {
            let metadata = QueryResponseMetadata {
                fetched_records_count: i32::try_from(self.given).unwrap_or(i32::MAX),
                bookmark: self.bookmark(simulator)?,
            };
            metadata.encode_to_vec().into()
        } else {
            Bytes::new()
        };
        let response = QueryResponse {
            results,
            has_more,
            id: id.to_owned(),
            metadata,
        };
        Ok((response, held))
    }

    fn next(&mut self, simulator: &mut Simulator) -> Result<Option<Row>, Failure> {
        match &mut self.source {
            Source::Range(range) => {
                let Some((key, value)) = simulator.next_row(range)? else {
                    return Ok(None);
                };
                let namespace = range.namespace().to_owned();
                Ok(Some(Row::of_key(namespace, key, value.value)))
            }
            Source::Documents(documents) => documents.next(simulator),
            Source::Past(past) => past.next(simulator),
        }
    }

    /// Where the next page begins.
    fn bookmark(&mut self, simulator: &Simulator) -> Result<String, Failure> {
        match &mut self.source {
            Source::Range(range) => Ok(simulator.peek_row(range)?.unwrap_or_default()),
            Source::Documents(documents) => Ok(documents.bookmark.clone()),
            Source::Past(_) => Ok(String::new()),
        }
    }
}

impl Row {
    fn of_key(namespace: String, key: String, value: Bytes) -> Self {
        let held = key.len() + 32;
        let row = Kv {
            namespace,
            key,
            value,
        };
        Self::of(&row, held)
    }

    fn of(row: &impl quire_wire::Message, held: usize) -> Self {
        Self {
            bytes: QueryResultBytes {
                result_bytes: row.encode_to_vec().into(),
            },
            held,
        }
    }
}

impl Documents {
    /// Reads a query. Like Fabric, of its own limit and bookmark nothing is kept.
    pub(super) fn parse(
        namespace: &str,
        query: &str,
        bookmark: String,
        page: Option<usize>,
    ) -> Result<Self, Failure> {
        // For its errors: what is repeated or too large is refused here.
        Query::parse(query.as_bytes()).map_err(|error| Failure::say(&error))?;
        let mut query: Map<String, Value> =
            serde_json::from_str(query).map_err(|error| Failure::say(&error))?;
        query.remove("limit");
        query.remove("bookmark");
        let fields = query.get_mut("fields").and_then(Value::as_array_mut);
        let shows = fields.is_some_and(|fields| {
            fields.push("_id".into());
            true
        });
        Ok(Self {
            namespace: namespace.to_owned(),
            query,
            shows,
            bookmark,
            page,
            asked: 0,
            found: Vec::new().into_iter(),
            is_last: false,
        })
    }

    fn next(&mut self, simulator: &mut Simulator) -> Result<Option<Row>, Failure> {
        loop {
            if let Some(document) = self.found.next() {
                return self.row(simulator, &document).map(Some);
            }
            if self.is_last {
                return Ok(None);
            }
            self.find(simulator)?;
        }
    }

    fn find(&mut self, simulator: &mut Simulator) -> Result<(), Failure> {
        let mut query = self.query.clone();
        let at_once = match (self.page, self.asked) {
            (Some(page), _) => page.clamp(1, FOUND_ROWS),
            // One belongs to the batch after.
            (None, 0) => BATCH_ROWS + 1,
            (None, asked) if asked < BATCHES_FOUND => BATCH_ROWS,
            (None, _) => FOUND_ROWS,
        };
        self.asked += 1;
        query.insert("limit".to_owned(), at_once.into());
        if !self.bookmark.is_empty() {
            query.insert("bookmark".to_owned(), self.bookmark.clone().into());
        }
        let query = Query::parse(Value::Object(query).to_string().as_bytes());
        let query = query.map_err(|error| Failure::say(&error))?;
        let found = simulator.find(&self.namespace, &query, FOUND_BYTES)?;
        // What was skipped once is behind the bookmark.
        self.query.remove("skip");
        let bookmark = found.bookmark.filter(|bookmark| *bookmark != self.bookmark);
        self.is_last = found.documents.is_empty() || bookmark.is_none();
        self.bookmark = bookmark.unwrap_or_default();
        self.found = found.documents.into_iter();
        Ok(())
    }

    /// The value as it is kept, or those of its members that are asked for.
    fn row(&self, simulator: &Simulator, document: &str) -> Result<Row, Failure> {
        let mut document: Map<String, Value> =
            serde_json::from_str(document).map_err(|error| Failure::say(&error))?;
        let Some(Value::String(key)) = document.remove("_id") else {
            return Err(Failure::say(&"a document that was found has no key"));
        };
        let value = if self.shows {
            document.remove("_rev");
            document.sort_keys();
            Value::Object(document).to_string().into()
        } else {
            let value = simulator.peek(&self.namespace, &key)?;
            value.map(|value| value.value).unwrap_or_default()
        };
        Ok(Row::of_key(self.namespace.clone(), key, value))
    }
}

impl Past {
    fn next(&mut self, simulator: &Simulator) -> Result<Option<Row>, Failure> {
        let snapshot = simulator.snapshot();
        let height = match self.heights.next() {
            Some(height) => height,
            None if self.is_last => return Ok(None),
            None => {
                let (namespace, key) = (&self.namespace, &self.key);
                let order = Order::NewestFirst;
                let heights = snapshot.history(namespace, key, order, self.after, PAST_ROWS)?;
                self.is_last = heights.len() < PAST_ROWS;
                self.after = heights.last().copied();
                self.heights = heights.into_iter();
                match self.heights.next() {
                    Some(height) => height,
                    None => return Ok(None),
                }
            }
        };
        let write = snapshot.modification(&self.namespace, &self.key, height)?;
        let row = KeyModification {
            tx_id: write.tx_id,
            is_delete: write.value.is_none(),
            value: write.value.unwrap_or_default(),
            timestamp: write.timestamp,
        };
        Ok(Some(Row::of(&row, 0)))
    }
}
