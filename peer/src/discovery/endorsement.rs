//! Who must endorse a transaction, as Fabric's discovery computes it.
//!
//! ```text
//! policies of chaincodes, collections, keys ──▶ sets of principals ──▶ layouts, of groups of peers
//! ```
//!
//! A group is the peers that a principal means. A layout says how many peers of which groups suffice.

use std::collections::BTreeMap;

use quire_wire::config::SignaturePolicyEnvelope;
use quire_wire::msp::MspPrincipal;
use quire_wire::peer::{ChaincodeCall, ChaincodeInterest};

use super::error::NoDescriptor;
use super::merge::Merger;
use super::principals::{Id, Meaning, Principals, Who};
use super::sets::{Budget, Set, sets};

/// A chaincode as a channel defines it.
#[derive(Clone, Debug, Default)]
pub struct Defined {
    /// The number of the definition.
    pub version: String,
    /// Who must endorse.
    pub policy: SignaturePolicyEnvelope,
    /// Who must endorse what is written to a collection, where that is somebody else.
    pub collection_policies: BTreeMap<String, SignaturePolicyEnvelope>,
    /// The members of each collection.
    pub members: BTreeMap<String, Vec<MspPrincipal>>,
}

/// The chaincodes of a question, by name.
pub type Definitions = BTreeMap<String, Defined>;

/// A peer that may endorse.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who it is.
    pub who: Who,
    /// The chaincodes that it runs, with the numbers of their definitions; `None` where that is not known, and it may be
    /// all.
    pub chaincodes: Option<BTreeMap<String, String>>,
}

/// Who must endorse; peers are positions in the list of candidates.
#[derive(Clone, Debug, Default)]
pub struct Descriptor {
    /// The peers of each group that a layout names.
    pub groups: BTreeMap<String, Vec<usize>>,
    /// Whom each group means.
    pub meanings: BTreeMap<String, Meaning>,
    /// How many peers of which group.
    pub layouts: Vec<BTreeMap<String, u32>>,
}

/// Who must endorse what an interest says.
///
/// # Errors
/// See [`NoDescriptor`].
pub fn descriptor(
    interest: &ChaincodeInterest,
    definitions: &Definitions,
    candidates: &[Candidate],
) -> Result<Descriptor, NoDescriptor> {
    let members = members(interest, definitions, candidates)?;
    let mut principals = Principals::default();
    let sets = principal_sets(interest, definitions, &mut principals)?;
    // Those whom a principal means, whether they run the chaincodes or not.
    let mut meant: BTreeMap<Id, Vec<usize>> = BTreeMap::new();
    for id in sets.iter().flatten() {
        meant.entry(*id).or_insert_with(|| {
            let meant = members
                .iter()
                .filter(|(_, peer)| principals.mean(*id, &peer.who));
            meant.map(|(position, _)| *position).collect()
        });
    }
    let layouts = sufficient(sets.iter().map(counted).collect(), &meant);
    if layouts.is_empty() {
        return Err(NoDescriptor::Peers);
    }
    let running = |position: &usize| {
        let peer = candidates.get(*position);
        peer.is_some_and(|peer| runs(peer, interest, definitions))
    };
    meant.retain(|id, peers| {
        peers.retain(running);
        layouts.iter().any(|layout| layout.contains_key(id)) && !peers.is_empty()
    });
    let layouts = sufficient(layouts, &meant);
    if layouts.is_empty() {
        return Err(NoDescriptor::Installed);
    }
    Ok(Descriptor {
        meanings: meant
            .keys()
            .filter_map(|id| Some((name(*id), principals.meaning(*id)?)))
            .collect(),
        groups: meant
            .into_iter()
            .map(|(id, peers)| (name(id), peers))
            .collect(),
        layouts: layouts
            .into_iter()
            .map(|layout| layout.into_iter().map(|(id, n)| (name(id), n)).collect())
            .collect(),
    })
}

/// The positions of the peers that may endorse what an interest says, as far as its collections go, and run what it
/// calls.
///
/// # Errors
/// A chaincode or a collection is not defined.
pub fn authorized(
    interest: &ChaincodeInterest,
    definitions: &Definitions,
    candidates: &[Candidate],
) -> Result<Vec<usize>, NoDescriptor> {
    let members = members(interest, definitions, candidates)?;
    let running = members
        .into_iter()
        .filter(|(_, peer)| runs(peer, interest, definitions));
    Ok(running.map(|(position, _)| position).collect())
}

/// A group's name, which means nothing.
fn name(id: Id) -> String {
    format!("G{id}")
}

/// How often each principal stands in a set.
fn counted(set: &Set) -> BTreeMap<Id, u32> {
    let mut counted = BTreeMap::new();
    for id in set {
        *counted.entry(*id).or_default() += 1;
    }
    counted
}

/// The layouts for which there are peers enough.
fn sufficient(
    mut layouts: Vec<BTreeMap<Id, u32>>,
    peers: &BTreeMap<Id, Vec<usize>>,
) -> Vec<BTreeMap<Id, u32>> {
    layouts.retain(|layout| {
        layout.iter().all(|(id, n)| {
            let there = peers.get(id).map_or(0, Vec::len);
            u32::try_from(there).is_ok_and(|there| there >= *n)
        })
    });
    layouts
}

fn runs(peer: &Candidate, interest: &ChaincodeInterest, definitions: &Definitions) -> bool {
    interest.chaincodes.iter().all(|call| {
        let version = definitions.get(&call.name).map(|defined| &defined.version);
        let runs = |known: &BTreeMap<String, String>| known.get(&call.name) == version;
        version.is_some() && peer.chaincodes.as_ref().is_none_or(runs)
    })
}

/// The peers that are members of all collections that are read.
fn members<'a>(
    interest: &ChaincodeInterest,
    definitions: &Definitions,
    candidates: &'a [Candidate],
) -> Result<Vec<(usize, &'a Candidate)>, NoDescriptor> {
    let mut asked: Vec<Vec<Meaning>> = Vec::new();
    for call in &interest.chaincodes {
        let defined = defined(call, definitions)?;
        if call.no_private_reads {
            continue;
        }
        for collection in &call.collection_names {
            let members = defined.members.get(collection);
            let members = members.ok_or_else(|| NoDescriptor::Collection {
                chaincode: call.name.clone(),
                collection: collection.clone(),
            })?;
            asked.push(members.iter().map(Meaning::of_any).collect());
        }
    }
    let is_member = |peer: &Candidate| {
        let is_one = |one: &Meaning| one.includes(&peer.who);
        asked.iter().all(|members| members.iter().any(is_one))
    };
    let candidates = candidates.iter().enumerate();
    Ok(candidates.filter(|(_, peer)| is_member(peer)).collect())
}

fn defined<'a>(
    call: &ChaincodeCall,
    definitions: &'a Definitions,
) -> Result<&'a Defined, NoDescriptor> {
    let defined = definitions.get(&call.name);
    defined.ok_or_else(|| NoDescriptor::Chaincode(call.name.clone()))
}

/// The sets of principals that satisfy all policies of an interest.
fn principal_sets(
    interest: &ChaincodeInterest,
    definitions: &Definitions,
    principals: &mut Principals,
) -> Result<Vec<Set>, NoDescriptor> {
    let mut budget = Budget::QUESTION;
    let mut all: Vec<Vec<Set>> = Vec::new();
    for call in &interest.chaincodes {
        for policy in policies(call, defined(call, definitions)?)? {
            all.push(sets(policy, principals, &mut budget)?);
        }
    }
    let mut of_keys: Vec<Vec<Set>> = Vec::new();
    for policy in interest
        .chaincodes
        .iter()
        .flat_map(|call| &call.key_policies)
    {
        of_keys.push(sets(policy, principals, &mut budget)?);
    }
    let mut merger = Merger {
        principals,
        budget: &mut budget,
    };
    if !of_keys.is_empty() {
        all.push(merger.merge_all(of_keys)?);
    }
    if all.is_empty() {
        let first = interest.chaincodes.first();
        let name = first.map(|call| call.name.clone()).unwrap_or_default();
        return Err(NoDescriptor::NothingLeft(name));
    }
    merger.merge_all(all)
}

/// The policies of a call: of its collections, and of the chaincode unless each of these has one of its own.
fn policies<'a>(
    call: &ChaincodeCall,
    defined: &'a Defined,
) -> Result<Vec<&'a SignaturePolicyEnvelope>, NoDescriptor> {
    let own = &defined.policy;
    let mut policies: Vec<&SignaturePolicyEnvelope> = Vec::new();
    for collection in &call.collection_names {
        let policy = defined.collection_policies.get(collection).unwrap_or(own);
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    if call.collection_names.is_empty() {
        policies.push(own);
    }
    if !call.disregard_namespace_policy {
        return Ok(policies);
    }
    policies.retain(|policy| *policy != own);
    if policies.is_empty() && call.key_policies.is_empty() {
        return Err(NoDescriptor::NothingLeft(call.name.clone()));
    }
    Ok(policies)
}

#[cfg(test)]
mod tests;
