//! An identity that an organisation stands for.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quire_wire::hash::Hash;

use crate::signature::{PublicKey, SignatureError};

/// What kind of member an identity is; its certificate's organisational unit says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Submits transactions.
    Client,
    /// Endorses and keeps the ledger.
    Peer,
    /// May change the organisation's part of the configuration.
    Admin,
    /// Orders transactions and signs blocks.
    Orderer,
}

impl Role {
    /// All of them, in Fabric's order.
    pub const ALL: [Self; 4] = [Self::Client, Self::Peer, Self::Admin, Self::Orderer];

    /// The organisational unit that Fabric's tools give to such members: `client`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Admin => "admin",
            Self::Orderer => "orderer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.unit())
    }
}

/// A certificate that was found valid by the rules of its organisation. Two of them are equal if
/// they speak of the same certificate of the same organisation, however it was written down.
#[derive(Debug)]
pub struct ValidIdentity {
    pub(crate) msp_id: Arc<str>,
    pub(crate) name: String,
    pub(crate) role: Option<Role>,
    pub(crate) is_listed_admin: bool,
    pub(crate) key: PublicKey,
    pub(crate) fingerprint: Hash,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
}

impl ValidIdentity {
    /// The organisation.
    #[must_use]
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The common name in the certificate; empty if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of member this is; `None` in an organisation that does not tell its members apart
    /// by organisational units.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// Whether this is an administrator, by its unit or because the organisation lists it.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is_listed_admin || self.role == Some(Role::Admin)
    }

    /// Whether the certificate's time is over. It stays valid: blocks of its time are judged by it for
    /// ever, and only who lets somebody in now asks for this.
    #[must_use]
    pub fn has_expired_at(&self, now: SystemTime) -> bool {
        let end = Duration::from_secs(self.not_after.unsigned_abs());
        let end = if self.not_after < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(end)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(end)
        };
        // What the clock cannot express lies far behind or far ahead.
        end.map_or(self.not_after < 0, |end| end <= now)
    }

    /// Checks a signature of this identity.
    ///
    /// # Errors
    /// If it is not DER, has a high S, or was not made by this identity over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.key.verify(message, signature)
    }
}

impl PartialEq for ValidIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.msp_id == other.msp_id
    }
}

impl Eq for ValidIdentity {}
