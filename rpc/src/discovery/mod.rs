//! Discovery: who is in a channel, where its orderers are, and who must endorse what. Fabric's
//! `discovery.Discovery/Discover`, by a node that is the only peer of its channels that it knows of.
//!
//! * `config`: organisations and orderers.
//! * `itself`: what the node says of itself.
//!
//! Who must endorse what is computed by [`quire_peer::discovery`]. An application may ask for anything, so all that an
//! answer may cost is bounded.

mod config;
mod itself;

use std::sync::Arc;

use quire_identity::Bundle;
use quire_ledger::chain_of;
use quire_peer::discovery::{Candidate, Chaincodes, Who, authorized, descriptor};
use quire_peer::{Channel, SignedData};
use quire_wire::discovery::{
    Answer, ChaincodeQuery, ChaincodeQueryResult, EndorsementDescriptor, Error, Layout, Peer,
    PeerMembershipResult, Peers, PeersEntry, Query, QueryResult, Question, Request, Response,
    SignedRequest,
};
use quire_wire::hash::Hash;
use quire_wire::peer::ChaincodeInterest;
use quire_wire::{DecodeError, Message as _};
use tonic::Status;

use crate::backend::Backend;
use crate::failure::GARBAGE;
use crate::workers::Workers;
use itself::Has;
pub use itself::Itself;

/// Who may ask about a channel: those who may write.
const OF_CHANNEL: &str = "discovery/Discover";
/// Who may ask for the peers that the node knows of whichever channel: its organisation's administrators.
const LOCAL: &str = "discovery/LocalPeers";
/// Questions, interests, calls and policies of a request, each.
const MAX_PARTS: usize = 100;
/// Bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;
const DENIED: &str = "access denied";

/// Answers what applications ask about channels.
#[derive(Clone, Debug)]
pub struct Discovery {
    backend: Arc<dyn Backend>,
    workers: Workers,
    itself: Itself,
}

impl Discovery {
    /// Of a node that is known to its clients as `itself` says.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, workers: Workers, itself: Itself) -> Self {
        Self {
            backend,
            workers,
            itself,
        }
    }

    /// Answers a request. Under mutual TLS `certificate` is the SHA-256 of the client's certificate, to which the
    /// request must be bound.
    ///
    /// # Errors
    /// The request is none, does not say who asks, or asks for more than one may.
    pub async fn discover(
        &self,
        certificate: Option<Hash>,
        request: SignedRequest,
    ) -> Result<Response, Status> {
        let discovery = self.clone();
        let work = move || discovery.answer(certificate.as_ref(), &request);
        self.workers.run(work).await?
    }

    fn answer(
        &self,
        certificate: Option<&Hash>,
        signed: &SignedRequest,
    ) -> Result<Response, Status> {
        let unreadable =
            |_: DecodeError| Status::unknown(format!("failed parsing request: {GARBAGE}"));
        let request = Request::decode(signed.payload.clone()).map_err(unreadable)?;
        let denied = |why: &str| Status::unknown(format!("{DENIED}, {why}"));
        let who = request.authentication;
        let who = who.ok_or_else(|| denied("no authentication info in request"))?;
        if who.client_identity.is_empty() {
            return Err(denied("client identity wasn't supplied"));
        }
        if certificate.is_some_and(|hash| who.client_tls_cert_hash != hash[..]) {
            let info = "client claimed TLS hash doesn't match computed TLS hash from gRPC stream";
            return Err(Status::unknown(info));
        }
        check_parts(&request.queries)?;
        let signed = SignedData {
            creator: &who.client_identity,
            data: &signed.payload,
            signature: &signed.signature,
        };
        let mut response = Response::default();
        let mut size_bytes = 0;
        for query in request.queries {
            let result = self.result(&query, signed);
            size_bytes += result.encoded_len();
            if size_bytes > MAX_ANSWER_BYTES {
                let info = format!("the answer would have more than {MAX_ANSWER_BYTES} bytes");
                return Err(Status::resource_exhausted(info));
            }
            response.results.push(result);
        }
        Ok(response)
    }

    fn result(&self, query: &Query, signed: SignedData<'_>) -> QueryResult {
        let answer = self.result_of(query, signed);
        let answer = answer.unwrap_or_else(|content| Answer::Error(Error { content }));
        QueryResult {
            answer: Some(answer),
        }
    }

    /// The answer to a question, or what the client is told instead.
    fn result_of(&self, query: &Query, signed: SignedData<'_>) -> Result<Answer, String> {
        if query.channel.is_empty() {
            return self.local(query, signed);
        }
        let channel = self.backend.channel(&query.channel).ok_or(DENIED)?;
        let access = channel.access.clone().ok_or(DENIED)?;
        let checked = access.check(OF_CHANNEL, signed);
        checked.map_err(|_| DENIED)?;
        let bundle = access.bundle();
        let about = About {
            discovery: self,
            channel: &channel,
            bundle: &bundle,
        };
        match &query.question {
            Some(Question::Chaincodes(query)) => about.chaincodes(query),
            Some(Question::Config(_)) => about.config(),
            Some(Question::Peers(query)) => about.peers(query.filter.as_ref()),
            Some(Question::LocalPeers(_)) | None => Err(unknown_question()),
        }
    }

    fn local(&self, query: &Query, signed: SignedData<'_>) -> Result<Answer, String> {
        let may_ask = |name: &String| {
            let access = self.backend.channel(name)?.access?;
            Some(access.check(LOCAL, signed).is_ok())
        };
        // Any channel knows who the organisation's administrators are.
        let mut channels = self.backend.channels().into_iter();
        let answer = channels.find_map(|name| may_ask(&name));
        if answer != Some(true) {
            return Err(DENIED.to_owned());
        }
        match query.question {
            Some(Question::LocalPeers(_)) => {
                let me = self.itself.says(self.backend.now(), None);
                Ok(self.members(vec![me]))
            }
            _ => Err(unknown_question()),
        }
    }

    fn members(&self, peers: Vec<Peer>) -> Answer {
        let own = PeersEntry {
            name: self.itself.identity.msp_id().to_owned(),
            peers: Some(Peers { peers }),
        };
        Answer::Members(PeerMembershipResult {
            peers_by_org: vec![own],
        })
    }
}

fn unknown_question() -> String {
    "unknown or missing request type".to_owned()
}

/// Refuses a request with too many parts.
fn check_parts(queries: &[Query]) -> Result<(), Status> {
    let interests = queries.iter().flat_map(|query| match &query.question {
        Some(Question::Chaincodes(query)) => &query.interests[..],
        Some(Question::Peers(query)) => query.filter.as_slice(),
        _ => &[],
    });
    let interests: Vec<&ChaincodeInterest> = interests.collect();
    let calls = || interests.iter().flat_map(|interest| &interest.chaincodes);
    let names = calls().map(|call| call.collection_names.len()).sum();
    let policies = calls().map(|call| call.key_policies.len()).sum();
    let parts = [
        queries.len(),
        interests.len(),
        calls().count(),
        names,
        policies,
    ];
    if parts.into_iter().any(|count| count > MAX_PARTS) {
        let info = format!(
            "a request may have {MAX_PARTS} queries, interests, chaincodes, collections and key policies"
        );
        return Err(Status::invalid_argument(info));
    }
    Ok(())
}

/// A channel about which somebody may ask.
struct About<'a> {
    discovery: &'a Discovery,
    channel: &'a Channel,
    bundle: &'a Bundle,
}

impl About<'_> {
    fn config(&self) -> Result<Answer, String> {
        let channel = self.bundle.channel();
        let failed = format!("failed fetching config for channel {channel}");
        let root = self.bundle.config().channel_group.as_ref();
        let root = root.ok_or_else(|| failed.clone())?;
        config::config(root).map(Answer::Config).map_err(|error| {
            tracing::warn!(channel, reason = chain_of(&error), "discovery");
            failed
        })
    }

    fn peers(&self, filter: Option<&ChaincodeInterest>) -> Result<Answer, String> {
        let chaincodes = self.read()?;
        if let Some(filter) = filter.filter(|filter| !filter.chaincodes.is_empty()) {
            let definitions = chaincodes.definitions(filter);
            let me = self.candidates(&chaincodes, filter);
            let found = authorized(filter, &definitions, &me).map_err(|error| error.to_string())?;
            if found.is_empty() {
                return Ok(self.discovery.members(Vec::new()));
            }
        }
        let me = self.says(&chaincodes);
        Ok(self.discovery.members(vec![me]))
    }

    fn chaincodes(&self, query: &ChaincodeQuery) -> Result<Answer, String> {
        check_interests(&query.interests)?;
        let chaincodes = self.read()?;
        let mut content = Vec::with_capacity(query.interests.len());
        for interest in &query.interests {
            content.push(self.descriptor(&chaincodes, interest)?);
        }
        Ok(Answer::Chaincodes(ChaincodeQueryResult { content }))
    }

    fn descriptor(
        &self,
        chaincodes: &Chaincodes<'_>,
        interest: &ChaincodeInterest,
    ) -> Result<EndorsementDescriptor, String> {
        let definitions = chaincodes.definitions(interest);
        let me = self.candidates(chaincodes, interest);
        let found = descriptor(interest, &definitions, &me).map_err(|error| {
            let channel = self.bundle.channel();
            let interest = shown(interest);
            tracing::info!(channel, interest, reason = %error, "nobody can endorse");
            format!("failed constructing descriptor for {interest}")
        })?;
        let me = self.says(chaincodes);
        let first = interest.chaincodes.first();
        Ok(EndorsementDescriptor {
            chaincode: first.map(|call| call.name.clone()).unwrap_or_default(),
            endorsers_by_groups: found
                .groups
                .into_iter()
                .map(|(name, peers)| PeersEntry {
                    name,
                    peers: Some(Peers {
                        peers: vec![me.clone(); peers.len()],
                    }),
                })
                .collect(),
            layouts: found
                .layouts
                .into_iter()
                .map(|quantities_by_group| Layout {
                    quantities_by_group,
                })
                .collect(),
        })
    }

    fn read(&self) -> Result<Chaincodes<'_>, String> {
        Chaincodes::read(self.channel.into(), self.bundle).map_err(|error| {
            let channel = self.bundle.channel();
            let reason = chain_of(&error);
            tracing::error!(channel, reason, "definitions cannot be read");
            "the channel's definitions cannot be read".to_owned()
        })
    }

    /// This node, if the channel knows it.
    fn candidates(
        &self,
        chaincodes: &Chaincodes<'_>,
        interest: &ChaincodeInterest,
    ) -> Vec<Candidate> {
        let serialized = self.discovery.itself.identity.serialized();
        let identity = self.bundle.msps().deserialize(serialized);
        let candidate = identity.ok().map(|identity| Candidate {
            who: Who::Known(identity),
            chaincodes: Some(chaincodes.running_for(interest)),
        });
        candidate.into_iter().collect()
    }

    fn says(&self, chaincodes: &Chaincodes<'_>) -> Peer {
        let Discovery {
            backend, itself, ..
        } = self.discovery;
        let has = Has {
            channel: self.bundle.channel(),
            height: *self.channel.heights.borrow(),
            chaincodes: chaincodes.running(),
        };
        itself.says(backend.now(), Some(has))
    }
}

fn check_interests(interests: &[ChaincodeInterest]) -> Result<(), String> {
    let refused = |text: &str| Err(text.to_owned());
    if interests.is_empty() {
        return refused("chaincode query must have at least one chaincode interest");
    }
    if interests
        .iter()
        .any(|interest| interest.chaincodes.is_empty())
    {
        return refused("chaincode interest must contain at least one chaincode");
    }
    let mut calls = interests.iter().flat_map(|interest| &interest.chaincodes);
    if calls.any(|call| call.name.is_empty()) {
        return refused("chaincode name in interest cannot be empty");
    }
    Ok(())
}

/// An interest as Go writes it into texts; key policies are left out.
fn shown(interest: &ChaincodeInterest) -> String {
    let calls = interest.chaincodes.iter().map(|call| {
        let mut fields = vec![format!("name:{:?}", call.name)];
        let collections = call.collection_names.iter();
        fields.extend(collections.map(|name| format!("collection_names:{name:?}")));
        let flags = [
            ("no_private_reads", call.no_private_reads),
            ("no_public_writes", call.no_public_writes),
            (
                "disregard_namespace_policy",
                call.disregard_namespace_policy,
            ),
        ];
        let set = flags.iter().filter(|(_, is_set)| *is_set);
        fields.extend(set.map(|(name, _)| format!("{name}:true")));
        format!("chaincodes:{{{}}}", fields.join(" "))
    });
    calls.collect::<Vec<_>>().join(" ")
}
