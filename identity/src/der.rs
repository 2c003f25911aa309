//! DER, as far as certificates, revocation lists and signatures need it: one element after the other.
//!
//! ```text
//! tag  length  content       30 0d ..     a length of 128 and more: 82 01 0d
//! ```
//!
//! What is refused here, Go refuses too: tags of several bytes, lengths that are longer than they need
//! to be, integers with needless bytes in front.

use time::{Date, Month, PrimitiveDateTime, Time};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// The tag of an element that a type numbers itself and that has content of its own type.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The tag of an element that a type numbers itself and that holds other elements.
pub(crate) const fn context_of_elements(number: u8) -> u8 {
    0xa0 | number
}

/// Not what it should be, where there being nothing is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With its tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the next element has this tag.
    pub(crate) fn is_next(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The next element, whatever it is.
    pub(crate) fn element(&mut self) -> Option<Element<'a>> {
        let (tag, after_tag) = self.rest.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (first, mut after_length) = after_tag.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let count = length & 0x7f;
            if !(1..=4).contains(&count) {
                return None;
            }
            let (digits, rest) = after_length.split_at_checked(count)?;
            if digits.first() == Some(&0) {
                return None;
            }
            length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            if length < 0x80 {
                return None;
            }
            after_length = rest;
        }
        let (content, rest) = after_length.split_at_checked(length)?;
        let (whole, _) = self.rest.split_at_checked(self.rest.len() - rest.len())?;
        self.rest = rest;
        Some(Element {
            tag: *tag,
            content,
            whole,
        })
    }

    /// The next element, which must have this tag.
    pub(crate) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.tagged(tag).map(|element| element.whole)
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.tagged(tag).map(|element| element.content)
    }

    fn tagged(&mut self, tag: u8) -> Option<Element<'a>> {
        if !self.is_next(tag) {
            return None;
        }
        self.element()
    }

    /// The elements in the next element, which must have this tag.
    pub(crate) fn inner(&mut self, tag: u8) -> Option<Self> {
        self.content(tag).map(Self::new)
    }

    /// The content of the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.is_next(tag) {
            self.content(tag).map(Some).ok_or(Malformed)
        } else {
            Ok(None)
        }
    }

    /// The bytes of an integer, in two's complement and as few as possible.
    pub(crate) fn integer(&mut self) -> Option<&'a [u8]> {
        let content = self.content(INTEGER)?;
        is_minimal_integer(content).then_some(content)
    }

    /// An integer that is not negative.
    pub(crate) fn count(&mut self) -> Option<u64> {
        count_of(self.integer()?)
    }

    pub(crate) fn boolean(&mut self) -> Option<bool> {
        match self.content(BOOLEAN)? {
            [0] => Some(false),
            [0xff] => Some(true),
            _ => None,
        }
    }

    /// The bits of a bit string, moved so that the last one is the last of a byte.
    pub(crate) fn bits(&mut self) -> Option<Vec<u8>> {
        let (padding, bytes) = self.bit_string()?;
        if padding == 0 {
            return Some(bytes.to_vec());
        }
        let before = std::iter::once(&0).chain(bytes);
        let moved = before
            .zip(bytes)
            .map(|(before, byte)| before << (8 - padding) | byte >> padding);
        Some(moved.collect())
    }

    /// How many bits of the last byte do not count, and all bytes.
    pub(crate) fn bit_string(&mut self) -> Option<(u8, &'a [u8])> {
        let (padding, bytes) = self.content(BIT_STRING)?.split_first()?;
        let unused = match bytes.last() {
            _ if *padding == 0 => 0,
            Some(last) if *padding < 8 => last & ((1 << padding) - 1),
            _ => return None,
        };
        (unused == 0).then_some((*padding, bytes))
    }

    /// The bytes of an object identifier.
    pub(crate) fn oid(&mut self) -> Option<&'a [u8]> {
        let content = self.content(OBJECT_IDENTIFIER)?;
        is_oid(content).then_some(content)
    }

    /// A time as seconds since 1970.
    pub(crate) fn time(&mut self) -> Option<i64> {
        if self.is_next(UTC_TIME) {
            return utc_time(self.content(UTC_TIME)?);
        }
        generalized_time(self.content(GENERALIZED_TIME)?)
    }
}

/// Appends an element.
pub(crate) fn push_element(out: &mut Vec<u8>, tag: u8, content: &[&[u8]]) {
    let length: usize = content.iter().map(|part| part.len()).sum();
    out.push(tag);
    let digits = length.to_be_bytes();
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = digits.get(zeros..).unwrap_or_default();
    match digits {
        [] => out.push(0),
        [digit] if *digit < 0x80 => out.push(*digit),
        digits => {
            #[expect(clippy::cast_possible_truncation, reason = "at most 8 digits")]
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    for part in content {
        out.extend_from_slice(part);
    }
}

pub(crate) fn is_minimal_integer(content: &[u8]) -> bool {
    match content {
        [] => false,
        [0, second, ..] => second & 0x80 != 0,
        [0xff, second, ..] => second & 0x80 == 0,
        _ => true,
    }
}

/// An integer of few bytes that is not negative.
pub(crate) fn count_of(content: &[u8]) -> Option<u64> {
    if !is_minimal_integer(content) || content.first()? & 0x80 != 0 || content.len() > 9 {
        return None;
    }
    content.iter().try_fold(0_u64, |number, digit| {
        Some(number.checked_mul(256)? | u64::from(*digit))
    })
}

/// Whether these are numbers of 7 bits a byte, none longer than it needs to be or above 2³¹.
fn is_oid(content: &[u8]) -> bool {
    let mut number = 0_u32;
    let mut digits = 0;
    for byte in content {
        if (digits == 0 && *byte == 0x80) || number >= 1 << 24 || digits == 5 {
            return false;
        }
        number = number << 7 | u32::from(byte & 0x7f);
        digits += 1;
        if byte & 0x80 == 0 {
            (number, digits) = (0, 0);
        }
    }
    !content.is_empty() && digits == 0
}

/// `yymmddhhmm[ss]` and a zone; years from 1950 on.
fn utc_time(text: &[u8]) -> Option<i64> {
    let (year, rest) = two_digits(text)?;
    let year = if year < 50 { 2000 + year } else { 1900 + year };
    let (minute, rest) = date_to_minute(year, rest)?;
    let (second, rest) = two_digits(rest).unwrap_or((0, rest));
    if second > 59 {
        return None;
    }
    Some(minute + i64::from(second) - zone(rest)?)
}

/// `yyyymmddhhmmss` and a zone.
fn generalized_time(text: &[u8]) -> Option<i64> {
    let (century, rest) = two_digits(text)?;
    let (year, rest) = two_digits(rest)?;
    let (minute, rest) = date_to_minute(century * 100 + year, rest)?;
    let (second, rest) = two_digits(rest)?;
    if second > 59 {
        return None;
    }
    Some(minute + i64::from(second) - zone(rest)?)
}

/// Seconds from 1970 to a minute whose year was read already, and what follows it.
fn date_to_minute(year: u16, text: &[u8]) -> Option<(i64, &[u8])> {
    let (month, rest) = two_digits(text)?;
    let (day, rest) = two_digits(rest)?;
    let (hour, rest) = two_digits(rest)?;
    let (minute, rest) = two_digits(rest)?;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    let time = Time::from_hms(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, 0).ok()?;
    let moment = PrimitiveDateTime::new(date, time).assume_utc();
    Some((moment.unix_timestamp(), rest))
}

/// How many seconds a zone's clocks are ahead: `Z`, or hours and minutes that are not both zero.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = text.split_first()?;
    if *sign == b'Z' {
        return rest.is_empty().then_some(0);
    }
    let (hours, rest) = two_digits(rest)?;
    let (minutes, rest) = two_digits(rest)?;
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    if !rest.is_empty() || hours > 24 || minutes > 59 || seconds == 0 {
        return None;
    }
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn two_digits(text: &[u8]) -> Option<(u16, &[u8])> {
    let ([tens, ones], rest) = text.split_first_chunk()?;
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    Some((u16::from(tens - b'0') * 10 + u16::from(ones - b'0'), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_of_a_length_counts() {
        let long = [&[0x30, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(
            Der::new(&long).content(SEQUENCE).map(<[u8]>::len),
            Some(128)
        );
        let cases: [&[u8]; 8] = [
            b"",
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 1, 7],
            &[0x30, 0x82, 0, 0x80, 7],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x3f, 1, 7],
        ];
        for case in cases {
            assert!(Der::new(case).element().is_none(), "{case:x?}");
        }
    }

    #[test]
    fn elements_are_written_as_they_are_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![5; length];
            let mut written = Vec::new();
            push_element(&mut written, SEQUENCE, &[&content]);
            let mut der = Der::new(&written);
            assert_eq!(der.content(SEQUENCE), Some(&content[..]), "{length}");
            assert!(der.is_empty());
        }
    }

    #[test]
    fn times_have_one_form() {
        let utc = |text: &str| utc_time(text.as_bytes());
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("7001010000Z"), Some(0));
        assert_eq!(utc("700101010001+0100"), Some(1));
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000));
        for text in [
            "",
            "700101000000",
            "700101000000+0000",
            "700230000000Z",
            "700101240000Z",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert_eq!(generalized_time(b"20540101000000Z"), Some(2_650_838_400));
        assert_eq!(generalized_time(b"20540101000000.5Z"), None);
        assert_eq!(generalized_time(b"205401010000Z"), None);
    }

    #[test]
    fn numbers_have_one_form() {
        assert_eq!(count_of(&[0, 0x80]), Some(128));
        assert_eq!(count_of(&[0xff; 9]), None);
        assert_eq!(count_of(&[0, 1]), None);
        assert_eq!(count_of(&[]), None);
        assert_eq!(count_of(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert!(is_oid(&[0x55, 0x1d, 0x0e]));
        for oid in [&[][..], &[0x80, 1], &[0x81], &[0x90, 0x80, 0x80, 0x80, 0]] {
            assert!(!is_oid(oid), "{oid:x?}");
        }
    }

    #[test]
    fn bits_end_with_the_last_byte() {
        assert_eq!(Der::new(&[3, 2, 7, 0x80]).bits(), Some(vec![1]));
        assert_eq!(
            Der::new(&[3, 3, 1, 0x81, 0x02]).bits(),
            Some(vec![0x40, 0x81])
        );
        assert_eq!(Der::new(&[3, 1, 0]).bits(), Some(vec![]));
        for case in [&[3, 0][..], &[3, 1, 1], &[3, 2, 8, 0], &[3, 2, 1, 1]] {
            assert_eq!(Der::new(case).bits(), None, "{case:x?}");
        }
    }
}
