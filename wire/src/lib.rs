//! Hyperledger Fabric's messages and hashes, byte for byte: bytes in, bytes out, no I/O.
//!
//! * [`common`], [`config`], [`discovery`], [`gateway`], [`gossip`], [`lifecycle`], [`msp`], [`peer`],
//!   [`query_result`], [`rwset`], [`shim`]: the protobuf messages, one module for each of Fabric's packages (and one
//!   for what chaincodes and peers say to each other), with Fabric's field numbers; [`collection`] is a part of the
//!   package of [`peer`], [`deliver`] of those of peers and orderers, [`kafka`] is what orderers write into a log, and
//!   [`query`] is what system chaincodes answer.
//! * [`hash`]: data hash, header hash, proposal hash.
//! * [`tx_id`]: transaction ids.
//! * [`code`]: the validation code of a transaction.
//! * [`count`]: how many fields a message has, before it is read.
//! * [`tolerant`]: reading messages as Go reads them.
//! * [`json`]: any of Fabric's messages as the JSON that `configtxlator` prints and reads.
//! * [`transaction`]: an endorser transaction taken apart, and put together.
//!
//! Messages are written by hand as structs with `prost` attributes: the few that a ledger needs
//! are easier to read than generated ones, and their bytes are checked against Fabric's own.

pub mod code;
pub mod collection;
pub mod common;
pub mod config;
pub mod count;
pub mod deliver;
pub mod discovery;
pub mod gateway;
pub mod gossip;
pub mod hash;
pub mod json;
pub mod kafka;
pub mod lifecycle;
pub mod msp;
pub mod peer;
pub mod query;
pub mod query_result;
pub mod rwset;
pub mod shim;
pub mod tolerant;
pub mod transaction;
pub mod tx_id;

pub use code::Code;
pub use prost::{DecodeError, Message};
