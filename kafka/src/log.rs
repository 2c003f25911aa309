//! The way out of a channel's log, for the one thread that makes blocks of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quire_ordering::kafka::{Replay, Rules, Start, Step, Tip};
use quire_ordering::{Admission, Batches, Broken, Cut, Next};
use quire_wire::Message as _;
use quire_wire::config::BatchSize;
use quire_wire::kafka::{KafkaMessage, KafkaMetadata, Kind};

use crate::cluster::{Cluster, ClusterError};
use crate::mine::{Mine, WithMine};
use crate::progress::Progress;
use crate::reader::{Reader, Unreadable};
use crate::sender::Sender;
use crate::status::Status;
use crate::topic::{self, Place};

/// How long the reading thread waits at most before it looks whether the node stops.
const LOOK_UP: Duration = Duration::from_millis(100);
/// How long it waits before it asks brokers again that did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long a node that stops waits for its own transactions to come out of the log.
const LAST_ONES: Duration = Duration::from_secs(5);
/// After this number of bytes, no more come out together.
const TOGETHER_BYTES: usize = 64 << 20;
/// After so long without anything of the log, while transactions of this node are on their way, it counts as out of
/// reach.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a topic may be missing before that is taken for the truth.
const MISSING: Duration = Duration::from_secs(60);
/// How long new transactions wait at most for a configuration that is on its way again.
const RECONFIGURING: Duration = Duration::from_secs(10);
/// After so long such a configuration is sent once more, because it may be lost.
const SEND_AGAIN: Duration = Duration::from_secs(3);
/// What stands before the hash of the block before the topic, in a message to connect.
const NETWORK: &[u8] = b"quire channel ";

/// The way out of a channel's order: its topic, read from the place that the newest block names.
#[derive(Debug)]
pub struct Log<T: Send + 'static> {
    cluster: Cluster,
    topic: Arc<str>,
    network: Bytes,
    tip: Tip,
    reader: Reader,
    sender: Arc<Sender<T>>,
    status: Arc<Status>,
    mine: Arc<Mine<T>>,
    replay: Replay<T>,
    rules: Box<dyn Rules<T> + Send>,
    /// The place to go on at; none until the reader is there.
    place: Option<Place>,
    /// Whether the topic is known to be this channel's.
    is_ours: bool,
    /// Whether this node has said in it that it is there.
    has_connected: bool,
    /// The configuration that was sent again, when it was sent first, and when last.
    resubmitted: Option<(KafkaMessage, Instant, Instant)>,
    /// Since when the topic is missing.
    missing_since: Option<Instant>,
    /// Since when transactions wait for their block.
    pending_since: Option<Instant>,
    /// Whether one of those is this node's.
    mine_pends: bool,
    /// The block that this node has asked for.
    asked: Option<u64>,
    progress: Progress,
    /// When something of the log came last, or nothing of this node was on its way.
    heard: Instant,
    /// When the brokers were asked last while they cannot be reached.
    tried: Option<Instant>,
    /// When the node began to stop.
    stopping: Option<Instant>,
    dropped: Vec<T>,
}

impl<T: Send + std::fmt::Debug + 'static> Log<T> {
    pub(crate) fn new(
        cluster: &Cluster,
        start: Start<T>,
        sender: Arc<Sender<T>>,
        status: Arc<Status>,
        mine: Arc<Mine<T>>,
    ) -> Result<Self, ClusterError> {
        let metadata = start.tip.metadata.unwrap_or(KafkaMetadata {
            last_offset_persisted: -1,
            ..KafkaMetadata::default()
        });
        let replay = Replay::after(start.tip.number, metadata, start.limits);
        Ok(Self {
            reader: Reader::new(cluster, &start.channel, &status)?,
            cluster: cluster.clone(),
            topic: start.channel,
            network: [NETWORK, &start.base].concat().into(),
            is_ours: start.tip.metadata.is_some(),
            tip: start.tip,
            sender,
            status,
            mine,
            replay,
            rules: start.rules,
            place: None,
            has_connected: false,
            resubmitted: None,
            missing_since: None,
            pending_since: None,
            mine_pends: false,
            asked: None,
            progress: Progress::default(),
            heard: Instant::now(),
            tried: None,
            stopping: None,
            dropped: Vec::new(),
        })
    }

    /// Finds the place to read from, if the brokers answer.
    fn begin(&mut self) -> Result<(), Broken> {
        match topic::begin(&self.cluster, &mut self.reader, &self.topic, &self.tip) {
            Ok(place) => {
                if let Some(last) = &place.last {
                    self.replay.resumes(&self.tip.envelopes, last);
                }
                self.missing_since = None;
                self.tip.envelopes.clear();
                self.place = Some(place);
                Ok(())
            }
            Err(error) => self.unreadable(error),
        }
    }

    /// The next message, if one comes in time.
    fn poll(&mut self, wait: Duration) -> Result<Option<(i64, KafkaMessage)>, Broken> {
        let read = self.reader.poll(wait);
        let now = Instant::now();
        match &read {
            Ok(Some(_)) => self.progress.more(now),
            Ok(None) => self.progress.nothing(),
            Err(_) => (),
        }
        self.status.set_behind(self.progress.is_behind(now));
        match read {
            Ok(None) => Ok(None),
            Ok(Some((offset, message))) => {
                self.missing_since = None;
                if let Some(place) = &mut self.place {
                    place.next = offset.saturating_add(1);
                }
                Ok(Some((offset, message)))
            }
            Err(error) => self.unreadable(error).map(|()| None),
        }
    }

    fn unreadable(&mut self, error: Unreadable) -> Result<(), Broken> {
        match error {
            Unreadable::Away(reason) => self.status.in_trouble(&reason),
            Unreadable::Missing(reason) => {
                let since = self.missing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > MISSING {
                    return Err(Broken(reason));
                }
                self.status.in_trouble(&reason);
            }
            Unreadable::Wrong(reason) => return Err(Broken(reason)),
        }
        Ok(())
    }

    /// What is complete with the messages that are here, and with `first` before them: nothing after a configuration.
    fn cut(&mut self, first: Option<(i64, KafkaMessage)>) -> Result<Vec<Cut<T>>, Broken> {
        let mut cuts = Vec::new();
        let mut bytes: usize = 0;
        let mut next = match first {
            None => self.poll(Duration::ZERO)?,
            first => first,
        };
        while let Some((offset, message)) = next {
            bytes = bytes.saturating_add(message.encoded_len());
            let new = self.take(offset, message)?;
            let is_config = new.last().is_some_and(|cut| cut.batch.is_config);
            cuts.extend(new);
            if is_config || bytes > TOGETHER_BYTES {
                break;
            }
            next = self.poll(Duration::ZERO)?;
        }
        Ok(cuts)
    }

    /// Takes one message.
    fn take(&mut self, offset: i64, message: KafkaMessage) -> Result<Vec<Cut<T>>, Broken> {
        self.status.well();
        self.heard = Instant::now();
        self.check_network(offset, &message)?;
        let (envelope, is_copy) = match &message.kind {
            Some(Kind::Regular(regular)) => {
                (Some(regular.payload.clone()), regular.original_offset != 0)
            }
            _ => (None, false),
        };
        let rules = WithMine {
            rules: &*self.rules,
            mine: &self.mine,
            is_mine: Cell::new(false),
        };
        let step = self.replay.message(offset, message, &rules);
        let Step {
            cuts,
            again,
            dropped,
        } = step.map_err(|disorder| Broken(disorder.to_string()))?;
        let is_mine = rules.is_mine.get();
        // A copy of what was ordered again may be passed over, because another one counts.
        let passed_over = envelope.as_ref().filter(|_| is_copy && !is_mine);
        if let Some(known) = passed_over.and_then(|it| self.mine.take(it)) {
            self.dropped.push(known);
        }
        if let Some((message, known)) = again {
            self.send_again(&message, envelope.as_ref(), is_mine.then_some(known));
        }
        if let Some((known, reason)) = dropped {
            tracing::warn!(offset, reason, "a transaction of the log is not ordered");
            if is_mine {
                self.dropped.push(known);
            }
        }
        if !cuts.is_empty() {
            let persisted = self.replay.metadata().last_offset_persisted;
            self.status.observer().persisted(persisted);
        }
        self.count_pending(is_mine, &cuts);
        Ok(cuts)
    }

    fn count_pending(&mut self, is_mine: bool, cuts: &[Cut<T>]) {
        if !cuts.is_empty() {
            self.mine_pends = false;
            self.pending_since = None;
        }
        if self.replay.pending_count() == 0 {
            self.mine_pends = false;
            self.pending_since = None;
            return;
        }
        self.mine_pends |= is_mine;
        self.pending_since.get_or_insert_with(Instant::now);
    }

    /// Puts an envelope at the end of the log that an earlier configuration let in. `known` is there if it is this
    /// node's.
    fn send_again(&mut self, message: &KafkaMessage, before: Option<&Bytes>, known: Option<T>) {
        let envelope = match &message.kind {
            Some(Kind::Regular(regular)) => Some(&regular.payload),
            _ => None,
        };
        // A configuration is made anew: what was known is of another envelope, and whoever sent that is told so.
        if self.replay.waits_for_configuration() && envelope != before {
            let now = Instant::now();
            self.resubmitted = Some((message.clone(), now, now));
        }
        let envelope = envelope.filter(|it| Some(*it) == before && known.is_some());
        let envelope = envelope.cloned();
        match (known, &envelope) {
            (Some(known), Some(envelope)) => self.mine.add_again(envelope.clone(), known),
            (Some(known), None) => self.dropped.push(known),
            (None, _) => (),
        }
        if let Err(error) = self.sender.send(message, envelope.clone()) {
            tracing::warn!(?error, "a transaction was not sent again");
            if let Some(envelope) = envelope {
                self.mine.lose(&envelope);
            }
        }
    }

    /// Finds out whose the topic is: the first node that connects says it. A node with another chain stops by itself, and
    /// writes nothing before it knows; whoever is at home here only hears of it.
    fn check_network(&mut self, offset: i64, message: &KafkaMessage) -> Result<(), Broken> {
        let Some(Kind::Connect(connect)) = &message.kind else {
            return Ok(());
        };
        let Some(base) = connect.payload.strip_prefix(NETWORK) else {
            return Ok(());
        };
        if connect.payload == self.network {
            self.is_ours = true;
            if self.has_connected {
                self.progress.connected();
            }
            return Ok(());
        }
        let base = hex::encode(base);
        if self.is_ours {
            tracing::error!(topic = %self.topic, offset, base, "a node of another chain connected; nothing of it counts");
            return Ok(());
        }
        Err(Broken(format!(
            "topic {} is another channel's: at offset {offset}, a node connected whose chain goes on there after a block \
             with the hash {base}",
            self.topic
        )))
    }

    /// Says that this node is there, once it has read what there was when it began.
    fn connect(&mut self) {
        let Some(place) = &self.place else { return };
        if !self.has_connected && place.next >= place.end {
            self.has_connected = true;
            self.sender.connect(self.network.clone());
        }
    }

    /// A configuration that is on its way again holds new transactions up, for a while; it may be lost.
    fn look_after_configuration(&mut self) {
        let waits = self.replay.waits_for_configuration();
        let Some((message, first, last)) = self.resubmitted.as_mut().filter(|_| waits) else {
            self.resubmitted = None;
            self.status.set_waits(false);
            return;
        };
        self.status.set_waits(first.elapsed() < RECONFIGURING);
        if last.elapsed() > SEND_AGAIN {
            *last = Instant::now();
            if let Err(error) = self.sender.send(message, None) {
                tracing::warn!(?error, "a configuration was not sent again");
            }
        }
    }

    /// Asks for the next block if it is time; says how long to wait otherwise.
    fn ask_for_block(&mut self) -> Duration {
        let Some(since) = self.pending_since else {
            return LOOK_UP;
        };
        let timeout = self.rules.batch_timeout();
        let number = self.replay.next_block();
        let waited = since.elapsed();
        let is_asked = self.asked == Some(number);
        // What was asked for may be lost: it is asked for again when others would ask.
        if (self.mine_pends && !is_asked) || waited >= timeout {
            self.asked = Some(number);
            if waited >= timeout {
                self.pending_since = Some(Instant::now());
            }
            if let Err(error) = self.sender.send(&self.replay.time_to_cut(), None) {
                tracing::warn!(?error, "the next block was not asked for");
            }
        }
        timeout.saturating_sub(waited).min(LOOK_UP)
    }

    /// While the brokers cannot be reached, a message now and then finds out when they can.
    fn try_brokers(&mut self) {
        if self.mine.are_none() {
            self.heard = Instant::now();
        } else if self.heard.elapsed() > SILENCE {
            self.status
                .in_trouble("what was sent to the brokers does not come back");
        }
        if !self.status.is_in_trouble() {
            self.tried = None;
            return;
        }
        let due = self.tried.is_none_or(|tried| tried.elapsed() >= TRY_AGAIN);
        if !due {
            return;
        }
        self.tried = Some(Instant::now());
        if self.status.take_fatal() {
            tracing::warn!("the client that writes to the brokers is made anew");
            self.sender.renew();
        }
        if self.has_connected {
            self.sender.connect(self.network.clone());
        }
    }

    /// Whether the node stops, and nothing of its own is on its way any more.
    fn is_done(&mut self) -> bool {
        if !self.status.is_closed() {
            return false;
        }
        let since = *self.stopping.get_or_insert_with(Instant::now);
        let is_done = self.mine.are_none() && !self.mine_pends;
        if !is_done && self.place.is_some() && since.elapsed() < LAST_ONES {
            return false;
        }
        self.sender.flush();
        self.mine.lose_all();
        true
    }

    fn has_dropped(&self) -> bool {
        !self.dropped.is_empty() || self.mine.has_lost()
    }

    /// Begins if it is time to ask the brokers; says whether the place is known.
    fn try_to_begin(&mut self) -> Result<bool, Broken> {
        let due = self.tried.is_none_or(|tried| tried.elapsed() >= TRY_AGAIN);
        if due {
            self.begin()?;
            self.tried = Some(Instant::now());
        }
        Ok(self.place.is_some())
    }

    fn next_or_broken(&mut self) -> Result<Next<T>, Broken> {
        loop {
            if self.is_done() {
                return Ok(Next::Closed);
            }
            if self.has_dropped() {
                return Ok(Next::Full(Vec::new()));
            }
            if self.place.is_none() && !self.try_to_begin()? {
                std::thread::sleep(LOOK_UP);
                continue;
            }
            self.connect();
            self.try_brokers();
            self.look_after_configuration();
            let mut cuts = self.cut(None)?;
            if cuts.is_empty() {
                let wait = self.ask_for_block();
                if let Some(first) = self.poll(wait)? {
                    cuts = self.cut(Some(first))?;
                }
            }
            if !cuts.is_empty() {
                return Ok(Next::Full(cuts));
            }
        }
    }
}

impl<T: Send + std::fmt::Debug + 'static> Batches<T> for Log<T> {
    fn next(&mut self) -> Result<Next<T>, Broken> {
        let next = self.next_or_broken();
        if next.is_err() {
            self.status.nobody_reads();
            self.mine.lose_all();
        }
        next
    }

    fn more(&mut self) -> Result<Vec<Cut<T>>, Broken> {
        // Others may order for ever: whoever waits to be told, or to stop, comes first.
        if self.status.is_closed() || self.has_dropped() {
            return Ok(Vec::new());
        }
        self.cut(None)
    }

    fn reconfigured(&mut self, limits: BatchSize, _: Arc<Admission>) {
        self.replay.set_limits(limits);
    }

    fn discarded(&mut self) -> Vec<T> {
        let mut dropped = std::mem::take(&mut self.dropped);
        dropped.extend(self.mine.take_lost());
        dropped
    }
}

impl<T: Send + 'static> Drop for Log<T> {
    fn drop(&mut self) {
        self.status.nobody_reads();
    }
}
