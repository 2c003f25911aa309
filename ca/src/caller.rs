//! Who makes a request, and what it may do within the CA.

use std::sync::Arc;

use crate::affiliation;
use crate::attribute::{ROLES, has_member, truth};
use crate::error::{Code, Refusal};
use crate::registry::certificate::CertificateRecord;
use crate::registry::identity::IdentityRecord;

/// Who makes a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As the registry knows it.
    pub identity: Arc<IdentityRecord>,
    /// What it showed.
    pub certificate: Arc<CertificateRecord>,
}

impl Caller {
    /// Makes sure that an affiliation is the caller's or below.
    ///
    /// # Errors
    /// If not.
    pub fn check_affiliation(&self, path: &str) -> Result<(), Refusal> {
        if affiliation::is_within(path, &self.identity.affiliation) {
            return Ok(());
        }
        let name = &self.identity.name;
        let detail = format!("{name} has no authority over the affiliation {path:?}");
        Err(Refusal::authorization(Code::CallerNotAffiliated, detail))
    }

    /// The types that the caller registers.
    ///
    /// # Errors
    /// If it is no registrar.
    pub fn registrar_roles(&self) -> Result<&str, Refusal> {
        let roles = self.identity.attribute(ROLES);
        roles.filter(|roles| !roles.is_empty()).ok_or_else(|| {
            let detail = format!("{} is no registrar", self.identity.name);
            Refusal::authorization(Code::NotRegistrar, detail)
        })
    }

    /// Makes sure that the caller registers identities of this type.
    ///
    /// # Errors
    /// If not.
    pub fn check_type(&self, kind: &str) -> Result<(), Refusal> {
        let kind = if kind.is_empty() { "client" } else { kind };
        if has_member(self.registrar_roles()?, kind) {
            return Ok(());
        }
        let detail = format!("{} does not register the type {kind:?}", self.identity.name);
        Err(Refusal::authorization(Code::CallerNotAffiliated, detail))
    }

    /// Makes sure that an identity is of an affiliation and a type that the caller acts on.
    ///
    /// # Errors
    /// If not.
    pub fn check_manages(&self, identity: &IdentityRecord) -> Result<(), Refusal> {
        self.check_affiliation(&identity.affiliation)?;
        self.check_type(&identity.kind)
    }

    /// Whether an attribute of the caller is true.
    #[must_use]
    pub fn has_right(&self, name: &str) -> bool {
        self.identity.attribute(name).and_then(truth) == Some(true)
    }

    /// Makes sure that an attribute of the caller is true.
    ///
    /// # Errors
    /// If not: with `code`.
    pub fn check_right(&self, name: &str, code: Code) -> Result<(), Refusal> {
        if self.has_right(name) {
            return Ok(());
        }
        let detail = format!("{} of {} is not true", name, self.identity.name);
        Err(Refusal::authorization(code, detail))
    }
}
