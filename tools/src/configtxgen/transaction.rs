//! What is made of a configuration: a first block, or an envelope that asks for a change.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_identity::config::compute_update;
use quire_wire::Message as _;
use quire_wire::config::{Config, ConfigUpdate, ConfigValue};
use quire_wire::json;
use quire_wire::{hash, tx_id};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::GenerateError;
use super::groups;
use super::profile::Profile;

/// The first block of a channel.
pub(super) fn genesis_block(
    profile: &Profile,
    channel: &str,
    now: SystemTime,
) -> Result<Vec<u8>, GenerateError> {
    check_for_block(profile)?;
    let mut nonce = [0; 24];
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| GenerateError::Random)?;
    let header = json!({
        "type": 1,
        "version": 1,
        "timestamp": timestamp(now)?,
        "channel_id": channel,
        "tx_id": tx_id::tx_id(&nonce, &[]),
    });
    let envelope = json!({
        "payload": {
            "header": {
                "channel_header": header,
                "signature_header": {"nonce": STANDARD.encode(nonce)},
            },
            "data": {"config": {"channel_group": groups::channel(profile)?}},
        },
    });
    let bytes = encoded("common.Envelope", &envelope)?;
    let data_hash = hash::data_hash(&[bytes.as_slice()]);
    // Both that block 0 is the last one with a configuration, and that nobody signed it.
    let signatures = STANDARD.encode([0x0a, 0x02, 0x0a, 0x00]);
    let block = json!({
        "header": {"data_hash": STANDARD.encode(data_hash)},
        "data": {"data": [envelope]},
        "metadata": {"metadata": [signatures, "", "", "", ""]},
    });
    encoded("common.Block", &block)
}

fn check_for_block(profile: &Profile) -> Result<(), GenerateError> {
    let orderer = profile.orderer.as_ref();
    let orderer =
        orderer.ok_or_else(|| GenerateError::refused("the profile has no Orderer section"))?;
    if profile.consortiums.is_none() && profile.application.is_none() {
        return Err(GenerateError::refused(
            "the profile has no Application section",
        ));
    }
    let applications = profile
        .application
        .iter()
        .flat_map(|part| &part.organizations);
    let members = profile
        .consortiums
        .iter()
        .flatten()
        .flat_map(|(_, members)| members);
    let mut all = orderer
        .organizations
        .iter()
        .chain(applications)
        .chain(members);
    match all.find(|organization| organization.is_foreign) {
        Some(foreign) => Err(GenerateError::Refused(format!(
            "{} is marked SkipAsForeign, and a first block needs all that is to know of it",
            foreign.name
        ))),
        None => Ok(()),
    }
}

/// The envelope that asks the orderers of a consortium for a channel.
pub(super) fn channel_creation(
    profile: &Profile,
    base: Option<&Profile>,
    channel: &str,
    now: SystemTime,
) -> Result<Vec<u8>, GenerateError> {
    let application = profile.application.as_ref();
    let application = application
        .ok_or_else(|| GenerateError::refused("the profile has no Application section"))?;
    if profile.consortium.is_empty() {
        return Err(GenerateError::refused("the profile names no Consortium"));
    }
    let updated = groups::channel(profile)?;
    let template = if let Some(base) = base {
        let members = application.organizations.iter().map(|member| &*member.name);
        consortium_template(base, &profile.consortium, members)?
    } else {
        let mut template = updated.clone();
        let part = template
            .pointer_mut("/groups/Application")
            .and_then(Value::as_object_mut);
        if let Some(part) = part {
            part.remove("values");
            part.remove("policies");
        }
        template
    };
    let mut update = compute_update(&config(&template)?, &config(&updated)?)?;
    let name = encoded("common.Consortium", &json!({"name": profile.consortium}))?;
    let consortium = |value: Vec<u8>| ConfigValue {
        value: value.into(),
        ..ConfigValue::default()
    };
    let key = || "Consortium".to_owned();
    let read = update.read_set.get_or_insert_default();
    read.values.insert(key(), consortium(Vec::new()));
    let write = update.write_set.get_or_insert_default();
    write.values.insert(key(), consortium(name));
    envelope(channel, update, now)
}

/// What a channel has before its creation, as a system channel makes it of a consortium.
fn consortium_template<'a>(
    base: &Profile,
    consortium: &str,
    members: impl Iterator<Item = &'a str>,
) -> Result<Value, GenerateError> {
    let mut template = groups::channel(base)?;
    let place = template.pointer(&format!(
        "/groups/Consortiums/groups/{}",
        escaped(consortium)
    ));
    let place = place.cloned().ok_or_else(|| {
        GenerateError::Refused(format!("the base profile has no consortium {consortium:?}"))
    })?;
    let mut organizations = serde_json::Map::new();
    for member in members {
        let group = place.pointer(&format!("/groups/{}", escaped(member)));
        let group = group.cloned().ok_or_else(|| {
            GenerateError::Refused(format!(
                "the consortium {consortium:?} has no member {member:?}"
            ))
        })?;
        organizations.insert(member.to_owned(), group);
    }
    if let Some(groups) = template
        .pointer_mut("/groups")
        .and_then(Value::as_object_mut)
    {
        groups.remove("Consortiums");
        let application = json!({"groups": organizations, "policies": {"Admins": {}}});
        groups.insert("Application".to_owned(), application);
    }
    if let Some(values) = template
        .pointer_mut("/values")
        .and_then(Value::as_object_mut)
    {
        let name = json!({"mod_policy": "Admins", "value": {"name": consortium}});
        values.insert("Consortium".to_owned(), name);
    }
    Ok(template)
}

/// The envelope that makes an organisation's anchor peers known.
pub(super) fn anchor_peers(
    profile: &Profile,
    organization: &str,
    channel: &str,
    now: SystemTime,
) -> Result<Vec<u8>, GenerateError> {
    if profile.application.is_none() {
        return Err(GenerateError::refused(
            "the profile has no Application section",
        ));
    }
    let mut updated = groups::channel(profile)?;
    let application = updated
        .pointer_mut("/groups/Application")
        .and_then(Value::as_object_mut);
    if let Some(application) = application {
        application.insert("version".to_owned(), json!("1"));
    }
    let mut original = updated.clone();
    let place = format!("/groups/Application/groups/{}", escaped(organization));
    let member = original.pointer_mut(&place);
    let member = member.ok_or_else(|| GenerateError::NoOrganization(organization.to_owned()))?;
    let values = member.get_mut("values").and_then(Value::as_object_mut);
    if values
        .and_then(|values| values.remove("AnchorPeers"))
        .is_none()
    {
        let reason = format!("{organization} has no anchor peers");
        return Err(GenerateError::Refused(reason));
    }
    let update = compute_update(&config(&original)?, &config(&updated)?)?;
    envelope(channel, update, now)
}

/// A name as JSON pointers have it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn config(group: &Value) -> Result<Config, GenerateError> {
    let bytes = encoded("common.Config", &json!({"channel_group": group}))?;
    Ok(Config::decode(bytes.as_slice())?)
}

/// An envelope that nobody has signed yet.
fn envelope(
    channel: &str,
    update: ConfigUpdate,
    now: SystemTime,
) -> Result<Vec<u8>, GenerateError> {
    let update = ConfigUpdate {
        channel_id: channel.to_owned(),
        ..update
    };
    let shown = groups::shown("common.ConfigUpdate", update.encode_to_vec())?;
    let header = json!({"type": 2, "timestamp": timestamp(now)?, "channel_id": channel});
    let envelope = json!({
        "payload": {
            "header": {"channel_header": header, "signature_header": {}},
            "data": {"config_update": shown},
        },
    });
    encoded("common.Envelope", &envelope)
}

/// Whole seconds, as Fabric's tools have them.
fn timestamp(now: SystemTime) -> Result<String, GenerateError> {
    let since = now
        .duration_since(UNIX_EPOCH)
        .map_err(|_| GenerateError::Clock)?;
    let seconds = i64::try_from(since.as_secs()).map_err(|_| GenerateError::Clock)?;
    let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| GenerateError::Clock)?;
    time.format(&Rfc3339).map_err(|_| GenerateError::Clock)
}

fn encoded(name: &str, message: &Value) -> Result<Vec<u8>, GenerateError> {
    let message_type = json::message_type(name);
    let message_type = message_type.ok_or_else(|| GenerateError::refused("an unknown message"))?;
    Ok(json::read(message_type, message.to_string().as_bytes())?)
}
