//! Accepting a loss cuts only what is named and damaged, and throws nothing away.

use std::fs;

use quire_ledger::{Follower, Loss, OpenError, TruncateError};

use super::chain::{CHANNEL, Chain, HEIGHT, contents};
use crate::kit::open;

fn truncate(chain: &Chain, from: u64) -> Result<Loss, TruncateError> {
    open(chain.path()).truncate_tail(CHANNEL, from, &mut |_| {})
}

fn assert_heals(chain: &Chain, height: u64) {
    assert_eq!(chain.reopen().unwrap().0, height);
    assert_eq!(chain.check().findings, []);
    chain.grow(3, "after the loss");
    let report = chain.check();
    assert_eq!((report.findings, report.blocks), (vec![], height + 3));
}

#[test]
fn a_damaged_acknowledged_block_is_lost_by_name_only_and_kept_aside() {
    for damaged in 1..HEIGHT {
        let chain = Chain::new();
        let whole = chain.contents();
        assert!(whole.len() >= 3, "{} block files", whole.len());
        chain.damage(damaged);
        let before = chain.contents();
        // Opening reads only the newest indexed block.
        if damaged == HEIGHT - 1 {
            let refused = chain.reopen().unwrap_err();
            assert!(
                matches!(&refused, OpenError::Corrupt { blocks, .. } if *blocks == (damaged..=damaged)),
                "{refused:?}"
            );
        }
        let refused = truncate(&chain, damaged - 1).unwrap_err();
        assert!(
            matches!(refused, TruncateError::TooEarly { .. }),
            "{refused}"
        );
        let refused = truncate(&chain, damaged + 1).unwrap_err();
        assert!(
            matches!(refused, TruncateError::TooLate { .. }),
            "{refused}"
        );
        assert_eq!(chain.contents(), before, "nothing was changed");

        let (file, place) = chain.place(damaged);
        let loss = truncate(&chain, damaged).unwrap();
        assert_eq!(
            (loss.from_block, loss.last_block),
            (damaged, Some(HEIGHT - 1))
        );
        assert_eq!((&loss.file, loss.offset), (&file, place.start as u64));
        let after: Vec<u64> = (damaged + 1..HEIGHT).collect();
        assert_eq!(loss.sound_blocks, after);
        assert_eq!(loss.followers, Follower::ALL);

        // The remaining and the kept bytes together are the former bytes.
        let mut kept = contents(loss.kept.as_ref().unwrap()).into_iter();
        let mut joined = chain.contents();
        let (cut, bytes) = kept.next().unwrap();
        let last = joined.last_mut().unwrap();
        assert_eq!(cut, format!("{}.from-byte-{}", last.0, place.start));
        last.1.extend(bytes);
        joined.extend(kept);
        assert_eq!(joined, before);
        assert_heals(&chain, damaged);
    }
}

#[test]
fn blocks_that_are_simply_gone_are_lost_by_name_too() {
    for lost in 1..HEIGHT {
        let chain = Chain::new();
        chain.lose_from(lost);
        let refused = chain.reopen().unwrap_err();
        assert!(
            matches!(
                refused,
                OpenError::Ahead { height, savepoint: HEIGHT, .. } if height == lost
            ),
            "{refused:?}"
        );
        assert!(truncate(&chain, lost + 1).is_err());
        let loss = truncate(&chain, lost).unwrap();
        assert_eq!(
            (loss.last_block, loss.bytes, loss.kept),
            (Some(HEIGHT - 1), 0, None)
        );
        assert_heals(&chain, lost);
    }
}

#[test]
fn a_block_file_gone_from_the_middle_takes_those_after_it_along() {
    let chain = Chain::new();
    let files = chain.contents();
    let missing = &files[1];
    fs::remove_file(chain.blockfiles().join(&missing.0)).unwrap();
    assert!(matches!(chain.reopen(), Err(OpenError::Corrupt { .. })));
    let Err(TruncateError::TooEarly { loss, .. }) = truncate(&chain, 0) else {
        panic!("block 0 is sound");
    };
    assert_eq!(loss.later_files.len(), files.len() - 2);
    assert!(!loss.sound_blocks.is_empty());
    let height = loss.from_block;
    let loss = truncate(&chain, height).unwrap();
    assert_eq!(contents(&loss.kept.unwrap()), files[2..]);
    assert_heals(&chain, height);
}

#[test]
fn a_sound_chain_is_not_cut() {
    let chain = Chain::new();
    let before = chain.contents();
    for from in [0, HEIGHT - 1, HEIGHT, HEIGHT + 1] {
        let refused = truncate(&chain, from).unwrap_err();
        assert!(
            matches!(refused, TruncateError::Sound { height: HEIGHT, .. }),
            "{refused}"
        );
    }
    assert_eq!(chain.contents(), before);
    assert_eq!(chain.reopen().unwrap(), (HEIGHT, 0));
}
