//! What an `Idempotency-Key` fixes: nonces, and the record in each attempt.
//!
//! ```text
//! nonce(key, attempt)  = first 24 bytes of sha256("quire/idempotency/v1" ‖ 00 ‖ key ‖ 00 ‖ attempt: u32 BE)
//! transaction id       = hex(sha256(nonce ‖ creator))
//!
//! digest = sha256 of eight fields, each as  length: u64 BE ‖ bytes
//!   1 method           as sent, `PUT`
//!   2 path             percent-decoded, `/v1/channels/main/state/orders/a/b`
//!   3 query            without `?`, and without a `&` that separates nothing; empty without one
//!   4 content type     media type in lower case without parameters; empty without one, or a body
//!   5 If-Match         the elements of the list joined by `, `; empty without one
//!   6 If-None-Match    likewise
//!   7 attempts allowed u32 BE
//!   8 body             of `PUT` as sent, which is how it is stored; otherwise without blanks and line
//!                      ends around the JSON text, and empty if it says nothing
//!
//! Records made before that rule took fields 3 to 6 and 8 as they were sent, the line end of a
//! batch's line included. A request is known by either digest, and by that of a line end which it lacks.
//!
//! ChaincodeInput.decorations["quire"] = Record { 1 version = 1, 2 digest, 3 attempt, 4 allowed }
//! ```
//!
//! None of this is stored elsewhere: the same identity, channel and key always name the same transactions,
//! and the blocks hold their outcomes.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use quire_peer::DECORATION;
use quire_wire::Message;
use quire_wire::hash::{Hash, sha256};
use quire_wire::transaction::Opened;
use quire_wire::tx_id::NONCE_BYTES;

use crate::problem::Problem;
use crate::request::conditions;

/// The domain of the nonces.
const DOMAIN: &[u8] = b"quire/idempotency/v1";
/// Version of [`Record`].
const RECORD_VERSION: u32 = 1;
/// The attempts of a caller who names no number.
pub const DEFAULT_ATTEMPTS: u32 = 5;
/// Most attempts of a key.
pub const MAX_ATTEMPTS: u32 = 10;
/// Longest key.
const MAX_KEY_BYTES: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The name that a caller gave to a write: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads a key; `"k"` and `k` are the same. Inside quotes a backslash escapes a quote or
    /// another backslash.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if it is not a key.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::invalid_argument("The idempotency key is not 1 to 255 visible ASCII bytes.")
        };
        let key = match text.strip_prefix('"') {
            None => text.to_owned(),
            Some(rest) => unquote(rest).ok_or_else(bad)?,
        };
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Ok(Self(key));
        }
        Err(bad())
    }

    /// The key of a request; `None` if the header is missing.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if it is not a key, or if there are two.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Problem::invalid_argument("There are two idempotency keys."));
        }
        Self::parse(value.to_str().unwrap_or_default()).map(Some)
    }

    /// The key without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nonce of an attempt; attempts count from 0.
    #[must_use]
    pub fn nonce(&self, attempt: u32) -> [u8; NONCE_BYTES] {
        let attempt = attempt.to_be_bytes();
        let digest = sha256([DOMAIN, &[0], self.0.as_bytes(), &[0], attempt.as_slice()]);
        let mut nonce = [0; NONCE_BYTES];
        for (to, from) in nonce.iter_mut().zip(digest) {
            *to = from;
        }
        nonce
    }
}

/// The inside of a quoted string whose opening quote is already removed.
fn unquote(text: &str) -> Option<String> {
    let mut key = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(key),
            '\\' => key.push(
                letters
                    .next()
                    .filter(|letter| matches!(letter, '"' | '\\'))?,
            ),
            letter => key.push(letter),
        }
    }
}

/// The parts by which two requests are the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, percent-decoded.
    pub path: String,
    /// The query.
    pub query: String,
    /// The media type without parameters, in lower case.
    pub content_type: String,
    /// `If-Match`.
    pub if_match: Vec<u8>,
    /// `If-None-Match`.
    pub if_none_match: Vec<u8>,
    /// The body.
    pub body: Bytes,
}

/// A request that a record is about: what was meant, and what was sent.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The request without parts of the transport: digests are made of it.
    meant: Request,
    /// The request in the form of older records, if that differs.
    sent: Option<Box<Request>>,
}

impl Recorded {
    /// Removes the parts of the transport from a request.
    #[must_use]
    pub fn new(sent: Request) -> Self {
        let plainly = |list: &Vec<u8>| conditions::plainly(list).unwrap_or_else(|| list.clone());
        let parameters = sent.query.split('&');
        let parameters: Vec<&str> = parameters.filter(|text| !text.is_empty()).collect();
        let body = if sent.method == Method::PUT {
            sent.body.clone()
        } else {
            sent.body.slice_ref(sent.body.trim_ascii())
        };
        let meant = Request {
            method: sent.method.clone(),
            path: sent.path.clone(),
            query: parameters.join("&"),
            content_type: if body.is_empty() {
                String::new()
            } else {
                sent.content_type.clone()
            },
            if_match: plainly(&sent.if_match),
            if_none_match: plainly(&sent.if_none_match),
            body,
        };
        Self {
            sent: (meant != sent).then(|| Box::new(sent)),
            meant,
        }
    }

    /// The digest for a record.
    #[must_use]
    pub fn digest(&self, allowed: u32) -> Hash {
        self.meant.digest(allowed)
    }

    /// Whether a record has this request's digest, by today's rule or as sent.
    #[must_use]
    pub fn has_digest(&self, digest: &[u8], allowed: u32) -> bool {
        let sent = self.sent.as_deref();
        let mut either = [Some(&self.meant), sent].into_iter().flatten();
        either.any(|request| request.digest(allowed) == digest)
            || self
                .with_line_ends()
                .any(|request| request.digest(allowed) == digest)
    }

    /// The forms of older records whose request came with a line end, which this request may lack.
    fn with_line_ends(&self) -> impl Iterator<Item = Request> {
        let has_line_end = self.meant.method != Method::PUT && !self.meant.body.is_empty();
        let ends: &[&[u8]] = if has_line_end {
            &[b"\r", b"\n", b"\r\n"]
        } else {
            &[]
        };
        ends.iter().map(|end| Request {
            body: [&self.meant.body, *end].concat().into(),
            ..self.meant.clone()
        })
    }
}

impl Request {
    /// The digest of this request with `allowed` attempts.
    #[must_use]
    pub fn digest(&self, allowed: u32) -> Hash {
        let allowed = allowed.to_be_bytes();
        let fields: [&[u8]; 8] = [
            self.method.as_str().as_bytes(),
            self.path.as_bytes(),
            self.query.as_bytes(),
            self.content_type.as_bytes(),
            &self.if_match,
            &self.if_none_match,
            &allowed,
            &self.body,
        ];
        let lengths = fields.map(|field| (field.len() as u64).to_be_bytes());
        let parts = lengths.iter().zip(fields);
        sha256(parts.flat_map(|(length, field)| [length.as_slice(), field]))
    }
}

/// The values of a header as one value, as they were sent.
pub(crate) fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    values.join(b", ".as_slice())
}

/// What an attempt remembers for those who retry.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    /// 1; other versions are not understood here.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// [`Request::digest`].
    #[prost(bytes = "bytes", tag = "2")]
    pub digest: Bytes,
    /// The number of this attempt, from 0.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// How many attempts the key has.
    #[prost(uint32, tag = "4")]
    pub allowed: u32,
}

impl Record {
    /// The record of an attempt.
    #[must_use]
    pub fn new(digest: Hash, attempt: u32, allowed: u32) -> Self {
        Self {
            version: RECORD_VERSION,
            digest: Bytes::copy_from_slice(&digest),
            attempt,
            allowed,
        }
    }

    /// The bytes for the proposal.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The record in an envelope. It is `None` if no record is understood: then the transaction was made
    /// without an idempotency key, or by a newer release.
    #[must_use]
    pub fn of_envelope(envelope: &Bytes) -> Option<Self> {
        let spec = Opened::read(envelope).ok()?.endorsed_call().ok()?.spec()?;
        let decorations = spec.input?.decorations;
        let record = Self::decode(decorations.get(DECORATION)?.as_slice()).ok()?;
        let understood = record.version == RECORD_VERSION
            && record.digest.len() == size_of::<Hash>()
            && (1..=MAX_ATTEMPTS).contains(&record.allowed);
        understood.then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_keys_are_the_same() {
        let longest = "k".repeat(255);
        let rows = [
            ("k", Some("k")),
            ("\"k\"", Some("k")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r"a\b", Some(r"a\b")),
            ("a\"b", Some("a\"b")),
            (&longest, Some(&longest)),
            ("", None),
            ("\"\"", None),
            ("\"k", None),
            ("\"", None),
            (r#""k\""#, None),
            (r#""\n""#, None),
            (r#""k"x"#, None),
            ("a b", None),
            ("\"a b\"", None),
            ("é", None),
        ];
        for (text, expected) in rows {
            let key = IdempotencyKey::parse(text).ok();
            assert_eq!(key.as_ref().map(IdempotencyKey::as_str), expected, "{text}");
        }
        assert!(IdempotencyKey::parse(&"k".repeat(256)).is_err());
    }

    /// The values were computed with Python's hashlib.
    #[test]
    fn nonces_are_those_of_the_contract() {
        for (key, attempt, nonce) in [
            (
                "order-1001",
                0,
                "41f1bb185bfed4e9224bd9a2c40012e1a1bee2230df2a0d1",
            ),
            (
                "order-1001",
                1,
                "4e79fd65b10ea1e2aec78cbbfce5fac90bfccc68f777674d",
            ),
            ("k", 9, "5c5665cccf223542ad9f40e4cbb28480b8d56fff1fa28e68"),
        ] {
            let key = IdempotencyKey::parse(key).unwrap();
            assert_eq!(hex::encode(key.nonce(attempt)), nonce);
        }
    }

    fn put() -> Request {
        Request {
            method: Method::PUT,
            path: "/v1/channels/main/state/orders/a/b".into(),
            query: String::new(),
            content_type: "application/json".into(),
            if_match: b"\"12.0\"".to_vec(),
            if_none_match: Vec::new(),
            body: Bytes::from_static(br#"{"total": 12.50}"#),
        }
    }

    /// The values were computed with Python's hashlib and struct.
    #[test]
    fn digests_are_those_of_the_contract() {
        let delete = Request {
            method: Method::DELETE,
            path: "/v1/channels/main/state/orders/x".into(),
            content_type: String::new(),
            if_match: Vec::new(),
            body: Bytes::new(),
            ..put()
        };
        for (request, allowed, digest) in [
            (
                put(),
                5,
                "36faaded5b8b6f7f7dd8a100d19121a79ea4c94623384cfd6d7fc4e9ce4088f1",
            ),
            (
                delete,
                1,
                "04d08cfeaf4939b79af6c05fbae1cf559959bf585f22951e0d748367bc1d1dd9",
            ),
        ] {
            assert_eq!(hex::encode(request.digest(allowed)), digest);
        }
    }

    #[test]
    fn what_is_of_the_transport_only_is_not_in_the_digest() {
        let changes: [fn(&mut Request); 6] = [
            |request| request.query = "&".into(),
            |request| request.if_match = b"\"12.0\",".to_vec(),
            |request| request.if_match = b" ,\t\"12.0\" ".to_vec(),
            |request| request.body = Bytes::from_static(b"{\"total\": 12.50}\r"),
            |request| request.body = Bytes::from_static(b" {\"total\": 12.50}\r\n"),
            |_| (),
        ];
        let post = || Request {
            method: Method::POST,
            ..put()
        };
        let plain = post().digest(5);
        for (number, change) in changes.into_iter().enumerate() {
            let mut request = post();
            change(&mut request);
            let sent = request.digest(5);
            let recorded = Recorded::new(request);
            assert_eq!(recorded.digest(5), plain, "{number}");
            // A record of an older release has what was sent, and still belongs to this request.
            assert!(recorded.has_digest(&sent, 5), "{number}");
            assert!(recorded.has_digest(&plain, 5), "{number}");
            assert!(!recorded.has_digest(&plain, 4), "{number}");
            // Or it has the same request as it was sent another time.
            for end in ["\r", "\n", "\r\n"] {
                let mut other = post();
                other.body = [&other.body[..], end.as_bytes()].concat().into();
                assert!(recorded.has_digest(&other.digest(5), 5), "{number} {end:?}");
            }
        }
        let mut without_body = put();
        without_body.body = Bytes::new();
        let mut without_type = without_body.clone();
        without_type.content_type.clear();
        assert_eq!(
            Recorded::new(without_body).digest(5),
            without_type.digest(5)
        );
    }

    /// Bytes inside the text, or inside a tag, belong to the request.
    #[test]
    fn every_byte_that_says_something_counts() {
        let changes: [fn(&mut Request); 6] = [
            |request| request.body = Bytes::from_static(b"{\"total\": 12.50}\n"),
            |request| request.body = Bytes::from_static(b"{\"total\":12.50}"),
            |request| request.body = Bytes::from_static(b"{\"total\": 12.5}"),
            |request| request.if_match = b"\"12.0\", \"12.1\"".to_vec(),
            |request| request.if_match = b"W/\"12.0\"".to_vec(),
            |request| request.query = "x".into(),
        ];
        for change in changes {
            let mut request = put();
            change(&mut request);
            assert_ne!(Recorded::new(request).digest(5), put().digest(5));
        }
    }

    #[test]
    fn every_field_counts_in_the_digest() {
        let changes: [fn(&mut Request); 7] = [
            |request| request.method = Method::PATCH,
            |request| request.path.push('x'),
            |request| request.query.push('x'),
            |request| request.content_type.clear(),
            |request| request.if_match.clear(),
            |request| request.if_none_match = b"*".to_vec(),
            |request| request.body = Bytes::new(),
        ];
        let mut digests = vec![put().digest(5), put().digest(4)];
        for change in changes {
            let mut request = put();
            change(&mut request);
            digests.push(request.digest(5));
        }
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 9);
    }

    #[test]
    fn records_keep_their_bytes() {
        let record = Record::new([7; 32], 1, 5);
        let bytes = format!("08011220{}18012005", "07".repeat(32));
        assert_eq!(hex::encode(record.to_bytes()), bytes);
    }
}
