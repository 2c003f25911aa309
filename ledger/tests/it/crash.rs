//! The crash law: *after reopening, height is the last acknowledged height or that plus some of the
//! batch in flight, and `check` is clean.*
//!
//! These tests guard against every way of trusting what no sync covered, or losing what a sync covered. One
//! workload runs once on a simulated disk that keeps an image before every change and in the middle of every
//! write; then each image goes through every kind of crash, and is opened, judged, and written to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quire_ledger::{Committed, CreateOptions, Height, Ledger, Ledgers, OpenError, Purpose};
use quire_wire::Code;
use quire_wire::hash::Hash;
use tempfile::TempDir;

use crate::kit::chain::{self, Act};
use crate::kit::image::{Image, Loss};
use crate::kit::sim_disk::{Fault, Moment, Plan, SimDisk};
use crate::kit::{check, copy_dir, scratch};

const OPTIONS: CreateOptions = CreateOptions {
    segment_bytes: 2000,
};
const CHANNELS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What was promised about a channel.
#[derive(Clone, Debug, Default)]
struct Promise {
    /// Hashes of blocks, including those of the batch in flight.
    blocks: Vec<Hash>,
    /// How many of them were acknowledged.
    acknowledged: u64,
    /// The outcome that each acknowledged transaction was told.
    outcomes: BTreeMap<String, (Height, Code)>,
}

type Promises = BTreeMap<&'static str, Promise>;

/// A run of the workload, and its promises over time.
struct Run {
    _root: TempDir,
    data: PathBuf,
    disk: SimDisk,
    promises: Promises,
    /// The moment from which promises are in force, the promises, and the current copy of the engine's files.
    epochs: Vec<(usize, Promises, PathBuf)>,
    copies: TempDir,
}

impl Run {
    fn new() -> Self {
        let root = scratch();
        // The engine and the lock live in the real directory of the same name.
        let data = root.path().join("data");
        fs::create_dir_all(&data).unwrap();
        Self {
            disk: SimDisk::new(root.path()),
            data,
            _root: root,
            promises: Promises::new(),
            epochs: Vec::new(),
            copies: scratch(),
        }
    }

    /// These promises are in force from here on.
    fn epoch(&mut self) {
        let copy = self.copies.path().join(self.epochs.len().to_string());
        let derived = self.data.join("derived");
        if derived.exists() {
            copy_dir(&derived, &copy);
        }
        let from = self.disk.moments();
        self.epochs.push((from, self.promises.clone(), copy));
    }

    fn open(&self) -> Ledgers {
        Ledgers::open(self.disk.shared(), &self.data, Purpose::Use).unwrap()
    }

    fn create(&mut self, ledgers: &Ledgers, name: &'static str) -> Ledger {
        let genesis = chain::genesis(name);
        let promise = self.promises.entry(name).or_default();
        promise.blocks.push(genesis.hash());
        self.epoch();
        let ledger = ledgers.create(name, genesis, OPTIONS).unwrap();
        let id = Act::new(format!("genesis of {name}")).tx_id();
        let promise = self.promises.get_mut(name).unwrap();
        promise.acknowledged = 1;
        promise
            .outcomes
            .insert(id, (Height::new(0, 0), Code::VALID));
        self.epoch();
        ledger
    }

    fn commit(&mut self, ledger: &mut Ledger, name: &'static str, blocks: &[Vec<Act>]) {
        let batch = chain::children(name, ledger.tip(), blocks);
        let promise = self.promises.get_mut(name).unwrap();
        promise
            .blocks
            .extend(batch.iter().map(|ordered| ordered.block().hash()));
        self.epoch();
        let committed = ledger.commit(batch).unwrap();
        self.acknowledge(name, committed);
    }

    /// The same, with each block as a batch that begins while the block before is on its way to the disk.
    fn commit_one_by_one(&mut self, ledger: &mut Ledger, name: &'static str, blocks: &[Vec<Act>]) {
        for block in chain::children(name, ledger.tip(), blocks) {
            let promise = self.promises.get_mut(name).unwrap();
            promise.blocks.push(block.block().hash());
            // All that the appending thread has done by now was for earlier blocks.
            self.epoch();
            let committed = ledger.begin(vec![block]).unwrap();
            self.acknowledge(name, committed);
        }
        let committed = ledger.finish().unwrap();
        self.acknowledge(name, committed);
    }

    fn acknowledge(&mut self, name: &'static str, committed: Vec<Committed>) {
        let promise = self.promises.get_mut(name).unwrap();
        for committed in committed {
            let number = committed.block.number;
            for (tx, (id, code)) in committed.transactions.into_iter().enumerate() {
                let outcome = (Height::new(number, tx as u64), code);
                promise.outcomes.entry(id.unwrap()).or_insert(outcome);
            }
            promise.acknowledged = number + 1;
        }
        self.epoch();
    }
}

/// It has rollovers, batches of several blocks, a block larger than a segment, duplicates, several channels,
/// a restart, and a creation that fails.
fn workload() -> Run {
    let mut run = Run::new();
    run.disk.record();
    run.epoch();
    let ledgers = run.open();
    let mut alpha = run.create(&ledgers, "alpha");
    let act =
        |n: usize| Act::new(format!("tx {n}")).put(&format!("k{}", n % 5), vec![7; 40 * n % 300]);
    run.commit(&mut alpha, "alpha", &[vec![act(1), act(2)]]);
    run.commit(
        &mut alpha,
        "alpha",
        &[
            vec![act(3)],
            vec![act(1), act(4)],
            vec![act(5).delete("k1")],
        ],
    );
    let mut beta = run.create(&ledgers, "beta");
    run.commit(&mut beta, "beta", &[vec![act(1)], vec![act(2)]]);
    let large = Act::new("large").put("k", vec![9; 3000]);
    run.commit(
        &mut alpha,
        "alpha",
        &[vec![act(6)], vec![large], vec![act(7)]],
    );
    drop((alpha, beta, ledgers));

    let ledgers = run.open();
    let mut alpha = ledgers.ledger("alpha", &mut |_| {}).unwrap().0;
    let mut beta = ledgers.ledger("beta", &mut |_| {}).unwrap().0;
    let no_genesis = chain::block(1, [1; 32].to_vec().into(), vec!["x".into()]);
    assert!(ledgers.create("gamma", no_genesis, OPTIONS).is_err());
    let mut gamma = run.create(&ledgers, "gamma");
    for round in 0..4 {
        let n = 10 + 10 * round;
        let batch: Vec<_> = (0..=round)
            .map(|i| vec![act(n + i), act(n + i - 9)])
            .collect();
        run.commit(&mut alpha, "alpha", &batch);
        run.commit(&mut gamma, "gamma", &[vec![act(n)]]);
    }
    let ahead: Vec<_> = (60..66).map(|n| vec![act(n), act(n - 1)]).collect();
    run.commit_one_by_one(&mut gamma, "gamma", &ahead);
    run.commit(
        &mut beta,
        "beta",
        &[
            vec![act(3), act(1)],
            vec![act(4)],
            vec![act(5)],
            vec![act(6)],
        ],
    );
    run
}

/// A machine that starts again with these files.
struct Restart {
    data: PathBuf,
    disk: SimDisk,
}

impl Restart {
    fn new(run: &Run, image: Image, derived: Option<&Path>) -> Self {
        // The image's paths are those of the run.
        let data = run.data.clone();
        if data.join("derived").exists() {
            fs::remove_dir_all(data.join("derived")).unwrap();
        }
        if let Some(derived) = derived.filter(|derived| derived.exists()) {
            copy_dir(derived, &data.join("derived"));
        }
        let root = run.data.parent().unwrap();
        let disk = SimDisk::of(root, image);
        Self { data, disk }
    }

    fn ledgers(&self) -> Result<Ledgers, OpenError> {
        Ledgers::open(self.disk.shared(), &self.data, Purpose::Use)
    }
}

/// Judges everything that was promised, and returns the heights of the channels.
fn judge(ledgers: &Ledgers, promises: &Promises, writes_on: bool) -> BTreeMap<&'static str, u64> {
    let mut heights = BTreeMap::new();
    let names: Vec<String> = ledgers
        .list()
        .unwrap()
        .into_iter()
        .map(|record| record.name)
        .collect();
    for name in CHANNELS {
        let promise = promises.get(name).cloned().unwrap_or_default();
        if !names.iter().any(|found| found == name) {
            assert_eq!(promise.acknowledged, 0, "{name} is gone");
            assert!(!ledgers.channel_dir(name).exists());
            continue;
        }
        let (mut ledger, report) = ledgers.ledger(name, &mut |_| {}).unwrap();
        let height = report.height;
        assert!(
            (promise.acknowledged..=promise.blocks.len() as u64).contains(&height) && height > 0,
            "{name} has height {height}, acknowledged were {}",
            promise.acknowledged
        );
        let reader = ledger.reader();
        for (number, hash) in (0..height).zip(&promise.blocks) {
            assert_eq!(reader.block(number).unwrap().unwrap().hash(), *hash);
        }
        for (id, (at, code)) in &promise.outcomes {
            let found = reader
                .transaction(id)
                .unwrap()
                .expect("an acknowledged transaction");
            assert_eq!((found.height, found.code), (*at, *code), "{name}: {id}");
        }
        if writes_on {
            let batch = vec![
                vec![Act::new("after").put("after", "1")],
                vec![Act::new("it")],
            ];
            let committed = chain::commit(&mut ledger, name, &batch).unwrap();
            assert_eq!(committed.len(), 2);
        }
        drop(ledger);
        let report = check(ledgers, name);
        assert_eq!((report.findings, report.notes), (vec![], vec![]), "{name}");
        heights.insert(name, height);
    }
    heights
}

fn outcomes(moment: &Moment, seed: u64) -> Vec<(&'static str, Image, bool)> {
    let image = &moment.image;
    let lost = |loss| image.clone().after_power_loss(loss);
    vec![
        ("process death", image.clone(), true),
        (
            "process death, pages clean",
            image.clone().with_clean_pages(),
            true,
        ),
        ("power loss, nothing unsynced left", lost(Loss::None), true),
        ("power loss, everything left", lost(Loss::All), false),
        ("power loss, lengths only", lost(Loss::LengthsOnly), false),
        ("power loss, torn", lost(Loss::Torn(seed)), true),
        (
            "power loss, torn otherwise",
            lost(Loss::Torn(seed ^ 0xabcd)),
            false,
        ),
    ]
}

#[test]
fn after_every_crash_the_ledger_is_honest() {
    let run = workload();
    let moments = run.disk.take_moments();
    let (mut tried, mut again) = (0, 0);
    for (at, moment) in moments.iter().enumerate() {
        let epoch = run
            .epochs
            .iter()
            .rposition(|(from, ..)| *from <= at)
            .unwrap();
        let (_, promises, current) = &run.epochs[epoch];
        let older = &run.epochs[epoch.saturating_sub(1 + at % 7)].2;
        for (way, (what, image, keeps_engine)) in
            outcomes(moment, at as u64).into_iter().enumerate()
        {
            let derived = match (keeps_engine, at % 3) {
                (true, _) => Some(current),
                (false, 0) => None,
                (false, _) => Some(older),
            };
            let context = format!("{what}, moment {at}: before {}", moment.what);
            let restart = Restart::new(&run, image, derived.map(PathBuf::as_path));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let writes_on = (at + way) % 4 == 0;
                let ledgers = restart.ledgers().unwrap();
                let heights = judge(&ledgers, promises, writes_on);
                drop(ledgers);
                // The second start must show what the first start showed, even if the power fails between.
                let wrote = if writes_on { 2 } else { 0 };
                let image = restart.disk.image().after_power_loss(Loss::None);
                let second = Restart::new(&run, image, derived.map(PathBuf::as_path));
                for (name, height) in heights {
                    let ledgers = second.ledgers().unwrap();
                    let (_, report) = ledgers.ledger(name, &mut |_| {}).unwrap();
                    assert_eq!(
                        report.height,
                        height + wrote,
                        "{name} forgot what it showed"
                    );
                }
            }));
            if let Err(panic) = result {
                eprintln!("{context}");
                std::panic::resume_unwind(panic);
            }
            tried += 2;
        }
        again += crash_while_recovering(&run, moment, at, promises, current);
    }
    println!(
        "{} moments of {} channels, {tried} crash points judged, {again} more while recovering",
        moments.len(),
        CHANNELS.len()
    );
    assert!(tried + again > 2000);
}

/// Dies at one of the operations of a recovery, then loses power, then recovers.
fn crash_while_recovering(
    run: &Run,
    moment: &Moment,
    at: usize,
    promises: &Promises,
    derived: &Path,
) -> usize {
    let start = |image: Image| Restart::new(run, image, Some(derived));
    let recover = |restart: &Restart| {
        let Ok(ledgers) = restart.ledgers() else {
            return;
        };
        for name in CHANNELS {
            drop(ledgers.ledger(name, &mut |_| {}));
        }
    };
    let whole = start(moment.image.clone());
    whole.disk.plan(Plan::default());
    recover(&whole);
    let steps = whole.disk.changes();
    let mut tried = 0;
    for step in (0..steps).skip(at % 4).step_by(4) {
        let dies = start(moment.image.clone());
        dies.disk.plan(Plan {
            change: Some((step, Fault::Death)),
            read: None,
        });
        recover(&dies);
        let loss = [Loss::None, Loss::All, Loss::Torn(step as u64)][(at + step) % 3];
        let back = start(dies.disk.image().after_power_loss(loss));
        let ledgers = back.ledgers().unwrap();
        judge(&ledgers, promises, false);
        tried += 1;
    }
    tried
}
