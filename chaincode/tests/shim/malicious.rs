//! Processes that say anything at any time.

use proptest::collection::vec;
use proptest::prelude::*;
use quire_chaincode::shim::{Limits, Stream};
use quire_chaincode::{Invocation, Simulated};
use quire_wire::Message as _;
use quire_wire::peer::{ChaincodeId, ChaincodeSpec};
use quire_wire::shim::{
    ChaincodeMessage, DelState, GetHistoryForKey, GetQueryResult, GetState, GetStateByRange,
    GetStateMultiple, MessageType, PutState, PutStateMetadata, QueryMetadata, QueryStateClose,
    QueryStateNext, StateMetadata, WriteBatchState, WriteRecord,
};

use crate::bench::{Bench, message};
use crate::kit::{next, pump};

/// What a stream may hold here.
const STREAM_BYTES: usize = 64 << 10;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// The process says this.
    Says(Box<ChaincodeMessage>),
    /// The process takes what is for it.
    Takes,
    /// Somebody calls the chaincode.
    Calls(String),
    /// Work is done on all calls.
    Works,
    /// Somebody hangs up.
    HangsUp,
}

fn tx_id() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abc]", 1 => ".{0,4}"]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![3 => "k00[0-9]{2}", 1 => ".{0,8}", 1 => Just(String::new())]
}

fn bytes(message: &impl quire_wire::Message) -> Vec<u8> {
    message.encode_to_vec()
}

fn page() -> impl Strategy<Value = bytes::Bytes> {
    (any::<Option<i8>>(), key()).prop_map(|(size, bookmark)| {
        let page = size.map(|size| QueryMetadata {
            page_size: size.into(),
            bookmark,
        });
        page.map(|page| bytes(&page).into()).unwrap_or_default()
    })
}

fn query() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#"{"selector":{"even":true}}"#.to_owned()),
        Just(r#"{"selector":{"n":{"$gt":7}},"fields":["n"],"skip":3}"#.to_owned()),
        Just(r#"{"selector":{},"fields":[1]}"#.to_owned()),
        ".{0,20}",
    ]
}

fn record() -> impl Strategy<Value = WriteRecord> {
    (key(), 0..26_i32, any::<bool>()).prop_map(|(key, kind, has_metadata)| WriteRecord {
        key,
        value: "v".into(),
        metadata: has_metadata.then(StateMetadata::default),
        r#type: kind,
        ..WriteRecord::default()
    })
}

/// A request that can be read, mostly one that makes sense.
fn request() -> impl Strategy<Value = (MessageType, Vec<u8>)> {
    use MessageType as M;
    let collection = || prop_oneof![5 => Just(String::new()), 1 => Just("c".to_owned())];
    let get = (key(), collection()).prop_map(|(key, collection)| GetState { key, collection });
    let value = vec(any::<u8>(), 0..9000);
    let put = (key(), value, collection()).prop_map(|(key, value, collection)| PutState {
        key,
        value: value.into(),
        collection,
    });
    let range = (key(), key(), page()).prop_map(|(start_key, end_key, metadata)| GetStateByRange {
        start_key,
        end_key,
        metadata,
        ..GetStateByRange::default()
    });
    let query = (query(), page()).prop_map(|(query, metadata)| GetQueryResult {
        query,
        metadata,
        ..GetQueryResult::default()
    });
    let called = prop_oneof!["endless", "[a-z:/]{0,9}"].prop_map(|name| ChaincodeSpec {
        chaincode_id: Some(ChaincodeId {
            name,
            ..ChaincodeId::default()
        }),
        ..ChaincodeSpec::default()
    });
    prop_oneof![
        get.prop_map(|get| (M::GetState, bytes(&get))),
        put.prop_map(|put| (M::PutState, bytes(&put))),
        range.prop_map(|range| (M::GetStateByRange, bytes(&range))),
        query.prop_map(|query| (M::GetQueryResult, bytes(&query))),
        called.prop_map(|spec| (M::InvokeChaincode, bytes(&spec))),
        key().prop_map(|key| (M::GetHistoryForKey, bytes(&GetHistoryForKey { key }))),
        key().prop_map(|key| {
            let delete = DelState {
                key,
                ..DelState::default()
            };
            (M::DelState, bytes(&delete))
        }),
        key().prop_map(|key| {
            let put = PutStateMetadata {
                key,
                ..PutStateMetadata::default()
            };
            (M::PutStateMetadata, bytes(&put))
        }),
        "[0-3]".prop_map(|id| (M::QueryStateNext, bytes(&QueryStateNext { id }))),
        "[0-3]".prop_map(|id| (M::QueryStateClose, bytes(&QueryStateClose { id }))),
        vec(record(), 0..5).prop_map(|rec| (M::WriteBatchState, bytes(&WriteBatchState { rec }))),
        vec(key(), 0..50).prop_map(|keys| {
            let get = GetStateMultiple {
                keys,
                ..GetStateMultiple::default()
            };
            (M::GetStateMultiple, bytes(&get))
        }),
    ]
}

/// Mostly something that a process may say, sometimes nonsense.
fn said() -> impl Strategy<Value = ChaincodeMessage> {
    let request = (request(), tx_id()).prop_map(|((kind, payload), tx_id)| ChaincodeMessage {
        payload: payload.into(),
        ..message(kind, &tx_id, &GetState::default())
    });
    let end =
        (any::<bool>(), vec(any::<u8>(), 0..9), tx_id()).prop_map(|(is_error, payload, tx)| {
            let kind = if is_error {
                MessageType::Error
            } else {
                MessageType::Completed
            };
            ChaincodeMessage {
                payload: payload.into(),
                ..message(kind, &tx, &GetState::default())
            }
        });
    let nonsense = (-1..30_i32, vec(any::<u8>(), 0..40), tx_id(), ".{0,4}");
    let nonsense = nonsense.prop_map(|(kind, payload, txid, channel_id)| ChaincodeMessage {
        r#type: kind,
        payload: payload.into(),
        txid,
        channel_id,
        ..ChaincodeMessage::default()
    });
    prop_oneof![30 => request, 6 => end, 1 => nonsense]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => said().prop_map(|said| Event::Says(Box::new(said))),
        3 => Just(Event::Takes),
        3 => "[abc]".prop_map(Event::Calls),
        8 => Just(Event::Works),
        1 => Just(Event::HangsUp),
    ]
}

/// Does what happens; the calls that are still under way.
fn happen(bench: &Bench, stream: &Stream, events: &[Event]) -> Vec<Invocation<Simulated>> {
    let mut calls = Vec::new();
    for event in events {
        match event {
            Event::Says(said) => drop(stream.take(ChaincodeMessage::clone(said))),
            Event::Takes => while next(stream).is_some() {},
            Event::Calls(tx_id) => calls.push(bench.begin(tx_id)),
            Event::Works => {
                calls = calls.into_iter().map(pump).collect();
                calls.retain(|call| matches!(call, Invocation::Waiting(_)));
            }
            Event::HangsUp => drop(calls.pop()),
        }
        assert!(stream.process().held_bytes() <= STREAM_BYTES);
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_a_process_says_no_more_is_held_than_may_be_and_every_call_ends(
        streams in vec(vec(event(), 1..60), 8),
    ) {
        let bench = Bench::new();
        for events in streams {
            let stream = bench.connect(Limits {
                message_bytes: 8 << 10,
                call_bytes: STREAM_BYTES / 2,
                stream_bytes: STREAM_BYTES,
                iterators: 3,
                strays: 5,
                ..Limits::default()
            });
            let process = stream.process();
            let calls = happen(&bench, &stream, &events);
            // What is left under way ends with the process, but for what another chaincode has.
            drop(stream);
            let calls: Vec<_> = calls.into_iter().map(pump).collect();
            let left = calls.iter().filter(|call| matches!(call, Invocation::Waiting(_)));
            prop_assert_eq!(left.count(), process.calls());
            prop_assert!(process.calls() <= 3);
            drop(calls);
            prop_assert_eq!((process.calls(), process.held_bytes()), (0, 0));
        }
    }

    /// As the transport would read them.
    #[test]
    fn any_bytes_are_no_message_or_one_that_is_taken_or_ends_the_stream(
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let stream = Stream::new(Limits::default(), |_| Ok(()));
        if let Ok(message) = ChaincodeMessage::decode(&*bytes) {
            let is_taken = stream.take(message).is_ok();
            let process = stream.process();
            prop_assert!(process.held_bytes() < 100 && (is_taken || !process.is_ready()));
        }
    }
}
