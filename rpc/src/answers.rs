//! How the answers of other orderers and peers are read: no message may take much more memory than it had bytes on the
//! way.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use quire_wire::Message;
use quire_wire::common::Envelope;
use quire_wire::count::fields;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// Where an answer to Deliver has fields that may stand there any number of times: a block's envelopes and slots, the
/// transactions of a filtered block with their actions and events, and the private values beside a block.
const REPEATED: [&[u32]; 9] = [
    &[2, 2],
    &[2, 3],
    &[3],
    &[3, 4],
    &[3, 4, 4],
    &[3, 4, 4, 1],
    &[4, 1, 2],
    &[4, 1, 3],
    &[4],
];
/// So many fields any answer may have, and one more for so many of its bytes: an envelope has some hundred.
const FIELDS: usize = 65_536;
const BYTES_A_FIELD: usize = 64;

/// Requests are envelopes, answers are messages.
#[derive(Debug)]
pub(crate) struct Answers<A>(PhantomData<A>);

impl<A> Default for Answers<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Reads an answer that has not too many fields.
#[derive(Debug)]
pub(crate) struct AnswerDecoder<A>(PhantomData<A>);

impl<A: Message + Default + 'static> Codec for Answers<A> {
    type Encode = Envelope;
    type Decode = A;
    type Encoder = ProstEncoder<Envelope>;
    type Decoder = AnswerDecoder<A>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        AnswerDecoder(PhantomData)
    }
}

impl<A: Message + Default> Decoder for AnswerDecoder<A> {
    type Item = A;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        let length = source.remaining();
        let bytes = source.copy_to_bytes(length);
        check(&bytes)?;
        let read = A::decode(bytes);
        let read = read.map_err(|error| Status::internal(format!("no message: {error}")));
        read.map(Some)
    }
}

fn check(message: &Bytes) -> Result<(), Status> {
    let most = FIELDS + message.len() / BYTES_A_FIELD;
    let mut count: usize = 0;
    for place in REPEATED {
        count = count.saturating_add(fields(message, place));
        if count > most {
            let bytes = message.len();
            let text = format!("an answer of {bytes} bytes has more than {most} fields");
            return Err(Status::resource_exhausted(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quire_wire::common::{Block, BlockData};
    use quire_wire::deliver::DeliverResponse;

    use super::*;

    fn of(count: usize, bytes: usize) -> Bytes {
        let block = Block {
            data: Some(BlockData {
                data: vec![vec![7; bytes].into(); count],
            }),
            ..Block::default()
        };
        let answer = DeliverResponse::from(quire_wire::deliver::Response::Block(block));
        answer.encode_to_vec().into()
    }

    #[test]
    fn a_block_of_many_small_envelopes_is_read_and_one_of_millions_of_empty_ones_is_not() {
        assert!(check(&of(10_000, 0)).is_ok());
        assert!(check(&of(500_000, 100)).is_ok());
        let refused = check(&of(1_000_000, 0)).unwrap_err();
        assert_eq!(
            refused.message(),
            "an answer of 2000008 bytes has more than 96786 fields"
        );
    }
}
