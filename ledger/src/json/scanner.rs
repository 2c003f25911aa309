//! Reads a JSON text once, from left to right, and keeps the places of its parts instead of their meaning.

use std::borrow::Cow;

use super::{JsonError, MAX_EXPONENT, MAX_NUMBER_BYTES, utf8};

/// Reads a text, and checks that it is one JSON text, nested no deeper than `max_depth`, without duplicate
/// members, unpaired surrogates and numbers that are too long.
///
/// # Errors
/// [`JsonError`] with the first fault found.
pub fn read(text: &[u8], max_depth: usize) -> Result<Node<'_>, JsonError> {
    Scanner::strict(utf8(text)?, max_depth).document()
}

/// Reads a text that a channel holds already, whose numbers may have any length.
///
/// # Errors
/// See [`read`].
pub fn read_stored(text: &[u8], max_depth: usize) -> Result<Node<'_>, JsonError> {
    Scanner::new(utf8(text)?, max_depth).document()
}

/// Reads and checks an array, and takes it apart. Returns `None` if the text is something else.
///
/// # Errors
/// See [`read`].
pub fn read_array(text: &[u8], max_depth: usize) -> Result<Option<Vec<Node<'_>>>, JsonError> {
    Scanner::strict(utf8(text)?, max_depth).document_array()
}

/// A value in a checked text.
#[derive(Debug)]
pub struct Node<'a> {
    /// The value's text, without white space around it.
    pub text: &'a str,
    /// What kind of value it is.
    pub shape: Shape<'a>,
}

/// The kinds of value that callers ask for.
#[derive(Debug)]
pub enum Shape<'a> {
    /// An object, with its members in the text's order.
    Object(Vec<Member<'a>>),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// `null`.
    Null,
    /// An array, a number, `true` or `false`.
    Other,
}

/// A member of an object.
#[derive(Debug)]
pub struct Member<'a> {
    /// The name as it is in the text, with quotes and escapes.
    pub name_text: &'a str,
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Node<'a>,
}

/// A number with so few characters has no room for an exponent of five digits.
const SURELY_SHORT: usize = 6;

/// A position in a text. It is between characters, never within one: it moves over bytes, and stops only at
/// ASCII bytes.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
    /// Whether a number may have any length.
    has_any_number: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner for a text that is stored already.
    pub(super) fn new(text: &'a str, max_depth: usize) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            max_depth,
            has_any_number: true,
        }
    }

    /// A scanner for a text that somebody writes or asks for.
    pub(super) fn strict(text: &'a str, max_depth: usize) -> Self {
        Self {
            has_any_number: false,
            ..Self::new(text, max_depth)
        }
    }

    /// The whole text, which is one value.
    fn document(mut self) -> Result<Node<'a>, JsonError> {
        self.skip_space();
        let node = self.value()?;
        self.end()?;
        Ok(node)
    }

    /// The elements of the whole text; `None` if it is not an array.
    fn document_array(mut self) -> Result<Option<Vec<Node<'a>>>, JsonError> {
        self.skip_space();
        if self.peek() != Some(b'[') {
            self.document()?;
            return Ok(None);
        }
        let mut elements = Vec::new();
        self.array(&mut |element| elements.push(element))?;
        self.end()?;
        Ok(Some(elements))
    }

    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        match self.peek() {
            Some(_) => Err(self.expected("the end of the text")),
            None => Ok(()),
        }
    }

    /// A value; the position is at its first character.
    fn value(&mut self) -> Result<Node<'a>, JsonError> {
        let start = self.at;
        let shape = match self.peek() {
            Some(b'{') => Shape::Object(self.object()?),
            Some(b'[') => {
                self.array(&mut |_| ())?;
                Shape::Other
            }
            Some(b'"') => Shape::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Shape::Other
            }
            _ => match self.word()? {
                "null" => Shape::Null,
                _ => Shape::Other,
            },
        };
        Ok(Node {
            text: self.since(start),
            shape,
        })
    }

    fn object(&mut self) -> Result<Vec<Member<'a>>, JsonError> {
        self.enter()?;
        let mut members = Vec::new();
        if !self.closes(b'}') {
            loop {
                self.skip_space();
                members.push(self.member()?);
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        self.leave();
        refuse_duplicates(&members)?;
        Ok(members)
    }

    fn member(&mut self) -> Result<Member<'a>, JsonError> {
        let (name, name_text) = self.name()?;
        Ok(Member {
            name_text,
            name,
            value: self.value()?,
        })
    }

    /// Reads a member's name, also as it is in the text, and goes on to the first character of its value.
    pub(super) fn name(&mut self) -> Result<(Cow<'a, str>, &'a str), JsonError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member's name"));
        }
        let name = self.string()?;
        let name_text = self.since(start);
        self.skip_space();
        if !self.takes(b':') {
            return Err(self.expected("`:`"));
        }
        self.skip_space();
        Ok((name, name_text))
    }

    fn array(&mut self, each: &mut dyn FnMut(Node<'a>)) -> Result<(), JsonError> {
        self.enter()?;
        if !self.closes(b']') {
            loop {
                self.skip_space();
                each(self.value()?);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        self.leave();
        Ok(())
    }

    /// Passes an opening bracket.
    pub(super) fn enter(&mut self) -> Result<(), JsonError> {
        if self.depth == self.max_depth {
            return Err(JsonError::TooDeep {
                limit: self.max_depth,
            });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Notes that a closing bracket was passed.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Passes a comma, or the closing bracket, after which nothing more follows inside. Returns whether it
    /// was a comma.
    pub(super) fn goes_on(&mut self, bracket: u8) -> Result<bool, JsonError> {
        self.skip_space();
        if self.takes(bracket) {
            return Ok(false);
        }
        if self.takes(b',') {
            return Ok(true);
        }
        Err(self.expected(match bracket {
            b'}' => "`,` or `}`",
            _ => "`,` or `]`",
        }))
    }

    /// Whether a bracket that was just opened closes immediately; if so, passes it.
    pub(super) fn closes(&mut self, bracket: u8) -> bool {
        self.skip_space();
        self.takes(bracket)
    }

    /// A string, unescaped; the position is at its quote.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let mut run = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            self.at += self.plain_bytes();
            match self.peek() {
                Some(b'"') => {
                    let tail = self.since(run);
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(tail),
                        Some(head) => Cow::Owned(head + tail),
                    });
                }
                Some(b'\\') => {
                    let head = unescaped.get_or_insert_default();
                    head.push_str(self.since(run));
                    head.push(self.escape()?);
                    run = self.at;
                }
                _ => {
                    return Err(self.expected("a character of a string or its closing quote"));
                }
            }
        }
    }

    /// How many of the next bytes of a string stand for themselves.
    fn plain_bytes(&self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (words, tail) = rest.as_chunks();
        for (position, word) in words.iter().enumerate() {
            let special = special_bytes(u64::from_le_bytes(*word));
            if special != 0 {
                return position * 8 + special.trailing_zeros() as usize / 8;
            }
        }
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let plain = tail.iter().position(is_special).unwrap_or(tail.len());
        rest.len() - tail.len() + plain
    }

    /// Passes a value of a text that was read before; the position is at its first character.
    pub(super) fn skip_value(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string(),
                Some(b'{' | b'[') => {
                    open += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if open > 0 => {
                    open -= 1;
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\t' | b'\n' | b'\r') if open > 0 => self.at += 1,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => self.word().map(|_| ())?,
            }
            if open == 0 {
                return Ok(self.since(start));
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        loop {
            self.at += self.plain_bytes();
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                None => return,
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode(start);
            }
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads the digits of a `\u` escape that started at `start`, and its other half if it needs one.
    fn unicode(&mut self, start: usize) -> Result<char, JsonError> {
        let unpaired = JsonError::UnpairedSurrogate { offset: start };
        let first = self.four_digits()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let is_high = first < 0xdc00;
        if !is_high || !self.takes(b'\\') || !self.takes(b'u') {
            return Err(unpaired);
        }
        let second = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(unpaired);
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(unpaired)
    }

    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.expected("four hexadecimal digits"));
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    pub(super) fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        let mut exponent = "";
        if self.takes(b'e') || self.takes(b'E') {
            let _signed = self.takes(b'+') || self.takes(b'-');
            let start = self.at;
            self.digits()?;
            exponent = self.since(start);
        }
        if self.has_any_number || self.at - start <= SURELY_SHORT {
            return Ok(());
        }
        let is_short =
            exponent.is_empty() || exponent.parse().is_ok_and(|it: u32| it <= MAX_EXPONENT);
        if self.at - start > MAX_NUMBER_BYTES || !is_short {
            return Err(JsonError::LongNumber { offset: start });
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }

    /// `null`, `true` or `false`.
    pub(super) fn word(&mut self) -> Result<&'static str, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for word in ["null", "true", "false"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(word);
            }
        }
        Err(self.expected("a value"))
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Passes `byte` if it is next, and returns whether it was.
    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax {
            expected,
            offset: self.at,
        }
    }
}

/// The highest bit of every byte that does not stand for itself in a string. It tests eight bytes at once, so
/// that long strings are read in a third of the time. After the first such byte bits may be wrong.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES << 7)
}

/// Sorting keeps this below quadratic for objects of any size, without hashing names.
fn refuse_duplicates(members: &[Member<'_>]) -> Result<(), JsonError> {
    let mut names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    });
    match twice {
        Some(name) => Err(JsonError::DuplicateMember { name: name.into() }),
        None => Ok(()),
    }
}
