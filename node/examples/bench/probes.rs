//! What the bare machine does, and what this process and others take of it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::Failure;

/// How long each probe runs.
const TIME: Duration = Duration::from_secs(1);

/// The probes of the machine, a line each, beside Fabric's machine; and what share of that one's speed
/// the processor has, by whichever of two probes gives more: verification, which is 37 % of what Fabric
/// takes of the processor, and SHA-256.
pub(crate) fn run(dir: &Path) -> Result<(Vec<Value>, f64), Failure> {
    let mut lines = Vec::new();
    let mut add = |name: &str, unit: &str, value: f64, theirs: f64| {
        let ratio = value / theirs;
        lines.push(json!({
            "name": format!("probe: {name}"),
            "unit": unit,
            "value": value.round(),
            "fabricsMachine": theirs,
            "ratio": (ratio * 100.0).round() / 100.0,
        }));
        ratio
    };
    let appended = append(dir, 4 << 10)?;
    add("append 4 KiB + fdatasync", "1/s", appended, 4_550.0);
    let appended = append(dir, 34_000)?;
    add("append 34 KB + fdatasync", "1/s", appended, 3_400.0);
    let random = SystemRandom::new();
    let unspecified = |_| "ring failed";
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
        .map_err(unspecified)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random)
        .map_err(|_| "ring made a key that it refuses")?;
    let message = [7; 1_000];
    let signature = key.sign(&random, &message).map_err(unspecified)?;
    let signed = rate(|| {
        std::hint::black_box(key.sign(&random, &message).map_err(unspecified)?);
        Ok(())
    })?;
    add("P-256 sign, ring, one thread", "1/s", signed, 29_500.0);
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    let verified = rate(|| {
        Ok(public
            .verify(&message, signature.as_ref())
            .map_err(unspecified)?)
    })?;
    let verifying = add("P-256 verify, ring, one thread", "1/s", verified, 11_500.0);
    let megabyte = vec![7; 1_000_000];
    let hashed = rate(|| {
        std::hint::black_box(quire_wire::hash::sha256([megabyte.as_slice()]));
        Ok(())
    })?;
    let hashing = add("SHA-256, one thread", "MB/s", hashed, 1_400.0);
    Ok((lines, verifying.max(hashing)))
}

fn append(dir: &Path, bytes: usize) -> Result<f64, Failure> {
    let dir = tempfile::tempdir_in(dir)?;
    let mut file = File::create(dir.path().join("append"))?;
    let content = vec![7; bytes];
    rate(|| {
        file.write_all(&content)?;
        Ok(file.sync_data()?)
    })
}

fn rate(mut work: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut times = 0_u32;
    while begun.elapsed() < TIME {
        work()?;
        times += 1;
    }
    Ok(f64::from(times) / begun.elapsed().as_secs_f64())
}

/// Processor time that a process has had so far, in seconds, to a hundredth.
pub(crate) fn process_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // User and system time, in hundredths of a second: fields 14 and 15 of proc_pid_stat(5), the
    // second of which is a name in brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Result<Vec<f64>, _> = ticks.map(str::parse).collect();
    Some(ticks.ok()?.iter().sum::<f64>() / 100.0)
}

/// A number that no other run has.
#[expect(
    clippy::disallowed_methods,
    reason = "no test holds the clock of a measurement"
)]
pub(crate) fn now_nanos() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}

/// The commit that is checked out; `+` where files differ from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "-uno"]).is_some_and(|text| !text.is_empty());
    if changed { format!("{head}+") } else { head }
}

/// Cores and their kind.
pub(crate) fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {}", model.unwrap_or_default())
}
