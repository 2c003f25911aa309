//! How many blocks an orderer has.

use std::sync::Arc;
use std::time::Duration;

use quire_ledger::{Block, BlockVerifier};
use quire_wire::common::Envelope;
use quire_wire::deliver::{Response, status};
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::network::Network;

/// How long an orderer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many blocks an orderer has, by the header of its newest block, which orderers of the channel have signed.
///
/// # Errors
/// It did not answer, or not with such a header.
pub(crate) async fn height_of(
    network: &dyn Network,
    orderer: &Endpoint,
    (request, max_bytes): (Envelope, usize),
    verifier: Arc<BlockVerifier>,
) -> Result<u64, String> {
    let asked = async {
        let mut blocks = network.deliver(orderer, request, max_bytes).await?;
        blocks.next().await
    };
    let answer = timeout(PATIENCE, asked).await;
    match answer.map_err(|_| "it does not answer".to_owned())?? {
        Some(Response::Block(block)) => {
            let block = Block::from(block);
            verifier.verify(&block)?;
            Ok(block.number.saturating_add(1))
        }
        Some(Response::Status(answered)) => Err(status::name(answered).to_owned()),
        _ => Err("it did not answer with a block".to_owned()),
    }
}
