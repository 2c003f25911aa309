//! Who signed what, and who may: keys, certificates, organisations and policies by the rules of
//! Hyperledger Fabric.
//!
//! * [`organization`]: the node's own organisation on disk, its CA and its identities.
//! * [`signing`]: an identity with its private key.
//! * [`msp`]: an organisation as others see it; judges identities, of this node and of strangers.
//! * [`identity`]: somebody in an organisation; checks signatures.
//! * [`sealed`]: what only a passphrase opens, as identities are on their way to another node.
//! * [`token`]: what callers show to be taken for one of the node's identities.
//! * [`policy`]: which signatures suffice.
//! * [`config`]: the configuration in a channel's block 0, written and read.
//!
//! Signatures are ECDSA with a low S, in ASN.1 DER ([`signature`]). Certificates are judged at
//! their own beginning, never by the wall clock: what was valid once can be replayed for ever.

mod authority;
mod certificate;
pub mod config;
mod curve;
mod der;
mod files;
mod hash;
pub mod identity;
mod key;
pub mod msp;
pub mod organization;
mod pem;
pub mod policy;
pub mod sealed;
pub mod signature;
pub mod signing;
pub mod token;

pub use certificate::CertificateError;
pub use config::Bundle;
pub use identity::{Identity, MalformedIdentity, Role, check_well_formed, pki_id};
pub use key::KeyError;
pub use msp::folder::MspFolder;
pub use msp::{IdentityError, Msp, MspError, MspVersion, Msps, NotSatisfied, Principal};
pub use organization::{
    Admission, Arrived, CreateIdentityError, ExportIdentityError, Given, ImportIdentityError,
    JoinOrganizationError, Joiner, LoadIdentityError, MoveIdentityError, MovedIdentities,
    MovedIdentity, Organization, OrganizationCa, OrganizationError, check_msp_id,
};
pub use policy::{Policy, PolicyError};
pub use signature::SignatureError;
pub use signing::SigningIdentity;
pub use token::{AccessRole, NewToken, Token, Tokens, utc};
