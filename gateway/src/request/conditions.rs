//! Entity tags, and the conditions of a request: `If-Match`, `If-None-Match` (RFC 9110).

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use quire_ledger::Height;
use serde::Serialize;

use super::grammar::{self, trim};
use crate::problem::Problem;

/// The tag of a version, such as `"12.0"`. It is strong, because values come back byte for byte.
pub(crate) fn etag(version: Height) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Tags of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`.
    Any,
    /// A list, in which weak tags are marked.
    List(Vec<Tag>),
}

/// One tag of a list. Tags that are not versions cannot match and are dropped when the list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    version: Height,
    weak: bool,
}

impl Tags {
    /// The tags of the header `name`; `None` if it is missing. An empty list is refused: it was meant to
    /// demand something.
    fn parse(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let lines = headers.get_all(name).iter().map(grammar::text);
        let lines: Vec<_> = lines.collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let bad = || Problem::invalid_argument(format!("{name} is not a list of entity tags."));
        let elements = lines.iter().map(|line| elements(line));
        let elements: Option<Vec<_>> = elements.collect();
        let elements = elements.ok_or_else(bad)?.concat();
        match elements.as_slice() {
            [] => Err(bad()),
            ["*"] => Ok(Some(Self::Any)),
            elements if elements.contains(&"*") => Err(bad()),
            elements => {
                let tags = elements.iter().filter_map(|element| Tag::parse(element));
                Ok(Some(Self::List(tags.collect())))
            }
        }
    }

    /// The weak comparison, for `If-None-Match`.
    fn matches_weakly(&self, version: Height) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => list.iter().any(|tag| tag.version == version),
        }
    }

    /// The strong comparison, for `If-Match`: weak tags never match.
    fn matches_strongly(&self, version: Height) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => list.iter().any(|tag| tag.version == version && !tag.weak),
        }
    }
}

impl Tag {
    /// Reads one of [`elements`].
    fn parse(element: &str) -> Option<Self> {
        let weak = element.strip_prefix("W/");
        let quoted = weak.unwrap_or(element).strip_prefix('"')?;
        Some(Self {
            version: quoted.strip_suffix('"')?.parse().ok()?,
            weak: weak.is_some(),
        })
    }
}

/// The elements of `"a", W/"b"`, or of `*`, as they are written; `None` if the text is something else. Empty
/// elements are ignored. A tag ends at its next quote: it has no escapes.
fn elements(list: &str) -> Option<Vec<&str>> {
    let mut elements = Vec::new();
    let mut rest = trim(list);
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Some(elements);
        }
        let end = if rest.starts_with('*') {
            1
        } else {
            let opened = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
            let closing = opened.find('"')?;
            let is_tag = |letter: char| letter > ' ' && letter != '\x7f';
            opened.get(..closing)?.chars().all(is_tag).then_some(())?;
            rest.len() - opened.len() + closing + 1
        };
        let (element, behind) = rest.split_at(end);
        elements.push(element);
        rest = trim(behind);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// A list of tags without empty elements and blanks; `None` if it is not a list.
pub(crate) fn plainly(list: &[u8]) -> Option<Vec<u8>> {
    let elements = elements(std::str::from_utf8(list).ok()?)?;
    Some(elements.join(", ").into_bytes())
}

/// The result of checking a read's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadVerdict {
    /// The answer is the value.
    Send,
    /// The caller has the value: 304.
    NotModified,
    /// The condition failed: 412.
    Failed,
}

/// Judges the conditions of a read of something that exists.
pub(crate) fn judge_read(headers: &HeaderMap, version: Height) -> Result<ReadVerdict, Problem> {
    let if_match = Tags::parse(headers, &header::IF_MATCH)?;
    if if_match.is_some_and(|tags| !tags.matches_strongly(version)) {
        return Ok(ReadVerdict::Failed);
    }
    let if_none_match = Tags::parse(headers, &header::IF_NONE_MATCH)?;
    if if_none_match.is_some_and(|tags| tags.matches_weakly(version)) {
        return Ok(ReadVerdict::NotModified);
    }
    Ok(ReadVerdict::Send)
}

/// The conditions of a write, as the chaincode's argument.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum WriteConditions {
    /// The key must have one of these versions.
    IfMatch(Versions),
    /// `*`: the key must not exist.
    IfNoneMatch(&'static str),
}

/// The versions of [`WriteConditions::IfMatch`].
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Versions {
    /// `*`: the key must exist, in any version.
    Any(&'static str),
    /// The key must have one of these.
    List(Vec<String>),
}

impl WriteConditions {
    /// Reads the headers of a write.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let if_match = Tags::parse(headers, &header::IF_MATCH)?;
        let if_none_match = Tags::parse(headers, &header::IF_NONE_MATCH)?;
        match (if_match, if_none_match) {
            (None, None) => Ok(None),
            (Some(Tags::Any), None) => Ok(Some(Self::IfMatch(Versions::Any("*")))),
            (Some(Tags::List(tags)), None) => {
                let strong = tags.iter().filter(|tag| !tag.weak);
                let versions = strong.map(|tag| tag.version.to_string()).collect();
                Ok(Some(Self::IfMatch(Versions::List(versions))))
            }
            (None, Some(Tags::Any)) => Ok(Some(Self::IfNoneMatch("*"))),
            (None, Some(Tags::List(_))) => Err(Problem::invalid_argument(
                "If-None-Match of a write can only be *.",
            )),
            (Some(_), Some(_)) => Err(Problem::invalid_argument(
                "If-Match and If-None-Match exclude each other.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn conditions_of_writes_become_the_argument_of_the_chaincode() {
        type Row<'a> = (&'a [(HeaderName, &'static str)], Option<&'a str>);
        let (im, inm) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let rows: [Row<'_>; 24] = [
            (&[], Some("null")),
            (&[(im.clone(), "\"12.0\"")], Some(r#"{"ifMatch":["12.0"]}"#)),
            (
                &[(im.clone(), "\"12.0\" , \"3.4\"")],
                Some(r#"{"ifMatch":["12.0","3.4"]}"#),
            ),
            (
                &[(im.clone(), "\"1.0\""), (im.clone(), "\"2.0\"")],
                Some(r#"{"ifMatch":["1.0","2.0"]}"#),
            ),
            (&[(im.clone(), "*")], Some(r#"{"ifMatch":"*"}"#)),
            (
                &[(im.clone(), "W/\"12.0\", \"x\"")],
                Some(r#"{"ifMatch":[]}"#),
            ),
            (&[(inm.clone(), "*")], Some(r#"{"ifNoneMatch":"*"}"#)),
            (&[(inm.clone(), "\"12.0\"")], None),
            (&[(im.clone(), "*"), (inm.clone(), "*")], None),
            (&[(im.clone(), "12.0")], None),
            (&[(im.clone(), "\"12.0")], None),
            (&[(im.clone(), "")], None),
            (&[(im.clone(), " , ,")], None),
            (&[(im.clone(), "\"1.0\",")], Some(r#"{"ifMatch":["1.0"]}"#)),
            (
                &[(im.clone(), ", ,\"1.0\" ,,\t\"2.0\",")],
                Some(r#"{"ifMatch":["1.0","2.0"]}"#),
            ),
            (
                &[(im.clone(), ","), (im.clone(), "\"2.0\"")],
                Some(r#"{"ifMatch":["2.0"]}"#),
            ),
            (
                &[(im.clone(), r#""a,b\", "1.0""#)],
                Some(r#"{"ifMatch":["1.0"]}"#),
            ),
            (&[(im.clone(), "\"1.0\" \"2.0\"")], None),
            (&[(im.clone(), "\"1 0\"")], None),
            (&[(im.clone(), "w/\"1.0\"")], None),
            (&[(im.clone(), ", *,")], Some(r#"{"ifMatch":"*"}"#)),
            (&[(im.clone(), "\"1.0\", *")], None),
            (&[(im.clone(), "*, \"1.0\"")], None),
            (&[(inm.clone(), "*,")], Some(r#"{"ifNoneMatch":"*"}"#)),
        ];
        for (rows, expected) in rows {
            let parsed = WriteConditions::parse(&headers(rows)).ok();
            let parsed = parsed.map(|conditions| serde_json::to_string(&conditions).unwrap());
            assert_eq!(parsed.as_deref(), expected, "{rows:?}");
        }
    }

    #[test]
    fn a_tag_may_hold_bytes_that_are_no_text_and_matches_nothing_then() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(b"\"\xe9\", \"1.0\"").unwrap();
        headers.insert(header::IF_MATCH, value);
        let verdict = judge_read(&headers, Height { block: 1, tx: 0 });
        assert_eq!(verdict.unwrap(), ReadVerdict::Send);
    }

    #[test]
    fn reads_compare_weakly_for_304_and_strongly_for_412() {
        let (im, inm) = (header::IF_MATCH, header::IF_NONE_MATCH);
        for (name, value, expected) in [
            (&inm, "\"12.0\"", ReadVerdict::NotModified),
            (&inm, "W/\"12.0\"", ReadVerdict::NotModified),
            (&inm, "*", ReadVerdict::NotModified),
            (&inm, "\"12.1\", \"x\"", ReadVerdict::Send),
            (&im, "\"12.0\"", ReadVerdict::Send),
            (&im, "*", ReadVerdict::Send),
            (&im, "W/\"12.0\"", ReadVerdict::Failed),
            (&im, "\"12.1\"", ReadVerdict::Failed),
        ] {
            let headers = headers(&[(name.clone(), value)]);
            let verdict = judge_read(&headers, Height { block: 12, tx: 0 });
            assert_eq!(verdict.unwrap(), expected, "{name}: {value}");
        }
    }
}
