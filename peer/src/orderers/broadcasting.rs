//! Sends envelopes to a channel's orderers: to one after the other, until one has taken it.
//!
//! An envelope of which it is not known whether an orderer has it is sent again: it is the same transaction, and counts
//! once. Its sender is told that it was not ordered only where nobody can have it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quire_ordering::{Consenter, Message, NotOrdered, QueueObserver, Room};
use quire_wire::Message as _;
use quire_wire::common::Envelope;
use quire_wire::deliver::{BroadcastResponse, status};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::endpoint::Endpoint;
use super::network::{Network, NoAnswer};
use super::request::Requests;
use super::rota::{Left, Rota};
use super::status::Status;
use crate::cut_here::Known;
use crate::others::beginning;
use crate::outcomes::Outcomes;
use crate::submit::SubmitError;

/// How long an orderer may take to answer. One that is ordered itself by others answers when they have it.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it is tried to hand an envelope to an orderer.
const TRYING: Duration = Duration::from_secs(30);
/// The time between two rounds of all orderers: doubled each time, up to the second one.
const BETWEEN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long the node waits for the block of a transaction that an orderer has taken. Orderers may lose one, and leave one
/// out that another configuration does not let in.
const AWAITED: Duration = Duration::from_secs(60);
/// How often it looks for such transactions.
const LOOK: Duration = Duration::from_secs(1);
/// Envelopes that are sent at a time.
const AT_A_TIME: usize = 256;

/// The way into the order of a channel whose orderers are elsewhere.
#[derive(Debug)]
pub(crate) struct Broadcasting {
    shared: Arc<Shared>,
    room: Arc<Room>,
    /// Envelopes that may be on their way.
    envelopes: usize,
}

#[derive(Debug)]
struct Shared {
    network: Arc<dyn Network>,
    requests: Requests,
    rota: Arc<Rota>,
    status: Arc<Status>,
    outcomes: Arc<Outcomes>,
    turns: Semaphore,
}

/// What became of an envelope.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// An orderer has it.
    Taken,
    /// No orderer has it: they refuse it.
    Refused(i32, String),
    /// No orderer has it: none was reached.
    Nobody(String),
    /// An orderer may have it.
    Unknown(String),
}

/// What one orderer made of an envelope.
enum Answer {
    Taken,
    Refused(i32, String),
    MayHave(String),
    HasNot(String),
}

impl Broadcasting {
    /// So many envelopes and bytes may be on their way.
    pub(crate) fn new(
        (network, requests, rota): (Arc<dyn Network>, Requests, Arc<Rota>),
        status: Arc<Status>,
        outcomes: Arc<Outcomes>,
        (envelopes, bytes): (usize, usize),
        queue: Arc<dyn QueueObserver>,
    ) -> Self {
        let shared = Arc::new(Shared {
            network,
            requests,
            rota,
            status,
            outcomes,
            turns: Semaphore::new(AT_A_TIME),
        });
        let looking = Arc::clone(&shared);
        shared.network.runtime().spawn(looking.look());
        Self {
            shared,
            room: Arc::new(Room::new(bytes, queue)),
            envelopes,
        }
    }

    fn put(&self, message: Message<Known>) -> Result<(), NotOrdered> {
        let shared = &self.shared;
        if shared.status.is_closed() {
            return Err(NotOrdered::Closed);
        }
        if let Some(reason) = shared.status.trouble() {
            return Err(NotOrdered::Unavailable(reason));
        }
        let Message {
            envelope, known, ..
        } = message;
        // This one is promised already.
        if shared.outcomes.count() > self.envelopes {
            return Err(NotOrdered::Full);
        }
        let taken = Room::take(&self.room, envelope.len()).ok_or(NotOrdered::Full)?;
        let decoded = Envelope::decode(envelope);
        let decoded = decoded.map_err(|error| NotOrdered::Unavailable(error.to_string()))?;
        let tx_id = known.examined.tx_id.unwrap_or_default();
        shared.outcomes.hold(&tx_id, taken);
        let sending = Arc::clone(shared);
        let place = async move { sending.place(&tx_id, &decoded).await };
        shared.network.runtime().spawn(place);
        Ok(())
    }
}

impl Consenter<Known> for Broadcasting {
    fn order(&self, message: Message<Known>) -> Result<(), NotOrdered> {
        self.put(message)
    }

    fn configure(&self, message: Message<Known>) -> Result<(), NotOrdered> {
        self.put(message)
    }

    fn places_later(&self) -> bool {
        true
    }

    fn takes_updates(&self) -> bool {
        true
    }

    fn close(&self) {
        self.shared.status.close();
    }

    fn trouble(&self) -> Option<String> {
        self.shared.status.trouble()
    }
}

impl Shared {
    /// Gives transactions up that an orderer took and that are in no block, where the node has all blocks that there are.
    async fn look(self: Arc<Self>) {
        let mut closing = self.status.closing();
        loop {
            tokio::select! {
                _ = closing.wait_for(|closed| *closed) => return,
                () = sleep(LOOK) => {}
            }
            if self.status.trouble().is_some() {
                continue;
            }
            for tx_id in self.outcomes.taken_for(AWAITED, Instant::now()) {
                let channel = &self.requests.channel;
                tracing::warn!(%channel, tx_id, "a transaction that an orderer took is in no block");
                self.outcomes.withdraw(&tx_id);
            }
        }
    }

    /// Sends an envelope, and tells whoever waits for the transaction where it does not come into the order.
    async fn place(&self, tx_id: &str, envelope: &Envelope) {
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        let channel = &self.requests.channel;
        match self.send(tx_id, envelope).await {
            Sent::Taken => self.outcomes.taken(tx_id, Instant::now()),
            Sent::Refused(status, info) => {
                tracing::debug!(%channel, tx_id, status, info, "the orderers refuse a transaction");
                let refused = SubmitError::RefusedByOrderer { status, info };
                self.outcomes.refuse(tx_id, refused);
            }
            Sent::Nobody(reason) => {
                let unavailable = SubmitError::OrdererUnavailable(reason);
                self.outcomes.refuse(tx_id, unavailable);
            }
            Sent::Unknown(reason) => {
                tracing::warn!(%channel, tx_id, reason, "it is not known whether an orderer has a transaction");
                self.outcomes.withdraw(tx_id);
            }
        }
    }

    async fn send(&self, tx_id: &str, envelope: &Envelope) -> Sent {
        let last = Instant::now() + TRYING;
        let mut between = BETWEEN.0;
        let mut may_have = false;
        loop {
            let mut reason = "the channel has no orderers".to_owned();
            let mut refused = None;
            for orderer in &self.rota.shuffled(self.requests.random(), Instant::now()) {
                match self.ask(orderer, envelope).await {
                    Answer::Taken => return Sent::Taken,
                    Answer::Refused(status, info) => refused = Some((status, info)),
                    Answer::MayHave(failed) => {
                        may_have = true;
                        reason = format!("{}: {failed}", orderer.address);
                    }
                    Answer::HasNot(failed) => reason = format!("{}: {failed}", orderer.address),
                }
            }
            // It may have come into a block in the meantime.
            if !self.outcomes.is_pending(tx_id) {
                return Sent::Taken;
            }
            // One orderer alone may lag behind the configuration, or lie: all that are reached must agree.
            match refused {
                Some((_, info)) if may_have => return Sent::Unknown(info),
                Some((status, info)) => return Sent::Refused(status, info),
                None => {}
            }
            if self.status.is_closed() || Instant::now() >= last {
                return if may_have {
                    Sent::Unknown(reason)
                } else {
                    Sent::Nobody(reason)
                };
            }
            let part = u32::try_from(self.requests.random() % 1_000).unwrap_or_default();
            sleep(between / 2 + between / 2 * part / 1_000).await;
            between = (between * 2).min(BETWEEN.1);
        }
    }

    /// Sends an envelope to one orderer. One that does not take envelopes comes last for a while.
    async fn ask(&self, orderer: &Endpoint, envelope: &Envelope) -> Answer {
        let sent = self.network.broadcast(orderer, envelope.clone());
        let answer = timeout(ANSWER, sent).await;
        let answer =
            answer.unwrap_or_else(|_| Err(NoAnswer::Unknown("it does not answer".to_owned())));
        let told = answer.as_ref().ok().map(|answer| answer.status);
        self.status.observer().answered(told);
        let answer = match answer {
            Ok(BroadcastResponse { status, info }) => {
                let info = beginning(&info);
                match status {
                    status::SUCCESS => Answer::Taken,
                    // An orderer may say so of what others may have.
                    status::SERVICE_UNAVAILABLE | status::INTERNAL_SERVER_ERROR => {
                        Answer::MayHave(format!("{}: {info}", status::name(status)))
                    }
                    // It does not have the channel: another may.
                    status::NOT_FOUND => {
                        Answer::HasNot(format!("{}: {info}", status::name(status)))
                    }
                    _ => Answer::Refused(status, info),
                }
            }
            Err(NoAnswer::NotSent(failed)) => Answer::HasNot(failed),
            Err(NoAnswer::Unknown(failed)) => Answer::MayHave(failed),
        };
        match answer {
            Answer::Taken | Answer::Refused(..) => self.rota.did_well(orderer),
            Answer::MayHave(_) | Answer::HasNot(_) => {
                let random = self.requests.random();
                self.rota
                    .leave(orderer, Left::Failed, random, Instant::now());
            }
        }
        answer
    }
}
