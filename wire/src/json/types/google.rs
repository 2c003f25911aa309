//! Package `google.protobuf`.

use crate::json::schema::Kind::{Int32, Int64};
use crate::json::schema::{MessageType, one};

pub(super) static ALL: &[&MessageType] = &[&EMPTY];

pub(in crate::json) static EMPTY: MessageType = MessageType {
    name: "google.protobuf.Empty",
    fields: &[],
};

/// The content of a field of kind `Timestamp`. It has no public name, because its JSON is a string.
pub(in crate::json) static TIMESTAMP: MessageType = MessageType {
    name: "google.protobuf.Timestamp",
    fields: &[one(1, "seconds", Int64), one(2, "nanos", Int32)],
};
