//! The CA: its key, its registry, and what it is told from outside. Each verb has a file of its own.

use std::path::Path;
use std::sync::Arc;

use quire_disk::Disk;
use quire_identity::utc;

use crate::affiliation;
use crate::attribute::FIRST_ADMIN;
use crate::error::{Code, OpenRegistryError, Refusal};
use crate::issuer::{Issuer, IssuerError, IssuerFacts};
use crate::registry::Registry;
use crate::registry::certificate::plain_hex;
use crate::registry::identity::{Attribute, IdentityRecord, check_name};
use crate::registry::state::Change;
use crate::secret::{SecretHash, random_secret};
use crate::settings::{Outside, Settings};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    pub(crate) issuer: Arc<dyn Issuer>,
    pub(crate) facts: IssuerFacts,
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) outside: Outside,
}

/// Why a CA cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its registry cannot be opened.
    #[error(transparent)]
    Registry(#[from] OpenRegistryError),
    /// Its certificate cannot issue others.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The first identity could not be registered.
    #[error("the first identity cannot be registered: {0}")]
    Admin(#[source] Refusal),
}

/// Who a CA begins with.
#[derive(Clone)]
pub struct FirstAdmin {
    /// Its enrolment id.
    pub name: String,
    /// Its secret; one is made up where there is none.
    pub secret: Option<String>,
}

impl std::fmt::Debug for FirstAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstAdmin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the CA of a data directory, which nobody else has open.
    ///
    /// # Errors
    /// If its registry cannot be opened or its certificate cannot issue others.
    pub fn open(
        issuer: Arc<dyn Issuer>,
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        settings: Settings,
        outside: Outside,
    ) -> Result<Self, OpenError> {
        let facts = IssuerFacts::of(issuer.certificate_pem())?;
        Ok(Self {
            issuer,
            facts,
            registry: Registry::open(disk, data_dir)?,
            settings,
            outside,
        })
    }

    /// Registers whoever the CA begins with, if nobody is registered, and gives it every right. Where a
    /// secret is given for somebody who is there already, it becomes that one's, and wrong ones that
    /// were shown are forgotten. Returns a secret that was made up.
    ///
    /// # Errors
    /// If the registry cannot be written.
    pub fn begin(&self, admin: &FirstAdmin) -> Result<Option<String>, Refusal> {
        check_name(&admin.name)?;
        let known = self.registry.state().identities.get(&admin.name).cloned();
        let is_new = self.registry.state().identities.is_empty();
        let (secret, made) = match (&admin.secret, &known) {
            (Some(secret), Some(known))
                if known.failed_attempts == 0 && known.secret.is_of(secret) =>
            {
                return Ok(None);
            }
            (Some(secret), _) => (secret.clone(), None),
            (None, None) if is_new => {
                let secret = random_secret(self.outside.random.as_ref())?;
                (secret.clone(), Some(secret))
            }
            (None, _) => return Ok(None),
        };
        let hash = SecretHash::of(&secret, self.outside.random.as_ref())?;
        self.registry.change(|state| {
            let known = state.identities.get(&admin.name);
            let identity = match known {
                Some(known) => IdentityRecord {
                    secret: hash,
                    failed_attempts: 0,
                    ..IdentityRecord::clone(known)
                },
                None => first_admin(&admin.name, hash),
            };
            let mut changes = vec![Change::Identity(identity)];
            if is_new {
                let first = affiliation::FIRST.map(str::to_owned);
                changes.extend(first.into_iter().map(Change::Affiliation));
            }
            Ok(((), changes))
        })?;
        Ok(made)
    }

    /// Who may enrol, and what was issued.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What clients call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        self.issuer.certificate_pem()
    }

    /// Makes sure that a request is meant for this CA: it names it, or none.
    ///
    /// # Errors
    /// If it names another.
    pub fn check_name(&self, asked: &str) -> Result<(), Refusal> {
        // What the JavaScript client writes into a URL where it was given no name.
        if matches!(asked, "" | "undefined" | "null") || asked == self.settings.name {
            return Ok(());
        }
        let detail = format!("CA '{asked}' does not exist");
        Err(Refusal::new(404, Code::AuthorityNotFound, detail))
    }

    /// Whether a certificate with this number, signed by a key of this name, was revoked here.
    #[must_use]
    pub fn has_revoked(&self, serial: &[u8], authority_key_id: &[u8]) -> bool {
        let state = self.registry.state();
        let found = state.certificates.get(&plain_hex(&hex::encode(serial)));
        found.is_some_and(|certificate| {
            certificate.revoked.is_some()
                && certificate.authority_key_id == plain_hex(&hex::encode(authority_key_id))
        })
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        utc((self.outside.now)()).unix_timestamp()
    }
}

fn first_admin(name: &str, secret: SecretHash) -> IdentityRecord {
    let rights = FIRST_ADMIN.map(|(name, value)| Attribute {
        name: name.to_owned(),
        value: value.to_owned(),
        ecert: false,
    });
    IdentityRecord {
        name: name.to_owned(),
        kind: "client".to_owned(),
        affiliation: String::new(),
        attributes: rights.into(),
        max_enrollments: -1,
        enrollments: 0,
        failed_attempts: 0,
        revoked: false,
        secret,
    }
}
