//! A block as a listener sees it: its transactions, and the keys that they wrote.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quire_ledger::{Block, Content, Examined, ReadWriteSet};
use quire_peer::Channel;
use quire_wire::Code;
use serde::Serialize;

use crate::gateway::Gateway;
use crate::memory::Kind;
use crate::problem::Problem;

/// Bytes of rendered blocks that are kept for further listeners.
const CACHE_BYTES: u64 = 16 << 20;
/// The number of blocks for which the cache is laid out.
const CACHE_BLOCKS: usize = 4096;

/// The key of an event: channel, block number, and the namespace of the listener.
type Wanted = (Arc<str>, u64, Option<Arc<str>>);

/// Rendered blocks. One of the listeners that wait for a block renders it, and the others get the same bytes.
#[derive(Debug)]
pub(crate) struct BlockEvents(Cache<Wanted, Bytes, ByBytes>);

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Wanted, Bytes> for ByBytes {
    fn weight(&self, (_, _, namespace): &Wanted, event: &Bytes) -> u64 {
        // Callers choose the namespace, and it may be longer than any existing one.
        let namespace = namespace.as_ref().map_or(0, |namespace| namespace.len());
        (event.len() + namespace) as u64 + 128
    }
}

impl BlockEvents {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(CACHE_BLOCKS, CACHE_BYTES, ByBytes))
    }

    /// The event of a block, as it goes over the wire.
    pub(crate) async fn event(
        &self,
        gateway: &Gateway,
        channel: &Channel,
        number: u64,
        namespace: Option<&Arc<str>>,
    ) -> Result<Bytes, Problem> {
        let wanted = (Arc::clone(&channel.name), number, namespace.cloned());
        let render = async {
            let (channel, namespace) = (channel.clone(), namespace.cloned());
            let rendered = gateway.pools.work(move || {
                let block = channel.reader.block(number)?;
                let block = block.ok_or_else(|| Problem::internal(format!("no block {number}")))?;
                let document = document(&block, namespace.as_deref())?;
                Ok(format!("event: block\nid: {number}\ndata: {document}\n\n"))
            });
            let event = rendered.await?;
            let share = gateway.memory.take(Kind::Events, event.len());
            Ok(share.map_err(|full| gateway.full(full))?.hold(event))
        };
        self.0.get_or_insert_async(&wanted, render).await
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockEvent {
    block_number: u64,
    block_hash: String,
    transactions: Vec<TransactionEvent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TransactionEvent {
    /// `None` if the envelope names none.
    transaction_id: Option<String>,
    tx_number: u64,
    code: String,
    chaincode: Option<String>,
    /// The writes that took effect: empty unless the transaction is valid.
    writes: Vec<KeyEvent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyEvent {
    namespace: String,
    key: String,
    is_delete: bool,
}

/// One line of JSON. With a namespace, it has only the transactions that write there, valid or not.
fn document(block: &Block, namespace: Option<&str>) -> Result<String, Problem> {
    let transactions = block.envelopes.iter().enumerate();
    let transactions = transactions.filter_map(|(position, envelope)| {
        transaction(envelope, position, block.code(position), namespace)
    });
    let event = BlockEvent {
        block_number: block.number,
        block_hash: hex::encode(block.hash()),
        transactions: transactions.collect(),
    };
    serde_json::to_string(&event).map_err(Problem::internal)
}

fn transaction(
    envelope: &Bytes,
    position: usize,
    code: Code,
    namespace: Option<&str>,
) -> Option<TransactionEvent> {
    let examined = Examined::read(envelope);
    let mut chaincode = None;
    let mut writes = Vec::new();
    if let Content::Endorsed(endorsed) = &examined.content {
        let spec = endorsed.call.spec();
        chaincode = spec.and_then(|spec| Some(spec.chaincode_id?.name));
        writes = writes_of(&endorsed.read_write_set);
    }
    if namespace.is_some_and(|wanted| writes.iter().all(|write| write.namespace != wanted)) {
        return None;
    }
    if !code.is_valid() {
        writes.clear();
    }
    Some(TransactionEvent {
        transaction_id: examined.tx_id,
        tx_number: position as u64,
        code: code.to_string(),
        chaincode,
        writes,
    })
}

fn writes_of(set: &ReadWriteSet) -> Vec<KeyEvent> {
    let writes = set.namespaces.iter().flat_map(|set| {
        set.public.writes.iter().map(|write| KeyEvent {
            namespace: set.namespace.clone(),
            key: write.key.clone(),
            is_delete: write.deletes(),
        })
    });
    writes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_namespace_weighs_what_it_takes() {
        let weight = |namespace: Option<&str>| {
            let wanted = ("main".into(), 7, namespace.map(Arc::from));
            ByBytes.weight(&wanted, &Bytes::from_static(b"event"))
        };
        assert_eq!(weight(Some(&"n".repeat(60_000))), weight(None) + 60_000);
    }
}
