//! The channels of a node: opened, made, taken over, checked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_gateway::Backend as _;
use quire_ledger::check::{CheckError, Depth, Report, check_channel, check_open_channel};
use quire_ledger::{
    Block, ChannelRecord, CreateOptions, Ledger, OpenError, OpenReport, Progress, Status, chain_of,
};
use quire_peer::channel::Host;
use quire_peer::genesis::BATCH_SIZE;
use quire_peer::join::OrderOf;
use quire_peer::{ChaincodeHost, OpenChannel, genesis_block};
use serde::{Deserialize, Serialize};

use super::error::{ImportError, NodeError};
use super::migrate::migrate;
use super::{FIRST_CHANNEL, Node};
use crate::advice;
use crate::chaincodes::Chaincodes;
use crate::clock::{self, SystemClock};
use crate::data_directory;
use crate::metrics::Measured;
use crate::signer::OrdererSigner;

/// A channel that was taken over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Imported {
    pub(crate) height: u64,
    pub(crate) transactions: u64,
    pub(crate) newest_block: String,
}

impl Node {
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
                Err(error) if error.is_of_one_channel() => {
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
        // Nobody else would order a channel that is made here.
        let makes_one = self.ordering.order_of() != OrderOf::Others && !self.orders_only;
        if makes_one && !takes_writes && !records.iter().any(|record| record.name == FIRST_CHANNEL)
        {
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
        let advice = error.open().and_then(advice::of_open).unwrap_or_default();
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

    /// Makes a channel, and starts it.
    pub(crate) fn create(&self, name: &str) -> Result<(), NodeError> {
        if self.ordering.order_of() == OrderOf::Others {
            return Err(NodeError::NotOrderedHere(name.to_owned()));
        }
        let _reserved = self.reserve(name)?;
        let signer = OrdererSigner(Arc::clone(&self.orderer));
        let block = genesis_block(name, BATCH_SIZE, &self.organization, &signer, clock::now());
        let opening = self.metrics.opening();
        let ledger = self.make_ledger(name, block, self.keeping())?;
        opening.done(name, &OpenReport::default());
        let record = self.ledgers.record(name)?;
        let record = record.ok_or_else(|| OpenError::NoSuchChannel(name.to_owned()))?;
        tracing::info!(channel = name, "channel created");
        self.start(&record, ledger)
    }

    /// The ledger of a channel that begins with this block.
    pub(super) fn make_ledger(
        &self,
        name: &str,
        block: Block,
        keeping: Keeping,
    ) -> Result<Ledger, OpenError> {
        let options = CreateOptions::default();
        match keeping {
            Keeping::Ordered => self.ledgers.create(name, block, options),
            Keeping::Followed => self.ledgers.create_following(name, block, options),
            Keeping::BlocksOnly => self.ledgers.create_blocks_only(name, block, options),
        }
    }

    /// How channels are kept that this node makes or joins.
    pub(super) fn keeping(&self) -> Keeping {
        if self.orders_only {
            Keeping::BlocksOnly
        } else if self.ordering.order_of() == OrderOf::Others {
            Keeping::Followed
        } else {
            Keeping::Ordered
        }
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
        data_directory::check(data, msp_id, &self.ledgers, &damage, channel, &mut check)
    }

    /// Keeps others from making a channel of this name meanwhile.
    pub(super) fn reserve(&self, name: &str) -> Result<Reserved<'_>, OpenError> {
        if !self.creating.lock().insert(name.to_owned()) {
            return Err(OpenError::Exists(name.to_owned()));
        }
        Ok(Reserved {
            node: self,
            name: name.to_owned(),
        })
    }

    /// What chaincodes need of the node.
    pub(super) fn chaincode_host(&self) -> ChaincodeHost {
        let chaincodes = self.chaincodes.as_ref();
        chaincodes.map_or_else(ChaincodeHost::idle, Chaincodes::host)
    }

    /// Lets requests at an open channel, and starts its committing thread if it takes transactions.
    pub(super) fn start(&self, record: &ChannelRecord, ledger: Ledger) -> Result<(), NodeError> {
        let name = record.name.clone();
        match (record.blocks_only, self.orders_only) {
            (true, false) => return Err(NodeError::OrderersOnly(name)),
            (false, true) => return Err(NodeError::HasState(name)),
            _ => {}
        }
        if record.follows_others && self.ordering.order_of() != OrderOf::Others {
            return Err(NodeError::FollowsOthers(name));
        }
        migrate(&name, &ledger.reader(), &self.migrations.read().clone())?;
        self.metrics.begin(&name);
        let host = Host {
            endorser: Arc::clone(&self.endorser),
            signer: Arc::new(OrdererSigner(Arc::clone(&self.orderer))),
            documents: self.documents.clone(),
            clock: Arc::new(SystemClock),
            chaincode: self.chaincode_host(),
            endorsers: Arc::clone(&self.endorsers),
        };
        let mut open = if record.read_only {
            OpenChannel::read_only(ledger, &host)
        } else {
            self.ordering.open(ledger, &host, &self.metrics)?
        };
        if let Some(chaincodes) = &self.chaincodes {
            chaincodes.opened(&open);
        }
        if self.counts {
            let channel = &mut open.channel;
            let submitter = Arc::clone(&channel.submitter);
            let (name, metrics) = (Arc::clone(&channel.name), Arc::clone(&self.metrics));
            channel.submitter = Measured::around(submitter, name, metrics);
        }
        self.channels.write().insert(name, open);
        Ok(())
    }
}

/// How a channel is kept, from its first block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// This node orders it, alone or by a topic.
    Ordered,
    /// Orderers elsewhere order it.
    Followed,
    /// By an orderer alone: blocks without state.
    BlocksOnly,
}

/// A name that nobody else makes a channel of.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    node: &'a Node,
    name: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.node.creating.lock().remove(&self.name);
    }
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
