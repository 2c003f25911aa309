//! What runs inside a transaction.
//!
//! A namespace is governed by a [`Chaincode`]: it gets a [`Call`] and a simulator, reads committed
//! state, and leaves behind a read-write set and a result. It writes nothing itself, and the same
//! call over the same state does the same.
//!
//! * [`chaincode`](Chaincode): the trait and its errors.
//! * [`Chaincodes`]: who governs which namespace.
//! * [`Invocation`]: a call that was begun, and may wait without a thread.
//! * [`Proposed`]: the transaction that a call is part of.
//! * [`shim`]: chaincodes of other processes, which speak Fabric's protocol.
//! * [`Hints`]: what a chaincode tells of a call before it runs.
//! * [`lifecycle`]: packages of chaincodes, and how they are defined on a channel.
//! * [`system`]: Fabric's other system chaincodes.
//! * [`documents`]: the built-in chaincode, JSON documents without any code.
//! * [`Condition`]: what a caller demands of versions.
//! * [`Listing`]: bookmarks that name what they are of.
//! * [`name`]: the rules for names of channels, namespaces and keys.
//! * [`json`]: the strict check of JSON texts, and the merge of one into another.

mod bookmark;
mod chaincode;
mod condition;
pub mod documents;
mod hints;
mod invocation;
pub mod json;
pub mod lifecycle;
pub mod name;
mod proposed;
mod reach;
mod registry;
pub mod shim;
pub mod system;

pub use bookmark::Listing;
pub use chaincode::{Answer, Call, Chaincode, ChaincodeError, Event, Simulated};
pub use condition::{Condition, Expect};
pub use documents::Documents;
pub use hints::Hints;
pub use invocation::{Invocation, Patience, Piece, Waiting, Weight};
pub use proposed::{Proposed, Transaction};
pub use reach::Reach;
pub use registry::Chaincodes;
