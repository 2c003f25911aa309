//! Blocks that are not children of the tip are refused, and leave nothing.

use bytes::Bytes;
use quire_ledger::{Block, CommitError, CreateOptions, Ordered};

use crate::kit::{chain, open};

#[test]
fn a_block_whose_hashes_or_number_do_not_fit_the_tip_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    let genesis = chain::genesis("main");
    let mut ledger = ledgers
        .create("main", genesis, CreateOptions::default())
        .unwrap();
    let tip = ledger.tip();
    let sound = chain::block(tip.0, tip.1.to_vec().into(), vec!["envelope".into()]);
    let wrong = [
        Block {
            number: tip.0 + 1,
            ..sound.clone()
        },
        Block {
            previous_hash: Bytes::from_static(&[7; 32]),
            ..sound.clone()
        },
        Block {
            envelopes: vec!["another".into()],
            ..sound.clone()
        },
    ];
    for block in wrong {
        let refused = ledger.commit(vec![Ordered::new(block, "main")]);
        assert!(
            matches!(refused, Err(CommitError::NotLinked { .. })),
            "{refused:?}"
        );
        assert_eq!(ledger.tip(), tip);
    }
    ledger.commit(vec![Ordered::new(sound, "main")]).unwrap();
}
