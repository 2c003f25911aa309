//! How structures lie in the state of `_lifecycle`, byte for byte as Fabric has them.
//!
//! ```text
//! <part>/metadata/<name>         StateMetadata: the structure's type, and its fields' names
//! <part>/fields/<name>/<field>   StateData: the field's value
//! ```
//!
//! Only what changes is written, so that two transactions that change different fields do not get in each
//! other's way.

use std::collections::BTreeMap;

use bytes::Bytes;
use quire_ledger::ReadError;
use quire_wire::Message;
use quire_wire::hash::sha256;
use quire_wire::lifecycle::{StateData, StateMetadata, StateValue};

use super::error::LifecycleError;
use super::state::{Place, State};

/// Where the definitions and approvals are.
pub(super) const NAMESPACES: &str = "namespaces";
/// Where it says which package an organisation runs.
pub(super) const SOURCES: &str = "chaincode-sources";

/// A structure that is kept field by field.
pub(super) trait Structure: Sized {
    /// Fabric's name of the type.
    const TYPE: &'static str;
    /// The fields' names, in Fabric's order.
    const FIELDS: &'static [&'static str];

    /// The fields' values, in the same order.
    fn values(&self) -> Vec<StateValue>;

    /// The structure of the values that `field` reads.
    fn read(field: Fields<'_, '_>) -> Result<Self, LifecycleError>;
}

/// Reads the fields of a structure, one after the other.
pub(super) struct Fields<'a, 's> {
    pub(super) place: Place<'a>,
    pub(super) part: &'a str,
    pub(super) name: &'a str,
    pub(super) state: &'s mut dyn State,
}

impl Fields<'_, '_> {
    fn value(&mut self, field: &str) -> Result<(String, Option<StateValue>), LifecycleError> {
        let key = field_key(self.part, self.name, field);
        let value = self.state.get(self.place, &key)?.unwrap_or_default();
        match StateData::decode(value) {
            Ok(data) => Ok((key, data.r#type)),
            Err(error) => Err(LifecycleError::State(format!(
                "could not unmarshal state for key {key}: {error}"
            ))),
        }
    }

    /// A text; empty where there is none.
    pub(super) fn text(&mut self, field: &str) -> Result<String, LifecycleError> {
        match self.value(field)? {
            (_, None) => Ok(String::new()),
            (_, Some(StateValue::String(text))) => Ok(text),
            (key, Some(_)) => Err(other_type(&key, "String")),
        }
    }

    /// A number; 0 where there is none.
    pub(super) fn number(&mut self, field: &str) -> Result<i64, LifecycleError> {
        match self.value(field)? {
            (_, None) => Ok(0),
            (_, Some(StateValue::Int64(number))) => Ok(number),
            (key, Some(_)) => Err(other_type(&key, "Int64")),
        }
    }

    /// A message; empty where there is none.
    pub(super) fn message<M: Message + Default>(
        &mut self,
        field: &str,
    ) -> Result<M, LifecycleError> {
        let (key, bytes) = match self.value(field)? {
            (key, None) => (key, Bytes::new()),
            (key, Some(StateValue::Bytes(bytes))) => (key, bytes),
            (key, Some(_)) => return Err(other_type(&key, "[]byte")),
        };
        M::decode(bytes).map_err(|error| {
            LifecycleError::State(format!("could not unmarshal key {key}: {error}"))
        })
    }
}

fn other_type(key: &str, expected: &str) -> LifecycleError {
    LifecycleError::State(format!(
        "expected key {key} to encode a value of type {expected}"
    ))
}

/// The key of what a structure is.
pub(super) fn metadata_key(part: &str, name: &str) -> String {
    format!("{part}/metadata/{name}")
}

/// The key of a field.
pub(super) fn field_key(part: &str, name: &str, field: &str) -> String {
    format!("{part}/fields/{name}/{field}")
}

/// What there is of a name; none where there is nothing.
pub(super) fn metadata(
    state: &mut dyn State,
    place: Place<'_>,
    part: &str,
    name: &str,
) -> Result<Option<StateMetadata>, LifecycleError> {
    let found = state.get(place, &metadata_key(part, name))?;
    decoded_metadata(found, part, name)
}

fn decoded_metadata(
    found: Option<Bytes>,
    part: &str,
    name: &str,
) -> Result<Option<StateMetadata>, LifecycleError> {
    let decoded = found.map(StateMetadata::decode).transpose();
    decoded.map_err(|error| {
        LifecycleError::State(format!(
            "could not unmarshal metadata for namespace {part}/{name}: {error}"
        ))
    })
}

/// A key's value, also where another node of the organisation has it and this one has its hash alone: it is `ours` if
/// it has that hash, and otherwise some other value, for which no bytes stand.
fn known(
    state: &mut dyn State,
    place: Place<'_>,
    key: &str,
    ours: &[u8],
) -> Result<Option<Bytes>, ReadError> {
    match (state.get(place, key), place) {
        (Err(ReadError::PrivateMissing { .. }), Place::Of(organization)) => {
            let found = state.hash(organization, key)?;
            let is_ours = found.is_some_and(|found| *found == sha256([ours]));
            Ok(Some(if is_ours {
                Bytes::copy_from_slice(ours)
            } else {
                Bytes::new()
            }))
        }
        (found, _) => found,
    }
}

/// What there is of every name, in the order of the names.
pub(super) fn all_metadata(
    state: &mut dyn State,
    place: Place<'_>,
    part: &str,
) -> Result<Vec<(String, StateMetadata)>, LifecycleError> {
    let prefix = metadata_key(part, "");
    let rows = state.range(place, &prefix, &format!("{prefix}\x7f"), usize::MAX)?;
    let rows = rows.into_iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(&prefix)?.to_owned();
        Some((name, key, value))
    });
    rows.map(|(name, key, value)| match StateMetadata::decode(value) {
        Ok(metadata) => Ok((name, metadata)),
        Err(error) => Err(LifecycleError::State(format!(
            "error unmarshalling metadata for key {key}: {error}"
        ))),
    })
    .collect()
}

/// Reads a structure whose metadata was found.
pub(super) fn read<S: Structure>(
    state: &mut dyn State,
    place: Place<'_>,
    part: &str,
    name: &str,
    metadata: &StateMetadata,
) -> Result<S, LifecycleError> {
    if metadata.datatype != S::TYPE {
        return Err(LifecycleError::State(format!(
            "type name mismatch '{}' != '{}'",
            S::TYPE,
            metadata.datatype
        )));
    }
    S::read(Fields {
        place,
        part,
        name,
        state,
    })
}

/// Writes what of a structure is not there already, and deletes what is there of another.
pub(super) fn write<S: Structure>(
    state: &mut dyn State,
    place: Place<'_>,
    part: &str,
    name: &str,
    structure: &S,
) -> Result<(), LifecycleError> {
    let written = S::FIELDS.iter().zip(structure.values());
    let written: Vec<_> = written
        .map(|(field, value)| (field_key(part, name, field), encoded(value)))
        .collect();
    let before = known(state, place, &metadata_key(part, name), &metadata_of::<S>())?;
    let before = decoded_metadata(before, part, name)?.unwrap_or_default();
    let mut existing = BTreeMap::new();
    for field in &before.fields {
        let key = field_key(part, name, field);
        let ours = written.iter().find(|(written, _)| *written == key);
        let value = known(state, place, &key, ours.map_or(&[], |(_, value)| value))?;
        existing.insert(key, value.unwrap_or_default());
    }
    for (key, value) in written {
        if existing.remove(&key).as_ref() != Some(&value) {
            state.put(place, &key, value);
        }
    }
    let is_same = before.datatype == S::TYPE && before.fields.len() == S::FIELDS.len();
    if !is_same || !existing.is_empty() {
        let key = metadata_key(part, name);
        state.put(place, &key, metadata_of::<S>());
    }
    for key in existing.keys() {
        state.delete(place, key);
    }
    Ok(())
}

/// Which fields an organisation has otherwise than `structure`, judged by hashes: none where it has just
/// that, and the name of the type where it has nothing of the kind.
pub(super) fn differences<S: Structure>(
    state: &mut dyn State,
    organization: &str,
    part: &str,
    name: &str,
    structure: &S,
) -> Result<Vec<String>, ReadError> {
    let found = state.hash(organization, &metadata_key(part, name))?;
    let mut fields = Vec::new();
    for field in S::FIELDS {
        fields.push(state.hash(organization, &field_key(part, name, field))?);
    }
    let is = |found: &Option<Bytes>, value: &Bytes| {
        found
            .as_ref()
            .is_some_and(|found| **found == sha256([&**value]))
    };
    if !is(&found, &metadata_of::<S>()) {
        return Ok(vec![S::TYPE.to_owned()]);
    }
    let values = S::FIELDS.iter().zip(&fields).zip(structure.values());
    let differing = values.filter(|((_, found), value)| !is(found, &encoded(value.clone())));
    Ok(differing
        .map(|((field, _), _)| (*field).to_owned())
        .collect())
}

fn metadata_of<S: Structure>() -> Bytes {
    let fields = S::FIELDS.iter();
    let metadata = StateMetadata {
        datatype: S::TYPE.to_owned(),
        fields: fields.map(|field| (*field).to_owned()).collect(),
    };
    metadata.encode_to_vec().into()
}

fn encoded(value: StateValue) -> Bytes {
    let r#type = Some(value);
    StateData { r#type }.encode_to_vec().into()
}
