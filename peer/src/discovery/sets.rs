//! The combinations of principals that satisfy policies, as Fabric's discovery computes them.

use quire_wire::config::{NOutOf, SignaturePolicy, SignaturePolicyEnvelope, SignatureRule};

use super::error::NoDescriptor;
use super::principals::{Id, Principals};

/// Principals that satisfy a policy together; one that stands there twice must sign by two identities.
pub(crate) type Set = Vec<Id>;

/// Combinations of the branches of one rule, at most: Fabric's bound.
const MAX_COMBINATIONS: u64 = 10_000;
/// Branches of one rule, at most.
const MAX_BRANCHES: usize = 1_000;
/// How deep rules may be nested. Protobuf's decoder gives up at about 45.
const MAX_DEPTH: usize = 32;

/// What may still be done for a question.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Principals in sets that are made.
    pub(crate) members: usize,
    /// Comparisons of principals.
    pub(crate) comparisons: usize,
}

impl Budget {
    /// What is done for one question, at most: a tenth of a second.
    pub(crate) const QUESTION: Self = Self {
        members: 500_000,
        comparisons: 20_000_000,
    };

    pub(crate) fn hold(&mut self, members: usize) -> Result<(), NoDescriptor> {
        spend(&mut self.members, members)
    }

    pub(crate) fn compare(&mut self, one: &Set, other: &Set) -> Result<(), NoDescriptor> {
        let comparisons = one.len().saturating_mul(other.len()).saturating_add(1);
        spend(&mut self.comparisons, comparisons)
    }
}

fn spend(left: &mut usize, spent: usize) -> Result<(), NoDescriptor> {
    *left = left.checked_sub(spent).ok_or(NoDescriptor::TooMany)?;
    Ok(())
}

/// The sets that satisfy a policy.
///
/// # Errors
/// There are none, or too many.
pub(crate) fn sets(
    policy: &SignaturePolicyEnvelope,
    principals: &mut Principals,
    budget: &mut Budget,
) -> Result<Vec<Set>, NoDescriptor> {
    let rule = policy.rule.as_ref().ok_or(NoDescriptor::Unsatisfiable)?;
    if policy.identities.is_empty() {
        return Err(NoDescriptor::Unsatisfiable);
    }
    let identities = policy.identities.iter();
    let identities: Result<Vec<Id>, _> = identities.map(|one| principals.id(one)).collect();
    let found = leaves(rule, &identities?, budget, 0)?;
    if found.is_empty() {
        return Err(NoDescriptor::Unsatisfiable);
    }
    Ok(found
        .into_iter()
        .map(|mut leaves| {
            // Fabric goes through a tree level by level.
            leaves.sort_by_key(|leaf| leaf.depth);
            leaves.into_iter().map(|leaf| leaf.id).collect()
        })
        .collect())
}

#[derive(Clone, Copy)]
struct Leaf {
    id: Id,
    depth: usize,
}

fn leaves(
    rule: &SignaturePolicy,
    identities: &[Id],
    budget: &mut Budget,
    depth: usize,
) -> Result<Vec<Vec<Leaf>>, NoDescriptor> {
    match rule.rule.as_ref() {
        Some(SignatureRule::SignedBy(index)) => {
            let index = usize::try_from(*index).ok();
            let id = index.and_then(|index| identities.get(index));
            let id = *id.ok_or(NoDescriptor::Unsatisfiable)?;
            budget.hold(1)?;
            Ok(vec![vec![Leaf { id, depth }]])
        }
        Some(SignatureRule::NOutOf(branch)) if depth < MAX_DEPTH => {
            combined(branch, identities, budget, depth)
        }
        _ => Err(NoDescriptor::Unsatisfiable),
    }
}

fn combined(
    branch: &NOutOf,
    identities: &[Id],
    budget: &mut Budget,
    depth: usize,
) -> Result<Vec<Vec<Leaf>>, NoDescriptor> {
    let n = usize::try_from(branch.n).unwrap_or_default();
    // A branch that asks for nothing is a leaf without a principal for Fabric.
    if n == 0 || branch.rules.is_empty() {
        return Err(NoDescriptor::Unsatisfiable);
    }
    if branch.rules.len() > MAX_BRANCHES {
        return Err(NoDescriptor::TooMany);
    }
    let mut below = Vec::with_capacity(branch.rules.len());
    for rule in &branch.rules {
        below.push(leaves(rule, identities, budget, depth + 1)?);
    }
    // Fabric leaves out branches by chance until there are few enough combinations.
    while combinations(below.len(), n) > MAX_COMBINATIONS {
        below.pop();
    }
    let mut found = Vec::new();
    choose(&below, n, &mut Vec::new(), &mut found, budget)?;
    Ok(found)
}

/// Adds what satisfies `n` of the first `below` together with what was `chosen` before.
fn choose(
    below: &[Vec<Vec<Leaf>>],
    n: usize,
    chosen: &mut Vec<Leaf>,
    found: &mut Vec<Vec<Leaf>>,
    budget: &mut Budget,
) -> Result<(), NoDescriptor> {
    if n == 0 {
        budget.hold(chosen.len())?;
        found.push(chosen.clone());
        return Ok(());
    }
    let Some((first, rest)) = below.split_first().filter(|_| below.len() >= n) else {
        return Ok(());
    };
    let before = chosen.len();
    for one in first {
        chosen.extend(one);
        choose(rest, n - 1, chosen, found, budget)?;
        chosen.truncate(before);
    }
    choose(rest, n, chosen, found, budget)
}

/// How many ways there are to choose `k` of `n`; `u64::MAX` for more than fit.
fn combinations(n: usize, k: usize) -> u64 {
    if k > n {
        return 0;
    }
    let mut ways: u64 = 1;
    for i in 0..k.min(n - k) {
        let (Ok(factor), Ok(divisor)) = (u64::try_from(n - i), u64::try_from(i + 1)) else {
            return u64::MAX;
        };
        let Some(product) = ways.checked_mul(factor) else {
            return u64::MAX;
        };
        ways = product / divisor;
    }
    ways
}

#[cfg(test)]
mod tests {
    use quire_identity::policy::read_signature_policy;

    use super::*;

    fn count(policy: &str) -> Result<usize, NoDescriptor> {
        let policy = read_signature_policy(policy).unwrap();
        let (mut principals, mut budget) = (Principals::default(), Budget::QUESTION);
        sets(&policy, &mut principals, &mut budget).map(|sets| sets.len())
    }

    /// `OutOf(n, ...)` of `m` organisations.
    fn out_of(n: usize, m: usize) -> String {
        let organizations: Vec<_> = (0..m).map(|one| format!("'Org{one}.peer'")).collect();
        format!("OutOf({n}, {})", organizations.join(", "))
    }

    #[test]
    fn binomials_are_exact_until_they_do_not_fit() {
        let ways = [(5, 2), (5, 5), (5, 0), (2, 5), (40, 20), (200, 100)];
        let ways = ways.map(|(n, k)| combinations(n, k));
        assert_eq!(ways, [10, 1, 1, 0, 137_846_528_820, u64::MAX]);
    }

    #[test]
    fn policies_have_as_many_sets_as_there_are_ways_to_satisfy_them() {
        assert_eq!(count("AND('A.peer', 'B.peer')"), Ok(1));
        assert_eq!(count("OR('A.peer', 'B.peer')"), Ok(2));
        assert_eq!(
            count("OR(AND('A.peer','B.peer'), OutOf(2,'A.peer','B.peer','C.peer'))"),
            Ok(4)
        );
        assert_eq!(count(&out_of(3, 4)), Ok(4));
        assert_eq!(count(&out_of(5, 4)), Err(NoDescriptor::Unsatisfiable));
        // 24310 ways are too many, and those without the last organisation are 12870.
        assert_eq!(count(&out_of(8, 17)), Ok(6435));
    }

    #[test]
    fn a_policy_with_too_many_ways_is_refused_before_it_takes_memory() {
        let wide = out_of(3, 30);
        let product = format!("AND({wide}, {wide}, {wide})");
        assert_eq!(count(&product), Err(NoDescriptor::TooMany));
    }
}
