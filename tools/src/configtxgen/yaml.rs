//! Values of `configtx.yaml`, read as Fabric reads them: names of fields in any case, numbers also as text, and any
//! value outside of lists from the environment instead: `Orderer.BatchTimeout` as `CONFIGTX_ORDERER_BATCHTIMEOUT`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::error::GenerateError;
use crate::Environment;

/// A value, or where one could be.
#[derive(Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    /// Where it is, for people.
    place: String,
    /// What the environment calls it; none in a list.
    variable: Option<String>,
    environment: Environment<'a>,
}

/// A value that has fields.
pub(super) struct Section<'a> {
    node: Node<'a>,
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Node<'a> {
    /// The whole file.
    pub(super) fn root(value: &'a Value, environment: Environment<'a>) -> Self {
        Self {
            value,
            place: String::new(),
            variable: Some("CONFIGTX".to_owned()),
            environment,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// Reads the value as a section, which has no other fields than these.
    pub(super) fn section(self, known: &[&str]) -> Result<Section<'a>, GenerateError> {
        let fields = self.fields()?;
        let mut names = fields.into_iter().flat_map(Map::keys);
        let stranger =
            names.find(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)));
        match stranger {
            Some(name) => {
                Err(self.wrong(format!("has no field {name:?}, only {}", known.join(", "))))
            }
            None => Ok(Section { fields, node: self }),
        }
    }

    fn fields(&self) -> Result<Option<&'a Map<String, Value>>, GenerateError> {
        match self.value {
            Value::Null => Ok(None),
            Value::Object(fields) => Ok(Some(fields)),
            _ => Err(self.wrong("should have fields".to_owned())),
        }
    }

    /// What a map has, by name.
    pub(super) fn entries(&self) -> Result<Vec<(String, Self)>, GenerateError> {
        let fields = self.fields()?.into_iter().flatten();
        Ok(fields
            .map(|(name, value)| (name.clone(), self.below(name, value)))
            .collect())
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, GenerateError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => {
                let nodes = values.iter().enumerate().map(|(at, value)| Self {
                    value,
                    place: format!("{}[{at}]", self.place),
                    variable: None,
                    environment: self.environment,
                });
                Ok(nodes.collect())
            }
            _ => Err(self.wrong("should be a list".to_owned())),
        }
    }

    /// Texts in a list, or written as `[one, another]`.
    pub(super) fn texts(&self) -> Result<Vec<String>, GenerateError> {
        if let Value::String(text) = self.scalar().as_ref() {
            let inside = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            let parts = inside.unwrap_or(text).split(',');
            return Ok(match inside {
                Some(_) => parts.map(|part| part.trim().to_owned()).collect(),
                None => vec![text.clone()],
            });
        }
        self.list()?.iter().map(Self::text).collect()
    }

    pub(super) fn text(&self) -> Result<String, GenerateError> {
        match self.scalar().as_ref() {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(u8::from(*value).to_string()),
            Value::Array(_) | Value::Object(_) => Err(self.wrong("should be a text".to_owned())),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, GenerateError> {
        match self.scalar().as_ref() {
            Value::Null => Ok(false),
            Value::Bool(value) => Ok(*value),
            Value::String(text)
                if matches!(&**text, "true" | "True" | "TRUE" | "t" | "T" | "1") =>
            {
                Ok(true)
            }
            Value::String(text)
                if matches!(&**text, "" | "false" | "False" | "FALSE" | "f" | "F" | "0") =>
            {
                Ok(false)
            }
            Value::Number(number) => Ok(number.as_i64() != Some(0)),
            _ => Err(self.wrong("should be true or false".to_owned())),
        }
    }

    /// A number from 0 on; 0 where none is given.
    pub(super) fn number(&self) -> Result<u64, GenerateError> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(0);
        }
        text.parse()
            .map_err(|_| self.wrong(format!("should be a number from 0 on, not {text:?}")))
    }

    pub(super) fn number32(&self) -> Result<u32, GenerateError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.too_large())
    }

    /// A number of bytes, also as `10 MB`.
    pub(super) fn size(&self) -> Result<u32, GenerateError> {
        let text = self.text()?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let power = match unit.trim_start().to_ascii_lowercase().as_str() {
            "k" | "kb" => 10,
            "m" | "mb" => 20,
            "g" | "gb" => 30,
            _ => return self.number32(),
        };
        let number: u64 = number.parse().map_err(|_| self.too_large())?;
        let size = number
            .checked_mul(1 << power)
            .and_then(|size| u32::try_from(size).ok());
        size.ok_or_else(|| self.too_large())
    }

    fn too_large(&self) -> GenerateError {
        self.wrong(format!("should be at most {}", u32::MAX))
    }

    /// The value, or what the environment says instead.
    fn scalar(&self) -> Cow<'a, Value> {
        let variable = self.variable.as_deref();
        let instead = variable.and_then(|name| (self.environment)(name));
        match instead.filter(|text| !text.is_empty()) {
            Some(text) => Cow::Owned(Value::String(text)),
            None => Cow::Borrowed(self.value),
        }
    }

    fn below(&self, name: &str, value: &'a Value) -> Self {
        let place = if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place)
        };
        let upper = name.to_uppercase().replace('.', "_");
        let variable = self
            .variable
            .as_ref()
            .map(|variable| format!("{variable}_{upper}"));
        Self {
            value,
            place,
            variable,
            environment: self.environment,
        }
    }

    pub(super) fn wrong(&self, what: String) -> GenerateError {
        let place = self.place.clone();
        GenerateError::Value { place, what }
    }
}

impl<'a> Section<'a> {
    /// A field, whichever case its name is in.
    pub(super) fn get(&self, name: &str) -> Node<'a> {
        const NONE: &Value = &Value::Null;
        let mut fields = self.fields.into_iter().flatten();
        let field = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        match field {
            Some((known, value)) => self.node.below(known, value),
            None => self.node.below(name, NONE),
        }
    }
}
