//! The `Date` of an answer (RFC 9110, section 5.6.7).
//!
//! It is written here because the HTTP library's clock panics before 1970: a machine with a wrong clock must
//! go on answering, with the time that it has.

use std::time::SystemTime;

use axum::http::HeaderValue;
use quire_wire::common::Timestamp;

/// The header's value; `None` if the year does not have four digits, as if there were no clock.
pub(crate) fn header(now: SystemTime) -> Option<HeaderValue> {
    let text = Timestamp::from(now).imf_fixdate()?;
    HeaderValue::try_from(text).ok()
}
