//! The `Date` of an answer (RFC 9110, section 5.6.7).
//!
//! Written here and not by the HTTP library, whose clock panics before 1970: a machine that lost its
//! time goes on answering, with the time that it believes in.

use std::time::SystemTime;

use axum::http::HeaderValue;
use quire_wire::common::Timestamp;

/// The header's value; none where the year has no four digits, as if there were no clock.
pub(crate) fn header(now: SystemTime) -> Option<HeaderValue> {
    let text = Timestamp::from(now).imf_fixdate()?;
    HeaderValue::try_from(text).ok()
}
