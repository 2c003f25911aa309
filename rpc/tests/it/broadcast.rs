//! Envelopes for a channel's order.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{iter, pending};
use quire_wire::Message as _;
use quire_wire::deliver::BroadcastResponse;
use tonic::{Code, Status};

use crate::kit::Node;
use crate::recorded::{Exchange, MOST, exchanges, node_at, plain};

async fn answers(
    node: &Node,
    envelopes: impl IntoIterator<Item = Bytes>,
) -> Vec<Result<BroadcastResponse, Status>> {
    let envelopes: Vec<Result<Bytes, Status>> = envelopes.into_iter().map(Ok).collect();
    node.broadcast().serve(iter(envelopes)).collect().await
}

fn check(exchange: &Exchange, answers: Vec<Result<BroadcastResponse, Status>>) {
    let label = &exchange.label;
    let mut answers = answers.into_iter();
    for recorded in &exchange.responses {
        let recorded = hex::decode(recorded).unwrap();
        let mut recorded = BroadcastResponse::decode(recorded.as_slice()).unwrap();
        recorded.info = plain(&recorded.info);
        assert_eq!(answers.next().unwrap().unwrap(), recorded, "{label}");
    }
    if exchange.code != 0 {
        let status = answers.next().unwrap().unwrap_err();
        assert_eq!(i32::from(status.code()), exchange.code, "{label}");
        assert_eq!(status.message(), exchange.message, "{label}");
    }
    assert!(answers.next().is_none(), "{label}");
}

#[tokio::test]
async fn recorded_envelopes_are_answered_as_fabrics_orderer_did() {
    let (node, _open) = node_at(MOST);
    let mut count = 0;
    for exchange in exchanges("orderer") {
        if !exchange.method.ends_with("Broadcast") {
            continue;
        }
        assert!(exchange.ended && exchange.half_closed, "{}", exchange.label);
        exchange.set_clock(&node);
        let answers = answers(&node, exchange.requests.iter().cloned()).await;
        check(&exchange, answers);
        count += 1;
    }
    assert_eq!(count, 20);
}

#[tokio::test]
async fn what_was_answered_with_200_comes_into_a_block_as_it_was_sent() {
    let node = Node::new();
    let open = node.create("main");
    // A field that nobody here knows: Go keeps it, and signatures do not cover it.
    let mut envelope = node.envelope(0, "main", b"data".to_vec()).to_vec();
    envelope.extend_from_slice(b"\x7a\x03abc");
    let answered = answers(&node, [Bytes::from(envelope.clone())]).await;
    assert_eq!(answered[0].as_ref().unwrap().status, 200);
    assert_eq!(node.told(), ["main MESSAGE SUCCESS"]);
    let mut heights = open.channel.heights.clone();
    heights.wait_for(|height| *height > 1).await.unwrap();
    let block = open.channel.reader.block(1).unwrap().unwrap();
    assert_eq!(block.envelopes, [Bytes::from(envelope)]);
}

#[tokio::test]
async fn a_channel_that_closes_is_unavailable_and_a_node_that_stops_ends_the_stream() {
    let node = Node::new();
    let open = node.create("main");
    open.close();
    let envelope = node.envelope(0, "main", b"data".to_vec());
    let answered = answers(&node, [envelope.clone(), envelope]).await;
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0].as_ref().unwrap().status, 503);
    let broadcast = node.broadcast();
    let mut waiting = Box::pin(broadcast.serve(pending()));
    node.stop();
    let status = waiting.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(waiting.next().await.is_none());
}
