//! Reads names out of the request's target, as the client sent it.
//!
//! The framework's own extractor answers bad encodings in its own words, so segments are taken
//! from the raw path here. `%2F` is part of a key, `+` is a plus sign.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use quire_peer::Channel;

use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};

/// Position of the channel in `/v1/channels/{channel}/...`, counted after the first `/`.
const CHANNEL: usize = 2;
/// Position of the item after the channel's resource, as in `.../blocks/{number}`.
const ITEM: usize = 4;
/// Position of the key in `.../state/{namespace}/{key}`.
const KEY: usize = 5;

/// Position of the design document in `.../state/{namespace}/_index/{ddoc}/json/{name}`.
const DDOC: usize = 6;
/// The prefix of the names of design documents.
const DESIGN: &str = "_design";

/// The empty namespace as it is written in paths.
const EMPTY_NAMESPACE: &str = "~";

/// A namespace and a key of a channel.
#[derive(Debug)]
pub(crate) struct KeyPath {
    pub(crate) channel: Channel,
    pub(crate) namespace: Arc<str>,
    pub(crate) key: Arc<str>,
}

/// The channel that the path names.
pub(crate) fn channel(gateway: &Gateway, uri: &Uri) -> Result<Channel, Problem> {
    gateway.channel(&channel_name(uri)?)
}

/// The name of the channel, even if it does not exist.
pub(crate) fn channel_name(uri: &Uri) -> Result<Cow<'_, str>, Problem> {
    segment(uri, CHANNEL)
}

/// The item after the channel's resource, as in `.../blocks/{number}`.
pub(crate) fn item(uri: &Uri) -> Result<String, Problem> {
    Ok(segment(uri, ITEM)?.into_owned())
}

/// The namespace that the path names, for reading: `~` is the empty one.
pub(crate) fn namespace(uri: &Uri) -> Result<Arc<str>, Problem> {
    Ok(namespace_of(&segment(uri, ITEM)?))
}

/// The namespace that a reader means: `~` is the empty one.
pub(crate) fn namespace_of(text: &str) -> Arc<str> {
    if text == EMPTY_NAMESPACE {
        return "".into();
    }
    text.into()
}

/// Namespace and key for reading: any names that a channel could hold.
pub(crate) fn key_to_read(gateway: &Gateway, uri: &Uri) -> Result<KeyPath, Problem> {
    let key = segment(uri, KEY)?;
    if key.is_empty() {
        return Err(Problem::new(ProblemKind::InvalidName, "The key is empty."));
    }
    Ok(KeyPath {
        channel: channel(gateway, uri)?,
        namespace: namespace(uri)?,
        key: key.into(),
    })
}

/// Namespace and key for writing; the chaincode judges the names.
pub(crate) fn key_to_write(gateway: &Gateway, uri: &Uri) -> Result<KeyPath, Problem> {
    Ok(KeyPath {
        channel: channel(gateway, uri)?,
        namespace: segment(uri, ITEM)?.into(),
        key: segment(uri, KEY)?.into(),
    })
}

/// Design document, without `_design/`, and name of a query index.
pub(crate) fn index(uri: &Uri) -> Result<(String, String), Problem> {
    let ddoc = segment(uri, DDOC)?;
    if ddoc == DESIGN {
        let ddoc = segment(uri, DDOC + 1)?.into_owned();
        return Ok((ddoc, segment(uri, DDOC + 3)?.into_owned()));
    }
    let ddoc = ddoc.strip_prefix("_design/").unwrap_or(&ddoc).to_owned();
    Ok((ddoc, segment(uri, DDOC + 2)?.into_owned()))
}

/// The whole path, decoded. A request digest covers it.
pub(crate) fn decoded(uri: &Uri) -> Result<String, Problem> {
    Ok(decode(uri.path())?.into_owned())
}

fn segment(uri: &Uri, position: usize) -> Result<Cow<'_, str>, Problem> {
    // The path starts with `/`, before which there is no segment.
    decode(uri.path().split('/').nth(position + 1).unwrap_or_default())
}

/// Percent-decodes strictly.
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    let mut escapes = text.split('%');
    escapes.next();
    let well_formed = |escape: &str| {
        let mut digits = escape.bytes();
        let mut is_digit = || digits.next().is_some_and(|digit| digit.is_ascii_hexdigit());
        is_digit() && is_digit()
    };
    if !escapes.all(well_formed) {
        let detail = "The target has a % without two hexadecimal digits.";
        return Err(Problem::new(ProblemKind::InvalidName, detail));
    }
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::new(ProblemKind::InvalidName, "The target is not UTF-8."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_strictly_and_plus_is_a_plus() {
        let rows: [(&str, Option<&str>); 12] = [
            ("plain", Some("plain")),
            ("a%2Fb", Some("a/b")),
            ("a%2fb", Some("a/b")),
            ("a+b", Some("a+b")),
            ("%00x", Some("\0x")),
            ("%C3%A9", Some("é")),
            ("%2541", Some("%41")),
            ("%zz", None),
            ("%4", None),
            ("%", None),
            ("%FF", None),
            ("%C3", None),
        ];
        for (text, expected) in rows {
            match (decode(text), expected) {
                (Ok(decoded), Some(expected)) => assert_eq!(decoded, expected, "{text}"),
                (Err(problem), None) => {
                    assert_eq!(problem.kind(), ProblemKind::InvalidName, "{text}");
                }
                (decoded, _) => panic!("{text}: {decoded:?}"),
            }
        }
    }

    #[test]
    fn segments_are_counted_behind_the_first_slash() {
        let uri = Uri::from_static("/v1/channels/main/state/~/a%2Fb?x=1");
        assert_eq!(segment(&uri, CHANNEL).unwrap(), "main");
        assert_eq!(&*namespace(&uri).unwrap(), "");
        assert_eq!(segment(&uri, KEY).unwrap(), "a/b");
        assert_eq!(segment(&uri, 9).unwrap(), "");
        for target in [
            "/v1/channels/main/state/ns/_index/d%2Fx/json/n",
            "/v1/channels/main/state/ns/_index/_design%2Fd%2Fx/json/n",
            "/v1/channels/main/state/ns/_index/_design/d%2Fx/json/n",
        ] {
            let expected = ("d/x".to_owned(), "n".to_owned());
            assert_eq!(index(&Uri::from_static(target)).unwrap(), expected);
        }
    }
}
