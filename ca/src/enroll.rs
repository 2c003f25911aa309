//! Enrolling: a name and a secret, or a certificate, become a certificate.

use std::sync::Arc;

use crate::affiliation;
use crate::attribute::{self, INTERMEDIATE_CA, Wanted, truth};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::error::{Code, Refusal};
use crate::registry::certificate::{CertificateRecord, plain_hex};
use crate::registry::identity::IdentityRecord;
use crate::registry::state::{Change, State};
use crate::registry::{MAX_CERTIFICATES, MAX_CERTIFICATES_OF_ONE};
use crate::secret::{fresh, waste_time};
use crate::signing_request::{OtherName, SigningRequest, check_other_names};
use crate::template::{Profile, Template, Validity};

/// What somebody who enrols asks for.
#[derive(Debug)]
pub struct Enrollment {
    /// PKCS#10 in PEM.
    pub signing_request: String,
    /// The name of a profile; empty for identities.
    pub profile: String,
    /// Other names, in place of those of the signing request.
    pub hosts: Vec<String>,
    /// The common name of a subject that is given beside the signing request.
    pub subject: Option<String>,
    /// Attributes; where nothing is said, those that are always in certificates.
    pub attributes: Option<Vec<Wanted>>,
}

/// The same, read and found well-formed.
#[derive(Debug)]
struct Asked {
    request: SigningRequest,
    profile: Profile,
    other_names: Vec<OtherName>,
    attributes: Option<Vec<Wanted>>,
}

impl Enrollment {
    fn read(self, name: &str) -> Result<Asked, Refusal> {
        let request = SigningRequest::from_pem(&self.signing_request)?;
        let subject = self.subject.unwrap_or_else(|| name.to_owned());
        if subject != name || request.common_name != name {
            let detail = "The CSR subject common name must equal the enrollment ID";
            return Err(Refusal::new(403, Code::OtherCommonName, detail));
        }
        let hosts = self.hosts.iter().filter(|host| !host.is_empty());
        let hosts: Vec<_> = hosts.map(|host| OtherName::of_host(host)).collect();
        check_other_names(&hosts)?;
        let other_names = if hosts.is_empty() {
            request.other_names.clone()
        } else {
            hosts
        };
        Ok(Asked {
            profile: Profile::of(&self.profile)?,
            attributes: self.attributes,
            other_names,
            request,
        })
    }
}

impl Authority {
    /// The certificate of whoever shows the secret of `name`, in DER; remembered on return.
    ///
    /// # Errors
    /// If the secret is wrong, was wrong or used too often, or what is asked for is not given.
    pub fn enroll(
        &self,
        name: &str,
        secret: &str,
        enrollment: Enrollment,
    ) -> Result<Vec<u8>, Refusal> {
        let shown = self.check_secret(name, secret)?;
        let asked = enrollment.read(name)?;
        self.registry.change(|state| {
            // What was looked at may have changed since: the hash takes its time.
            let identity = self.unlocked(state, name)?;
            if identity.secret != shown.secret {
                return Err(wrong_secret("the secret was changed meanwhile"));
            }
            let left = match u64::try_from(identity.max_enrollments) {
                Ok(most) => most.saturating_sub(identity.enrollments),
                Err(_) => u64::MAX,
            };
            if identity.revoked || left == 0 {
                return Err(wrong_secret(
                    "it was revoked, or used as often as it may be",
                ));
            }
            let mut changes = self.make_room(state, name)?;
            let (certificate, der) = self.issue(&identity, &asked)?;
            changes.push(Change::Identity(IdentityRecord {
                enrollments: identity.enrollments + 1,
                failed_attempts: 0,
                ..IdentityRecord::clone(&identity)
            }));
            changes.push(Change::Certificate(certificate));
            Ok((der, changes))
        })
    }

    /// Another certificate for whoever has one, in DER; remembered on return.
    ///
    /// # Errors
    /// If what is asked for is not given.
    pub fn reenroll(&self, caller: &Caller, enrollment: Enrollment) -> Result<Vec<u8>, Refusal> {
        let asked = enrollment.read(&caller.identity.name)?;
        self.registry.change(|state| {
            let identity = &self.still(state, caller)?.identity;
            let mut changes = self.make_room(state, &identity.name)?;
            let (certificate, der) = self.issue(identity, &asked)?;
            changes.push(Change::Certificate(certificate));
            Ok((der, changes))
        })
    }

    /// The identity of that name, if the secret is right. A wrong one is counted, durably.
    fn check_secret(&self, name: &str, secret: &str) -> Result<Arc<IdentityRecord>, Refusal> {
        // The registry is let go first: a hash takes its time.
        let found = self.unlocked(&self.registry.state(), name);
        let identity = match found {
            Ok(identity) => identity,
            Err(refusal) => {
                if refusal.code == Code::InvalidName {
                    waste_time(secret);
                }
                return Err(refusal);
            }
        };
        if identity.secret.is_of(secret) {
            return Ok(identity);
        }
        self.registry.change(|state| {
            // Wrong ones at one time count one after the other.
            let identity = self.unlocked(state, name)?;
            let identity = IdentityRecord {
                failed_attempts: identity.failed_attempts.saturating_add(1),
                ..IdentityRecord::clone(&identity)
            };
            Ok(((), vec![Change::Identity(identity)]))
        })?;
        Err(wrong_secret("another secret"))
    }

    /// The identity of that name, if not too many wrong secrets were shown.
    fn unlocked(&self, state: &State, name: &str) -> Result<Arc<IdentityRecord>, Refusal> {
        let identity = state.identities.get(name).ok_or_else(|| {
            Refusal::authentication(Code::InvalidName, format!("there is no identity {name:?}"))
        })?;
        let limit = self.settings.password_attempts;
        if identity.failed_attempts >= limit {
            let detail = format!(
                "Incorrect password entered {} times, max incorrect password limit of {limit} reached",
                identity.failed_attempts
            );
            return Err(Refusal::new(401, Code::PasswordAttempts, detail));
        }
        Ok(Arc::clone(identity))
    }

    /// What to forget so that another certificate of `owner` can be remembered: expired ones, but for those that
    /// were revoked, which stay on every list.
    pub(crate) fn make_room(&self, state: &State, owner: &str) -> Result<Vec<Change>, Refusal> {
        let now = self.now();
        let forgotten = |old: &Arc<CertificateRecord>| {
            let is_over = old.revoked.is_none() && old.is_expired(now);
            is_over.then(|| Change::ForgetCertificate(old.serial.clone()))
        };
        if state.certificates.len() >= MAX_CERTIFICATES || self.registry.is_full() {
            let all = state.certificates.values();
            let changes: Vec<_> = all.filter_map(forgotten).collect();
            if changes.is_empty() {
                let detail =
                    "The CA's registry is full: it remembers as many certificates as it can";
                return Err(Refusal::new(503, Code::Unknown, detail));
            }
            return Ok(changes);
        }
        if state.certificate_count(owner) < MAX_CERTIFICATES_OF_ONE {
            return Ok(Vec::new());
        }
        let own = state.certificates_of(owner);
        let changes: Vec<_> = own.filter_map(forgotten).collect();
        if changes.is_empty() {
            let detail = format!(
                "{owner} has {MAX_CERTIFICATES_OF_ONE} certificates that are good or revoked, and gets no more"
            );
            return Err(Refusal::new(403, Code::Unknown, detail));
        }
        Ok(changes)
    }

    fn issue(
        &self,
        identity: &IdentityRecord,
        asked: &Asked,
    ) -> Result<(CertificateRecord, Vec<u8>), Refusal> {
        let is_authority = asked.profile == Profile::Authority || asked.request.wants_authority;
        let may_be_authority = identity.attribute(INTERMEDIATE_CA).and_then(truth);
        if is_authority && may_be_authority != Some(true) {
            let detail = format!("{INTERMEDIATE_CA} of {} is not true", identity.name);
            return Err(Refusal::authorization(Code::MissingAttribute, detail));
        }
        let attributes = attribute::extension(identity, asked.attributes.as_deref())?;
        // Of a registry that has one from before such were refused.
        affiliation::check_roles(&identity.affiliation, Code::BadSigningRequest)?;
        let path = identity.affiliation.split('.');
        let kind = affiliation::role(&identity.kind).unwrap_or(&identity.kind);
        let units = std::iter::once(kind).chain(path);
        let units = units.filter(|unit| !unit.is_empty());
        let validity = Validity::of(asked.profile, &self.settings, &self.facts, self.now());
        let template = Template {
            profile: asked.profile,
            serial: self.serial()?,
            common_name: &identity.name,
            units: units.map(str::to_owned).collect(),
            chosen: &asked.request.chosen,
            validity,
            key_info: &asked.request.key_info,
            key_bits: &asked.request.key_bits,
            other_names: &asked.other_names,
            attributes: attributes.as_deref(),
        };
        let der = template.sign(self.issuer.as_ref(), &self.facts)?;
        let record = CertificateRecord {
            serial: plain_hex(&hex::encode(template.serial)),
            authority_key_id: self.facts.key_id_hex.clone(),
            owner: identity.name.clone(),
            not_before: validity.not_before,
            not_after: validity.not_after,
            der: der.clone(),
            revoked: None,
        };
        Ok((record, der))
    }

    /// A number that no certificate has: 158 random bits, positive and without leading zeros.
    fn serial(&self) -> Result<[u8; 20], Refusal> {
        let mut serial: [u8; 20] = fresh(self.outside.random.as_ref())?;
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        Ok(serial)
    }
}

fn wrong_secret(detail: &str) -> Refusal {
    Refusal::authentication(Code::InvalidSecret, detail)
}
