//! The combinations of principals that satisfy two policies at once, as Fabric's discovery computes them.

use super::error::NoDescriptor;
use super::principals::{Id, Principals};
use super::sets::{Budget, Set};

/// What compares sets, within bounds.
pub(crate) struct Merger<'a> {
    pub(crate) principals: &'a Principals,
    pub(crate) budget: &'a mut Budget,
}

impl Merger<'_> {
    /// The sets that satisfy what each of several lists satisfies; none if there are no lists.
    pub(crate) fn merge_all(&mut self, lists: Vec<Vec<Set>>) -> Result<Vec<Set>, NoDescriptor> {
        let mut lists = lists.into_iter();
        let first = lists.next().unwrap_or_default();
        lists.try_fold(first, |merged, list| self.merge(&merged, &list))
    }

    /// The sets that satisfy what both `ones` and `others` satisfy. Where a set of one contains a set of the other, no
    /// combination with a third one is made.
    pub(crate) fn merge(&mut self, ones: &[Set], others: &[Set]) -> Result<Vec<Set>, NoDescriptor> {
        let mut merged = Vec::new();
        let mut covered_ones = vec![false; ones.len()];
        let mut covering_others = vec![false; others.len()];
        for (one, is_covered) in ones.iter().zip(&mut covered_ones) {
            for (other, covers) in others.iter().zip(&mut covering_others) {
                if self.is_contained(one, other)? {
                    (*is_covered, *covers) = (true, true);
                    merged.push(self.joined(one, other)?);
                }
            }
        }
        let ones = without(ones, &covered_ones);
        let mut covering_ones = vec![false; ones.len()];
        let mut covered_others = vec![false; others.len()];
        for (other, is_covered) in others.iter().zip(&mut covered_others) {
            for (one, covers) in ones.iter().zip(&mut covering_ones) {
                if self.is_contained(other, one)? {
                    (*is_covered, *covers) = (true, true);
                    merged.push(self.joined(other, one)?);
                }
            }
        }
        let ones = without(&ones, &covering_ones);
        for (covered, covers) in covered_others.iter_mut().zip(covering_others) {
            *covered |= covers;
        }
        for one in &ones {
            for other in &without(others, &covered_others) {
                merged.push(self.joined(one, other)?);
            }
        }
        self.reduced(merged)
    }

    /// Whether whoever satisfies all of `outer` satisfies each of `inner`.
    fn is_contained(&mut self, inner: &Set, outer: &Set) -> Result<bool, NoDescriptor> {
        self.budget.compare(inner, outer)?;
        let principals = self.principals;
        let is_covered = |one: &Id| outer.iter().any(|other| principals.is_a(*other, *one));
        Ok(inner.iter().all(is_covered))
    }

    /// The principals of both, where one of `outer` stands for at most one of `inner`.
    fn joined(&mut self, inner: &Set, outer: &Set) -> Result<Set, NoDescriptor> {
        self.budget.compare(inner, outer)?;
        let mut free: Vec<Id> = outer.clone();
        let mut joined = outer.clone();
        for one in inner {
            let covering = free
                .iter()
                .position(|other| self.principals.is_a(*other, *one));
            match covering {
                Some(position) => drop(free.remove(position)),
                None => joined.push(*one),
            }
        }
        self.budget.hold(joined.len())?;
        Ok(joined)
    }

    /// The sets without those that contain another one.
    fn reduced(&mut self, mut sets: Vec<Set>) -> Result<Vec<Set>, NoDescriptor> {
        loop {
            let mut containing = vec![false; sets.len()];
            for (i, (one, contains)) in sets.iter().zip(&mut containing).enumerate() {
                for (j, other) in sets.iter().enumerate() {
                    if i == j {
                        continue;
                    }
                    self.budget.compare(one, other)?;
                    if is_subset(other, one) {
                        *contains = true;
                    }
                    // Of two that contain each other the first one stays.
                    if i < j && is_subset(one, other) {
                        *contains = false;
                    }
                }
            }
            let left = without(&sets, &containing);
            if left.len() == sets.len() {
                return Ok(left);
            }
            sets = left;
        }
    }
}

fn is_subset(one: &Set, other: &Set) -> bool {
    one.iter().all(|id| other.contains(id))
}

fn without(sets: &[Set], left_out: &[bool]) -> Vec<Set> {
    let kept = sets
        .iter()
        .zip(left_out)
        .filter(|(_, left_out)| !**left_out);
    kept.map(|(set, _)| set.clone()).collect()
}
