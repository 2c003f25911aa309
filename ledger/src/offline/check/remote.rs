//! Compares state on CouchDB, row by row, with what replay gives.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use super::report::{Finding, Kind};
use crate::error::ReadError;
use crate::model::value::VersionedValue;
use crate::state::{Rows, StateSnapshot};

/// The most different rows that are listed.
const MAX_ROWS_TOLD: u64 = 10;

/// The differences.
#[derive(Default)]
struct Differences {
    findings: Vec<Finding>,
    rows: u64,
}

/// The differences between a view of state on a server and `replayed`, at the same height: findings and
/// notes.
///
/// # Errors
/// The server cannot be asked.
pub(super) fn compare(
    view: &dyn StateSnapshot,
    replayed: &dyn StateSnapshot,
) -> Result<(Vec<Finding>, Vec<String>), ReadError> {
    let mut differences = Differences::default();
    let mut namespaces = BTreeSet::new();
    for state in [replayed, view] {
        namespaces.extend(state.namespaces()?.into_iter().map(|one| one.name));
    }
    for namespace in &namespaces {
        differences.find(namespace, replayed, view)?;
    }
    let rows = differences.rows;
    let notes = (rows > MAX_ROWS_TOLD).then(|| format!("state: {rows} rows differ in all"));
    Ok((differences.findings, notes.into_iter().collect()))
}

impl Differences {
    /// Walks both in key order, like a merge.
    fn find(
        &mut self,
        namespace: &str,
        replayed: &dyn StateSnapshot,
        view: &dyn StateSnapshot,
    ) -> Result<(), ReadError> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let mut expected: Rows<'_> = replayed.rows(namespace, all.0, all.1, false)?;
        let mut found: Rows<'_> = view.examine(namespace)?;
        let (mut left, mut right) = (row(found.next())?, expected.next().transpose()?);
        loop {
            let order = match (&left, &right) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((left, _)), Some((right, _))) => left.cmp(right),
            };
            let (mut one, mut other) = (None, None);
            if order.is_le() {
                one = std::mem::replace(&mut left, row(found.next())?);
            }
            if order.is_ge() {
                other = std::mem::replace(&mut right, expected.next().transpose()?);
            }
            match one {
                Some((_, Err(damage))) => self.tell(namespace, other.as_ref(), damage),
                Some((key, Ok(value))) => {
                    let one = (key, value);
                    if other.as_ref() != Some(&one) {
                        self.tell(namespace, other.as_ref(), told(namespace, &one));
                    }
                }
                None => self.tell(namespace, other.as_ref(), "none".to_owned()),
            }
        }
    }

    fn tell(
        &mut self,
        namespace: &str,
        expected: Option<&(String, VersionedValue)>,
        found: String,
    ) {
        self.rows += 1;
        if self.rows > MAX_ROWS_TOLD {
            return;
        }
        let expected = expected.map_or("none".to_owned(), |row| told(namespace, row));
        let expected = format!("state on CouchDB as replayed: {expected}");
        self.findings
            .push(Finding::new(Kind::Follower, expected, found));
    }
}

/// A row: its key, and its value or how it is damaged.
type Found = (String, Result<VersionedValue, String>);

fn row(
    next: Option<Result<(String, VersionedValue), ReadError>>,
) -> Result<Option<Found>, ReadError> {
    Ok(match next.transpose() {
        Ok(row) => row.map(|(key, value)| (key, Ok(value))),
        Err(error) => {
            let damage = error.to_string();
            let ReadError::StateDocument { key, .. } = error else {
                return Err(error);
            };
            Some((key, Err(damage)))
        }
    })
}

fn told(namespace: &str, (key, value): &(String, VersionedValue)) -> String {
    let text = String::from_utf8_lossy(&value.value);
    let text: String = text.chars().take(200).collect();
    format!("{namespace}/{key} = {text} of version {}", value.version)
}
