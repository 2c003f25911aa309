//! `DIR/admin.sock`: how commands act on the data of a running node.
//!
//! Whoever may open the socket may do everything: its mode is 0600, and nothing else is asked. A
//! request is HTTP, so `curl --unix-socket` works too:
//!
//! | request | body |
//! |---|---|
//! | `GET /channels` | |
//! | `POST /channels` | `{"name"}` |
//! | `POST /channels/import` | `{"blockfiles","channel","writable"}`, the folder as the node sees it |
//! | `POST /channels/join` | `{"block"}`, a `common.Block` in base64 |
//! | `POST /identities/import` | `{"name","folder"}`, the folder as the node sees it |
//! | `POST /identities/take` | `{"mspId","identities":[{"name","certificate","key"}]}` |
//! | `POST /invitations` | `{"name","channels"?,"seconds"?}` |
//! | `POST /tokens` | `{"identity","role","channels"?,"expires"?,"certificate"?}` |
//! | `POST /tokens/rotate` | `{"id","expires"?}` |
//! | `POST /tokens/revoke` | `{"id"}` |
//! | `GET /heights` | |
//! | `POST /migrate` | `{"migrations"}`, the folder as the node sees it |
//! | `POST /config` | `{"channel"}` |
//! | `POST /config/sign` | `{"update"}`, a `common.ConfigUpdateEnvelope` in base64 |
//! | `POST /config/submit` | `{"channel","update"}`, the same |
//! | `POST /chaincodes` | `{"channel"}` |
//! | `POST /chaincodes/deploy` | `{"channel","name","source","version"?,"policy"?,"initRequired"?}`, paths as the node sees them |
//! | `POST /backup` | `{"target","identities"}`, the folder as the node sees it |
//! | `POST /check` | `{"channel"?,"signatures","verdicts"}` |
//!
//! The answer is `application/x-ndjson`: any number of [`Message::Progress`], then one other message.
//!
//! A command first takes the data directory's lock, and asks the socket only when somebody holds it:
//! a socket that a killed node left behind is never asked.

pub(crate) mod client;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use quire_gateway::chaincodes::{DefinedChaincode, DeployedChaincode};
use quire_identity::Arrived;
use quire_ledger::ChannelRecord;
use quire_ledger::check::{Depth, Report};
use quire_peer::join::Joined;
use serde::{Deserialize, Serialize};

use crate::backup::BackedUp;
use crate::invitations::Invited;
use crate::node::{ChannelMigrated, Imported};
use crate::tokens::{Made, TokenRow};

/// Name of the socket in the data directory.
const SOCKET: &str = "admin.sock";
/// What fits into a socket's address on every system.
const MAX_ADDRESS_BYTES: usize = 100;

/// A line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Message {
    Progress {
        stage: String,
        subject: String,
        done: u64,
        total: u64,
    },
    Channels(Vec<ChannelRecord>),
    /// How many blocks each open channel has.
    Heights(BTreeMap<String, u64>),
    /// What each channel got of files of query indexes.
    Migrated(Vec<ChannelMigrated>),
    Created {
        name: String,
    },
    Imported(Imported),
    Joined(Joined),
    IdentityImported {
        name: String,
        role: String,
    },
    /// What became of identities of another node.
    IdentitiesArrived(Arrived),
    Invited(Invited),
    /// Block files that are not imported, for what is wrong with them.
    Damaged(Box<Report>),
    Reports(Vec<Report>),
    BackedUp(BackedUp),
    /// A token that was made or rotated.
    Token(Made),
    TokenRevoked(TokenRow),
    /// A configuration that is in force: a `common.Config` in base64.
    Config {
        block: u64,
        config: String,
    },
    /// A `common.ConfigUpdateEnvelope` in base64, with one signature more.
    SignedUpdate {
        update: String,
    },
    /// The chaincodes that a channel defines.
    Chaincodes(Vec<DefinedChaincode>),
    Deployed(DeployedChaincode),
    Failed(Failure),
}

/// An error that goes from one process to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// What caused it, nearest first.
    pub(crate) causes: Vec<String>,
    pub(crate) advice: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateChannel {
    pub(crate) name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Import {
    pub(crate) blockfiles: PathBuf,
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) writable: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    /// In base64.
    pub(crate) block: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportIdentity {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Migrate {
    pub(crate) migrations: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackUp {
    pub(crate) target: PathBuf,
    pub(crate) identities: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    #[serde(default)]
    pub(crate) channel: Option<String>,
    #[serde(flatten)]
    pub(crate) depth: Depth,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfChannel {
    pub(crate) channel: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    #[serde(default)]
    pub(crate) channel: String,
    /// In base64.
    pub(crate) update: String,
}

impl Failure {
    pub(crate) fn new(error: &(dyn std::error::Error + 'static), advice: Option<&str>) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Self {
            message: error.to_string(),
            causes,
            advice: advice.map(str::to_owned),
        }
    }
}

/// A path to a name in a directory that fits into a socket's address. It is good for as long as the
/// directory is kept open.
fn address(dir: &Path, name: &str) -> std::io::Result<(PathBuf, Option<File>)> {
    let path = dir.join(name);
    if path.as_os_str().len() <= MAX_ADDRESS_BYTES {
        return Ok((path, None));
    }
    let dir = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Ok((path, Some(dir)))
}
