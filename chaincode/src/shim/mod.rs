//! The peer's side of Fabric's chaincode shim, without any transport.
//!
//! ```text
//! transport -- messages --> Stream: whose turn is it? --> a place for each call under way
//!           <-- messages --                                  |            ^
//!                                                            v wakes      | answers
//!                                  ShimChaincode --> an exchange for each call: requests on its simulator
//! ```
//!
//! A [`Stream`] is one connection with a process. A [`ShimChaincode`] makes the calls of one chaincode of one
//! channel with whatever process is there. Time and other chaincodes come from the [`Host`]. What a process
//! does wrong costs the calls that are under way in it, and none but those.

mod error;
mod exchange;
mod host;
mod limits;
mod message;
mod place;
mod process;
mod request;
mod rows;
mod stream;

pub use error::ShimError;
pub use host::{Callee, Deadline, Host};
pub use limits::Limits;
pub use process::ShimChaincode;
pub use stream::{Process, Stream};
