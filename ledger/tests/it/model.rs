//! Compares the ledger with a model: a list of blocks, a map of keys, and a list of writes for each key.
//!
//! This guards against anything that only a sequence shows: followers that lag behind one another, state that
//! depends on the time of its replay, outcomes that a restart changes. A failing case is written to
//! `model.regressions`, and every later run tries it first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use prost::Message as _;
use quire_ledger::{
    CommitError, Committed, CreateOptions, Height, Ledger, Ledgers, Order, RangeEnd, ReadError,
    Simulator, Snapshot,
};
use quire_wire::Code;
use quire_wire::rwset::TxReadWriteSet;
use tempfile::TempDir;

use crate::kit::chain::{self, Act, NAMESPACE};
use crate::kit::{check, copy_dir, open, scratch};

const CHANNEL: &str = "main";

/// What a transaction reads, relative to what is committed when its batch begins.
#[derive(Clone, Debug)]
enum Reads {
    Nothing,
    Committed(u8),
    Wrong(u8),
    Range(u8, u8, usize),
}

#[derive(Clone, Debug)]
enum Write {
    Put(u8, u8),
    Delete(u8),
    Metadata(u8, u8),
}

#[derive(Clone, Debug)]
struct Tx {
    reads: Reads,
    writes: Vec<Write>,
    /// Takes the id of the transaction this many places before it.
    repeats: Option<usize>,
}

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<Vec<Tx>>),
    /// Each block is a batch, which begins while the one before is on its way to the disk.
    OneByOne(Vec<Vec<Tx>>),
    /// The process dies while it writes a batch. The last block file has a part of what the batch added, in
    /// 256ths, and the engine's files are as they were a number of operations ago.
    Crash(Vec<Vec<Tx>>, u8, usize),
    Reopen,
    /// The engine's files are as they were this many operations ago; `usize::MAX` removes them.
    Lag(usize),
    /// One follower alone is begun again.
    Forget(usize),
    /// The block files are imported as another channel, which must be the same.
    Import,
}

fn tx() -> impl Strategy<Value = Tx> {
    let reads = prop_oneof![
        3 => Just(Reads::Nothing),
        2 => (0..6_u8).prop_map(Reads::Committed),
        1 => (0..6_u8).prop_map(Reads::Wrong),
        1 => (0..6_u8, 0..7_u8, 1..4_usize).prop_map(|(from, to, limit)| Reads::Range(from, to, limit)),
    ];
    let write = prop_oneof![
        3 => (0..6_u8, any::<u8>()).prop_map(|(key, value)| Write::Put(key, value)),
        1 => (0..6_u8).prop_map(Write::Delete),
        2 => (0..6_u8, any::<u8>()).prop_map(|(key, value)| Write::Metadata(key, value)),
    ];
    let repeats = prop_oneof![6 => Just(None), 1 => (1..4_usize).prop_map(Some)];
    (reads, prop::collection::vec(write, 0..4), repeats).prop_map(|(reads, writes, repeats)| Tx {
        reads,
        writes,
        repeats,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let batch = || prop::collection::vec(prop::collection::vec(tx(), 1..4), 1..4);
    prop_oneof![
        4 => batch().prop_map(Op::Commit),
        4 => batch().prop_map(Op::OneByOne),
        2 => (batch(), any::<u8>(), 0..4_usize).prop_map(|(batch, kept, by)| Op::Crash(batch, kept, by)),
        1 => Just(Op::Reopen),
        2 => prop_oneof![0..4_usize, Just(usize::MAX)].prop_map(Op::Lag),
        2 => (0..3_usize).prop_map(Op::Forget),
        1 => Just(Op::Import),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Stored {
    value: Vec<u8>,
    metadata: Option<u8>,
    version: Height,
}

/// Start and end of a range, and what was seen in it.
type Range = (String, String, Vec<(String, Height)>);

/// What a transaction asks of a key: the new value, where an inner `None` deletes, and the new metadata.
type Wish = (Option<Option<Vec<u8>>>, Option<u8>);

#[derive(Clone, Default)]
struct Model {
    hashes: Vec<[u8; 32]>,
    state: BTreeMap<String, Stored>,
    history: BTreeMap<String, Vec<Height>>,
    outcomes: BTreeMap<String, (Height, Code)>,
    nonces: Vec<String>,
    /// Keys that the current block has touched, even by deleting nothing: by Fabric's rule none of them may
    /// be read any more.
    touched: BTreeSet<String>,
}

impl Model {
    fn judge(&mut self, at: Height, act: &Act, ranges: &[Range]) -> Code {
        let id = act.tx_id();
        if self.outcomes.contains_key(&id) {
            return Code::DUPLICATE_TXID;
        }
        let stale = act.set.reads.iter().any(|read| {
            let now = self.state.get(&read.key).map(|value| value.version);
            self.touched.contains(&read.key) || now != read.version.map(Into::into)
        });
        let phantom = ranges.iter().any(|(from, to, seen)| {
            let now = self.state.range(from.clone()..);
            let now = now.take_while(|(key, _)| to.is_empty() || *key < to);
            let now: Vec<_> = now
                .map(|(key, value)| (key.clone(), value.version))
                .collect();
            now != *seen
        });
        let code = match (stale, phantom) {
            (true, _) => Code::MVCC_READ_CONFLICT,
            (_, true) => Code::PHANTOM_READ_CONFLICT,
            _ => Code::VALID,
        };
        self.outcomes.insert(id, (at, code));
        code
    }

    fn apply(&mut self, at: Height, act: &Act) {
        let before = self.state.clone();
        let deletes = act.set.writes.iter().filter(|write| write.is_delete);
        let deletes: BTreeSet<&str> = deletes.map(|write| write.key.as_str()).collect();
        for write in &act.set.writes {
            self.history.entry(write.key.clone()).or_default().push(at);
        }
        let mut wishes: BTreeMap<&str, Wish> = BTreeMap::new();
        for write in &act.set.writes {
            let value = (!write.is_delete).then(|| write.value.to_vec());
            wishes.insert(&write.key, (Some(value), None));
        }
        for write in &act.set.metadata_writes {
            wishes.entry(&write.key).or_default().1 = Some(write.entries[0].value[0]);
        }
        for (key, (value, metadata)) in wishes {
            let old = before.get(key);
            let value = value.unwrap_or_else(|| old.map(|old| old.value.clone()));
            let metadata = metadata.or(old.and_then(|old| old.metadata));
            if value.is_some() || old.is_some() || deletes.contains(key) {
                self.touched.insert(key.to_owned());
            }
            match value {
                None => self.state.remove(key),
                Some(value) => self.state.insert(
                    key.to_owned(),
                    Stored {
                        value,
                        metadata,
                        version: at,
                    },
                ),
            };
        }
    }
}

/// A way of committing blocks.
type Commit = fn(&mut Ledger, &str, &[Vec<Act>]) -> Result<Vec<Committed>, CommitError>;

struct Bench {
    root: TempDir,
    ledgers: Option<Ledgers>,
    ledger: Option<Ledger>,
    expected: Model,
    /// The model before each block of the newest batch, and after it.
    steps: Vec<Model>,
    copies: Vec<PathBuf>,
    imports: usize,
}

impl Bench {
    fn new() -> Self {
        let root = scratch();
        let ledgers = open(&root.path().join("data"));
        let genesis = chain::genesis(CHANNEL);
        let hash = genesis.hash();
        let options = CreateOptions {
            segment_bytes: 3000,
        };
        let ledger = ledgers.create(CHANNEL, genesis, options).unwrap();
        let mut model = Model::default();
        let nonce = format!("genesis of {CHANNEL}");
        let id = Act::new(nonce.clone()).tx_id();
        model.outcomes.insert(id, (Height::new(0, 0), Code::VALID));
        model.nonces.push(nonce);
        model.hashes.push(hash);
        Self {
            root,
            ledgers: Some(ledgers),
            ledger: Some(ledger),
            expected: model,
            steps: vec![],
            copies: vec![],
            imports: 0,
        }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn stop(&mut self) {
        self.ledger = None;
        self.ledgers = None;
    }

    fn start(&mut self) {
        let ledgers = open(&self.data());
        let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        assert_eq!(report.height, self.expected.hashes.len() as u64);
        assert_eq!(report.cut, None);
        self.ledger = Some(ledger);
        self.ledgers = Some(ledgers);
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Commit(blocks) => self.commit(blocks, chain::commit),
            Op::OneByOne(blocks) => self.commit(blocks, chain::commit_one_by_one),
            Op::Reopen => {
                self.stop();
                self.start();
            }
            Op::Lag(by) => {
                self.stop();
                self.put_older_engine(*by);
                self.start();
            }
            Op::Crash(blocks, kept, by) => self.crash(blocks, *kept, *by),
            Op::Forget(follower) => {
                self.stop();
                let database = fjall::Database::builder(self.data().join("derived"))
                    .open()
                    .unwrap();
                let name = format!("{CHANNEL}.{}", ["index", "state", "hist"][*follower]);
                let keyspace = database.keyspace(&name, Default::default).unwrap();
                database.delete_keyspace(keyspace).unwrap();
                drop(database);
                self.start();
            }
            Op::Import => self.import(),
        }
        self.compare(self.ledger.as_ref().unwrap());
        let copy = self.root.path().join(format!("copy-{}", self.copies.len()));
        copy_dir(&self.data().join("derived"), &copy);
        self.copies.push(copy);
    }

    fn put_older_engine(&self, by: usize) {
        let derived = self.data().join("derived");
        fs::remove_dir_all(&derived).unwrap();
        let older = self.copies.len().checked_sub(by.saturating_add(1));
        if let Some(copy) = older.and_then(|at| self.copies.get(at)) {
            copy_dir(copy, &derived);
        }
    }

    fn crash(&mut self, blocks: &[Vec<Tx>], kept: u8, by: usize) {
        let dir = self.data().join("channels").join(CHANNEL);
        let before = block_files(&dir);
        let height = self.expected.hashes.len();
        self.commit(blocks, chain::commit);
        let hashes = std::mem::take(&mut self.expected.hashes);
        self.stop();
        // A file before another one had been synced.
        let (last, len) = block_files(&dir).into_iter().next_back().unwrap();
        let durable = before.get(&last).copied().unwrap_or_default();
        let left = durable + (len - durable) * u64::from(kept) / 256;
        let file = fs::File::options().write(true).open(last).unwrap();
        file.set_len(left).unwrap();
        self.put_older_engine(by);

        let ledgers = open(&self.data());
        let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        let whole = usize::try_from(report.height).unwrap();
        assert!((height..hashes.len()).contains(&whole), "{whole}");
        self.expected = self.steps[whole - height].clone();
        self.expected.hashes = hashes[..whole].to_vec();
        (self.ledger, self.ledgers) = (Some(ledger), Some(ledgers));
    }

    fn import(&mut self) {
        self.imports += 1;
        let name = format!("import{}", self.imports);
        let from = self.data().join("channels").join(CHANNEL);
        let ledgers = self.ledgers.as_ref().unwrap();
        let (ledger, report) = ledgers.import(&name, &from, false, &mut |_| {}).unwrap();
        assert!(report.is_sound());
        self.compare(&ledger);
    }

    /// Transactions see what is committed when the batch begins.
    fn commit(&mut self, blocks: &[Vec<Tx>], commit: Commit) {
        let ledger = self.ledger.as_mut().unwrap();
        let snapshot = ledger.reader().snapshot();
        let height = ledger.tip().0;
        let (mut acts, mut expected) = (Vec::new(), Vec::new());
        self.steps.clear();
        for (number, block) in (height..).zip(blocks) {
            let mut in_block = Vec::new();
            self.steps.push(self.expected.clone());
            self.expected.touched.clear();
            for (tx, wish) in block.iter().enumerate() {
                let at = Height::new(number, tx as u64);
                let fresh = format!("{at}");
                let nonces = &self.expected.nonces;
                let repeated = wish.repeats.and_then(|back| nonces.len().checked_sub(back));
                let nonce = repeated.map_or(fresh, |at| nonces[at].clone());
                self.expected.nonces.push(nonce.clone());
                let (act, ranges) = wish.act(nonce, &snapshot);
                let code = self.expected.judge(at, &act, &ranges);
                if code.is_valid() {
                    self.expected.apply(at, &act);
                }
                expected.push(code);
                in_block.push(act);
            }
            acts.push(in_block);
        }
        let committed = commit(ledger, CHANNEL, &acts).unwrap();
        let codes = committed.iter().flat_map(|block| &block.transactions);
        assert_eq!(codes.map(|(_, code)| *code).collect::<Vec<_>>(), expected);
        self.expected
            .hashes
            .extend(committed.iter().map(|block| block.hash));
    }

    fn compare(&self, ledger: &Ledger) {
        let (reader, model) = (ledger.reader(), &self.expected);
        assert_eq!(reader.height(), model.hashes.len() as u64);
        for (block, hash) in reader.blocks(0).zip(&model.hashes) {
            assert_eq!(block.unwrap().hash(), *hash);
        }
        for (id, (at, code)) in &model.outcomes {
            let found = reader.transaction(id).unwrap().unwrap();
            assert_eq!((found.height, found.code), (*at, *code));
        }
        let snapshot = reader.snapshot();
        let rows = snapshot
            .range(NAMESPACE, "", RangeEnd::Unbounded, usize::MAX)
            .unwrap();
        let rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|(key, value)| {
                let metadata = value.metadata.last().copied();
                let value = Stored {
                    value: value.value.to_vec(),
                    metadata,
                    version: value.version,
                };
                (key, value)
            })
            .collect();
        assert_eq!(rows, model.state);
        for (key, heights) in &model.history {
            let all = |order| {
                snapshot
                    .history(NAMESPACE, key, order, None, usize::MAX)
                    .unwrap()
            };
            assert_eq!(all(Order::OldestFirst), *heights);
            assert!(all(Order::NewestFirst).iter().eq(heights.iter().rev()));
        }
        let checked = check(self.ledgers.as_ref().unwrap(), CHANNEL);
        assert_eq!((checked.findings, checked.notes), (vec![], vec![]));
    }
}

/// The block files in order, and their lengths.
fn block_files(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("blockfile_")
    });
    files
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect()
}

fn key(key: u8) -> String {
    format!("k{key}")
}

impl Tx {
    fn act(&self, nonce: String, snapshot: &Snapshot) -> (Act, Vec<Range>) {
        let mut act = Act::new(nonce);
        let mut ranges = Vec::new();
        let version = |key: &str| -> Result<_, ReadError> {
            Ok(snapshot.get(NAMESPACE, key)?.map(|value| value.version))
        };
        match self.reads {
            Reads::Nothing => {}
            Reads::Committed(k) => {
                let version = version(&key(k)).unwrap();
                act = act.read(&key(k), version);
            }
            Reads::Wrong(k) => act = act.read(&key(k), Some(Height::new(999, 0))),
            Reads::Range(from, to, limit) => {
                let (from, to) = (key(from), key(to));
                let mut simulator = Simulator::new(snapshot.clone());
                let rows = simulator.range(NAMESPACE, &from, &to, limit).unwrap();
                let set: TxReadWriteSet = simulator.into_read_write_set();
                let set =
                    quire_wire::rwset::KvRwSet::decode(set.ns_rwset[0].rwset.clone()).unwrap();
                act.set.range_queries_info = set.range_queries_info;
                let seen: Vec<_> = rows
                    .iter()
                    .map(|(key, value)| (key.clone(), value.version))
                    .collect();
                // If the limit ended the reading, the range goes up to and including the last row seen.
                let end = match rows.last() {
                    Some((last, _)) if rows.len() >= limit => format!("{last}\0"),
                    _ => to.max(from.clone()),
                };
                ranges.push((from, end, seen));
            }
        }
        for write in &self.writes {
            // A read-write set writes a key once.
            let is_new = |name: &str| !act.set.writes.iter().any(|write| write.key == name);
            let is_new_metadata = |name: &str| {
                !act.set
                    .metadata_writes
                    .iter()
                    .any(|write| write.key == name)
            };
            act = match write {
                Write::Put(k, value) if is_new(&key(*k)) => act.put(&key(*k), vec![*value; 30]),
                Write::Delete(k) if is_new(&key(*k)) => act.delete(&key(*k)),
                Write::Metadata(k, value) if is_new_metadata(&key(*k)) => {
                    act.metadata(&key(*k), vec![*value])
                }
                _ => act,
            };
        }
        (act, ranges)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("QUIRE_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150),
        failure_persistence: Some(Box::new(
            proptest::test_runner::FileFailurePersistence::Direct("tests/it/model.regressions"),
        )),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_ledger_is_its_model_through_restarts_and_lagging_followers(
        ops in prop::collection::vec(op(), 1..14),
    ) {
        let mut bench = Bench::new();
        for op in &ops {
            bench.run(op);
        }
    }
}
