//! Identities: made, told, changed and removed by registrars.

use std::fmt;
use std::sync::Arc;

use crate::affiliation;
use crate::attribute::{
    self, AFFILIATION, TYPE, check_given, check_rights, check_size, has_member,
};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::crl::CESSATION_OF_OPERATION;
use crate::error::{Code, Refusal};
use crate::registry::MAX_IDENTITIES;
use crate::registry::identity::{Attribute, IdentityRecord, check_name};
use crate::registry::state::{Change, State};
use crate::revoke::revoke_all;
use crate::secret::{SecretHash, random_secret};

/// Most bytes of a type: it becomes a unit of a certificate.
const MAX_TYPE_BYTES: usize = 64;
/// What says, where an identity is changed, that its secret is good for nothing.
const NEVER: i64 = -2;

/// An identity to register.
#[derive(Clone)]
pub struct NewIdentity {
    /// The enrolment id.
    pub name: String,
    /// Its secret; one is made up where it is empty.
    pub secret: String,
    /// Its type; the registrar's where it is empty.
    pub kind: String,
    /// Its affiliation; the registrar's where it is empty, the root where it is a dot.
    pub affiliation: String,
    /// What else is said of it.
    pub attributes: Vec<Attribute>,
    /// How often its secret is good; -1 or 0 for always.
    pub max_enrollments: i64,
}

/// What is to be another in an identity. What is empty or 0 stays.
#[derive(Clone)]
pub struct Modification {
    /// A new secret.
    pub secret: String,
    /// A new type.
    pub kind: String,
    /// A new affiliation; a dot for the root.
    pub affiliation: String,
    /// Attributes to set, or to remove where their value is empty.
    pub attributes: Vec<Attribute>,
    /// How often its secret is good; -1 for always, -2 for never.
    pub max_enrollments: i64,
}

impl fmt::Debug for NewIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewIdentity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Modification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Modification(..)")
    }
}

impl Authority {
    /// Registers an identity, durable on return; returns it with its secret.
    ///
    /// # Errors
    /// If the caller may not, there is one of that name, or it cannot be one.
    pub fn register(
        &self,
        caller: &Caller,
        new: NewIdentity,
    ) -> Result<(Arc<IdentityRecord>, String), Refusal> {
        let new = self.check_new(caller, new)?;
        let secret = if new.secret.is_empty() {
            random_secret(self.outside.random.as_ref())?
        } else {
            new.secret
        };
        let hash = SecretHash::of(&secret, self.outside.random.as_ref())?;
        let own = attribute::own(&new.name, &new.kind, &new.affiliation);
        let identity = IdentityRecord {
            name: new.name,
            kind: new.kind,
            affiliation: new.affiliation,
            attributes: last_of_each(new.attributes.into_iter().chain(own)),
            max_enrollments: new.max_enrollments,
            enrollments: 0,
            failed_attempts: 0,
            revoked: false,
            secret: hash,
        };
        let made = self.registry.change(|state| {
            let caller = &self.still(state, caller)?;
            if state.identities.contains_key(&identity.name) {
                let detail = format!("Identity '{}' is already registered", identity.name);
                return Err(Refusal::new(409, Code::AlreadyRegistered, detail));
            }
            if self.registry.is_full() {
                let detail = "The CA's registry is full: it takes no more identities";
                return Err(Refusal::new(503, Code::Registering, detail));
            }
            if state.identities.len() >= MAX_IDENTITIES {
                let detail = format!("The CA has {MAX_IDENTITIES} identities and takes no more");
                return Err(Refusal::new(503, Code::Registering, detail));
            }
            // What allowed it may have been taken away meanwhile, and the affiliation removed.
            caller.check_manages(&identity)?;
            check_rights(&identity, &caller.identity)?;
            check_exists(state, &identity.affiliation)?;
            let made = Arc::new(identity.clone());
            Ok((made, vec![Change::Identity(identity)]))
        })?;
        Ok((made, secret))
    }

    /// What a new identity comes to, if the caller may register it.
    fn check_new(&self, caller: &Caller, mut new: NewIdentity) -> Result<NewIdentity, Refusal> {
        if new.kind.is_empty() {
            new.kind.clone_from(&caller.identity.kind);
        }
        new.kind = as_role(&new.kind).to_owned();
        match new.affiliation.as_str() {
            "" => new.affiliation.clone_from(&caller.identity.affiliation),
            "." => new.affiliation.clear(),
            _ => {}
        }
        let allowed = caller
            .check_type(&new.kind)
            .and_then(|()| caller.check_affiliation(&new.affiliation))
            .and_then(|()| check_exists(&self.registry.state(), &new.affiliation))
            .and_then(|()| check_given(&new.attributes, None, &caller.identity));
        // The caller is not told which right is lacking.
        allowed.map_err(|refusal| {
            let detail = format!("Registration of '{}' failed: {refusal}", new.name);
            Refusal::authorization(Code::RegistrationNotAllowed, detail)
        })?;
        check_name(&new.name)?;
        check_type_text(&new.kind)?;
        check_size(&new.attributes)?;
        new.max_enrollments = match new.max_enrollments {
            0 => -1,
            most if most < -1 => {
                let detail = format!(
                    "Max enrollment in registration request may not be less than -1, but was {most}"
                );
                return Err(Refusal::new(400, Code::InvalidMaxEnrollments, detail));
            }
            most => most,
        };
        Ok(new)
    }

    /// The identity of that name.
    ///
    /// # Errors
    /// If there is none, or it is not the caller's to see.
    pub fn identity(&self, caller: &Caller, name: &str) -> Result<Arc<IdentityRecord>, Refusal> {
        let identity = find(&self.registry.state(), name)?;
        caller.check_manages(&identity)?;
        Ok(identity)
    }

    /// Every identity that the caller may see, by name.
    ///
    /// # Errors
    /// If the caller is no registrar.
    pub fn identities(&self, caller: &Caller) -> Result<Vec<Arc<IdentityRecord>>, Refusal> {
        let roles = caller.registrar_roles()?;
        let state = self.registry.state();
        let seen = state.identities.values().filter(|identity| {
            has_member(roles, &identity.kind)
                && affiliation::is_within(&identity.affiliation, &caller.identity.affiliation)
        });
        Ok(seen.cloned().collect())
    }

    /// Changes an identity, durable on return.
    ///
    /// # Errors
    /// If there is none, or the caller may not.
    pub fn modify(
        &self,
        caller: &Caller,
        name: &str,
        new: &Modification,
    ) -> Result<Arc<IdentityRecord>, Refusal> {
        Self::check_modification(&self.registry.state(), caller, name, new)?;
        let hash = match new.secret.as_str() {
            "" => None,
            secret => Some(SecretHash::of(secret, self.outside.random.as_ref())?),
        };
        self.registry.change(|state| {
            let caller = &self.still(state, caller)?;
            let mut identity = IdentityRecord::clone(&*find(state, name)?);
            // The caller's rights too may be others by now.
            Self::check_modification(state, caller, name, new)?;
            if let Some(hash) = hash {
                identity.secret = hash;
                identity.failed_attempts = 0;
            }
            match new.max_enrollments {
                0 => {}
                NEVER => identity.max_enrollments = 0,
                most => identity.max_enrollments = most,
            }
            identity.set_attributes(&new.attributes);
            if !new.affiliation.is_empty() {
                root_is_empty(&new.affiliation).clone_into(&mut identity.affiliation);
                check_exists(state, &identity.affiliation)?;
                identity.set_own(AFFILIATION, identity.affiliation.clone());
            }
            if !new.kind.is_empty() {
                as_role(&new.kind).clone_into(&mut identity.kind);
                identity.set_own(TYPE, identity.kind.clone());
            }
            check_size(&identity.attributes)?;
            let changed = Arc::new(identity.clone());
            Ok((changed, vec![Change::Identity(identity)]))
        })
    }

    /// Makes sure that a caller may change an identity so.
    fn check_modification(
        state: &State,
        caller: &Caller,
        name: &str,
        new: &Modification,
    ) -> Result<(), Refusal> {
        let identity = find(state, name)?;
        caller.check_manages(&identity)?;
        check_rights(&identity, &caller.identity)?;
        if !new.affiliation.is_empty() {
            let path = root_is_empty(&new.affiliation);
            let known = check_exists(state, path);
            known.map_err(|_| {
                let detail = format!("Affiliation '{path}' is not supported");
                Refusal::new(400, Code::ModifyIdentity, detail)
            })?;
            caller.check_affiliation(path)?;
        }
        if !new.kind.is_empty() {
            check_type_text(&new.kind)?;
            caller.check_type(&new.kind)?;
        }
        if new.max_enrollments < NEVER {
            let detail = "Max enrollment may not be less than -2";
            return Err(Refusal::new(400, Code::InvalidMaxEnrollments, detail));
        }
        check_given(&new.attributes, Some(&identity), &caller.identity)
    }

    /// Removes an identity and revokes its certificates, durable on return.
    ///
    /// # Errors
    /// If there is none, the caller may not, or it is the caller's own and `force` is not set.
    pub fn remove(
        &self,
        caller: &Caller,
        name: &str,
        force: bool,
    ) -> Result<Arc<IdentityRecord>, Refusal> {
        if name == caller.identity.name && !force {
            let detail = "Need to use 'force' option to delete your own identity";
            return Err(Refusal::new(403, Code::RemoveIdentity, detail));
        }
        let now = self.now();
        self.registry.change(|state| {
            let caller = &self.still(state, caller)?;
            let identity = find(state, name)?;
            caller.check_manages(&identity)?;
            check_rights(&identity, &caller.identity)?;
            let mut changes = vec![Change::RemoveIdentity(name.to_owned())];
            changes.extend(revoke_all(state, name, CESSATION_OF_OPERATION, now));
            Ok((identity, changes))
        })
    }
}

/// The identity of a name.
pub(crate) fn find(state: &State, name: &str) -> Result<Arc<IdentityRecord>, Refusal> {
    let identity = state.identities.get(name).cloned();
    identity.ok_or_else(|| {
        let detail = format!("Failed to get User: there is none of the name {name:?}");
        Refusal::new(404, Code::NotFound, detail)
    })
}

/// Makes sure that there is an affiliation; there always is a root.
fn check_exists(state: &State, path: &str) -> Result<(), Refusal> {
    if path.is_empty() || state.affiliations.contains(path) {
        return Ok(());
    }
    let detail = format!("Failed getting affiliation '{path}': there is none");
    Err(Refusal::new(404, Code::GettingAffiliation, detail))
}

fn check_type_text(kind: &str) -> Result<(), Refusal> {
    let is_text = (1..=MAX_TYPE_BYTES).contains(&kind.len())
        && kind
            .chars()
            .all(|char| !char.is_control() && char != ',' && char != '*');
    if is_text {
        return Ok(());
    }
    let detail =
        format!("A type is a text of 1 to {MAX_TYPE_BYTES} bytes without commas and stars");
    Err(Refusal::new(400, Code::Registering, detail))
}

/// A type as it is written: a role as Fabric writes it.
fn as_role(kind: &str) -> &str {
    affiliation::role(kind).unwrap_or(kind)
}

fn root_is_empty(path: &str) -> &str {
    if path == "." { "" } else { path }
}

fn last_of_each(attributes: impl Iterator<Item = Attribute>) -> Vec<Attribute> {
    let mut last: Vec<Attribute> = Vec::new();
    for attribute in attributes {
        last.retain(|other| other.name != attribute.name);
        last.push(attribute);
    }
    last
}
