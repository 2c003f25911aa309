//! The time that a caller gives a call, by gRPC's header `grpc-timeout`.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Digits of a time, at most: the protocol's bound.
const DIGITS: usize = 8;

/// When a call ends at the latest; none where its caller has said nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// The deadline of a call that has come now. A header that is no time is as none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(GRPC_TIMEOUT);
        let time = value.and_then(|value| timeout(value.to_str().ok()?));
        Self(time.and_then(|time| Instant::now().checked_add(time)))
    }

    /// The same, but not later than after so long.
    pub(crate) fn at_most(self, time: Duration) -> Instant {
        let latest = Instant::now() + time;
        self.0.map_or(latest, |deadline| deadline.min(latest))
    }

    /// Returns when the time is over, and never if there is no end.
    pub(crate) async fn over(self) {
        match self.0 {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

/// A time in gRPC's notation: at most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let digits = text.get(..unit_at)?;
    if digits.len() > DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100m", Some(Duration::from_millis(100))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("2M", Some(Duration::from_secs(120))),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("5s", None),
            ("123456789S", None),
            ("5\u{e9}", None),
        ] {
            assert_eq!(timeout(text), expected, "{text:?}");
        }
    }
}
