//! Indexes in files: a file is a migration, which every channel gets once.
//!
//! ```json
//! [{"namespace": "orders", "index": {"fields": ["owner"]}, "ddoc": "by-owner", "name": "by-owner"}]
//! ```
//!
//! A definition is the body of `POST _index` with the namespace, and with the channel if it is for one
//! channel only. Fabric's `META-INF/statedb/couchdb/indexes/*.json` are such bodies.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::definitions::Applied;
use super::error::QueryError;
use super::index::IndexRequest;
use super::query_index::{IndexError, MAX_INDEXES};
use super::request::Members;
use crate::json::{self, JsonError, Repeats};

/// The most bytes of a file.
pub const MAX_MIGRATION_BYTES: usize = 1 << 20;
/// The end of a file's name.
const EXTENSION: &str = ".json";
const DIGITS: usize = 4;

/// Why a file is not a migration. Its author must correct it.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The name has no number.
    #[error(
        "its name is not four digits from 0001 on, a dash, a word and .json, as 0001-orders.json"
    )]
    Name,
    /// The file is larger than any useful file.
    #[error("it has more than {MAX_MIGRATION_BYTES} bytes")]
    TooLarge,
    /// It is not JSON; the source says why.
    #[error("it is not JSON in line {line} column {column}")]
    Json {
        /// The line where it stops to be JSON, from 1 on; its last line if it ends too early.
        line: usize,
        /// The byte in that line, from 1 on; its last byte if it ends too early.
        column: usize,
        /// What is wrong there.
        source: JsonError,
    },
    /// It names a member twice, or is nested too deep; the source says which.
    #[error("it cannot be read")]
    Refused(#[source] JsonError),
    /// It holds something other than definitions.
    #[error("it is neither a definition nor a list of 1 to {MAX_INDEXES} definitions")]
    Form,
    /// One of its definitions is wrong.
    #[error("definition {position}")]
    Definition {
        /// The definition's number, from 1 on.
        position: usize,
        /// What is wrong with it.
        source: QueryError,
    },
    /// The later one would replace the earlier.
    #[error("definition {position} makes an index that an earlier one makes")]
    Twice {
        /// The definition's number, from 1 on.
        position: usize,
    },
}

/// Why a channel's migrations fail.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The operator must restore the file's content, and put the change into a new file.
    #[error(
        "{file} was changed after it was applied: its SHA-256 is {found}, that of the {applied} which \
         was applied is {expected}"
    )]
    Changed {
        /// The file.
        file: String,
        /// Its name when it was applied.
        applied: String,
        /// The checksum it had.
        expected: String,
        /// The checksum it has.
        found: String,
    },
    /// The indexes could not be made.
    #[error("{file} cannot be applied")]
    Index {
        /// The file.
        file: String,
        /// The cause.
        source: IndexError,
    },
}

/// A checked file of index definitions.
#[derive(Clone, Debug)]
pub struct Migration {
    number: u32,
    file: String,
    sha256: String,
    definitions: Vec<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    /// `None` means every channel.
    channel: Option<String>,
    namespace: String,
    request: IndexRequest,
}

/// What [`Reader::migrate`](crate::Reader::migrate) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Files that were applied now, each with the number of indexes that it made.
    pub applied: Vec<(String, usize)>,
    /// Files that were applied once and do not exist any more.
    pub gone: Vec<String>,
}

impl Migration {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`MigrationError`].
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, MigrationError> {
        let number = number(file).ok_or(MigrationError::Name)?;
        if bytes.len() > MAX_MIGRATION_BYTES {
            return Err(MigrationError::TooLarge);
        }
        let read = json::parse(bytes, Repeats::Refused);
        let values = match read.map_err(|error| unreadable(error, bytes))? {
            Value::Array(values) if (1..=MAX_INDEXES).contains(&values.len()) => values,
            Value::Object(members) => vec![Value::Object(members)],
            _ => return Err(MigrationError::Form),
        };
        let mut definitions: Vec<Wanted> = Vec::with_capacity(values.len());
        for (position, value) in (1..).zip(values) {
            let wanted = Wanted::parse(value)
                .map_err(|source| MigrationError::Definition { position, source })?;
            if definitions
                .iter()
                .any(|earlier| earlier.is_same_as(&wanted))
            {
                return Err(MigrationError::Twice { position });
            }
            definitions.push(wanted);
        }
        Ok(Self {
            number,
            file: file.to_owned(),
            sha256: hex::encode(Sha256::digest(bytes)),
            definitions,
        })
    }

    /// The file's number, 1 or more.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The namespaces of all definitions, each with the channel if it is for one only.
    pub fn names(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let definitions = self.definitions.iter();
        definitions.map(|wanted| (wanted.channel.as_deref(), wanted.namespace.as_str()))
    }

    /// The definitions for a channel, with their namespaces.
    pub(super) fn of_channel(&self, channel: &str) -> Vec<(&str, &IndexRequest)> {
        let of_channel = self.definitions.iter().filter(|wanted| {
            let only = wanted.channel.as_deref();
            only.is_none_or(|only| only == channel)
        });
        of_channel
            .map(|wanted| (wanted.namespace.as_str(), &wanted.request))
            .collect()
    }

    /// The migration as a channel remembers it.
    pub(super) fn applied(&self) -> Applied {
        Applied {
            number: self.number,
            file: self.file.clone(),
            sha256: self.sha256.clone(),
        }
    }

    /// Checks that it is what a channel remembers, whatever word its name has now.
    pub(super) fn check_unchanged(&self, applied: &Applied) -> Result<(), MigrateError> {
        if self.sha256 == applied.sha256 {
            return Ok(());
        }
        Err(MigrateError::Changed {
            file: self.file.clone(),
            applied: applied.file.clone(),
            expected: applied.sha256.clone(),
            found: self.sha256.clone(),
        })
    }
}

impl Wanted {
    fn parse(value: Value) -> Result<Self, QueryError> {
        let Value::Object(members) = value else {
            return Err(QueryError::NotAnObject);
        };
        let mut members = Members::of(members);
        Ok(Self {
            channel: members.text("channel")?,
            namespace: members
                .text("namespace")?
                .ok_or(QueryError::MissingKey("namespace"))?,
            request: IndexRequest::of(members)?,
        })
    }

    /// Whether some channel would have only one of the two.
    fn is_same_as(&self, other: &Self) -> bool {
        let (mine, others) = (&self.request.0.record, &other.request.0.record);
        let may_meet = match (&self.channel, &other.channel) {
            (Some(mine), Some(others)) => mine == others,
            _ => true,
        };
        may_meet
            && self.namespace == other.namespace
            && mine.ddoc == others.ddoc
            && mine.name == others.name
    }
}

fn unreadable(source: JsonError, bytes: &[u8]) -> MigrationError {
    let Some(offset) = source.offset() else {
        return MigrationError::Refused(source);
    };
    let before = bytes.get(..offset).unwrap_or(bytes);
    let lines = before.split(|byte| *byte == b'\n');
    let last = lines.clone().next_back().map_or(0, <[u8]>::len);
    MigrationError::Json {
        line: lines.count(),
        column: last + usize::from(offset < bytes.len()),
        source,
    }
}

/// The number at the beginning of a file's name.
fn number(file: &str) -> Option<u32> {
    let (digits, word) = file.strip_suffix(EXTENSION)?.split_once('-')?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number || word.is_empty() {
        return None;
    }
    digits.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FABRIC: &str = r#"{"index": {"fields": ["docType", "owner"]},
        "ddoc": "indexOwnerDoc", "name": "indexOwner", "type": "json"}"#;

    fn parse(text: &str) -> Result<Migration, String> {
        Migration::parse("0001-a.json", text.as_bytes()).map_err(|error| {
            let source = std::error::Error::source(&error);
            source.map_or(error.to_string(), |source| format!("{error}: {source}"))
        })
    }

    #[test]
    fn an_index_file_of_fabric_lacks_only_its_namespace() {
        let error = parse(FABRIC).unwrap_err();
        assert_eq!(error, "definition 1: Missing required key: namespace");
        let named = FABRIC.replacen('{', r#"{"namespace": "marbles", "#, 1);
        let migration = parse(&named).unwrap();
        let [(namespace, request)] = migration.of_channel("any")[..] else {
            panic!("{migration:?}");
        };
        let request = (request.ddoc_id(), request.name());
        assert_eq!(namespace, "marbles");
        assert_eq!(request, ("_design/indexOwnerDoc".to_owned(), "indexOwner"));
    }

    #[test]
    fn a_definition_may_be_for_one_channel() {
        let text = r#"[{"namespace": "a", "index": {"fields": ["x"]}},
            {"channel": "main", "namespace": "b", "index": {"fields": ["x"]}}]"#;
        let migration = parse(text).unwrap();
        assert_eq!(migration.of_channel("main").len(), 2);
        assert_eq!(migration.of_channel("other").len(), 1);
    }

    #[test]
    fn names_of_files_are_four_digits_and_a_word() {
        for (file, expected) in [
            ("0001-a.json", Some(1)),
            ("9999-by-owner_2.json", Some(9999)),
            ("0000-a.json", None),
            ("1-a.json", None),
            ("00001-a.json", None),
            ("+001-a.json", None),
            ("0001_a.json", None),
            ("0001-.json", None),
            ("0001-a.JSON", None),
            ("0001-a.json.bak", None),
            ("a.json", None),
        ] {
            assert_eq!(number(file), expected, "{file}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let one = r#"{"namespace": "a", "index": {"fields": ["x"]}, "name": "n", "ddoc": "d"}"#;
        for (text, expected) in [
            ("{\n  \"namespace\": oops}", "line 2 column 16"),
            ("", "line 1 column 0"),
            (
                r#"{"namespace": "a", "namespace": "b", "index": {"fields": ["x"]}}"#,
                "it cannot be read: the member \"namespace\" appears twice",
            ),
            ("[]", "neither a definition nor a list"),
            ("null", "neither a definition nor a list"),
            ("[1]", "definition 1: Request body must be a JSON object"),
            (
                r#"{"namespace": "a", "index": {"fields": ["x"]}, "indx": 1}"#,
                "definition 1: Invalid key indx",
            ),
            (
                r#"{"namespace": "a", "index": {"fields": ["x"], "more": 1}}"#,
                "definition 1: Invalid key more",
            ),
            (
                &format!(r#"[{one}, {{"namespace": 1, "index": {{"fields": ["x"]}}}}]"#),
                "definition 2: Invalid string: 1",
            ),
            (
                r#"{"namespace": "a", "index": {"fields": []}}"#,
                "definition 1: An index has 1 to",
            ),
            (&format!("[{one}, {one}]"), "definition 2 makes an index"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
