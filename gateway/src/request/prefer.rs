//! Reads how long a caller waits: `Prefer` (RFC 7240), `?wait=`, and `Quire-Max-Attempts`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use super::grammar::{elements, name_and_value, pieces, text};
use super::url_query::{UrlQuery, number};
use crate::limits::Limits;
use crate::problem::Problem;

const QUIRE_MAX_ATTEMPTS: HeaderName = HeaderName::from_static("quire-max-attempts");

/// What `Prefer` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// How long to wait for the outcome.
    pub(crate) wait: Duration,
    /// Whether the answer is 202 if a transaction is ordered but not final after that time.
    pub(crate) respond_async: bool,
}

impl Prefer {
    /// Reads the header. Unknown preferences are ignored, as the RFC demands.
    pub(crate) fn parse(headers: &HeaderMap, limits: &Limits) -> Result<Self, Problem> {
        let (wait, respond_async) = preferences(headers, limits)?;
        let without = if respond_async {
            Duration::ZERO
        } else {
            limits.default_wait
        };
        Ok(Self {
            wait: wait.unwrap_or(without),
            respond_async,
        })
    }
}

/// The two preferences that are known here.
fn preferences(headers: &HeaderMap, limits: &Limits) -> Result<(Option<Duration>, bool), Problem> {
    let mut wait = None;
    let mut respond_async = false;
    for value in headers.get_all("prefer") {
        for preference in elements(&text(value)) {
            // Parameters after `;` change nothing.
            let token = pieces(preference, ';').next().unwrap_or_default();
            let (name, value) = name_and_value(token);
            if name.eq_ignore_ascii_case("respond-async") {
                respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && wait.is_none() {
                wait = Some(seconds(&value, limits)?);
            }
        }
    }
    Ok((wait, respond_async))
}

/// How long a query may take: the time that the caller is ready to wait, but no longer than `limits` allow.
pub(crate) fn query_time(headers: &HeaderMap, limits: &Limits) -> Result<Duration, Problem> {
    let (wait, _) = preferences(headers, limits)?;
    let longest = limits.query_timeout;
    Ok(wait.map_or(longest, |wait| wait.min(longest)))
}

/// `?wait=N`; no time if it is missing.
pub(crate) fn wait(query: &UrlQuery, limits: &Limits) -> Result<Duration, Problem> {
    query
        .get("wait")
        .map_or(Ok(Duration::ZERO), |text| seconds(text, limits))
}

fn seconds(text: &str, limits: &Limits) -> Result<Duration, Problem> {
    let seconds = number(text)
        .ok_or_else(|| Problem::invalid_argument("wait is not a whole number of seconds."))?;
    Ok(Duration::from_secs(seconds).min(limits.max_wait))
}

/// `Quire-Max-Attempts`; `None` if it is missing.
pub(crate) fn max_attempts(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let mut values = headers.get_all(QUIRE_MAX_ATTEMPTS).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let attempts = value.to_str().ok().and_then(number);
    let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok());
    match (attempts, values.next()) {
        (Some(attempts @ 1..=10), None) => Ok(Some(attempts)),
        _ => Err(Problem::invalid_argument(
            "Quire-Max-Attempts is not one number from 1 to 10.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn prefer_is_read_as_the_rfc_says() {
        type Row<'a> = (&'a [&'static str], Option<(u64, bool)>);
        let rows: [Row<'_>; 13] = [
            (&[], Some((30, false))),
            (&["respond-async"], Some((0, true))),
            (&["wait=5"], Some((5, false))),
            (&["respond-async, wait=10"], Some((10, true))),
            (&["Respond-Async; x=y", "WAIT = 7"], Some((7, true))),
            (&["wait=1, wait=2"], Some((1, false))),
            (&["return=minimal, unknown"], Some((30, false))),
            (&["wait=99999999999"], Some((300, false))),
            (&["wait=soon"], None),
            (&["wait=\"5\""], Some((5, false))),
            (&[",, respond-async ,"], Some((0, true))),
            (&["x=\"a, wait=soon\"; y=\";\", wait=5"], Some((5, false))),
            (&["x=\"\\\", respond-async\""], Some((30, false))),
        ];
        for (values, expected) in rows {
            let prefer = Prefer::parse(&headers("prefer", values), &Limits::default());
            let expected = expected.map(|(wait, respond_async)| Prefer {
                wait: Duration::from_secs(wait),
                respond_async,
            });
            assert_eq!(prefer.ok(), expected, "{values:?}");
        }
    }

    #[test]
    fn attempts_are_one_to_ten() {
        let rows: [(&[&'static str], Option<Option<u32>>); 6] = [
            (&[], Some(None)),
            (&["1"], Some(Some(1))),
            (&["10"], Some(Some(10))),
            (&["0"], None),
            (&["11"], None),
            (&["1", "1"], None),
        ];
        for (values, expected) in rows {
            let attempts = max_attempts(&headers("quire-max-attempts", values));
            assert_eq!(attempts.ok(), expected, "{values:?}");
        }
    }
}
