//! Which orderer is next: one by chance, and none that failed a moment ago while there is another.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::endpoint::Endpoint;

/// How long an orderer that failed once is left alone; twice as long each time that it fails again.
const FIRST: Duration = Duration::from_millis(100);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(10);
/// How long one is left alone that lied.
const LIED: Duration = Duration::from_secs(60);

/// The orderers of a channel.
#[derive(Debug)]
pub(crate) struct Rota(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    orderer: Endpoint,
    /// How often it has failed since it last did well.
    failures: u32,
    /// Until then it is left alone.
    until: Option<Instant>,
}

/// Why an orderer is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It failed, as machines do.
    Failed,
    /// It said what is not so.
    Lied,
}

impl Known {
    fn new(orderer: Endpoint) -> Self {
        Self {
            orderer,
            failures: 0,
            until: None,
        }
    }

    fn waits(&self, now: Instant) -> Duration {
        let until = self.until.unwrap_or(now);
        until.saturating_duration_since(now)
    }
}

impl Rota {
    pub(crate) fn new(orderers: Vec<Endpoint>) -> Self {
        Self(Mutex::new(orderers.into_iter().map(Known::new).collect()))
    }

    /// Takes the orderers of another configuration in. What is known of those that stay is kept. Returns whether there are
    /// others than before.
    pub(crate) fn update(&self, orderers: Vec<Endpoint>) -> bool {
        let mut known = self.0.lock();
        let before = known.len();
        known.retain(|known| orderers.contains(&known.orderer));
        let mut changed = known.len() != before;
        for orderer in orderers {
            if !known.iter().any(|known| known.orderer == orderer) {
                known.push(Known::new(orderer));
                changed = true;
            }
        }
        changed
    }

    /// The orderer to ask next, and how long to wait before that: one by chance of those that did not fail a moment ago,
    /// or the one whose time comes first. None where there are no orderers.
    pub(crate) fn next(&self, random: u64, now: Instant) -> Option<(Endpoint, Duration)> {
        let known = self.0.lock();
        let free: Vec<_> = known
            .iter()
            .filter(|one| one.waits(now).is_zero())
            .collect();
        if let Some(chosen) = pick(&free, random) {
            return Some((chosen.orderer.clone(), Duration::ZERO));
        }
        let first = known.iter().min_by_key(|one| one.waits(now))?;
        Some((first.orderer.clone(), first.waits(now)))
    }

    /// Another orderer than this one, by chance; this one where there is no other.
    pub(crate) fn other(&self, than: &Endpoint, random: u64) -> Endpoint {
        let known = self.0.lock();
        let others: Vec<_> = known.iter().filter(|one| one.orderer != *than).collect();
        pick(&others, random).map_or_else(|| than.clone(), |one| one.orderer.clone())
    }

    /// All of them, those first that did not fail a moment ago, and otherwise by chance.
    pub(crate) fn shuffled(&self, random: u64, now: Instant) -> Vec<Endpoint> {
        let known = self.0.lock();
        let mut all: Vec<_> = known.iter().collect();
        let by_chance = usize::try_from(random).unwrap_or_default();
        let turn = by_chance.checked_rem(all.len()).unwrap_or_default();
        all.rotate_left(turn);
        all.sort_by_key(|one| one.waits(now));
        all.into_iter().map(|one| one.orderer.clone()).collect()
    }

    /// An orderer did what it should.
    pub(crate) fn did_well(&self, orderer: &Endpoint) {
        let mut known = self.0.lock();
        if let Some(one) = known.iter_mut().find(|one| one.orderer == *orderer) {
            (one.failures, one.until) = (0, None);
        }
    }

    /// An orderer is left. Nobody comes back to it before its time, of which a part is by chance, so that nodes that left
    /// together do not come back together.
    pub(crate) fn leave(&self, orderer: &Endpoint, why: Left, random: u64, now: Instant) {
        let mut known = self.0.lock();
        let Some(one) = known.iter_mut().find(|one| one.orderer == *orderer) else {
            return;
        };
        let doubled = FIRST.saturating_mul(1 << one.failures.min(16));
        let longest = match why {
            Left::Failed => doubled.min(LONGEST),
            Left::Lied => LIED,
        };
        one.failures = one.failures.saturating_add(1);
        // Between a half of it and all of it.
        let half = longest / 2;
        let part = u32::try_from(random % 1_000).unwrap_or_default();
        one.until = Some(now + half + half * part / 1_000);
    }
}

fn pick<'a, T>(of: &[&'a T], random: u64) -> Option<&'a T> {
    let count = u64::try_from(of.len()).ok()?;
    let place = usize::try_from(random.checked_rem(count)?).ok()?;
    of.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orderer(address: &str) -> Endpoint {
        Endpoint {
            address: address.to_owned(),
            roots: Vec::new(),
        }
    }

    #[test]
    fn an_orderer_that_failed_is_not_asked_before_its_time_while_there_is_another() {
        let (a, b) = (orderer("a:1"), orderer("b:1"));
        let rota = Rota::new(vec![a.clone(), b.clone()]);
        let now = Instant::now();
        rota.leave(&a, Left::Failed, 0, now);
        for random in 0..10 {
            let next = rota.next(random, now).unwrap();
            assert_eq!(next, (b.clone(), Duration::ZERO));
        }
        assert_eq!(rota.shuffled(0, now), [b.clone(), a.clone()]);
        assert_eq!(rota.shuffled(1, now), [b.clone(), a.clone()]);
        rota.leave(&b, Left::Lied, 0, now);
        assert_eq!(rota.next(7, now), Some((a.clone(), FIRST / 2)));
        rota.did_well(&b);
        assert_eq!(rota.next(7, now), Some((b, Duration::ZERO)));
        assert!(!rota.update(vec![a.clone(), orderer("b:1")]));
        assert!(rota.update(vec![a]));
        assert_eq!(rota.other(&orderer("a:1"), 3), orderer("a:1"));
    }

    #[test]
    fn the_time_between_attempts_doubles_up_to_ten_seconds_and_a_part_of_it_is_by_chance() {
        let only = orderer("a:1");
        let rota = Rota::new(vec![only.clone()]);
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..40 {
            rota.leave(&only, Left::Failed, 0, now);
            waits.push(rota.next(0, now).unwrap().1);
        }
        assert!(waits.is_sorted());
        assert_eq!(waits[0], FIRST / 2);
        assert_eq!(waits[3], FIRST * 4);
        assert_eq!(waits[39], LONGEST / 2);
        rota.leave(&only, Left::Failed, 999, now);
        let most = rota.next(0, now).unwrap().1;
        assert!(most > LONGEST * 99 / 100 && most <= LONGEST);
    }
}
