//! An identity of this node, with its private key.

use std::fmt;

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::msp::SerializedIdentity;

use crate::certificate::Certificate;
use crate::identity::Role;
use crate::key::{Key, KeyError};
use crate::signature::PublicKey;

/// Signs in the name of an identity. Shared behind an `Arc`.
pub struct SigningIdentity {
    name: String,
    msp_id: String,
    role: Role,
    certificate_pem: String,
    serialized: Bytes,
    key: Key,
}

impl SigningIdentity {
    /// Puts an identity together; `certificate_pem` is canonical, and the PEM of `certificate`.
    pub(crate) fn new(
        msp_id: &str,
        role: Role,
        certificate: &Certificate,
        certificate_pem: String,
        key: Key,
    ) -> Result<Self, KeyError> {
        let belongs = certificate
            .public_key()
            .and_then(PublicKey::p256_point)
            .is_some_and(|point| point == key.public_point());
        if !belongs {
            return Err(KeyError::OfAnotherCertificate);
        }
        Ok(Self {
            name: certificate.common_name.clone(),
            msp_id: msp_id.to_owned(),
            role,
            serialized: serialize(msp_id, &certificate_pem),
            certificate_pem,
            key,
        })
    }

    /// The same under the name that a node keeps it by.
    pub(crate) fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The name under which the node keeps it: its certificate's common name, where the node's own
    /// organisation made it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The organisation.
    #[must_use]
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// What kind of member it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// A serialized [`SerializedIdentity`]: what headers call the creator, and endorsements the
    /// endorser. The same for as long as the identity exists.
    #[must_use]
    pub fn serialized(&self) -> &Bytes {
        &self.serialized
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// ECDSA on P-256 over SHA-256 of `message`: ASN.1 DER with a low S. Takes tens of microseconds.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Bytes {
        self.key.sign(message)
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningIdentity")
            .field("name", &self.name)
            .field("msp_id", &self.msp_id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A certificate as headers carry it.
pub(crate) fn serialize(msp_id: &str, certificate_pem: &str) -> Bytes {
    SerializedIdentity {
        mspid: msp_id.to_owned(),
        id_bytes: Bytes::copy_from_slice(certificate_pem.as_bytes()),
    }
    .encode_to_vec()
    .into()
}
