//! Certificates that the organisation gave a node of its own, without an enrolment: they are remembered, so that they can
//! be revoked as others are.

use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authority::Authority;
use crate::error::{Code, Refusal};
use crate::pem;
use crate::registry::certificate::{CertificateRecord, plain_hex};
use crate::registry::identity::IdentityRecord;
use crate::registry::state::{Change, State};
use crate::secret::{SecretHash, random_secret};

/// The type of such an identity. Nobody enrols as it: its secret is told to nobody.
const KIND: &str = "peer";

impl Authority {
    /// Whether a name is free for a node: nobody is registered by it, and no node was admitted by it before. A name is
    /// not given twice, also after it was revoked.
    #[must_use]
    pub fn is_free_for_a_node(&self, name: &str) -> bool {
        is_free(&self.registry.state(), name)
    }

    /// Remembers the certificates of a node, in PEM, as those of the identity `name`; durable on return.
    ///
    /// # Errors
    /// If somebody has the name, the registry is full, or it cannot be written.
    pub fn admit(&self, name: &str, certificates: &[&str]) -> Result<(), Refusal> {
        let records = certificates.iter().map(|pem| self.record(name, pem));
        let records: Vec<_> = records.collect::<Result<_, _>>()?;
        let secret = random_secret(self.outside.random.as_ref())?;
        let secret = SecretHash::of(&secret, self.outside.random.as_ref())?;
        self.registry.change(|state| {
            if !is_free(state, name) {
                let detail = format!("{name} is the name of another identity");
                return Err(Refusal::new(403, Code::Unknown, detail));
            }
            let mut changes = self.make_room(state, name)?;
            changes.push(Change::Identity(node(name, secret)));
            changes.extend(records.into_iter().map(Change::Certificate));
            Ok(((), changes))
        })
    }

    fn record(&self, owner: &str, pem: &str) -> Result<CertificateRecord, Refusal> {
        let unreadable = || Refusal::new(500, Code::Unknown, "a certificate cannot be read");
        let der = pem::first(pem.as_bytes(), &["CERTIFICATE"]).ok_or_else(unreadable)?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
        let validity = certificate.validity();
        Ok(CertificateRecord {
            serial: plain_hex(&hex::encode(certificate.raw_serial())),
            authority_key_id: self.facts.key_id_hex.clone(),
            owner: owner.to_owned(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            der: der.clone(),
            revoked: None,
        })
    }
}

fn is_free(state: &State, name: &str) -> bool {
    !state.identities.contains_key(name)
}

fn node(name: &str, secret: SecretHash) -> IdentityRecord {
    IdentityRecord {
        name: name.to_owned(),
        kind: KIND.to_owned(),
        affiliation: String::new(),
        attributes: Vec::new(),
        max_enrollments: 0,
        enrollments: 0,
        failed_attempts: 0,
        revoked: false,
        secret,
    }
}
