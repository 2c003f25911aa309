//! What a chaincode asks for in private collections.

use quire_chaincode::shim::{Limits, Stream};
use quire_wire::shim::{ChaincodeMessage, DelState, GetState, MessageType, PutState};

use crate::bench::{Bench, NAME, OWN_COLLECTION, message};
use crate::kit::{next, pump};

fn get(kind: MessageType, collection: &str) -> ChaincodeMessage {
    let get = GetState {
        key: "k".to_owned(),
        collection: collection.to_owned(),
    };
    message(kind, "t", &get)
}

fn put(collection: &str) -> ChaincodeMessage {
    let put = PutState {
        key: "k".to_owned(),
        value: "v".into(),
        collection: collection.to_owned(),
    };
    message(MessageType::PutState, "t", &put)
}

fn completed() -> ChaincodeMessage {
    let response = quire_wire::peer::Response {
        status: 200,
        ..Default::default()
    };
    message(MessageType::Completed, "t", &response)
}

/// Says things in a call, which is answered so: the text of an error, or the bytes.
fn ask(stream: &Stream, bench: &Bench, said: Vec<ChaincodeMessage>) -> (Vec<String>, Vec<String>) {
    let mut call = bench.begin("t");
    next(stream).unwrap();
    let mut told = Vec::new();
    for message in said {
        stream.take(message).unwrap();
        call = pump(call);
        let answer = next(stream).unwrap();
        told.push(String::from_utf8(answer.payload.into()).unwrap());
    }
    stream.take(completed()).unwrap();
    let simulated = pump(call).done().unwrap();
    let results = simulated.simulator.into_results();
    let sets = results.private.ns_pvt_rwset.into_iter();
    let kept = sets.flat_map(|set| {
        assert_eq!(set.namespace, NAME);
        let names = set.collection_pvt_rwset.into_iter();
        names.map(|set| set.collection_name)
    });
    (told, kept.collect())
}

#[test]
fn values_of_the_organisations_own_collection_are_kept_and_those_of_others_are_refused_by_name() {
    let bench = Bench::new();
    let stream = bench.connect(Limits::default());
    let other = "_implicit_org_OtherMSP";
    let delete = DelState {
        key: "k2".to_owned(),
        collection: OWN_COLLECTION.to_owned(),
    };
    let (told, kept) = ask(
        &stream,
        &bench,
        vec![
            get(MessageType::GetState, OWN_COLLECTION),
            put(OWN_COLLECTION),
            message(MessageType::DelState, "t", &delete),
            // As in Fabric, a call reads what is committed.
            get(MessageType::GetState, OWN_COLLECTION),
            get(MessageType::GetPrivateDataHash, OWN_COLLECTION),
            // Of another organisation's there are hashes everywhere.
            get(MessageType::GetPrivateDataHash, other),
        ],
    );
    assert!(told.iter().all(String::is_empty), "{told:?}");
    assert_eq!(kept, [OWN_COLLECTION]);

    let (told, kept) = ask(
        &stream,
        &bench,
        vec![
            put(other),
            get(MessageType::GetState, other),
            get(MessageType::GetState, "ours"),
            get(MessageType::GetPrivateDataHash, "ours"),
        ],
    );
    assert!(
        told.iter()
            .all(|text| text.contains("private data are not supported yet")),
        "{told:?}"
    );
    assert!(kept.is_empty(), "{kept:?}");
}
