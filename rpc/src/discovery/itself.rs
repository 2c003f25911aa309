//! What this node says of itself, as a peer of Fabric says it to others: signed messages of gossip.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use quire_identity::{SigningIdentity, pki_id};
use quire_wire::Message as _;
use quire_wire::discovery::Peer;
use quire_wire::gossip::{
    AliveMessage, Chaincode, Content, Envelope, GossipMessage, Member, PeerTime, Properties,
    StateInfo, tag,
};
use quire_wire::hash::sha256;

/// This node, as its clients reach it.
#[derive(Clone, Debug)]
pub struct Itself {
    /// Endorses.
    pub identity: Arc<SigningIdentity>,
    /// `host:port`, as clients write it.
    pub address: String,
    /// When the node was started.
    pub started: SystemTime,
}

/// What it has of a channel.
pub(super) struct Has<'a> {
    pub(super) channel: &'a str,
    pub(super) height: u64,
    pub(super) chaincodes: Vec<Chaincode>,
}

impl Itself {
    /// What it says now of itself, and of a channel.
    pub(super) fn says(&self, now: SystemTime, of: Option<Has<'_>>) -> Peer {
        let identity = self.identity.serialized().clone();
        let pki_id = pki_id(&identity).map(|id| Bytes::copy_from_slice(&id));
        let pki_id = pki_id.unwrap_or_default();
        let timestamp = Some(PeerTime {
            inc_num: nanos(self.started),
            seq_num: nanos(now),
        });
        let alive = AliveMessage {
            membership: Some(Member {
                endpoint: self.address.clone(),
                metadata: Bytes::new(),
                pki_id: pki_id.clone(),
            }),
            timestamp,
        };
        let state_info = of.map(|has| {
            let mac = sha256([&pki_id[..], has.channel.as_bytes()]);
            let state_info = StateInfo {
                timestamp,
                pki_id,
                channel_mac: Bytes::copy_from_slice(&mac),
                properties: Some(Properties {
                    ledger_height: has.height,
                    left_channel: false,
                    chaincodes: has.chaincodes,
                }),
            };
            self.signed(tag::CHAN_OR_ORG, Content::StateInfo(state_info))
        });
        Peer {
            state_info,
            membership_info: Some(self.signed(tag::EMPTY, Content::Alive(alive))),
            identity,
        }
    }

    fn signed(&self, tag: i32, content: Content) -> Envelope {
        let message = GossipMessage {
            nonce: 0,
            channel: Bytes::new(),
            tag,
            content: Some(content),
        };
        let payload: Bytes = message.encode_to_vec().into();
        Envelope {
            signature: self.identity.sign(&payload),
            payload,
        }
    }
}

/// Nanoseconds since 1970, as far as they fit.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
