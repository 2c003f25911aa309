//! Block 0 of a channel that somebody else made, as Fabric's tools do: whether this node can begin the channel
//! with it.
//!
//! The node orders what it has joined, alone or by a topic that all orderers of the channel read. So its orderer must be
//! one whose signature others take, and no other orderer may be named that would make blocks of its own. Where the orderers
//! are elsewhere, the configuration must say where.

use bytes::Bytes;
use quire_identity::Bundle;
use quire_identity::config::MAX_CONFIG_BYTES;
use quire_ledger::{Block, Content, Examined, check_first_block};
use quire_wire::common;
use quire_wire::config::RaftMetadata;
use quire_wire::transaction::Opened;
use quire_wire::{DecodeError, Message as _};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, InForce, bundle};
use crate::orderers::endpoints;
use crate::update::{UpdateRefused, check_governed, check_orders};

/// Most bytes of a block that is joined: its configuration, and what is around that.
pub const MAX_BLOCK_BYTES: usize = MAX_CONFIG_BYTES + (1 << 20);

/// Why a channel cannot begin with a block here. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// More bytes than any configuration has.
    #[error("the block has {0} bytes, more than {MAX_BLOCK_BYTES}")]
    TooLarge(usize),
    /// The bytes are no block.
    #[error("it is no block")]
    Decode(#[from] DecodeError),
    /// A later block: those before it are elsewhere.
    #[error(
        "it is block {0}: a channel is joined by its block 0, because the blocks before another one would \
         have to come from elsewhere"
    )]
    NotFirst(u64),
    /// Its hashes are not those of a first block with this content.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It holds something else than one configuration.
    #[error("the block holds no configuration of a channel")]
    NoConfiguration,
    /// No channel can have this configuration, or none that this release knows.
    #[error("the configuration of channel {channel:?} cannot be used")]
    Unusable {
        /// The channel.
        channel: String,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// It is the channel of orderers that Fabric had before 3.0.
    #[error("the configuration has consortiums: a system channel is not supported")]
    SystemChannel,
    /// Nobody would submit anything.
    #[error("the configuration has no application group")]
    NoApplication,
    /// Orderers agree in a way that needs more than one of them.
    #[error("the channel is ordered by {0:?}, which this node does not take part in")]
    Consensus(String),
    /// Others would order too.
    #[error(
        "the channel names {} orderers, {}: this node orders alone, and the others would make other blocks",
        .0.len(), .0.join(", ")
    )]
    Consenters(Vec<String>),
    /// Its policies would leave the channel open, or closed for ever.
    #[error(transparent)]
    Governed(#[from] UpdateRefused),
    /// Nobody would take blocks that this node signs.
    #[error(
        "this node's orderer, of {msp_id}, may not sign blocks of the channel, which {} order: {missing}",
        listed(.orderers)
    )]
    NotOrderer {
        /// The node's organisation.
        msp_id: String,
        /// The organisations that order.
        orderers: Vec<String>,
        /// What is missing.
        missing: String,
    },
    /// Nobody is named who would order.
    #[error(
        "the configuration names no orderers: no organisation that orders has Endpoints, and the channel has no \
         OrdererAddresses"
    )]
    NoOrderers,
    /// Somebody signed the block, or the configuration in it, and not as they should.
    #[error("a signature in the block does not hold: {0}")]
    Signature(String),
}

/// What a node is in a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The channel.
    pub channel: String,
    /// The hash of block 0, in hexadecimal digits.
    pub genesis: String,
    /// The organisations that submit and endorse, by their MSP ids.
    pub application: Vec<String>,
    /// Those that order.
    pub orderers: Vec<String>,
    /// The node's organisation.
    pub msp_id: String,
    /// Why the node's endorsements count for nothing; none where they count.
    pub not_endorsing: Option<String>,
    /// Whether the node orders: alone, or with others.
    pub orders: bool,
    /// Whether the channel was there already, with the same block 0.
    pub was_there: bool,
}

/// Block 0 of a channel, in which everything is as it must be.
#[derive(Debug)]
pub struct FirstBlock {
    /// The block.
    pub block: Block,
    /// What the node is going to be there.
    pub joined: Joined,
}

/// The identities of a node that count in a channel, serialized.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// The organisation's MSP id.
    pub msp_id: &'a str,
    /// Signs blocks.
    pub orderer: &'a [u8],
    /// Endorses.
    pub endorser: &'a [u8],
    /// Who orders the node's channels.
    pub order: OrderOf,
}

/// Who orders a node's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOf {
    /// The node alone.
    ThisNode,
    /// A topic of Kafka: other nodes may take part.
    Topic,
    /// Others, elsewhere.
    Others,
}

impl FirstBlock {
    /// Reads a serialized `common.Block`.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn read(bytes: Bytes, node: Joining<'_>) -> Result<Self, JoinError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(JoinError::TooLarge(bytes.len()));
        }
        let block = Block::from(common::Block::decode(bytes)?);
        let (channel, config) = configuration(&block)?;
        let unusable = |source| JoinError::Unusable {
            channel: channel.clone(),
            source,
        };
        let bundle = bundle(&channel, 0, config).map_err(unusable)?;
        check_kind(&bundle)?;
        if node.order != OrderOf::Others {
            check_consensus(&bundle, node.order)?;
        }
        let in_force = InForce::of_bundle(0, bundle).map_err(unusable)?;
        let bundle = &in_force.bundle;
        check_governed(None, bundle)?;
        let list = |ids: &mut dyn Iterator<Item = &str>| ids.map(str::to_owned).collect();
        let orderers: Vec<_> = list(&mut bundle.orderer_msp_ids());
        if node.order != OrderOf::Others {
            check_orders(bundle, node.orderer).map_err(|missing| JoinError::NotOrderer {
                msp_id: node.msp_id.to_owned(),
                orderers: orderers.clone(),
                missing,
            })?;
        } else if endpoints(bundle).is_empty() {
            return Err(JoinError::NoOrderers);
        }
        check_first_block(&channel, &block).map_err(JoinError::Signature)?;
        let joined = Joined {
            genesis: hex::encode(block.hash()),
            application: list(&mut bundle.application_msp_ids()),
            orderers,
            msp_id: node.msp_id.to_owned(),
            not_endorsing: not_endorsing(bundle, node),
            orders: node.order != OrderOf::Others,
            was_there: false,
            channel,
        };
        Ok(Self { block, joined })
    }
}

/// The channel, and a serialized `ConfigEnvelope`, of what has the form of a first block.
fn configuration(block: &Block) -> Result<(String, Bytes), JoinError> {
    let [envelope] = block.envelopes.as_slice() else {
        return Err(JoinError::NoConfiguration);
    };
    let Content::Config(config) = Examined::read(envelope).content else {
        return Err(JoinError::NoConfiguration);
    };
    let opened = Opened::read(envelope).map_err(|_| JoinError::NoConfiguration)?;
    if block.number != 0 {
        return Err(JoinError::NotFirst(block.number));
    }
    if !block.previous_hash.is_empty() {
        return Err(JoinError::Damaged("a first block has no previous hash"));
    }
    if block.data_hash[..] != block.computed_data_hash() {
        let reason = "its data hash is not the hash of what it holds";
        return Err(JoinError::Damaged(reason));
    }
    Ok((opened.channel_header.channel_id, config))
}

/// Whether it is a channel of transactions.
fn check_kind(bundle: &Bundle) -> Result<(), JoinError> {
    if bundle.has_consortiums() {
        return Err(JoinError::SystemChannel);
    }
    if bundle.application().is_none() {
        return Err(JoinError::NoApplication);
    }
    Ok(())
}

/// Whether a node can order it that is not one of several who agree by a protocol of theirs.
pub(crate) fn check_consensus(bundle: &Bundle, order: OrderOf) -> Result<(), JoinError> {
    let consensus = bundle.orderer().map(|orderer| &orderer.consensus_type);
    let consensus = consensus.cloned().unwrap_or_default();
    match &*consensus.r#type {
        "solo" => Ok(()),
        "kafka" if order == OrderOf::Topic => Ok(()),
        "etcdraft" => {
            let consenters = RaftMetadata::decode(consensus.metadata)?.consenters;
            if consenters.len() <= 1 {
                return Ok(());
            }
            let named = consenters
                .iter()
                .map(|one| format!("{}:{}", one.host, one.port));
            Err(JoinError::Consenters(named.collect()))
        }
        _ => Err(JoinError::Consensus(consensus.r#type)),
    }
}

/// Why endorsements of this node count for nothing, where they do.
fn not_endorsing(bundle: &Bundle, node: Joining<'_>) -> Option<String> {
    if !bundle.application_msp_ids().any(|id| id == node.msp_id) {
        return Some(format!("{} is no application organisation", node.msp_id));
    }
    let valid = bundle.msps().validate(node.endorser);
    valid.err().map(|error| error.to_string())
}

fn listed(organizations: &[String]) -> String {
    match organizations {
        [] => "nobody".to_owned(),
        some => some.join(", "),
    }
}
