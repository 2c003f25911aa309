//! Another node of the organisation that joins, as the gateway asks this node for it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node asks for that joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedAdmission {
    /// A signing request (PKCS#10, PEM) for each of its identities: `node`, `orderer`, `client`. Empty where it has
    /// certificates already, and wants channels.
    pub requests: BTreeMap<String, String>,
    /// The channels whose block 0 it wants; all that the invitation is for, if none is named.
    pub channels: Vec<String>,
}

/// What it is answered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Admission)]
pub struct GrantedAdmission {
    /// The organisation's MSP id.
    pub msp_id: String,
    /// What others know the organisation by: an `msp.FabricMSPConfig` in base64.
    pub organization: String,
    /// The certificates, PEM, by the names of the requests.
    pub certificates: BTreeMap<String, String>,
    /// Who decides the order at the node that answers: `kafka` or `remote`.
    pub ordering: String,
    /// The brokers of Kafka with which that node begins; null if the order is elsewhere.
    pub kafka_brokers: Option<String>,
    /// Block 0 of each channel: a `common.Block` in base64.
    pub channels: BTreeMap<String, String>,
}

impl fmt::Debug for GrantedAdmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedAdmission")
            .field("msp_id", &self.msp_id)
            .field("channels", &self.channels.keys())
            .finish_non_exhaustive()
    }
}

/// Why a node was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitNodeError {
    /// There is no such invitation, or not any more.
    #[error(
        "the token is no invitation of this node, its time is over, or the node was started again since"
    )]
    NotInvited,
    /// Another node has used it, or it was used for channels alone.
    #[error("the invitation was used by another node, or for channels alone")]
    Used,
    /// A channel is not one of the invitation's.
    #[error("the invitation is not for channel {0}")]
    NotForChannel(String),
    /// There is no such channel here.
    #[error("there is no channel {0}")]
    NoChannel(String),
    /// The request cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// This node lets nobody join.
    #[error("{0}")]
    NotHere(String),
    /// The blocks do not fit into one answer.
    #[error("the channels have first blocks of more than {0} bytes in sum: name fewer at a time")]
    TooLarge(usize),
    /// Something failed.
    #[error("the node could not be admitted")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
