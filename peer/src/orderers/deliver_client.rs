//! Brings a channel's blocks in from its orderers: Fabric's deliver client.
//!
//! One orderer at a time is asked for all blocks from the next one on. Each block is verified before it is believed:
//! its number, its previous hash, the hash of what it holds, and that orderers signed it who suffice by the configuration
//! in force. An orderer that sends another is left, and named in the log; so is one that stops, and one that sends nothing
//! while another has more. A block is asked for when there is room for it, so that nothing piles up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quire_ledger::{Block, BlockVerifier};
use quire_ordering::signed_last_config;
use quire_wire::common::{self, metadata_slot};
use quire_wire::deliver::{Response, status};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

use super::endpoint::{Endpoint, endpoints};
use super::network::{Blocks, Network};
use super::probe::height_of;
use super::request::Requests;
use super::rota::{Left, Rota};
use super::status::Status;
use crate::config::{Current, InForce};
use crate::delivered::{Deliveries, NotTaken};
use crate::outcomes::Outcomes;

/// How long an orderer may take to begin to answer.
const OPENING: Duration = Duration::from_secs(3);
/// After so long without a block, another orderer is asked how many there are.
const QUIET: Duration = Duration::from_secs(5);
/// And whatever comes, this often: an orderer may send less than there is.
const LOOK_AROUND: Duration = Duration::from_secs(10);
/// So long an orderer may go on to send little after another one was found to have more: less than these blocks and less
/// than these bytes, while the node waits for them most of the time. Besides, as long as a block takes to come over a slow
/// line.
const SUSPICION: Duration = Duration::from_secs(10);
const FEW_BLOCKS: u64 = 20;
const FEW_BYTES: u64 = 1 << 20;
/// Bytes a second of a slow line.
const SLOW_LINE: u64 = 256 << 10;
/// How long a node that stops waits for the blocks of its own transactions.
const LAST_ONES: Duration = Duration::from_secs(5);
/// How often it looks whether they are there.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of a block around its transactions, or of a configuration with its update, and more.
const AROUND_BYTES: usize = 20 << 20;
/// Bytes of a block, at most: what Fabric's orderers send at most by default.
const MESSAGE_BYTES: usize = 100 << 20;

/// What brings blocks in.
#[derive(Debug)]
pub(crate) struct DeliverClient {
    pub(crate) deliveries: Deliveries,
    pub(crate) config: Current,
    pub(crate) requests: Requests,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) rota: Arc<Rota>,
    /// The same orderers, as those do who send to them.
    pub(crate) sending: Arc<Rota>,
    pub(crate) status: Arc<Status>,
    pub(crate) outcomes: Arc<Outcomes>,
}

/// Why an orderer is left.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Away(String),
    #[error("it answers {}", status::name(*.0))]
    Refused(i32),
    #[error("it sends what is no block of the channel: {0}")]
    Lied(String),
    #[error(
        "it sent {blocks} blocks in {} seconds, and {} has {height} in all", seconds.as_secs(), other.address
    )]
    Withholds {
        other: Endpoint,
        height: u64,
        blocks: u64,
        seconds: Duration,
    },
}

impl Fault {
    fn why(&self) -> (Left, &'static str) {
        match self {
            Self::Away(_) => (Left::Failed, "unreachable"),
            Self::Refused(_) => (Left::Failed, "refused"),
            Self::Lied(_) => (Left::Lied, "bad_block"),
            Self::Withholds { .. } => (Left::Lied, "withheld"),
        }
    }
}

/// The end of a stream that is nobody's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Another configuration is in force: it may name others.
    Reconfigured,
    /// The channel takes no more blocks.
    Over,
}

/// One orderer's stream.
struct Stream<'a> {
    client: &'a DeliverClient,
    orderer: &'a Endpoint,
    blocks: Box<dyn Blocks>,
    verifier: Arc<BlockVerifier>,
    max_bytes: usize,
    /// How long it may send little while another has more.
    patience: Duration,
    /// The number of the next block.
    next: u64,
    over: watch::Receiver<bool>,
    came: Came,
    quiet_from: Instant,
    /// When another orderer was asked last how many blocks there are.
    looked: Instant,
    /// The orderer that is asked.
    asked: Option<(Endpoint, oneshot::Receiver<Result<u64, String>>)>,
    suspicion: Option<Suspicion>,
}

/// What an orderer has sent, and how long it was waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    blocks: u64,
    bytes: u64,
    waited: Duration,
}

/// Another orderer was found to have more.
struct Suspicion {
    other: Endpoint,
    /// What it has.
    height: u64,
    since: Instant,
    /// What had come by then.
    before: Came,
}

impl Suspicion {
    /// Whether what came since then is so little that the orderer must hold blocks back; it has had this long.
    fn holds(&self, came: Came, seconds: Duration) -> bool {
        let waited = came.waited.saturating_sub(self.before.waited);
        let blocks = came.blocks.saturating_sub(self.before.blocks);
        let bytes = came.bytes.saturating_sub(self.before.bytes);
        waited >= seconds / 2 && blocks < FEW_BLOCKS && bytes < FEW_BYTES
    }
}

/// What comes next.
enum Heard {
    Message(Result<Option<Response>, String>),
    Height(Result<u64, String>),
    Nothing,
    Over,
}

impl DeliverClient {
    /// Brings blocks in until the channel is closed.
    pub(crate) fn run(self) {
        let over = self.over();
        while let Some(next) = self.deliveries.next() {
            let random = self.requests.random();
            let Some((orderer, wait)) = self.rota.next(random, Instant::now()) else {
                break;
            };
            if !self.pause(wait, over.clone()) {
                break;
            }
            match self.follow(&orderer, next, over.clone()) {
                Ok(End::Reconfigured) => {}
                Ok(End::Over) => break,
                Err(fault) => self.leave(&orderer, &fault),
            }
        }
    }

    /// Becomes true when nothing is waited for any more: the channel is closed, and what it ordered has come, or does not
    /// come in time.
    fn over(&self) -> watch::Receiver<bool> {
        let (say, over) = watch::channel(false);
        let mut closing = self.status.closing();
        let outcomes = Arc::clone(&self.outcomes);
        self.network.runtime().spawn(async move {
            // Its sender lives as long as the channel.
            closing.wait_for(|closed| *closed).await.ok();
            let last = Instant::now() + LAST_ONES;
            while outcomes.count() > 0 && Instant::now() < last {
                sleep(LOOK).await;
            }
            say.send_replace(true);
        });
        over
    }

    /// Waits; whether blocks are still wanted then.
    fn pause(&self, wait: Duration, mut over: watch::Receiver<bool>) -> bool {
        let is_over = || *over.borrow();
        if wait.is_zero() {
            return !is_over();
        }
        self.network.runtime().block_on(async {
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => false,
                () = sleep(wait) => true,
            }
        })
    }

    fn leave(&self, orderer: &Endpoint, fault: &Fault) {
        let (why, label) = fault.why();
        let (channel, address) = (&self.requests.channel, &orderer.address);
        tracing::warn!(%channel, orderer = address, reason = %fault, "an orderer is left");
        let random = self.requests.random();
        self.rota.leave(orderer, why, random, Instant::now());
        self.status.observer().left(label);
        self.status.lost(format!("{address}: {fault}"));
    }

    /// Takes an orderer's blocks in from the next one on, until the orderer is to be left or another configuration is
    /// in force.
    fn follow(
        &self,
        orderer: &Endpoint,
        next: u64,
        over: watch::Receiver<bool>,
    ) -> Result<End, Fault> {
        let in_force = self.config.get();
        let verifier = Arc::new(BlockVerifier::new(Arc::clone(&in_force.bundle)));
        let max_bytes = max_bytes(&in_force);
        let request = self.requests.from(next);
        let (opened, height) = self.network.runtime().block_on(async {
            let opening = self.network.deliver(orderer, request, max_bytes);
            let opened = timeout(OPENING, opening).await;
            let opened = opened.map_err(|_| "it does not answer".to_owned());
            let newest = (self.requests.newest(), max_bytes);
            let height = match &opened {
                Ok(Ok(_)) => {
                    height_of(&*self.network, orderer, newest, Arc::clone(&verifier)).await
                }
                _ => Err(String::new()),
            };
            (opened.and_then(|opened| opened), height)
        });
        let mut stream = Stream {
            client: self,
            orderer,
            blocks: opened.map_err(Fault::Away)?,
            verifier,
            max_bytes,
            patience: patience(&in_force),
            next,
            over,
            came: Came::default(),
            quiet_from: Instant::now(),
            looked: Instant::now(),
            asked: None,
            suspicion: None,
        };
        if let Ok(height) = height {
            self.status.told(height);
            self.status.reached(&orderer.address);
        }
        stream.follow()
    }
}

impl Drop for DeliverClient {
    fn drop(&mut self) {
        // Whatever it ends by: nothing is let in whose block nobody would bring.
        self.deliveries.close();
        self.status.close();
    }
}

impl Stream<'_> {
    fn follow(&mut self) -> Result<End, Fault> {
        loop {
            match self.hear() {
                Heard::Over => return Ok(End::Over),
                Heard::Message(message) => {
                    let ended = || Fault::Away("it ended the stream of blocks".to_owned());
                    let end = match message.map_err(Fault::Away)?.ok_or_else(ended)? {
                        Response::Block(block) => self.take(block)?,
                        Response::Status(status) => return Err(Fault::Refused(status)),
                        _ => return Err(Fault::Lied("it is no block at all".to_owned())),
                    };
                    if let Some(end) = end {
                        return Ok(end);
                    }
                }
                Heard::Height(height) => self.compare(height),
                Heard::Nothing => self.look_around()?,
            }
        }
    }

    /// Waits for what comes next.
    fn hear(&mut self) -> Heard {
        let runtime = self.client.network.runtime();
        let look = (self.quiet_from + QUIET).min(self.looked + LOOK_AROUND);
        let (over, blocks, asked) = (&mut self.over, &mut self.blocks, &mut self.asked);
        let began = Instant::now();
        let heard = runtime.block_on(async {
            let answer = async {
                match asked {
                    Some((_, answer)) => answer.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => Heard::Over,
                message = blocks.next() => Heard::Message(message),
                height = answer => {
                    let none = |_| Err("nobody has asked".to_owned());
                    Heard::Height(height.unwrap_or_else(none))
                }
                () = sleep_until(look.into()) => Heard::Nothing,
            }
        });
        self.came.waited += began.elapsed();
        heard
    }

    /// Hands a block in, once it is verified.
    fn take(&mut self, block: common::Block) -> Result<Option<End>, Fault> {
        let client = self.client;
        let mut block = Block::from(block);
        // Behind Fabric's slots stands what is the business of whoever keeps the block: this node seals its own.
        block.metadata.truncate(metadata_slot::COUNT);
        if let Some(obsolete) = block.metadata.get_mut(metadata_slot::ORDERER) {
            *obsolete = Bytes::new();
        }
        let number = block.number;
        let bytes = block.envelopes.iter().map(Bytes::len).sum::<usize>();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if number != self.next {
            let expected = self.next;
            let other = NotTaken::NotNext { number, expected };
            return Err(Fault::Lied(other.to_string()));
        }
        let verified = self.verifier.verify(&block);
        verified.map_err(|reason| Fault::Lied(format!("block {number}: signatures: {reason}")))?;
        // Which configuration is in force is read from the newest block: it must be what orderers signed.
        if !matches!(signed_last_config(&block.metadata), Ok(Some(last)) if last <= number) {
            let unsigned = "no signature covers the number of the newest configuration";
            return Err(Fault::Lied(format!("block {number}: {unsigned}")));
        }
        let is_config = loop {
            match client.deliveries.deliver(block.clone()) {
                Ok(is_config) => break is_config,
                Err(NotTaken::Full) => client.deliveries.wait_for_room(&block),
                Err(NotTaken::Closed) => return Ok(Some(End::Over)),
                Err(lie) => return Err(Fault::Lied(format!("block {number}: {lie}"))),
            }
        };
        self.next = number.saturating_add(1);
        self.came.blocks += 1;
        self.came.bytes = self.came.bytes.saturating_add(bytes);
        let next = self.next;
        self.suspicion.take_if(|other| other.height <= next);
        self.quiet_from = Instant::now();
        client.status.knows(self.next);
        client.status.reached(&self.orderer.address);
        client.status.observer().received();
        client.rota.did_well(self.orderer);
        Ok(is_config.then(|| self.reconfigured(number)))
    }

    /// Waits until a configuration is in force: the next block is signed by it.
    fn reconfigured(&mut self, number: u64) -> End {
        let client = self.client;
        let mut heights = client.status.heights();
        let over = &mut self.over;
        let committed = client.network.runtime().block_on(async {
            tokio::select! {
                biased;
                committed = heights.wait_for(|height| *height > number) => committed.is_ok(),
                _ = over.wait_for(|over| *over) => false,
            }
        });
        if !committed {
            return End::Over;
        }
        let orderers = endpoints(&client.config.get().bundle);
        let channel = &client.requests.channel;
        if orderers.is_empty() {
            tracing::error!(%channel, number, "the new configuration names no orderers: those of before are asked");
        } else if client.sending.update(orderers.clone()) | client.rota.update(orderers) {
            tracing::info!(%channel, number, "the new configuration names other orderers");
        }
        End::Reconfigured
    }

    /// It is time to compare what comes with what there is: nothing may come because nothing is there, or because the
    /// orderer does not send it, and what comes may be little of what is there.
    fn look_around(&mut self) -> Result<(), Fault> {
        let client = self.client;
        let now = Instant::now();
        self.looked = now;
        let is_quiet = now.saturating_duration_since(self.quiet_from) >= QUIET;
        if is_quiet {
            self.quiet_from = now;
        }
        if let Some(suspicion) = &self.suspicion {
            let seconds = now.saturating_duration_since(suspicion.since);
            if seconds < self.patience {
                return Ok(());
            }
            if suspicion.holds(self.came, seconds) {
                return Err(Fault::Withholds {
                    other: suspicion.other.clone(),
                    height: suspicion.height,
                    blocks: self.came.blocks.saturating_sub(suspicion.before.blocks),
                    seconds,
                });
            }
            self.suspicion = None;
        } else if is_quiet {
            client.status.told(self.next);
            client.status.reached(&self.orderer.address);
            client.rota.did_well(self.orderer);
        }
        if self.asked.is_none() {
            let other = client.rota.other(self.orderer, client.requests.random());
            let (say, answer) = oneshot::channel();
            let (network, verifier) = (Arc::clone(&client.network), Arc::clone(&self.verifier));
            let (asked, request) = (other.clone(), (client.requests.newest(), self.max_bytes));
            client.network.runtime().spawn(async move {
                let height = height_of(&*network, &asked, request, verifier).await;
                // The stream may have ended meanwhile.
                say.send(height).ok();
            });
            self.asked = Some((other, answer));
        }
        Ok(())
    }

    /// Another orderer has answered how many blocks there are.
    fn compare(&mut self, height: Result<u64, String>) {
        let Some((other, _)) = self.asked.take() else {
            return;
        };
        match height {
            Ok(height) => {
                self.client.status.told(height);
                if height > self.next && self.suspicion.is_none() {
                    self.suspicion = Some(Suspicion {
                        other,
                        height,
                        since: Instant::now(),
                        before: self.came,
                    });
                }
            }
            Err(reason) => {
                tracing::debug!(
                    orderer = other.address,
                    reason,
                    "it does not tell its height"
                );
            }
        }
    }
}

/// How long an orderer may send little while another has more.
fn patience(in_force: &InForce) -> Duration {
    let block = u64::from(in_force.batch_size.preferred_max_bytes);
    SUSPICION + Duration::from_secs(block.min(u64::from(u32::MAX)) / SLOW_LINE)
}

/// Bytes of a block of the channel, at most.
fn max_bytes(in_force: &InForce) -> usize {
    let limits = in_force.batch_size;
    let bytes = limits.absolute_max_bytes.max(limits.preferred_max_bytes);
    let bytes = usize::try_from(bytes).unwrap_or(MESSAGE_BYTES);
    bytes.saturating_add(AROUND_BYTES).min(MESSAGE_BYTES)
}
