//! How requests are read: as the bytes that came, for what is signed, or kept, must not be written again by us; or as
//! messages that have not too many fields.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use quire_wire::Message;
use quire_wire::count::fields;
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

/// Fields of a request, at most: each may take many times the bytes that it has on the way.
const MAX_FIELDS: usize = 65_536;

/// Requests and answers are messages.
#[derive(Debug)]
pub(super) struct Messages<A, Q>(PhantomData<(A, Q)>);

/// Reads a message that has not too many fields.
#[derive(Debug)]
pub(super) struct MessageDecoder<Q>(PhantomData<Q>);

impl<A, Q> Default for Messages<A, Q> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Message + 'static, Q: Message + Default + 'static> Codec for Messages<A, Q> {
    type Encode = A;
    type Decode = Q;
    type Encoder = ProstEncoder<A>;
    type Decoder = MessageDecoder<Q>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

impl<Q: Message + Default> Decoder for MessageDecoder<Q> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        let length = source.remaining();
        let bytes = source.copy_to_bytes(length);
        if fields(&bytes, &[]) > MAX_FIELDS {
            let text = format!("the request has more than {MAX_FIELDS} fields");
            return Err(Status::invalid_argument(text));
        }
        // grpc-go's text.
        let read = Q::decode(bytes);
        let read = read.map_err(|error| {
            Status::internal(format!("grpc: error unmarshalling request: {error}"))
        });
        read.map(Some)
    }
}
