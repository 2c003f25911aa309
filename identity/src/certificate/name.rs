//! Distinguished names: who a certificate speaks of.

use crate::der::{
    BIT_STRING, BOOLEAN, Der, GENERALIZED_TIME, INTEGER, Malformed, OBJECT_IDENTIFIER, SEQUENCE,
    SET, UTC_TIME,
};

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];

/// What is asked of a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    /// The last common name; empty if there is none.
    pub(super) common: String,
    /// The first one; empty if there is none.
    pub(super) organization: String,
    /// In their order.
    pub(super) units: Vec<String>,
}

impl Name {
    /// Reads a name from its DER.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let mut name = Self::default();
        let mut sets = Der::new(der).inner(SEQUENCE)?;
        while !sets.is_empty() {
            let mut set = sets.inner(SET)?;
            while !set.is_empty() {
                let mut attribute = set.inner(SEQUENCE)?;
                let kind = attribute.oid()?;
                let mut whole = attribute;
                let value = attribute.element()?;
                match text(value.tag, value.content).ok()? {
                    Some(text) => name.add(kind, text),
                    None => check_other(value.tag, &mut whole)?,
                }
            }
        }
        Some(name)
    }

    fn add(&mut self, kind: &[u8], text: String) {
        match kind {
            COMMON_NAME => self.common = text,
            ORGANIZATION if self.organization.is_empty() => self.organization = text,
            ORGANIZATIONAL_UNIT => self.units.push(text),
            _ => {}
        }
    }
}

/// A value of one of the types of texts, with only characters that its type has; `Ok(None)` is of
/// another type.
fn text(tag: u8, value: &[u8]) -> Result<Option<String>, Malformed> {
    const UTF8: u8 = 0x0c;
    const NUMERIC: u8 = 0x12;
    const PRINTABLE: u8 = 0x13;
    const T61: u8 = 0x14;
    const IA5: u8 = 0x16;
    const BMP: u8 = 0x1e;
    let ascii = |allowed: fn(u8) -> bool| {
        let all = value.iter().all(|byte| allowed(*byte));
        all.then(|| value.iter().copied().map(char::from).collect())
    };
    let text = match tag {
        UTF8 => str::from_utf8(value).ok().map(str::to_owned),
        NUMERIC => ascii(|byte| byte.is_ascii_digit() || byte == b' '),
        PRINTABLE => ascii(is_printable),
        // Taken for Latin-1, as everywhere else.
        T61 => ascii(|_| true),
        IA5 => ascii(|byte| byte.is_ascii()),
        BMP => bmp(value),
        _ => return Ok(None),
    };
    text.map(Some).ok_or(Malformed)
}

/// A value that is no text: those of types that Go reads must be sound.
fn check_other(tag: u8, value: &mut Der<'_>) -> Option<()> {
    match tag {
        BOOLEAN => value.boolean().map(drop),
        INTEGER => value.integer().filter(|number| number.len() <= 8).map(drop),
        BIT_STRING => value.bit_string().map(drop),
        OBJECT_IDENTIFIER => value.oid().map(drop),
        UTC_TIME | GENERALIZED_TIME => value.time().map(drop),
        _ => Some(()),
    }
}

/// The characters of `PrintableString`, and `*` and `&`, which Go lets pass.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()*+,-./:=?&".contains(&byte)
}

/// Characters of two bytes each; a zero at the end does not count.
fn bmp(value: &[u8]) -> Option<String> {
    let value = match value {
        [start @ .., 0, 0] if value.len().is_multiple_of(2) => start,
        value => value,
    };
    let (pairs, rest) = value.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let characters = pairs.iter().map(|pair| {
        let point = u16::from_be_bytes(*pair);
        let is_reserved = matches!(point, 0xfffe | 0xffff | 0xfdd0..=0xfdef);
        char::from_u32(u32::from(point)).filter(|_| !is_reserved)
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_only_characters_of_its_type() {
        let cases: [(u8, &[u8], Option<&str>); 9] = [
            (0x13, b"Org 1 (a) & b*", Some("Org 1 (a) & b*")),
            (0x13, b"a_b", None),
            (0x0c, "ü_".as_bytes(), Some("ü_")),
            (0x0c, b"\xff", None),
            (0x14, b"\xfc", Some("ü")),
            (0x16, b"\xfc", None),
            (0x12, b"12 3", Some("12 3")),
            (0x1e, b"\0A\0B\0\0", Some("AB")),
            (0x1e, b"\xd8\x00", None),
        ];
        for (tag, value, expected) in cases {
            let found = text(tag, value).ok().map(Option::unwrap);
            assert_eq!(found.as_deref(), expected, "{value:x?}");
        }
        assert_eq!(text(0x1e, b"A"), Err(Malformed));
        assert_eq!(text(0x02, b"\x01"), Ok(None));
    }

    #[test]
    fn the_last_common_name_counts_and_every_unit() {
        let attribute = |kind: u8, value: &str| {
            let length = u8::try_from(value.len()).unwrap();
            let mut der = vec![
                0x31,
                length + 9,
                0x30,
                length + 7,
                6,
                3,
                0x55,
                4,
                kind,
                0x0c,
                length,
            ];
            der.extend_from_slice(value.as_bytes());
            der
        };
        let sets = [
            attribute(3, "a"),
            attribute(11, "u"),
            attribute(10, "o"),
            attribute(11, "v"),
            attribute(10, "p"),
            attribute(3, "b"),
        ]
        .concat();
        let mut der = vec![0x30, u8::try_from(sets.len()).unwrap()];
        der.extend(sets);
        let name = Name::read(&der).unwrap();
        assert_eq!(name.common, "b");
        assert_eq!(name.organization, "o");
        assert_eq!(name.units, ["u", "v"]);
    }

    #[test]
    fn a_value_that_is_no_text_must_be_sound() {
        let read = |value: &[u8]| {
            let mut der = vec![0x31, 0, 0x30, 0, 6, 3, 0x55, 4, 3];
            der.extend_from_slice(value);
            let length = u8::try_from(der.len()).unwrap();
            (der[1], der[3]) = (length - 2, length - 4);
            Name::read(&[&[0x30, length][..], &der].concat()).is_some()
        };
        assert!(read(&[2, 1, 5]) && read(&[1, 1, 0xff]) && read(&[5, 0]));
        for value in [
            &[2, 2, 0, 5][..],
            &[1, 1, 7],
            &[6, 1, 0x80],
            &[0x17, 1, b'Z'],
        ] {
            assert!(!read(value), "{value:x?}");
        }
    }
}
