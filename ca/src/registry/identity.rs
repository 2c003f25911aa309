//! An identity as the registry knows it.

use quire_identity::organization::{ADMINISTRATOR, OWN_IDENTITIES, is_identity_name};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};
use crate::secret::SecretHash;

/// A name and a value that belong to an identity, and may stand in its certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Names of the prefix `hf.` are rights within the CA.
    pub name: String,
    /// Whatever the registrar gave it.
    #[serde(default)]
    pub value: String,
    /// Whether it stands in every enrolment certificate that does not ask for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ecert: bool,
}

/// Somebody who may enrol.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityRecord {
    /// The enrolment id.
    pub name: String,
    /// `client`, `peer`, `orderer`, `admin`, or whatever the organisation says.
    #[serde(rename = "type")]
    pub kind: String,
    /// A path of names with dots between; empty is the root.
    pub affiliation: String,
    /// Each name once.
    pub attributes: Vec<Attribute>,
    /// How often its secret is good; -1 for always.
    pub max_enrollments: i64,
    /// How often it was used.
    pub enrollments: u64,
    /// Wrong secrets shown since the last right one.
    pub failed_attempts: u32,
    /// Whether it was revoked as a whole.
    pub revoked: bool,
    /// What is kept of its secret.
    pub secret: SecretHash,
}

impl IdentityRecord {
    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|attribute| attribute.name == name);
        found.map(|attribute| attribute.value.as_str())
    }

    /// Takes new values in: one that is empty removes the attribute.
    pub fn set_attributes(&mut self, new: &[Attribute]) {
        for attribute in new {
            let known = self
                .attributes
                .iter()
                .position(|old| old.name == attribute.name);
            match known {
                Some(_) if attribute.value.is_empty() => {
                    self.attributes.retain(|old| old.name != attribute.name);
                }
                Some(at) => {
                    if let Some(old) = self.attributes.get_mut(at) {
                        *old = attribute.clone();
                    }
                }
                None if attribute.value.is_empty() => {}
                None => self.attributes.push(attribute.clone()),
            }
        }
    }

    /// Sets an attribute that the CA itself gives, which stands in every certificate.
    pub fn set_own(&mut self, name: &str, value: String) {
        let own = Attribute {
            name: name.to_owned(),
            value,
            ecert: true,
        };
        let mut known = self.attributes.iter_mut();
        match known.find(|attribute| attribute.name == name) {
            Some(old) => *old = own,
            None => self.attributes.push(own),
        }
    }
}

/// Makes sure that a name can be the node's name for an identity, and is none of the node's own.
///
/// # Errors
/// If not.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let refused = |detail: String| Err(Refusal::new(400, Code::Registering, detail));
    if name == ADMINISTRATOR || OWN_IDENTITIES.iter().any(|(own, _)| *own == name) {
        return refused(format!("The name {name:?} is the node's own"));
    }
    if !is_identity_name(name) {
        return refused(format!(
            "{name:?} cannot be an identity: letters, digits and . _ - @, at most 64, a letter or digit first"
        ));
    }
    Ok(())
}
