//! A certificate authority for an organisation, as the clients of Hyperledger Fabric CA use one.
//!
//! * [`authority`]: the CA, with its key, its registry and what it is told from outside. Its verbs stand
//!   beside it: [`enroll`], [`register`], [`admit`], [`affiliate`], [`revoke`], [`certificates`], [`crl`].
//! * [`registry`]: who may enrol and what was issued, durable.
//! * [`caller`], [`token`], [`attribute`]: who asks, and what it may do.
//! * [`signing_request`], [`template`]: from PKCS#10 to a certificate.
//! * [`http`]: the REST API.
//!
//! **What was issued or revoked is remembered before it is answered.** Nothing here starts a thread,
//! listens, or asks a clock: time and randomness come in as [`settings::Outside`].

pub mod admit;
pub mod affiliate;
pub mod affiliation;
pub mod attribute;
pub mod authority;
pub mod caller;
pub mod certificates;
pub mod crl;
mod der;
pub mod enroll;
pub mod error;
pub mod http;
pub mod issuer;
pub mod pem;
pub mod register;
pub mod registry;
pub mod revoke;
pub mod secret;
pub mod settings;
pub mod signing_request;
pub mod template;
pub mod token;

pub use authority::{Authority, FirstAdmin, OpenError};
pub use error::{Code, Refusal};
pub use http::router;
pub use issuer::Issuer;
pub use registry::Registry;
pub use settings::{Outside, Settings};
