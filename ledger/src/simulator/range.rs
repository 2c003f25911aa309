//! Ranges that are read row by row, and their records in the block.

use std::collections::VecDeque;

use quire_wire::rwset::RangeQueryInfo;

use super::Simulator;
use crate::error::ReadError;
use crate::model::value::VersionedValue;
use crate::snapshot::Snapshot;
use crate::state::RangeEnd;
use crate::validation::phantom::{MAX_DEGREE, RangeSummary};
use crate::validation::record::row;

/// The number of rows that are read ahead.
const AHEAD_ROWS: usize = 101;

/// The part of a range that was read. Fabric records what was asked of the iterator, but not whether it was
/// closed.
#[derive(Debug)]
pub(super) struct Seen {
    start: String,
    /// The last key seen or, if the end was reached, the end that was asked for.
    end: String,
    is_exhausted: bool,
    /// `None` if there was no row.
    rows: Option<RangeSummary>,
}

impl Seen {
    pub(super) fn new(start: &str) -> Self {
        Self {
            start: start.to_owned(),
            end: String::new(),
            is_exhausted: false,
            rows: None,
        }
    }

    pub(super) fn row(&mut self, key: &str, value: &VersionedValue) {
        let rows = self
            .rows
            .get_or_insert_with(|| RangeSummary::new(MAX_DEGREE));
        rows.add(row(key, value.version));
        key.clone_into(&mut self.end);
    }

    pub(super) fn exhausted(&mut self, end: &str) {
        self.is_exhausted = true;
        end.clone_into(&mut self.end);
    }

    pub(super) fn into_info(self) -> RangeQueryInfo {
        RangeQueryInfo {
            start_key: self.start,
            end_key: self.end,
            itr_exhausted: self.is_exhausted,
            // Fabric records no rows for an empty range.
            reads_info: self.rows.map(RangeSummary::finish),
        }
    }
}

/// A range that is read row by row, by [`Simulator::next_row`]. It holds a few rows that were read ahead.
#[derive(Debug)]
pub struct RangeReader {
    pub(super) namespace: String,
    /// Its number among the namespace's ranges.
    pub(super) number: usize,
    pub(super) end: String,
    /// The key from which to read on; `None` after the last row.
    next: Option<String>,
    ahead: VecDeque<(String, VersionedValue)>,
}

impl Simulator {
    /// Begins to read committed rows from `start` (inclusive) to `end` (exclusive, `""` is the namespace's
    /// end), one by one. The transaction becomes invalid if a row that was seen changes or is deleted, or if
    /// another row appears before the last one seen, or before `end` if all were seen.
    pub fn open_range(&mut self, namespace: &str, start: &str, end: &str) -> RangeReader {
        let ranges = &mut self.recorded(namespace).ranges;
        ranges.push(Seen::new(start));
        RangeReader::new(namespace, ranges.len() - 1, start, end)
    }

    /// The next row of a range that was opened here; `None` at its end.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn next_row(
        &mut self,
        range: &mut RangeReader,
    ) -> Result<Option<(String, VersionedValue)>, ReadError> {
        let row = range.take(&self.snapshot)?;
        let ranges = &mut self.recorded(&range.namespace).ranges;
        if let Some(seen) = ranges.get_mut(range.number) {
            match &row {
                Some((key, value)) => seen.row(key, value),
                None => seen.exhausted(&range.end),
            }
        }
        Ok(row)
    }

    /// The key of the next row of a range, from which another transaction may go on. This read is not
    /// recorded.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn peek_row(&self, range: &mut RangeReader) -> Result<Option<String>, ReadError> {
        Ok(range.peek(&self.snapshot)?.map(str::to_owned))
    }
}

impl RangeReader {
    /// After this many bytes, no more rows are read ahead: a reader holds roughly that much.
    pub const AHEAD_BYTES: usize = 256 << 10;

    pub(super) fn new(namespace: &str, number: usize, start: &str, end: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            number,
            end: end.to_owned(),
            next: Some(start.to_owned()),
            ahead: VecDeque::new(),
        }
    }

    /// The namespace whose keys it reads.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Takes the next row; `None` at the end.
    pub(super) fn take(
        &mut self,
        snapshot: &Snapshot,
    ) -> Result<Option<(String, VersionedValue)>, ReadError> {
        self.look_ahead(snapshot)?;
        Ok(self.ahead.pop_front())
    }

    /// The key of the next row, which does not count as seen.
    pub(super) fn peek(&mut self, snapshot: &Snapshot) -> Result<Option<&str>, ReadError> {
        self.look_ahead(snapshot)?;
        Ok(self.ahead.front().map(|(key, _)| key.as_str()))
    }

    fn look_ahead(&mut self, snapshot: &Snapshot) -> Result<(), ReadError> {
        if !self.ahead.is_empty() {
            return Ok(());
        }
        let Some(start) = self.next.take() else {
            return Ok(());
        };
        let bound = if self.end.is_empty() {
            RangeEnd::Unbounded
        } else {
            RangeEnd::Before(&self.end)
        };
        let read = snapshot.range_within(
            &self.namespace,
            &start,
            bound,
            AHEAD_ROWS,
            Self::AHEAD_BYTES,
        );
        let (rows, is_last) = match read {
            Ok(read) => read,
            Err(error) => {
                // The same question may have an answer later.
                self.next = Some(start);
                return Err(error);
            }
        };
        self.next = match rows.last() {
            // This is the smallest key after it.
            Some((key, _)) if !is_last => Some(format!("{key}\0")),
            _ => None,
        };
        self.ahead = rows.into();
        Ok(())
    }
}
