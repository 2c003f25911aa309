//! What runs inside a transaction.
//!
//! A namespace is governed by a [`Chaincode`]: it gets a [`Call`] and a simulator, reads committed
//! state, and leaves behind a read-write set and a result. It writes nothing itself, and the same
//! call over the same state does the same.
//!
//! * [`chaincode`](Chaincode): the trait and its errors.
//! * [`Documents`]: the built-in chaincode, JSON documents without any code.
//! * [`Condition`]: what a caller demands of versions, and [`conditions_of`] to ask a call for it.
//! * [`Listing`]: bookmarks that name what they are of.
//! * [`name`]: the rules for names of channels, namespaces and keys.
//! * [`json`]: the strict check of JSON texts, and the merge of one into another.

mod bookmark;
mod chaincode;
mod condition;
mod documents;
mod draft;
pub mod json;
pub mod name;
mod operation;
mod page;
mod past;
mod view;

pub use bookmark::Listing;
pub use chaincode::{Call, Chaincode, ChaincodeError};
pub use condition::{Condition, Expect, conditions_of};
pub use documents::Documents;
pub use operation::{DOCUMENTS, touched};
