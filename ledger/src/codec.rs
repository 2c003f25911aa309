//! The two integer encodings of Fabric's ledger, and a cursor that reads them from untrusted bytes.
//!
//! * *uvarint*: protobuf's varint, with seven bits in each byte, lowest first. Lengths in block files have
//!   it.
//! * *order-preserving varint* (OPV): one byte that counts the following bytes, then the number big-endian
//!   without leading zero bytes. The order of bytes is the order of numbers, so keys sort.

use bytes::Bytes;

/// Appends `value` as a protobuf varint.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        if value < 0x80 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
        value >>= 7;
    }
}

/// How many bytes [`put_uvarint`] appends.
pub(crate) fn uvarint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends `value` as an order-preserving varint.
pub(crate) fn put_opv(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let zeros = value.leading_zeros() as usize / 8;
    let (_, digits) = bytes.split_at(zeros);
    #[expect(clippy::cast_possible_truncation, reason = "at most eight digits")]
    out.push(digits.len() as u8);
    out.extend_from_slice(digits);
}

/// Appends field `number`, below 16, of a protobuf message: bytes or text. Appends nothing if they are empty,
/// which is proto3's default.
pub(crate) fn put_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_message(out, number, bytes);
    }
}

/// Appends field `number`, below 16, of a protobuf message: a message, even if it is empty.
pub(crate) fn put_message(out: &mut Vec<u8>, number: u8, message: &[u8]) {
    /// Protobuf's wire type for fields with a length prefix.
    const LENGTH_DELIMITED: u8 = 2;
    out.push(number << 3 | LENGTH_DELIMITED);
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(message);
}

/// Reads a uvarint at the start of `bytes`.
///
/// Returns `Ok(None)` if the bytes end inside the number, and `Err` if it is not a 64-bit number.
pub(crate) fn peek_uvarint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut value = 0_u64;
    for (position, byte) in bytes.iter().enumerate() {
        let shift = position * 7;
        let low = u64::from(byte & 0x7f);
        if shift > 63 || (shift == 63 && low > 1) {
            return Err(Malformed("a length is not a 64-bit number"));
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value, position + 1)));
        }
    }
    Ok(None)
}

/// Bytes that do not have the form they should have; the text says which rule they break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

const ENDS_EARLY: Malformed = Malformed("the bytes end too early");

/// Reads encoded values front to back.
#[derive(Debug)]
pub(crate) struct Cursor {
    bytes: Bytes,
    position: usize,
}

impl Cursor {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// The bytes that were not read yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Malformed> {
        let (value, length) = peek_uvarint(self.rest())?.ok_or(ENDS_EARLY)?;
        self.position += length;
        Ok(value)
    }

    pub(crate) fn opv(&mut self) -> Result<u64, Malformed> {
        let (count, rest) = self.rest().split_first().ok_or(ENDS_EARLY)?;
        let count = usize::from(*count);
        let digits = rest.get(..count).ok_or(ENDS_EARLY)?;
        if count > 8 || digits.first() == Some(&0) {
            return Err(Malformed(
                "an order-preserving number is not in its shortest form",
            ));
        }
        let value = digits
            .iter()
            .fold(0, |value, digit| value << 8 | u64::from(*digit));
        self.position += 1 + count;
        Ok(value)
    }

    pub(crate) fn take(&mut self, length: u64) -> Result<Bytes, Malformed> {
        let length = usize::try_from(length).map_err(|_| ENDS_EARLY)?;
        let end = self.position.checked_add(length).ok_or(ENDS_EARLY)?;
        if end > self.bytes.len() {
            return Err(ENDS_EARLY);
        }
        let taken = self.bytes.slice(self.position..end);
        self.position = end;
        Ok(taken)
    }

    /// A uvarint length and that many bytes.
    pub(crate) fn length_prefixed(&mut self) -> Result<Bytes, Malformed> {
        let length = self.uvarint()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_preserving_numbers_have_the_bytes_of_fabric_and_come_back() {
        let cases: [(u64, &[u8]); 5] = [
            (0, &[0]),
            (1, &[1, 1]),
            (255, &[1, 255]),
            (256, &[2, 1, 0]),
            (u64::MAX, &[8, 255, 255, 255, 255, 255, 255, 255, 255]),
        ];
        for (value, expected) in cases {
            let mut bytes = Vec::new();
            put_opv(&mut bytes, value);
            assert_eq!(bytes, expected);
            assert_eq!(Cursor::new(bytes.into()).opv(), Ok(value));
        }
    }

    #[test]
    fn uvarints_come_back_and_their_length_is_known() {
        for value in [0, 1, 127, 128, 300, 1 << 21, 1 << 63, u64::MAX] {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            assert_eq!(bytes.len(), uvarint_len(value), "{value}");
            assert_eq!(peek_uvarint(&bytes), Ok(Some((value, bytes.len()))));
            assert_eq!(peek_uvarint(&bytes[..bytes.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn malformed_numbers_are_refused() {
        assert!(peek_uvarint(&[0xff; 11]).is_err());
        assert!(peek_uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).is_err());
        for bytes in [
            &[9_u8, 1, 1, 1, 1, 1, 1, 1, 1, 1][..],
            &[1, 0],
            &[2, 1],
            &[],
        ] {
            assert!(
                Cursor::new(Bytes::copy_from_slice(bytes)).opv().is_err(),
                "{bytes:?}"
            );
        }
    }
}
