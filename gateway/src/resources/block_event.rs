//! A block as a listener sees it: its transactions, and the keys that they wrote.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quire_ledger::{Block, Content, Examined, ReadWriteSet};
use quire_peer::Channel;
use quire_wire::Code;
use quire_wire::peer::ChaincodeEvent;
use serde::{Serialize, Serializer};

use crate::gateway::Gateway;
use crate::memory::Kind;
use crate::problem::Problem;
use crate::reply::event::{EventDocument, event_of};

/// Bytes of rendered blocks that are kept for further listeners.
const CACHE_BYTES: u64 = 16 << 20;
/// The number of blocks for which the cache is laid out.
const CACHE_BLOCKS: usize = 4096;

/// The key of an event: channel, block number, and which transactions the listener wants.
type Wanted = (Arc<str>, u64, Filter);

/// Which transactions a listener wants; all of them where nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// Those that write in this namespace, valid or not.
    pub(crate) namespace: Option<Arc<str>>,
    /// Those that call this chaincode, valid or not.
    pub(crate) chaincode: Option<Arc<str>>,
}

impl Filter {
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, chaincode: Option<&str>, writes: &[KeyEvent]) -> bool {
        let is_called = |wanted: &Arc<str>| chaincode == Some(&**wanted);
        let is_written = |wanted: &Arc<str>| writes.iter().any(|one| *one.namespace == **wanted);
        self.chaincode.as_ref().is_none_or(is_called)
            && self.namespace.as_ref().is_none_or(is_written)
    }

    fn len(&self) -> usize {
        let names = [&self.namespace, &self.chaincode].into_iter().flatten();
        names.map(|name| name.len()).sum()
    }
}

/// Rendered blocks. One of the listeners that wait for a block renders it, and the others get the same bytes.
#[derive(Debug)]
pub(crate) struct BlockEvents(Cache<Wanted, Bytes, ByBytes>);

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Wanted, Bytes> for ByBytes {
    fn weight(&self, (_, _, filter): &Wanted, event: &Bytes) -> u64 {
        // Callers choose the names, and they may be longer than any existing one.
        (event.len() + filter.len()) as u64 + 128
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
        filter: &Filter,
    ) -> Result<Bytes, Problem> {
        let wanted = (Arc::clone(&channel.name), number, filter.clone());
        let render = async {
            let (channel, filter) = (channel.clone(), filter.clone());
            let rendered = gateway.pools.work(move || {
                let block = channel.reader.block(number)?;
                let block = block.ok_or_else(|| Problem::internal(format!("no block {number}")))?;
                let document = document(&block, &filter)?;
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
    /// What the chaincode of a valid transaction tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Told>,
}

/// What a chaincode tells.
struct Told(ChaincodeEvent);

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        EventDocument::of(&self.0).serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyEvent {
    namespace: String,
    key: String,
    is_delete: bool,
}

/// One line of JSON, with the transactions that the filter takes.
fn document(block: &Block, filter: &Filter) -> Result<String, Problem> {
    let transactions = block.envelopes.iter().enumerate();
    let transactions = transactions.filter_map(|(position, envelope)| {
        transaction(envelope, position, block.code(position), filter)
    });
    let event = BlockEvent {
        block_number: block.number,
        block_hash: hex::encode(block.hash()),
        transactions: transactions.collect(),
    };
    let text = serde_json::to_string(&event).map_err(Problem::internal)?;
    Ok(in_one_line(text))
}

/// A JSON text without ends of lines, which may only stand between its parts: in what a chaincode tells.
fn in_one_line(text: String) -> String {
    if text.contains(['\n', '\r']) {
        return text.replace(['\n', '\r'], " ");
    }
    text
}

fn transaction(
    envelope: &Bytes,
    position: usize,
    code: Code,
    filter: &Filter,
) -> Option<TransactionEvent> {
    let examined = Examined::read(envelope);
    let mut chaincode = None;
    let mut writes = Vec::new();
    let mut event = None;
    if let Content::Endorsed(endorsed) = &examined.content {
        let spec = endorsed.call.spec();
        chaincode = spec.and_then(|spec| Some(spec.chaincode_id?.name));
        writes = writes_of(&endorsed.read_write_set);
        event = event_of(&endorsed.call.action).map(Told);
    }
    if !filter.takes(chaincode.as_deref(), &writes) {
        return None;
    }
    if !code.is_valid() {
        writes.clear();
        event = None;
    }
    Some(TransactionEvent {
        transaction_id: examined.tx_id,
        tx_number: position as u64,
        code: code.to_string(),
        chaincode,
        writes,
        event,
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
    use quire_testkit::Transaction;
    use quire_wire::Message as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_name_weighs_what_it_takes() {
        let weight = |namespace: Option<&str>, chaincode: Option<&str>| {
            let filter = Filter {
                namespace: namespace.map(Arc::from),
                chaincode: chaincode.map(Arc::from),
            };
            let wanted = ("main".into(), 7, filter);
            ByBytes.weight(&wanted, &Bytes::from_static(b"event"))
        };
        let long = "n".repeat(60_000);
        let none = weight(None, None);
        assert_eq!(weight(Some(&long), None), none + 60_000);
        assert_eq!(weight(Some(&long), Some(&long)), none + 120_000);
    }

    #[test]
    fn only_a_valid_transaction_tells_what_its_chaincode_told() {
        let event = ChaincodeEvent {
            chaincode_id: "orders".to_owned(),
            event_name: "Paid".to_owned(),
            payload: Bytes::from_static(b"7"),
            ..ChaincodeEvent::default()
        };
        let envelope = Transaction {
            event: event.encode_to_vec().into(),
            ..Transaction::new("main", "orders", "nonce")
        };
        let envelope = envelope.envelope();
        let told = |code, chaincode: Option<&str>| {
            let filter = Filter {
                chaincode: chaincode.map(Arc::from),
                ..Filter::default()
            };
            let told = transaction(&envelope, 0, code, &filter)?;
            Some(serde_json::to_value(&told).unwrap()["event"].clone())
        };
        let paid = json!({"chaincode": "orders", "name": "Paid", "payload": 7});
        assert_eq!(told(Code::VALID, None), Some(paid.clone()));
        assert_eq!(told(Code::VALID, Some("orders")), Some(paid));
        assert_eq!(told(Code::VALID, Some("carts")), None);
        let none = Some(serde_json::Value::Null);
        assert_eq!(told(Code::MVCC_READ_CONFLICT, None), none);
    }

    #[test]
    fn what_a_chaincode_tells_in_many_lines_is_told_in_one() {
        let told = Told(ChaincodeEvent {
            chaincode_id: "orders".to_owned(),
            event_name: "Paid\n".to_owned(),
            payload: Bytes::from_static(b"{\r\n\"a\": \"b\\n\"\n}"),
            ..ChaincodeEvent::default()
        });
        let text = in_one_line(serde_json::to_string(&told).unwrap());
        let expected = r#"{"chaincode":"orders","name":"Paid\n","payload":{  "a": "b\n" }}"#;
        assert_eq!(text, expected);
    }
}
