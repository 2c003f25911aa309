//! Request bodies: bounds their bytes and time, checks their type, and reads their top-level members.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, request::Parts};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::grammar::{elements, name_and_value, pieces, text};
use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::memory::Kind;
use crate::problem::{Problem, ProblemKind};

/// The type of every body but a merge patch.
pub(crate) const JSON: &str = "application/json";
/// The type of a batch, which has one JSON text on each line.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// The type of the body of `PATCH`.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// A body holds its size this many times in the budget until the work on it is over: for itself, and for the
/// envelope made of it, which has both arguments and written values.
pub(crate) const WORK: usize = 3;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// The content coding that changes nothing.
const IDENTITY: &str = "identity";
/// Names of the only character set; ASCII is a part of it.
const UTF8: [&str; 3] = ["utf-8", "utf8", "us-ascii"];

/// How much of the body of a refused request is still read.
const DISCARDED_BYTES: usize = 256 << 10;
/// How long it is read.
const DISCARD: Duration = Duration::from_secs(1);

/// Reads a JSON body. `expected` is the one media type that is understood here.
pub(crate) async fn read(
    parts: &Parts,
    body: Body,
    expected: &'static str,
    gateway: &Gateway,
) -> Result<Bytes, Problem> {
    check_type(&parts.headers, expected)?;
    let body = read_any(parts, body, gateway).await?;
    check_caller(parts, gateway)?;
    Ok(without_mark(body))
}

/// The text without the byte order mark that some editors and shells put before it. The mark belongs to the
/// storage of a text, and not to JSON (RFC 8259, section 8.1).
pub(crate) fn without_mark(text: Bytes) -> Bytes {
    if text.starts_with(BYTE_ORDER_MARK) {
        return text.slice(BYTE_ORDER_MARK.len()..);
    }
    text
}

/// Refuses a body that must be unpacked first: packed, it would not be JSON, or would be other JSON.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter().map(text);
    for codings in codings {
        if elements(&codings).any(|coding| !coding.eq_ignore_ascii_case(IDENTITY)) {
            let detail = "The body must not have a Content-Encoding.";
            let problem = Problem::new(ProblemKind::UnsupportedMediaType, detail);
            let none = HeaderValue::from_static(IDENTITY);
            return Err(problem.with_header(header::ACCEPT_ENCODING, none));
        }
    }
    Ok(())
}

/// Refuses a body of another type than `expected`, or in another coding than its own bytes.
pub(crate) fn check_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Problem> {
    check_coding(headers)?;
    if content_type(headers).as_deref() == Some(expected) {
        return Ok(());
    }
    let detail = format!("The body must be of type {expected}.");
    let problem = Problem::new(ProblemKind::UnsupportedMediaType, detail);
    let header = if expected == MERGE_PATCH {
        header::HeaderName::from_static("accept-patch")
    } else {
        header::ACCEPT
    };
    Err(problem.with_header(header, HeaderValue::from_static(expected)))
}

/// Makes sure that there is no body, or that it says nothing: clients that send JSON with every request send
/// `{}` or `null` here. Any other body was meant to do something.
pub(crate) async fn read_none(parts: &Parts, body: Body, gateway: &Gateway) -> Result<(), Problem> {
    let body = without_mark(read_any(parts, body, gateway).await?);
    check_caller(parts, gateway)?;
    if body.is_empty() {
        return Ok(());
    }
    check_coding(&parts.headers)?;
    let said = body.trim_ascii();
    let object = said
        .strip_prefix(b"{")
        .and_then(|said| said.strip_suffix(b"}"));
    let is_empty_object = object.is_some_and(|inside| inside.trim_ascii().is_empty());
    if said.is_empty() || said == b"null" || is_empty_object {
        return Ok(());
    }
    let detail = "This request takes no body, or an empty object as its body.";
    Err(Problem::invalid_argument(detail))
}

/// A body may come slowly: a caller whose token ended meanwhile is refused.
fn check_caller(parts: &Parts, gateway: &Gateway) -> Result<(), Problem> {
    // If no credential is asked for, there is no caller.
    let caller = parts.extensions.get::<Caller>();
    caller.map_or(Ok(()), |caller| caller.check_still(gateway))
}

/// Reads what a refused request still sends, within bounds: a client that is cut off while it writes may
/// never see the answer.
pub(crate) async fn discard(mut body: Body) {
    let taken = async {
        let mut left = DISCARDED_BYTES;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // A slow client gets its answer anyway.
    drop(tokio::time::timeout(DISCARD, taken).await);
}

async fn read_any(parts: &Parts, body: Body, gateway: &Gateway) -> Result<Bytes, Problem> {
    let limits = &gateway.limits;
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(too_large(limits));
    }
    let length = length.and_then(|length| usize::try_from(length).ok());
    let collected = collect(body, length.unwrap_or(limits.body_bytes), gateway);
    match tokio::time::timeout(limits.body_timeout, collected).await {
        Ok(bytes) => bytes,
        Err(_) => Err(Problem::new(
            ProblemKind::RequestTimeout,
            "The body did not arrive in time.",
        )),
    }
}

/// The whole body, which may have at most `at_most` bytes. It takes its share of the budget as it comes, so
/// that a length that is only promised takes nothing from others. Once it is complete, the bytes for the work
/// on it are added.
async fn collect(mut body: Body, at_most: usize, gateway: &Gateway) -> Result<Bytes, Problem> {
    let limits = &gateway.limits;
    let mut share = gateway.memory.share(Kind::Bodies);
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::invalid_argument("The body broke off."))?;
        // Trailers are ignored here.
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        let size = first.len() + all.len() + chunk.len();
        if size > limits.body_bytes {
            return Err(too_large(limits));
        }
        if first.is_empty() && all.is_empty() {
            // Most bodies are one chunk, which needs no copy.
            share.set(size).map_err(|full| gateway.full(full))?;
            first = chunk;
            continue;
        }
        if size > all.capacity() {
            let capacity = (2 * all.capacity()).min(at_most).max(size);
            let taken = share.set(capacity);
            taken.map_err(|full| gateway.full(full))?;
            all.reserve_exact(capacity - all.len());
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&chunk);
    }
    let whole = if all.is_empty() { first } else { all.into() };
    let held = share.set(whole.len() * WORK);
    held.map_err(|full| gateway.full(full))?;
    Ok(share.hold(whole))
}

fn too_large(limits: &Limits) -> Problem {
    let detail = format!("The body exceeds {} bytes.", limits.body_bytes);
    Problem::new(ProblemKind::TooLarge, detail)
}

/// The media type in lower case without parameters; `None` if it is missing, occurs twice, or names another
/// character set than UTF-8.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = text(values.next()?);
    // If there are two, a proxy may read another one than is read here.
    if values.next().is_some() {
        return None;
    }
    let mut parts = pieces(&value, ';');
    let essence = parts.next()?.to_ascii_lowercase();
    let is_utf8 = parts.map(name_and_value).all(|(name, value)| {
        let is_one_of = |name: &&str| value.eq_ignore_ascii_case(name);
        !name.eq_ignore_ascii_case("charset") || UTF8.iter().any(is_one_of)
    });
    is_utf8.then_some(essence)
}

/// The top-level members of a JSON object, each with the text of its value.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Takes an object apart. This checks only that the values are JSON.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body)
            .map_err(|_| Problem::new(ProblemKind::InvalidJson, "The body is not UTF-8."))?;
        let members: Self = serde_json::from_str(text).map_err(|error| json_problem(&error))?;
        let names = members.0.iter().map(|(name, _)| name);
        for (position, name) in names.enumerate() {
            if members
                .0
                .iter()
                .take(position)
                .any(|(known, _)| known == name)
            {
                let detail = format!("The member {name:?} stands twice.");
                return Err(Problem::new(ProblemKind::InvalidJson, detail));
            }
        }
        Ok(members)
    }

    /// The text of a member's value.
    pub(crate) fn peek(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Takes a member out.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let position = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(position).1)
    }

    /// Takes a member out and reads it.
    pub(crate) fn take_as<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.take(name) else {
            return Ok(None);
        };
        match serde_json::from_str(raw.get()) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_data() => Err(Problem::invalid_argument(format!(
                "The member {name} is of the wrong type."
            ))),
            Err(error) => Err(json_problem(&error)),
        }
    }

    /// The text of the object without one of its members, whose value is given. The comma before the member
    /// is removed too, or, for the first member, the comma after it.
    pub(crate) fn without(object: &Bytes, value: &RawValue) -> Bytes {
        let value = object.slice_ref(value.get().as_bytes());
        let start = value.as_ptr().addr() - object.as_ptr().addr();
        let (before, after) = object.split_at(start);
        let (_, after) = after.split_at(value.len());
        // This goes back over the colon and the name, which has no quote inside.
        let up_to_quote = |text: &[u8]| text.iter().rposition(|byte| *byte == b'"').unwrap_or(0);
        let (before, _) = before.split_at(up_to_quote(before));
        let (before, _) = before.split_at(up_to_quote(before));
        let before = before.trim_ascii_end();
        let (before, after) = if let Some(before) = before.strip_suffix(b",") {
            (before, after)
        } else {
            let next = after.trim_ascii_start().strip_prefix(b",");
            (before, next.map_or(after, <[u8]>::trim_ascii_start))
        };
        [before, after].concat().into()
    }

    /// Makes sure that no member is left: a typo must not disable a precondition. `known` are the members
    /// that may be there.
    pub(crate) fn finish(self, known: &[&str]) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let known = known.join(", ");
                let detail =
                    format!("The member {name:?} does not belong here; there can be {known}.");
                Err(Problem::invalid_argument(detail))
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    // No request here has nearly as many members, and the search for repetitions is
                    // quadratic.
                    if members.len() == 64 {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        break;
                    }
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(ObjectVisitor).map(Members)
    }
}

/// What is wrong with a JSON text.
fn json_problem(error: &serde_json::Error) -> Problem {
    let kind = if error.is_data() {
        ProblemKind::InvalidArgument
    } else {
        ProblemKind::InvalidJson
    };
    Problem::new(kind, format!("The body cannot be read: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_single_known_and_kept_as_text() {
        let mut members = Members::parse(br#" {"a": 1.50, "b":"x"} "#).unwrap();
        assert_eq!(members.take("a").unwrap().get(), "1.50");
        assert!(members.take("a").is_none());
        assert_eq!(members.take_as::<String>("b").unwrap().unwrap(), "x");
        members.finish(&["a", "b"]).unwrap();

        let rows: [(&[u8], ProblemKind); 7] = [
            (br#"{"a":1,"a":2}"#, ProblemKind::InvalidJson),
            (br#"{"a":1"#, ProblemKind::InvalidJson),
            (br#"{"a":1} x"#, ProblemKind::InvalidJson),
            (b"", ProblemKind::InvalidJson),
            (b"\xff", ProblemKind::InvalidJson),
            (b"[]", ProblemKind::InvalidArgument),
            (b"null", ProblemKind::InvalidArgument),
        ];
        for (body, kind) in rows {
            let problem = Members::parse(body).unwrap_err();
            assert_eq!(problem.kind(), kind, "{}", String::from_utf8_lossy(body));
        }
        let left = Members::parse(br#"{"ifVersoin":1}"#).unwrap();
        let problem = left.finish(&["ifVersion", "key"]).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InvalidArgument);
        let document = String::from_utf8(problem.document("1")).unwrap();
        assert!(
            document.contains("there can be ifVersion, key."),
            "{document}"
        );
        let mut wrong = Members::parse(br#"{"a":1}"#).unwrap();
        let problem = wrong.take_as::<String>("a").unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InvalidArgument);
    }

    #[test]
    fn a_member_is_cut_out_with_its_comma_and_the_rest_keeps_its_bytes() {
        for (object, rest) in [
            (r#"{"k":"x","a":[1, 2]}"#, r#"{"a":[1, 2]}"#),
            (r#"{"k": "x", "a": 1}"#, r#"{"a": 1}"#),
            (r#"{"a": 1, "k": "x"}"#, r#"{"a": 1}"#),
            (r#"{"a": 1, "k" : "x", "b": 2}"#, r#"{"a": 1, "b": 2}"#),
            (r#"{ "\u006b": "x" }"#, "{ }"),
        ] {
            let object = Bytes::from_static(object.as_bytes());
            let value = Members::parse(&object).unwrap().take("k").unwrap();
            assert_eq!(Members::without(&object, value), rest.as_bytes());
        }
    }

    #[test]
    fn only_utf8_media_types_count() {
        for (value, expected) in [
            ("application/json", Some(JSON)),
            ("Application/JSON ; charset=UTF-8", Some(JSON)),
            ("application/json; charset=\"utf-8\"; x=y", Some(JSON)),
            ("application/json; charset=utf8", Some(JSON)),
            ("application/json;charset=US-ASCII;", Some(JSON)),
            ("application/json; ; charset=utf-8", Some(JSON)),
            ("application/json; x=\"; charset=latin1\"", Some(JSON)),
            (r#"application/json; charset="utf\-8""#, Some(JSON)),
            ("application/json; charset=latin1", None),
            ("application/json; charset=\"latin1\"", None),
            ("application/json; charset=", None),
            ("application/json; x=\"\"; charset=utf-16", None),
            ("text/plain", Some("text/plain")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(content_type(&headers).as_deref(), expected, "{value}");
        }
        assert_eq!(content_type(&HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        assert_eq!(content_type(&headers), None);
    }
}
