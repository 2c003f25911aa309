//! Requests as the bytes that came: what is signed, or kept, must not be written again by us.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use quire_wire::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// Requests are bytes, answers are messages.
#[derive(Debug)]
pub(super) struct RawRequests<A>(PhantomData<A>);

/// Takes a message as it is.
#[derive(Debug)]
pub(super) struct RawDecoder;

impl<A> Default for RawRequests<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Message + 'static> Codec for RawRequests<A> {
    type Encode = A;
    type Decode = Bytes;
    type Encoder = ProstEncoder<A>;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder
    }
}

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = source.remaining();
        Ok(Some(source.copy_to_bytes(length)))
    }
}
