//! Affiliations: made, told, renamed and removed by whoever has the right.

use std::sync::Arc;

use crate::affiliation::{self, Tree, is_below, is_within, parent};
use crate::attribute::{AFFILIATION, AFFILIATION_MGR, check_rights};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::crl::AFFILIATION_CHANGED;
use crate::error::{Code, Refusal};
use crate::registry::MAX_AFFILIATIONS;
use crate::registry::identity::IdentityRecord;
use crate::registry::state::{Change, State};
use crate::revoke::revoke_all;

/// Affiliations that were told or changed, and the identities that were with them.
#[derive(Debug)]
pub struct Affected {
    /// Whole paths, sorted.
    pub affiliations: Vec<String>,
    /// By name.
    pub identities: Vec<Arc<IdentityRecord>>,
}

impl Authority {
    /// Whoever changes affiliations, as the change meets it.
    fn manager(&self, state: &State, caller: &Caller) -> Result<Caller, Refusal> {
        let caller = self.still(state, caller)?;
        caller.check_right(AFFILIATION_MGR, Code::MissingRole)?;
        Ok(caller)
    }

    /// All that the caller may see, as a tree.
    ///
    /// # Errors
    /// If there is none.
    pub fn affiliations(&self, caller: &Caller) -> Result<Tree, Refusal> {
        let state = self.registry.state();
        let seen = state.affiliations.iter();
        let seen = seen.filter(|path| is_within(path, &caller.identity.affiliation));
        Tree::of(seen).ok_or_else(|| {
            let detail = "No affiliations are configured on the CA";
            Refusal::new(404, Code::GettingAffiliation, detail)
        })
    }

    /// One with all below it, as a tree.
    ///
    /// # Errors
    /// If there is none such, or it is not the caller's.
    pub fn affiliation(&self, caller: &Caller, path: &str) -> Result<Tree, Refusal> {
        caller.check_affiliation(path)?;
        let state = self.registry.state();
        check_known(&state, path)?;
        let within = state.affiliations.iter();
        let within = within.filter(|other| is_within(other, path));
        Tree::of(within).ok_or_else(|| unknown(path))
    }

    /// Adds one, durable on return; with `force` those above it too, where they are missing.
    ///
    /// # Errors
    /// If it exists, one above it is missing, or the caller may not.
    pub fn add_affiliation(&self, caller: &Caller, path: &str, force: bool) -> Result<(), Refusal> {
        affiliation::check(path, Code::AddAffiliation)?;
        self.registry.change(|state| {
            let caller = &self.manager(state, caller)?;
            if state.affiliations.contains(path) {
                let detail = "Affiliation already exists";
                return Err(Refusal::new(409, Code::AddAffiliation, detail));
            }
            caller.check_affiliation(path)?;
            let mut missing = vec![path.to_owned()];
            let mut above = parent(path);
            while let Some(path) = above {
                if !state.affiliations.contains(path) {
                    missing.push(path.to_owned());
                }
                above = parent(path);
            }
            if missing.len() > 1 && !force {
                let detail = "Parent affiliation does not exist, 'force' option required on request to add affiliation";
                return Err(Refusal::new(400, Code::AddAffiliation, detail));
            }
            if state.affiliations.len() + missing.len() > MAX_AFFILIATIONS {
                let detail = format!("The CA has at most {MAX_AFFILIATIONS} affiliations");
                return Err(Refusal::new(503, Code::AddAffiliation, detail));
            }
            let missing = missing.into_iter().map(Change::Affiliation);
            Ok(((), missing.collect()))
        })
    }

    /// Removes one, durable on return; with `force` those below it too, and the identities of them all, whose
    /// certificates are revoked.
    ///
    /// # Errors
    /// If there is none such, something hangs on it and `force` is not set, or the caller may not.
    pub fn remove_affiliation(
        &self,
        caller: &Caller,
        path: &str,
        force: bool,
    ) -> Result<Affected, Refusal> {
        let refused = |detail: String| Refusal::authorization(Code::RemoveAffiliation, detail);
        if caller.identity.affiliation == path {
            return Err(refused(format!("{path:?} is the caller's own affiliation")));
        }
        let now = self.now();
        self.registry.change(|state| {
            let caller = &self.manager(state, caller)?;
            caller.check_affiliation(path)?;
            check_known(state, path)?;
            let affected = affected(state, path);
            check_registrar(caller, &affected)?;
            if !force && (affected.affiliations.len() > 1 || !affected.identities.is_empty()) {
                return Err(refused(format!(
                    "{path:?} has identities or affiliations below it, and 'force' is not set"
                )));
            }
            let mut changes = Vec::new();
            for identity in &affected.identities {
                changes.push(Change::RemoveIdentity(identity.name.clone()));
                changes.extend(revoke_all(state, &identity.name, AFFILIATION_CHANGED, now));
            }
            let removed = affected.affiliations.iter().cloned();
            changes.extend(removed.map(Change::RemoveAffiliation));
            Ok((affected, changes))
        })
    }

    /// Gives one another path, with all below it; with `force` also where identities have them, which then
    /// have the new ones. Durable on return.
    ///
    /// # Errors
    /// If there is none such, there is one of the new path, identities have it and `force` is not set, or the
    /// caller may not.
    pub fn rename_affiliation(
        &self,
        caller: &Caller,
        path: &str,
        new_path: &str,
        force: bool,
    ) -> Result<Affected, Refusal> {
        affiliation::check(new_path, Code::ModifyAffiliation)?;
        self.registry.change(|state| {
            let caller = &self.manager(state, caller)?;
            caller.check_affiliation(path)?;
            caller.check_affiliation(new_path)?;
            check_known(state, path)?;
            if state.affiliations.contains(new_path) || is_below(new_path, path) {
                let detail = format!("Affiliation '{new_path}' already exists, or is below the old one");
                return Err(Refusal::new(400, Code::ModifyAffiliation, detail));
            }
            if let Some(above) = parent(new_path)
                && !state.affiliations.contains(above)
            {
                let detail = format!("There is no affiliation '{above}' for it to be below");
                return Err(Refusal::new(400, Code::ModifyAffiliation, detail));
            }
            let old = affected(state, path);
            check_registrar(caller, &old)?;
            if !old.identities.is_empty() && !force {
                let detail = format!(
                    "Identities have the affiliation '{path}' or one below it: need to use 'force' to \
                     rename it for them too"
                );
                return Err(Refusal::new(400, Code::ModifyAffiliation, detail));
            }
            renamed(&old, path, new_path)
        })
    }
}

/// What comes of a new path, and the changes that make it so.
fn renamed(old: &Affected, path: &str, new_path: &str) -> Result<(Affected, Vec<Change>), Refusal> {
    let rename = |old: &str| format!("{new_path}{}", old.strip_prefix(path).unwrap_or(""));
    let mut changes = Vec::new();
    let mut new = Affected {
        affiliations: Vec::new(),
        identities: Vec::new(),
    };
    for old in &old.affiliations {
        let renamed = rename(old);
        affiliation::check(&renamed, Code::ModifyAffiliation)?;
        changes.push(Change::RemoveAffiliation(old.clone()));
        new.affiliations.push(renamed);
    }
    let added = new.affiliations.iter().cloned();
    changes.extend(added.map(Change::Affiliation));
    for identity in &old.identities {
        let mut identity = IdentityRecord::clone(identity);
        identity.affiliation = rename(&identity.affiliation);
        identity.set_own(AFFILIATION, identity.affiliation.clone());
        new.identities.push(Arc::new(identity.clone()));
        changes.push(Change::Identity(identity));
    }
    Ok((new, changes))
}

/// An affiliation, those below it, and the identities of them all.
fn affected(state: &State, path: &str) -> Affected {
    let affiliations = state.affiliations.iter();
    let affiliations = affiliations.filter(|other| is_within(other, path));
    let identities = state.identities.values();
    let identities = identities.filter(|identity| is_within(&identity.affiliation, path));
    Affected {
        affiliations: affiliations.cloned().collect(),
        identities: identities.cloned().collect(),
    }
}

/// Whoever changes identities must be a registrar, and of those, with all of their rights.
fn check_registrar(caller: &Caller, affected: &Affected) -> Result<(), Refusal> {
    let mut identities = affected.identities.iter();
    identities.try_for_each(|identity| {
        caller.check_manages(identity)?;
        check_rights(identity, &caller.identity)
    })
}

fn check_known(state: &State, path: &str) -> Result<(), Refusal> {
    if state.affiliations.contains(path) {
        return Ok(());
    }
    Err(unknown(path))
}

fn unknown(path: &str) -> Refusal {
    let detail = format!("Failed to get affiliation: there is none of the name {path:?}");
    Refusal::new(404, Code::NotFound, detail)
}
