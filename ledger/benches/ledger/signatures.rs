//! Measures blocks that others signed: they are verified on every core, and committed.

use std::path::Path;
use std::time::Instant;

use quire_ledger::{Block, Ordered, Origin, measure};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use crate::chain::{CHANNEL, Chain, Shape};
use crate::commits::{commit_examined, ledger};
use crate::report::Report;

/// Each figure is the best of this many rounds.
const ROUNDS: usize = 4;

/// Who endorses what is measured.
#[derive(Clone, Copy)]
struct Case {
    organizations: usize,
    /// How many of these must endorse, and do.
    endorsers: usize,
}

impl Case {
    /// Those of each transaction: its creator's, and the endorsers'.
    fn signatures(self) -> usize {
        1 + self.endorsers
    }
}

/// One organisation, and five of which three must endorse.
const CASES: [Case; 2] = [
    Case {
        organizations: 1,
        endorsers: 1,
    },
    Case {
        organizations: 5,
        endorsers: 3,
    },
];

/// Transactions a second, each the best of the rounds.
#[derive(Default)]
struct Best {
    bare: f64,
    verified: f64,
    judged: f64,
    committed: f64,
}

/// Verification alone, verdicts, and both with a commit after it, each beside bare verification on as many
/// threads as there are cores, in turn.
pub(crate) fn run(report: &mut Report, dir: &Path, txs: usize) {
    for case in CASES {
        let mut best = Best::default();
        for _ in 0..ROUNDS {
            round(case, dir, txs, &mut best);
        }
        tell(report, case, &best);
    }
}

fn round(case: Case, dir: &Path, txs: usize, best: &mut Best) {
    let shape = Shape {
        block_txs: 500,
        value_bytes: 200,
        reads: false,
    };
    let count = (txs / 5 / shape.block_txs).max(1);
    let txs = (count * shape.block_txs) as f64;
    let dir = tempfile::tempdir_in(dir).unwrap();
    let organizations = dir.path().join("organizations");
    let (mut chain, genesis) = Chain::signed(&organizations, case.organizations, case.endorsers);
    let (_ledgers, mut ledger) = ledger(&dir.path().join("data"), genesis.clone());
    ledger.judge_signatures(Origin::Quire);
    let first = Ordered::new(chain.first_block(1, shape.value_bytes), CHANNEL);
    commit_examined(&mut ledger, vec![first]);
    let blocks = chain.blocks(shape, count);
    let ordered = |blocks: &[Block]| -> Vec<Ordered> {
        let blocks = blocks.iter().cloned();
        blocks.map(|block| Ordered::new(block, CHANNEL)).collect()
    };

    let start = Instant::now();
    verify_bare(count * shape.block_txs * case.signatures());
    best.bare = best.bare.max(txs / start.elapsed().as_secs_f64());

    let examined = ordered(&blocks);
    let start = Instant::now();
    assert_eq!(
        measure::verify(&genesis, &examined),
        count * shape.block_txs
    );
    best.verified = best.verified.max(txs / start.elapsed().as_secs_f64());

    let start = Instant::now();
    let valid = measure::judge(&mut ledger, examined).unwrap();
    assert_eq!(valid, count * shape.block_txs);
    best.judged = best.judged.max(txs / start.elapsed().as_secs_f64());

    let start = Instant::now();
    for blocks in blocks.chunks(4) {
        commit_examined(&mut ledger, ordered(blocks));
    }
    best.committed = best.committed.max(txs / start.elapsed().as_secs_f64());
}

fn tell(report: &mut Report, case: Case, best: &Best) {
    let limit = "as many signatures by ring, on all cores";
    let signatures = case.signatures();
    let name = format!("signature limit, {signatures} a transaction, all cores");
    report.add(&name, "tx/s", best.bare);
    let who = match case.organizations {
        1 => String::new(),
        many => format!(", OutOf({}) of {many} organisations", case.endorsers),
    };
    let name = format!("verify, {signatures} signatures a transaction{who}");
    report.compare(&name, "tx/s", best.verified, (limit, best.bare));
    let name = format!("verdicts, {signatures} signatures a transaction{who}");
    report.compare(&name, "tx/s", best.judged, (limit, best.bare));
    let name = format!("verify and commit, 500 a block, insert 200 B, 4 together{who}");
    report.compare(&name, "tx/s", best.committed, (limit, best.bare));
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
