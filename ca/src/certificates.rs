//! Certificates that were issued, told to registrars and revokers.

use std::sync::Arc;

use crate::affiliation::is_within;
use crate::attribute::{REVOKER, ROLES};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::error::{Code, Refusal};
use crate::registry::certificate::{CertificateRecord, plain_hex};
use crate::registry::state::State;

/// Which certificates are asked for: all, where nothing is said. Ends are included.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this identity.
    pub owner: String,
    /// Of this number, in hex.
    pub serial: String,
    /// Signed by this key, in hex.
    pub authority_key_id: String,
    /// Whose time is not over.
    pub not_expired: bool,
    /// That were not revoked.
    pub not_revoked: bool,
    /// Whose time is over between these seconds.
    pub expired: Range,
    /// That were revoked between these seconds.
    pub revoked: Range,
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    /// The first, included.
    pub start: Option<i64>,
    /// The last, included.
    pub end: Option<i64>,
}

impl Range {
    fn is_open(self) -> bool {
        self.start.is_none() && self.end.is_none()
    }

    fn has(self, second: i64) -> bool {
        self.start.is_none_or(|start| second >= start) && self.end.is_none_or(|end| second <= end)
    }
}

impl Filter {
    fn check(&self) -> Result<(), Refusal> {
        let refused = |detail: &str| {
            let detail = format!("Invalid Request: {detail}");
            Err(Refusal::new(400, Code::GettingCertificates, detail))
        };
        if self.not_expired && !self.expired.is_open() {
            return refused("Can't specify expiration time filter and the 'notexpired' filter");
        }
        if self.not_revoked && !self.revoked.is_open() {
            return refused("Can't specify revocation time filter and the 'notrevoked' filter");
        }
        Ok(())
    }

    fn has(&self, certificate: &CertificateRecord, now: i64) -> bool {
        let is = |asked: &str, value: &str| asked.is_empty() || asked == value;
        let at = certificate.revoked.map(|revoked| revoked.at);
        is(&self.owner, &certificate.owner)
            && is(&plain_hex(&self.serial), &certificate.serial)
            && is(
                &plain_hex(&self.authority_key_id),
                &certificate.authority_key_id,
            )
            && !(self.not_expired && certificate.is_expired(now))
            && !(self.not_revoked && at.is_some())
            && self.expired.has(certificate.not_after)
            && (self.revoked.is_open() || at.is_some_and(|at| self.revoked.has(at)))
    }
}

impl Authority {
    /// Those that are asked for and that the caller may see, by number.
    ///
    /// # Errors
    /// If the caller is neither registrar nor revoker, or the question contradicts itself.
    pub fn certificates(
        &self,
        caller: &Caller,
        filter: &Filter,
    ) -> Result<Vec<Arc<CertificateRecord>>, Refusal> {
        if caller.identity.attribute(ROLES).is_none() {
            caller.check_right(REVOKER, Code::AuthorizationFailure)?;
        }
        filter.check()?;
        let now = self.now();
        let state = self.registry.state();
        let found = state.certificates.values().filter(|certificate| {
            filter.has(certificate, now) && is_seen(&state, caller, certificate)
        });
        Ok(found.cloned().collect())
    }
}

/// Whether the owner is of the caller's affiliation or below.
fn is_seen(state: &State, caller: &Caller, certificate: &CertificateRecord) -> bool {
    let above = &caller.identity.affiliation;
    let owner = state.identities.get(&certificate.owner);
    above.is_empty() || owner.is_some_and(|owner| is_within(&owner.affiliation, above))
}
