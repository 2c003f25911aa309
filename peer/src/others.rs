//! The peers that this node may ask for endorsements: where they are, and what they answered.

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_identity::Bundle;
use quire_wire::Message as _;
use quire_wire::msp::FabricMspConfig;
use quire_wire::peer::{ProposalResponse, SignedProposal};

/// Peers of one organisation that are taken from a channel's configuration, at most.
const OF_ONE: usize = 16;
/// Bytes that are told of what a peer said.
const TOLD_BYTES: usize = 1024;

/// A peer as a channel's configuration names it: an anchor peer of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemotePeer {
    /// MSP id of its organisation.
    pub msp_id: Arc<str>,
    /// `host:port`.
    pub address: Arc<str>,
    /// The certificates, PEM, of the authorities that its organisation names for TLS. Without any it is spoken to in
    /// plain, as Fabric's peers do it.
    pub tls_roots: Arc<[Bytes]>,
}

/// A peer's answer on its way. It comes in a bounded time.
pub type Asking = Pin<Box<dyn Future<Output = Result<ProposalResponse, NotAnswered>> + Send>>;

/// The way to other peers.
pub trait Endorsers: Debug + Send + Sync {
    /// Asks a peer to endorse a proposal. An answer of more than `most_bytes` is none.
    fn ask(&self, peer: &RemotePeer, proposal: SignedProposal, most_bytes: usize) -> Asking;

    /// Whether a peer could not be reached a moment ago. Others are asked first.
    fn is_away(&self, peer: &RemotePeer) -> bool;

    /// Told of each peer that was asked: how it ended, and how long it took.
    fn asked(&self, peer: &RemotePeer, ended: Ended, took: Duration);
}

/// Nobody is asked.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Endorsers for Nobody {
    fn ask(&self, _: &RemotePeer, _: SignedProposal, _: usize) -> Asking {
        Box::pin(std::future::ready(Err(NotAnswered {
            code: "Unavailable".to_owned(),
            text: "no peer is asked from here".to_owned(),
        })))
    }

    fn is_away(&self, _: &RemotePeer) -> bool {
        true
    }

    fn asked(&self, _: &RemotePeer, _: Ended, _: Duration) {}
}

/// A call of a peer that ended without an answer, or with one that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {code} desc = {text}")]
pub struct NotAnswered {
    /// gRPC's name of the status.
    pub code: String,
    /// Its text.
    pub text: String,
}

impl NotAnswered {
    /// What that means.
    fn ended(&self) -> Ended {
        match &*self.code {
            // Fabric's peers say so that they have looked at the proposal and refuse it.
            "Unknown" | "PermissionDenied" => Ended::Refused,
            // It is larger than an answer may be, or no message.
            "OutOfRange" | "Internal" => Ended::Unsound,
            _ => Ended::Unreachable,
        }
    }
}

/// How it ended to ask a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// It endorsed the same outcome.
    Endorsed,
    /// It was not reached, or did not answer in time.
    Unreachable,
    /// It does not endorse the proposal, whatever it would come to.
    Refused,
    /// The chaincode did not succeed there.
    Failed,
    /// It endorsed another outcome.
    Differs,
    /// What it sent is no endorsement of it.
    Unsound,
}

impl Ended {
    /// Its name in metrics and in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Endorsed => "ENDORSED",
            Self::Unreachable => "UNREACHABLE",
            Self::Refused => "REFUSED",
            Self::Failed => "FAILED",
            Self::Differs => "DIFFERS",
            Self::Unsound => "UNSOUND",
        }
    }
}

/// A peer that was asked and has not endorsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The peer's organisation.
    pub msp_id: Arc<str>,
    /// Where it is.
    pub address: Arc<str>,
    /// What came of it.
    pub ended: Ended,
    /// What it said, as Fabric's Gateway tells it.
    pub text: String,
    /// In what its outcome is another one, if it is.
    pub difference: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(peer: &RemotePeer, ended: Ended, text: &str) -> Self {
        Self {
            msp_id: Arc::clone(&peer.msp_id),
            address: Arc::clone(&peer.address),
            ended,
            text: beginning(text),
            difference: None,
        }
    }

    pub(crate) fn differs(peer: &RemotePeer, text: &str, difference: &'static str) -> Self {
        Self {
            difference: Some(difference),
            ..Self::new(peer, Ended::Differs, text)
        }
    }

    pub(crate) fn unanswered(peer: &RemotePeer, error: &NotAnswered) -> Self {
        Self::new(peer, error.ended(), &error.to_string())
    }

    /// What it said, and in what its outcome is another one.
    #[must_use]
    pub fn said(&self) -> String {
        match self.difference {
            Some(difference) => format!("{}: {difference}", self.text),
            None => self.text.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.address, self.msp_id, self.said())
    }
}

/// As much of a text as is told.
pub(crate) fn beginning(text: &str) -> String {
    let ends = text.char_indices().map(|(at, one)| at + one.len_utf8());
    let end = ends.take_while(|end| *end <= TOLD_BYTES).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// The anchor peers of a channel's organisations.
pub(crate) fn remote_peers(bundle: &Bundle) -> Vec<RemotePeer> {
    let Some(application) = bundle.application() else {
        return Vec::new();
    };
    let mut peers = Vec::new();
    for organization in application.organizations.values() {
        let Ok(msp) = FabricMspConfig::decode(organization.msp.config.clone()) else {
            continue;
        };
        let msp_id: Arc<str> = msp.name.as_str().into();
        let vouching = msp.tls_root_certs.iter().chain(&msp.tls_intermediate_certs);
        let tls_roots: Arc<[Bytes]> = vouching.cloned().collect();
        let anchors = organization.anchor_peers.iter().filter_map(|(host, port)| {
            let port = u16::try_from(*port).ok().filter(|port| *port > 0)?;
            let is_host = !host.is_empty() && host.len() <= MAX_HOST;
            is_host.then(|| address(host, port))
        });
        peers.extend(anchors.take(OF_ONE).map(|address| RemotePeer {
            msp_id: Arc::clone(&msp_id),
            address,
            tls_roots: Arc::clone(&tls_roots),
        }));
    }
    peers
}

/// Bytes of a host's name, at most.
const MAX_HOST: usize = 253;

fn address(host: &str, port: u16) -> Arc<str> {
    if host.contains(':') && !host.starts_with('[') {
        return format!("[{host}]:{port}").into();
    }
    format!("{host}:{port}").into()
}
