//! Fabric's blocks as JSON, down to the read-write sets.
//!
//! ```text
//! block        { number, hash, previousHash, dataHash, transactions: [..], metadata: {..} }
//! transaction  { transactionId, txNumber, code, type, channel, timestamp, creator, nonce, signature,
//!                chaincode, function, args, decorations, endorsements, response, event,
//!                readWriteSets: [{ namespace, reads, rangeQueries, writes, metadataWrites,
//!                                  collections }] }
//! ```
//!
//! A namespace `NAME$$q` holds the rich queries of NAME: it has `queries` instead of `rangeQueries`, with
//! each question as JSON.
//!
//! Hashes are hexadecimal; other bytes are JSON if they are JSON, text if they are text, and otherwise base64
//! under a name that ends in `Base64`. What cannot be decoded is left out, and the transaction's `code` says
//! why.

use bytes::Bytes;
use quire_ledger::Block;
use quire_wire::common::{Metadata, OrdererBlockMetadata, Timestamp, header_type, metadata_slot};
use quire_wire::config::{ConfigEnvelope, ConfigGroup};
use quire_wire::peer::ChaincodeSpec;
use quire_wire::rwset::{
    CollectionHashedReadWriteSet, HashedRwSet, KvRead, KvRwSet, KvWrite, NsReadWriteSet,
    RangeQueryInfo, ReadsInfo, TxReadWriteSet, Version,
};
use quire_wire::transaction::{EndorsedCall, Opened};
use quire_wire::{Code, Message};
use serde_json::{Map, Value, json};

use super::creator::Creator;
use crate::reply::document::{Json, Object};
use crate::reply::value::base64;

/// A block as `GET .../blocks/{number}` gives it, for readers of blocks without a gateway.
#[must_use]
pub fn decoded(block: &Block) -> impl serde::Serialize + use<> {
    self::block(block)
}

/// A block.
pub(crate) fn block(block: &Block) -> Json {
    let transactions = block.envelopes.iter().zip(0_u64..).enumerate();
    let transactions = transactions
        .map(|(position, (envelope, number))| transaction(envelope, number, block.code(position)));
    let mut out = Object::default();
    out.insert("number", block.number);
    out.insert("hash", hex::encode(block.hash()));
    out.insert("previousHash", hex::encode(&block.previous_hash));
    out.insert("dataHash", hex::encode(&block.data_hash));
    out.insert("transactions", transactions.collect::<Json>());
    out.insert("metadata", metadata(block));
    out.into()
}

fn metadata(block: &Block) -> Json {
    let mut out = Object::default();
    let slot = |slot: usize| Metadata::decode(block.metadata.get(slot)?.clone()).ok();
    if let Some(orderer) = slot(metadata_slot::SIGNATURES) {
        let signed = OrdererBlockMetadata::decode(orderer.value.clone()).ok();
        if let Some(last) = signed.and_then(|signed| signed.last_config) {
            out.insert("lastConfigBlock", last.index);
        }
        let signatures = orderer.signatures.iter().map(|signature| {
            let header =
                quire_wire::common::SignatureHeader::decode(signature.signature_header.clone());
            json!({
                "signer": header.ok().map(|header| creator(&header.creator)),
                "signature": base64(&signature.signature),
            })
        });
        out.insert("signatures", signatures.collect::<Json>());
    }
    if let Some(commit) = slot(metadata_slot::COMMIT_HASH).filter(|commit| !commit.value.is_empty())
    {
        out.insert("commitHash", hex::encode(&commit.value));
    }
    out.into()
}

/// A transaction at its place in a block.
pub(crate) fn transaction(envelope: &Bytes, number: u64, code: Code) -> Json {
    let mut out = Object::default();
    let Ok(opened) = Opened::read(envelope) else {
        out.insert("transactionId", Value::Null);
        out.insert("txNumber", number);
        out.insert("code", code.to_string());
        out.insert("envelopeBase64", base64(envelope));
        return out.into();
    };
    let header = &opened.channel_header;
    out.insert("transactionId", opened.indexed_tx_id());
    out.insert("txNumber", number);
    out.insert("code", code.to_string());
    out.insert("type", header_type::name(header.r#type));
    out.insert("channel", header.channel_id.as_str());
    out.insert(
        "timestamp",
        header.timestamp.as_ref().and_then(Timestamp::rfc3339),
    );
    out.insert("creator", creator(&opened.signature_header.creator));
    out.insert("nonce", hex::encode(&opened.signature_header.nonce));
    out.insert("signature", base64(&opened.signature));
    if opened.is_endorser_transaction() {
        match opened.endorsed_call() {
            Ok(call) => endorsed_call(&mut out, &call),
            Err(_) => out.insert_bytes("data", &opened.data),
        }
    } else if header.r#type == header_type::CONFIG {
        let config = ConfigEnvelope::decode(opened.data.clone()).ok();
        if let Some(config) = config.and_then(|envelope| envelope.config) {
            let group = config.channel_group.as_ref().map(config_group);
            out.insert(
                "config",
                json!({ "sequence": config.sequence, "channelGroup": group }),
            );
        }
    } else {
        out.insert_bytes("data", &opened.data);
    }
    out.into()
}

fn endorsed_call(out: &mut Object, call: &EndorsedCall) {
    if let Some(spec) = call.spec() {
        chaincode_call(out, spec);
    }
    let action = &call.action;
    if let Some(id) = &action.chaincode_id {
        out.insert("chaincodeVersion", id.version.as_str());
    }
    let endorsements = call.endorsements.iter().map(|endorsement| {
        json!({
            "endorser": creator(&endorsement.endorser),
            "signature": base64(&endorsement.signature),
        })
    });
    out.insert("endorsements", endorsements.collect::<Json>());
    out.insert("proposalHash", hex::encode(&call.proposal_hash));
    if let Some(response) = &action.response {
        let mut answer = Object::default();
        answer.insert("status", response.status);
        answer.insert("message", response.message.as_str());
        answer.insert_bytes("payload", &response.payload);
        out.insert("response", answer);
    }
    if !action.events.is_empty() {
        out.insert_bytes("event", &action.events);
    }
    if let Ok(set) = TxReadWriteSet::decode(action.results.clone()) {
        let sets = set.ns_rwset.iter().map(namespace);
        out.insert("readWriteSets", sets.collect::<Json>());
    }
}

fn chaincode_call(out: &mut Object, spec: ChaincodeSpec) {
    if let Some(id) = spec.chaincode_id {
        out.insert("chaincode", id.name);
    }
    let Some(input) = spec.input else {
        return;
    };
    let mut args = input.args.iter();
    if let Some(function) = args.next() {
        out.insert_bytes("function", function);
    }
    let args = args.map(|argument| Json::of_bytes(argument));
    out.insert("args", args.collect::<Json>());
    if input.is_init {
        out.insert("isInit", true);
    }
    let decorations = input.decorations.iter();
    let decorations: Map<String, Value> = decorations
        .map(|(name, bytes)| (name.clone(), base64(bytes).into()))
        .collect();
    if !decorations.is_empty() {
        out.insert("decorations", decorations);
    }
}

fn namespace(set: &NsReadWriteSet) -> Json {
    let mut out = Object::default();
    out.insert("namespace", set.namespace.as_str());
    if let Ok(keys) = KvRwSet::decode(set.rwset.clone()) {
        out.insert("reads", keys.reads.iter().map(read).collect::<Json>());
        let ranges = keys.range_queries_info.iter();
        if set.namespace.ends_with("$$q") {
            out.insert("queries", ranges.map(rich_query).collect::<Json>());
        } else {
            out.insert("rangeQueries", ranges.map(range_query).collect::<Json>());
        }
        out.insert("writes", keys.writes.iter().map(write).collect::<Json>());
        let metadata = keys.metadata_writes.iter().map(|write| {
            let entries = write.entries.iter();
            let entries = entries
                .map(|entry| json!({ "name": entry.name, "valueBase64": base64(&entry.value) }));
            json!({ "key": write.key, "entries": entries.collect::<Vec<_>>() })
        });
        out.insert("metadataWrites", metadata.collect::<Json>());
    }
    if !set.collection_hashed_rwset.is_empty() {
        let collections = set.collection_hashed_rwset.iter().map(collection);
        out.insert("collections", collections.collect::<Json>());
    }
    out.into()
}

fn read(read: &KvRead) -> Value {
    json!({ "key": read.key, "version": read.version.as_ref().map(version) })
}

fn write(write: &KvWrite) -> Json {
    let mut out = Object::default();
    out.insert("key", write.key.as_str());
    out.insert("isDelete", write.is_delete);
    if !write.is_delete {
        out.insert_bytes("value", &write.value);
    }
    out.into()
}

fn range_query(query: &RangeQueryInfo) -> Json {
    let mut out = Object::default();
    out.insert("start", query.start_key.as_str());
    out.insert("end", query.end_key.as_str());
    reads(&mut out, query);
    out.into()
}

/// The question is JSON itself.
fn rich_query(query: &RangeQueryInfo) -> Json {
    let mut out = Object::default();
    out.insert("start", Json::of_bytes(query.start_key.as_bytes()));
    out.insert("end", Json::of_bytes(query.end_key.as_bytes()));
    reads(&mut out, query);
    out.into()
}

fn reads(out: &mut Object, query: &RangeQueryInfo) {
    out.insert("exhausted", query.itr_exhausted);
    match &query.reads_info {
        Some(ReadsInfo::RawReads(reads)) => {
            out.insert("reads", reads.kv_reads.iter().map(read).collect::<Json>());
        }
        Some(ReadsInfo::ReadsMerkleHashes(summary)) => {
            let hashes: Vec<_> = summary.max_level_hashes.iter().map(hex::encode).collect();
            out.insert(
                "readsMerkleHashes",
                json!({
                    "maxDegree": summary.max_degree,
                    "maxLevel": summary.max_level,
                    "maxLevelHashes": hashes,
                }),
            );
        }
        None => {}
    }
}

fn collection(set: &CollectionHashedReadWriteSet) -> Value {
    let hashed = HashedRwSet::decode(set.hashed_rwset.clone()).unwrap_or_default();
    let reads = hashed.hashed_reads.iter().map(|read| {
        json!({ "keyHash": hex::encode(&read.key_hash), "version": read.version.as_ref().map(version) })
    });
    let writes = hashed.hashed_writes.iter().map(|write| {
        json!({
            "keyHash": hex::encode(&write.key_hash),
            "isDelete": write.is_delete,
            "isPurge": write.is_purge,
            "valueHash": hex::encode(&write.value_hash),
        })
    });
    json!({
        "collection": set.collection_name,
        "hashedReads": reads.collect::<Vec<_>>(),
        "hashedWrites": writes.collect::<Vec<_>>(),
        "privateReadWriteSetHash": hex::encode(&set.pvt_rwset_hash),
    })
}

fn version(version: &Version) -> String {
    format!("{}.{}", version.block_num, version.tx_num)
}

/// The configuration tree. Its depth is bounded by the decoder of protobuf messages.
fn config_group(group: &ConfigGroup) -> Value {
    let groups: Map<String, Value> = group
        .groups
        .iter()
        .map(|(name, group)| (name.clone(), config_group(group)))
        .collect();
    let values: Map<String, Value> = group
        .values
        .iter()
        .map(|(name, value)| {
            let value = json!({
                "version": value.version,
                "modPolicy": value.mod_policy,
                "valueBase64": base64(&value.value),
            });
            (name.clone(), value)
        })
        .collect();
    let policies: Map<String, Value> = group
        .policies
        .iter()
        .map(|(name, policy)| {
            let rule = policy.policy.as_ref();
            let rule =
                rule.map(|rule| json!({ "type": rule.r#type, "valueBase64": base64(&rule.value) }));
            let policy = json!({
                "version": policy.version,
                "modPolicy": policy.mod_policy,
                "policy": rule,
            });
            (name.clone(), policy)
        })
        .collect();
    json!({
        "version": group.version,
        "modPolicy": group.mod_policy,
        "groups": groups,
        "values": values,
        "policies": policies,
    })
}

fn creator(serialized: &[u8]) -> Value {
    match Creator::read(serialized) {
        Some(creator) => json!({
            "mspId": creator.msp_id,
            "name": creator.name,
            "certificate": creator.certificate,
        }),
        None => json!({ "identityBase64": base64(serialized) }),
    }
}

#[cfg(test)]
mod tests {
    use quire_wire::rwset::QueryReads;

    use super::*;

    #[test]
    fn what_a_query_asked_is_shown_as_json() {
        let set = |namespace: &str| NsReadWriteSet {
            namespace: namespace.to_owned(),
            rwset: KvRwSet {
                range_queries_info: vec![RangeQueryInfo {
                    start_key: r#"{"version":1,"selector":{"n":{"$gt":1.10}},"fields":[]}"#.into(),
                    end_key: "{}".into(),
                    itr_exhausted: true,
                    reads_info: Some(ReadsInfo::RawReads(QueryReads::default())),
                }],
                ..KvRwSet::default()
            }
            .encode_to_vec()
            .into(),
            collection_hashed_rwset: Vec::new(),
        };
        let shown = |set| serde_json::to_string(&namespace(&set)).unwrap();
        assert_eq!(
            shown(set("orders$$q")),
            concat!(
                r#"{"namespace":"orders$$q","reads":[],"queries":[{"start":"#,
                r#"{"version":1,"selector":{"n":{"$gt":1.10}},"fields":[]},"end":{},"#,
                r#""exhausted":true,"reads":[]}],"writes":[],"metadataWrites":[]}"#
            )
        );
        assert!(shown(set("orders")).contains(r#""rangeQueries":[{"start":"{\"version\""#));
    }
}
