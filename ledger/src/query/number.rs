//! Compares JSON numbers as numbers, whatever their size: `1`, `1.0` and `10e-1` are one number, and 2⁵³ + 1
//! is not 2⁵³. No number is ever turned into a float.

use std::cmp::Ordering;

/// Exponents beyond this count as infinite; nobody writes so many digits.
const EXPONENT_LIMIT: i64 = 1 << 60;

/// A JSON number as 0.d₁d₂d₃… × 10^exponent, without zeros at either end, as it is in a text. It is made in
/// one walk over the text; a comparison reads digits only if the exponents agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    is_negative: bool,
    exponent: i64,
    /// The digits before the point and after it. Zero has none.
    whole: &'a [u8],
    fraction: &'a [u8],
}

/// A number that owns its text.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    is_negative: bool,
    exponent: i64,
    digits: Box<[u8]>,
}

impl Decimal {
    pub(super) fn new(text: &str) -> Self {
        let view = View::new(text);
        Self {
            is_negative: view.is_negative,
            exponent: view.exponent,
            digits: view.digits().collect(),
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            is_negative: self.is_negative,
            exponent: self.exponent,
            whole: &self.digits,
            fraction: &[],
        }
    }
}

impl<'a> View<'a> {
    /// Takes the text of a JSON number apart.
    pub(super) fn new(text: &'a str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let places = whole.len();
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
        let (front, whole) = without_leading_zeros(whole);
        let (more, fraction) = if whole.is_empty() {
            without_leading_zeros(fraction)
        } else {
            (0, fraction)
        };
        let fraction = without_trailing_zeros(fraction);
        let whole = if fraction.is_empty() {
            without_trailing_zeros(whole)
        } else {
            whole
        };
        if whole.is_empty() && fraction.is_empty() {
            return Self {
                is_negative: false,
                exponent: 0,
                whole,
                fraction,
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
            exponent: exponent + point(places) - point(front + more),
            whole,
            fraction,
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn count(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// The most digits that a comparison with another number reads.
    pub(super) fn common(&self, other: &Self) -> u64 {
        if self.is_negative == other.is_negative && self.exponent == other.exponent {
            self.count().min(other.count()) as u64
        } else {
            0
        }
    }

    fn sign(&self) -> i8 {
        match (self.count(), self.is_negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    /// The order of numbers.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.sign().cmp(&other.sign()).then_with(|| {
            let exponents = self.exponent.cmp(&other.exponent);
            let of_size = exponents.then_with(|| self.digits().cmp(other.digits()));
            if self.is_negative {
                of_size.reverse()
            } else {
                of_size
            }
        })
    }
}

/// The number of leading zeros, and the digits after them.
fn without_leading_zeros(digits: &[u8]) -> (usize, &[u8]) {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (zeros, digits.get(zeros..).unwrap_or_default())
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let last = digits.iter().rposition(|digit| *digit != b'0');
    let end = last.map_or(0, |last| last + 1);
    digits.get(..end).unwrap_or_default()
}

/// Compares two JSON numbers by their texts.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left.cmp(&right);
    }
    View::new(left).compare(&View::new(right))
}

/// Appends bytes that sort like numbers, and of which none is a prefix of another.
///
/// `01` and the complement of what follows for negative numbers, `02` for zero, `03` exponent
/// (offset binary, big-endian) digits `00` for positive ones.
pub(super) fn put_sort_key(text: &str, out: &mut Vec<u8>) {
    let view = View::new(text);
    if view.count() == 0 {
        out.push(2);
        return;
    }
    out.push(if view.is_negative { 1 } else { 3 });
    let start = out.len();
    let exponent = view.exponent.cast_unsigned() ^ (1 << 63);
    out.extend_from_slice(&exponent.to_be_bytes());
    out.extend(view.digits());
    out.push(0);
    if view.is_negative {
        for byte in out.iter_mut().skip(start) {
            *byte = !*byte;
        }
    }
}

/// Whether the number is written without point and exponent. For CouchDB only such numbers are integers.
pub(super) fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// The remainder of an integer, with the sign of the integer. `None` if it is not an integer or the divisor
/// is zero.
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
                let keys = [left, right].map(|text| {
                    let mut key = Vec::new();
                    put_sort_key(text, &mut key);
                    key
                });
                assert_eq!(keys[0].cmp(&keys[1]), i.cmp(&j), "{left} {right}");
                let (left, right) = (Decimal::new(left), Decimal::new(right));
                assert_eq!(left.view().compare(&right.view()), i.cmp(&j));
            }
        }
        for same in [
            ["1", "1.0"],
            ["1", "10e-1"],
            ["0", "-0.0"],
            ["100", "1E+2"],
            ["0.001", "1e-3"],
            ["0.00120", "12e-4"],
            ["1000.0e-3", "1"],
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
