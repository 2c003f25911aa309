//! What certificates and revocation lists are written with: names, times, algorithms, extensions.

use time::OffsetDateTime;
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, construct_der};

use crate::error::{Code, Refusal};

/// `id-at`: parts of names.
pub(crate) const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
pub(crate) const COUNTRY: &[u64] = &[2, 5, 4, 6];
pub(crate) const LOCALITY: &[u64] = &[2, 5, 4, 7];
pub(crate) const STATE: &[u64] = &[2, 5, 4, 8];
pub(crate) const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
pub(crate) const UNIT: &[u64] = &[2, 5, 4, 11];

/// `ecdsa-with-SHA256`.
const SIGNATURE_ALGORITHM: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];

/// The first year that `UTCTime` cannot say.
const FIRST_GENERALIZED_YEAR: i32 = 2050;

/// The object identifier of these numbers.
pub(crate) fn oid(numbers: &[u64]) -> ObjectIdentifier {
    ObjectIdentifier::from_slice(numbers)
}

/// The algorithm of every signature of the authority.
pub(crate) fn write_algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| writer.next().write_oid(&oid(SIGNATURE_ALGORITHM)));
}

/// A name: each kind of part with its values in one set, as Go writes names.
pub(crate) fn write_name(writer: DERWriter<'_>, parts: &[(&[u64], &[String])]) {
    writer.write_sequence(|writer| {
        for (kind, values) in parts.iter().filter(|(_, values)| !values.is_empty()) {
            writer.next().write_set_of(|writer| {
                for value in *values {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&oid(kind));
                        write_text(writer.next(), value);
                    });
                }
            });
        }
    });
}

fn write_text(writer: DERWriter<'_>, text: &str) {
    // A question mark is printable too, but the writer takes none.
    let is_printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=".contains(&byte);
    if text.bytes().all(is_printable) {
        writer.write_printable_string(text);
    } else {
        writer.write_utf8_string(text);
    }
}

/// A second that can be written.
///
/// # Errors
/// If it lies outside of the years that have four digits.
pub(crate) fn time(second: i64) -> Result<OffsetDateTime, Refusal> {
    let time = OffsetDateTime::from_unix_timestamp(second).ok();
    let time = time.filter(|time| (1950..=9999).contains(&time.year()));
    time.ok_or_else(|| Refusal::new(500, Code::Unknown, "the clock is wrong"))
}

/// A time as RFC 5280 wants it: with two digits of the year while they suffice.
pub(crate) fn write_time(writer: DERWriter<'_>, time: OffsetDateTime) {
    if time.year() < FIRST_GENERALIZED_YEAR {
        writer.write_utctime(&UTCTime::from_datetime(time));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(time));
    }
}

/// An extension with what it holds.
pub(crate) fn write_extension(
    writer: &mut DERWriterSeq<'_>,
    kind: &[u64],
    is_critical: bool,
    content: &[u8],
) {
    writer.next().write_sequence(|writer| {
        writer.next().write_oid(&oid(kind));
        if is_critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(content);
    });
}

/// What is signed, how, and the signature.
pub(crate) fn signed(content: &[u8], signature: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(content);
            write_algorithm(writer.next());
            writer
                .next()
                .write_bitvec_bytes(signature, signature.len() * 8);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_be_part_of_a_name() {
        for byte in 0..=0x7f_u8 {
            let text = [format!("a{}", char::from(byte))];
            construct_der(|writer| write_name(writer, &[(COMMON_NAME, &text)]));
        }
    }
}
