//! What a message consists of: its fields, their kinds, and what their bytes hold.

use super::error::Error;
use super::message::Message;

/// A type of message: what its fields are called and what is in them.
#[derive(Debug)]
pub struct MessageType {
    /// The full name, such as `common.Block`.
    pub name: &'static str,
    /// In the order of their numbers.
    pub(super) fields: &'static [Field],
}

/// The names of an enumeration's numbers.
#[derive(Debug)]
pub(super) struct EnumType {
    pub(super) values: &'static [(i32, &'static str)],
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) label: Label,
    pub(super) rule: Rule,
}

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    One,
    /// A member of a `oneof`, of which at most one is set. No message has two `oneof`s.
    Choice,
    Many,
    /// A map whose keys are texts.
    Map,
    /// A map whose keys are `uint64`.
    MapOfNumbers,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Text,
    Bytes,
    Enum(&'static EnumType),
    Message(&'static MessageType),
    Timestamp,
}

/// What more is known of a field than its kind says.
///
/// For bytes, this is the type of the message in them. For a message, it is the type as which it is shown,
/// which has the same fields and knows more about them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    None,
    Type(&'static MessageType),
    /// The type follows from the message's other fields.
    Variable(fn(&Message) -> Found),
    /// The type of a map's value follows from its key.
    ByKey(fn(&str) -> Found),
}

/// A type, or `None` if nothing more is known.
pub(super) type Found = Result<Option<&'static MessageType>, Error>;

const fn field(label: Label, number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        label,
        rule: Rule::None,
    }
}

pub(super) const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    field(Label::One, number, name, kind)
}

pub(super) const fn choice(number: u32, name: &'static str, kind: Kind) -> Field {
    field(Label::Choice, number, name, kind)
}

pub(super) const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    field(Label::Many, number, name, kind)
}

pub(super) const fn map(number: u32, name: &'static str, kind: Kind) -> Field {
    field(Label::Map, number, name, kind)
}

pub(super) const fn map_of_numbers(number: u32, name: &'static str, kind: Kind) -> Field {
    field(Label::MapOfNumbers, number, name, kind)
}

impl Field {
    /// The bytes are a message.
    pub(super) const fn opaque(self, held: &'static MessageType) -> Self {
        Self {
            rule: Rule::Type(held),
            ..self
        }
    }

    /// The message is shown as another type.
    pub(super) const fn seen_as(self, view: &'static MessageType) -> Self {
        Self {
            rule: Rule::Type(view),
            ..self
        }
    }

    pub(super) const fn variable(self, rule: fn(&Message) -> Found) -> Self {
        Self {
            rule: Rule::Variable(rule),
            ..self
        }
    }

    pub(super) const fn by_key(self, rule: fn(&str) -> Found) -> Self {
        Self {
            rule: Rule::ByKey(rule),
            ..self
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.label, Label::Map | Label::MapOfNumbers)
    }

    /// Whether bytes are shown as the message in them.
    pub(super) fn is_opaque(&self) -> bool {
        matches!(self.kind, Kind::Bytes) && !matches!(self.rule, Rule::None)
    }

    /// The type that the rule gives a value in `message`, which in a map has the key `key`.
    pub(super) fn ruled(&self, message: &Message, key: &str) -> Found {
        match self.rule {
            Rule::None => Ok(None),
            Rule::Type(held) => Ok(Some(held)),
            Rule::Variable(rule) => rule(message),
            Rule::ByKey(rule) => rule(key),
        }
    }
}

impl MessageType {
    pub(super) fn numbered(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// The field with a name, as protobuf writes it or in JSON's camel case.
    pub(super) fn named(&self, name: &str) -> Option<&'static Field> {
        let fields = self.fields.iter();
        let mut found =
            fields.filter(|field| field.name == name || is_camel_case_of(name, field.name));
        found.next()
    }
}

impl EnumType {
    pub(super) fn name(&self, number: i32) -> Option<&'static str> {
        let found = self.values.iter().find(|(known, _)| *known == number);
        found.map(|(_, name)| *name)
    }

    pub(super) fn number(&self, name: &str) -> Option<i32> {
        let found = self.values.iter().find(|(_, known)| *known == name);
        found.map(|(number, _)| *number)
    }
}

/// Whether `camel` is what protobuf's JSON calls `name`.
fn is_camel_case_of(camel: &str, name: &str) -> bool {
    let mut rest = camel.chars();
    let mut raise = false;
    for letter in name.chars() {
        if letter == '_' {
            raise = true;
            continue;
        }
        let expected = if raise {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        raise = false;
        if rest.next() != Some(expected) {
            return false;
        }
    }
    rest.next().is_none()
}
