//! Revoking: one certificate by its number, or an identity with all of its certificates.

use crate::attribute::REVOKER;
use crate::authority::Authority;
use crate::caller::Caller;
use crate::crl::reason;
use crate::error::{Code, Refusal};
use crate::register::find;
use crate::registry::certificate::{CertificateRecord, Revoked, plain_hex};
use crate::registry::identity::IdentityRecord;
use crate::registry::state::{Change, State};

/// What is to be revoked: a number and a key, or a name.
#[derive(Clone, Debug, Default)]
pub struct Revocation {
    /// The identity.
    pub name: String,
    /// The certificate's number in hex.
    pub serial: String,
    /// The key that signed it, in hex.
    pub authority_key_id: String,
    /// Why.
    pub reason: String,
}

/// A certificate that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its number in hex.
    pub serial: String,
    /// The key that signed it, in hex.
    pub authority_key_id: String,
}

impl RevokedCertificate {
    fn of(certificate: &CertificateRecord) -> Self {
        Self {
            serial: certificate.serial.clone(),
            authority_key_id: certificate.authority_key_id.clone(),
        }
    }
}

impl Authority {
    /// Revokes, durable on return; returns the certificates that were good until now.
    ///
    /// # Errors
    /// If the caller may not, or there is nothing to revoke.
    pub fn revoke(
        &self,
        caller: &Caller,
        asked: &Revocation,
    ) -> Result<Vec<RevokedCertificate>, Refusal> {
        let serial = plain_hex(&asked.serial);
        let key_id = plain_hex(&asked.authority_key_id);
        let revoked = Revoked {
            at: self.now(),
            reason: reason(&asked.reason),
        };
        if !serial.is_empty() && !key_id.is_empty() {
            let one = RevokedCertificate {
                serial,
                authority_key_id: key_id,
            };
            return self.revoke_one(caller, &one, &asked.name, revoked);
        }
        if asked.name.is_empty() {
            let detail = "Either Name or Serial and AKI are required for a revoke request";
            return Err(Refusal::new(400, Code::MissingRevokeArguments, detail));
        }
        self.revoke_identity(caller, &asked.name, revoked)
    }

    fn revoke_one(
        &self,
        caller: &Caller,
        one: &RevokedCertificate,
        owner: &str,
        revoked: Revoked,
    ) -> Result<Vec<RevokedCertificate>, Refusal> {
        let of = format!(
            "Certificate with serial {} and AKI {}",
            one.serial, one.authority_key_id
        );
        self.registry.change(|state| {
            let caller = &self.still(state, caller)?;
            let found = state.certificates.get(&one.serial);
            let found = found.filter(|found| found.authority_key_id == one.authority_key_id);
            let certificate = found.ok_or_else(|| {
                let detail = format!("{of} was not found");
                Refusal::new(404, Code::CertificateToRevokeNotFound, detail)
            })?;
            check_revoker(caller, &certificate.owner)?;
            if certificate.revoked.is_some() {
                let detail = format!("{of} was already revoked");
                return Err(Refusal::new(404, Code::AlreadyRevoked, detail));
            }
            if !owner.is_empty() && owner != certificate.owner {
                let detail = format!("{of} is not owned by {owner}");
                return Err(Refusal::new(400, Code::CertificateOfAnother, detail));
            }
            let identity = owner_of(state, &certificate.owner)?;
            if certificate.serial != caller.certificate.serial {
                caller.check_manages(&identity)?;
            }
            let change = Change::Revoke(one.serial.clone(), revoked);
            Ok((vec![one.clone()], vec![change]))
        })
    }

    fn revoke_identity(
        &self,
        caller: &Caller,
        name: &str,
        revoked: Revoked,
    ) -> Result<Vec<RevokedCertificate>, Refusal> {
        self.registry.change(|state| {
            let caller = &self.still(state, caller)?;
            check_revoker(caller, name)?;
            let identity = owner_of(state, name)?;
            if caller.identity.name != name {
                caller.check_manages(&identity)?;
            }
            let good = state.certificates_of(name);
            let good = good.filter(|certificate| certificate.revoked.is_none());
            let told = good.map(|good| RevokedCertificate::of(good)).collect();
            let identity = IdentityRecord {
                revoked: true,
                ..IdentityRecord::clone(&identity)
            };
            let mut changes = vec![Change::Identity(identity)];
            changes.extend(revoke_all(state, name, revoked.reason, revoked.at));
            Ok((told, changes))
        })
    }
}

/// The changes that revoke every certificate of an identity that is good.
pub(crate) fn revoke_all(
    state: &State,
    name: &str,
    reason: u8,
    at: i64,
) -> impl Iterator<Item = Change> {
    let good = state.certificates_of(name);
    let good = good.filter(|certificate| certificate.revoked.is_none());
    good.map(move |certificate| Change::Revoke(certificate.serial.clone(), Revoked { at, reason }))
}

/// Whoever revokes what is not its own needs a right.
fn check_revoker(caller: &Caller, owner: &str) -> Result<(), Refusal> {
    if caller.identity.name == owner {
        return Ok(());
    }
    caller.check_right(REVOKER, Code::NotRevoker)
}

fn owner_of(state: &State, name: &str) -> Result<std::sync::Arc<IdentityRecord>, Refusal> {
    find(state, name).map_err(|_| {
        let detail = format!("Identity {name} was not found");
        Refusal::new(404, Code::IdentityToRevokeNotFound, detail)
    })
}
