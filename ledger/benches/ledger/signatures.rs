//! Measures blocks that others signed: they are verified on every core, and committed.

use std::path::Path;
use std::time::Instant;

use quire_ledger::{Ordered, Origin, measure};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use crate::chain::{CHANNEL, Chain, Shape};
use crate::commits::{commit_examined, ledger};
use crate::report::Report;

/// Signatures of each transaction: its creator's and one endorser's.
const SIGNATURES: usize = 2;
/// Each figure is the best of this many rounds.
const ROUNDS: usize = 4;

/// Measures verification alone, and with a commit after it. In turn with each, it measures bare verification
/// with one thread per core.
pub(crate) fn run(report: &mut Report, dir: &Path, txs: usize) {
    let shape = Shape {
        block_txs: 500,
        value_bytes: 200,
        reads: false,
    };
    let count = (txs / 5 / shape.block_txs).max(1);
    let txs = (count * shape.block_txs) as f64;
    let (mut bare, mut verified, mut committed) = (0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let (mut chain, genesis) = Chain::signed(&dir.path().join("organization"));
        let (_ledgers, mut ledger) = ledger(&dir.path().join("data"), genesis.clone());
        ledger.judge_signatures(Origin::Quire);
        let first = Ordered::new(chain.first_block(1, shape.value_bytes), CHANNEL);
        commit_examined(&mut ledger, vec![first]);
        let blocks = chain.blocks(shape, count);

        let start = Instant::now();
        verify_bare(count * shape.block_txs * SIGNATURES);
        bare = bare.max(txs / start.elapsed().as_secs_f64());

        let blocks_again = blocks.clone();
        let ordered: Vec<Ordered> = blocks_again
            .into_iter()
            .map(|block| Ordered::new(block, CHANNEL))
            .collect();
        let start = Instant::now();
        assert_eq!(measure::verify(&genesis, &ordered), count * shape.block_txs);
        verified = verified.max(txs / start.elapsed().as_secs_f64());

        let start = Instant::now();
        for blocks in blocks.chunks(4) {
            let blocks = blocks.iter().cloned();
            let batch: Vec<Ordered> = blocks.map(|block| Ordered::new(block, CHANNEL)).collect();
            commit_examined(&mut ledger, batch);
        }
        committed = committed.max(txs / start.elapsed().as_secs_f64());
    }
    let limit = "as many signatures by ring, on all cores";
    report.add("signature limit, 2 a transaction, all cores", "tx/s", bare);
    report.compare(
        "verify, 2 signatures a transaction",
        "tx/s",
        verified,
        (limit, bare),
    );
    let name = "verify and commit, 500 a block, insert 200 B, 4 together";
    report.compare(name, "tx/s", committed, (limit, bare));
}

/// Only verifies this number of signatures, shared among the cores.
fn verify_bare(signatures: usize) {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random);
    let key = key.unwrap();
    let message = [7; 1_000];
    let signature = key.sign(&random, &message).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                for _ in 0..signatures / cores {
                    public.verify(&message, signature.as_ref()).unwrap();
                }
            });
        }
    });
}
