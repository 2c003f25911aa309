//! `[...]` and escapes of single bytes.

use super::parse::{Escape, Options, Parser, braces_end, letter_set};
use super::refused;
use super::set::Set;
use crate::query::error::QueryError;

impl Parser<'_> {
    /// The meaning of a backslash, which is read already, and what follows it.
    pub(super) fn escape(
        &mut self,
        options: Options,
        is_in_class: bool,
    ) -> Result<Escape, QueryError> {
        let byte = self
            .next()
            .ok_or_else(|| refused("it ends in a backslash"))?;
        Ok(Escape::Byte(match byte {
            b'N' if self.peek() == Some(b'{') && braces_end(self.rest()).is_none() => {
                return Err(refused("\\N{ is not supported"));
            }
            b'A'..=b'E'
            | b'G'
            | b'H'
            | b'K'
            | b'N'
            | b'P'..=b'S'
            | b'V'..=b'X'
            | b'Z'
            | b'b'
            | b'd'
            | b'h'
            | b'k'
            | b'p'
            | b's'
            | b'v'
            | b'w'
            | b'z' => {
                return Ok(Escape::Letter(byte));
            }
            b'a' => 7,
            b'e' => 27,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0'..=b'9' => self.octal_or_reference(byte, is_in_class)?,
            b'o' => self.in_braces(8)?,
            b'x' if self.peek() == Some(b'{') => self.in_braces(16)?,
            b'x' => self.two_digits(),
            b'c' => match self.next() {
                Some(byte) if byte.is_ascii() => byte.to_ascii_uppercase() ^ 0x40,
                _ => return Err(refused("\\c is followed by a character of ASCII")),
            },
            b'g' if is_in_class => byte,
            b'g' | b'l' | b'L' | b'u' | b'U' => {
                let letter = char::from(byte);
                return Err(refused(format!("\\{letter} is not supported")));
            }
            _ if byte.is_ascii_alphabetic() && options.strict => {
                return Err(refused("with (?X) an escaped letter must mean something"));
            }
            _ => byte,
        }))
    }

    fn two_digits(&mut self) -> u8 {
        let mut value = 0;
        for _ in 0..2 {
            let digit = self.peek().and_then(|byte| digit(byte, 16));
            let Some(digit) = digit else {
                break;
            };
            value = value << 4 | digit;
            self.at += 1;
        }
        value
    }

    /// `{digits}` of a byte.
    fn in_braces(&mut self, radix: u8) -> Result<u8, QueryError> {
        let wrong = || refused("\\x{ and \\o{ are followed by a byte's digits and }");
        if !self.eat(b"{") {
            return Err(wrong());
        }
        let mut value = None;
        while let Some(digit) = self.peek().and_then(|byte| digit(byte, radix)) {
            let so_far: u8 = value.unwrap_or_default();
            let next = so_far
                .checked_mul(radix)
                .and_then(|value| value.checked_add(digit));
            value = Some(next.ok_or_else(|| refused("\\x{ and \\o{ are bytes: 0 to ff"))?);
            self.at += 1;
        }
        value.filter(|_| self.eat(b"}")).ok_or_else(wrong)
    }

    /// Digits after a backslash: an existing group, or a byte.
    fn octal_or_reference(&mut self, first: u8, is_in_class: bool) -> Result<u8, QueryError> {
        let from = self.at;
        if first != b'0' && !is_in_class {
            let mut number = u32::from(first - b'0');
            while let Some(digit @ b'0'..=b'9') = self.peek() {
                number = number
                    .saturating_mul(10)
                    .saturating_add((digit - b'0').into());
                self.at += 1;
            }
            if number < 8 || number <= self.groups || number > i32::MAX.cast_unsigned() {
                return Err(refused("back references are not supported"));
            }
            self.at = from;
        }
        if first >= b'8' {
            return Ok(first);
        }
        let mut value = u16::from(first - b'0');
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.peek() else {
                break;
            };
            value = value << 3 | u16::from(digit - b'0');
            self.at += 1;
        }
        u8::try_from(value).map_err(|_| refused("an octal escape is a byte: 0 to 377"))
    }

    /// The end of `[:name:]`, `[.x.]` or `[=x=]` that begins here: the byte before its `]`.
    pub(super) fn posix_end(&self, from: usize) -> Option<usize> {
        let mark = *self.bytes.get(from)?;
        if !matches!(mark, b':' | b'.' | b'=') {
            return None;
        }
        let mut at = from + 1;
        loop {
            let next = self.bytes.get(at + 1).copied();
            match *self.bytes.get(at)? {
                b'\\' if matches!(next, Some(b']' | b'\\')) => at += 1,
                b'[' if next == Some(mark) => return None,
                b']' => return None,
                byte if byte == mark && next == Some(b']') => return Some(at),
                _ => (),
            }
            at += 1;
        }
    }

    /// The inside of brackets and their end.
    pub(super) fn class(&mut self, options: Options) -> Result<Set, QueryError> {
        let mut is_negated = false;
        loop {
            if self.eat(b"\\E") || self.eat(b"\\Q\\E") {
                continue;
            }
            if is_negated || !self.eat(b"^") {
                break;
            }
            is_negated = true;
        }
        let mut set = Set::EMPTY;
        let mut is_quoted = false;
        let mut is_first = true;
        loop {
            let byte = self.next().ok_or_else(|| refused("[ is not closed"))?;
            if byte == b']' && !is_quoted && !is_first {
                break;
            }
            is_first = false;
            let more = self.class_item(byte, &mut is_quoted, options)?;
            set = set.union(more);
        }
        Ok(if is_negated { set.complement() } else { set })
    }

    fn class_item(
        &mut self,
        byte: u8,
        is_quoted: &mut bool,
        options: Options,
    ) -> Result<Set, QueryError> {
        let first = match byte {
            b'\\' if *is_quoted && self.eat(b"E") => {
                *is_quoted = false;
                return Ok(Set::EMPTY);
            }
            _ if *is_quoted => byte,
            b'[' => match self.posix_end(self.at) {
                Some(end) => return self.posix(end, options),
                None => byte,
            },
            b'\\' => match self.escape(options, true)? {
                Escape::Byte(byte) => byte,
                Escape::Letter(b'b') => 8,
                Escape::Letter(b'E') => return Ok(Set::EMPTY),
                Escape::Letter(b'Q') => {
                    *is_quoted = !self.eat(b"\\E");
                    return Ok(Set::EMPTY);
                }
                Escape::Letter(letter) => match letter_set(letter) {
                    Some(set) => return Ok(set),
                    None if matches!(letter, b'N' | b'p' | b'P') || options.strict => {
                        let letter = char::from(letter);
                        return Err(refused(format!("[\\{letter}] is not supported")));
                    }
                    None => letter,
                },
            },
            _ => byte,
        };
        let last = self.range_end(first, is_quoted, options)?;
        let set = Set::of(&[(first, last)]);
        Ok(if options.caseless {
            set.in_any_case()
        } else {
            set
        })
    }

    /// The end of the range that a byte begins, or the byte itself if it begins none.
    fn range_end(
        &mut self,
        first: u8,
        is_quoted: &mut bool,
        options: Options,
    ) -> Result<u8, QueryError> {
        while self.eat(b"\\E") {
            *is_quoted = false;
        }
        let before = self.at;
        if *is_quoted || !self.eat(b"-") {
            return Ok(first);
        }
        while self.eat(b"\\E") {}
        while self.eat(b"\\Q") {
            if !self.eat(b"\\E") {
                *is_quoted = true;
                break;
            }
        }
        // A hyphen at the end stands for itself.
        if self.peek().is_none() || (self.peek() == Some(b']') && !*is_quoted) {
            self.at = before;
            return Ok(first);
        }
        let wrong = || refused("a range in brackets ends in more than a byte");
        let last = match self.next() {
            Some(b'\\') if !*is_quoted => match self.escape(options, true)? {
                Escape::Byte(byte) => byte,
                Escape::Letter(b'b') => 8,
                Escape::Letter(_) => return Err(wrong()),
            },
            Some(b'[') if !*is_quoted && self.posix_end(self.at).is_some() => {
                return Err(wrong());
            }
            Some(byte) => byte,
            None => return Err(wrong()),
        };
        if last < first {
            return Err(refused("a range in brackets is out of order"));
        }
        Ok(last)
    }

    fn posix(&mut self, end: usize, options: Options) -> Result<Set, QueryError> {
        let text = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end + 2;
        let ([b':', b'^', name @ ..] | [b':', name @ ..]) = text else {
            return Err(refused("[. .] and [= =] are not supported"));
        };
        let is_cased = matches!(name, b"lower" | b"upper") && options.caseless;
        let name = if is_cased { b"alpha" } else { name };
        let set = Set::named(name).ok_or_else(|| refused("[: :] has a name that is not known"))?;
        Ok(if text.starts_with(b":^") {
            set.complement()
        } else {
            set
        })
    }
}

fn digit(byte: u8, radix: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(radix.into())?;
    u8::try_from(digit).ok()
}
