//! What the tests of the binary share: a running node, a client of it, seeded randomness.

mod client;
#[allow(dead_code, reason = "the ledger's tests use more of it")]
#[path = "../../../../ledger/tests/it/kit/couchdb.rs"]
pub(crate) mod couchdb;
mod node;
#[path = "../../../../ledger/tests/it/kit/pouchdb.rs"]
mod pouchdb;
#[allow(dead_code, reason = "the ledger's tests use more of it")]
#[path = "../../../../ledger/tests/it/kit/proxy.rs"]
pub(crate) mod proxy;
mod random;
mod raw;
mod whereabouts;

pub(crate) use client::{Answer, Client, Request};
pub(crate) use node::{Node, check, quire, run};
pub(crate) use pouchdb::PouchDb;
pub(crate) use random::Random;
pub(crate) use raw::{RawAnswer, exchange, exchange_and};
pub(crate) use whereabouts::Whereabouts;
