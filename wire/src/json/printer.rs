//! Prints a message as JSON, as Go does: members are sorted by name, a level is a tab.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use time::OffsetDateTime;

use super::error::{Cause, Error};
use super::message::{Budget, Content, Key, Message, Value, as_int32, default_of};
use super::schema::{Field, Kind, Label, MessageType};
use super::{MAX_DEPTH, MAX_TEXT};

pub(super) fn print(message_type: &'static MessageType, bytes: Bytes) -> Result<String, Error> {
    let mut printer = Printer {
        text: String::new(),
        budget: Budget::whole(),
        depth: 0,
    };
    let message = Message::decode(message_type, bytes, &mut printer.budget)?;
    printer.message(message_type, &message, Opaque::Shown)?;
    printer.text.push('\n');
    Ok(printer.text)
}

struct Printer {
    text: String,
    budget: Budget,
    depth: usize,
}

/// Whether bytes are shown as the messages in them. Fabric does not look into a member of a `oneof`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opaque {
    Shown,
    Base64,
}

impl Printer {
    fn message(
        &mut self,
        message_type: &'static MessageType,
        message: &Message,
        opaque: Opaque,
    ) -> Result<(), Error> {
        let mut fields: Vec<_> = message_type.fields.iter().collect();
        // A member of a `oneof` that is not set is not shown.
        fields.retain(|field| field.label != Label::Choice || message.get(field.number).is_some());
        fields.sort_unstable_by_key(|field| field.name);
        self.open('{')?;
        for (at, field) in fields.into_iter().enumerate() {
            self.next(at)?;
            self.string(field.name);
            self.text.push_str(": ");
            let shown = self.field(field, message, opaque);
            shown.map_err(|error| error.within(field.name))?;
        }
        self.close('}');
        Ok(())
    }

    fn field(
        &mut self,
        field: &'static Field,
        message: &Message,
        opaque: Opaque,
    ) -> Result<(), Error> {
        match message.get(field.number) {
            None => self.absent(field, opaque),
            Some(Content::One(value)) => {
                let inside = match field.label {
                    Label::Choice => Opaque::Base64,
                    _ => opaque,
                };
                self.ruled(field, message, "", value, inside)?;
            }
            Some(Content::Many(values)) => {
                self.open('[')?;
                for (at, value) in values.iter().enumerate() {
                    self.next(at)?;
                    let shown = self.ruled(field, message, "", value, opaque);
                    shown.map_err(|error| error.within(format!("[{at}]")))?;
                }
                self.close(']');
            }
            Some(Content::Map(map)) => {
                // Keys that are numbers are sorted as text too.
                let mut entries: Vec<_> = map
                    .iter()
                    .map(|(key, value)| (name_of(key), value))
                    .collect();
                entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                self.open('{')?;
                for (at, (name, value)) in entries.into_iter().enumerate() {
                    self.next(at)?;
                    self.string(&name);
                    self.text.push_str(": ");
                    let shown = self.ruled(field, message, &name, value, opaque);
                    shown.map_err(|error| error.within(name))?;
                }
                self.close('}');
            }
        }
        Ok(())
    }

    /// What is shown for a field that is not set.
    fn absent(&mut self, field: &Field, opaque: Opaque) {
        match field.label {
            Label::Many => self.text.push_str("[]"),
            Label::Map | Label::MapOfNumbers => self.text.push_str("{}"),
            Label::One | Label::Choice => match field.kind {
                Kind::Message(_) | Kind::Timestamp => self.text.push_str("null"),
                Kind::Bytes if field.is_opaque() && opaque == Opaque::Shown => {
                    self.text.push_str("null");
                }
                kind => self.plain(kind, &default_of(kind)),
            },
        }
    }

    /// Shows a value as the type that its field's rule tells.
    fn ruled(
        &mut self,
        field: &'static Field,
        message: &Message,
        key: &str,
        value: &Value,
        opaque: Opaque,
    ) -> Result<(), Error> {
        let ruled = match opaque {
            Opaque::Shown => field.ruled(message, key)?,
            Opaque::Base64 => None,
        };
        match (value, ruled, field.kind) {
            (Value::Bytes(bytes), Some(held), _) => {
                let nested = Message::decode(held, bytes.clone(), &mut self.budget)?;
                self.message(held, &nested, opaque)
            }
            (Value::Message(nested), Some(view), _) => self.message(view, nested, opaque),
            (Value::Message(nested), None, Kind::Message(nested_type)) => {
                self.message(nested_type, nested, opaque)
            }
            (Value::Message(time), None, _) => self.time(time),
            (value, _, kind) => {
                self.plain(kind, value);
                Ok(())
            }
        }
    }

    /// Shows a value that is not a message.
    fn plain(&mut self, kind: Kind, value: &Value) {
        match (value, kind) {
            (Value::Text(text), _) => self.string(text),
            (Value::Bytes(bytes), _) => {
                self.text.push('"');
                STANDARD.encode_string(bytes, &mut self.text);
                self.text.push('"');
            }
            (Value::Number(number), Kind::Bool) => self.display(&(*number != 0)),
            (Value::Number(number), Kind::Enum(names)) => match names.name(as_int32(*number)) {
                Some(name) => self.string(name),
                None => self.display(&as_int32(*number)),
            },
            (Value::Number(number), Kind::Int32) => self.display(&as_int32(*number)),
            (Value::Number(number), Kind::Int64) => self.string(&number.cast_signed().to_string()),
            (Value::Number(number), Kind::Uint64) => self.string(&number.to_string()),
            (Value::Number(number), _) => self.display(number),
            (Value::Message(_), _) => self.text.push_str("null"),
        }
    }

    fn display(&mut self, value: &impl ToString) {
        self.text.push_str(&value.to_string());
    }

    /// A time as in protobuf's JSON: a fraction has three, six or nine digits, as it needs.
    fn time(&mut self, time: &Message) -> Result<(), Error> {
        let seconds = time.number(1).cast_signed();
        let nanoseconds = time.int32(2);
        let out_of_range = || {
            Error::from(Cause::Mismatch {
                expected: "a time from year 1 to year 9999".to_owned(),
                found: format!("{seconds} seconds and {nanoseconds} nanoseconds"),
            })
        };
        let whole = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| out_of_range())?;
        if whole.year() < 1 || !(0..1_000_000_000).contains(&nanoseconds) {
            return Err(out_of_range());
        }
        let (date, time) = (whole.date(), whole.time());
        let month = u8::from(date.month());
        let mut text = format!(
            "{:04}-{month:02}-{:02}T{:02}:{:02}:{:02}",
            date.year(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        if nanoseconds > 0 {
            let fraction = format!("{nanoseconds:09}");
            let fraction = fraction.strip_suffix("000").unwrap_or(&fraction);
            let fraction = fraction.strip_suffix("000").unwrap_or(fraction);
            text.push('.');
            text.push_str(fraction);
        }
        text.push('Z');
        self.string(&text);
        Ok(())
    }

    /// A string, escaped as in Go.
    fn string(&mut self, string: &str) {
        self.text.push('"');
        for letter in string.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let escaped = format!("\\u{:04x}", u32::from(letter));
                    self.text.push_str(&escaped);
                }
                letter => self.text.push(letter),
            }
        }
        self.text.push('"');
    }

    fn open(&mut self, bracket: char) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Cause::TooDeep(MAX_DEPTH).into());
        }
        self.text.push(bracket);
        Ok(())
    }

    /// Starts a line for the value at a place.
    fn next(&mut self, at: usize) -> Result<(), Error> {
        if self.text.len() > MAX_TEXT {
            let (limit, unit) = (MAX_TEXT, "bytes of JSON");
            return Err(Cause::TooLarge { limit, unit }.into());
        }
        self.text.push_str(if at == 0 { "\n" } else { ",\n" });
        self.indent();
        Ok(())
    }

    /// Closes a bracket, on the same line if nothing is in it.
    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        if !self.text.ends_with(['{', '[']) {
            self.text.push('\n');
            self.indent();
        }
        self.text.push(bracket);
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n('\t', self.depth));
    }
}

fn name_of(key: &Key) -> String {
    match key {
        Key::Number(number) => number.to_string(),
        Key::Text(text) => text.clone(),
    }
}
