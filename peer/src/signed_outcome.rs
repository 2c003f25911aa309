//! What stands in an outcome that endorsers sign.

use bytes::Bytes;
use quire_ledger::{IMPLICIT_COLLECTION, LIFECYCLE};
use quire_wire::Message as _;
use quire_wire::peer::{ChaincodeAction, ProposalResponsePayload, Response};
use quire_wire::rwset::{HashedRwSet, KvRwSet, TxReadWriteSet};

/// The outcome in what endorsers sign.
fn action(payload: &Bytes) -> Option<(Bytes, ChaincodeAction)> {
    let payload = ProposalResponsePayload::decode(payload.clone()).ok()?;
    let action = ChaincodeAction::decode(payload.extension).ok()?;
    Some((payload.proposal_hash, action))
}

/// What the chaincode said.
pub(crate) fn result(payload: &Bytes) -> Option<Response> {
    action(payload)?.1.response
}

/// Whether a call of `_lifecycle` wrote nothing but what this organisation has approved, in its own collection.
pub(crate) fn approves(payload: &Bytes, organization: &str) -> bool {
    let results = action(payload).map(|(_, action)| TxReadWriteSet::decode(action.results));
    let Some(Ok(results)) = results else {
        return false;
    };
    let own = format!("{IMPLICIT_COLLECTION}{organization}");
    let mut is_written = false;
    for set in &results.ns_rwset {
        let public = KvRwSet::decode(set.rwset.clone()).unwrap_or_default();
        if !public.writes.is_empty() || !public.metadata_writes.is_empty() {
            return false;
        }
        for collection in &set.collection_hashed_rwset {
            let hashed = HashedRwSet::decode(collection.hashed_rwset.clone()).unwrap_or_default();
            if hashed.hashed_writes.is_empty() && hashed.metadata_writes.is_empty() {
                continue;
            }
            if set.namespace != LIFECYCLE || collection.collection_name != own {
                return false;
            }
            is_written = true;
        }
    }
    is_written
}

/// In what two outcomes differ.
pub(crate) fn difference(one: &Bytes, other: &Bytes) -> &'static str {
    let (Some((hash, one)), Some((other_hash, other))) = (action(one), action(other)) else {
        return "one of them cannot be read";
    };
    if hash != other_hash {
        "they are of different proposals"
    } else if one.chaincode_id != other.chaincode_id {
        "the chaincodes have different versions"
    } else if one.results != other.results {
        "the read-write sets differ"
    } else if one.response != other.response {
        "the chaincode's answers differ"
    } else if one.events != other.events {
        "the events differ"
    } else {
        "they are written differently"
    }
}
