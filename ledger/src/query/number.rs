//! JSON numbers compared as numbers, whatever their size: `1`, `1.0` and `10e-1` are one number,
//! and 2⁵³ + 1 is not 2⁵³. No number is ever turned into a float.

use std::cmp::Ordering;

/// Exponents beyond this are as good as infinite; nobody writes so many digits.
const EXPONENT_LIMIT: i64 = 1 << 60;

/// 0.d₁d₂d₃… × 10^exponent, without zeros at either end; zero has no digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    exponent: i64,
    digits: Vec<u8>,
}

impl Decimal {
    /// Takes the text of a JSON number apart.
    fn parse(text: &str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        let zeros = all().take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = all().skip(zeros).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self {
                is_negative: false,
                exponent: 0,
                digits,
            };
        }
        let beyond = if exponent.starts_with('-') {
            -EXPONENT_LIMIT
        } else {
            EXPONENT_LIMIT
        };
        let exponent: i64 = exponent.parse().unwrap_or(beyond);
        let exponent = exponent.clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT);
        let point = |count: usize| i64::try_from(count).unwrap_or(EXPONENT_LIMIT);
        Self {
            is_negative,
            exponent: exponent + point(whole.len()) - point(zeros),
            digits,
        }
    }
}

/// Compares two JSON numbers by their texts.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left.cmp(&right);
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    put_sort_key(left, &mut a);
    put_sort_key(right, &mut b);
    a.cmp(&b)
}

/// Appends bytes that sort as numbers do, and of which none begins another.
///
/// `01` and the complement of what follows for negative numbers, `02` for zero, `03` exponent
/// (offset binary, big-endian) digits `00` for positive ones.
pub(super) fn put_sort_key(text: &str, out: &mut Vec<u8>) {
    let decimal = Decimal::parse(text);
    if decimal.digits.is_empty() {
        out.push(2);
        return;
    }
    out.push(if decimal.is_negative { 1 } else { 3 });
    let start = out.len();
    let exponent = decimal.exponent.cast_unsigned() ^ (1 << 63);
    out.extend_from_slice(&exponent.to_be_bytes());
    out.extend_from_slice(&decimal.digits);
    out.push(0);
    if decimal.is_negative {
        for byte in out.iter_mut().skip(start) {
            *byte = !*byte;
        }
    }
}

/// Whether the number is written without point and exponent. To CouchDB only such are integers.
pub(super) fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// The remainder of an integer, with the sign of the integer. `None` where it is no integer or the
/// divisor is zero.
pub(super) fn remainder(text: &str, divisor: i64) -> Option<i64> {
    if !is_integer(text) {
        return None;
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let divisor = i128::from(divisor.unsigned_abs());
    let rest = digits.bytes().try_fold(0_i128, |rest, digit| {
        (rest * 10 + i128::from(digit.wrapping_sub(b'0'))).checked_rem(divisor)
    })?;
    i64::try_from(if is_negative { -rest } else { rest }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers() {
        let ascending = [
            "-1e400",
            "-123456789012345678901234567890",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-0.1",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000001",
            "1",
            "1.5",
            "2",
            "10",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "18446744073709551617",
            "1e21",
            "123456789012345678901234567890",
            "1e400",
            "1e99999999999999999999",
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), i.cmp(&j), "{left} {right}");
            }
        }
        for same in [
            ["1", "1.0"],
            ["1", "10e-1"],
            ["0", "-0.0"],
            ["100", "1E+2"],
            ["0.001", "1e-3"],
        ] {
            assert_eq!(compare(same[0], same[1]), Ordering::Equal, "{same:?}");
        }
    }

    #[test]
    fn remainders_are_those_of_integers_of_any_size() {
        for (text, divisor, expected) in [
            ("10", 5, Some(0)),
            ("-5", 3, Some(-2)),
            ("5", -3, Some(2)),
            ("18446744073709551617", 10, Some(7)),
            (
                "123456789012345678901234567890",
                i64::MIN,
                Some(4_860_475_736_982_489_810),
            ),
            ("12.0", 5, None),
            ("1e2", 5, None),
            ("1", 0, None),
        ] {
            assert_eq!(remainder(text, divisor), expected, "{text} {divisor}");
        }
    }
}
