//! Commands that die at any of their steps, with power loss and without: if they run again, they finish.
//!
//! These tests guard against a half-done command that no command can finish, or that loses what it should
//! keep.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quire_disk::Disk;
use quire_ledger::{CreateOptions, Ledgers, Purpose, TruncateError};
use tempfile::TempDir;

use crate::kit::chain::{self, Act};
use crate::kit::image::{Image, Loss};
use crate::kit::sim_disk::{Fault, Plan, SimDisk};
use crate::kit::{check, copy_dir, scratch};

const CHANNEL: &str = "main";
const HEIGHT: u64 = 9;
const OPTIONS: CreateOptions = CreateOptions {
    segment_bytes: 1000,
};

/// A machine with a channel of several block files, and a copy of them beside the data.
struct Machine {
    root: TempDir,
    engine: TempDir,
    image: Image,
}

impl Machine {
    fn new() -> Self {
        let (root, engine) = (scratch(), scratch());
        fs::create_dir_all(root.path().join("data")).unwrap();
        let disk = SimDisk::new(root.path());
        let mut machine = Self {
            root,
            engine,
            image: Image::default(),
        };
        let ledgers = machine.ledgers(&disk);
        let genesis = chain::genesis(CHANNEL);
        let mut ledger = ledgers.create(CHANNEL, genesis, OPTIONS).unwrap();
        for n in 1..HEIGHT {
            let act = Act::new(format!("{n}")).put(&format!("k{n}"), vec![1; 90]);
            chain::commit(&mut ledger, CHANNEL, &[vec![act]]).unwrap();
        }
        drop((ledger, ledgers));
        disk.create_dir_all(&machine.copy()).unwrap();
        for (name, bytes) in disk.image().files(&machine.blocks()) {
            let path = machine.copy().join(name.file_name().unwrap());
            disk.open(&path, true)
                .unwrap()
                .write_all_at(&bytes, 0)
                .unwrap();
        }
        copy_dir(&machine.data().join("derived"), machine.engine.path());
        machine.image = disk.image().after_power_loss(Loss::All);
        machine
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn blocks(&self) -> PathBuf {
        self.data().join("channels").join(CHANNEL)
    }

    fn copy(&self) -> PathBuf {
        self.root.path().join("copy")
    }

    fn ledgers(&self, disk: &SimDisk) -> Ledgers {
        Ledgers::open(disk.shared(), &self.data(), Purpose::Use).unwrap()
    }

    /// Writes zeros into each of these block files, from its middle to the middle of its second half.
    fn damage(&mut self, files: &[usize]) {
        let disk = SimDisk::of(self.root.path(), self.image.clone());
        let all: Vec<_> = self.image.files(&self.blocks()).into_iter().collect();
        for file in files {
            let (path, bytes) = &all[*file];
            let zeros = vec![0; bytes.len() / 4];
            let file = disk.open(path, false).unwrap();
            file.write_all_at(&zeros, bytes.len() as u64 / 2).unwrap();
        }
        self.image = disk.image().after_power_loss(Loss::All);
    }

    /// Lets `command` die at each of its steps in turn, and lets `finish` judge what every kind of restart
    /// finds. Returns the number of restarts.
    fn at_every_step(
        &self,
        command: impl Fn(&Ledgers),
        finish: impl Fn(&SimDisk, Ledgers, &str),
    ) -> usize {
        let mut tried = 0;
        for step in 0.. {
            for loss in [None, Some(Loss::None), Some(Loss::All)] {
                self.put_engine();
                let disk = SimDisk::of(self.root.path(), self.image.clone());
                let ledgers = self.ledgers(&disk);
                let change = Some((step, Fault::Death));
                disk.plan(Plan { change, read: None });
                command(&ledgers);
                drop(ledgers);
                if disk.changes() <= step {
                    assert!(step > 3, "the command did nothing");
                    return tried;
                }
                let image = disk.image();
                let image = match loss {
                    None => image,
                    Some(loss) => image.after_power_loss(loss),
                };
                let disk = SimDisk::of(self.root.path(), image);
                let context = format!("step {step}, {loss:?}");
                finish(&disk, self.ledgers(&disk), &context);
                tried += 1;
            }
        }
        tried
    }

    fn put_engine(&self) {
        let derived = self.data().join("derived");
        fs::remove_dir_all(&derived).unwrap();
        copy_dir(self.engine.path(), &derived);
    }
}

/// Opens the channel, and expects `height` sound blocks.
fn expect_height(ledgers: &Ledgers, channel: &str, height: u64, context: &str) {
    let opened = ledgers.ledger(channel, &mut |_| {});
    let (_, report) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!((report.height, report.cut), (height, None), "{context}");
    assert_eq!(check(ledgers, channel).findings, [], "{context}");
}

fn bytes_below(disk: &SimDisk, dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.image().files(dir)
}

#[test]
fn a_truncation_that_dies_loses_nothing_that_it_was_to_keep_and_is_finished_by_the_next() {
    let mut machine = Machine::new();
    machine.damage(&[1]);
    let before = machine.image.files(&machine.blocks());
    assert!(before.len() > 3);
    let disk = SimDisk::of(machine.root.path(), machine.image.clone());
    machine.put_engine();
    let loss = machine.ledgers(&disk).loss(CHANNEL, &mut |_| {}).unwrap();
    let (height, offset) = (loss.from_block, usize::try_from(loss.offset).unwrap());
    let truncate = |ledgers: &Ledgers| ledgers.truncate_tail(CHANNEL, height, &mut |_| {});
    let tried = machine.at_every_step(
        |ledgers| drop(truncate(ledgers)),
        |disk, ledgers, context| {
            match truncate(&ledgers) {
                Ok(_) | Err(TruncateError::Sound { .. }) => {}
                Err(error) => panic!("{context}: {error}"),
            }
            expect_height(&ledgers, CHANNEL, height, context);
            // Every byte still exists: in its place, or in the kept files.
            let after = bytes_below(disk, &machine.blocks());
            for (path, bytes) in &before {
                let cut = *path == loss.file;
                let wanted = if cut { &bytes[offset..] } else { &bytes[..] };
                assert!(
                    after.values().any(|kept| kept == wanted),
                    "{context}: {} is not kept",
                    path.display()
                );
            }
        },
    );
    println!("{tried} restarts after a truncation died");
}

#[test]
fn a_repair_that_dies_is_finished_by_the_next() {
    let mut machine = Machine::new();
    let whole = machine.image.files(&machine.blocks());
    machine.damage(&[0, 1, 2]);
    let repair = |ledgers: &Ledgers| ledgers.repair(CHANNEL, &machine.copy(), &mut |_| {});
    let tried = machine.at_every_step(
        |ledgers| drop(repair(ledgers)),
        |disk, ledgers, context| {
            let report = repair(&ledgers).unwrap();
            assert_eq!(report.not_replaced, [], "{context}");
            assert!(
                bytes_below(disk, &machine.blocks()) == whole,
                "{context}: the files are what they were"
            );
            expect_height(&ledgers, CHANNEL, HEIGHT, context);
        },
    );
    println!("{tried} restarts after a repair died");
}

#[test]
fn an_import_that_dies_is_whole_or_has_left_nothing() {
    let machine = Machine::new();
    let name = "imported";
    let import = |ledgers: &Ledgers| ledgers.import(name, &machine.copy(), false, &mut |_| {});
    let whole = machine.image.files(&machine.copy());
    let tried = machine.at_every_step(
        |ledgers| drop(import(ledgers)),
        |disk, ledgers, context| {
            let dir = ledgers.channel_dir(name);
            if ledgers.record(name).unwrap().is_none() {
                assert_eq!(bytes_below(disk, &dir), BTreeMap::new(), "{context}");
                import(&ledgers).unwrap();
            }
            expect_height(&ledgers, name, HEIGHT, context);
            let files = bytes_below(disk, &dir);
            assert!(files.values().eq(whole.values()), "{context}");
            expect_height(&ledgers, CHANNEL, HEIGHT, context);
        },
    );
    println!("{tried} restarts after an import died");
}
