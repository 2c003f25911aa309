//! The body of `_find` and `_explain`, checked member by member in CouchDB's order.

use serde_json::{Map, Value, json};

use super::erlang::{Plain, Pretty};
use super::error::QueryError;
use super::fields::Fields;
use super::path::Path;
use super::planner;
use super::selector::Selector;
use super::size;
use crate::json::{self, Repeats};

/// Documents of a page if the query does not say.
const DEFAULT_LIMIT: u64 = 25;

/// A checked query.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) selector: Selector,
    /// Design document and name of the index that should be used.
    pub(super) use_index: Option<(String, Option<String>)>,
    pub(super) bookmark: Option<String>,
    pub(super) limit: u64,
    pub(super) skip: u64,
    pub(super) sort: Sort,
    pub(super) fields: Vec<String>,
    pub(super) shown: Fields,
    pub(super) execution_stats: bool,
    pub(super) allow_fallback: bool,
    /// Options for a cluster only, which `_explain` shows.
    unheeded: Map<String, Value>,
}

/// Fields in one direction, for a sort or an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) fields: Vec<String>,
    pub(crate) is_descending: bool,
}

impl Sort {
    pub(crate) fn parse(value: &Value) -> Result<Self, QueryError> {
        let Value::Array(specs) = value else {
            let reason = format!(
                "Sort must be an array of sort specs, not: {}",
                Pretty(value)
            );
            return Err(QueryError::option("invalid_sort_json", reason));
        };
        let mut fields = Vec::with_capacity(specs.len());
        let mut directions = Vec::with_capacity(specs.len());
        for spec in specs {
            let (field, is_descending) = match spec {
                Value::String(field) if !field.is_empty() => (field.as_str(), false),
                _ => match super::normalize::single(spec) {
                    Some((field, Value::String(direction))) if direction == "asc" => (field, false),
                    Some((field, Value::String(direction))) if direction == "desc" => (field, true),
                    _ => return Err(QueryError::sort_field(spec)),
                },
            };
            fields.push(field.to_owned());
            directions.push(is_descending);
        }
        let is_descending = directions.first().copied().unwrap_or_default();
        if directions
            .iter()
            .any(|direction| *direction != is_descending)
        {
            return Err(QueryError::MixedSort);
        }
        Ok(Self {
            fields,
            is_descending,
        })
    }

    /// The fields as CouchDB shows them in the definition of an index.
    pub(crate) fn specs(&self) -> impl Iterator<Item = (String, Value)> {
        let direction = if self.is_descending { "desc" } else { "asc" };
        let pairs = self.fields.iter();
        pairs.map(move |field| (field.clone(), Value::from(direction)))
    }
}

/// The members of a request; each is taken out once.
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn parse(body: &[u8]) -> Result<Self, QueryError> {
        size::check_text(body)?;
        match json::parse(body, Repeats::Refused)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(QueryError::NotAnObject),
        }
    }

    pub(super) fn of(members: Map<String, Value>) -> Self {
        Self(members)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, QueryError> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => {
                let reason = format!("Invalid boolean value: {}", Plain(&other));
                Err(QueryError::option("invalid_boolean", reason))
            }
        }
    }

    fn count(&mut self, name: &str, default: u64) -> Result<u64, QueryError> {
        match self.take(name) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| {
                let value = Plain(&value);
                let reason = format!("{value} is not an integer greater than or equal to zero");
                QueryError::option("invalid_non_neg_integer", reason)
            }),
        }
    }

    pub(super) fn positive(&mut self, name: &str, default: u64) -> Result<u64, QueryError> {
        match self.take(name) {
            None => Ok(default),
            Some(value) => value.as_u64().filter(|count| *count > 0).ok_or_else(|| {
                let reason = format!("{} is not an integer greater than zero", Plain(&value));
                QueryError::option("invalid_pos_integer", reason)
            }),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, QueryError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                let reason = format!("Invalid string: {}", Plain(&other));
                Err(QueryError::option("invalid_string", reason))
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), QueryError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(QueryError::InvalidKey(name)),
        }
    }
}

pub(super) fn selector(value: &Value) -> Result<Selector, QueryError> {
    if let Value::Object(selector) = value {
        return Selector::parse(selector);
    }
    let reason = format!("Selector must be a JSON object, not: {}", Plain(value));
    Err(QueryError::option("invalid_selector_json", reason))
}

impl Query {
    /// Reads a request.
    ///
    /// # Errors
    /// The error that CouchDB would give.
    pub fn parse(body: &[u8]) -> Result<Self, QueryError> {
        let mut members = Members::parse(body)?;
        let wanted = members
            .take("selector")
            .ok_or(QueryError::MissingKey("selector"))?;
        let selector = selector(&wanted)?;
        size::check_planning(planner::steps(selector.normal()))?;
        let use_index = use_index(members.take("use_index"))?;
        let bookmark = match members.take("bookmark") {
            None | Some(Value::Null) => None,
            Some(Value::String(bookmark)) if bookmark.is_empty() => None,
            Some(Value::String(bookmark)) => Some(bookmark),
            Some(other) => return Err(QueryError::InvalidBookmark(other)),
        };
        let limit = members.count("limit", DEFAULT_LIMIT)?;
        let skip = members.count("skip", 0)?;
        let sort = members.take("sort").map(|sort| Sort::parse(&sort));
        let sort = sort.transpose()?.unwrap_or_default();
        let fields = fields(members.take("fields"))?;
        let paths = fields.iter().map(|field| Path::parse(field));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        size::check_shown(paths.iter().map(|path| path.names().len()).sum())?;
        let unheeded = unheeded(&mut members)?;
        let query = Self {
            selector,
            use_index,
            bookmark,
            limit,
            skip,
            sort,
            fields,
            shown: Fields::new(&paths),
            unheeded,
            execution_stats: members.flag("execution_stats", false)?,
            allow_fallback: members.flag("allow_fallback", true)?,
        };
        members.finish()?;
        Ok(query)
    }

    /// The options as `_explain` shows them.
    pub(super) fn options(&self) -> Value {
        let use_index: Vec<&str> = match &self.use_index {
            None => Vec::new(),
            Some((ddoc, None)) => vec![ddoc],
            Some((ddoc, Some(name))) => vec![ddoc, name],
        };
        let mut options = json!({
            "use_index": use_index,
            "bookmark": self.bookmark.as_deref().unwrap_or("nil"),
            "limit": self.limit,
            "skip": self.skip,
            "sort": Value::Object(self.sort.specs().collect()),
            "fields": self.fields,
            "partition": "",
            "execution_stats": self.execution_stats,
            "allow_fallback": self.allow_fallback,
        });
        if let Some(options) = options.as_object_mut() {
            options.extend(self.unheeded.clone());
        }
        options
    }
}

/// Options that change nothing, because every answer comes from one snapshot. They are checked nevertheless.
fn unheeded(members: &mut Members) -> Result<Map<String, Value>, QueryError> {
    // Only partitioned databases have partitions, and there are none here.
    if let Some(partition) = members.text("partition")?
        && !partition.is_empty()
    {
        return Err(QueryError::option(
            "bad_request",
            "database is not partitioned".to_owned(),
        ));
    }
    let r = members.positive("r", 1)?;
    let conflicts = members.flag("conflicts", false)?;
    let is_stale = match members.take("stale") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::String(text)) if text == "false" => false,
        Some(Value::String(text)) if text == "ok" => true,
        Some(other) => {
            let reason = format!("Invalid value for stale: {}", Plain(&other));
            return Err(QueryError::option("invalid_ok_or_false_value", reason));
        }
    };
    let update = members.flag("update", true)? && !is_stale;
    let stable = members.flag("stable", false)? || is_stale;
    let options = [
        ("r", Value::from(r)),
        ("conflicts", conflicts.into()),
        ("stale", is_stale.into()),
        ("update", update.into()),
        ("stable", stable.into()),
    ];
    let options = options.into_iter();
    Ok(options
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

fn fields(value: Option<Value>) -> Result<Vec<String>, QueryError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let Value::Array(fields) = value else {
        let reason = format!("Fields must be an array of strings, not: {}", Plain(&value));
        return Err(QueryError::option("invalid_fields", reason));
    };
    let fields = fields.into_iter().map(|field| match field {
        Value::String(field) => Ok(field),
        other => {
            let reason = format!("Invalid JSON for field spec: {}", Plain(&other));
            Err(QueryError::option("invalid_field", reason))
        }
    });
    fields.collect()
}

fn use_index(value: Option<Value>) -> Result<Option<(String, Option<String>)>, QueryError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let bare = |ddoc: &str| ddoc.strip_prefix("_design/").unwrap_or(ddoc).to_owned();
    let parts: Option<Vec<&str>> = match &value {
        Value::Null => Some(Vec::new()),
        // Only a list can name an index with a slash in its name.
        Value::String(text) => {
            let text = text.strip_prefix("_design/").unwrap_or(text);
            Some(text.split('/').collect())
        }
        Value::Array(parts) => parts.iter().map(Value::as_str).collect(),
        _ => None,
    };
    match parts.as_deref() {
        Some([]) => Ok(None),
        Some([ddoc]) => Ok(Some((bare(ddoc), None))),
        Some([ddoc, name]) => Ok(Some((bare(ddoc), Some((*name).to_owned())))),
        _ => {
            let reason = format!("Invalid index name: {}", Plain(&value));
            Err(QueryError::option("invalid_index_name", reason))
        }
    }
}
