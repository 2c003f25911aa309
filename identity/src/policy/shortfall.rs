//! Why signatures do not suffice, for people.

use std::fmt;

use super::rule::{Rule, Taken};
use super::{Node, Policy};
use crate::identity::Identity;

/// Most bytes of the text; a policy of 1,000 organisations is cut.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// What a policy that is not satisfied still asks for, and what became of the signatures that are there:
/// `2 of (Org1MSP.peer signed by peer0; Org2MSP.peer is missing); Org1MSP.admin Anna was not used`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    text: String,
}

impl Shortfall {
    pub(super) fn of(policy: &Policy, signers: &[&Identity]) -> Self {
        let mut used = vec![false; signers.len()];
        let mut left = MAX_TEXT_BYTES;
        let described = describe(policy, signers, &mut used, &mut left);
        let unused = signers.iter().zip(&used).filter(|(_, used)| !**used);
        let unused: Vec<_> = unused.map(|(signer, _)| name_of(signer)).collect();
        let rest = match unused.as_slice() {
            [] if signers.is_empty() => "; nobody signed".to_owned(),
            [] => String::new(),
            [one] => format!("; the signature of {one} was not used"),
            many => format!("; the signatures of {} were not used", many.join(", ")),
        };
        Self {
            text: shortened(described + &rest),
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn shortened(text: String) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let kept = text.char_indices().map(|(at, _)| at);
    let end = kept.take_while(|at| *at <= MAX_TEXT_BYTES).last();
    let kept = text.get(..end.unwrap_or_default()).unwrap_or_default();
    format!("{kept}…")
}

fn name_of(signer: &Identity) -> String {
    let role = signer.role().map(|role| format!(".{role}"));
    let role = role.unwrap_or_default();
    format!("{}{role} {:?}", signer.msp_id(), signer.name())
}

/// `left` counts the bytes that are still to be told: a policy can be large.
fn describe(policy: &Policy, signers: &[&Identity], used: &mut [bool], left: &mut usize) -> String {
    match &*policy.node {
        Node::Signatures(rule) => {
            let mut taken = vec![None; signers.len()];
            if !rule.take(signers, &mut taken) {
                // What a failed rule took is what it would have used.
                taken = tried(rule, signers);
            }
            for (used, taken) in used.iter_mut().zip(&taken) {
                *used |= taken.is_some();
            }
            describe_rule(rule, signers, &taken, left)
        }
        Node::Implicit(n, below) => {
            let mut described = Vec::new();
            for policy in below {
                if *left == 0 {
                    break;
                }
                described.push(describe(policy, signers, used, left));
            }
            format!("{n} of ({})", described.join("; "))
        }
        Node::NoneOf(_) => "a rule that there is not".to_owned(),
        Node::Never(path) => format!("{path}, which is not there"),
    }
}

/// What the rule's branches take, whether enough of them hold or not.
fn tried(rule: &Rule, signers: &[&Identity]) -> Vec<Taken> {
    let mut taken = vec![None; signers.len()];
    try_leaves(rule, signers, &mut taken);
    taken
}

fn try_leaves(rule: &Rule, signers: &[&Identity], taken: &mut Vec<Taken>) {
    match rule {
        Rule::SignedBy(..) => {
            rule.take(signers, taken);
        }
        Rule::NOutOf(_, rules) => {
            for rule in rules {
                try_leaves(rule, signers, taken);
            }
        }
    }
}

fn describe_rule(rule: &Rule, signers: &[&Identity], taken: &[Taken], left: &mut usize) -> String {
    match rule {
        Rule::SignedBy(leaf, principal) => {
            let mut by = signers.iter().zip(taken);
            let text = match by.find(|(_, taken)| **taken == Some(*leaf)) {
                Some((signer, _)) => format!("{principal} signed by {:?}", signer.name()),
                None => format!("{principal} is missing"),
            };
            *left = left.saturating_sub(text.len());
            shortened(text)
        }
        Rule::NOutOf(n, rules) => {
            let mut described = Vec::new();
            for rule in rules {
                if *left == 0 {
                    break;
                }
                described.push(describe_rule(rule, signers, taken, left));
            }
            match (n, described.as_slice()) {
                // One branch that must hold needs no words of its own.
                (1, [one]) => one.clone(),
                (n, all) => format!("{n} of ({})", all.join(", ")),
            }
        }
    }
}
