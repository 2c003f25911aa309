//! Index, state and history are derived: if one of them is deleted, behind or torn, it is made again; if one
//! is ahead, it is refused by name.

use std::fs;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use quire_ledger::{CommitError, CreateOptions, Follower, Height, OpenError, Progress};

use super::chain::{CHANNEL, Chain, HEIGHT, commit_reading};
use crate::kit::chain::{self, Act};
use crate::kit::{check, copy_dir, open, scratch};

const SUFFIXES: [&str; 3] = ["index", "state", "hist"];

/// Changes a follower without the ledger's knowledge.
fn tamper(chain: &Chain, suffix: &str, change: impl FnOnce(&Keyspace)) {
    let database = Database::builder(chain.path().join("derived"))
        .open()
        .unwrap();
    let name = format!("{CHANNEL}.{suffix}");
    assert!(database.keyspace_exists(&name));
    let keyspace = database
        .keyspace(&name, KeyspaceCreateOptions::default)
        .unwrap();
    change(&keyspace);
    database.persist(PersistMode::SyncAll).unwrap();
}

fn savepoint(height: u8) -> [u8; 2] {
    [1, height]
}

fn clear(keyspace: &Keyspace) {
    let keys: Vec<_> = keyspace.iter().map(|guard| guard.key().unwrap()).collect();
    assert!(keys.len() > 5);
    for key in keys {
        keyspace.remove(key).unwrap();
    }
}

/// Opens with progress shown, which must end at its total.
fn assert_replays(chain: &Chain, height: u64, blocks: u64) {
    let mut shown = Vec::new();
    {
        let ledgers = open(chain.path());
        let mut show = |progress: Progress<'_>| shown.push((progress.done, progress.total));
        let (_, report) = ledgers.ledger(CHANNEL, &mut show).unwrap();
        assert_eq!((report.height, report.replayed), (height, blocks));
    }
    assert_eq!(shown.last(), Some(&(blocks, blocks)));
    assert_eq!(chain.check().findings, []);
}

#[test]
fn one_that_is_deleted_is_made_again() {
    for suffix in SUFFIXES {
        let chain = Chain::new();
        tamper(&chain, suffix, clear);
        assert_replays(&chain, HEIGHT, HEIGHT);
    }
    let chain = Chain::new();
    fs::remove_dir_all(chain.path().join("derived")).unwrap();
    assert_replays(&chain, HEIGHT, HEIGHT);
}

#[test]
fn one_that_is_behind_catches_up_from_where_it_is() {
    for suffix in SUFFIXES {
        let chain = Chain::new();
        let mut old = Vec::new();
        tamper(&chain, suffix, |keyspace| {
            let entries = keyspace.iter().map(|guard| guard.into_inner().unwrap());
            old = entries.collect();
        });
        chain.grow(5, "");
        tamper(&chain, suffix, |keyspace| {
            clear(keyspace);
            for (key, value) in old {
                keyspace.insert(key, value).unwrap();
            }
        });
        let report = chain.check();
        assert_eq!(report.findings, []);
        let note = format!("is at height {HEIGHT} of {}", HEIGHT + 5);
        assert!(report.notes[0].contains(&note), "{report:?}");
        assert_replays(&chain, HEIGHT + 5, 5);
    }
}

#[test]
fn an_index_that_does_not_know_its_newest_block_is_made_again() {
    let chain = Chain::new();
    tamper(&chain, "index", |keyspace| {
        let keys = keyspace.iter().map(|guard| guard.key().unwrap());
        let places: Vec<_> = keys.filter(|key| key[0] == b'n').collect();
        assert_eq!(places.len() as u64, HEIGHT);
        keyspace.remove(places[places.len() - 1].clone()).unwrap();
    });
    assert_replays(&chain, HEIGHT, HEIGHT);
}

#[test]
fn one_that_is_torn_is_noticed_by_check_and_healed_by_rebuild() {
    for (suffix, follower) in SUFFIXES.into_iter().zip(Follower::ALL) {
        let chain = Chain::new();
        // Half of its content is gone, but its savepoint does not show that.
        tamper(&chain, suffix, |keyspace| {
            let keys: Vec<_> = keyspace.iter().map(|guard| guard.key().unwrap()).collect();
            for key in keys.iter().filter(|key| key[0] != b's').step_by(2) {
                keyspace.remove(key.clone()).unwrap();
            }
        });
        let report = chain.check();
        assert!(!report.is_sound());
        let name = follower.name();
        assert!(report.findings[0].expected.starts_with(name), "{report:?}");
        {
            let ledgers = open(chain.path());
            let (_, report) = ledgers.rebuild(CHANNEL, &[*follower], &mut |_| {}).unwrap();
            assert_eq!(report.replayed, HEIGHT);
        }
        assert_eq!(chain.check().findings, []);
    }
}

#[test]
fn an_engine_with_a_damaged_savepoint_is_set_aside_and_made_again() {
    for suffix in SUFFIXES {
        let chain = Chain::new();
        tamper(&chain, suffix, |keyspace| {
            keyspace.insert("s", [9, 9]).unwrap();
        });
        assert_eq!(chain.reopen().unwrap(), (HEIGHT, HEIGHT));
        assert!(chain.path().join("derived.damaged-1").is_dir());
        assert_eq!(chain.check().findings, []);
    }
}

#[test]
fn one_that_is_ahead_is_refused_by_name_and_not_rebuilt_over_a_loss() {
    for (suffix, follower) in SUFFIXES.into_iter().zip(Follower::ALL) {
        let chain = Chain::new();
        tamper(&chain, suffix, |keyspace| {
            keyspace.insert("s", savepoint(15)).unwrap();
        });
        let is_ahead = |refused: OpenError| {
            assert!(
                matches!(
                    refused,
                    OpenError::Ahead { follower: named, savepoint: 15, height: HEIGHT, .. }
                        if named == follower.name()
                ),
                "{refused:?}"
            );
        };
        is_ahead(chain.reopen().unwrap_err());
        let ledgers = open(chain.path());
        is_ahead(
            ledgers
                .rebuild(CHANNEL, Follower::ALL, &mut |_| {})
                .unwrap_err(),
        );
    }
}

#[test]
fn damage_in_the_engines_own_files_is_healed() {
    let chain = Chain::new();
    let mut tried = 0;
    for round in 0..40 {
        let mut files = Vec::new();
        list(&chain.path().join("derived"), &mut files);
        let file = &files[round % files.len()];
        let mut bytes = fs::read(file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let at = round * 977 % bytes.len();
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 0x10;
        }
        fs::write(file, bytes).unwrap();
        tried += 1;
        // It opens immediately, or after the operator has done what the error says: move `derived` away.
        let ok = chain.reopen().is_ok() && chain.check().is_sound();
        if !ok {
            let ledgers = open(chain.path());
            drop(
                ledgers
                    .rebuild(CHANNEL, Follower::ALL, &mut |_| {})
                    .unwrap(),
            );
        }
        assert_eq!(chain.reopen().unwrap().0, HEIGHT);
        assert_eq!(chain.check().findings, [], "round {round}");
    }
    println!("{tried} damaged engine files");
}

fn list(dir: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

#[test]
fn a_damaged_old_block_is_remembered_and_every_other_is_served() {
    let chain = Chain::new();
    chain.damage(3);
    let ledgers = open(chain.path());
    let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    assert_eq!(report.height, HEIGHT);
    let reader = ledger.reader();
    assert_eq!(reader.damage(), []);
    for _ in 0..2 {
        for number in 0..HEIGHT {
            let read = reader.block(number);
            if number == 3 {
                assert!(read.unwrap_err().to_string().contains("block 3"));
            } else {
                assert_eq!(read.unwrap().unwrap().number, number);
            }
        }
    }
    let blocks: Vec<_> = reader.damage().iter().map(|one| one.block).collect();
    assert_eq!(blocks, [Some(3)]);
}

#[test]
fn state_that_cannot_be_read_to_judge_writes_nothing_and_poisons_nothing() {
    let chain = Chain::new();
    let key = b"dorders\0key 1";
    tamper(&chain, "state", |keyspace| {
        assert!(keyspace.contains_key(key).unwrap());
        keyspace.insert(key, b"no stored value").unwrap();
    });
    let before = chain.contents();
    let ledgers = open(chain.path());
    let (mut ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    let refused = commit_reading(&mut ledger, "key 1").unwrap_err();
    assert!(matches!(refused, CommitError::Judge(_)), "{refused}");
    assert!(!ledger.is_poisoned());
    assert_eq!(chain.contents(), before);
    commit_reading(&mut ledger, "key 2").unwrap();
    assert_eq!(ledger.tip().0, HEIGHT + 1);
}

/// Two channels with [`HEIGHT`] blocks in common, and some further blocks of their own.
fn forked(here: u64, there: u64) -> (Chain, Chain) {
    let (chain, other) = (Chain::new(), Chain::new());
    fs::remove_dir_all(other.path()).unwrap();
    copy_dir(chain.path(), other.path());
    chain.grow(here, "here");
    other.grow(there, "there");
    (chain, other)
}

/// Gives a channel a follower of another.
fn graft(chain: &Chain, suffix: &str, other: &Chain) {
    let mut entries = Vec::new();
    tamper(other, suffix, |keyspace| {
        let all = keyspace.iter().map(|guard| guard.into_inner().unwrap());
        entries = all.collect();
    });
    tamper(chain, suffix, |keyspace| {
        clear(keyspace);
        for (key, value) in entries {
            keyspace.insert(key, value).unwrap();
        }
    });
}

#[test]
fn one_that_followed_another_chain_is_made_again() {
    // One case is at the end of the chain, the other after it.
    for (here, there) in [(2, 2), (5, 2)] {
        for suffix in SUFFIXES {
            let (chain, other) = forked(here, there);
            let height = HEIGHT + here;
            graft(&chain, suffix, &other);
            assert_replays(&chain, height, height);
            assert_eq!(chain.reopen().unwrap(), (height, 0), "{suffix}");
        }
    }
}

#[test]
fn a_savepoint_that_names_no_block_is_believed_and_the_next_one_names_its_own() {
    for suffix in SUFFIXES {
        let chain = Chain::new();
        let stored = |chain: &Chain| {
            let mut value = None;
            tamper(chain, suffix, |keyspace| {
                value = keyspace.get("s").unwrap();
            });
            value.unwrap()
        };
        tamper(&chain, suffix, |keyspace| {
            keyspace.insert("s", savepoint(12)).unwrap();
        });
        assert_eq!(chain.check().findings, []);
        assert_eq!(chain.reopen().unwrap(), (HEIGHT, 0));
        chain.grow(1, "");
        let hash = {
            let ledgers = open(chain.path());
            ledgers.ledger(CHANNEL, &mut |_| {}).unwrap().0.tip().1
        };
        assert_eq!(*stored(&chain), [&savepoint(13)[..], &hash[..]].concat());
    }
}

#[test]
fn an_envelope_is_read_with_its_block_where_its_place_is_not_known_or_not_right() {
    let chain = Chain::new();
    let envelopes = || {
        let ledgers = open(chain.path());
        let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        assert_eq!(report.replayed, 0);
        let (mut alone, mut in_blocks) = (Vec::new(), Vec::new());
        for number in 0..HEIGHT {
            for tx in 0.. {
                let height = Height::new(number, tx);
                let Some(envelope) = ledger.reader().envelope(height).unwrap() else {
                    break;
                };
                alone.push(envelope);
            }
        }
        for block in ledger.reader().blocks(0) {
            in_blocks.extend(block.unwrap().envelopes.iter().cloned());
        }
        assert_eq!(ledger.reader().damage(), []);
        assert_eq!(alone, in_blocks);
    };
    envelopes();
    let mut places = Vec::new();
    tamper(&chain, "index", |keyspace| {
        let all = keyspace.iter().map(|guard| guard.into_inner().unwrap());
        places = all.filter(|(key, _)| key[0] == b'e').collect();
    });
    assert_eq!(places.len() as u64, HEIGHT);
    // The places are another block's, one beyond every file with too many bytes, and no place at all.
    let huge = [&[0, 9][..], &[0xff; 8], &[0x7f, 1, 2, 3, 4]].concat();
    for wrong in [
        &places[3].1[..],
        &[0, 0x80, 0x80, 0x40, 5, 1, 2, 3, 4],
        &huge,
        b"?",
    ] {
        tamper(&chain, "index", |keyspace| {
            for (key, _) in &places {
                keyspace.insert(key.clone(), wrong).unwrap();
            }
        });
        envelopes();
        assert!(!chain.check().is_sound(), "{wrong:?}");
    }
    // An earlier version left it like this.
    tamper(&chain, "index", |keyspace| {
        for (key, _) in &places {
            keyspace.remove(key.clone()).unwrap();
        }
    });
    envelopes();
    assert_eq!(chain.check().findings, []);
}

#[test]
fn an_engine_that_was_settled_has_nothing_to_replay_and_all_that_it_had() {
    const LARGE: usize = 6 << 20;
    let dir = scratch();
    let in_memory = || {
        let ledgers = open(dir.path());
        let bytes = ledgers.engine().memtable_bytes;
        (ledgers, bytes)
    };
    {
        let ledgers = open(dir.path());
        let options = CreateOptions::default();
        let mut ledger = ledgers
            .create(CHANNEL, chain::genesis(CHANNEL), options)
            .unwrap();
        let act = Act::new("large").put("k", vec![7; LARGE]);
        chain::commit(&mut ledger, CHANNEL, &[vec![act]]).unwrap();
    }
    // This is as after a kill.
    let (ledgers, bytes) = in_memory();
    assert!(bytes > LARGE as u64, "{bytes}");
    ledgers.settle();
    drop(ledgers);
    let (ledgers, bytes) = in_memory();
    assert!(bytes < 1 << 20, "{bytes}");
    let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    assert_eq!((report.height, report.replayed), (2, 0));
    let value = ledger.reader().snapshot().get(chain::NAMESPACE, "k");
    assert_eq!(value.unwrap().unwrap().value.len(), LARGE);
    drop(ledger);
    assert_eq!(check(&ledgers, CHANNEL).findings, []);
}
