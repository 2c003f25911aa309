//! A configuration that is ordered is in force from its block on.

use bytes::Bytes;
use quire_identity::SigningIdentity;
use quire_identity::config::UpdateError;
use quire_ledger::CreateOptions;
use quire_ordering::last_config;
use quire_peer::genesis::BATCH_SIZE;
use quire_peer::{Origin, Promised, SubmitError, UpdateRefused};
use quire_wire::common::{ChannelHeader, Header, Payload, SignatureHeader, header_type};
use quire_wire::config::{BatchSize, ConfigEnvelope, ConfigGroup, ConsensusType};
use quire_wire::transaction::{Opened, seal};
use quire_wire::tx_id::tx_id;
use quire_wire::{Code, Message};

use crate::kit::{CHANNEL, Node, Running, nonce, outcome};

/// Sets a value of the orderer group.
fn set(root: &mut ConfigGroup, name: &str, value: &impl Message) {
    let orderer = root.groups.get_mut("Orderer").unwrap();
    orderer.values.get_mut(name).unwrap().value = value.encode_to_vec().into();
}

/// An update to this batch size, signed by the organisation's administrator.
fn to_batch_size(node: &Node, channel: &Running, batch_size: BatchSize) -> Bytes {
    let admin = node.admin();
    node.update(
        channel,
        |root| set(root, "BatchSize", &batch_size),
        &[&admin],
    )
}

fn order(channel: &Running, update: Bytes) -> Promised {
    channel.peer().order(update, Origin::Outside).unwrap()
}

/// Why an update is refused, with all that caused it.
fn refused(channel: &Running, update: Bytes) -> UpdateRefused {
    match channel.peer().order(update, Origin::Outside).unwrap_err() {
        SubmitError::Config(refused) => refused,
        other => panic!("{other:?}"),
    }
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
    let update = to_batch_size(&node, &channel, ONE_EACH);
    let ordered = order(&channel, update);
    // They may be in the queue already; in any case they come after it.
    let behind: Vec<_> = (0..50).map(|n| node.submit(&channel, n)).collect();
    let configured = outcome(ordered).unwrap();
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
    let update = to_batch_size(&node, &channel, tiny);
    let configured = outcome(order(&channel, update)).unwrap();
    assert_eq!(configured.code, Code::VALID);
    let too_large = |channel: &Running| {
        let refused = node.submit(channel, 1).unwrap_err();
        assert!(matches!(refused, SubmitError::TooLarge(_)), "{refused:?}");
    };
    too_large(&channel);
    channel.stop();
    let (ledger, _) = node.ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    let channel = node.open(ledger);
    too_large(&channel);
    channel.stop();
}

/// What the configuration before let in is checked again, and those who wait for it are answered.
#[test]
fn what_was_let_in_before_a_configuration_and_would_not_be_now_is_not_ordered() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    let tiny = BatchSize {
        absolute_max_bytes: 100,
        preferred_max_bytes: 100,
        ..BATCH_SIZE
    };
    let update = to_batch_size(&node, &channel, tiny);
    let ordered = order(&channel, update);
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
    assert!(matches!(refused, SubmitError::TooLarge(_)), "{refused:?}");
    let configured = outcome(ordered).unwrap();
    for submitted in behind {
        assert_eq!(outcome(submitted.outcome), None);
        let found = channel.reader().transaction(&submitted.tx_id).unwrap();
        assert!(found.is_none());
    }
    assert_eq!(channel.reader().height(), configured.block + 1);
    channel.stop();
}

/// A CONFIG envelope that was not made by an update.
fn unmade(creator: &SigningIdentity) -> Bytes {
    let nonce = nonce();
    let channel_header = ChannelHeader {
        r#type: header_type::CONFIG,
        channel_id: CHANNEL.to_owned(),
        tx_id: tx_id(&nonce, creator.serialized()),
        ..ChannelHeader::default()
    };
    let signature_header = SignatureHeader {
        creator: creator.serialized().clone(),
        nonce: nonce.to_vec().into(),
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        }),
        data: ConfigEnvelope::default().encode_to_vec().into(),
    };
    let payload = Bytes::from(payload.encode_to_vec());
    let signature = creator.sign(&payload);
    seal(payload, signature)
}

#[test]
fn a_configuration_that_no_member_signed_is_in_a_block_and_not_in_force_also_after_a_restart() {
    let node = Node::new();
    let mut channel = node.channel(1_000, CreateOptions::default());
    let by_stranger = unmade(&node.stranger);
    let not_signed = {
        let opened = Opened::read(&unmade(&node.orderer)).unwrap();
        seal(opened.payload, node.client.sign(b"something else"))
    };
    for envelope in [by_stranger, not_signed] {
        let ordered = channel.peer().configure(envelope, 0).unwrap();
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
    // It restarts directly after a configuration that is not in force.
    let ordered = channel.peer().configure(unmade(&node.stranger), 0);
    outcome(ordered.unwrap()).unwrap();
    channel.stop();
    let (ledger, _) = node.ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    let channel = node.open(ledger);
    submit_many(&node, &channel, 3);
    let tip = channel.reader().height() - 1;
    assert_eq!(named_config(&channel, tip), 0);
    channel.stop();
}

#[test]
fn an_update_is_refused_without_the_signatures_that_it_needs_and_says_whose() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    for signers in [&[][..], &[&*node.client], &[&*node.orderer, &*node.client]] {
        let update = node.update(&channel, |root| set(root, "BatchSize", &ONE_EACH), signers);
        let refused = refused(&channel, update);
        let told = refused.to_string();
        assert!(
            matches!(
                refused,
                UpdateRefused::Update(UpdateError::NotSatisfied { .. })
            ),
            "{told}"
        );
        assert!(told.contains("/Channel/Orderer/BatchSize"), "{told}");
        assert!(told.contains("Org1MSP.admin is missing"), "{told}");
    }
    assert_eq!(channel.reader().height(), 1);
    channel.stop();
}

#[test]
fn of_two_updates_of_the_same_value_the_second_is_refused_and_changes_nothing() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    let (first, second) = (
        to_batch_size(&node, &channel, ONE_EACH),
        to_batch_size(
            &node,
            &channel,
            BatchSize {
                max_message_count: 2,
                ..ONE_EACH
            },
        ),
    );
    let configured = outcome(order(&channel, first)).unwrap();
    let refused = refused(&channel, second);
    assert!(
        matches!(
            refused,
            UpdateRefused::Update(UpdateError::ReadVersion { .. } | UpdateError::Version { .. })
        ),
        "{refused}"
    );
    assert_eq!(channel.reader().height(), configured.block + 1);
    channel.stop();
}

/// The configuration in force authorises both, and only one can come next.
#[test]
fn a_configuration_behind_another_one_in_the_order_is_discarded() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    // These make both wait in the order when the first of them comes out.
    let many: Vec<_> = (0..2_000).map(|n| node.submit(&channel, n)).collect();
    let sizes = (1..=20).map(|count| BatchSize {
        max_message_count: count,
        ..BATCH_SIZE
    });
    let updates: Vec<_> = sizes
        .map(|size| to_batch_size(&node, &channel, size))
        .collect();
    let peer = channel.peer();
    let ordered: Vec<_> = updates
        .into_iter()
        .filter_map(|update| peer.order(update, Origin::Outside).ok())
        .collect();
    let outcomes: Vec<_> = ordered.into_iter().map(outcome).collect();
    let valid = outcomes
        .iter()
        .flatten()
        .filter(|outcome| outcome.code.is_valid());
    assert_eq!(valid.count(), 1, "{outcomes:?}");
    assert_eq!(
        outcomes.iter().flatten().count(),
        1,
        "no block holds another: {outcomes:?}"
    );
    for one in many {
        assert!(outcome(one.unwrap().outcome).unwrap().code.is_valid());
    }
    channel.stop();
}

#[test]
fn what_nobody_can_have_meant_is_refused_where_it_is_new() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    let admin = node.admin();
    let of_others = ConsensusType {
        r#type: "etcdraft".to_owned(),
        ..ConsensusType::default()
    };
    let update = node.update(
        &channel,
        |root| set(root, "ConsensusType", &of_others),
        &[&admin],
    );
    assert!(matches!(
        refused(&channel, update),
        UpdateRefused::ConsensusType { .. }
    ));
    let huge = BatchSize {
        absolute_max_bytes: 50 << 20,
        ..BATCH_SIZE
    };
    let update = to_batch_size(&node, &channel, huge);
    assert!(matches!(
        refused(&channel, update),
        UpdateRefused::TooLarge(_)
    ));
    let empty = BatchSize {
        max_message_count: 0,
        ..BATCH_SIZE
    };
    let update = to_batch_size(&node, &channel, empty);
    assert!(matches!(
        refused(&channel, update),
        UpdateRefused::Bundle(_)
    ));
    // A policy over a group without organisations asks for nobody.
    for group in ["Orderer", "Application"] {
        let emptied = |root: &mut ConfigGroup| {
            root.groups.get_mut(group).unwrap().groups.clear();
        };
        let update = node.update(&channel, emptied, &[&admin]);
        let refused = refused(&channel, update);
        assert!(matches!(refused, UpdateRefused::Unguarded(_)), "{refused}");
    }
    // With this, nobody could hand in an update again.
    let without_writers = |root: &mut ConfigGroup| {
        root.policies.remove("Writers");
    };
    let update = node.update(&channel, without_writers, &[&admin]);
    let refusal = refused(&channel, update);
    assert!(
        matches!(refusal, UpdateRefused::Unguarded("/Channel/Writers")),
        "{refusal}"
    );
    let renamed = |root: &mut ConfigGroup| {
        let orderer = root.groups.get_mut("Orderer").unwrap();
        let by_admins = orderer.groups["Org1MSP"].policies["Admins"].clone();
        let organization = orderer.groups.get_mut("Org1MSP").unwrap();
        organization
            .policies
            .insert("Writers".to_owned(), by_admins);
    };
    let update = node.update(&channel, renamed, &[&admin]);
    let refused = refused(&channel, update);
    assert!(matches!(refused, UpdateRefused::NotOrderer(_)), "{refused}");
    assert_eq!(channel.reader().height(), 1);
    channel.stop();
}

/// A delimited field of a message.
fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(
        number,
        prost::encoding::WireType::LengthDelimited,
        &mut bytes,
    );
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// An entry of a map of messages.
fn entry(map: u32, key: &str, value: &[u8]) -> Vec<u8> {
    delimited(
        map,
        &[delimited(1, key.as_bytes()), delimited(2, value)].concat(),
    )
}

#[test]
fn an_update_with_a_field_that_is_not_known_here_is_refused() {
    let node = Node::new();
    let channel = node.channel(1_000, CreateOptions::default());
    let admin = node.admin();
    let change = |root: &mut ConfigGroup| set(root, "BatchSize", &ONE_EACH);
    let update = Node::computed(&channel, change);
    let orderer = &update.write_set.as_ref().unwrap().groups["Orderer"];
    let unknown = delimited(9, b"of a later release");
    // What is there twice is put together, and the later entry of a map counts.
    let value = orderer.values["BatchSize"].encode_to_vec();
    let value = entry(3, "BatchSize", &[&value[..], &unknown].concat());
    let group = [&orderer.encode_to_vec()[..], &value].concat();
    let in_value = delimited(3, &entry(2, "Orderer", &group));
    let mut in_update = vec![in_value, delimited(3, &unknown), unknown.clone()];
    // A version that is a text.
    in_update.push(delimited(3, &delimited(1, b"x")));
    let mut updates = Vec::new();
    for more in in_update {
        let update = [&update.encode_to_vec()[..], &more].concat();
        updates.push(node.signed(update.into(), &[&admin]));
    }
    let sound = node.update(&channel, change, &[&admin]);
    updates.push([&sound[..], &unknown].concat().into());
    for update in updates {
        let refused = refused(&channel, update);
        assert!(
            matches!(&refused, UpdateRefused::Update(UpdateError::Unknown(_))),
            "{refused}"
        );
    }
    assert_eq!(channel.reader().height(), 1);
    let configured = outcome(order(&channel, sound)).unwrap();
    assert_eq!(configured.code, Code::VALID);
    channel.stop();
}
