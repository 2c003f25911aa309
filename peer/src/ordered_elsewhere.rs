//! A channel whose orderers are elsewhere: how it is opened, and how a channel is known to be one.

use std::sync::Arc;

use quire_ledger::{Block, Ledger, Reader};
use quire_ordering::{BlockSigner, QueueObserver};
use quire_wire::common::{Metadata, SignatureHeader, metadata_slot};
use quire_wire::tolerant;

use crate::channel::{Ends, Host, OpenChannel, QUEUE_BYTES, QUEUE_LENGTH, StartError, in_force};
use crate::config::{Current, InForce};
use crate::delivered::Deliveries;
use crate::join::{OrderOf, check_consensus};
use crate::orderers::{
    Broadcasting, DeliverClient, Network, OrderersObserver, Requests, Rota, Status, endpoints,
};
use crate::update::check_orders;

impl OpenChannel {
    /// A channel whose orderers are elsewhere: transactions go to them, and blocks come from them.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn ordered_elsewhere(
        ledger: Ledger,
        host: &Host,
        network: Arc<dyn Network>,
        queue: Arc<dyn QueueObserver>,
        observer: Arc<dyn OrderersObserver>,
    ) -> Result<Self, StartError> {
        let channel: Arc<str> = ledger.reader().channel().into();
        let in_force = in_force(&ledger.reader())?;
        let orderers = endpoints(&in_force.bundle);
        if orderers.is_empty() {
            let channel = channel.to_string();
            return Err(StartError::NoOrderers { channel });
        }
        let requests = Requests {
            channel: Arc::clone(&channel),
            identity: Arc::clone(&host.endorser),
            signer: Arc::clone(&host.signer),
            clock: Arc::clone(&host.clock),
            certificate: network.certificate(),
        };
        let config = Current::new(in_force);
        // An orderer may send blocks well and take nothing, and the other way round.
        let sending = Arc::new(Rota::new(orderers.clone()));
        let rota = Arc::new(Rota::new(orderers));
        let ends = Ends::of(&ledger);
        let status = Arc::new(Status::new(ends.heights.1.clone(), Arc::clone(&observer)));
        let way_in = Broadcasting::new(
            (Arc::clone(&network), requests.clone(), Arc::clone(&sending)),
            Arc::clone(&status),
            Arc::clone(&ends.outcomes),
            (QUEUE_LENGTH, QUEUE_BYTES),
            queue,
        );
        let (deliveries, source) = Deliveries::new(channel, observer);
        let client = DeliverClient {
            deliveries,
            config: config.clone(),
            requests,
            network,
            rota,
            sending,
            status,
            outcomes: Arc::clone(&ends.outcomes),
        };
        let (way_in, source) = (Arc::new(way_in), Box::new(source));
        let open = Self::start(ledger, host, config, ends, way_in, source)?;
        open.with_deliver_client(|| client.run())
    }
}

/// Refuses a channel whose blocks others make: this node has followed them, or could not sign the first of its own.
/// A ledger that was taken over from a peer of Fabric goes on here, as whoever took it over wanted.
pub(crate) fn refuse_if_elsewhere(
    reader: &Reader,
    in_force: &InForce,
    signer: &dyn BlockSigner,
) -> Result<(), StartError> {
    let reason = match reader.height().checked_sub(1) {
        None => return Ok(()),
        Some(0) => match may_order(in_force, signer) {
            Err(reason) if is_ours(reader, 0) => reason,
            _ => return Ok(()),
        },
        Some(tip) => match reader.block(tip) {
            Ok(Some(block)) if was_kept_here(&block) && !is_signed_by(&block, signer) => {
                format!("block {tip} was signed by another than this node")
            }
            _ => return Ok(()),
        },
    };
    Err(StartError::Elsewhere {
        channel: reader.channel().to_owned(),
        reason,
    })
}

/// Whether this node may make the first block of a channel.
fn may_order(in_force: &InForce, signer: &dyn BlockSigner) -> Result<(), String> {
    check_consensus(&in_force.bundle, OrderOf::Topic).map_err(|error| error.to_string())?;
    let orders = check_orders(&in_force.bundle, signer.creator());
    orders.map_err(|missing| format!("this node may not sign its blocks: {missing}"))
}

fn is_ours(reader: &Reader, number: u64) -> bool {
    let block = reader.block(number).ok().flatten();
    block.is_some_and(|block| was_kept_here(&block))
}

/// Whether this program wrote the block to its file, as against a peer of Fabric.
fn was_kept_here(block: &Block) -> bool {
    block.metadata.len() > metadata_slot::COUNT
}

/// Whether one of the block's signatures names this orderer. What cannot be read names nobody else.
fn is_signed_by(block: &Block, signer: &dyn BlockSigner) -> bool {
    let slot = block.metadata.get(metadata_slot::SIGNATURES).cloned();
    let read: Result<Metadata, _> = tolerant::decode(slot.unwrap_or_default(), tolerant::METADATA);
    let Ok(metadata) = read else {
        return true;
    };
    metadata.signatures.iter().any(|signature| {
        let header = signature.signature_header.clone();
        let header: Result<SignatureHeader, _> =
            tolerant::decode(header, tolerant::SIGNATURE_HEADER);
        header.is_ok_and(|header| header.creator == *signer.creator())
    })
}
