//! Measures the machine with the same probes as the machine of Fabric's figures: a comparison across machines
//! is scaled by these.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use quire_wire::hash::sha256;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use crate::report::Report;

/// The probes of the machine on which Fabric was measured: the middles of the published ranges.
mod theirs {
    pub(super) const APPENDS_34K: f64 = 3_400.0;
    pub(super) const APPENDS_340K: f64 = 1_100.0;
    pub(super) const APPENDS_1700K: f64 = 570.0;
    pub(super) const APPENDS_4K: f64 = 4_550.0;
    pub(super) const SHA256: f64 = 1.4;
    pub(super) const VERIFY: f64 = 11_500.0;
    pub(super) const SIGN: f64 = 29_500.0;
    pub(super) const FJALL_BUFFER: f64 = 4_200.0;
    pub(super) const FJALL_SYNC: f64 = 1_700.0;
    /// This is not a probe but Fabric's figure: blocks of one transaction per second through its whole
    /// ledger. Nearly all of that time is its five syncs.
    pub(super) const BLOCKS_OF_1: f64 = 863.0;
    /// Blocks per second of Fabric's block store alone: blocks of 331 KB and 1.65 MB, with 100 and 500
    /// transactions and values of 200 B. Two of the five syncs belong to it.
    pub(super) const STORE_OF_100: f64 = 428.0;
    pub(super) const STORE_OF_500: f64 = 108.0;
    /// The other syncs of a block, each of a few kilobytes.
    pub(super) const OTHER_SYNCS: f64 = 3.0;
}

/// This machine compared with Fabric's machine, as factors on Fabric's figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The factor by appends of 4 KiB.
    sync: f64,
    /// The factors by appends of 34 KB, 340 KB, 1.7 MB: blocks of 10, 100 and 500 transactions.
    disk: [f64; 3],
    /// The factor by the better of SHA-256 and fjall's unsynced batches.
    processor: f64,
    /// GB/s of SHA-256.
    hashed: f64,
}

impl Scale {
    /// The factor for blocks of that many transactions, by the probe that favours Fabric most.
    pub(crate) fn of_blocks(self, block_txs: usize) -> f64 {
        self.disk_for(block_txs).max(self.processor)
    }

    /// The factor if each part of Fabric's time for a block of `block_txs` transactions with values of 200 B,
    /// at `blocks_a_second`, is scaled by its own probe: the block store by an append of such a block, the
    /// other syncs by an append of 4 KiB, and the rest by the processor. Of a block of 10 only the syncs are
    /// known, which are then taken as syncs of 34 KB.
    pub(crate) fn of_parts(self, block_txs: usize, blocks_a_second: f64) -> f64 {
        let other_syncs = theirs::OTHER_SYNCS / theirs::APPENDS_4K;
        let disk = self.disk_for(block_txs);
        // Each pair has seconds, and how much faster this machine is in them.
        let parts: &[(f64, f64)] = match block_txs {
            0..=10 => &[(1.0 / theirs::BLOCKS_OF_1, disk.max(self.sync))],
            11..=100 => &[(1.0 / theirs::STORE_OF_100, disk), (other_syncs, self.sync)],
            _ => &[(1.0 / theirs::STORE_OF_500, disk), (other_syncs, self.sync)],
        };
        let known: f64 = parts.iter().map(|(seconds, _)| seconds).sum();
        let block = 1.0 / blocks_a_second;
        let here: f64 = parts.iter().map(|(seconds, factor)| seconds / factor).sum();
        block / (here + (block - known) / self.processor)
    }

    fn disk_for(self, block_txs: usize) -> f64 {
        let [small, middle, large] = self.disk;
        match block_txs {
            0..=10 => small,
            11..=100 => middle,
            _ => large,
        }
    }

    /// Runs the probes again silently, and takes the better result of each, so that a machine that was slow
    /// at one end does not make figures look good.
    pub(crate) fn or_now(self, dir: &Path, time: Duration) -> Self {
        let [small, middle, large] = self.disk;
        let now = |bytes, theirs| appends_a_second(dir, bytes, time) / theirs;
        let hashed = gigabytes_hashed_a_second(time).max(self.hashed);
        let buffer = fjall_batches_a_second(dir, PersistMode::Buffer, time);
        let processor = (hashed / theirs::SHA256).max(buffer / theirs::FJALL_BUFFER);
        Self {
            sync: self.sync.max(now(4 << 10, theirs::APPENDS_4K)),
            disk: [
                small.max(now(34_000, theirs::APPENDS_34K)),
                middle.max(now(340_000, theirs::APPENDS_340K)),
                large.max(now(1_700_000, theirs::APPENDS_1700K)),
            ],
            processor: self.processor.max(processor),
            hashed,
        }
    }

    /// Reports the factors of the figures.
    pub(crate) fn tell(self, report: &mut Report) {
        let [small, middle, large] = self.disk;
        for (name, factor) in [
            ("append 4 KiB", self.sync),
            ("append 34 KB", small),
            ("append 340 KB", middle),
            ("append 1.7 MB", large),
            ("processor", self.processor),
        ] {
            let name = format!("scale: {name}, this machine : Fabric's, the better of both ends");
            report.add(name, "times", factor);
        }
    }

    /// Runs two probes again: if they differ, all figures measured in between are doubtful.
    pub(crate) fn again(self, report: &mut Report, dir: &Path, time: Duration) {
        let [small, ..] = self.disk;
        let before = "the same probe before";
        let rate = appends_a_second(dir, 34_000, time);
        let name = "probe at the end: append 34 KB + fdatasync";
        report.compare(name, "1/s", rate, (before, small * theirs::APPENDS_34K));
        let hashed = gigabytes_hashed_a_second(time);
        let name = "probe at the end: SHA-256";
        report.compare(name, "GB/s", hashed, (before, self.hashed));
    }

    /// The factor for work that needs no fsync.
    pub(crate) fn of_processor(self) -> f64 {
        self.processor
    }
}

pub(crate) fn run(report: &mut Report, dir: &Path, time: Duration) -> Scale {
    let mut append = |name: &str, bytes: usize, theirs: f64| {
        let rate = appends_a_second(dir, bytes, time);
        let name = format!("probe: append {name} + fdatasync");
        report.compare(name, "1/s", rate, ("Fabric's machine", theirs));
        rate / theirs
    };
    let sync = append("4 KiB", 4 << 10, theirs::APPENDS_4K);
    let disk = [
        append("34 KB", 34_000, theirs::APPENDS_34K),
        append("340 KB", 340_000, theirs::APPENDS_340K),
        append("1.7 MB", 1_700_000, theirs::APPENDS_1700K),
    ];
    let (sign, verify) = signatures_a_second(time);
    let machine = "Fabric's machine";
    report.compare(
        "probe: P-256 sign, ring",
        "1/s",
        sign,
        (machine, theirs::SIGN),
    );
    report.compare(
        "probe: P-256 verify, ring",
        "1/s",
        verify,
        (machine, theirs::VERIFY),
    );
    let hashed = gigabytes_hashed_a_second(time);
    report.compare("probe: SHA-256", "GB/s", hashed, (machine, theirs::SHA256));
    let buffer = fjall_batches_a_second(dir, PersistMode::Buffer, time);
    let name = "probe: fjall batch of 100 × (32 + 256 B), Buffer";
    report.compare(name, "1/s", buffer, (machine, theirs::FJALL_BUFFER));
    let synced = fjall_batches_a_second(dir, PersistMode::SyncData, time);
    let name = "probe: fjall batch of 100 × (32 + 256 B), SyncData";
    report.compare(name, "1/s", synced, (machine, theirs::FJALL_SYNC));
    Scale {
        sync,
        disk,
        processor: (hashed / theirs::SHA256).max(buffer / theirs::FJALL_BUFFER),
        hashed,
    }
}

/// How many seconds this thread has had a processor, which is the same on a busy machine as on a quiet one.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = stat.split_whitespace().next().unwrap();
    nanoseconds.parse::<f64>().unwrap() / 1e9
}

/// How many seconds all threads of this process, including ended ones, have had a processor, to a hundredth.
pub(crate) fn process_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in brackets, may hold spaces; user and system time are fields 14 and 15, in ticks
    // of a hundredth of a second: proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

/// How often `work`, which waits for nothing, runs in a second of processor time.
pub(crate) fn processor_rate(time: Duration, mut work: impl FnMut()) -> f64 {
    let (start, begun) = (Instant::now(), processor_seconds());
    let mut times = 0_u32;
    while start.elapsed() < time {
        work();
        times += 1;
    }
    f64::from(times) / (processor_seconds() - begun)
}

/// How often `work` runs in a second.
fn rate(time: Duration, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut times = 0_u32;
    while start.elapsed() < time {
        work();
        times += 1;
    }
    f64::from(times) / start.elapsed().as_secs_f64()
}

/// A file that is only appended to and synced: no block store can be faster.
#[derive(Debug)]
pub(crate) struct BareFile {
    file: File,
    offset: u64,
}

impl BareFile {
    pub(crate) fn create(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true);
        let file = options.open(path).unwrap();
        Self { file, offset: 0 }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.offset).unwrap();
        self.file.sync_data().unwrap();
        self.offset += bytes.len() as u64;
    }
}

fn appends_a_second(dir: &Path, bytes: usize, time: Duration) -> f64 {
    let path = dir.join("probe");
    let mut file = BareFile::create(&path);
    let content = vec![0x5a; bytes];
    let rate = rate(time, || file.append(&content));
    std::fs::remove_file(path).unwrap();
    rate
}

fn signatures_a_second(time: Duration) -> (f64, f64) {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random);
    let key = key.unwrap();
    let message = [7; 1_000];
    let signature = key.sign(&random, &message).unwrap();
    let signed = processor_rate(time, || {
        black_box(key.sign(&random, &message).unwrap());
    });
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    let verified = processor_rate(time, || {
        public.verify(&message, signature.as_ref()).unwrap();
    });
    (signed, verified)
}

fn gigabytes_hashed_a_second(time: Duration) -> f64 {
    let content = vec![7; 1 << 20];
    let rate = processor_rate(time, || {
        black_box(sha256([content.as_slice()]));
    });
    rate * f64::from(1 << 20) / 1e9
}

fn fjall_batches_a_second(dir: &Path, persist: PersistMode, time: Duration) -> f64 {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let database = Database::builder(dir.path()).open().unwrap();
    let keyspace = database
        .keyspace("probe", KeyspaceCreateOptions::default)
        .unwrap();
    let mut n = 0_u64;
    rate(time, || {
        let mut batch = database.batch().durability(Some(persist));
        for _ in 0..100 {
            batch.insert(&keyspace, sha256([&n.to_be_bytes()[..]]), [7; 256]);
            n += 1;
        }
        batch.commit().unwrap();
    })
}
