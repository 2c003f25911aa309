//! Durations in Go's notation: `2s`, `200ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Units in nanoseconds; longer names before their beginnings.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5
    ("μs", 1_000), // U+03BC
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// Reads a duration that is not negative; up to 292 years, as Go.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (unit, after) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((*unit, after.strip_prefix(name)?)))?;
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total
            .checked_add(whole.checked_mul(unit)?)?
            .checked_add(fraction_of(unit, fraction))?;
        rest = after;
    }
    i64::try_from(total).ok()?;
    Some(Duration::from_nanos(total))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

/// `unit` times `0.<digits>`, rounded down. Digits beyond the 19th make no nanosecond.
fn fraction_of(unit: u64, digits: &str) -> u64 {
    let (mut numerator, mut denominator) = (0, 1);
    for digit in digits.bytes().take(19) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    u64::try_from(numerator * u128::from(unit) / denominator).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("2s", Some(2_000_000_000)),
            ("200ms", Some(200_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("0.3333333333333333333h", Some(1_199_999_999_999)),
            ("10us", Some(10_000)),
            ("10µs", Some(10_000)),
            ("7ns", Some(7)),
            ("+5s", Some(5_000_000_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            (".s", None),
            ("2", None),
            ("-2s", None),
            ("2 s", None),
            ("2d", None),
            ("99999999999h", None),
        ];
        for (text, nanos) in cases {
            let expected = nanos.map(Duration::from_nanos);
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }
}
