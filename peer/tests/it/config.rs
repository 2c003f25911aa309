//! A configuration that is ordered is in force from its block on.

use bytes::Bytes;
use quire_identity::SigningIdentity;
use quire_identity::channel_config::genesis_group;
use quire_ledger::CreateOptions;
use quire_ordering::last_config;
use quire_peer::SubmitError;
use quire_peer::genesis::BATCH_SIZE;
use quire_wire::common::{ChannelHeader, Header, Payload, SignatureHeader, header_type};
use quire_wire::config::{BatchSize, Config, ConfigEnvelope};
use quire_wire::transaction::seal;
use quire_wire::tx_id::tx_id;
use quire_wire::{Code, Message as _};

use crate::kit::{CHANNEL, Node, Running, nonce, outcome};

/// A configuration with this batch size, by this orderer.
fn config(node: &Node, orderer: &SigningIdentity, sequence: u64, batch_size: BatchSize) -> Bytes {
    let group = genesis_group(&[node.organization.msp_config()], batch_size, "2s");
    let nonce = nonce();
    let channel_header = ChannelHeader {
        r#type: header_type::CONFIG,
        channel_id: CHANNEL.to_owned(),
        tx_id: tx_id(&nonce, orderer.serialized()),
        ..ChannelHeader::default()
    };
    let signature_header = SignatureHeader {
        creator: orderer.serialized().clone(),
        nonce: nonce.to_vec().into(),
    };
    let config = ConfigEnvelope {
        config: Some(Config {
            sequence,
            channel_group: Some(group),
        }),
        last_update: None,
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        }),
        data: config.encode_to_vec().into(),
    };
    let payload = Bytes::from(payload.encode_to_vec());
    let signature = orderer.sign(&payload);
    seal(payload, signature)
}

fn submit_many(node: &Node, channel: &Running, count: u64) {
    let submitted: Vec<_> = (0..count).map(|n| node.submit(channel, n)).collect();
    for one in submitted {
        let outcome = outcome(one.unwrap().outcome).unwrap();
        assert!(outcome.code.is_valid(), "{outcome:?}");
    }
}

fn named_config(channel: &Running, number: u64) -> u64 {
    let block = channel.reader().block(number).unwrap().unwrap();
    last_config(&block.metadata).unwrap()
}

const ONE_EACH: BatchSize = BatchSize {
    max_message_count: 1,
    absolute_max_bytes: 5_000,
    preferred_max_bytes: 5_000,
};

#[test]
fn a_configuration_stands_alone_and_says_how_blocks_behind_it_are_cut() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    submit_many(&node, &channel, 5);
    let ordered = channel
        .peer()
        .configure(config(&node, &node.orderer, 1, ONE_EACH));
    // Already in the queue, or not: behind it in any case.
    let behind: Vec<_> = (0..50).map(|n| node.submit(&channel, n)).collect();
    let configured = outcome(ordered.unwrap()).unwrap();
    assert_eq!((configured.code, configured.tx), (Code::VALID, 0));
    let block = channel.reader().block(configured.block).unwrap().unwrap();
    assert_eq!(block.envelopes.len(), 1);
    assert_eq!(named_config(&channel, configured.block), configured.block);
    for one in behind {
        let outcome = outcome(one.unwrap().outcome).unwrap();
        assert!(outcome.code.is_valid() && outcome.block > configured.block);
        assert_eq!(outcome.tx, 0, "one a block");
        assert_eq!(named_config(&channel, outcome.block), configured.block);
    }
    channel.stop();
}

#[test]
fn a_configuration_says_what_is_let_in_from_then_on_and_after_a_restart() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    let tiny = BatchSize {
        absolute_max_bytes: 100,
        preferred_max_bytes: 100,
        ..BATCH_SIZE
    };
    let ordered = channel
        .peer()
        .configure(config(&node, &node.orderer, 1, tiny));
    let configured = outcome(ordered.unwrap()).unwrap();
    assert_eq!(configured.code, Code::VALID);
    let too_large = |channel: &Running| {
        let refused = node.submit(channel, 1).unwrap_err();
        assert!(matches!(refused, SubmitError::TooLarge), "{refused:?}");
    };
    too_large(&channel);
    channel.stop();
    let (ledger, _) = node.ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    let channel = node.open(ledger);
    too_large(&channel);
    channel.stop();
}

/// What was let in by the configuration before is looked at again, and whoever waits for it is not left
/// waiting.
#[test]
fn what_was_let_in_before_a_configuration_and_would_not_be_now_is_not_ordered() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    let tiny = BatchSize {
        absolute_max_bytes: 100,
        preferred_max_bytes: 100,
        ..BATCH_SIZE
    };
    let config = config(&node, &node.orderer, 1, tiny);
    let ordered = channel.peer().configure(config).unwrap();
    let mut behind = Vec::new();
    // Until the configuration is in force, some are let in.
    let refused = (0..20_000).find_map(|_| match node.submit(&channel, 1) {
        Ok(submitted) => {
            behind.push(submitted);
            None
        }
        Err(SubmitError::Overloaded { .. }) => None,
        Err(refused) => Some(refused),
    });
    let refused = refused.expect("the new limit");
    assert!(matches!(refused, SubmitError::TooLarge), "{refused:?}");
    let configured = outcome(ordered).unwrap();
    for submitted in behind {
        assert_eq!(outcome(submitted.outcome), None);
        let found = channel.reader().transaction(&submitted.tx_id).unwrap();
        assert!(found.is_none());
    }
    assert_eq!(channel.reader().height(), configured.block + 1);
    channel.stop();
}

#[test]
fn a_configuration_that_no_member_signed_is_in_a_block_and_not_in_force_also_after_a_restart() {
    let node = Node::new();
    let mut channel = node.channel(1_000, CreateOptions::default());
    let by_stranger = config(&node, &node.stranger, 1, ONE_EACH);
    let not_signed = {
        let envelope = config(&node, &node.orderer, 1, ONE_EACH);
        let opened = quire_wire::transaction::Opened::read(&envelope).unwrap();
        seal(opened.payload, node.client.sign(b"something else"))
    };
    for envelope in [by_stranger, not_signed] {
        let ordered = channel.peer().configure(envelope).unwrap();
        let configured = outcome(ordered).unwrap();
        assert_eq!(configured.code, Code::BAD_CREATOR_SIGNATURE);
    }
    for _ in 0..2 {
        let submitted = node.submit(&channel, 1).unwrap();
        let outcome = outcome(submitted.outcome).unwrap();
        assert!(outcome.code.is_valid());
        assert_eq!(named_config(&channel, outcome.block), 0);
        channel.stop();
        let (ledger, _) = node.ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        channel = node.open(ledger);
    }
    // Restarted right behind one that is not in force.
    let ordered = channel
        .peer()
        .configure(config(&node, &node.stranger, 1, ONE_EACH));
    outcome(ordered.unwrap()).unwrap();
    channel.stop();
    let (ledger, _) = node.ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    let channel = node.open(ledger);
    submit_many(&node, &channel, 3);
    let tip = channel.reader().height() - 1;
    assert_eq!(named_config(&channel, tip), 0);
    channel.stop();
}
