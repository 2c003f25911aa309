//! What the tests of the binary share: a running node, a client of it, seeded randomness.

mod client;
mod node;
mod random;
mod raw;
mod whereabouts;

pub(crate) use client::{Answer, Client, Request};
pub(crate) use node::{Node, check, quire, run};
pub(crate) use random::Random;
pub(crate) use raw::{RawAnswer, exchange, exchange_and};
pub(crate) use whereabouts::Whereabouts;
