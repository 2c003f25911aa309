//! The channels of a data directory, as the gateway sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use quire_chaincode::Documents;
use quire_chaincode::name::check_channel as check_name;
use quire_gateway::Caller;
use quire_gateway::backend::{
    AuthenticateError, Backend, BuildInfo, CreateChannelError, Credential, FailedCheck,
    InvalidLogSpec,
};
use quire_identity::channel_config::{ChannelConfig, ChannelConfigError};
use quire_identity::token::{NotAuthenticated, OpenTokensError};
use quire_identity::{
    LoadIdentityError, MspError, Organization, OrganizationError, Policy, PolicyError,
    SigningIdentity, Token, Tokens,
};
use quire_ledger::check::{CheckError, Depth, Report, check_channel, check_open_channel};
use quire_ledger::{
    ChannelRecord, CommitError, Content, Corruption, CreateOptions, EngineStatus, Examined, Ledger,
    Ledgers, MigrateError, Migrated, Migration, OpenError, OpenReport, Progress, ReadError, Reader,
    StateEngine, Status, Verifier, chain_of,
};
use quire_ordering::last_config;
use quire_peer::{Channel, Submitter};
use quire_wire::config::{ConfigEnvelope, ConfigGroup};
use quire_wire::tx_id::NONCE_BYTES;
use quire_wire::{DecodeError, Message as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::admin::ChannelMigrated;
use crate::clock;
use crate::commands::advice;
use crate::commands::channel::open_error;
use crate::directory::{self, Directory};
use crate::genesis::genesis_block;
use crate::logging::Logging;
use crate::metrics::{Measured, Metrics};
use crate::pipeline::{self, OrdererSigner, Pipeline, ReadOnly};

/// The channel that the first start makes.
pub(crate) const FIRST_CHANNEL: &str = "main";
/// Where state keeps a channel's configuration: Fabric's namespace and key.
const CONFIG_NAMESPACE: &str = "";
const CONFIG_KEY: &str = "CHANNEL_CONFIG_ENV_BYTES";
/// Damaged blocks of a channel that are told one by one.
const TOLD_DAMAGE: usize = 10;
/// The policy that endorsements of a channel's transactions must satisfy.
const ENDORSEMENT_POLICY: &str = "/Channel/Application/Endorsement";

/// A channel that was taken over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Imported {
    pub(crate) height: u64,
    pub(crate) transactions: u64,
    pub(crate) newest_block: String,
}

/// Why a channel was not taken over, or not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Import(#[from] quire_ledger::ImportError),
    #[error("the channel was imported, but does not start")]
    Start(#[from] NodeError),
}

impl From<OpenError> for ImportError {
    fn from(error: OpenError) -> Self {
        Self::Import(error.into())
    }
}

/// Why the node does not start, or a channel is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the organisation does not open")]
    Organization(#[from] OrganizationError),
    #[error("the tokens cannot be read")]
    Tokens(#[from] OpenTokensError),
    #[error("an identity does not open")]
    Identity(#[from] LoadIdentityError),
    #[error("the node has no identity {0}")]
    NoIdentity(String),
    #[error("the configuration of channel {channel} cannot be used")]
    Config {
        channel: String,
        source: ConfigError,
    },
    #[error("channel {channel} does not get its query indexes")]
    Migrate {
        channel: String,
        source: MigrateError,
    },
    #[error("no thread can be started for channel {channel}")]
    Thread {
        channel: String,
        source: std::io::Error,
    },
}

/// Why a channel's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("a block cannot be read")]
    Read(#[from] ReadError),
    #[error("block {0} holds no configuration")]
    Missing(u64),
    #[error("it does not parse")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Config(#[from] ChannelConfigError),
    #[error("an organisation is not sound")]
    Msp(#[from] MspError),
    #[error("the endorsement policy is not sound")]
    Policy(#[from] PolicyError),
}

/// A data directory opened for use.
#[derive(Debug)]
pub(crate) struct Node {
    organization: Organization,
    tokens: Tokens,
    ledgers: Ledgers,
    endorser: Arc<SigningIdentity>,
    orderer: Arc<SigningIdentity>,
    client: Arc<SigningIdentity>,
    documents: Documents,
    migrations: RwLock<Vec<Migration>>,
    metrics: Arc<Metrics>,
    data: PathBuf,
    channels: RwLock<BTreeMap<String, OpenChannel>>,
    /// Why a channel did not open when the node started, and what to do about it.
    closed: RwLock<BTreeMap<String, String>>,
    /// Channels that are being made: two of one name must not overtake each other.
    creating: Mutex<BTreeSet<String>>,
    ready: AtomicBool,
    stopping: watch::Sender<bool>,
    logging: Logging,
    /// Whether anything is counted.
    counts: bool,
}

#[derive(Debug)]
struct OpenChannel {
    channel: Channel,
    committing: Committing,
}

/// Who appends to a channel.
#[derive(Debug)]
enum Committing {
    /// Nobody: it is read-only. Its height stays as it is, and those who wait for the next block
    /// wait on. Its query indexes are built as long as there is its ledger.
    Nobody {
        _ledger: Box<Mutex<Ledger>>,
        _heights: watch::Sender<u64>,
    },
    /// A pipeline with its committing thread.
    Pipeline(Arc<Pipeline>, JoinHandle<()>),
}

impl Node {
    /// Opens a data directory; its channels are for [`Node::open_channels`]. The first start makes
    /// the organisation.
    pub(crate) fn open(
        data: &Path,
        msp_id: &str,
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
        } = Directory::open(data, msp_id, engine, cache_bytes)?;
        if counts {
            ledgers = ledgers.observed_by(Arc::clone(&metrics) as Arc<_>);
        }
        Ok(Self {
            endorser,
            orderer,
            client,
            organization,
            tokens,
            ledgers,
            documents,
            migrations: RwLock::default(),
            metrics,
            data: data.to_owned(),
            channels: RwLock::default(),
            closed: RwLock::default(),
            creating: Mutex::default(),
            ready: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            logging,
            counts,
        })
    }

    /// Gives every channel that is opened or made from now on these query indexes, once.
    #[must_use]
    pub(crate) fn migrated_by(self, migrations: Vec<Migration>) -> Self {
        *self.migrations.write() = migrations;
        self
    }

    /// Gives every open channel the query indexes that it has not had, and every one that is made from
    /// now on.
    pub(crate) fn migrate(
        &self,
        migrations: &[Migration],
    ) -> Result<Vec<ChannelMigrated>, NodeError> {
        // Before the channels are told, so that one which is being made meanwhile gets them too.
        let before = std::mem::replace(&mut *self.migrations.write(), migrations.to_vec());
        let channels: Vec<_> = {
            let channels = self.channels.read();
            channels.values().map(|open| open.channel.clone()).collect()
        };
        let migrated = channels.iter().map(|channel| {
            let migrated = migrate(&channel.name, &channel.reader, migrations)?;
            Ok(ChannelMigrated {
                channel: channel.name.to_string(),
                applied: migrated.applied,
                gone: migrated.gone,
            })
        });
        let migrated: Result<_, _> = migrated.collect();
        if migrated.is_err() {
            *self.migrations.write() = before;
        }
        migrated
    }

    /// How many blocks each open channel has.
    pub(crate) fn heights(&self) -> BTreeMap<String, u64> {
        let channels = self.channels.read();
        let heights = channels.iter();
        heights
            .map(|(name, open)| (name.clone(), open.channel.reader.height()))
            .collect()
    }

    /// Opens every active channel, replaying what they missed; the first start makes one. Requests
    /// are taken from then on. One that does not open for a reason of its own stays closed, unless
    /// that leaves none to be served.
    pub(crate) fn open_channels(
        &self,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), NodeError> {
        let records = self.ledgers.list()?;
        let mut first = None;
        for record in records
            .iter()
            .filter(|record| record.status == Status::Active)
        {
            match self.open_channel(record, progress) {
                Err(error) if directory::is_of_one_channel(&error) => {
                    self.keep_closed(&record.name, &error);
                    first.get_or_insert(error);
                }
                other => other?,
            }
        }
        if let Some(error) = first
            && self.channels.read().is_empty()
        {
            return Err(error);
        }
        // Channels that were imported before the first start leave nothing to write to.
        let takes_writes = records.iter().any(|record| !record.read_only);
        if !takes_writes && !records.iter().any(|record| record.name == FIRST_CHANNEL) {
            self.create(FIRST_CHANNEL)?;
        }
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    fn open_channel(
        &self,
        record: &ChannelRecord,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), NodeError> {
        let opening = self.metrics.opening();
        let mut progress = |step: Progress<'_>| {
            self.metrics.recovering(&step);
            progress(step);
        };
        let (ledger, report) = self.ledgers.ledger(&record.name, &mut progress)?;
        opening.done(&record.name, &report);
        tell(&record.name, &report);
        self.start(record, ledger)
    }

    fn keep_closed(&self, channel: &str, error: &NodeError) {
        let advice = open_error(error).and_then(advice).unwrap_or_default();
        let reason = chain_of(error);
        tracing::error!(
            channel,
            reason,
            advice,
            "the channel does not open and is not served; the others are"
        );
        let told = format!("it does not open: {reason}. {advice}");
        let told = told.trim_end().to_owned();
        self.closed.write().insert(channel.to_owned(), told);
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
        let channels = self.channels.read();
        match &channels.get(channel)?.committing {
            Committing::Pipeline(pipeline, _) => pipeline.failure(),
            Committing::Nobody { .. } => None,
        }
    }

    pub(crate) fn organization(&self) -> &Organization {
        &self.organization
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Makes a channel, and starts it.
    pub(crate) fn create(&self, name: &str) -> Result<(), NodeError> {
        let _reserved = self.reserve(name)?;
        let signer = OrdererSigner(Arc::clone(&self.orderer));
        let block = genesis_block(
            name,
            &self.organization,
            &self.orderer,
            &signer,
            clock::now(),
        );
        let opening = self.metrics.opening();
        let ledger = self.ledgers.create(name, block, CreateOptions::default())?;
        opening.done(name, &OpenReport::default());
        let record = self.ledgers.record(name)?;
        let record = record.ok_or_else(|| OpenError::NoSuchChannel(name.to_owned()))?;
        tracing::info!(channel = name, "channel created");
        self.start(&record, ledger)
    }

    /// Takes over a channel from block files, and starts it.
    pub(crate) fn import(
        &self,
        name: &str,
        blockfiles: &Path,
        writable: bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Imported, ImportError> {
        let _reserved = self.reserve(name)?;
        let opening = self.metrics.opening();
        let (ledger, report) = self.ledgers.import(name, blockfiles, writable, progress)?;
        opening.done(name, &OpenReport::default());
        let (height, hash) = ledger.tip();
        let record = self.ledgers.existing(name)?;
        self.start(&record, ledger)?;
        tracing::info!(channel = name, height, "channel imported");
        Ok(Imported {
            height,
            transactions: report.transactions,
            newest_block: hex::encode(hash),
        })
    }

    /// Every channel there is a record of.
    pub(crate) fn list(&self) -> Result<Vec<ChannelRecord>, OpenError> {
        self.ledgers.list()
    }

    /// Checks one channel, or all of them, each up to the height that it has when its turn comes.
    pub(crate) fn check(
        &self,
        channel: Option<&str>,
        depth: Depth,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<Report>, CheckError> {
        let mut check = |name: &str| match self.channel(name) {
            Some(channel) => check_open_channel(&self.ledgers, &channel.reader, depth, progress),
            None => check_channel(&self.ledgers, name, depth, progress),
        };
        let (_, damage) = self.ledgers.examine();
        let (data, msp_id) = (&self.data, self.organization.msp_id());
        directory::check(data, msp_id, &self.ledgers, &damage, channel, &mut check)
    }

    /// Keeps others from making a channel of this name meanwhile.
    fn reserve(&self, name: &str) -> Result<Reserved<'_>, OpenError> {
        if !self.creating.lock().insert(name.to_owned()) {
            return Err(OpenError::Exists(name.to_owned()));
        }
        Ok(Reserved {
            node: self,
            name: name.to_owned(),
        })
    }

    /// Lets requests at an open channel, and starts its committing thread if it takes transactions.
    fn start(&self, record: &ChannelRecord, ledger: Ledger) -> Result<(), NodeError> {
        let name = record.name.clone();
        let reader = ledger.reader();
        migrate(&name, &reader, &self.migrations.read().clone())?;
        self.metrics.begin(&name);
        let (sender, heights) = watch::channel(reader.height());
        let (submitter, committing): (Arc<dyn Submitter>, _) = if record.read_only {
            let documents = self.documents.clone();
            (
                Arc::new(ReadOnly {
                    reader: reader.clone(),
                    documents,
                }),
                Committing::Nobody {
                    _ledger: Box::new(Mutex::new(ledger)),
                    _heights: sender,
                },
            )
        } else {
            let config_error = |source| NodeError::Config {
                channel: name.clone(),
                source,
            };
            let parts = self.parts(ledger, sender).map_err(config_error)?;
            let (pipeline, thread) =
                pipeline::start(parts).map_err(|source| NodeError::Thread {
                    channel: name.clone(),
                    source,
                })?;
            (
                Arc::clone(&pipeline) as Arc<_>,
                Committing::Pipeline(pipeline, thread),
            )
        };
        let channel_name: Arc<str> = name.as_str().into();
        let submitter = if self.counts {
            Measured::around(
                submitter,
                Arc::clone(&channel_name),
                Arc::clone(&self.metrics),
            )
        } else {
            submitter
        };
        let channel = Channel {
            name: channel_name,
            reader,
            submitter,
            read_only: record.read_only,
            heights,
        };
        self.channels.write().insert(
            name,
            OpenChannel {
                channel,
                committing,
            },
        );
        Ok(())
    }

    /// What a channel's pipeline is made of, as its configuration says.
    fn parts(
        &self,
        ledger: Ledger,
        heights: watch::Sender<u64>,
    ) -> Result<pipeline::Parts, ConfigError> {
        let (last_config, root) = current_config(&ledger.reader())?;
        let config = ChannelConfig::from_group(&root)?;
        let verifier = Verifier::new(config.msps()?, Policy::at(&root, ENDORSEMENT_POLICY)?);
        let channel = ledger.reader();
        let queue_metrics = self
            .metrics
            .queue(channel.channel(), pipeline::QUEUE_LENGTH);
        Ok(pipeline::Parts {
            queue_metrics,
            ledger,
            endorser: Arc::clone(&self.endorser),
            signer: OrdererSigner(Arc::clone(&self.orderer)),
            verifier,
            documents: self.documents.clone(),
            batch_size: config.batch_size,
            batch_timeout: config.batch_timeout,
            last_config,
            heights,
        })
    }

    /// Asks everybody who waits for something to come to an end.
    pub(crate) fn ask_to_stop(&self) {
        self.ready.store(false, Ordering::Release);
        self.stopping.send_replace(true);
    }

    /// Refuses new transactions, and returns when all that were queued are committed and the engine has
    /// written what it had in memory.
    pub(crate) fn stop(&self) {
        self.ask_to_stop();
        let channels = std::mem::take(&mut *self.channels.write());
        // All are closed before the first is waited for.
        for channel in channels.values() {
            if let Committing::Pipeline(pipeline, _) = &channel.committing {
                pipeline.close();
            }
        }
        for (name, channel) in channels {
            // The ledger of a read-only channel ends here too, with what builds its indexes.
            if let Committing::Pipeline(_, thread) = channel.committing
                && thread.join().is_err()
            {
                tracing::error!(channel = name, "the committing thread panicked");
            }
        }
        self.ledgers.settle();
    }
}

/// A name that nobody else makes a channel of.
#[derive(Debug)]
struct Reserved<'a> {
    node: &'a Node,
    name: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.node.creating.lock().remove(&self.name);
    }
}

/// The configuration in force, and the number of its block. Where that block is damaged, state has
/// the configuration too: a damaged old block keeps no channel from its work.
fn current_config(reader: &Reader) -> Result<(u64, ConfigGroup), ConfigError> {
    let tip = reader
        .height()
        .checked_sub(1)
        .ok_or(ConfigError::Missing(0))?;
    let tip = reader.block(tip)?.ok_or(ConfigError::Missing(tip))?;
    let number = last_config(&tip.metadata)?;
    let config = match config_in_block(reader, number) {
        Err(ConfigError::Read(ReadError::Corrupt(_))) => config_in_state(reader, number)?,
        other => other?,
    };
    let config = ConfigEnvelope::decode(config)?.config;
    let root = config.and_then(|config| config.channel_group);
    Ok((number, root.ok_or(ConfigError::Missing(number))?))
}

/// What is told of damaged blocks that reads of a channel have met, and what to do about them; none where
/// there are none.
fn told_damage(channel: &str, damage: &[Corruption], data: &Path) -> Option<String> {
    let told = damage.iter().take(TOLD_DAMAGE).map(Corruption::to_string);
    let mut told: Vec<String> = told.collect();
    let more = damage.len().saturating_sub(told.len());
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    let is = match damage.len() {
        0 => return None,
        1 => "a block is damaged".to_owned(),
        count => format!("{count} blocks are damaged"),
    };
    let (told, data) = (told.join("; "), data.display());
    Some(format!(
        "{is}, all others are served: {told}. Next: `quire check --channel \
         {channel} --data {data}`; then, with the node stopped, `quire repair --channel {channel} --from \
         COPY --data {data}`"
    ))
}

fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("QUIRE_COMMIT").unwrap_or("unknown").to_owned(),
    }
}

fn config_in_block(reader: &Reader, number: u64) -> Result<Bytes, ConfigError> {
    let missing = ConfigError::Missing;
    let block = reader.block(number)?.ok_or(missing(number))?;
    let envelope = block.envelopes.first().ok_or(missing(number))?;
    match Examined::read(envelope).content {
        Content::Config(config) => Ok(config),
        Content::Endorsed(_) | Content::Other => Err(missing(number)),
    }
}

fn config_in_state(reader: &Reader, number: u64) -> Result<Bytes, ConfigError> {
    let value = reader.snapshot().get(CONFIG_NAMESPACE, CONFIG_KEY)?;
    let value = value.filter(|value| value.version.block == number);
    Ok(value.ok_or(ConfigError::Missing(number))?.value)
}

/// Says what opening a channel found.
fn tell(channel: &str, report: &OpenReport) {
    if let Some(cut) = &report.cut {
        tracing::warn!(
            channel,
            file = %cut.file.display(),
            offset = cut.offset,
            bytes = cut.bytes,
            block = cut.block,
            "cut a batch that was never acknowledged"
        );
    }
    tracing::info!(
        channel,
        height = report.height,
        replayed = report.replayed,
        "channel open"
    );
}

/// Gives a channel the query indexes that it has not had, and says so.
fn migrate(
    channel: &str,
    reader: &Reader,
    migrations: &[Migration],
) -> Result<Migrated, NodeError> {
    let migrated = reader.migrate(migrations);
    let migrated = migrated.map_err(|source| NodeError::Migrate {
        channel: channel.to_owned(),
        source,
    })?;
    tell_migrated(channel, &migrated);
    Ok(migrated)
}

fn tell_migrated(channel: &str, migrated: &Migrated) {
    for (file, indexes) in &migrated.applied {
        tracing::info!(channel, file, indexes, "query indexes of a file applied");
    }
    if let Some(newest) = migrated.gone.last() {
        let files = migrated.gone.len();
        tracing::warn!(
            channel,
            files,
            newest,
            "files of query indexes that were applied are there no more"
        );
    }
}

impl Backend for Node {
    fn build(&self) -> BuildInfo {
        build_info()
    }

    fn registry(&self) -> prometheus::Registry {
        self.metrics.registry.clone()
    }

    fn counts(&self) -> bool {
        self.counts
    }

    fn channels(&self) -> Vec<String> {
        self.channels.read().keys().cloned().collect()
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        self.channels
            .read()
            .get(name)
            .map(|open| open.channel.clone())
    }

    fn create_channel(&self, name: &str) -> Result<(), CreateChannelError> {
        check_name(name).map_err(|error| CreateChannelError::InvalidName(error.to_string()))?;
        self.create(name).map_err(|error| match error {
            NodeError::Open(OpenError::Exists(name)) => CreateChannelError::Exists(name),
            // Not its disk: the operator has to look elsewhere.
            NodeError::Open(
                OpenError::Follow { source, .. }
                | OpenError::Create {
                    source: CommitError::Waiting(source) | CommitError::Judge(source),
                    ..
                },
            ) if source.is_unavailable() || matches!(source, ReadError::StateForeign(_)) => {
                CreateChannelError::State {
                    name: name.to_owned(),
                    source,
                }
            }
            other => CreateChannelError::StorageFailed {
                name: name.to_owned(),
                source: Box::new(other),
            },
        })
    }

    fn closed_channels(&self) -> Vec<FailedCheck> {
        let closed = self.closed.read();
        let closed = closed.iter().map(|(name, reason)| FailedCheck {
            component: name.clone(),
            reason: reason.clone(),
        });
        closed.collect()
    }

    fn failed_checks(&self) -> Vec<FailedCheck> {
        let channels = self.channels.read();
        let failed = channels.iter().filter_map(|(name, open)| {
            let stopped = match &open.committing {
                Committing::Pipeline(pipeline, _) => pipeline.failure(),
                Committing::Nobody { .. } => None,
            };
            // Known once is enough.
            let away = || open.channel.reader.state_trouble();
            let away =
                || away().map(|reason| format!("the state database cannot be used: {reason}"));
            stopped.or_else(away).map(|reason| FailedCheck {
                component: format!("channel {name}"),
                reason,
            })
        });
        failed.collect()
    }

    fn damaged_blocks(&self) -> Vec<FailedCheck> {
        let channels = self.channels.read();
        let met = channels.iter().filter_map(|(name, open)| {
            Some(FailedCheck {
                component: format!("channel {name}"),
                reason: told_damage(name, &open.channel.reader.damage(), &self.data)?,
            })
        });
        met.collect()
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn log_spec(&self) -> String {
        self.logging.spec()
    }

    fn set_log_spec(&self, spec: &str) -> Result<(), InvalidLogSpec> {
        self.logging.set(spec)
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn default_identity(&self) -> Arc<SigningIdentity> {
        Arc::clone(&self.client)
    }

    fn authentication_required(&self) -> bool {
        self.tokens.are_required()
    }

    fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthenticateError> {
        let now = clock::now();
        let token = match credential {
            Credential::Token(token) => self.tokens.authenticate(token, now)?,
            Credential::Certificate(name) => match self.tokens.of_certificate(name, now) {
                Err(NotAuthenticated::Unknown) => {
                    return Err(AuthenticateError::NoRights(name.to_owned()));
                }
                found => found?,
            },
        };
        let failed = |error| AuthenticateError::Failed(Box::new(error));
        let identity = self.organization.identity(&token.identity);
        let identity = identity.map_err(|error| failed(NodeError::Identity(error)))?;
        let missing = || failed(NodeError::NoIdentity(token.identity.clone()));
        Ok(Caller {
            identity: identity.ok_or_else(missing)?,
            token: Some(token),
        })
    }

    fn still_holds(&self, token: &Arc<Token>) -> bool {
        self.tokens.still_hold(token, clock::now())
    }

    fn now(&self) -> SystemTime {
        clock::now()
    }

    fn random_nonce(&self) -> [u8; NONCE_BYTES] {
        pipeline::random_nonce()
    }
}

#[cfg(test)]
mod tests;
