//! A message of any type, between its bytes and its JSON.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

use super::error::{Cause, Error};
use super::schema::{Field, Kind, Label, MessageType};
use super::types::google::TIMESTAMP;
use super::{MAX_DEPTH, MAX_VALUES};

/// The fields that are there, by number.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Message {
    fields: BTreeMap<u32, Content>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    One(Value),
    Many(Vec<Value>),
    Map(BTreeMap<Key, Value>),
}

/// Keys sort as in Go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(u64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Booleans, enumerations and all integers, as in a varint.
    Number(u64),
    Text(String),
    Bytes(Bytes),
    Message(Message),
}

/// How many values may still be taken from bytes.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn whole() -> Self {
        Self(MAX_VALUES)
    }

    fn take_one(&mut self) -> Result<(), Error> {
        let limit = MAX_VALUES;
        let unit = "values";
        self.0 = self
            .0
            .checked_sub(1)
            .ok_or(Cause::TooLarge { limit, unit })?;
        Ok(())
    }
}

impl Message {
    pub(super) fn get(&self, number: u32) -> Option<&Content> {
        self.fields.get(&number)
    }

    pub(super) fn set(&mut self, number: u32, content: Content) {
        self.fields.insert(number, content);
    }

    /// A number that is there once; 0 if it is not.
    pub(super) fn number(&self, number: u32) -> u64 {
        match self.get(number) {
            Some(Content::One(Value::Number(value))) => *value,
            _ => 0,
        }
    }

    /// An `int32` or an enumeration's value.
    pub(super) fn int32(&self, number: u32) -> i32 {
        as_int32(self.number(number))
    }

    pub(super) fn text(&self, number: u32) -> &str {
        match self.get(number) {
            Some(Content::One(Value::Text(value))) => value,
            _ => "",
        }
    }

    pub(super) fn bytes(&self, number: u32) -> Bytes {
        match self.get(number) {
            Some(Content::One(Value::Bytes(value))) => value.clone(),
            _ => Bytes::new(),
        }
    }

    pub(super) fn message(&self, number: u32) -> Option<&Message> {
        match self.get(number) {
            Some(Content::One(Value::Message(value))) => Some(value),
            _ => None,
        }
    }

    /// Reads a message as Go does: a field with a wrong wire type is unknown, unknown fields are skipped, and
    /// a message that occurs twice is merged.
    pub(super) fn decode(
        message_type: &'static MessageType,
        bytes: Bytes,
        budget: &mut Budget,
    ) -> Result<Self, Error> {
        let mut message = Self::default();
        message.merge(message_type, bytes, budget, 0)?;
        Ok(message)
    }

    fn merge(
        &mut self,
        message_type: &'static MessageType,
        mut rest: Bytes,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Cause::TooDeep(MAX_DEPTH).into());
        }
        let malformed = |error: &DecodeError| malformed(message_type, error.to_string());
        while rest.has_remaining() {
            let (number, wire_type) = decode_key(&mut rest).map_err(|error| malformed(&error))?;
            let mut value = rest.clone();
            let context = DecodeContext::default();
            skip_field(wire_type, number, &mut rest, context).map_err(|error| malformed(&error))?;
            // The value is what was skipped, without what follows it.
            value.truncate(value.len() - rest.len());
            if let Some(field) = message_type.numbered(number) {
                let read = self.take(message_type, field, wire_type, value, budget, depth);
                read.map_err(|error| error.within(field.name))?;
            }
        }
        Ok(())
    }

    /// Takes in one occurrence of a field: `value` is everything after its key.
    fn take(
        &mut self,
        message_type: &'static MessageType,
        field: &'static Field,
        wire_type: WireType,
        mut value: Bytes,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<(), Error> {
        let no_varint = |error: DecodeError| malformed(message_type, error.to_string());
        budget.take_one()?;
        match (wire_type, is_number(field.kind)) {
            (WireType::Varint, true) if !field.is_map() => {
                let number = decode_varint(&mut value).map_err(no_varint)?;
                self.put(
                    message_type,
                    field,
                    Value::Number(narrowed(field.kind, number)),
                );
            }
            (WireType::LengthDelimited, is_number) => {
                decode_varint(&mut value).map_err(no_varint)?;
                if field.is_map() {
                    let (key, value) = map_entry(field, value, budget, depth)?;
                    self.put_entry(field.number, key, value);
                } else if is_number && field.label == Label::Many {
                    while value.has_remaining() {
                        budget.take_one()?;
                        let number = decode_varint(&mut value).map_err(no_varint)?;
                        self.put(
                            message_type,
                            field,
                            Value::Number(narrowed(field.kind, number)),
                        );
                    }
                } else if !is_number {
                    self.take_delimited(message_type, field, value, budget, depth)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_delimited(
        &mut self,
        message_type: &'static MessageType,
        field: &'static Field,
        value: Bytes,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<(), Error> {
        if let (Some(nested), true) = (nested_type(field.kind), field.label != Label::Many)
            && let Some(Content::One(Value::Message(there))) = self.fields.get_mut(&field.number)
        {
            return there.merge(nested, value, budget, depth + 1);
        }
        let value = delimited(message_type, field.kind, value, budget, depth)?;
        self.put(message_type, field, value);
        Ok(())
    }

    /// Stores a value: in a list beside the others, else in place of the former value.
    pub(super) fn put(&mut self, message_type: &'static MessageType, field: &Field, value: Value) {
        if field.label == Label::Choice {
            let others = message_type.fields.iter();
            for other in others.filter(|other| other.label == Label::Choice) {
                self.fields.remove(&other.number);
            }
        }
        if field.label != Label::Many {
            self.set(field.number, Content::One(value));
        } else if let Some(Content::Many(values)) = self.fields.get_mut(&field.number) {
            values.push(value);
        } else {
            self.set(field.number, Content::Many(vec![value]));
        }
    }

    fn put_entry(&mut self, number: u32, key: Key, value: Value) {
        if let Some(Content::Map(map)) = self.fields.get_mut(&number) {
            map.insert(key, value);
        } else {
            self.set(number, Content::Map(BTreeMap::from([(key, value)])));
        }
    }

    /// The bytes as Go writes them when it is told to be deterministic: fields are sorted by number, entries
    /// of maps by key, and a value that is its kind's default is left out.
    pub(super) fn encode(&self, message_type: &'static MessageType) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in message_type.fields {
            match self.get(field.number) {
                None => {}
                Some(Content::One(value)) => {
                    let always = field.label == Label::Choice;
                    if always || !is_default(value) {
                        encode_value(field.number, field.kind, value, &mut bytes);
                    }
                }
                Some(Content::Many(values)) => encode_many(field, values, &mut bytes),
                Some(Content::Map(map)) => {
                    for (key, value) in map {
                        encode_entry(field, key, value, &mut bytes);
                    }
                }
            }
        }
        bytes
    }
}

fn malformed(message_type: &'static MessageType, reason: String) -> Error {
    let message = message_type.name;
    Cause::NoMessage { message, reason }.into()
}

/// The type of a message that is a field's value.
pub(super) fn nested_type(kind: Kind) -> Option<&'static MessageType> {
    match kind {
        Kind::Message(nested) => Some(nested),
        Kind::Timestamp => Some(&TIMESTAMP),
        _ => None,
    }
}

pub(super) fn is_number(kind: Kind) -> bool {
    match kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Enum(_) => {
            true
        }
        Kind::Text | Kind::Bytes | Kind::Message(_) | Kind::Timestamp => false,
    }
}

/// The low 32 bits with their sign, as Go takes them from a varint.
#[expect(clippy::cast_possible_truncation, reason = "Go cuts the same way")]
pub(super) fn as_int32(number: u64) -> i32 {
    (number as u32).cast_signed()
}

/// The value of a varint in a field of a kind.
fn narrowed(kind: Kind, number: u64) -> u64 {
    match kind {
        Kind::Bool => u64::from(number != 0),
        Kind::Int32 | Kind::Enum(_) => widened(as_int32(number)),
        Kind::Uint32 => number & u64::from(u32::MAX),
        _ => number,
    }
}

/// An `int32` as it stands in a varint.
pub(super) fn widened(number: i32) -> u64 {
    i64::from(number).cast_unsigned()
}

/// A text, bytes or message.
fn delimited(
    message_type: &'static MessageType,
    kind: Kind,
    value: Bytes,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, Error> {
    if let Some(nested) = nested_type(kind) {
        let mut message = Message::default();
        message.merge(nested, value, budget, depth + 1)?;
        return Ok(Value::Message(message));
    }
    if !matches!(kind, Kind::Text) {
        return Ok(Value::Bytes(value));
    }
    let text = String::from_utf8(value.into());
    let text = text.map_err(|_| malformed(message_type, "a text is not UTF-8".to_owned()))?;
    Ok(Value::Text(text))
}

/// The default of a kind, as it stands in a map whose entry leaves the value out.
pub(super) fn default_of(kind: Kind) -> Value {
    match kind {
        Kind::Text => Value::Text(String::new()),
        Kind::Bytes => Value::Bytes(Bytes::new()),
        Kind::Message(_) | Kind::Timestamp => Value::Message(Message::default()),
        _ => Value::Number(0),
    }
}

/// An entry of a map is a message with the key as field 1 and the value as field 2.
fn map_entry(
    field: &'static Field,
    mut rest: Bytes,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Key, Value), Error> {
    let bad = |error: &DecodeError| {
        let message = "entry of a map";
        let reason = error.to_string();
        Error::from(Cause::NoMessage { message, reason })
    };
    let mut key = match field.label {
        Label::MapOfNumbers => Key::Number(0),
        _ => Key::Text(String::new()),
    };
    let mut held = default_of(field.kind);
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest).map_err(|error| bad(&error))?;
        let mut value = rest.clone();
        skip_field(wire_type, number, &mut rest, DecodeContext::default())
            .map_err(|error| bad(&error))?;
        value.truncate(value.len() - rest.len());
        let start = decode_varint(&mut value).map_err(|error| bad(&error));
        match (number, wire_type, &mut key) {
            (1, WireType::Varint, Key::Number(key)) => *key = start?,
            (1, WireType::LengthDelimited, Key::Text(key)) => {
                start?;
                *key = String::from_utf8(value.into()).map_err(|_| {
                    let message = "entry of a map";
                    let reason = "its key is not UTF-8".to_owned();
                    Cause::NoMessage { message, reason }
                })?;
            }
            (2, WireType::Varint, _) if is_number(field.kind) => {
                held = Value::Number(narrowed(field.kind, start?));
            }
            (2, WireType::LengthDelimited, _) if !is_number(field.kind) => {
                start?;
                held = delimited(&ENTRY, field.kind, value, budget, depth + 1)?;
            }
            _ => {}
        }
    }
    Ok((key, held))
}

/// The name of a map's entry in errors.
static ENTRY: MessageType = MessageType {
    name: "entry of a map",
    fields: &[],
};

fn is_default(value: &Value) -> bool {
    match value {
        Value::Number(number) => *number == 0,
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Message(_) => false,
    }
}

fn encode_many(field: &Field, values: &[Value], bytes: &mut Vec<u8>) {
    if !is_number(field.kind) {
        for value in values {
            encode_value(field.number, field.kind, value, bytes);
        }
    } else if !values.is_empty() {
        let mut packed = Vec::new();
        for value in values {
            if let Value::Number(number) = value {
                encode_varint(*number, &mut packed);
            }
        }
        encode_delimited(field.number, &packed, bytes);
    }
}

/// Go writes key and value of an entry even if they are defaults.
fn encode_entry(field: &Field, key: &Key, value: &Value, bytes: &mut Vec<u8>) {
    let mut entry = Vec::new();
    match key {
        Key::Number(number) => {
            encode_key(1, WireType::Varint, &mut entry);
            encode_varint(*number, &mut entry);
        }
        Key::Text(text) => encode_delimited(1, text.as_bytes(), &mut entry),
    }
    encode_value(2, field.kind, value, &mut entry);
    encode_delimited(field.number, &entry, bytes);
}

fn encode_value(number: u32, kind: Kind, value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Number(value) => {
            encode_key(number, WireType::Varint, bytes);
            encode_varint(*value, bytes);
        }
        Value::Text(text) => encode_delimited(number, text.as_bytes(), bytes),
        Value::Bytes(value) => encode_delimited(number, value, bytes),
        Value::Message(message) => {
            let nested = nested_type(kind);
            let nested = nested.map(|nested| message.encode(nested));
            encode_delimited(number, &nested.unwrap_or_default(), bytes);
        }
    }
}

fn encode_delimited(number: u32, value: &[u8], bytes: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, bytes);
    encode_varint(value.len() as u64, bytes);
    bytes.put_slice(value);
}
