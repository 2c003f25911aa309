//! A transaction: endorsed by peers, ordered, and waited for.

use std::time::Duration;

use quire_rpc::{Client, Delivered, Delivering, SignedCall};
use quire_wire::Code;
use quire_wire::deliver::{
    FilteredTransaction, Nothing, Position, Response as Event, SeekInfo, SeekPosition,
    SeekSpecified, seek_behavior, status,
};
use quire_wire::peer::ProposalResponse;

use super::caller::Caller;
use super::endpoint::Endpoint;
use super::error::PeerError;
use super::orderer::{OrdererOptions, broadcast};
use super::report::{CHAINCODE, Report};

/// A call that becomes a transaction.
pub(super) struct Transaction<'a> {
    pub(super) channel: &'a str,
    pub(super) peers: &'a [Endpoint],
    pub(super) orderer: &'a OrdererOptions,
    pub(super) call: SignedCall,
    /// How long each peer is waited for until it has the transaction; not at all without.
    pub(super) patience: Option<Duration>,
}

/// A peer that was asked.
struct Endorser<'a> {
    endpoint: &'a Endpoint,
    client: Client,
}

impl Transaction<'_> {
    /// Has each peer endorse it, and sends it if `may_be_ordered` finds nothing against what they answered. The first
    /// peer's answer.
    pub(super) async fn submit(
        self,
        caller: &Caller<'_>,
        report: &mut Report<'_, '_>,
        what: &str,
        may_be_ordered: impl Fn(&ProposalResponse) -> Result<(), PeerError>,
    ) -> Result<ProposalResponse, PeerError> {
        let mut endorsers = Vec::new();
        for endpoint in self.peers {
            let client = endpoint.connect().await?;
            endorsers.push(Endorser { endpoint, client });
        }
        let first = self.peers.first().ok_or_else(no_peer)?;
        let orderers = self.orderer.of_channel(caller, first, self.channel).await?;
        let mut responses = Vec::new();
        for endorser in &endorsers {
            let proposal = self.call.proposal.clone();
            let answer = endorser.client.process_proposal(proposal).await;
            let answer = answer.map_err(PeerError::rpc(what))?;
            may_be_ordered(&answer)?;
            responses.push(answer);
        }
        let answer = responses.first().cloned().ok_or_else(no_peer)?;
        let id = self.call.transaction_id.clone();
        let envelope = self.call.transaction(responses, &caller.signer)?;
        let Some(patience) = self.patience else {
            broadcast(&orderers, &envelope).await?;
            return Ok(answer);
        };
        let wait = async {
            let mut streams = Vec::new();
            for endorser in &endorsers {
                streams.push((endorser, endorser.listen(caller, self.channel).await?));
            }
            broadcast(&orderers, &envelope).await?;
            for (endorser, stream) in streams {
                let address = &endorser.endpoint.address;
                committed(stream, &id, address, report).await?;
            }
            Ok(answer)
        };
        let waited = tokio::time::timeout(patience, wait).await;
        waited.unwrap_or(Err(PeerError::WaitedInVain))
    }
}

fn no_peer() -> PeerError {
    PeerError::Usage("no endorser clients retrieved".to_owned())
}

impl Endorser<'_> {
    /// The verdicts from the newest block on. The peer answers with that block at once, so nothing that is ordered
    /// from now on is missed.
    async fn listen(&self, caller: &Caller<'_>, channel: &str) -> Result<Delivered, PeerError> {
        let at = |position| {
            Some(SeekPosition {
                position: Some(position),
            })
        };
        let seek = SeekInfo {
            start: at(Position::Newest(Nothing {})),
            stop: at(Position::Specified(SeekSpecified { number: u64::MAX })),
            behavior: seek_behavior::BLOCK_UNTIL_READY,
            ..SeekInfo::default()
        };
        let envelope = caller.seek(self.endpoint, channel, &seek)?;
        let stream = self
            .client
            .deliver(Delivering::PeerFiltered, envelope)
            .await;
        stream.map_err(PeerError::rpc(format!(
            "error connecting to deliver filtered at {}",
            self.endpoint.address
        )))
    }
}

/// Waits until a peer has a transaction, which must be valid.
async fn committed(
    mut stream: Delivered,
    id: &str,
    address: &str,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let what = format!("error receiving from deliver filtered at {address}");
    loop {
        let event = stream.next().await.map_err(PeerError::rpc(&*what))?;
        let block = match event {
            Some(Event::FilteredBlock(block)) => block,
            Some(Event::Status(status)) => {
                return Err(PeerError::DeliverEnded(status::name(status)));
            }
            _ => return Err(PeerError::Stray(what)),
        };
        let mut transactions = block.filtered_transactions.iter();
        let Some(found) = transactions.find(|transaction| transaction.txid == id) else {
            continue;
        };
        let verdict = verdict(found);
        report.log(
            CHAINCODE,
            "ClientWait",
            &format!(
                "txid [{id}] committed with status ({}) at {address}",
                verdict.name()
            ),
        );
        return match verdict {
            Code::VALID => Ok(()),
            invalid => Err(PeerError::Invalidated(invalid.name())),
        };
    }
}

/// A number that is no code counts as one without a name.
fn verdict(transaction: &FilteredTransaction) -> Code {
    u8::try_from(transaction.tx_validation_code).map_or(Code(u8::MAX), Code)
}
