//! How many fields a message has, before it is read: an empty field takes two bytes on the way and many times as many
//! when it is read.

use bytes::{Buf as _, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The number of fields at a place in a message: of the message itself where `path` is empty, otherwise of all messages
/// that are the fields with these numbers, one in the other. What cannot be read counts as far as it can.
#[must_use]
pub fn fields(message: &Bytes, path: &[u32]) -> usize {
    let mut rest = message.clone();
    let mut count: usize = 0;
    while rest.has_remaining() {
        let Ok((number, kind)) = decode_key(&mut rest) else {
            break;
        };
        let Some((wanted, inner)) = path.split_first() else {
            count += 1;
            if skip_field(kind, number, &mut rest, DecodeContext::default()).is_err() {
                break;
            }
            continue;
        };
        if number != *wanted || kind != WireType::LengthDelimited {
            if skip_field(kind, number, &mut rest, DecodeContext::default()).is_err() {
                break;
            }
            continue;
        }
        let length = decode_varint(&mut rest).ok();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= rest.remaining()) else {
            break;
        };
        count = count.saturating_add(fields(&rest.split_to(length), inner));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message as _;
    use crate::peer::{ChaincodeInput, ChaincodeInvocationSpec, ChaincodeSpec};

    #[test]
    fn fields_are_counted_where_they_stand_and_over_all_parts_of_a_message_in_several() {
        let spec = ChaincodeInvocationSpec {
            chaincode_spec: Some(ChaincodeSpec {
                input: Some(ChaincodeInput {
                    args: vec![Bytes::new(); 7],
                    ..ChaincodeInput::default()
                }),
                ..ChaincodeSpec::default()
            }),
        };
        let once = Bytes::from(spec.encode_to_vec());
        assert_eq!(fields(&once, &[]), 1);
        assert_eq!(fields(&once, &[1, 3]), 7);
        // A message may come in parts, which are put together when it is read.
        let twice = Bytes::from([&once[..], &once[..]].concat());
        assert_eq!(fields(&twice, &[1, 3]), 14);
        for cut in 0..once.len() {
            assert!(fields(&once.slice(..cut), &[1, 3]) <= 7);
        }
        assert_eq!(fields(&Bytes::from_static(b"\xff\xff\xff"), &[]), 0);
    }
}
