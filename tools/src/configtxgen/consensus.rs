//! How a channel's orderers agree.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_identity::config::parse_duration;
use serde_json::{Map, Value, json};

use super::error::GenerateError;
use super::yaml::{Node, Section};
use crate::files;

/// One of the kinds of consensus.
#[derive(Debug)]
pub(super) enum Consensus {
    Solo,
    Kafka {
        brokers: Vec<String>,
    },
    Raft {
        consenters: Vec<Consenter>,
        options: Value,
    },
    Bft {
        consenters: Vec<Consenter>,
        options: Value,
    },
}

/// An orderer that takes part.
#[derive(Debug)]
pub(super) struct Consenter {
    id: u32,
    host: String,
    port: u32,
    msp_id: String,
    identity: Option<PathBuf>,
    client_tls_certificate: PathBuf,
    server_tls_certificate: PathBuf,
}

impl Consensus {
    /// Reads the parts of `Orderer` that are about consensus.
    pub(super) fn read(orderer: &Section<'_>, folder: &Path) -> Result<Self, GenerateError> {
        let kind = orderer.get("OrdererType");
        match &*kind.text()? {
            "" | "solo" => Ok(Self::Solo),
            "kafka" => {
                let kafka = orderer.get("Kafka").section(&["Brokers"])?;
                let brokers = kafka.get("Brokers").texts()?;
                Ok(Self::Kafka { brokers })
            }
            "etcdraft" => {
                let raft = orderer.get("EtcdRaft");
                let section = raft.clone().section(&["Consenters", "Options"])?;
                let consenters = consenters(&section.get("Consenters"), folder, raft_consenter)?;
                let options = raft_options(&section.get("Options"))?;
                Ok(Self::Raft {
                    consenters,
                    options,
                })
            }
            "BFT" => Ok(Self::Bft {
                consenters: consenters(&orderer.get("ConsenterMapping"), folder, bft_consenter)?,
                options: bft_options(orderer.get("SmartBFT"))?,
            }),
            other => Err(kind.wrong(format!(
                "should be etcdraft, BFT, solo or kafka, not {other:?}"
            ))),
        }
    }

    /// The value `ConsensusType`.
    pub(super) fn to_json(&self) -> Result<Value, GenerateError> {
        Ok(match self {
            Self::Solo => json!({"type": "solo"}),
            Self::Kafka { .. } => json!({"type": "kafka"}),
            Self::Raft {
                consenters,
                options,
            } => {
                let consenters = consenters.iter().map(Consenter::to_raft);
                let consenters = consenters.collect::<Result<Vec<_>, _>>()?;
                let metadata = json!({"consenters": consenters, "options": options});
                json!({"type": "etcdraft", "metadata": metadata})
            }
            Self::Bft { options, .. } => json!({"type": "BFT", "metadata": options}),
        })
    }
}

fn consenters(
    node: &Node<'_>,
    folder: &Path,
    read: fn(Node<'_>, &Path) -> Result<Consenter, GenerateError>,
) -> Result<Vec<Consenter>, GenerateError> {
    let nodes = node.list()?;
    if nodes.is_empty() {
        return Err(node.wrong("should list the consenters".to_owned()));
    }
    nodes.into_iter().map(|node| read(node, folder)).collect()
}

fn raft_consenter(node: Node<'_>, folder: &Path) -> Result<Consenter, GenerateError> {
    let section = node.section(&["Host", "Port", "ClientTLSCert", "ServerTLSCert"])?;
    Ok(Consenter {
        id: 0,
        host: needed(&section.get("Host"))?,
        port: port(&section.get("Port"))?,
        msp_id: String::new(),
        identity: None,
        client_tls_certificate: folder.join(needed(&section.get("ClientTLSCert"))?),
        server_tls_certificate: folder.join(needed(&section.get("ServerTLSCert"))?),
    })
}

fn bft_consenter(node: Node<'_>, folder: &Path) -> Result<Consenter, GenerateError> {
    let section = node.section(&[
        "ID",
        "Host",
        "Port",
        "MSPID",
        "Identity",
        "ClientTLSCert",
        "ServerTLSCert",
    ])?;
    Ok(Consenter {
        id: section.get("ID").number32()?,
        host: needed(&section.get("Host"))?,
        port: port(&section.get("Port"))?,
        msp_id: needed(&section.get("MSPID"))?,
        identity: Some(folder.join(needed(&section.get("Identity"))?)),
        client_tls_certificate: folder.join(needed(&section.get("ClientTLSCert"))?),
        server_tls_certificate: folder.join(needed(&section.get("ServerTLSCert"))?),
    })
}

fn needed(node: &Node<'_>) -> Result<String, GenerateError> {
    let text = node.text()?;
    if text.is_empty() {
        return Err(node.wrong("is needed".to_owned()));
    }
    Ok(text)
}

fn port(node: &Node<'_>) -> Result<u32, GenerateError> {
    match node.number32()? {
        0 => Err(node.wrong("is needed".to_owned())),
        port => Ok(port),
    }
}

/// What is not said is Fabric's default.
fn raft_options(node: &Node<'_>) -> Result<Value, GenerateError> {
    let section = node.clone().section(&[
        "TickInterval",
        "ElectionTick",
        "HeartbeatTick",
        "MaxInflightBlocks",
        "SnapshotIntervalSize",
    ])?;
    let or = |number: u32, default: u32| if number == 0 { default } else { number };
    let tick = section.get("TickInterval");
    let mut interval = tick.text()?;
    if interval.is_empty() {
        "500ms".clone_into(&mut interval);
    }
    if parse_duration(&interval).is_none() {
        return Err(tick.wrong("should be a duration such as 500ms".to_owned()));
    }
    let election_tick = or(section.get("ElectionTick").number32()?, 10);
    let heartbeat_tick = or(section.get("HeartbeatTick").number32()?, 1);
    if election_tick <= heartbeat_tick {
        return Err(node.wrong("should have an ElectionTick above its HeartbeatTick".to_owned()));
    }
    Ok(json!({
        "tick_interval": interval,
        "election_tick": election_tick,
        "heartbeat_tick": heartbeat_tick,
        "max_inflight_blocks": or(section.get("MaxInflightBlocks").number32()?, 5),
        "snapshot_interval_size": or(section.get("SnapshotIntervalSize").size()?, 16 << 20),
    }))
}

/// Options of `SmartBFT`: as they are in messages, as they are in the file, and the default of each.
const NUMBERS: [(&str, &str, u64); 7] = [
    ("request_batch_max_count", "RequestBatchMaxCount", 100),
    ("request_batch_max_bytes", "RequestBatchMaxBytes", 10 << 20),
    (
        "incoming_message_buffer_size",
        "IncomingMessageBufferSize",
        200,
    ),
    ("request_pool_size", "RequestPoolSize", 400),
    ("leader_heartbeat_count", "LeaderHeartbeatCount", 10),
    ("request_max_bytes", "RequestMaxBytes", 0),
    ("decisions_per_leader", "DecisionsPerLeader", 0),
];

const TEXTS: [(&str, &str, &str); 8] = [
    (
        "request_batch_max_interval",
        "RequestBatchMaxInterval",
        "50ms",
    ),
    ("request_forward_timeout", "RequestForwardTimeout", "2s"),
    ("request_complain_timeout", "RequestComplainTimeout", "20s"),
    (
        "request_auto_remove_timeout",
        "RequestAutoRemoveTimeout",
        "3m0s",
    ),
    (
        "view_change_resend_interval",
        "ViewChangeResendInterval",
        "5s",
    ),
    ("view_change_timeout", "ViewChangeTimeout", "20s"),
    ("leader_heartbeat_timeout", "LeaderHeartbeatTimeout", "1m0s"),
    ("collect_timeout", "CollectTimeout", "1s"),
];

const FLAGS: [(&str, &str); 2] = [
    ("sync_on_start", "SyncOnStart"),
    ("speed_up_view_change", "SpeedUpViewChange"),
];

/// Fabric takes its defaults where the section is missing, and none of them where it is there.
fn bft_options(node: Node<'_>) -> Result<Value, GenerateError> {
    let mut options = Map::new();
    if node.is_null() {
        options.extend(NUMBERS.map(|(name, _, default)| (name.to_owned(), default.into())));
        options.extend(TEXTS.map(|(name, _, default)| (name.to_owned(), default.into())));
        return Ok(options.into());
    }
    let names = NUMBERS.iter().map(|(_, name, _)| *name);
    let names = names.chain(TEXTS.iter().map(|(_, name, _)| *name));
    let names = names.chain(FLAGS.iter().map(|(_, name)| *name));
    let known: Vec<_> = names.chain(["LeaderRotation"]).collect();
    let section = node.section(&known)?;
    for (name, field, _) in NUMBERS {
        let field = section.get(field);
        let number = if name.ends_with("bytes") {
            field.size()?.into()
        } else {
            field.number()?
        };
        options.insert(name.to_owned(), number.into());
    }
    for (name, field, _) in TEXTS {
        options.insert(name.to_owned(), section.get(field).text()?.into());
    }
    for (name, field) in FLAGS {
        options.insert(name.to_owned(), section.get(field).flag()?.into());
    }
    let rotation = section.get("LeaderRotation").number32()?;
    options.insert("leader_rotation".to_owned(), rotation.into());
    Ok(options.into())
}

impl Consenter {
    fn to_raft(&self) -> Result<Value, GenerateError> {
        Ok(json!({
            "host": self.host,
            "port": self.port,
            "client_tls_cert": content(&self.client_tls_certificate)?,
            "server_tls_cert": content(&self.server_tls_certificate)?,
        }))
    }

    /// An element of the value `Orderers`.
    pub(super) fn to_mapping(&self) -> Result<Value, GenerateError> {
        Ok(json!({
            "id": self.id,
            "host": self.host,
            "port": self.port,
            "msp_id": self.msp_id,
            "identity": self.identity_content()?,
            "client_tls_cert": content(&self.client_tls_certificate)?,
            "server_tls_cert": content(&self.server_tls_certificate)?,
        }))
    }

    /// The consenter as a policy names it.
    pub(super) fn to_principal(&self) -> Result<Value, GenerateError> {
        let identity = json!({"mspid": self.msp_id, "id_bytes": self.identity_content()?});
        Ok(json!({"principal_classification": "IDENTITY", "principal": identity}))
    }

    fn identity_content(&self) -> Result<String, GenerateError> {
        let content = self.identity.as_deref().map(content);
        Ok(content.transpose()?.unwrap_or_default())
    }
}

fn content(path: &Path) -> Result<String, GenerateError> {
    Ok(STANDARD.encode(files::read(path)?))
}
