//! Messages as the JSON that Fabric's `configtxlator` prints and reads.
//!
//! It is protobuf's JSON with the field names of protobuf, with every field that is not set, and with the
//! messages that bytes hold shown as messages. What bytes hold follows from the field, from another field,
//! or, in the tree of a configuration, from names.
//!
//! * `types`: the types of messages, as tables.
//! * `rules`, `tree`: what bytes hold.
//! * `message`: converts a message of any type from bytes and to bytes.
//! * `printer`, `reader`: convert it to JSON and from JSON.
//! * `unknown`: finds fields that are in no table.

mod error;
mod message;
mod printer;
mod reader;
mod rules;
mod schema;
mod tree;
mod types;
mod unknown;

use bytes::Bytes;

pub use error::{Cause, Error};
pub use schema::MessageType;
pub use unknown::{UnknownField, unknown_fields};

/// The most nested levels of JSON.
pub const MAX_DEPTH: usize = 120;

/// The most values in a message.
pub const MAX_VALUES: usize = 4_000_000;

/// The most bytes of JSON that are printed or read.
pub const MAX_TEXT: usize = 256 << 20;

/// The type with a full name, such as `common.Block`.
#[must_use]
pub fn message_type(name: &str) -> Option<&'static MessageType> {
    types::all().find(|known| known.name == name)
}

/// The group of an organisation that submits and endorses, which `configtxgen -printOrg` prints.
#[must_use]
pub fn application_organization() -> &'static MessageType {
    &tree::APPLICATION_ORGANIZATION
}

/// The group of an organisation that orders, which `configtxgen -printOrg` prints if it has endpoints.
#[must_use]
pub fn orderer_organization() -> &'static MessageType {
    &tree::ORDERER_ORGANIZATION
}

/// The message as `configtxlator proto_decode` prints it, with a newline at the end.
///
/// # Errors
///
/// Fails if the bytes are no such message, if something in them is of an unknown kind, or if the message is
/// over a bound.
pub fn print(message_type: &'static MessageType, bytes: Bytes) -> Result<String, Error> {
    printer::print(message_type, bytes)
}

/// The bytes of a message in JSON, as `configtxlator proto_encode` makes them. Entries of maps are sorted.
///
/// # Errors
///
/// Fails if the text is not JSON, or no such message.
pub fn read(message_type: &'static MessageType, json: &[u8]) -> Result<Vec<u8>, Error> {
    reader::read(message_type, json)
}
