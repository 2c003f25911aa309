use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use quire_identity::{Msps, PolicyError};

use super::*;
use crate::room::Unobserved;

const LIMITS: BatchSize = BatchSize {
    max_message_count: 3,
    absolute_max_bytes: 200,
    preferred_max_bytes: 100,
};
const BOUNDS: Bounds = Bounds {
    envelopes: 10,
    bytes: 1000,
    together_bytes: 500,
};

/// An order, and the way into it.
struct Bench {
    way_in: Embedded<&'static str>,
    way_out: EmbeddedBatches<&'static str>,
}

impl Bench {
    fn new() -> Self {
        let (way_in, way_out) = Embedded::new(LIMITS, BOUNDS, Arc::new(Unobserved));
        Self { way_in, way_out }
    }

    fn order(&self, name: &'static str, size_bytes: usize) {
        self.way_in.order(message(name, size_bytes)).unwrap();
    }

    fn configure(&self, name: &'static str) {
        self.way_in.configure(message(name, 1)).unwrap();
    }
}

fn message(name: &'static str, size_bytes: usize) -> Message<&'static str> {
    Message {
        envelope: name.into(),
        size_bytes,
        sequence: 0,
        known: name,
    }
}

fn normal(names: &[&'static str]) -> Cut<&'static str> {
    let entries = names.iter().map(|name| (Bytes::from(*name), *name));
    Cut::normal(entries.collect())
}

fn config(name: &'static str) -> Cut<&'static str> {
    let cut = Cut::config(vec![(name.into(), name)]);
    assert!(cut.batch.is_config);
    cut
}

/// A configuration under which nobody may write.
fn forbidding(sequence: u64) -> Arc<Admission> {
    let nobody = Err(PolicyError::Missing("Writers".to_owned()));
    let admission = Admission::new("main".into(), sequence, LIMITS, Msps::default(), nobody);
    Arc::new(admission)
}

#[test]
fn who_is_idle_gets_what_is_there_at_once() {
    let mut bench = Bench::new();
    bench.order("a", 1);
    bench.order("b", 1);
    assert_eq!(
        bench.way_out.next().unwrap(),
        Next::Rest(normal(&["a", "b"]))
    );
    bench.order("c", 1);
    assert_eq!(bench.way_out.next().unwrap(), Next::Rest(normal(&["c"])));
}

#[test]
fn who_has_work_gets_what_is_complete_and_the_rest_later() {
    let mut bench = Bench::new();
    assert_eq!(bench.way_out.more().unwrap(), []);
    for name in ["a", "b", "c", "d"] {
        bench.order(name, 1);
    }
    assert_eq!(bench.way_out.more().unwrap(), [normal(&["a", "b", "c"])]);
    assert_eq!(bench.way_out.more().unwrap(), []);
    bench.order("e", 1);
    assert_eq!(bench.way_out.more().unwrap(), []);
    assert_eq!(
        bench.way_out.next().unwrap(),
        Next::Rest(normal(&["d", "e"]))
    );
}

#[test]
fn complete_batches_go_before_what_is_left() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c", "d"] {
        bench.order(name, 1);
    }
    let full = Next::Full(vec![normal(&["a", "b", "c"])]);
    assert_eq!(bench.way_out.next().unwrap(), full);
    assert_eq!(bench.way_out.next().unwrap(), Next::Rest(normal(&["d"])));
}

#[test]
fn an_overflow_and_a_large_one_are_cut_as_in_fabric() {
    let mut bench = Bench::new();
    bench.order("a", 60);
    bench.order("b", 60);
    assert_eq!(bench.way_out.more().unwrap(), [normal(&["a"])]);
    bench.order("large", 150);
    assert_eq!(
        bench.way_out.more().unwrap(),
        [normal(&["b"]), normal(&["large"])]
    );
}

#[test]
fn a_configuration_comes_last_and_alone() {
    let mut bench = Bench::new();
    bench.order("a", 1);
    bench.configure("config");
    bench.order("b", 1);
    let before = Next::Full(vec![normal(&["a"]), config("config")]);
    assert_eq!(bench.way_out.next().unwrap(), before);
    assert_eq!(bench.way_out.next().unwrap(), Next::Rest(normal(&["b"])));
    bench.configure("config");
    assert_eq!(bench.way_out.more().unwrap(), [config("config")]);
}

#[test]
fn new_limits_hold_for_what_comes_out_after_the_configuration() {
    let mut bench = Bench::new();
    bench.configure("config");
    bench.order("a", 1);
    assert_eq!(bench.way_out.more().unwrap(), [config("config")]);
    let one_each = BatchSize {
        max_message_count: 1,
        ..LIMITS
    };
    bench.way_out.reconfigured(one_each, forbidding(0));
    assert_eq!(bench.way_out.more().unwrap(), [normal(&["a"])]);
}

#[test]
fn what_a_new_configuration_does_not_let_in_comes_out_beside_the_order() {
    let mut bench = Bench::new();
    bench.configure("config");
    bench.order("a", 1);
    assert_eq!(bench.way_out.more().unwrap(), [config("config")]);
    bench.way_out.reconfigured(LIMITS, forbidding(1));
    assert_eq!(bench.way_out.next().unwrap(), Next::Full(Vec::new()));
    assert_eq!(bench.way_out.discarded(), ["a"]);
    assert_eq!(bench.way_out.discarded(), [""; 0]);
    // The new configuration has let this message in.
    let mut later = message("b", 1);
    later.sequence = 1;
    bench.way_in.order(later).unwrap();
    assert_eq!(bench.way_out.next().unwrap(), Next::Rest(normal(&["b"])));
}

#[test]
fn a_closed_order_takes_nothing_and_gives_what_it_has() {
    let mut bench = Bench::new();
    bench.order("a", 1);
    bench.way_in.close();
    let refused = bench.way_in.order(message("b", 1));
    assert_eq!(refused, Err(NotOrdered::Closed));
    assert_eq!(bench.way_out.next().unwrap(), Next::Rest(normal(&["a"])));
    assert_eq!(bench.way_out.next().unwrap(), Next::Closed);
}

#[test]
fn an_order_that_nobody_takes_anything_out_of_is_broken() {
    let Bench { way_in, way_out } = Bench::new();
    drop(way_out);
    let refused = way_in.order(message("a", 1));
    assert_eq!(refused, Err(NotOrdered::Broken));
}

#[test]
fn no_more_waits_than_there_is_room_for() {
    let mut bench = Bench::new();
    let order = |bench: &Bench, size| bench.way_in.order(message("a", size));
    assert_eq!(order(&bench, 1001), Err(NotOrdered::Full));
    assert_eq!(order(&bench, 600), Ok(()));
    assert_eq!(order(&bench, 600), Err(NotOrdered::Full));
    assert_eq!(order(&bench, 400), Ok(()));
    assert_eq!(
        bench.way_out.more().unwrap().len(),
        1,
        "the bytes of one are enough"
    );
    assert_eq!(order(&bench, 600), Ok(()));

    let mut padded = message("a", 1);
    padded.envelope = vec![0; 1001].into();
    assert_eq!(bench.way_in.order(padded), Err(NotOrdered::Full));

    let mut bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(order(&bench, 1), Ok(()));
    }
    assert_eq!(order(&bench, 1), Err(NotOrdered::Full));
    assert_eq!(bench.way_out.more().unwrap().len(), 3);
    assert_eq!(order(&bench, 1), Ok(()));
}

/// A wait for an empty order ends when something comes, and when the order is closed.
#[test]
fn an_empty_order_is_waited_for() {
    let Bench {
        way_in,
        mut way_out,
    } = Bench::new();
    let waiting = thread::spawn(move || [way_out.next().unwrap(), way_out.next().unwrap()]);
    way_in.order(message("a", 1)).unwrap();
    way_in.close();
    let [first, second] = waiting.join().unwrap();
    assert_eq!(first, Next::Rest(normal(&["a"])));
    assert_eq!(second, Next::Closed);
}

#[derive(Debug, Default)]
struct Counts {
    depth: AtomicI64,
    waited: AtomicU64,
}

impl QueueObserver for Counts {
    fn joined(&self) {
        self.depth.fetch_add(1, Ordering::SeqCst);
    }

    fn waited(&self, _: Duration) {
        self.waited.fetch_add(1, Ordering::SeqCst);
    }

    fn left(&self) {
        self.depth.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn an_observer_hears_of_all_that_waits_and_of_what_is_turned_away_only_that_it_left() {
    let counts = Arc::new(Counts::default());
    let (way_in, mut way_out) = Embedded::new(LIMITS, BOUNDS, Arc::clone(&counts) as Arc<_>);
    for _ in 0..10 {
        way_in.order(message("a", 1)).unwrap();
    }
    way_in.order(message("a", 1)).unwrap_err();
    let look = || {
        let waited = counts.waited.load(Ordering::SeqCst);
        (counts.depth.load(Ordering::SeqCst), waited)
    };
    assert_eq!(look(), (10, 0));
    assert_eq!(way_out.more().unwrap().len(), 3);
    assert_eq!(look(), (0, 10));
}
