//! Sets of bytes, as in PCRE with the tables of Latin-1: CouchDB gives PCRE the bytes of UTF-8 and names no
//! encoding.

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set([u64; 4]);

const UPPER: &[(u8, u8)] = &[(b'A', b'Z'), (0xc0, 0xd6), (0xd8, 0xde)];
const LOWER: &[(u8, u8)] = &[
    (b'a', b'z'),
    (0xaa, 0xaa),
    (0xb5, 0xb5),
    (0xba, 0xba),
    (0xdf, 0xf6),
    (0xf8, 0xff),
];
const SYMBOLS: &[(u8, u8)] = &[
    (b'!', b'/'),
    (b':', b'@'),
    (b'[', b'`'),
    (b'{', b'~'),
    (0xa0, 0xa9),
    (0xab, 0xb4),
    (0xb6, 0xb9),
    (0xbb, 0xbf),
    (0xd7, 0xd7),
    (0xf7, 0xf7),
];
const CONTROLS: &[(u8, u8)] = &[(0, 0x1f), (0x7f, 0x9f)];

impl Set {
    pub(super) const EMPTY: Self = Self([0; 4]);
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    pub(super) fn of(ranges: &[(u8, u8)]) -> Self {
        let mut set = Self::EMPTY;
        for (first, last) in ranges {
            set.insert_range(*first, *last);
        }
        set
    }

    pub(super) fn one(byte: u8) -> Self {
        Self::of(&[(byte, byte)])
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        let [a, b, c, d] = self.0;
        let word = match byte >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        word >> (byte & 63) & 1 == 1
    }

    pub(super) fn insert_range(&mut self, first: u8, last: u8) {
        for byte in first..=last {
            let [a, b, c, d] = &mut self.0;
            let word = match byte >> 6 {
                0 => a,
                1 => b,
                2 => c,
                _ => d,
            };
            *word |= 1 << (byte & 63);
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        let mut union = self;
        for (word, more) in union.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        union
    }

    pub(super) fn complement(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// The set with the other case of every letter in it.
    pub(super) fn in_any_case(self) -> Self {
        let mut set = self;
        for byte in (0..=u8::MAX).filter(|byte| self.contains(*byte)) {
            let other = other_case(byte);
            set.insert_range(other, other);
        }
        set
    }

    /// Its ranges, in order.
    pub(super) fn ranges(self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=u8::MAX).filter(|byte| self.contains(*byte)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == byte => *last = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        ranges
    }

    /// `\d`
    pub(super) fn digits() -> Self {
        Self::of(&[(b'0', b'9')])
    }

    /// `\w`
    pub(super) fn word() -> Self {
        Self::letters().union(Self::of(&[(b'0', b'9'), (b'_', b'_')]))
    }

    /// `\s`
    pub(super) fn space() -> Self {
        Self::of(&[(9, 13), (b' ', b' ')])
    }

    /// `\h`
    pub(super) fn horizontal() -> Self {
        Self::of(&[(9, 9), (b' ', b' '), (0xa0, 0xa0)])
    }

    /// `\v`
    pub(super) fn vertical() -> Self {
        Self::of(&[(10, 13), (0x85, 0x85)])
    }

    /// `.`, and `\N`
    pub(super) fn but_line_feed() -> Self {
        Self::one(b'\n').complement()
    }

    fn letters() -> Self {
        Self::of(UPPER).union(Self::of(LOWER))
    }

    /// The set of `[:name:]`, if it exists.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let visible = || Self::word().union(Self::of(SYMBOLS));
        Some(match name {
            b"alpha" => Self::letters(),
            b"lower" => Self::of(LOWER),
            b"upper" => Self::of(UPPER),
            b"alnum" => Self::letters().union(Self::digits()),
            // Printable characters and controls: with these tables that is every byte.
            b"ascii" => Self::ALL,
            b"blank" => Self::of(&[(9, 9), (b' ', b' ')]),
            b"cntrl" => Self::of(CONTROLS),
            b"digit" => Self::digits(),
            b"graph" => visible(),
            b"print" => visible().union(Self::one(b' ')),
            b"punct" => Self::of(SYMBOLS),
            b"space" => Self::space(),
            b"word" => Self::word(),
            b"xdigit" => Self::of(&[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
            _ => return None,
        })
    }
}

fn other_case(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        b'a'..=b'z' | 0xe0..=0xf6 | 0xf8..=0xfe => byte - 32,
        _ => byte,
    }
}
