//! Changing a configuration in people's words. Versions are left alone: the update is computed from what
//! differs.

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::config::{
    Acls, AnchorPeer, AnchorPeers, ApiResource, BatchSize, BatchTimeout, Config, ConfigGroup,
    ConfigPolicy, ConfigValue, Policy, policy_type,
};
use quire_wire::msp::{FabricMspConfig, MspConfig};

use super::elements::is_name;
use super::words::{policy_words, words};
use super::{ADMINS, APPLICATION, BATCH_SIZE, BATCH_TIMEOUT, MSP, ORDERER, X509_MSP};
use crate::msp::RevocationList;
use crate::policy::{PolicyTextError, read_implicit_policy, read_signature_policy};

/// Settings that [`set`] knows, with what each is.
pub const SETTINGS: [(&str, &str); 6] = [
    ("batch-size.max-messages", "most transactions of a block"),
    (
        "batch-size.absolute-max-bytes",
        "most bytes of a transaction",
    ),
    (
        "batch-size.preferred-max-bytes",
        "bytes that a block should not exceed",
    ),
    (
        "batch-timeout",
        "how long a transaction may wait for others, such as 2s",
    ),
    (
        "acl.FUNCTION",
        "the path of the policy that guards a function, such as acl.peer/Propose",
    ),
    (
        "anchor-peers.ORGANISATION",
        "HOST:PORT of the peers at which others ask an organisation for endorsements, separated by blanks",
    ),
];

/// Why a change in words was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A part of the configuration is not there, or cannot be read.
    #[error("the configuration has no {0}")]
    Missing(String),
    /// No setting has that name.
    #[error("there is no setting {name:?} that can be set; there are {}", names())]
    Setting {
        /// What was named.
        name: String,
    },
    /// The value is none of the setting.
    #[error("{value:?} is not a value of {setting}")]
    Value {
        /// The setting.
        setting: String,
        /// What it should be set to.
        value: String,
    },
    /// The text is no policy.
    #[error("neither a signature policy ({signature}) nor an implicit one ({implicit})")]
    Policy {
        /// Why it is no signature policy.
        signature: PolicyTextError,
        /// Why it is no implicit policy.
        implicit: PolicyTextError,
    },
    /// An organisation of that name is there already.
    #[error("the organisation {0} is in the channel already")]
    Exists(String),
    /// The bytes are no revocation list that says whose it is.
    #[error("not a revocation list that names its CA, as `X509 CRL` in PEM")]
    RevocationList,
    /// The name of a group cannot be so.
    #[error("{0:?} cannot be a name in a configuration: letters, digits, '.' and '-', up to 249")]
    Name(String),
}

fn names() -> String {
    let names: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// What the setting, policy or other line of a configuration says; names are those of [`words`].
///
/// # Errors
/// If there is nothing of that name.
pub fn get(config: &Config, name: &str) -> Result<String, EditError> {
    let mut words = words(config);
    // A policy is known by its path alone too.
    let found = words
        .remove(name)
        .or_else(|| words.remove(&format!("policy {name}")));
    found.ok_or_else(|| EditError::Missing(name.to_owned()))
}

/// Sets one of [`SETTINGS`].
///
/// # Errors
/// If there is no such setting, or the value is none of it.
pub fn set(config: &mut Config, setting: &str, value: &str) -> Result<(), EditError> {
    let refused = || EditError::Value {
        setting: setting.to_owned(),
        value: value.to_owned(),
    };
    if let Some(function) = setting.strip_prefix("acl.") {
        let application = group_mut(config, &[APPLICATION])?;
        let mut acls: Acls = read(application, "ACLs").unwrap_or_default();
        let policy_ref = value.to_owned();
        acls.acls
            .insert(function.to_owned(), ApiResource { policy_ref });
        write(application, "ACLs", &acls);
        return Ok(());
    }
    if let Some(organization) = setting.strip_prefix("anchor-peers.") {
        let peers = value.split_ascii_whitespace().map(anchor_peer);
        let anchor_peers = peers.collect::<Option<Vec<_>>>().ok_or_else(refused)?;
        let organization = group_mut(config, &[APPLICATION, organization])?;
        write(organization, "AnchorPeers", &AnchorPeers { anchor_peers });
        return Ok(());
    }
    let orderer = group_mut(config, &[ORDERER])?;
    if setting == "batch-timeout" {
        super::duration::parse_duration(value)
            .filter(|timeout| !timeout.is_zero())
            .ok_or_else(refused)?;
        let timeout = value.to_owned();
        write(orderer, BATCH_TIMEOUT, &BatchTimeout { timeout });
        return Ok(());
    }
    let mut size: BatchSize =
        read(orderer, BATCH_SIZE).ok_or_else(|| EditError::Missing(BATCH_SIZE.to_owned()))?;
    let field = match setting {
        "batch-size.max-messages" => &mut size.max_message_count,
        "batch-size.absolute-max-bytes" => &mut size.absolute_max_bytes,
        "batch-size.preferred-max-bytes" => &mut size.preferred_max_bytes,
        _ => {
            let name = setting.to_owned();
            return Err(EditError::Setting { name });
        }
    };
    *field = value
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(refused)?;
    write(orderer, BATCH_SIZE, &size);
    Ok(())
}

/// Reads `host:port`; an IPv6 address stands in brackets.
fn anchor_peer(address: &str) -> Option<AnchorPeer> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let is_bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    (!host.is_empty() && !is_bare).then(|| AnchorPeer {
        host: host.to_owned(),
        port: i32::from(port),
    })
}

/// Sets the policy at a path from the root, such as `/Channel/Application/Endorsement`, to the one that
/// `text` says. A new policy is changed by the group's administrators.
///
/// # Errors
/// If there is no such group, or the text is no policy.
pub fn set_policy(config: &mut Config, path: &str, text: &str) -> Result<(), EditError> {
    let missing = || EditError::Missing(format!("group of the policy {path}"));
    let relative = path.strip_prefix("/Channel/").ok_or_else(missing)?;
    let (groups, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    if !is_name(name) {
        return Err(EditError::Name(name.to_owned()));
    }
    let policy = read_policy(text)?;
    let groups: Vec<_> = groups.split('/').filter(|step| !step.is_empty()).collect();
    let group = group_mut(config, &groups).map_err(|_| missing())?;
    let entry = group.policies.entry(name.to_owned());
    let entry = entry.or_insert_with(|| ConfigPolicy {
        mod_policy: ADMINS.to_owned(),
        ..ConfigPolicy::default()
    });
    if policy_words(entry) != text {
        entry.policy = Some(policy);
    }
    Ok(())
}

fn read_policy(text: &str) -> Result<Policy, EditError> {
    let implicit = match read_implicit_policy(text) {
        Ok(policy) => {
            return Ok(Policy {
                r#type: policy_type::IMPLICIT_META,
                value: policy.encode_to_vec().into(),
            });
        }
        Err(error) => error,
    };
    match read_signature_policy(text) {
        Ok(policy) => Ok(Policy {
            r#type: policy_type::SIGNATURE,
            value: policy.encode_to_vec().into(),
        }),
        Err(signature) => Err(EditError::Policy {
            signature,
            implicit,
        }),
    }
}

/// Which part of a channel an organisation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It submits and endorses.
    Application,
    /// It orders.
    Orderer,
}

impl Part {
    fn group(self) -> &'static str {
        match self {
            Self::Application => APPLICATION,
            Self::Orderer => ORDERER,
        }
    }
}

/// Adds an organisation.
///
/// # Errors
/// If one of that name is there, or none can have it.
pub fn add_organization(
    config: &mut Config,
    part: Part,
    name: &str,
    organization: ConfigGroup,
) -> Result<(), EditError> {
    if !is_name(name) {
        return Err(EditError::Name(name.to_owned()));
    }
    let group = group_mut(config, &[part.group()])?;
    if group.groups.contains_key(name) {
        return Err(EditError::Exists(name.to_owned()));
    }
    group.groups.insert(name.to_owned(), organization);
    Ok(())
}

/// Removes an organisation.
///
/// # Errors
/// If there is none of that name.
pub fn remove_organization(config: &mut Config, part: Part, name: &str) -> Result<(), EditError> {
    let group = group_mut(config, &[part.group()])?;
    let removed = group.groups.remove(name);
    let missing = || EditError::Missing(format!("organisation {name}"));
    removed.map(drop).ok_or_else(missing)
}

/// Puts another MSP in the place of an organisation's: other CAs, or a revocation list more. Wherever the
/// organisation stands in the channel.
///
/// # Errors
/// If no group has an organisation with that MSP id.
pub fn set_msp(config: &mut Config, msp: &FabricMspConfig) -> Result<(), EditError> {
    let mut is_there = false;
    for part in [Part::Application, Part::Orderer] {
        let Ok(group) = group_mut(config, &[part.group()]) else {
            continue;
        };
        for organization in group.groups.values_mut() {
            if msp_of(organization).is_some_and(|found| found.name == msp.name) {
                write(
                    organization,
                    MSP,
                    &MspConfig {
                        r#type: X509_MSP,
                        config: msp.encode_to_vec().into(),
                    },
                );
                is_there = true;
            }
        }
    }
    if is_there {
        return Ok(());
    }
    Err(EditError::Missing(format!(
        "organisation with the MSP id {}",
        msp.name
    )))
}

/// Adds a revocation list to an organisation's MSP, in the place of an older one of the same CA. Wherever the
/// organisation stands in the channel.
///
/// # Errors
/// If the list is none, or no group has an organisation with that MSP id.
pub fn revoke(config: &mut Config, msp_id: &str, list: &[u8]) -> Result<(), EditError> {
    let new = RevocationList::read(list).filter(RevocationList::names_authority);
    let new = new.ok_or(EditError::RevocationList)?;
    let missing = || EditError::Missing(format!("organisation with the MSP id {msp_id}"));
    let root = config.channel_group.as_ref().ok_or_else(missing)?;
    let organizations = root.groups.values().flat_map(|part| part.groups.values());
    let mut msps = organizations.filter_map(msp_of);
    let mut msp = msps.find(|msp| msp.name == msp_id).ok_or_else(missing)?;
    msp.revocation_list.retain(|known| {
        let known = RevocationList::read(known);
        known.is_none_or(|known| !known.is_of_the_authority_of(&new))
    });
    msp.revocation_list.push(Bytes::copy_from_slice(list));
    set_msp(config, &msp)
}

/// The MSP in an organisation's group, if it has one of X.509 certificates.
#[must_use]
pub fn msp_of(organization: &ConfigGroup) -> Option<FabricMspConfig> {
    let msp: MspConfig = read(organization, MSP)?;
    (msp.r#type == X509_MSP)
        .then(|| FabricMspConfig::decode(msp.config).ok())
        .flatten()
}

fn group_mut<'c>(config: &'c mut Config, path: &[&str]) -> Result<&'c mut ConfigGroup, EditError> {
    let missing = |name: &str| EditError::Missing(format!("group {name}"));
    let root = config.channel_group.as_mut();
    let mut group = root.ok_or_else(|| missing("Channel"))?;
    for name in path {
        group = group.groups.get_mut(*name).ok_or_else(|| missing(name))?;
    }
    Ok(group)
}

fn read<M: Message + Default>(group: &ConfigGroup, name: &str) -> Option<M> {
    let value = group.values.get(name)?;
    M::decode(value.value.clone()).ok()
}

/// Keeps who may change the value; a new one is changed by the group's administrators.
fn write(group: &mut ConfigGroup, name: &str, message: &impl Message) {
    let entry = group.values.entry(name.to_owned());
    let entry = entry.or_insert_with(|| ConfigValue {
        mod_policy: ADMINS.to_owned(),
        ..ConfigValue::default()
    });
    entry.value = message.encode_to_vec().into();
}
