//! What SIGKILL must not do: lose, repeat or bend an acknowledged transaction.
//!
//! Sixteen clients write to keys of their own while the node is killed and restarted. Every request
//! carries an Idempotency-Key and is repeated until it is answered, so in the end each was
//! acknowledged, and the chain must hold each exactly once.

mod verify;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use super::kit::{Node, Random, check};
use writer::Writer;

const CLIENTS: u64 = 16;
const KILLS: u64 = 30;
/// Acknowledgements between two kills, at most.
const BURST: u64 = 120;
/// What a burst may take before the node counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the node is, for the clients.
#[derive(Debug, Default)]
struct Situation {
    /// `None` while it is down.
    address: Mutex<Option<String>>,
    came_up: Condvar,
    acknowledged: AtomicU64,
    finish: Mutex<bool>,
}

impl Situation {
    /// Waits until the node is up.
    fn address(&self) -> String {
        let mut address = self.address.lock();
        loop {
            if let Some(address) = &*address {
                return address.clone();
            }
            let waited = self.came_up.wait_for(&mut address, PATIENCE);
            assert!(!waited.timed_out(), "the node did not come back");
        }
    }

    fn up(&self, address: &str) {
        *self.address.lock() = Some(address.to_owned());
        self.came_up.notify_all();
    }

    fn down(&self) {
        *self.address.lock() = None;
    }

    /// Waits until `more` further transactions were acknowledged to `clients`.
    fn wait_for(&self, more: u64, clients: &[JoinHandle<Writer>], node: &Node) {
        let target = self.acknowledged.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + PATIENCE;
        while self.acknowledged.load(Ordering::SeqCst) < target {
            let failed = clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a client failed, see above:\n{}", node.log());
            assert!(Instant::now() < deadline, "no progress:\n{}", node.log());
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn no_kill_loses_or_repeats_an_acknowledged_transaction() {
    let mut random = Random::from_environment();
    let data = TempDir::new().unwrap();
    let situation = Arc::new(Situation::default());
    let mut node = Node::start(data.path());
    situation.up(node.address());

    let clients: Vec<JoinHandle<Writer>> = (0..CLIENTS)
        .map(|number| {
            let situation = Arc::clone(&situation);
            let random = random.split(number);
            std::thread::spawn(move || Writer::new(number, random).run(&situation))
        })
        .collect();

    for kill in 0..KILLS {
        situation.wait_for(random.below(BURST), &clients, &node);
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        situation.down();
        node.kill();
        if random.below(4) == 0 {
            // Recovery is not safe from kills either.
            let early = Node::spawn(data.path());
            std::thread::sleep(Duration::from_micros(random.below(40_000)));
            early.kill();
        }
        let verdict = check(data.path());
        assert!(
            verdict.status.success(),
            "after kill {kill}, `quire check` said {}:\n{}{}",
            verdict.status,
            String::from_utf8_lossy(&verdict.stdout),
            String::from_utf8_lossy(&verdict.stderr)
        );
        node = Node::start(data.path());
        situation.up(node.address());
    }

    situation.wait_for(BURST, &clients, &node);
    *situation.finish.lock() = true;
    let writers: Vec<Writer> = clients
        .into_iter()
        .map(|client| client.join().expect("a client failed, see above"))
        .collect();
    verify::everything(&node.client(), &writers);
    assert!(node.stop().success());
    assert!(check(data.path()).status.success());
}

#[test]
fn a_node_killed_during_its_first_start_is_born_at_a_later_one() {
    let mut random = Random::from_environment();
    for _ in 0..4 {
        let data = TempDir::new().unwrap();
        for _ in 0..6 {
            let node = Node::spawn(data.path());
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            node.kill();
        }
        let node = Node::start(data.path());
        assert!(node.client().height() >= 1, "{}", node.log());
        assert!(node.stop().success());
        assert!(check(data.path()).status.success());
    }
}

#[test]
fn a_graceful_stop_keeps_everything_and_the_identity() {
    let mut random = Random::from_environment();
    let data = TempDir::new().unwrap();
    let situation = Situation::default();
    let mut writer = Writer::new(0, random.split(0));
    for _ in 0..3 {
        let node = Node::start(data.path());
        situation.up(node.address());
        for _ in 0..20 {
            writer.step(&situation);
        }
        verify::everything(&node.client(), std::slice::from_ref(&writer));
        assert!(node.stop().success());
        assert!(check(data.path()).status.success());
    }
}
