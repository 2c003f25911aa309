//! Other peers, as they are asked for endorsements: connections that are kept, within bounds of number, time and bytes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_ledger::chain_of;
use quire_peer::{Asking, Ended, Endorsers, NotAnswered, RemotePeer};
use quire_wire::peer::{ProposalResponse, SignedProposal};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::client::Client;
use crate::dial::Target;
use crate::tls::Tls;

/// How long it may take to reach a peer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a peer that could not be reached is not dialled again.
const REST: Duration = Duration::from_millis(500);
/// How long after a failure others are asked first.
const AWAY: Duration = Duration::from_secs(5);
/// A connection that nobody used for so long is given up when another one is made.
const IDLE: Duration = Duration::from_secs(600);
/// Connections, at most.
const CONNECTIONS: usize = 256;
/// Proposals that a peer has at a time, at most; further ones wait.
const AT_ONCE: usize = 256;
/// Bytes of all answers on their way, at most, in [`UNIT`]s; further proposals wait.
const ANSWER_UNITS: u32 = 64 << 10;
/// The same of one peer: one that never answers holds nobody else up.
const ANSWER_UNITS_OF_ONE: u32 = 8 << 10;
const UNIT: usize = 1 << 10;

/// How peers are reached.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// How long a peer may take to answer a proposal.
    pub timeout: Duration,
    /// Where peers are whose address in the configuration is none here: by that address.
    pub overrides: BTreeMap<String, PeerOverride>,
    /// The certificate and its key, PEM, that this node shows to peers.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Where a peer is, other than the channel's configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerOverride {
    /// `host:port`.
    pub address: String,
    /// How it is spoken to.
    pub security: PeerSecurity,
}

/// How a peer is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSecurity {
    /// As the configuration says: by TLS where its organisation has authorities for that.
    AsConfigured,
    /// In plain.
    Plain,
    /// By TLS, with these authorities, PEM.
    Tls(Bytes),
}

/// Told of each peer that was asked for an endorsement.
pub trait PeerObserver: Debug + Send + Sync {
    /// How it ended, and how long it took.
    fn asked(&self, msp_id: &str, ended: Ended, took: Duration);
}

/// The peers of the channels' configurations, as far as they were asked.
#[derive(Debug)]
pub struct Peers {
    shared: Arc<Shared>,
    observer: Arc<dyn PeerObserver>,
}

#[derive(Debug)]
struct Shared {
    settings: PeerSettings,
    known: Mutex<HashMap<RemotePeer, Arc<Known>>>,
    answers: Semaphore,
}

#[derive(Debug)]
struct Known {
    /// Who dials has the turn.
    connection: Turn<Option<Client>>,
    places: Semaphore,
    answers: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: Instant,
    /// When it could not be reached, and why.
    away: Option<(Instant, NotAnswered)>,
}

impl Peers {
    /// Nobody is dialled before somebody is asked.
    #[must_use]
    pub fn new(settings: PeerSettings, observer: Arc<dyn PeerObserver>) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                known: Mutex::default(),
                answers: Semaphore::new(ANSWER_UNITS as usize),
            }),
            observer,
        }
    }
}

impl Endorsers for Peers {
    fn ask(&self, peer: &RemotePeer, proposal: SignedProposal, most_bytes: usize) -> Asking {
        let (shared, peer) = (Arc::clone(&self.shared), peer.clone());
        Box::pin(async move {
            let known = shared.known(&peer);
            let asked = shared.ask(&known, &peer, proposal, most_bytes);
            let time = shared.settings.timeout;
            let answered = timeout(time, asked).await.unwrap_or_else(|_| {
                let seconds = time.as_secs();
                let text = format!("the peer has not answered within {seconds} s");
                Err(Status::deadline_exceeded(text))
            });
            if let Err(status) = &answered
                && matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
            {
                known.is_away(&peer, status);
                // The next proposal dials anew.
                if let Ok(mut connection) = known.connection.try_lock() {
                    *connection = None;
                }
            } else {
                known.is_back(&peer);
            }
            answered.map_err(|status| not_answered(&status))
        })
    }

    fn is_away(&self, peer: &RemotePeer) -> bool {
        let known = self.shared.known.lock().get(peer).cloned();
        known.is_some_and(|known| {
            let state = known.state.lock();
            let since = state.away.as_ref().map(|(since, _)| since.elapsed());
            since.is_some_and(|since| since < AWAY)
        })
    }

    fn asked(&self, peer: &RemotePeer, ended: Ended, took: Duration) {
        self.observer.asked(&peer.msp_id, ended, took);
    }
}

fn not_answered(status: &Status) -> NotAnswered {
    NotAnswered {
        code: format!("{:?}", status.code()),
        text: status.message().to_owned(),
    }
}

impl Shared {
    fn known(&self, peer: &RemotePeer) -> Arc<Known> {
        let mut all = self.known.lock();
        if let Some(known) = all.get(peer) {
            known.state.lock().used = Instant::now();
            return Arc::clone(known);
        }
        all.retain(|_, known| known.state.lock().used.elapsed() < IDLE);
        if all.len() >= CONNECTIONS {
            let used = |known: &Known| known.state.lock().used;
            let oldest = all.iter().min_by_key(|(_, known)| used(known));
            if let Some(oldest) = oldest.map(|(peer, _)| peer.clone()) {
                all.remove(&oldest);
            }
        }
        let known = Arc::new(Known {
            connection: Turn::new(None),
            places: Semaphore::new(AT_ONCE),
            answers: Semaphore::new(ANSWER_UNITS_OF_ONE as usize),
            state: Mutex::new(State {
                used: Instant::now(),
                away: None,
            }),
        });
        all.insert(peer.clone(), Arc::clone(&known));
        known
    }

    async fn ask(
        &self,
        known: &Known,
        peer: &RemotePeer,
        proposal: SignedProposal,
        most_bytes: usize,
    ) -> Result<ProposalResponse, Status> {
        let closed = |_| Status::unavailable("the node stops");
        let _place = known.places.acquire().await.map_err(closed)?;
        let units = u32::try_from(most_bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = known.answers.acquire_many(units.min(ANSWER_UNITS_OF_ONE));
        let _room_of_peer = room.await.map_err(closed)?;
        let room = self.answers.acquire_many(units.min(ANSWER_UNITS));
        let _room = room.await.map_err(closed)?;
        let client = self.client(known, peer).await?;
        client.process_proposal_within(proposal, most_bytes).await
    }

    /// The connection, made if there is none. Of many who need one, one dials.
    async fn client(&self, known: &Known, peer: &RemotePeer) -> Result<Client, Status> {
        let mut connection = known.connection.lock().await;
        if let Some(client) = &*connection {
            return Ok(client.clone());
        }
        if let Some(reason) = known.rests() {
            return Err(Status::unavailable(reason));
        }
        let target = self.target(peer).map_err(Status::unavailable)?;
        let client = Client::connect(&target).await;
        let client = client.map_err(|error| Status::unavailable(chain_of(&error)))?;
        *connection = Some(client.clone());
        Ok(client)
    }

    fn target(&self, peer: &RemotePeer) -> Result<Target, String> {
        let overridden = self.settings.overrides.get(&*peer.address);
        let address = overridden.map_or(&*peer.address, |other| &other.address);
        let roots = match overridden.map(|other| &other.security) {
            Some(PeerSecurity::Plain) => Vec::new(),
            Some(PeerSecurity::Tls(roots)) => roots.to_vec(),
            Some(PeerSecurity::AsConfigured) | None => peer.tls_roots.join(&b'\n'),
        };
        let client = self.settings.client.as_ref();
        let client = client.map(|(chain, key)| (&chain[..], &key[..]));
        let tls = (!roots.is_empty()).then(|| Tls::new(&roots, client, host(address)));
        Ok(Target {
            address: address.to_owned(),
            dial_timeout: DIAL_TIMEOUT,
            tls: tls.transpose().map_err(|error| chain_of(&error))?,
        })
    }
}

impl Known {
    /// Why it is not dialled now, if it could not be reached a moment ago.
    fn rests(&self) -> Option<String> {
        let state = self.state.lock();
        let (since, reason) = state.away.as_ref()?;
        (since.elapsed() < REST).then(|| reason.text.clone())
    }

    fn is_away(&self, peer: &RemotePeer, status: &Status) {
        let mut state = self.state.lock();
        let now = Instant::now();
        match &mut state.away {
            // Whoever heard of an earlier failure does not make it longer.
            Some((since, _)) if since.elapsed() < REST => {}
            Some((since, reason)) => (*since, *reason) = (now, not_answered(status)),
            None => {
                let (address, organization) = (&*peer.address, &*peer.msp_id);
                let reason = status.message();
                tracing::warn!(address, organization, reason, "a peer does not answer");
                state.away = Some((now, not_answered(status)));
            }
        }
    }

    fn is_back(&self, peer: &RemotePeer) {
        if self.state.lock().away.take().is_some() {
            let (address, organization) = (&*peer.address, &*peer.msp_id);
            tracing::info!(address, organization, "a peer answers again");
        }
    }
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}
