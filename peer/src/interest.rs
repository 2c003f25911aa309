//! What a transaction touched, as Fabric's peers tell it: by this, those who must endorse it are found.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use quire_chaincode::system::is_system;
use quire_ledger::{IMPLICIT_COLLECTION, ReadError, Snapshot};
use quire_wire::Message as _;
use quire_wire::config::SignaturePolicyEnvelope;
use quire_wire::peer::{ChaincodeCall, ChaincodeInterest};
use quire_wire::rwset::{
    CollectionHashedReadWriteSet, HashedRwSet, KvMetadataWrite, KvRwSet, NsReadWriteSet,
    TxReadWriteSet,
};

/// The entry of a key's metadata that is its policy: `peer.MetaDataKeys` of Fabric.
const VALIDATION_PARAMETER: &str = "VALIDATION_PARAMETER";

/// What the call of a chaincode touched. `organization` is the node's. Keys are asked for policies of their own in
/// the namespaces that `may_have_policies`: state is read for each.
///
/// # Errors
/// The state engine failed.
pub(crate) fn interest(
    called: &str,
    results: &TxReadWriteSet,
    (organization, snapshot): (&str, &Snapshot),
    may_have_policies: impl Fn(&str) -> bool,
) -> Result<ChaincodeInterest, ReadError> {
    let mut chaincodes = Vec::new();
    for set in &results.ns_rwset {
        if is_system(&set.namespace) {
            continue;
        }
        let written = written_keys(set);
        let policies = if may_have_policies(&set.namespace) {
            key_policies(&set.namespace, &written, snapshot)?
        } else {
            KeyPolicies {
                policies: Vec::new(),
                all: written.is_empty(),
            }
        };
        chaincodes.extend(public_call(set, written.is_empty(), policies));
        let collections = set.collection_hashed_rwset.iter();
        chaincodes.extend(collections.map(|one| private_call(&set.namespace, one, organization)));
    }
    // The transaction's own first.
    chaincodes.sort_by_key(|call| call.name != called);
    Ok(ChaincodeInterest { chaincodes })
}

/// The policies of keys.
struct KeyPolicies {
    /// Each once.
    policies: Vec<SignaturePolicyEnvelope>,
    /// Whether every key has one.
    all: bool,
}

fn written_keys(set: &NsReadWriteSet) -> BTreeSet<String> {
    let public = KvRwSet::decode(set.rwset.clone()).unwrap_or_default();
    let values = public.writes.into_iter().map(|write| write.key);
    let metadata = public.metadata_writes.into_iter().map(|write| write.key);
    values.chain(metadata).collect()
}

fn key_policies(
    namespace: &str,
    keys: &BTreeSet<String>,
    snapshot: &Snapshot,
) -> Result<KeyPolicies, ReadError> {
    let mut found = KeyPolicies {
        policies: Vec::new(),
        all: true,
    };
    let mut known = HashSet::new();
    for key in keys {
        let found_key = snapshot.get(namespace, key)?;
        let policy = found_key.and_then(|found| policy_in(found.metadata));
        if policy.as_ref().is_some_and(|policy| known.contains(policy)) {
            continue;
        }
        let decoded = policy
            .clone()
            .and_then(|policy| SignaturePolicyEnvelope::decode(policy).ok());
        let (Some(policy), Some(decoded)) = (policy, decoded) else {
            found.all = false;
            continue;
        };
        found.policies.push(decoded);
        known.insert(policy);
    }
    Ok(found)
}

/// The serialized policy in a key's metadata.
fn policy_in(metadata: Bytes) -> Option<Bytes> {
    let metadata = KvMetadataWrite::decode(metadata).ok()?;
    let mut entries = metadata.entries.into_iter().rev();
    let entry = entries.find(|entry| entry.name == VALIDATION_PARAMETER)?;
    (!entry.value.is_empty()).then_some(entry.value)
}

/// The call for the public keys of a namespace. Its policy does not matter if every written key has one of its own,
/// or only private keys were written.
fn public_call(
    set: &NsReadWriteSet,
    only_reads: bool,
    KeyPolicies { policies, all }: KeyPolicies,
) -> Option<ChaincodeCall> {
    let is_private = only_reads && writes_privately(set);
    let disregarded = is_private || (all && !only_reads);
    if disregarded && policies.is_empty() {
        return None;
    }
    Some(ChaincodeCall {
        name: set.namespace.clone(),
        key_policies: policies,
        disregard_namespace_policy: disregarded,
        ..ChaincodeCall::default()
    })
}

fn writes_privately(set: &NsReadWriteSet) -> bool {
    let mut collections = set.collection_hashed_rwset.iter().map(hashed);
    collections.any(|one| !one.hashed_writes.is_empty() || !one.metadata_writes.is_empty())
}

/// A node has the data of its organisation's own collections alone: of all others it has read hashes.
fn private_call(
    namespace: &str,
    collection: &CollectionHashedReadWriteSet,
    organization: &str,
) -> ChaincodeCall {
    let name = &collection.collection_name;
    let is_own = name.strip_prefix(IMPLICIT_COLLECTION) == Some(organization);
    ChaincodeCall {
        name: namespace.to_owned(),
        collection_names: vec![name.clone()],
        no_private_reads: !is_own || hashed(collection).hashed_reads.is_empty(),
        ..ChaincodeCall::default()
    }
}

fn hashed(collection: &CollectionHashedReadWriteSet) -> HashedRwSet {
    HashedRwSet::decode(collection.hashed_rwset.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use quire_wire::rwset::{KvReadHash, KvWriteHash};

    use super::*;

    fn set(hashed: &HashedRwSet) -> NsReadWriteSet {
        NsReadWriteSet {
            namespace: "orders".to_owned(),
            collection_hashed_rwset: vec![CollectionHashedReadWriteSet {
                collection_name: format!("{IMPLICIT_COLLECTION}Org1MSP"),
                hashed_rwset: hashed.encode_to_vec().into(),
                ..CollectionHashedReadWriteSet::default()
            }],
            ..NsReadWriteSet::default()
        }
    }

    fn policies(count: i32, all: bool) -> KeyPolicies {
        let policy = |version| SignaturePolicyEnvelope {
            version,
            ..SignaturePolicyEnvelope::default()
        };
        KeyPolicies {
            policies: (0..count).map(policy).collect(),
            all,
        }
    }

    #[test]
    fn the_policy_of_a_chaincode_matters_unless_each_written_key_has_one_of_its_own() {
        let told = |only_reads, found| {
            let call = public_call(&NsReadWriteSet::default(), only_reads, found)?;
            Some((call.key_policies.len(), call.disregard_namespace_policy))
        };
        assert_eq!(told(true, policies(0, true)), Some((0, false)));
        assert_eq!(told(false, policies(0, false)), Some((0, false)));
        assert_eq!(told(false, policies(2, false)), Some((2, false)));
        assert_eq!(told(false, policies(1, true)), Some((1, true)));
    }

    #[test]
    fn what_only_writes_privately_asks_for_the_policy_of_the_collection_alone() {
        let written = set(&HashedRwSet {
            hashed_writes: vec![KvWriteHash::default()],
            ..HashedRwSet::default()
        });
        assert_eq!(public_call(&written, true, policies(0, true)), None);
        let call = private_call("orders", &written.collection_hashed_rwset[0], "Org1MSP");
        assert_eq!(call.collection_names, ["_implicit_org_Org1MSP"]);
        assert!(call.no_private_reads);
    }

    #[test]
    fn only_a_members_reads_are_reads_of_private_data() {
        let read = set(&HashedRwSet {
            hashed_reads: vec![KvReadHash::default()],
            ..HashedRwSet::default()
        });
        let collection = &read.collection_hashed_rwset[0];
        assert!(!private_call("orders", collection, "Org1MSP").no_private_reads);
        assert!(private_call("orders", collection, "Org2MSP").no_private_reads);
    }
}
