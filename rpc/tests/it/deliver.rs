//! Streams of blocks.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{iter, pending};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use quire_ledger::Block;
use quire_peer::{OpenChannel, Origin};
use quire_rpc::deliver::Service;
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::deliver::{
    BlockAndPrivateData, DeliverResponse, Nothing, Position, Response, SeekInfo, SeekPosition,
    SeekSpecified, seek_behavior, seek_content,
};
use quire_wire::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};
use quire_wire::transaction::Opened;
use tonic::{Code, Status};

use crate::kit::{Node, beginning};
use crate::recorded::{ALL, Exchange, MOST, exchanges, is_recorded, node_at};

/// Exchanges that depend on more than the channel, and why.
const ELSEWHERE: [(&str, &str); 3] = [
    (
        "DeliverWithPrivateData 142 to 165 at peer0.org2 by Org2 user",
        "another peer's private data",
    ),
    (
        "DeliverWithPrivateData 142 to 148 at peer1.org1 by Org1 user",
        "another peer's private data",
    ),
    (
        "DeliverWithPrivateData 186 to 187 at peer0.org2 by Org2 user",
        "another peer's private data",
    ),
];

fn service(method: &str) -> Service {
    match method {
        "/protos.Deliver/Deliver" => Service::Blocks,
        "/protos.Deliver/DeliverFiltered" => Service::Filtered,
        "/protos.Deliver/DeliverWithPrivateData" => Service::WithPrivateData,
        "/orderer.AtomicBroadcast/Deliver" => Service::Orderer,
        other => panic!("{other}"),
    }
}

fn requests(
    exchange: &Exchange,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + Unpin + use<> {
    let sent: Vec<Result<Bytes, Status>> = exchange.requests.iter().cloned().map(Ok).collect();
    let sent = iter(sent);
    if exchange.half_closed {
        sent.left_stream()
    } else {
        sent.chain(pending()).right_stream()
    }
}

/// The blocks of whose private data the recorded peer had purged a part, so that it does not have the blocks' hashes
/// any more: nothing of it is sent here.
const PURGED: [u64; 4] = [160, 161, 162, 165];

/// Whether a response has the recorded bytes. Fabric writes the entries of a map in any order.
fn is_same(response: &DeliverResponse, recorded: &str) -> bool {
    if is_recorded(&response.encode_to_vec(), recorded) {
        return true;
    }
    let Some(Response::BlockAndPrivateData(data)) = &response.response else {
        return false;
    };
    let header = data.block.as_ref().and_then(|block| block.header.as_ref());
    if header.is_some_and(|header| PURGED.contains(&header.number)) {
        let recorded = hex::decode(recorded).unwrap();
        let recorded = DeliverResponse::decode(recorded.as_slice()).unwrap();
        let Some(Response::BlockAndPrivateData(recorded)) = recorded.response else {
            return false;
        };
        return recorded.block == data.block && data.private_data.is_empty();
    }
    let private_data = data.private_data.iter().rev().cloned().collect();
    let reversed = BlockAndPrivateData {
        private_data,
        ..data.clone()
    };
    let reversed = DeliverResponse::from(Response::BlockAndPrivateData(reversed));
    is_recorded(&reversed.encode_to_vec(), recorded)
}

async fn check(node: &Node, exchange: &Exchange) {
    let label = &exchange.label;
    exchange.set_clock(node);
    let deliver = node.deliver();
    let answers = deliver.serve(service(&exchange.method), None, requests(exchange));
    let mut answers = pin!(answers);
    for (n, recorded) in exchange.responses.iter().enumerate() {
        let answer = answers.next().await.unwrap().unwrap();
        assert!(is_same(&answer, recorded), "{label}: {n}: {answer:?}");
    }
    if !exchange.ended {
        // The client ended it: it would have gone on, or waited.
        if exchange.message.contains("deadline") {
            assert!(answers.next().now_or_never().is_none(), "{label}");
        }
        return;
    }
    let end = answers.next().await;
    if exchange.code == 0 {
        assert!(end.is_none(), "{label}: {end:?}");
    } else {
        let status = end.unwrap().unwrap_err();
        assert_eq!(i32::from(status.code()), exchange.code, "{label}");
        assert_eq!(status.message(), exchange.message, "{label}");
        assert!(answers.next().await.is_none(), "{label}");
    }
}

/// Gives the node the private data of the recorded peer.
fn keep_private_data(open: &OpenChannel) {
    let reader = &open.channel.reader;
    let mut sets: BTreeMap<(u64, usize), TxPvtReadWriteSet> = BTreeMap::new();
    for row in conformance::read_lines("fabric-network/two-orgs-ledger/private-peer0.org1.jsonl") {
        let place = (
            row["block"].as_u64().unwrap(),
            usize::try_from(row["tx"].as_u64().unwrap()).unwrap(),
        );
        if place.0 >= reader.height() {
            continue;
        }
        let set = sets.entry(place).or_default();
        let name = row["namespace"].as_str().unwrap();
        if set
            .ns_pvt_rwset
            .last()
            .is_none_or(|last| last.namespace != name)
        {
            set.ns_pvt_rwset.push(NsPvtReadWriteSet {
                namespace: name.to_owned(),
                ..NsPvtReadWriteSet::default()
            });
        }
        let collection = CollectionPvtReadWriteSet {
            collection_name: row["collection"].as_str().unwrap().to_owned(),
            rwset: hex::decode(row["rwset_hex"].as_str().unwrap())
                .unwrap()
                .into(),
        };
        let last = set.ns_pvt_rwset.last_mut().unwrap();
        last.collection_pvt_rwset.push(collection);
    }
    assert!(sets.len() > 20);
    for ((number, tx), set) in sets {
        let block = reader.block(number).unwrap().unwrap();
        let opened = Opened::read(&block.envelopes[tx]).unwrap();
        reader
            .keep_private(&opened.channel_header.tx_id, &set)
            .unwrap();
    }
}

#[tokio::test]
async fn recorded_streams_of_blocks_are_answered_as_fabric_did() {
    let (node, open) = node_at(MOST);
    keep_private_data(&open);
    let mut left_out = Vec::new();
    let mut count = 0;
    for exchange in exchanges("deliver").iter().chain(&exchanges("orderer")) {
        if exchange.method.ends_with("Broadcast") {
            continue;
        }
        let elsewhere = ELSEWHERE.iter().find(|(label, _)| *label == exchange.label);
        if let Some((label, _)) = elsewhere {
            assert_ne!(exchange.node, "peer0.org1", "{label}");
            left_out.push(*label);
            continue;
        }
        check(&node, exchange).await;
        count += 1;
    }
    assert_eq!(left_out.len(), ELSEWHERE.len());
    assert_eq!(count, 78);
}

#[tokio::test]
async fn blocks_that_cannot_be_filtered_are_passed_over_as_in_fabric() {
    let (node, _open) = node_at(ALL);
    let exchanges = exchanges("filterbreak");
    for exchange in &exchanges {
        check(&node, exchange).await;
    }
    assert_eq!(exchanges.len(), 7);
}

/// What kills a peer of Fabric.
#[tokio::test]
async fn headers_of_filtered_blocks_are_refused() {
    let (node, _open) = node_at(20);
    let crash = &exchanges("deliver-crash")[0];
    crash.set_clock(&node);
    let deliver = node.deliver();
    let answers: Vec<_> = deliver
        .serve(Service::Filtered, None, requests(crash))
        .collect()
        .await;
    assert_eq!(statuses(answers), [Ok(400)]);
}

fn place(position: Position) -> SeekPosition {
    SeekPosition {
        position: Some(position),
    }
}

fn at(number: u64) -> SeekPosition {
    place(Position::Specified(SeekSpecified { number }))
}

/// The answers that are a status, or a failure.
fn statuses(answers: Vec<Result<DeliverResponse, Status>>) -> Vec<Result<i32, Code>> {
    let answers = answers.into_iter();
    let statuses = answers.filter_map(|answer| match answer.map(|answer| answer.response) {
        Ok(Some(Response::Status(status))) => Some(Ok(status)),
        Ok(_) => None,
        Err(status) => Some(Err(status.code())),
    });
    statuses.collect()
}

/// The number of a block in an answer.
fn number(answer: Option<Result<DeliverResponse, Status>>) -> u64 {
    match answer.unwrap().unwrap().response {
        Some(Response::Block(block)) => block.header.unwrap().number,
        other => panic!("{other:?}"),
    }
}

/// Puts a block of one envelope into the chain.
async fn add_block(node: &Node, open: &OpenChannel) -> u64 {
    let before = *open.channel.heights.borrow();
    let data = before.to_be_bytes().to_vec();
    let envelope = node.envelope(0, &open.channel.name, data);
    let outcome = open
        .peer()
        .unwrap()
        .order(envelope, Origin::Outside)
        .unwrap();
    drop(outcome);
    let mut heights = open.channel.heights.clone();
    heights.wait_for(|height| *height > before).await.unwrap();
    before
}

fn follow(start: SeekPosition) -> SeekInfo {
    SeekInfo {
        start: Some(start),
        stop: Some(at(u64::MAX)),
        ..SeekInfo::default()
    }
}

#[tokio::test]
async fn a_stream_that_waits_gets_the_next_block_and_ends_when_the_node_stops() {
    let node = Node::new();
    let open = node.create("main");
    let request = node.seek("main", &follow(place(Position::NextCommit(Nothing {}))));
    let deliver = node.deliver();
    let requests = iter([Ok(request)]).chain(pending());
    let mut answers = pin!(deliver.serve(Service::Blocks, None, requests));
    for expected in 1..4 {
        // The request is read by a worker, the first time; it begins at the height of that moment.
        let next = answers.next();
        let mut next = pin!(next);
        if expected == 1 {
            let waiting = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
            assert!(waiting.is_err());
        }
        assert_eq!(add_block(&node, &open).await, expected);
        assert_eq!(number(next.await), expected);
    }
    let mut next = pin!(answers.next());
    assert!(next.as_mut().now_or_never().is_none());
    node.stop();
    let stopped = next.await.unwrap().unwrap_err();
    assert_eq!(stopped.code(), Code::Unavailable);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_waits_on_a_channel_that_closes_gets_a_status() {
    let node = Node::new();
    let open = node.create("main");
    let request = node.seek("main", &follow(at(0)));
    let deliver = node.deliver();
    let requests = iter([Ok(request)]).chain(pending());
    let mut answers = pin!(deliver.serve(Service::Blocks, None, requests));
    assert_eq!(number(answers.next().await), 0);
    let mut next = pin!(answers.next());
    assert!(next.as_mut().now_or_never().is_none());
    open.close();
    assert_eq!(statuses(vec![next.await.unwrap()]), [Ok(503)]);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_reader_whose_certificate_expires_meanwhile_gets_no_further_block() {
    let node = Node::new();
    let open = node.create("main");
    add_block(&node, &open).await;
    let request = node.seek("main", &follow(at(0)));
    let deliver = node.deliver();
    let mut answers = pin!(deliver.serve(Service::Blocks, None, iter([Ok(request)])));
    assert_eq!(number(answers.next().await), 0);
    node.clock
        .set(beginning() + Duration::from_secs(100 * 365 * 86_400));
    assert_eq!(statuses(vec![answers.next().await.unwrap()]), [Ok(403)]);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_reader_who_may_not_read_any_more_does_not_get_the_block_that_says_so() {
    let node = Node::new();
    let open = node.create("main");
    let deliver = node.deliver();
    let request = node.seek("main", &follow(at(0)));
    let mut answers = pin!(deliver.serve(Service::Blocks, None, iter([Ok(request.clone())])));
    assert_eq!(number(answers.next().await), 0);
    let update = node.keep_blocks_for(&open, "/Channel/Application/Admins");
    let outcome = open.peer().unwrap().order(update, Origin::Outside).unwrap();
    assert!(outcome.await.unwrap().unwrap().code.is_valid());
    assert_eq!(statuses(vec![answers.next().await.unwrap()]), [Ok(403)]);
    assert!(answers.next().await.is_none());
    let again = deliver.serve(Service::Blocks, None, iter([Ok(request.clone())]));
    assert_eq!(statuses(again.collect().await), [Ok(403)]);
    // Filtered blocks are another resource.
    let mut filtered = pin!(deliver.serve(Service::Filtered, None, iter([Ok(request)])));
    let first = filtered.next().await.unwrap().unwrap().response;
    assert!(matches!(first, Some(Response::FilteredBlock(_))));
}

#[tokio::test]
async fn under_mutual_tls_a_request_is_bound_to_its_connection() {
    let node = Node::new();
    node.create("main");
    let newest = Some(place(Position::Newest(Nothing {})));
    let info = SeekInfo {
        start: newest,
        stop: newest,
        ..SeekInfo::default()
    };
    let unbound = node.seek("main", &info);
    let bound = node.bound_seek("main", &info, [5; 32]);
    let deliver = node.deliver();
    for (request, certificate, expected) in [
        (&unbound, None, 200),
        (&bound, None, 200),
        (&bound, Some([5; 32]), 200),
        (&bound, Some([6; 32]), 400),
        (&unbound, Some([5; 32]), 400),
    ] {
        let requests = iter([Ok(request.clone())]);
        let answers = deliver.serve(Service::Blocks, certificate, requests);
        assert_eq!(statuses(answers.collect().await), [Ok(expected)]);
    }
}

#[tokio::test]
async fn what_a_stream_does_is_told_once_and_also_how_it_ended() {
    let node = Node::new();
    node.create("main");
    let sound = SeekInfo {
        start: Some(at(0)),
        stop: Some(at(0)),
        ..SeekInfo::default()
    };
    let sound = node.seek("main", &sound);
    let odd = node.seek("main", &SeekInfo::default());
    let elsewhere = node.seek("nowhere", &follow(at(0)));
    let deliver = node.deliver();
    for requests in [vec![sound, odd], vec![elsewhere]] {
        let requests = iter(requests.into_iter().map(Ok));
        let answers = deliver.serve(Service::Blocks, None, requests);
        drop(answers.collect::<Vec<_>>().await);
    }
    let asked = "SeekReceived(\"main\", Blocks)";
    assert_eq!(
        node.told(),
        [
            "StreamOpened",
            asked,
            "BlockSent(\"main\", Blocks)",
            "SeekCompleted(\"main\", Blocks, true)",
            asked,
            "SeekCompleted(\"main\", Blocks, false)",
            "StreamClosed",
            "StreamOpened",
            "StreamClosed",
        ]
    );
}

#[tokio::test]
async fn nothing_of_this_node_alone_leaves_it_with_a_block() {
    let node = Node::new();
    let open = node.create("main");
    add_block(&node, &open).await;
    let stored: Arc<Block> = open.channel.reader.block(1).unwrap().unwrap();
    assert_eq!(stored.metadata.len(), 6);
    let info = SeekInfo {
        start: Some(at(1)),
        stop: Some(at(1)),
        content_type: seek_content::BLOCK,
        behavior: seek_behavior::FAIL_IF_NOT_READY,
        ..SeekInfo::default()
    };
    let deliver = node.deliver();
    for (service, filled) in [
        (Service::Blocks, [true, false, true, false, true]),
        (Service::Orderer, [true, false, false, false, false]),
    ] {
        let request = node.seek("main", &info);
        let answers = deliver.serve(service, None, iter([Ok(request)]));
        let answers: Vec<_> = answers.collect().await;
        let Some(Response::Block(block)) = &answers[0].as_ref().unwrap().response else {
            panic!("{answers:?}");
        };
        let slots = &block.metadata.as_ref().unwrap().metadata;
        let found: Vec<bool> = slots.iter().map(|slot| !slot.is_empty()).collect();
        assert_eq!(found, filled, "{service:?}");
        assert_eq!(block.data.as_ref().unwrap().data, stored.envelopes);
    }
}
