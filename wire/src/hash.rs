//! Fabric's hashes over blocks and proposals.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// SHA-256 of `parts`, one after the other.
#[must_use]
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// What `BlockHeader.data_hash` must be: SHA-256 over the envelopes' bytes, without lengths between
/// them.
#[must_use]
pub fn data_hash<T: AsRef<[u8]>>(envelopes: &[T]) -> Hash {
    sha256(envelopes.iter().map(AsRef::as_ref))
}

/// The bytes that a block's hash and its orderer's signature cover:
/// `SEQUENCE { INTEGER number, OCTET STRING previous_hash, OCTET STRING data_hash }` in DER.
#[must_use]
pub fn header_der(number: u64, previous_hash: &[u8], data_hash: &[u8]) -> Vec<u8> {
    let number = number.to_be_bytes();
    let zeros = number
        .iter()
        .take_while(|byte| **byte == 0)
        .count()
        .min(number.len() - 1);
    let (_, digits) = number.split_at(zeros);
    // DER integers are signed: a leading bit needs a zero byte before it.
    let needs_sign_byte = digits.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut integer = Vec::with_capacity(9);
    if needs_sign_byte {
        integer.push(0);
    }
    integer.extend_from_slice(digits);

    let mut body = Vec::with_capacity(96);
    der_element(&mut body, 0x02, &integer);
    der_element(&mut body, 0x04, previous_hash);
    der_element(&mut body, 0x04, data_hash);
    let mut der = Vec::with_capacity(body.len() + 4);
    der_element(&mut der, 0x30, &body);
    der
}

/// The hash of a block: SHA-256 of [`header_der`]. It is not stored in its block; the next block
/// names it.
#[must_use]
pub fn block_hash(number: u64, previous_hash: &[u8], data_hash: &[u8]) -> Hash {
    sha256([header_der(number, previous_hash, data_hash).as_slice()])
}

/// The hash that endorsers put into their answer. It covers the bytes of both headers and of the
/// [`crate::peer::ChaincodeProposalPayload`] without its transient map.
#[must_use]
pub fn proposal_hash(
    channel_header: &[u8],
    signature_header: &[u8],
    proposal_payload: &[u8],
) -> Hash {
    sha256([channel_header, signature_header, proposal_payload])
}

fn der_element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len().to_be_bytes();
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            let (_, digits) = length.split_at(zeros);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "at most eight bytes in a length"
            )]
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader};
    use prost::Message;

    /// Envelope E0 of Fabric's golden vectors; E1 is the same without a transaction id.
    fn golden_envelope(tx_id: &str) -> Vec<u8> {
        let channel_header = ChannelHeader {
            r#type: 3,
            channel_id: "mychannel".into(),
            tx_id: tx_id.into(),
            ..Default::default()
        };
        let signature_header = SignatureHeader {
            creator: "creator".into(),
            nonce: "nonce".into(),
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec().into(),
                signature_header: signature_header.encode_to_vec().into(),
            }),
            data: "d".into(),
        };
        Envelope {
            payload: payload.encode_to_vec().into(),
            signature: "sig".into(),
        }
        .encode_to_vec()
    }

    #[test]
    fn envelopes_have_the_bytes_of_fabric() {
        assert_eq!(
            hex::encode(golden_envelope("tx0")),
            "0a2b0a260a12080322096d796368616e6e656c2a0374783012100a0763726561746f7212056e6f6e6365\
             1201641203736967"
        );
        assert_eq!(
            hex::encode(golden_envelope("")),
            "0a260a210a0d080322096d796368616e6e656c12100a0763726561746f7212056e6f6e6365120164\
             1203736967"
        );
    }

    #[test]
    fn data_and_header_hashes_are_those_of_fabric() {
        let data_hash = data_hash(&[golden_envelope("tx0"), golden_envelope("")]);
        assert_eq!(
            hex::encode(data_hash),
            "86e3807ca239063fe9e380f796acbe128d6ab3e5844e2a97a2bb7cd185adfaf9"
        );
        let previous_hash = [0xaa, 0xbb];
        assert_eq!(
            hex::encode(header_der(300, &previous_hash, &data_hash)),
            "302a0202012c0402aabb042086e3807ca239063fe9e380f796acbe128d6ab3e5844e2a97a2bb7cd185ad\
             faf9"
        );
        assert_eq!(
            hex::encode(block_hash(300, &previous_hash, &data_hash)),
            "83ec69869720a405fd2ebf040d5e0067fa5de3c63d35bf595433fa485eff0b78"
        );
    }

    #[test]
    fn a_block_number_with_its_top_bit_set_stays_positive() {
        assert_eq!(
            hex::encode(block_hash(u64::MAX, &[0; 32], &[0; 32])),
            "89da48b4dfe6a446c46603d329f72c0097cf41b9e20863189aeafe598e30a0c8"
        );
        assert_eq!(header_der(0, &[], &[]), [0x30, 7, 2, 1, 0, 4, 0, 4, 0]);
    }

    #[test]
    fn long_contents_get_long_lengths() {
        assert_eq!(
            header_der(1, &[7; 200], &[])[..9],
            [0x30, 0x81, 208, 2, 1, 1, 4, 0x81, 200]
        );
    }
}
