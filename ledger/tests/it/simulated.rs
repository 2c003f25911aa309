//! What a simulator records besides public keys and their values. It must be what a Fabric peer records.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::{KeyMetadata, Simulator};
use quire_testkit::conformance;
use quire_wire::Code;
use quire_wire::hash::sha256;
use quire_wire::rwset::{CollectionHashedReadWriteSet, HashedRwSet, KvRwSet, TxReadWriteSet};
use quire_wire::transaction::Opened;

use crate::kit::{Documents, chain, open};

const NAMESPACE: &str = "goods";
/// Every organisation has this collection without a definition.
const COLLECTION: &str = "_implicit_org_Org1MSP";

fn simulator(documents: &Documents) -> Simulator {
    Simulator::new(documents.reader().snapshot())
}

/// Commits what was simulated.
fn commit(documents: &mut Documents, results: &TxReadWriteSet) -> Code {
    let nonce = documents.reader().height().to_string();
    let envelope = chain::endorsed("main", &nonce, results);
    documents.commit(&[vec![envelope]])[0][0]
}

fn policy(text: &'static str) -> KeyMetadata {
    [("VALIDATION_PARAMETER".to_owned(), text.into())].into()
}

fn hashed(set: &CollectionHashedReadWriteSet) -> HashedRwSet {
    HashedRwSet::decode(set.hashed_rwset.clone()).unwrap()
}

#[test]
fn the_metadata_of_a_key_is_written_read_and_removed() {
    let mut documents = Documents::new();
    documents.write(NAMESPACE, [("k", Some("1".to_owned()))]);
    let mut simulation = simulator(&documents);
    assert_eq!(
        simulation.metadata(NAMESPACE, "k").unwrap(),
        KeyMetadata::new()
    );
    simulation.set_metadata(NAMESPACE, "k", policy("both"));
    let results = simulation.into_results().public;
    let set = KvRwSet::decode(results.ns_rwset[0].rwset.clone()).unwrap();
    assert_eq!(
        (set.reads.len(), set.writes.len(), set.metadata_writes.len()),
        (1, 0, 1)
    );
    assert_eq!(commit(&mut documents, &results), Code::VALID);

    let mut simulation = simulator(&documents);
    assert_eq!(simulation.metadata(NAMESPACE, "k").unwrap(), policy("both"));
    let mut late = simulator(&documents);
    late.metadata(NAMESPACE, "k").unwrap();
    late.put(NAMESPACE, "other", "1".into());
    simulation.set_metadata(NAMESPACE, "k", KeyMetadata::new());
    let removing = simulation.into_results().public;
    assert_eq!(commit(&mut documents, &removing), Code::VALID);
    assert_eq!(
        simulator(&documents).metadata(NAMESPACE, "k").unwrap(),
        KeyMetadata::new()
    );
    // A transaction that read it before it was removed has read something that is gone.
    let late = late.into_results().public;
    assert_eq!(commit(&mut documents, &late), Code::MVCC_READ_CONFLICT);
}

#[test]
fn of_private_keys_the_block_has_hashes_and_those_who_may_see_them_the_rest() {
    let mut documents = Documents::new();
    let mut simulation = simulator(&documents);
    simulation.put_private(NAMESPACE, COLLECTION, "b", "secret".into());
    simulation.put_private(NAMESPACE, COLLECTION, "a", "older".into());
    simulation.delete_private(NAMESPACE, COLLECTION, "a");
    simulation.purge_private(NAMESPACE, COLLECTION, "c");
    simulation.set_private_metadata(NAMESPACE, COLLECTION, "b", policy("Org1"));
    let results = simulation.into_results();

    let [public] = &results.public.ns_rwset[..] else {
        panic!("{results:?}")
    };
    let [collection] = &public.collection_hashed_rwset[..] else {
        panic!("{results:?}")
    };
    let private = &results.private.ns_pvt_rwset[0].collection_pvt_rwset[0];
    assert_eq!(
        collection.pvt_rwset_hash[..],
        sha256([private.rwset.as_ref()])
    );
    let written = KvRwSet::decode(private.rwset.clone()).unwrap();
    let keys = written.writes.iter();
    let keys: Vec<_> = keys
        .map(|write| (&*write.key, write.is_delete, &write.value[..]))
        .collect();
    assert_eq!(
        keys,
        [
            ("a", true, &b""[..]),
            ("b", false, b"secret"),
            ("c", true, b"")
        ]
    );
    assert_eq!(written.metadata_writes.len(), 1);
    assert!(written.metadata_writes[0].entries.is_empty());
    let hashes = hashed(collection);
    let deleted = hashes.hashed_writes.iter();
    let deleted: Vec<_> = deleted
        .map(|write| (write.is_delete, write.is_purge))
        .collect();
    assert_eq!(deleted, [(true, false), (false, false), (true, true)]);
    assert_eq!(
        hashes.hashed_writes[1].value_hash[..],
        sha256([&b"secret"[..]])
    );
    assert!(!format!("{:?}", results.public).contains("secret"));

    assert_eq!(commit(&mut documents, &results.public), Code::VALID);
    let mut simulation = simulator(&documents);
    let hash = simulation.private_hash(NAMESPACE, COLLECTION, "b").unwrap();
    assert_eq!(hash.unwrap()[..], sha256([&b"secret"[..]]));
    assert_eq!(
        simulation.private_hash(NAMESPACE, COLLECTION, "a").unwrap(),
        None
    );
    let metadata = simulation
        .private_metadata(NAMESPACE, COLLECTION, "b")
        .unwrap();
    assert_eq!(metadata, policy("Org1"));
    // Both were read in their present versions, and only the hashes are shown.
    let results = simulation.into_results();
    let set = &results.public.ns_rwset[0].collection_hashed_rwset[0];
    assert_eq!(hashed(set).hashed_reads.len(), 2);
    assert!(set.pvt_rwset_hash.is_empty() && results.private.ns_pvt_rwset.is_empty());
}

/// The keys that an approval of a chaincode's definition writes to its organisation's own collection.
fn approval_keys(name: &str, sequence: usize) -> Vec<String> {
    let private = format!("{name}#{sequence}");
    let fields = [
        "Collections",
        "EndorsementInfo",
        "Sequence",
        "ValidationInfo",
    ];
    let fields = fields.map(|field| format!("namespaces/fields/{private}/{field}"));
    let sources = [
        format!("chaincode-sources/fields/{private}/PackageID"),
        format!("chaincode-sources/metadata/{private}"),
        format!("namespaces/metadata/{private}"),
    ];
    fields.into_iter().chain(sources).collect()
}

#[test]
fn private_keys_are_in_the_order_in_which_a_peer_of_fabric_has_them() {
    let dir = conformance::block_files(
        "fabric-network/two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000",
    );
    let data = tempfile::tempdir().unwrap();
    let ledgers = open(data.path());
    let (imported, _) = ledgers
        .import("two", dir.path(), false, &mut |_| {})
        .unwrap();
    let reader = imported.reader();
    let sets: Vec<TxReadWriteSet> = (0..reader.height())
        .flat_map(|number| reader.block(number).unwrap().unwrap().envelopes.clone())
        .filter_map(|envelope| Opened::read(&envelope).ok()?.endorsed_call().ok())
        .filter_map(|call| TxReadWriteSet::decode(call.action.results).ok())
        .collect();
    let lifecycle = |set: &TxReadWriteSet| {
        let namespace = set
            .ns_rwset
            .iter()
            .find(|set| set.namespace == "_lifecycle");
        namespace.cloned()
    };
    // The commits have the names of what was defined.
    let names = sets.iter().filter_map(lifecycle).flat_map(|set| {
        let set = KvRwSet::decode(set.rwset).unwrap_or_default();
        let keys = set.writes.into_iter().map(|write| write.key);
        let names =
            keys.filter_map(|key| Some(key.strip_prefix("namespaces/metadata/")?.to_owned()));
        names.collect::<Vec<_>>()
    });
    let keys =
        names.flat_map(|name| (1..9).flat_map(move |sequence| approval_keys(&name, sequence)));
    let keys: BTreeMap<Bytes, String> = keys
        .map(|key| (sha256([key.as_bytes()]).to_vec().into(), key))
        .collect();
    let mut compared = 0;
    for approval in sets.iter().filter_map(lifecycle) {
        for theirs in &approval.collection_hashed_rwset {
            let hashes = hashed(theirs);
            let written = hashes.hashed_writes.iter();
            let written: Option<Vec<_>> = written.map(|write| keys.get(&write.key_hash)).collect();
            let written = written.unwrap_or_else(|| panic!("a key of no approval: {hashes:?}"));
            if written.len() < 2 {
                continue;
            }
            let documents = Documents::new();
            let mut simulation = simulator(&documents);
            // They go in in another order than they come out.
            for key in written.iter().rev() {
                simulation.put_private("_lifecycle", &theirs.collection_name, key, "value".into());
            }
            for read in &hashes.hashed_reads {
                let collection = &theirs.collection_name;
                let key = &keys[&read.key_hash];
                drop(
                    simulation
                        .private_hash("_lifecycle", collection, key)
                        .unwrap(),
                );
            }
            let results = simulation.into_results().public;
            let ours = hashed(&results.ns_rwset[0].collection_hashed_rwset[0]);
            let order = |set: &HashedRwSet| {
                let writes = set.hashed_writes.iter().map(|write| write.key_hash.clone());
                let reads = set.hashed_reads.iter().map(|read| read.key_hash.clone());
                (reads.collect::<Vec<_>>(), writes.collect::<Vec<_>>())
            };
            assert_eq!(order(&ours), order(&hashes));
            compared += 1;
        }
    }
    assert!(compared > 1, "{compared}");
}
