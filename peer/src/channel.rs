//! One channel: what those who serve it see of it, and what appends to it.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use quire_chaincode::{Chaincodes, Documents};
use quire_identity::SigningIdentity;
use quire_ledger::{DEFAULT_SEGMENT_BYTES, Ledger, Origin, Reader};
use quire_ordering::kafka::{self, Topics};
use quire_ordering::{BlockSigner, Bounds, Consenter, Elsewhere, Embedded, QueueObserver};
use tokio::sync::watch;

use crate::access::Access;
use crate::chaincode_host::ChaincodeHost;
use crate::clock::Clock;
use crate::collector::Collector;
use crate::committer::Committer;
use crate::config::{Current, InForce};
use crate::cut_here::{CutHere, Known};
use crate::delivered::Deliveries;
use crate::deployed::Deployed;
use crate::discovery::Of;
use crate::endorser::Endorser;
use crate::log_rules::{BFT, LogRules, consensus, place};
use crate::ordered_elsewhere::refuse_if_elsewhere;
use crate::orderers::Unobserved;
use crate::others::Endorsers;
use crate::outcomes::Outcomes;
use crate::peer::Peer;
use crate::read_only::ReadOnly;
use crate::source::BlockSource;
pub use crate::start_error::{CommitterPanicked, StartError};
use crate::submit::Submitter;

/// Transactions that may wait for the committing thread.
pub const QUEUE_LENGTH: usize = 10_000;
/// Bytes of transactions that may wait for the committing thread.
pub(crate) const QUEUE_BYTES: usize = 256 << 20;
/// After this number of bytes, no more transactions share a commit and its fsync: the size of a block file.
const ENOUGH_BYTES: u64 = DEFAULT_SEGMENT_BYTES;

/// One channel: its reads and its writes. A cheap clone.
#[derive(Clone)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// All reads.
    pub reader: Reader,
    /// The chaincode that governs each namespace.
    pub chaincodes: Arc<Chaincodes>,
    /// All writes.
    pub submitter: Arc<dyn Submitter>,
    /// Who may use what of it, by its configuration; `None` if it was imported without one.
    pub access: Option<Access>,
    /// Whether it refuses writes, as imported channels do.
    pub read_only: bool,
    /// Collects endorsements of others; `None` if it takes no transactions here.
    pub collector: Option<Arc<Collector>>,
    /// The number of blocks that can be read, sent after each commit. It closes when no commit will follow.
    pub heights: watch::Receiver<u64>,
}

impl<'a> From<&'a Channel> for Of<'a> {
    fn from(channel: &'a Channel) -> Self {
        Self {
            reader: &channel.reader,
            governing: &channel.chaincodes,
            takes_writes: !channel.read_only,
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// The node that has a channel open: its identities, its chaincode and its clock.
#[derive(Clone)]
pub struct Host {
    /// Endorses the results of chaincodes.
    pub endorser: Arc<SigningIdentity>,
    /// Signs blocks.
    pub signer: Arc<dyn BlockSigner + Send + Sync>,
    /// The built-in chaincode.
    pub documents: Documents,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What chaincodes need.
    pub chaincode: ChaincodeHost,
    /// The way to other peers.
    pub endorsers: Arc<dyn Endorsers>,
}

impl Host {
    fn access(&self, config: Current) -> Access {
        Access::new(config, self.endorser.msp_id(), Arc::clone(&self.clock))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("endorser", &self.endorser)
            .finish_non_exhaustive()
    }
}

/// A channel that is open, and what appends to it.
#[derive(Debug)]
pub struct OpenChannel {
    /// What those who serve it get.
    pub channel: Channel,
    committing: Committing,
}

#[derive(Debug)]
enum Committing {
    /// Nobody appends: it is read-only. Its height stays as it is, and those who wait for the next block go
    /// on waiting. Its query indexes are built as long as its ledger exists.
    Nobody {
        _ledger: Box<Mutex<Ledger>>,
        _heights: watch::Sender<u64>,
    },
    /// A committing thread appends, what comes from elsewhere or what was ordered here.
    Thread {
        peer: Arc<Peer>,
        committer: JoinHandle<()>,
        /// Brings blocks in from elsewhere, if they come from there.
        deliver_client: Option<JoinHandle<()>>,
    },
}

/// What the way into an order and the committing thread share: who waits for which transaction, and the height.
pub(crate) struct Ends {
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) heights: (watch::Sender<u64>, watch::Receiver<u64>),
}

impl Ends {
    pub(crate) fn of(ledger: &Ledger) -> Self {
        Self {
            outcomes: Arc::default(),
            heights: watch::channel(ledger.reader().height()),
        }
    }
}

impl OpenChannel {
    /// A channel to which nobody appends.
    #[must_use]
    pub fn read_only(ledger: Ledger, host: &Host) -> Self {
        let reader = ledger.reader();
        let (sender, heights) = watch::channel(reader.height());
        let chaincodes = Arc::new(Chaincodes::new(host.documents.clone()));
        // Its configuration may be one that cannot be used here. Its blocks are served by REST all the same.
        let config = InForce::of_chain(&reader).map(Current::new);
        let clock = Arc::clone(&host.clock);
        let access = config.map(|config| host.access(config)).ok();
        Self {
            channel: Channel {
                name: reader.channel().into(),
                submitter: Arc::new(ReadOnly {
                    reader: reader.clone(),
                    chaincodes: Arc::clone(&chaincodes),
                    clock,
                }),
                chaincodes,
                reader,
                access,
                read_only: true,
                collector: None,
                heights,
            },
            committing: Committing::Nobody {
                _ledger: Box::new(Mutex::new(ledger)),
                _heights: sender,
            },
        }
    }

    /// A channel whose transactions are ordered here.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn ordered_here(
        ledger: Ledger,
        host: &Host,
        observer: Arc<dyn QueueObserver>,
    ) -> Result<Self, StartError> {
        let reader = ledger.reader();
        let in_force = in_force(&reader)?;
        refuse_topic(&reader, &in_force)?;
        refuse_if_elsewhere(&reader, &in_force, &*host.signer)?;
        let bounds = Bounds {
            envelopes: QUEUE_LENGTH,
            bytes: QUEUE_BYTES,
            together_bytes: ENOUGH_BYTES,
        };
        let (way_in, way_out) = Embedded::new(in_force.batch_size, bounds, observer);
        let signer = Arc::clone(&host.signer);
        let source = CutHere::new(Box::new(way_out), reader, &in_force, signer);
        let (config, ends) = (Current::new(in_force), Ends::of(&ledger));
        let (way_in, source) = (Arc::new(way_in), Box::new(source));
        Self::start(ledger, host, config, ends, way_in, source)
    }

    /// A channel whose transactions are ordered by a topic, which other nodes read and write too.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn ordered_by(
        ledger: Ledger,
        host: &Host,
        queue: Arc<dyn QueueObserver>,
        topics: &impl Topics,
    ) -> Result<Self, StartError> {
        let reader = ledger.reader();
        let channel: Arc<str> = reader.channel().into();
        let in_force = in_force(&reader)?;
        if consensus(&in_force) == BFT {
            return Err(StartError::Order {
                channel: channel.to_string(),
                reason: "its configuration says that BFT orders it".to_owned(),
            });
        }
        let (tip, base) = place(&reader, &in_force).map_err(|source| StartError::Config {
            channel: channel.to_string(),
            source,
        })?;
        if tip.metadata.is_none() {
            refuse_if_elsewhere(&reader, &in_force, &*host.signer)?;
        }
        let config = Current::new(in_force);
        let in_force = config.get();
        let rules = LogRules {
            channel: Arc::clone(&channel),
            config: config.clone(),
            signer: Arc::clone(&host.signer),
            clock: Arc::clone(&host.clock),
        };
        let start = kafka::Start {
            base,
            limits: in_force.batch_size,
            tip,
            rules: Box::new(rules),
            envelopes: QUEUE_LENGTH,
            bytes: QUEUE_BYTES,
            queue,
            channel: Arc::clone(&channel),
        };
        let opened = topics.open(start);
        let (way_in, way_out) = opened.map_err(|reason| StartError::Order {
            channel: channel.to_string(),
            reason,
        })?;
        let source = CutHere::new(way_out, reader, &in_force, Arc::clone(&host.signer));
        let (ends, source) = (Ends::of(&ledger), Box::new(source));
        Self::start(ledger, host, config, ends, way_in, source)
    }

    /// A channel whose blocks come from elsewhere, and the place to hand them in. It takes no transactions.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn delivered(ledger: Ledger, host: &Host) -> Result<(Self, Deliveries), StartError> {
        let config = Current::new(in_force(&ledger.reader())?);
        let (deliveries, source) =
            Deliveries::new(ledger.reader().channel().into(), Arc::new(Unobserved));
        let (ends, consenter) = (Ends::of(&ledger), Arc::new(Elsewhere));
        let open = Self::start(ledger, host, config, ends, consenter, Box::new(source))?;
        Ok((open, deliveries))
    }

    pub(crate) fn start(
        mut ledger: Ledger,
        host: &Host,
        config: Current,
        ends: Ends,
        consenter: Arc<dyn Consenter<Known>>,
        source: Box<dyn BlockSource>,
    ) -> Result<Self, StartError> {
        let reader = ledger.reader();
        let name: Arc<str> = reader.channel().into();
        let Ends {
            outcomes,
            heights: (sender, heights),
        } = ends;
        ledger.judge_signatures(Origin::Quire);
        let chaincodes = Arc::new(Chaincodes::new(host.documents.clone()));
        let organization = host.endorser.msp_id();
        let host_of_chaincodes = &host.chaincode;
        let deployed = Deployed::new(
            &reader,
            organization,
            &config,
            &chaincodes,
            host_of_chaincodes,
        );
        let deployed = deployed.map_err(|source| StartError::Definitions {
            channel: name.to_string(),
            source: Box::new(source),
        })?;
        let (governing, identity) = (Arc::clone(&chaincodes), Arc::clone(&host.endorser));
        let access = host.access(config.clone());
        let endorsed_here = Arc::default();
        let collector = Arc::new(Collector::new(
            (reader.clone(), Arc::clone(&chaincodes)),
            config.clone(),
            (Arc::clone(&identity), Arc::clone(&host.endorsers)),
            Arc::clone(&endorsed_here),
        ));
        let peer = Arc::new(Peer {
            channel: Arc::clone(&name),
            endorser: Endorser::new(reader.clone(), governing, identity),
            endorsed_here,
            collector: Arc::clone(&collector),
            reader: reader.clone(),
            config: config.clone(),
            consenter,
            outcomes: Arc::clone(&outcomes),
            clock: Arc::clone(&host.clock),
            signer: Arc::clone(&host.signer),
        });
        let committer = Committer {
            channel: Arc::clone(&name),
            ledger,
            config,
            deployed,
            outcomes,
            heights: sender,
            clock: Arc::clone(&host.clock),
            reconfigures: false,
        };
        let committer = thread(&name, "commit", move || committer.run(source))?;
        Ok(Self {
            channel: Channel {
                name,
                reader,
                chaincodes,
                submitter: Arc::clone(&peer) as Arc<dyn Submitter>,
                access: Some(access),
                read_only: false,
                collector: Some(collector),
                heights,
            },
            committing: Committing::Thread {
                peer,
                committer,
                deliver_client: None,
            },
        })
    }

    /// The channel's peer; `None` if it is read-only.
    #[must_use]
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        match &self.committing {
            Committing::Thread { peer, .. } => Some(peer),
            Committing::Nobody { .. } => None,
        }
    }

    /// Why the channel takes no transactions, if something broke.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.peer()?.failure()
    }

    /// Takes no more transactions; what is queued is still committed.
    pub fn close(&self) {
        if let Some(peer) = self.peer() {
            peer.close();
        }
    }

    /// Closes the channel, and returns when everything that was queued is committed. This also ends the
    /// ledger of a read-only channel, and what builds its indexes.
    ///
    /// # Errors
    /// The committing thread panicked.
    pub fn stop(self) -> Result<(), CommitterPanicked> {
        self.close();
        match self.committing {
            Committing::Thread {
                committer,
                deliver_client,
                ..
            } => {
                let brought = deliver_client.map_or(Ok(()), JoinHandle::join);
                committer.join().and(brought).map_err(|_| CommitterPanicked)
            }
            Committing::Nobody { .. } => Ok(()),
        }
    }

    /// The channel, whose blocks a thread of its own brings in.
    pub(crate) fn with_deliver_client(
        mut self,
        bring: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StartError> {
        let bringing = thread(&self.channel.name, "deliver", bring)?;
        if let Committing::Thread { deliver_client, .. } = &mut self.committing {
            *deliver_client = Some(bringing);
        }
        Ok(self)
    }
}

/// A thread of a channel.
fn thread(
    channel: &str,
    what: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let thread = std::thread::Builder::new().name(format!("{what} {channel}"));
    thread.spawn(work).map_err(|source| StartError::Thread {
        channel: channel.to_owned(),
        source,
    })
}

/// Refuses a channel that others order too.
fn refuse_topic(reader: &Reader, in_force: &InForce) -> Result<(), StartError> {
    let channel = reader.channel();
    let (tip, _) = place(reader, in_force).map_err(|source| StartError::Config {
        channel: channel.to_owned(),
        source,
    })?;
    let says_so = consensus(in_force) == "kafka";
    let reason = match tip.metadata {
        Some(_) => format!("block {} was made from it", tip.number),
        None if says_so => "its configuration says so".to_owned(),
        None => return Ok(()),
    };
    Err(StartError::InTopic {
        channel: channel.to_owned(),
        reason,
    })
}

pub(crate) fn in_force(reader: &Reader) -> Result<InForce, StartError> {
    InForce::of_chain(reader).map_err(|source| StartError::Config {
        channel: reader.channel().to_owned(),
        source,
    })
}
