//! Turns JSON into the bytes of a message.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value as Json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::MAX_TEXT;
use super::error::{Cause, Error};
use super::message::{Content, Key, Message, Value, widened};
use super::schema::{EnumType, Field, Kind, Label, MessageType, Rule};

pub(super) fn read(message_type: &'static MessageType, json: &[u8]) -> Result<Vec<u8>, Error> {
    if json.len() > MAX_TEXT {
        let (limit, unit) = (MAX_TEXT, "bytes of JSON");
        return Err(Cause::TooLarge { limit, unit }.into());
    }
    let tree: Json =
        serde_json::from_slice(json).map_err(|error| Cause::NoJson(error.to_string()))?;
    let message = message(message_type, &tree, true)?;
    Ok(message.encode(message_type))
}

/// `looks_inside` tells whether messages stand for bytes.
fn message(
    message_type: &'static MessageType,
    tree: &Json,
    looks_inside: bool,
) -> Result<Message, Error> {
    let members = members(tree, message_type.name)?;
    let mut message = Message::default();
    let mut last = Vec::new();
    for (name, json) in members {
        let field = message_type.named(name).ok_or_else(|| {
            let (message, name) = (message_type.name, name.clone());
            Error::from(Cause::NoSuchField { message, name })
        })?;
        if json.is_null() {
            continue;
        }
        // What a field holds may depend on the others.
        if matches!(field.rule, Rule::Variable(_)) {
            last.push((field, json));
        } else {
            put(&mut message, message_type, field, json, looks_inside)?;
        }
    }
    for (field, json) in last {
        put(&mut message, message_type, field, json, looks_inside)?;
    }
    Ok(message)
}

fn members<'a>(tree: &'a Json, expected: &str) -> Result<&'a Map<String, Json>, Error> {
    tree.as_object()
        .ok_or_else(|| mismatch(format!("an object, as {expected} is"), tree))
}

fn put(
    message: &mut Message,
    message_type: &'static MessageType,
    field: &'static Field,
    json: &Json,
    looks_inside: bool,
) -> Result<(), Error> {
    let content = content(message, field, json, looks_inside);
    let content = content.map_err(|error| error.within(field.name))?;
    if field.label == Label::Choice {
        let mut choices = message_type.fields.iter();
        let taken = choices
            .find(|other| other.label == Label::Choice && message.get(other.number).is_some());
        if let Some(taken) = taken {
            return Err(mismatch(format!("nothing beside {}", taken.name), json).within(field.name));
        }
    }
    message.set(field.number, content);
    Ok(())
}

fn content(
    message: &Message,
    field: &'static Field,
    json: &Json,
    looks_inside: bool,
) -> Result<Content, Error> {
    match field.label {
        Label::One => Ok(Content::One(value(message, field, "", json, looks_inside)?)),
        // Fabric does not look into a member of a `oneof`.
        Label::Choice => Ok(Content::One(value(message, field, "", json, false)?)),
        Label::Many => {
            let elements = json.as_array().ok_or_else(|| mismatch("an array", json))?;
            let values = elements.iter().enumerate().map(|(at, json)| {
                let value = value(message, field, "", json, looks_inside);
                value.map_err(|error| error.within(format!("[{at}]")))
            });
            Ok(Content::Many(values.collect::<Result<_, _>>()?))
        }
        Label::Map | Label::MapOfNumbers => {
            let entries = members(json, "a map")?.iter().map(|(name, json)| {
                let key = key(field, name)?;
                let value = value(message, field, name, json, looks_inside);
                Ok((key, value.map_err(|error| error.within(name))?))
            });
            Ok(Content::Map(entries.collect::<Result<_, Error>>()?))
        }
    }
}

fn key(field: &Field, name: &str) -> Result<Key, Error> {
    if field.label == Label::Map {
        return Ok(Key::Text(name.to_owned()));
    }
    let number = name
        .parse()
        .map_err(|_| mismatch("a number", &Json::from(name)))?;
    Ok(Key::Number(number))
}

fn value(
    siblings: &Message,
    field: &'static Field,
    key: &str,
    json: &Json,
    looks_inside: bool,
) -> Result<Value, Error> {
    let ruled = if looks_inside {
        field.ruled(siblings, key)?
    } else {
        None
    };
    match (field.kind, ruled) {
        (Kind::Bytes, Some(held)) => {
            let inner = message(held, json, looks_inside)?;
            Ok(Value::Bytes(inner.encode(held).into()))
        }
        (Kind::Message(_), Some(view)) => Ok(Value::Message(message(view, json, looks_inside)?)),
        (Kind::Message(nested), None) => Ok(Value::Message(message(nested, json, looks_inside)?)),
        (kind, _) => plain(kind, json),
    }
}

fn plain(kind: Kind, json: &Json) -> Result<Value, Error> {
    let number = |least: i128, most: i128| number(json, least, most);
    match (kind, json) {
        (Kind::Bool, Json::Bool(value)) => Ok(Value::Number(u64::from(*value))),
        (Kind::Int64, _) => number(i64::MIN.into(), i64::MAX.into()),
        (Kind::Uint32, _) => number(0, u32::MAX.into()),
        (Kind::Uint64, _) => number(0, u64::MAX.into()),
        (Kind::Enum(names), Json::String(_)) => enumerated(names, json),
        (Kind::Int32 | Kind::Enum(_), _) => number(i32::MIN.into(), i32::MAX.into()),
        (Kind::Text, Json::String(text)) => Ok(Value::Text(text.clone())),
        (Kind::Bytes, Json::String(text)) => bytes(text).ok_or_else(|| mismatch("base64", json)),
        (Kind::Timestamp, Json::String(text)) => {
            time(text).ok_or_else(|| mismatch("a time such as 2006-01-02T15:04:05Z", json))
        }
        (Kind::Bool, _) => Err(mismatch("true or false", json)),
        _ => Err(mismatch("a string", json)),
    }
}

fn enumerated(names: &EnumType, json: &Json) -> Result<Value, Error> {
    let number = json.as_str().and_then(|name| names.number(name));
    let number = number.ok_or_else(|| {
        let names: Vec<_> = names.values.iter().map(|(_, name)| *name).collect();
        mismatch(format!("one of {}", names.join(", ")), json)
    })?;
    Ok(Value::Number(widened(number)))
}

/// A whole number, as a JSON number or in a string.
fn number(json: &Json, least: i128, most: i128) -> Result<Value, Error> {
    let wrong = || mismatch(format!("a whole number from {least} to {most}"), json);
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return Err(wrong()),
    };
    let number = text.parse::<i128>().ok().or_else(|| from_fraction(&text));
    let number = number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(wrong)?;
    // A negative number is written as 64 bits in two's complement.
    let number = u64::try_from(number).or_else(|_| i64::try_from(number).map(i64::cast_unsigned));
    number.map(Value::Number).map_err(|_| wrong())
}

/// `1.0` and `1e3` are whole, too.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it is whole and small enough"
)]
fn from_fraction(text: &str) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
}

/// Both alphabets of base64 are read, with padding or without.
fn bytes(text: &str) -> Option<Value> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let text = text.replace(['\r', '\n'], "");
    let engine = if text.contains(['-', '_']) {
        URL_SAFE
    } else {
        STANDARD
    };
    engine
        .decode(text)
        .ok()
        .map(|bytes| Value::Bytes(bytes.into()))
}

fn time(text: &str) -> Option<Value> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let nanoseconds = i32::try_from(time.nanosecond()).ok()?;
    let mut message = Message::default();
    message.set(
        1,
        Content::One(Value::Number(time.unix_timestamp().cast_unsigned())),
    );
    message.set(2, Content::One(Value::Number(widened(nanoseconds))));
    Some(Value::Message(message))
}

fn mismatch(expected: impl Into<String>, json: &Json) -> Error {
    const SHOWN: usize = 60;
    let found = match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string().chars().take(SHOWN).collect(),
        Json::String(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
        Json::Array(_) => "an array".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    };
    let expected = expected.into();
    Cause::Mismatch { expected, found }.into()
}
