//! How a call and a stream can end, and that each costs its own only.

use std::sync::atomic::Ordering;

use quire_chaincode::shim::{Limits, ShimError, Stream};
use quire_chaincode::{ChaincodeError, Invocation};
use quire_wire::Message as _;
use quire_wire::peer::{ChaincodeId, ChaincodeSpec, Response};
use quire_wire::shim::{
    ChaincodeMessage, GetQueryResult, GetState, GetStateByRange, MessageType, PutState,
    QueryMetadata, QueryResponse, QueryResponseMetadata, QueryStateNext,
};

use crate::bench::{Bench, NAME, ROWS, error, message};
use crate::kit::{next, pump, register};

fn get(tx_id: &str, key: &str) -> ChaincodeMessage {
    let get = GetState {
        key: key.to_owned(),
        ..GetState::default()
    };
    message(MessageType::GetState, tx_id, &get)
}

fn completed(tx_id: &str, status: i32) -> ChaincodeMessage {
    let response = Response {
        status,
        message: "said".to_owned(),
        payload: "given".into(),
    };
    message(MessageType::Completed, tx_id, &response)
}

fn text(message: &ChaincodeMessage) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

fn why(error: ChaincodeError) -> ShimError {
    match error {
        ChaincodeError::Unavailable { chaincode, source } => {
            assert_eq!(chaincode, NAME);
            source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_registers_first_and_once_and_under_a_name_that_it_may_have() {
    let first = Stream::new(Limits::default(), |_| Ok(()));
    let refused = first.take(get("t", "k")).unwrap_err();
    assert!(matches!(
        refused,
        ShimError::OutOfTurn {
            state: "created",
            ..
        }
    ));
    assert!(next(&first).is_none());

    let other = ShimError::OtherName {
        expected: "cc".to_owned(),
        found: "dd".to_owned(),
    };
    let expected = other.clone();
    let named = Stream::new(Limits::default(), move |name| {
        assert_eq!(name, "dd");
        Err(other)
    });
    assert_eq!(named.take(register("dd")), Err(expected));
    assert!(!named.process().is_ready());

    let bench = Bench::new();
    let twice = bench.connect(Limits::default());
    let call = bench.begin("t");
    let refused = twice.take(register(NAME)).unwrap_err();
    assert!(matches!(
        refused,
        ShimError::OutOfTurn { state: "ready", .. }
    ));
    assert_eq!(why(error(call)), refused);
    assert_eq!(why(error(bench.begin("u"))), refused);
}

#[test]
fn what_a_chaincode_answers_is_what_the_call_comes_to() {
    let bench = Bench::new();
    let stream = bench.connect(Limits::default());
    let call = bench.begin("well");
    stream.take(completed("well", 399)).unwrap();
    let answer = pump(call).done().unwrap().answer.unwrap();
    assert_eq!((answer.status, &*answer.message), (399, "said"));
    assert_eq!(answer.payload, "given");

    let call = bench.begin("no");
    stream.take(completed("no", 400)).unwrap();
    let refused = error(call);
    let ChaincodeError::Refused {
        status: 400,
        message: said,
        payload,
    } = &refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((&**said, &payload[..]), ("said", &b"given"[..]));

    let call = bench.begin("error");
    let failed = ChaincodeMessage {
        payload: "broken".into(),
        ..message(MessageType::Error, "error", &Response::default())
    };
    stream.take(failed).unwrap();
    assert!(
        matches!(error(call), ChaincodeError::Refused { status: 500, message, .. } if message == "broken")
    );

    let call = bench.begin("unreadable");
    let unreadable = ChaincodeMessage {
        payload: "\u{1}".into(),
        ..message(MessageType::Completed, "unreadable", &Response::default())
    };
    stream.take(unreadable).unwrap();
    assert!(matches!(why(error(call)), ShimError::Malformed(_)));
    assert_eq!(
        (
            stream.process().calls(),
            bench.clock.callees.load(Ordering::SeqCst)
        ),
        (0, 0)
    );
}

#[test]
fn a_second_request_before_the_answer_is_dropped_and_an_end_is_not() {
    let bench = Bench::new();
    let stream = bench.connect(Limits::default());
    let call = bench.begin("t");
    assert_eq!(
        next(&stream).unwrap().r#type,
        i32::from(MessageType::Transaction)
    );
    stream.take(get("t", "k0001")).unwrap();
    stream.take(get("t", "k0002")).unwrap();
    let call = pump(call);
    assert_eq!(text(&next(&stream).unwrap()), r#"{"n":1,"even":false}"#);
    assert!(next(&stream).is_none());
    stream.take(get("t", "k0002")).unwrap();
    stream.take(completed("t", 200)).unwrap();
    assert!(pump(call).done().unwrap().answer.is_ok());
}

#[test]
fn requests_for_transactions_that_are_not_there_are_answered_so_until_they_are_a_flood() {
    let bench = Bench::new();
    let stream = bench.connect(Limits {
        strays: 3,
        ..Limits::default()
    });
    stream.take(completed("nobody", 200)).unwrap();
    assert!(next(&stream).is_none());
    for _ in 0..10 {
        stream.take(get("nobody", "k")).unwrap();
        let told = next(&stream).unwrap();
        assert_eq!(
            text(&told),
            "GET_STATE failed: transaction ID: nobody: no ledger context"
        );
    }
    let call = bench.begin("t");
    for _ in 0..3 {
        stream.take(get("nobody", "k")).unwrap();
    }
    assert_eq!(stream.take(get("nobody", "k")), Err(ShimError::Flood));
    assert_eq!(why(error(call)), ShimError::Flood);
    assert_eq!(stream.process().held_bytes(), 0);
}

#[test]
fn a_process_that_dies_costs_its_own_calls_and_the_next_one_makes_the_others() {
    let bench = Bench::new();
    assert_eq!(why(error(bench.begin("early"))), ShimError::NotConnected);
    let dying = bench.connect(Limits::default());
    let (waiting, asking) = (bench.begin("t"), bench.begin("u"));
    dying.take(get("u", "k0001")).unwrap();
    let living = bench.connect(Limits::default());
    let other = bench.begin("t");
    drop(dying);
    assert_eq!(why(error(waiting)), ShimError::Gone);
    assert_eq!(why(error(asking)), ShimError::Gone);
    living.take(completed("t", 200)).unwrap();
    assert!(pump(other).done().unwrap().answer.is_ok());
}

#[test]
fn a_call_waits_for_a_process_that_is_about_to_come_and_for_no_other() {
    let bench = Bench::new();
    bench.clock.waits.store(true, Ordering::SeqCst);
    let (early, dropped) = (bench.begin("t"), bench.begin("u"));
    assert!(matches!(early, Invocation::Waiting(_)));
    drop(dropped);
    let stream = bench.connect(Limits::default());
    let early = pump(early);
    assert_eq!(next(&stream).unwrap().txid, "t");
    assert!(next(&stream).is_none(), "the other one is ended");
    stream.take(completed("t", 200)).unwrap();
    assert!(pump(early).done().unwrap().answer.is_ok());

    // Behind a death calls wait again, but not for ever, and whoever comes then does not wait.
    drop(stream);
    let late = bench.begin("v");
    assert!(matches!(late, Invocation::Waiting(_)));
    bench.clock.waits.store(false, Ordering::SeqCst);
    assert_eq!(why(error(late)), ShimError::Gone);
    bench.clock.waits.store(true, Ordering::SeqCst);
    assert_eq!(why(error(bench.begin("w"))), ShimError::Gone);
    let stream = bench.connect(Limits::default());
    let call = bench.begin("x");
    stream.take(completed("x", 200)).unwrap();
    assert!(pump(call).done().unwrap().answer.is_ok());
}

#[test]
fn a_call_that_takes_too_long_ends_and_so_does_what_it_called() {
    let bench = Bench::new();
    let stream = bench.connect(Limits::default());
    let (thinking, calling) = (bench.begin("t"), bench.begin("u"));
    let callee = ChaincodeSpec {
        chaincode_id: Some(ChaincodeId {
            name: "endless".to_owned(),
            ..ChaincodeId::default()
        }),
        ..ChaincodeSpec::default()
    };
    stream
        .take(message(MessageType::InvokeChaincode, "u", &callee))
        .unwrap();
    let (thinking, calling) = (pump(thinking), pump(calling));
    assert_eq!(bench.clock.callees.load(Ordering::SeqCst), 1);
    bench.clock.is_up.store(true, Ordering::SeqCst);
    // Whoever always asks for more is too late all the same.
    stream.take(get("t", "k0001")).unwrap();
    for call in [thinking, calling] {
        assert!(matches!(error(call), ChaincodeError::TimedOut { .. }));
    }
    while let Some(told) = next(&stream) {
        assert_ne!(told.r#type, i32::from(MessageType::Response));
    }
    assert_eq!(bench.clock.callees.load(Ordering::SeqCst), 0);
    assert_eq!(stream.process().calls(), 0);
}

#[test]
fn a_transaction_has_one_call_in_a_process_and_a_process_so_many_calls() {
    let bench = Bench::new();
    let stream = bench.connect(Limits {
        calls: 2,
        ..Limits::default()
    });
    let first = bench.begin("t");
    assert_eq!(why(error(bench.begin("t"))), ShimError::SameTransaction);
    let second = bench.begin("u");
    assert_eq!(why(error(bench.begin("v"))), ShimError::Crowded(2));
    // Whoever hangs up makes room.
    drop(first);
    let third = bench.begin("v");
    drop((second, third));
    assert_eq!(stream.process().calls(), 0);
}

#[test]
fn what_a_call_makes_the_node_hold_is_bounded_and_given_back() {
    let bench = Bench::new();
    let stream = bench.connect(Limits {
        call_bytes: 1 << 20,
        message_bytes: 1 << 19,
        ..Limits::default()
    });
    while next(&stream).is_some() {}
    let mut call = bench.begin("t");
    assert!(next(&stream).is_some());
    let put = PutState {
        key: "k".to_owned(),
        value: vec![7; 300 << 10].into(),
        ..PutState::default()
    };
    for _ in 0..3 {
        stream
            .take(message(MessageType::PutState, "t", &put))
            .unwrap();
        call = pump(call);
        assert_eq!(
            next(&stream).unwrap().r#type,
            i32::from(MessageType::Response)
        );
    }
    stream
        .take(message(MessageType::PutState, "t", &put))
        .unwrap();
    assert!(matches!(error(call), ChaincodeError::TooLarge { .. }));
    assert_eq!(next(&stream).unwrap().r#type, i32::from(MessageType::Error));
    assert_eq!(stream.process().held_bytes(), 0);
    let large = PutState {
        value: vec![7; 1 << 20].into(),
        ..PutState::default()
    };
    let refused = stream.take(message(MessageType::PutState, "t", &large));
    assert!(matches!(refused, Err(ShimError::TooLarge { .. })));
}

#[test]
fn a_process_that_takes_no_answers_costs_the_calls_whose_answers_do_not_fit() {
    let bench = Bench::new();
    let limits = Limits {
        stream_bytes: 4096,
        ..Limits::default()
    };
    let stream = bench.connect(limits);
    let mut ended = 0;
    for n in 0..100 {
        let tx_id = format!("t{n}");
        let mut call = bench.begin(&tx_id);
        if stream.take(get(&tx_id, "k0001")).is_ok() {
            call = pump(call);
        }
        assert!(stream.process().held_bytes() <= 4096);
        if let Some(simulated) = call.done() {
            assert_eq!(
                why(simulated.answer.unwrap_err()),
                ShimError::Overfull(4096)
            );
            ended += 1;
        }
    }
    assert!(ended > 0);
}

fn range(tx_id: &str, page: Option<(i32, &str)>) -> ChaincodeMessage {
    let metadata = page.map(|(page_size, bookmark)| QueryMetadata {
        page_size,
        bookmark: bookmark.to_owned(),
    });
    let range = GetStateByRange {
        metadata: metadata
            .map(|page| page.encode_to_vec().into())
            .unwrap_or_default(),
        ..GetStateByRange::default()
    };
    message(MessageType::GetStateByRange, tx_id, &range)
}

#[test]
fn iterators_of_a_call_are_bounded_and_each_goes_on_where_it_was() {
    let bench = Bench::new();
    let stream = bench.connect(Limits {
        iterators: 2,
        ..Limits::default()
    });
    let mut call = bench.begin("t");
    assert!(next(&stream).is_some());
    let mut ids = Vec::new();
    for _ in 0..2 {
        stream.take(range("t", None)).unwrap();
        call = pump(call);
        let rows = QueryResponse::decode(next(&stream).unwrap().payload).unwrap();
        assert_eq!((rows.results.len(), rows.has_more), (100, true));
        ids.push(rows.id);
    }
    stream.take(range("t", None)).unwrap();
    call = pump(call);
    assert!(text(&next(&stream).unwrap()).contains("2 iterators are open"));
    let mut seen = 100;
    loop {
        let id = ids[0].clone();
        stream
            .take(message(
                MessageType::QueryStateNext,
                "t",
                &QueryStateNext { id },
            ))
            .unwrap();
        call = pump(call);
        let rows = QueryResponse::decode(next(&stream).unwrap().payload).unwrap();
        seen += rows.results.len();
        if !rows.has_more {
            break;
        }
    }
    assert_eq!(seen, ROWS);
    drop(call);
}

#[test]
fn pages_of_documents_follow_each_other_and_a_whole_query_comes_in_batches() {
    let bench = Bench::new();
    let stream = bench.connect(Limits::default());
    let query = |bookmark: Option<&str>| {
        let metadata = bookmark.map(|bookmark| QueryMetadata {
            page_size: 60,
            bookmark: bookmark.to_owned(),
        });
        let query = GetQueryResult {
            query: r#"{"selector":{"even":true},"limit":3}"#.to_owned(),
            metadata: metadata
                .map(|page| page.encode_to_vec().into())
                .unwrap_or_default(),
            ..GetQueryResult::default()
        };
        message(MessageType::GetQueryResult, "t", &query)
    };
    let mut call = bench.begin("t");
    assert!(next(&stream).is_some());
    let (mut bookmark, mut pages) = (String::new(), Vec::new());
    for _ in 0..3 {
        stream.take(query(Some(&bookmark))).unwrap();
        call = pump(call);
        let rows = QueryResponse::decode(next(&stream).unwrap().payload).unwrap();
        let said = QueryResponseMetadata::decode(rows.metadata).unwrap();
        let count = usize::try_from(said.fetched_records_count).unwrap();
        assert_eq!(count, rows.results.len());
        pages.push(rows.results.len());
        bookmark = said.bookmark;
    }
    assert_eq!(pages, [60, 60, 30]);
    stream.take(query(None)).unwrap();
    drop(pump(call));
    let rows = QueryResponse::decode(next(&stream).unwrap().payload).unwrap();
    assert_eq!((rows.results.len(), rows.has_more), (100, true));
    let row = quire_wire::query_result::Kv::decode(rows.results[1].result_bytes.clone()).unwrap();
    assert_eq!(
        (&*row.key, &row.value[..]),
        ("k0002", &br#"{"n":2,"even":true}"#[..])
    );
}
