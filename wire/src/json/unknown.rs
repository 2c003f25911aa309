//! Fields that are not in the table of their message: what a writer knew and a reader here does not.
//!
//! `prost` drops them, and Go keeps them. A message that is read and written again is therefore another one here
//! than it is in Fabric where it has any.

use std::fmt;

use bytes::{Buf as _, Bytes};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::MAX_DEPTH;
use super::error::{Cause, Error};
use super::message::{is_number, nested_type};
use super::schema::{Field, Label, MessageType};

/// Most that are told of one message.
const MAX_UNKNOWN: usize = 100;

/// A field that its message does not have, or has with another wire type, which is the same to Go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// The fields that lead to its message.
    path: Vec<&'static str>,
    /// The full name of the message's type.
    pub message: &'static str,
    /// The field's number.
    pub number: u32,
}

impl UnknownField {
    /// Whether it stands below a field of that name.
    #[must_use]
    pub fn is_below(&self, field: &str) -> bool {
        self.path.contains(&field)
    }
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = if self.message == ENTRY { "an" } else { "a" };
        write!(f, "field {} of {article} {}", self.number, self.message)?;
        if !self.path.is_empty() {
            write!(f, " in {}", self.path.join("."))?;
        }
        Ok(())
    }
}

/// The unknown fields of a message and of those within it, the first hundred. What bytes hold is not looked at.
///
/// # Errors
///
/// The bytes are no protobuf message, or one with too many levels.
pub fn unknown_fields(
    message_type: &'static MessageType,
    bytes: Bytes,
) -> Result<Vec<UnknownField>, Error> {
    let mut search = Search::default();
    search.message(message_type, bytes)?;
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    path: Vec<&'static str>,
    found: Vec<UnknownField>,
}

impl Search {
    fn message(&mut self, message_type: &'static MessageType, bytes: Bytes) -> Result<(), Error> {
        if self.path.len() > MAX_DEPTH {
            return Err(Cause::TooDeep(MAX_DEPTH).into());
        }
        each_field(
            message_type.name,
            bytes,
            |number, wire_type, value| match message_type.numbered(number) {
                Some(field) if has_type(field, wire_type) => self.within(field, value),
                _ => {
                    self.note(message_type.name, number);
                    Ok(())
                }
            },
        )
    }

    /// What stands in the value of a known field.
    fn within(&mut self, field: &'static Field, value: Bytes) -> Result<(), Error> {
        if !field.is_map() {
            return self.nested(field, value);
        }
        each_field(ENTRY, value, |number, wire_type, value| {
            let is_known = match number {
                1 => wire_type == key_type(field),
                2 => wire_type == value_type(field),
                _ => false,
            };
            match (is_known, number) {
                (false, _) => self.note(ENTRY, number),
                (true, 2) => return self.nested(field, value),
                (true, _) => {}
            }
            Ok(())
        })
    }

    fn nested(&mut self, field: &'static Field, value: Bytes) -> Result<(), Error> {
        let Some(nested) = nested_type(field.kind) else {
            return Ok(());
        };
        self.path.push(field.name);
        self.message(nested, value)?;
        self.path.pop();
        Ok(())
    }

    fn note(&mut self, message: &'static str, number: u32) {
        if self.found.len() < MAX_UNKNOWN {
            self.found.push(UnknownField {
                path: self.path.clone(),
                message,
                number,
            });
        }
    }
}

/// What an entry of a map is called.
const ENTRY: &str = "entry of a map";

/// Takes a message apart: the content of what is delimited stands without its length.
fn each_field(
    message: &'static str,
    mut rest: Bytes,
    mut take: impl FnMut(u32, WireType, Bytes) -> Result<(), Error>,
) -> Result<(), Error> {
    let malformed = |error: DecodeError| {
        let reason = error.to_string();
        Error::from(Cause::NoMessage { message, reason })
    };
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest).map_err(malformed)?;
        let mut value = rest.clone();
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).map_err(malformed)?;
        value.truncate(value.len() - rest.len());
        if wire_type == WireType::LengthDelimited {
            decode_varint(&mut value).map_err(malformed)?;
        }
        take(number, wire_type, value)?;
    }
    Ok(())
}

fn value_type(field: &Field) -> WireType {
    if is_number(field.kind) {
        WireType::Varint
    } else {
        WireType::LengthDelimited
    }
}

fn key_type(field: &Field) -> WireType {
    match field.label {
        Label::MapOfNumbers => WireType::Varint,
        _ => WireType::LengthDelimited,
    }
}

fn has_type(field: &Field, wire_type: WireType) -> bool {
    let is_packed = field.label == Label::Many && wire_type == WireType::LengthDelimited;
    if field.is_map() {
        wire_type == WireType::LengthDelimited
    } else {
        is_packed || wire_type == value_type(field)
    }
}
