//! What is done with channels.

use axum::http::StatusCode;
use bytes::Bytes;
use quire_chaincode::name::check_channel;
use quire_gateway::Backend as _;
use quire_ledger::{OpenError, chain_of};
use quire_ordering::last_config;
use quire_peer::{Channel, join};
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::config::{Config, ConsensusType};
use quire_wire::{DecodeError, Message as _};

use super::answer::{CHANNELS, ChannelInfo, ChannelList, ChannelName, Refused, Relation, Status};
use crate::node::{ConfigurationError, JoinError, Node, NodeError};

const NOT_THERE: &str = "channel does not exist";

pub(super) fn list(node: &Node) -> ChannelList {
    let mut names = node.channels();
    names.extend(node.closed_channels().into_iter().map(|one| one.component));
    names.sort();
    let channels = names.into_iter().map(|name| ChannelName {
        url: url(&name),
        name,
    });
    let channels: Vec<_> = channels.collect();
    ChannelList {
        system_channel: None,
        channels: (!channels.is_empty()).then_some(channels),
    }
}

pub(super) fn info(node: &Node, name: &str) -> Result<ChannelInfo, Refused> {
    check(name)?;
    if let Some(channel) = node.channel(name) {
        let (consensus_relation, status) = report(node, &channel);
        return Ok(ChannelInfo {
            name: name.to_owned(),
            url: url(name),
            consensus_relation,
            status,
            height: channel.reader.height(),
        });
    }
    if !is_there(node, name) {
        return Err(Refused::new(StatusCode::NOT_FOUND, NOT_THERE));
    }
    // It does not open, and the log says why.
    Ok(ChannelInfo {
        name: name.to_owned(),
        url: url(name),
        consensus_relation: Relation::Other,
        status: Status::Failed,
        height: 0,
    })
}

fn report(node: &Node, channel: &Channel) -> (Relation, Status) {
    if channel.read_only {
        return (Relation::Follower, Status::Inactive);
    }
    let is_failed = node.failure(&channel.name).is_some();
    let status = if is_failed {
        Status::Failed
    } else {
        Status::Active
    };
    if node.follows() {
        return (Relation::Follower, status);
    }
    let config = node.configuration(&channel.name);
    let is_raft = config.is_ok_and(|state| consensus(&state.config).r#type == "etcdraft");
    let relation = if is_raft {
        Relation::Consenter
    } else {
        Relation::Other
    };
    (relation, status)
}

fn consensus(config: &Config) -> ConsensusType {
    let root = config.channel_group.as_ref();
    let orderer = root.and_then(|root| root.groups.get("Orderer"));
    let value = orderer.and_then(|orderer| orderer.values.get("ConsensusType"));
    let value = value.map(|value| value.value.clone()).unwrap_or_default();
    // One that is in force can be read.
    ConsensusType::decode(value).unwrap_or_default()
}

pub(super) fn join(node: &Node, block: Bytes) -> Result<ChannelInfo, Refused> {
    let joined = node.join(block).map_err(|error| not_joined(&error))?;
    if joined.was_there {
        return Err(exists());
    }
    info(node, &joined.channel)
}

fn not_joined(error: &JoinError) -> Refused {
    use join::JoinError as E;
    let reason = chain_of(error);
    match error {
        JoinError::OtherChain(_) | JoinError::Node(NodeError::Open(OpenError::Exists(_))) => {
            exists()
        }
        JoinError::Node(_) => {
            let reason = format!("cannot join: {reason}");
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
        }
        JoinError::Block(E::Decode(error)) => Refused::bad(format!(
            "cannot unmarshal file part config-block into a block: {error}"
        )),
        JoinError::Block(
            E::NotFirst(_) | E::Consensus(_) | E::Consenters(_) | E::NotOrderer { .. },
        ) => Refused::bad(format!("cannot join: {reason}")),
        JoinError::Block(_) | JoinError::Name(_) => {
            Refused::bad(format!("invalid join block: {reason}"))
        }
    }
}

fn exists() -> Refused {
    Refused::not_allowed("cannot join: channel already exists", "GET, DELETE")
}

/// Why it is not removed. What was acknowledged is never lost, so nothing here removes a channel.
pub(super) fn remove(node: &Node, name: &str) -> Refused {
    if let Err(refused) = check(name) {
        return refused;
    }
    if !is_there(node, name) {
        let reason = format!("cannot remove: {NOT_THERE}");
        return Refused::new(StatusCode::NOT_FOUND, reason);
    }
    Refused::not_allowed("cannot remove: this node removes no channel", "GET")
}

pub(super) fn update(node: &Node, envelope: Bytes) -> Result<ChannelInfo, Refused> {
    let header = channel_header(&envelope).map_err(|error| {
        Refused::bad(format!(
            "cannot unmarshal file part config-update-envelope into an envelope: {error}"
        ))
    })?;
    if header.r#type != header_type::CONFIG_UPDATE {
        return Err(Refused::bad("invalid config update envelope: bad type"));
    }
    let name = header.channel_id;
    if !is_there(node, &name) {
        let reason = format!("cannot update: {NOT_THERE}");
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, reason));
    }
    node.order_update(&name, envelope).map_err(|error| {
        let reason = format!("cannot update: {}", chain_of(&error));
        match error {
            ConfigurationError::Read(_) => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, reason),
            _ => Refused::bad(reason),
        }
    })?;
    info(node, &name)
}

fn channel_header(envelope: &Bytes) -> Result<ChannelHeader, DecodeError> {
    let envelope = Envelope::decode(envelope.clone())?;
    let payload = Payload::decode(envelope.payload)?;
    ChannelHeader::decode(payload.header.unwrap_or_default().channel_header)
}

/// A block as Fabric's tools exchange it.
pub(super) fn fetch(node: &Node, name: &str, wanted: &str) -> Result<Bytes, Refused> {
    check(name)?;
    let not_found = |reason: String| Refused::new(StatusCode::NOT_FOUND, reason);
    let channel = node.channel(name);
    let channel = channel.ok_or_else(|| not_found(NOT_THERE.to_owned()))?;
    let read = |number: u64| {
        let block = channel.reader.block(number);
        let block = block
            .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, chain_of(&error)))?;
        block.ok_or_else(|| not_found(format!("no such block number [{number}]")))
    };
    let newest = || read(channel.reader.height().saturating_sub(1));
    let block = match wanted {
        "oldest" => read(0)?,
        "newest" => newest()?,
        "config" => {
            let number = last_config(&newest()?.metadata);
            read(number.map_err(|error| not_found(error.to_string()))?)?
        }
        number => {
            let number = number.parse().map_err(|_| {
                Refused::bad(format!(
                    "invalid block ID: '{number}' not equal <newest|oldest|config|(number)>"
                ))
            })?;
            read(number)?
        }
    };
    Ok(block.to_message().encode_to_vec().into())
}

fn is_there(node: &Node, name: &str) -> bool {
    let closed = node.closed_channels();
    node.channel(name).is_some() || closed.iter().any(|one| one.component == name)
}

fn check(name: &str) -> Result<(), Refused> {
    check_channel(name).map_err(|error| Refused::bad(format!("invalid channel ID: {error}")))
}

fn url(name: &str) -> String {
    format!("{CHANNELS}/{name}")
}
