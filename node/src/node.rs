//! The channels of a data directory, as the gateway sees them.

mod admission;
mod authority;
mod backend;
mod backup;
mod channels;
mod config;
mod defined;
mod deploy;
mod endorsers;
mod error;
mod join;
mod migrate;
mod ordering;
pub(crate) mod rpc;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use quire_ca::Authority;
use quire_chaincode::Documents;
use quire_gateway::backend::BuildInfo;
use quire_identity::{Given, Organization, SigningIdentity, Tokens};
use quire_ledger::{EngineStatus, Ledgers, Migration, StateEngine};
use quire_peer::join::OrderOf;
use quire_peer::{Endorsers, Nobody, OpenChannel};
use quire_rpc::{PeerSettings, Peers};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::backup::Backups;
use crate::chaincodes::Chaincodes;
use crate::data_directory::Directory;
use crate::invitations::Invitations;
use crate::logging::Logging;
use crate::metrics::Metrics;
pub(crate) use backup::back_up_when_due;
pub(crate) use channels::Imported;
pub(crate) use config::ConfigurationError;
pub(crate) use deploy::DeployError;
pub(crate) use endorsers::{EndorsersError, peer_settings};
pub(crate) use error::{ImportError, NodeError};
pub(crate) use join::JoinError;
pub(crate) use migrate::ChannelMigrated;
use ordering::Ordering;
pub(crate) use ordering::{OrderedBy, OrderingError};
pub(crate) use wanted::{Wanted, WantedSource};

/// The channel that the first start makes.
pub(crate) const FIRST_CHANNEL: &str = "main";

/// A data directory opened for use.
#[derive(Debug)]
pub(crate) struct Node {
    organization: Arc<Organization>,
    /// None where the data directory has no CA, and none is to be served.
    authority: Option<Arc<Authority>>,
    tokens: Tokens,
    invitations: Invitations,
    ledgers: Ledgers,
    endorser: Arc<SigningIdentity>,
    orderer: Arc<SigningIdentity>,
    client: Arc<SigningIdentity>,
    documents: Documents,
    /// None where no chaincode runs, as in commands that open channels by themselves.
    chaincodes: Option<Chaincodes>,
    ordering: Ordering,
    /// Whether it is an orderer alone: its channels have blocks and no state.
    orders_only: bool,
    /// The way to other peers.
    endorsers: Arc<dyn Endorsers>,
    migrations: RwLock<Vec<Migration>>,
    metrics: Arc<Metrics>,
    data: PathBuf,
    channels: RwLock<BTreeMap<String, OpenChannel>>,
    /// Why a channel did not open when the node started, and what to do about it.
    closed: RwLock<BTreeMap<String, String>>,
    /// Channels that are being made: two of one name must not overtake each other.
    creating: Mutex<BTreeSet<String>>,
    /// Those that it makes by itself.
    backups: Option<Backups>,
    /// Held while a backup is made: one at a time.
    backing_up: Mutex<()>,
    ready: AtomicBool,
    stopping: watch::Sender<bool>,
    logging: Logging,
    /// Whether anything is counted.
    counts: bool,
}

impl Node {
    /// Opens a data directory; its channels are for [`Node::open_channels`]. The first start makes
    /// the organisation.
    pub(crate) fn open(
        data: &Path,
        organization: (&str, Option<Given<'_>>),
        (engine, cache_bytes): (&StateEngine, u64),
        documents: Documents,
        logging: Logging,
        counts: bool,
    ) -> Result<Self, NodeError> {
        let metrics = Arc::new(Metrics::new(&build_info()));
        let Directory {
            mut ledgers,
            organization,
            tokens,
            endorser,
            orderer,
            client,
        } = Directory::open(data, organization, engine, cache_bytes)?;
        if counts {
            ledgers = ledgers.observed_by(Arc::clone(&metrics) as Arc<_>);
        }
        Ok(Self {
            endorser,
            orderer,
            client,
            organization,
            authority: None,
            tokens,
            invitations: Invitations::default(),
            ledgers,
            documents,
            chaincodes: None,
            ordering: Ordering::Embedded,
            orders_only: false,
            endorsers: Arc::new(Nobody),
            migrations: RwLock::default(),
            metrics,
            data: data.to_owned(),
            channels: RwLock::default(),
            closed: RwLock::default(),
            creating: Mutex::default(),
            backups: None,
            backing_up: Mutex::default(),
            ready: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            logging,
            counts,
        })
    }

    /// How many blocks each open channel has.
    pub(crate) fn heights(&self) -> BTreeMap<String, u64> {
        let channels = self.channels.read();
        let heights = channels.iter();
        heights
            .map(|(name, open)| (name.clone(), open.channel.reader.height()))
            .collect()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// How the engine under all channels is.
    pub(crate) fn engine(&self) -> EngineStatus {
        self.ledgers.engine()
    }

    /// Why the channel takes no more transactions, if something broke.
    pub(crate) fn failure(&self, channel: &str) -> Option<String> {
        self.channels.read().get(channel)?.failure()
    }

    pub(crate) fn organization(&self) -> &Organization {
        &self.organization
    }

    /// The node, with the CA of its organisation. `wanted` makes one where there is none.
    pub(crate) fn with_authority(mut self, name: &str, wanted: bool) -> Result<Self, NodeError> {
        self.authority = authority::open(&self.organization, &self.data, name, wanted)?;
        Ok(self)
    }

    /// The node, which runs the chaincodes that its channels define.
    pub(crate) fn with_chaincodes(
        mut self,
        timeout: Duration,
        runtime: &Handle,
    ) -> Result<Self, NodeError> {
        let msp_id = self.organization.msp_id();
        let chaincodes = Chaincodes::open(&self.data, msp_id, timeout, runtime);
        self.chaincodes = Some(chaincodes?);
        Ok(self)
    }

    /// Says who decides the order of the channels, before any is opened.
    pub(crate) fn with_ordering(mut self, ordering: OrderedBy) -> Result<Self, NodeError> {
        self.ordering = ordering.open()?;
        Ok(self)
    }

    /// Whether its orderers are elsewhere.
    pub(crate) fn follows(&self) -> bool {
        self.ordering.order_of() == OrderOf::Others
    }

    /// An orderer alone, if that is wanted.
    pub(crate) fn with_role(mut self, orders_only: bool) -> Self {
        self.orders_only = orders_only;
        self
    }

    /// Lets other peers be asked for endorsements.
    pub(crate) fn with_endorsers(mut self, settings: PeerSettings) -> Self {
        let observer = Arc::clone(&self.metrics.endorsers) as Arc<_>;
        self.endorsers = Arc::new(Peers::new(settings, observer));
        self
    }

    /// The chaincodes that it runs.
    pub(crate) fn chaincodes(&self) -> Option<&Chaincodes> {
        self.chaincodes.as_ref()
    }

    /// The CA of its organisation.
    pub(crate) fn authority(&self) -> Option<&Arc<Authority>> {
        self.authority.as_ref()
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Asks everybody who waits for something to come to an end.
    pub(crate) fn ask_to_stop(&self) {
        self.ready.store(false, atomic::Ordering::Release);
        self.stopping.send_replace(true);
    }

    /// Ends the processes of chaincodes.
    pub(crate) async fn stop_chaincodes(&self) {
        if let Some(chaincodes) = &self.chaincodes {
            chaincodes.processes.stop().await;
        }
    }

    /// Refuses new transactions, and returns when all that were queued are committed and the engine has
    /// written what it had in memory.
    pub(crate) fn stop(&self) {
        self.ask_to_stop();
        let channels = std::mem::take(&mut *self.channels.write());
        // All are closed before the first is waited for.
        for channel in channels.values() {
            channel.close();
        }
        for (name, channel) in channels {
            if let Err(error) = channel.stop() {
                tracing::error!(channel = name, "{error}");
            }
        }
        self.ledgers.settle();
    }
}

fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("QUIRE_COMMIT").unwrap_or("unknown").to_owned(),
    }
}
