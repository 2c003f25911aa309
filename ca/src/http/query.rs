//! The query of a URL.

use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::attribute::truth;
use crate::error::{Code, Refusal};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Names and values.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(text: &str) -> Self {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            let text = percent_decode_str(&spaced).decode_utf8_lossy();
            text.into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(
            pairs
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The value of a name; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            "" => Ok(false),
            value => truth(&value.to_ascii_lowercase()).ok_or_else(|| {
                let detail = format!("Failed to correctly parse value of '{name}' query parameter");
                Refusal::new(400, Code::RemoveAffiliation, detail)
            }),
        }
    }

    /// A second since 1970: a time, a day, or a distance from now as `-30d` or `+12h`.
    pub(super) fn time(&self, name: &str, now: i64) -> Result<Option<i64>, Refusal> {
        let text = self.get(name);
        // What a client that did not encode its sign has sent.
        let text = match text.strip_prefix(' ') {
            Some(rest) => format!("+{rest}"),
            None => text.to_owned(),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let second = if text.starts_with(['+', '-']) {
            distance(&text.to_ascii_lowercase()).and_then(|seconds| now.checked_add(seconds))
        } else if text.contains('T') {
            moment(&text)
        } else {
            moment(&format!("{text}T00:00:00Z"))
        };
        second.map(Some).ok_or_else(|| {
            let detail = format!("Invalid Request: Invalid '{name}' value");
            Refusal::new(400, Code::GettingCertificates, detail)
        })
    }
}

/// The second of an RFC 3339 time.
pub(super) fn moment(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(time.unix_timestamp())
}

/// Seconds of a signed sum of days, hours, minutes and seconds.
fn distance(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        (_, rest) => (1, rest),
    };
    let mut seconds: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let (count, unit) = rest.split_at(digits);
        let unit_seconds = match unit.chars().next()? {
            'd' => DAY,
            'h' => HOUR,
            'm' => MINUTE,
            's' => 1,
            _ => return None,
        };
        let count: i64 = count.parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit_seconds)?)?;
        rest = unit.get(1..)?;
    }
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_a_day_or_a_distance_from_now() {
        let now = 1_800_000_000;
        for (text, expected) in [
            ("", Some(None)),
            ("2027-01-15T08:00:00Z", Some(Some(now))),
            ("2027-01-15T09:00:00%2B01:00", Some(Some(now))),
            ("2027-01-15", Some(Some(now - 8 * HOUR))),
            ("-30d", Some(Some(now - 30 * DAY))),
            ("%2B1h30m", Some(Some(now + 90 * MINUTE))),
            ("+15D", Some(Some(now + 15 * DAY))),
            ("-", None),
            ("-d", None),
            ("-1y", None),
            ("-99999999999999999999d", None),
            ("-9999999999999999d", None),
            ("yesterday", None),
            ("-1ü", None),
        ] {
            let time = Query::of(&format!("a=b&t={text}")).time("t", now).ok();
            assert_eq!(time, expected, "{text}");
        }
    }

    #[test]
    fn a_flag_is_true_false_or_refused() {
        let flag = |text: &str| Query::of(text).flag("force").ok();
        assert_eq!(flag("force=True"), Some(true));
        assert_eq!(flag("other=1&force=0"), Some(false));
        assert_eq!(flag(""), Some(false));
        assert_eq!(flag("force=yes"), None);
    }
}
