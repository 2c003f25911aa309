//! Do the signers of a transaction suffice? The policies of its written keys, of their collections, and of
//! their chaincodes decide, as the blocks before define them.
//!
//! The rules are those of Fabric's validation plugin for channels with 2.0 capabilities. For every chaincode
//! that is called or written to, each written key must have the endorsements that its own policy demands. A
//! key without a policy needs those of its collection's policy, or, if there is none, of the chaincode's
//! policy. If nothing was written, the chaincode's policy applies. A key whose policy was changed by an
//! endorsed transaction earlier in the block cannot be written: it is not clear which policy applies.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use quire_identity::Identity;
use quire_wire::rwset::KvMetadataWrite;
use quire_wire::{Code, Message as _};

use super::definitions::{Definition, LSCC};
use super::policies::{compile, members, of_signatures, reference};
use super::trust::{Checked, Trust};
use crate::error::ReadError;
use crate::model::examined::{Content, Endorsed, Examined, NamespaceSet, Origin, Stage};
use crate::model::namespace::{LIFECYCLE, hashed_namespace};
use crate::validation::pending::Pending;

/// Who must endorse, if a chaincode has no policy of its own.
pub const ENDORSEMENT_POLICY: &str = "/Channel/Application/Endorsement";
/// The name of an organisation's policy for endorsements, and of the definitions' policy.
const ENDORSEMENT: &str = "Endorsement";
const LIFECYCLE_ENDORSEMENT: &str = "/Channel/Application/LifecycleEndorsement";
/// The member of a key's metadata that is its policy: `peer.MetaDataKeys` of Fabric.
const VALIDATION_PARAMETER: &str = "VALIDATION_PARAMETER";
/// Fabric's prefix of the collection that every organisation has without a definition; the id of its MSP
/// follows.
pub const IMPLICIT_COLLECTION: &str = "_implicit_org_";
/// Fabric 1's own chaincodes, whose transactions have special rules.
const SYSTEM: [&str; 4] = [LSCC, "cscc", "qscc", ""];

/// The most definitions, and the most policies, that are kept for the next transactions. Anybody can name
/// undefined chaincodes, and each key may have its own policy.
const MAX_KEPT: usize = 1_000;
/// The most bytes of the name of a chaincode whose definition is kept, and of a policy that is kept.
const MAX_KEPT_NAME: usize = 256;
const MAX_KEPT_POLICY: usize = 16 << 10;

/// A chaincode, a collection (`""` for public keys), and a key or the hash of one.
pub(crate) type KeyPlace = (String, String, Bytes);

/// The result of checking a transaction's signatures.
#[derive(Debug)]
pub(crate) enum Signed {
    /// They were not checked: that was not asked for, or there are none.
    NotLookedAt,
    /// They are valid.
    Sound {
        /// The number of signatures.
        signatures: u64,
        /// The number of invalid endorsements that are not needed.
        unneeded: u64,
        /// Whether the endorsers were checked against every policy.
        by_policy: bool,
    },
    /// The creator's signature is valid, but something else is wrong with what it signed.
    ByCreator,
    /// The creator is not valid, or did not sign.
    BadCreator(String),
    /// The endorsers do not suffice, or no endorsers could: the code, and the reason.
    Refused(Code, String),
}

/// Why a transaction is refused.
type Refusal = (Code, String);

/// The policies against which a transaction's endorsers were checked so far, in one namespace.
#[derive(Default)]
struct HeldAgainst<'a> {
    /// Collections; `""` is the chaincode's own policy.
    collections: BTreeSet<&'a str>,
    any: bool,
}

impl Trust {
    /// Checks that the right signers signed a transaction that comes next in its block. A transaction that is
    /// `known` from an earlier block changes nothing, not even a policy of a key.
    pub(crate) fn judge(
        &mut self,
        checked: Checked,
        transaction: &Examined,
        known: bool,
        pending: &mut Pending<'_>,
    ) -> Result<Signed, ReadError> {
        let (endorsers, refused) = match checked {
            Checked::NotLookedAt => return Ok(Signed::NotLookedAt),
            Checked::BadCreator(reason) => return Ok(Signed::BadCreator(reason)),
            _ if self.refuses_version_of(transaction) => {
                let text = "the chaincode has no version".to_owned();
                return Ok(Signed::Refused(Code::INVALID_CHAINCODE, text));
            }
            Checked::Creator if !transaction.code.is_valid() => return Ok(Signed::ByCreator),
            Checked::Creator => {
                return Ok(Signed::Sound {
                    signatures: 1,
                    unneeded: 0,
                    by_policy: true,
                });
            }
            Checked::Endorsed { endorsers, refused } => (endorsers, refused),
        };
        let Content::Endorsed(endorsed) = &transaction.content else {
            return Ok(Signed::NotLookedAt);
        };
        let reason = refused
            .as_ref()
            .map(|(reason, _)| format!("; one does not hold: {reason}"));
        let reason = reason.unwrap_or_default();
        let mut by_policy = true;
        for chaincode in self.written(endorsed) {
            match self.judge_chaincode(chaincode, endorsed, &endorsers, pending)? {
                Ok(is_judged) => by_policy &= is_judged,
                Err((code, text)) => return Ok(Signed::Refused(code, format!("{text}{reason}"))),
            }
        }
        // Without a policy it is not known which endorsement is not needed.
        if refused.is_some() && !by_policy {
            let text = format!("some{reason}");
            return Ok(Signed::Refused(Code::ENDORSEMENT_POLICY_FAILURE, text));
        }
        if !known {
            self.note_changed_policies(endorsed);
        }
        Ok(Signed::Sound {
            signatures: 1 + endorsers.len() as u64,
            unneeded: refused.map_or(0, |(_, count)| count),
            by_policy,
        })
    }

    /// Whether a chaincode needs a version here and has none. Fabric finds that before it looks at what the call did.
    fn refuses_version_of(&self, transaction: &Examined) -> bool {
        let Content::Endorsed(endorsed) = &transaction.content else {
            return false;
        };
        let is_first = matches!(transaction.own_objection(), None | Some(Stage::Call));
        self.bundle.is_without_documents() && endorsed.lacks_version && is_first
    }

    /// Whether the channel is of Fabric 1, whose own chaincodes have rules that are not known here.
    fn is_legacy(&self) -> bool {
        let application = self.bundle.application();
        self.origin == Origin::Fabric
            && !application.is_some_and(|group| group.capabilities.lifecycle_v20())
    }

    /// The chaincodes whose endorsement a transaction needs: the called one, and those to which it writes.
    fn written<'e>(&self, endorsed: &'e Endorsed) -> BTreeSet<&'e str> {
        let called = endorsed.call.action.chaincode_id.as_ref();
        let called = called.map(|chaincode| chaincode.name.as_str());
        match called {
            // The writes of a deployment follow the rules of deployment.
            Some(system) if self.is_legacy() && SYSTEM.contains(&system) => {
                BTreeSet::from([system])
            }
            _ => named(endorsed),
        }
    }

    /// Checks that the endorsers suffice for all writes in one namespace; false if the rules are not known
    /// here.
    fn judge_chaincode(
        &mut self,
        chaincode: &str,
        endorsed: &Endorsed,
        endorsers: &[Arc<Identity>],
        pending: &mut Pending<'_>,
    ) -> Result<Result<bool, Refusal>, ReadError> {
        if self.is_legacy() && SYSTEM.contains(&chaincode) {
            return Ok(Ok(false));
        }
        let definition = self.definition(chaincode, pending)?;
        let definition = definition.filter(|definition| !definition.policy.is_empty());
        let Some(definition) = definition else {
            if self.is_legacy() {
                return Ok(Ok(false));
            }
            let text = format!("no definition of {chaincode:?}");
            return Ok(Err((Code::INVALID_CHAINCODE, text)));
        };
        let mut asked = HeldAgainst::default();
        let sets = endorsed.read_write_set.namespaces.iter();
        for set in sets.filter(|set| set.namespace == chaincode) {
            for (collection, key) in written_keys(set) {
                let place = (chaincode, collection, key);
                let policy = match self.policy_of_key(place, pending)? {
                    Ok(policy) => policy,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                let judged = if let Some(policy) = policy {
                    asked.any = true;
                    let what = || format!("a key of {chaincode:?}");
                    self.hold(&policy, endorsers, what)
                } else {
                    let place = (chaincode, collection);
                    self.judge_collection(place, &definition, endorsers, &mut asked)
                };
                if let Err(refusal) = judged {
                    return Ok(Err(refusal));
                }
            }
        }
        if asked.any {
            return Ok(Ok(true));
        }
        let judged = self.judge_collection((chaincode, ""), &definition, endorsers, &mut asked);
        Ok(judged.map(|()| true))
    }

    /// Checks endorsers against the policy of a collection, or of its chaincode if it has none.
    fn judge_collection<'a>(
        &mut self,
        (chaincode, collection): (&str, &'a str),
        definition: &Definition,
        endorsers: &[Arc<Identity>],
        asked: &mut HeldAgainst<'a>,
    ) -> Result<(), Refusal> {
        if asked.collections.contains(collection) {
            return Ok(());
        }
        let policy = match &definition.collections {
            Some(defined) if !collection.is_empty() => {
                let known = defined.iter().find(|one| one.name == collection);
                if let Some(organization) = collection.strip_prefix(IMPLICIT_COLLECTION) {
                    Some(self.policy_of_organization(organization)?)
                } else if let Some(known) = known {
                    known.policy.clone()
                } else {
                    let text = format!("no collection {collection:?} of {chaincode:?}");
                    return Err((Code::ENDORSEMENT_POLICY_FAILURE, text));
                }
            }
            _ => None,
        };
        let of_its_own = policy.filter(|policy| !policy.is_empty());
        let (policy, name) = match &of_its_own {
            Some(policy) => (policy, collection),
            None => (&definition.policy, ""),
        };
        if asked.collections.contains(name) {
            return Ok(());
        }
        let what = || match name {
            "" => format!("{chaincode:?}"),
            name => format!("the collection {name:?} of {chaincode:?}"),
        };
        self.hold(policy, endorsers, what)?;
        asked.collections.insert(name);
        asked.any = true;
        Ok(())
    }

    fn hold(
        &mut self,
        policy: &Bytes,
        endorsers: &[Arc<Identity>],
        what: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        let bundle = &self.bundle;
        let known = self.policies.get(policy).cloned();
        let compiled = known.unwrap_or_else(|| {
            let compiled = compile(policy, bundle);
            if policy.len() <= MAX_KEPT_POLICY {
                if self.policies.len() >= MAX_KEPT {
                    self.policies.clear();
                }
                let policy = Bytes::copy_from_slice(policy);
                self.policies.insert(policy, compiled.clone());
            }
            compiled
        });
        if compiled.is_some_and(|policy| policy.is_satisfied_by(endorsers)) {
            return Ok(());
        }
        let (count, what) = (endorsers.len(), what());
        let text = format!("{count} that hold and do not satisfy the policy of {what}");
        Err((Code::ENDORSEMENT_POLICY_FAILURE, text))
    }

    /// The definition by which the block is judged. It fails if a definition is needed but there is none.
    fn definition(
        &mut self,
        chaincode: &str,
        pending: &Pending<'_>,
    ) -> Result<Option<Arc<Definition>>, ReadError> {
        if let Some(known) = self.definitions.get(chaincode) {
            return Ok(known.clone());
        }
        let definition = match chaincode {
            LIFECYCLE => Some(Definition {
                policy: self.policy_of_lifecycle(),
                collections: Some(Vec::new()),
            }),
            _ => Definition::read(chaincode, self.origin, pending)?,
        };
        // The built-in chaincode governs an undefined name, but not a name that no chaincode can have, such
        // as the namespaces of the configuration and of private data.
        let may_be_built_in = self.origin == Origin::Quire
            && !self.bundle.is_without_documents()
            && is_name(chaincode);
        let definition = definition.or_else(|| {
            may_be_built_in.then(|| Definition {
                policy: reference(ENDORSEMENT_POLICY),
                collections: None,
            })
        });
        let definition = definition.map(Arc::new);
        if chaincode.len() <= MAX_KEPT_NAME {
            if self.definitions.len() >= MAX_KEPT {
                self.definitions.clear();
            }
            self.definitions
                .insert(chaincode.to_owned(), definition.clone());
        }
        Ok(definition)
    }

    /// The policy that a key had before the block; `None` if it had none.
    fn policy_of_key(
        &self,
        (chaincode, collection, key): (&str, &str, &[u8]),
        pending: &mut Pending<'_>,
    ) -> Result<Result<Option<Bytes>, Refusal>, ReadError> {
        let place = || {
            let key = Bytes::copy_from_slice(key);
            (chaincode.to_owned(), collection.to_owned(), key)
        };
        if !self.changed_policies.is_empty() && self.changed_policies.contains(&place()) {
            let text = format!("a key of {chaincode:?} whose policy was changed in this block");
            return Ok(Err((Code::ENDORSEMENT_POLICY_FAILURE, text)));
        }
        let may_have = match collection {
            "" => pending.may_have_metadata(chaincode)?,
            _ => pending.may_have_metadata(&hashed_namespace(chaincode, collection))?,
        };
        if !may_have {
            return Ok(Ok(None));
        }
        let metadata = pending.metadata_before_block(chaincode, collection, key)?;
        let entries = KvMetadataWrite::decode(metadata).map(|metadata| metadata.entries);
        let mut entries = entries.unwrap_or_default().into_iter().rev();
        let policy = entries.find(|entry| entry.name == VALIDATION_PARAMETER);
        let policy = policy.filter(|entry| !entry.value.is_empty());
        Ok(Ok(policy.map(|entry| of_signatures(entry.value))))
    }

    /// The policy of an organisation's private data without a defined collection.
    fn policy_of_organization(&self, msp_id: &str) -> Result<Bytes, Refusal> {
        let mut named = self.bundle.application_organizations();
        let Some((name, _)) = named.find(|(_, id)| *id == msp_id) else {
            let text = format!("no organisation {msp_id:?}");
            return Err((Code::ENDORSEMENT_POLICY_FAILURE, text));
        };
        let path = format!("/Channel/Application/{name}/{ENDORSEMENT}");
        if self.bundle.policy(&path).is_ok() {
            return Ok(reference(&path));
        }
        Ok(members(1, &[msp_id.to_owned()]))
    }

    /// Who must endorse definitions: if the configuration does not say it, members of a majority of
    /// organisations.
    fn policy_of_lifecycle(&self) -> Bytes {
        if self.bundle.policy(LIFECYCLE_ENDORSEMENT).is_ok() {
            return reference(LIFECYCLE_ENDORSEMENT);
        }
        let all = self.bundle.application_msp_ids();
        let all: Vec<String> = all.map(str::to_owned).collect();
        members(all.len() / 2 + 1, &all)
    }

    /// Notes the keys that later transactions of the block cannot write.
    fn note_changed_policies(&mut self, endorsed: &Endorsed) {
        for set in &endorsed.read_write_set.namespaces {
            let public = set.public.metadata_writes.iter();
            let public = public.map(|write| ("", Bytes::copy_from_slice(write.key.as_bytes())));
            let hashed = set.collections.iter().flat_map(|(collection, hashed)| {
                let writes = hashed.metadata_writes.iter();
                writes.map(move |write| (collection.as_str(), write.key_hash.clone()))
            });
            for (collection, key) in public.chain(hashed) {
                let place = (set.namespace.clone(), collection.to_owned(), key);
                self.changed_policies.insert(place);
            }
        }
    }
}

/// The chaincode that a transaction calls, and those to which it writes.
pub(super) fn named(endorsed: &Endorsed) -> BTreeSet<&str> {
    let called = endorsed.call.action.chaincode_id.as_ref();
    let called = called.map(|chaincode| chaincode.name.as_str());
    let sets = endorsed.read_write_set.namespaces.iter();
    let written = sets.filter(|set| is_written(set));
    written
        .map(|set| set.namespace.as_str())
        .chain(called)
        .collect()
}

/// Whether a chaincode can have this name.
fn is_name(chaincode: &str) -> bool {
    !chaincode.is_empty() && !chaincode.contains("$$")
}

fn is_written(set: &NamespaceSet) -> bool {
    !set.public.writes.is_empty()
        || !set.public.metadata_writes.is_empty()
        || set.collections.iter().any(|(_, hashed)| {
            !hashed.hashed_writes.is_empty() || !hashed.metadata_writes.is_empty()
        })
}

/// Every written key, with its collection: public keys first, and values before metadata, in Fabric's order.
fn written_keys(set: &NamespaceSet) -> impl Iterator<Item = (&str, &[u8])> {
    let writes = set.public.writes.iter().map(|write| write.key.as_bytes());
    let metadata = set.public.metadata_writes.iter();
    let metadata = metadata.map(|write| write.key.as_bytes());
    let public = writes.chain(metadata).map(|key| ("", key));
    let hashed = set.collections.iter().flat_map(|(collection, hashed)| {
        let writes = hashed.hashed_writes.iter();
        writes.map(move |write| (collection.as_str(), &write.key_hash[..]))
    });
    let hashed_metadata = set.collections.iter().flat_map(|(collection, hashed)| {
        let writes = hashed.metadata_writes.iter();
        writes.map(move |write| (collection.as_str(), &write.key_hash[..]))
    });
    public.chain(hashed).chain(hashed_metadata)
}
