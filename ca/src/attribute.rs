//! Attributes: which ones a registrar may give, and how they stand in certificates.
//!
//! Those that begin with `hf.` are rights within the CA. Nobody gives a right that is not their own.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Code, Refusal};
use crate::registry::identity::{Attribute, IdentityRecord};

/// Which types the holder may register.
pub const ROLES: &str = "hf.Registrar.Roles";
/// Which types those that the holder registers may register.
pub const DELEGATE_ROLES: &str = "hf.Registrar.DelegateRoles";
/// Which attributes the holder may give.
pub const REGISTRAR_ATTRIBUTES: &str = "hf.Registrar.Attributes";
/// Whether the holder may revoke.
pub const REVOKER: &str = "hf.Revoker";
/// Whether the holder may enrol as an authority.
pub const INTERMEDIATE_CA: &str = "hf.IntermediateCA";
/// Whether the holder may have revocation lists made.
pub const GEN_CRL: &str = "hf.GenCRL";
/// Whether the holder may change affiliations.
pub const AFFILIATION_MGR: &str = "hf.AffiliationMgr";
/// What an identity is called; set by the CA.
pub const ENROLLMENT_ID: &str = "hf.EnrollmentID";
/// What type it has; set by the CA.
pub const TYPE: &str = "hf.Type";
/// Where it belongs; set by the CA.
pub const AFFILIATION: &str = "hf.Affiliation";

/// Most attributes of an identity, and most bytes of all of them.
const MAX_ATTRIBUTES: usize = 64;
const MAX_BYTES: usize = 4096;

/// The rights of whoever a CA begins with.
pub const FIRST_ADMIN: [(&str, &str); 7] = [
    (ROLES, "*"),
    (DELEGATE_ROLES, "*"),
    (REVOKER, "true"),
    (INTERMEDIATE_CA, "true"),
    (GEN_CRL, "true"),
    (REGISTRAR_ATTRIBUTES, "*"),
    (AFFILIATION_MGR, "true"),
];

/// What an identity with this name, type and affiliation is said to be in its certificates.
#[must_use]
pub fn own(name: &str, kind: &str, affiliation: &str) -> [Attribute; 3] {
    [
        (ENROLLMENT_ID, name),
        (TYPE, kind),
        (AFFILIATION, affiliation),
    ]
    .map(|(name, value)| Attribute {
        name: name.to_owned(),
        value: value.to_owned(),
        ecert: true,
    })
}

/// A truth value as Go reads one.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The members of a list in an attribute's value.
pub fn members(list: &str) -> impl Iterator<Item = &str> {
    let members = list.split(',').map(str::trim);
    members.filter(|member| !member.is_empty())
}

/// Whether a list has a member, or all of them.
#[must_use]
pub fn has_member(list: &str, wanted: &str) -> bool {
    members(list).any(|member| member == "*" || member.eq_ignore_ascii_case(wanted))
}

/// Makes sure that attributes are few and small.
///
/// # Errors
/// If not.
pub fn check_size(attributes: &[Attribute]) -> Result<(), Refusal> {
    let bytes: usize = attributes
        .iter()
        .map(|attribute| attribute.name.len() + attribute.value.len())
        .sum();
    if attributes.len() <= MAX_ATTRIBUTES && bytes <= MAX_BYTES {
        return Ok(());
    }
    let detail = format!(
        "An identity has at most {MAX_ATTRIBUTES} attributes of {MAX_BYTES} bytes together"
    );
    Err(Refusal::new(400, Code::AttributeNotAllowed, detail))
}

/// Makes sure that a registrar may give `asked` to an identity that is new, or is `existing`.
///
/// # Errors
/// If one of them is not the registrar's to give.
pub fn check_given(
    asked: &[Attribute],
    existing: Option<&IdentityRecord>,
    registrar: &IdentityRecord,
) -> Result<(), Refusal> {
    let asking = Asking {
        asked,
        existing,
        registrar,
    };
    let mut attributes = asked.iter();
    attributes.try_for_each(|attribute| asking.check(attribute))
}

/// Makes sure that every right of `identity` is one that `registrar` could give: whoever takes over or
/// removes an identity has its rights in hand. Everybody has their own.
///
/// # Errors
/// If one of them is not the registrar's to give.
pub fn check_rights(identity: &IdentityRecord, registrar: &IdentityRecord) -> Result<(), Refusal> {
    if identity.name == registrar.name {
        return Ok(());
    }
    let rights = identity.attributes.iter().filter(|attribute| {
        let name = attribute.name.as_str();
        name.starts_with("hf.") && !matches!(name, ENROLLMENT_ID | TYPE | AFFILIATION)
    });
    // One by one, and measured by what the registrar has: rights that do not fit together must not keep
    // everybody from setting them right.
    for right in rights {
        check_given(std::slice::from_ref(right), Some(registrar), registrar)?;
    }
    Ok(())
}

/// What is asked, of whom, by whom.
struct Asking<'a> {
    asked: &'a [Attribute],
    existing: Option<&'a IdentityRecord>,
    registrar: &'a IdentityRecord,
}

impl Asking<'_> {
    fn check(&self, attribute: &Attribute) -> Result<(), Refusal> {
        let name = attribute.name.as_str();
        if name.is_empty() {
            return Err(refused("An attribute has no name"));
        }
        let allowed = self.registrar.attribute(REGISTRAR_ATTRIBUTES).unwrap_or("");
        check_allowed(name, allowed)?;
        match name {
            REVOKER | INTERMEDIATE_CA | GEN_CRL | AFFILIATION_MGR => self.check_flag(attribute),
            ROLES | DELEGATE_ROLES | REGISTRAR_ATTRIBUTES => self.check_list(attribute),
            _ if name.starts_with("hf.") => Err(refused(format!("{name} cannot be given"))),
            _ => Ok(()),
        }
    }

    fn owned(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.registrar.attribute(name);
        value.ok_or_else(|| refused(format!("{name} is not the registrar's own")))
    }

    fn check_flag(&self, attribute: &Attribute) -> Result<(), Refusal> {
        let name = &attribute.name;
        if truth(self.owned(name)?) != Some(true) {
            return Err(refused(format!("{name} of the registrar is not true")));
        }
        // An empty value takes the attribute away.
        if attribute.value.is_empty() || truth(&attribute.value).is_some() {
            return Ok(());
        }
        let value = &attribute.value;
        Err(refused(format!(
            "{value:?} of {name} is neither true nor false"
        )))
    }

    fn check_list(&self, attribute: &Attribute) -> Result<(), Refusal> {
        let name = attribute.name.as_str();
        let owned = self.owned(name)?;
        if attribute.value.is_empty() {
            return Ok(());
        }
        if name == REGISTRAR_ATTRIBUTES {
            return self.check_attribute_list(&attribute.value, owned);
        }
        check_subset(&attribute.value, owned)?;
        if name == DELEGATE_ROLES {
            let existing = self.existing.and_then(|identity| identity.attribute(ROLES));
            let roles = self.asked(ROLES).filter(|roles| !roles.is_empty());
            check_subset(&attribute.value, roles.or(existing).unwrap_or(""))?;
        }
        Ok(())
    }

    /// Of rights, whoever may give them must have them.
    fn check_attribute_list(&self, value: &str, owned: &str) -> Result<(), Refusal> {
        for member in members(value) {
            check_allowed(member, owned)?;
            let has = self.asked(member).is_some()
                || self
                    .existing
                    .is_some_and(|identity| identity.attribute(member).is_some());
            if member.starts_with("hf.") && !has {
                let detail =
                    format!("{member} is to be given by an identity that does not have it");
                return Err(refused(detail));
            }
        }
        Ok(())
    }

    fn asked(&self, name: &str) -> Option<&str> {
        let mut asked = self.asked.iter();
        let found = asked.find(|attribute| attribute.name == name);
        found.map(|attribute| attribute.value.as_str())
    }
}

/// Whether a name is on the list of those that may be given; `*` at an end stands for any.
fn check_allowed(name: &str, list: &str) -> Result<(), Refusal> {
    let fits = |member: &str| match member.strip_suffix('*') {
        Some(begin) => name.starts_with(begin.trim_end_matches('*')),
        None => name == member,
    };
    if members(list).any(fits) {
        return Ok(());
    }
    Err(refused(format!("{name} is not among {list:?}")))
}

fn check_subset(small: &str, big: &str) -> Result<(), Refusal> {
    match members(small).find(|member| !has_member(big, member)) {
        None => Ok(()),
        Some(member) => Err(refused(format!("{member} is not among {big:?}"))),
    }
}

fn refused(detail: impl Into<String>) -> Refusal {
    Refusal::authorization(Code::AttributeNotAllowed, detail)
}

/// An attribute that somebody who enrols wants in the certificate.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Whether to go on without it.
    pub optional: bool,
}

/// What the extension of a certificate says: the attributes that are wanted, or else those that are
/// always in one. None where there are no such.
///
/// # Errors
/// If one that is wanted is not the identity's.
pub fn extension(
    identity: &IdentityRecord,
    wanted: Option<&[Wanted]>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let mut attrs = BTreeMap::new();
    match wanted {
        None => {
            let always = identity.attributes.iter();
            let always = always.filter(|attribute| attribute.ecert);
            attrs.extend(
                always.map(|attribute| (attribute.name.as_str(), attribute.value.as_str())),
            );
            if attrs.is_empty() {
                return Ok(None);
            }
        }
        Some(wanted) => {
            for Wanted { name, optional } in wanted {
                match identity.attribute(name) {
                    Some(value) => drop(attrs.insert(name, value)),
                    None if *optional => {}
                    None => {
                        let detail = format!("The identity has no attribute {name:?}");
                        return Err(Refusal::new(400, Code::AttributeExtension, detail));
                    }
                }
            }
        }
    }
    let json = serde_json::to_vec(&Extension { attrs });
    let failed = |_| Refusal::new(500, Code::AttributeExtension, "attributes are no JSON");
    Ok(Some(json.map_err(failed)?))
}

#[derive(Serialize)]
struct Extension<'a> {
    attrs: BTreeMap<&'a str, &'a str>,
}

#[cfg(test)]
mod tests;
