//! One configuration of a channel with all that follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use quire_wire::DecodeError;
use quire_wire::Message as _;
use quire_wire::config::{Config, ConfigGroup};
use quire_wire::msp::FabricMspConfig;

use super::elements::{self, Elements, Place, Unlisted};
use super::values::{self, Application, Channel, Orderer, Organization, ValueError};
use super::{APPLICATION, CAPABILITIES, CONSORTIUMS, ORDERER, X509_MSP};
use crate::msp::{Msp, MspError, MspVersion, Msps};
use crate::policy::{Policies, Policy, PolicyError};

/// The name under which a channel's ACLs say who may submit calls of Quire's built-in chaincode.
pub const DOCUMENTS: &str = "documents/Submit";

/// Most bytes of a configuration. One of 500 organisations with two CAs each has about 3 MB.
pub const MAX_CONFIG_BYTES: usize = 8 * 1024 * 1024;
/// Most characters of a channel's name, Fabric's limit.
const MAX_CHANNEL_CHARS: usize = 249;

/// Why a configuration cannot take effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It has no root group.
    #[error("the configuration has no channel group")]
    NoRoot,
    /// Larger than anyone needs.
    #[error("the configuration has {0} bytes, more than {MAX_CONFIG_BYTES}")]
    TooLarge(usize),
    /// Not `[a-z][a-z0-9.-]*`, or more than 249 characters.
    #[error("{0:?} is not the name of a channel")]
    ChannelName(String),
    /// Capabilities of the channel or of peers come after those of orderers.
    #[error("there are capabilities, but none of the orderers")]
    CapabilitiesWithoutOrderers,
    /// A value is not one that a channel can have.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// An organisation is not sound.
    #[error("the organisation {group} is not sound: {source}")]
    Msp {
        /// The name of its group.
        group: String,
        /// What is wrong.
        source: MspError,
    },
    /// The bytes of an organisation cannot be read.
    #[error("the organisation {group} cannot be read")]
    MspBytes {
        /// The name of its group.
        group: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// An organisation without X.509 certificates (Fabric's Idemix).
    #[error("the organisation {group} has an MSP of type {kind}, which is not supported")]
    MspKind {
        /// The group's name.
        group: String,
        /// The type.
        kind: i32,
    },
    /// A policy is malformed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An element has a name that none can have.
    #[error("the name of {0} is not allowed")]
    Name(Place),
}

/// Why a configuration cannot follow another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// A part of the configuration was taken away, or added, that cannot be.
    #[error("the group /Channel/{0} cannot come or go")]
    Group(&'static str),
    /// An organisation would have another MSP id.
    #[error("the organisation {group} would change its MSP id from {from} to {to}")]
    MspId {
        /// The group's name.
        group: String,
        /// What it has.
        from: String,
        /// What it would have.
        to: String,
    },
    /// The type of consensus changes, which old capabilities do not allow.
    #[error("the type of consensus cannot change from {from} to {to} before V1_4_2")]
    ConsensusType {
        /// What it is.
        from: String,
        /// What it would be.
        to: String,
    },
    /// A capability that this code does not know.
    #[error("the {kind} capability {name:?} is required, and not known here")]
    Capability {
        /// Channel, orderer or application.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// One configuration of a channel, checked, with its organisations and policies ready to judge. It never
/// changes: a new configuration is a new bundle, and what the old one remembered of identities goes with it.
#[derive(Debug)]
pub struct Bundle {
    channel: Arc<str>,
    config: Config,
    msps: Msps,
    policies: Policies,
    values: Channel,
    application: Option<Application>,
    orderer: Option<Orderer>,
    consortiums: Option<BTreeMap<String, Organization>>,
    /// MSP ids by `Application/<group>` and so on.
    msp_ids: BTreeMap<String, String>,
}

impl Bundle {
    /// Checks a configuration as Fabric does before it takes effect.
    ///
    /// # Errors
    /// What keeps it from taking effect.
    pub fn new(channel: &str, config: Config) -> Result<Self, BundleError> {
        let size = config.encoded_len();
        if size > MAX_CONFIG_BYTES {
            return Err(BundleError::TooLarge(size));
        }
        let root = config.channel_group.as_ref().ok_or(BundleError::NoRoot)?;
        check_order_of_capabilities(root)?;
        let values = Channel::read(root)?;
        let group = |name: &str| root.groups.get(name);
        let application = group(APPLICATION).map(Application::read).transpose()?;
        let orderer = group(ORDERER)
            .map(|group| Orderer::read(group, &values.capabilities))
            .transpose()?;
        let consortiums = group(CONSORTIUMS).map(values::consortiums).transpose()?;
        let known = [APPLICATION, ORDERER, CONSORTIUMS];
        if let Some(other) = root
            .groups
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(ValueError::Group(format!("/Channel/{other}")).into());
        }
        let mut organizations = Organizations::new(values.capabilities.msp_version());
        let application_orgs = application.iter().flat_map(|group| &group.organizations);
        organizations.add(APPLICATION, application_orgs)?;
        let orderer_orgs = orderer.iter().flat_map(|group| &group.organizations);
        organizations.add(ORDERER, orderer_orgs)?;
        organizations.add(CONSORTIUMS, consortiums.iter().flatten())?;
        let policies = Policies::of_channel(root)?;
        if !is_channel_name(channel) {
            return Err(BundleError::ChannelName(channel.to_owned()));
        }
        elements::flatten(root).map_err(|unlisted| match unlisted {
            Unlisted::Name(place) => BundleError::Name(place),
            Unlisted::TooLong => BundleError::TooLarge(size),
        })?;
        Ok(Self {
            channel: channel.into(),
            msps: organizations
                .msps
                .into_values()
                .map(|(_, msp)| msp)
                .collect(),
            msp_ids: organizations.ids,
            policies,
            values,
            application,
            orderer,
            consortiums,
            config,
        })
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// How many updates came before this configuration.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.config.sequence
    }

    /// The configuration itself.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The organisations.
    #[must_use]
    pub fn msps(&self) -> &Msps {
        &self.msps
    }

    /// The policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The policy at a path such as `/Channel/Application/Writers`.
    ///
    /// # Errors
    /// If there is none: nobody satisfies it.
    pub fn policy(&self, path: &str) -> Result<Policy, PolicyError> {
        let found = self.policies.get(path).cloned();
        found.ok_or_else(|| PolicyError::Missing(path.to_owned()))
    }

    /// Whether nobody may submit calls of Quire's built-in chaincode: the policy that the configuration names for that
    /// is none. Then a namespace that nobody defined is judged as Fabric judges it.
    #[must_use]
    pub fn is_without_documents(&self) -> bool {
        let acls = self
            .application
            .as_ref()
            .map(|application| &application.acls);
        let named = acls.and_then(|acls| acls.get(DOCUMENTS));
        named.is_some_and(|path| self.policies.get(path).is_none())
    }

    /// The values of the root group.
    #[must_use]
    pub fn values(&self) -> &Channel {
        &self.values
    }

    /// The application group; every channel that holds transactions has one.
    #[must_use]
    pub fn application(&self) -> Option<&Application> {
        self.application.as_ref()
    }

    /// The orderer group.
    #[must_use]
    pub fn orderer(&self) -> Option<&Orderer> {
        self.orderer.as_ref()
    }

    /// Whether it is the configuration of a system channel, which Fabric had before 3.0.
    #[must_use]
    pub fn has_consortiums(&self) -> bool {
        self.consortiums.is_some()
    }

    /// MSP ids of the organisations that submit and endorse, in the order of their groups' names.
    pub fn application_msp_ids(&self) -> impl Iterator<Item = &str> {
        self.msp_ids_of(APPLICATION)
    }

    /// MSP ids of the organisations that order, in the order of their groups' names.
    pub fn orderer_msp_ids(&self) -> impl Iterator<Item = &str> {
        self.msp_ids_of(ORDERER)
    }

    /// All organisations: `Application`, `Orderer` or `Consortiums`, the names of their groups below it, and
    /// their MSP ids.
    pub fn organizations(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let all = self.msp_ids.iter();
        all.filter_map(|(path, id)| {
            let (part, group) = path.split_once('/')?;
            Some((part, group, id.as_str()))
        })
    }

    /// The organisations that submit and endorse: names of their groups, and MSP ids.
    pub fn application_organizations(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.organizations();
        all.filter_map(|(part, group, id)| (part == APPLICATION).then_some((group, id)))
    }

    fn msp_ids_of(&self, group: &'static str) -> impl Iterator<Item = &str> {
        let all = self.organizations();
        all.filter_map(move |(part, _, id)| (part == group).then_some(id))
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        let root = self.config.channel_group.as_ref();
        // The names were checked when the bundle was made.
        root.and_then(|root| elements::flatten(root).ok())
            .unwrap_or_default()
    }

    /// Whether all capabilities are known here.
    ///
    /// # Errors
    /// If one is not: the channel stops at such a configuration, and a newer release goes on.
    pub fn check_capabilities(&self) -> Result<(), SuccessionError> {
        let channel = self.values.capabilities.unknown();
        let orderer = self.orderer.as_ref();
        let orderer = orderer.and_then(|group| group.capabilities.unknown());
        let application = self.application.as_ref();
        let application = application.and_then(|group| group.capabilities.unknown());
        let unknown = [
            ("channel", channel),
            ("orderer", orderer),
            ("application", application),
        ];
        for (kind, name) in unknown {
            if let Some(name) = name {
                let name = name.to_owned();
                return Err(SuccessionError::Capability { kind, name });
            }
        }
        Ok(())
    }

    /// Whether `next` can follow: some things of a channel never change.
    ///
    /// # Errors
    /// What of `next` cannot be.
    pub fn check_next(&self, next: &Self) -> Result<(), SuccessionError> {
        if let Some(orderer) = &self.orderer {
            let following = next
                .orderer
                .as_ref()
                .ok_or(SuccessionError::Group(ORDERER))?;
            let (from, to) = (
                &orderer.consensus_type.r#type,
                &following.consensus_type.r#type,
            );
            if from != to && !self.values.capabilities.consensus_type_migration() {
                let (from, to) = (from.clone(), to.clone());
                return Err(SuccessionError::ConsensusType { from, to });
            }
        }
        if self.application.is_some() && next.application.is_none() {
            return Err(SuccessionError::Group(APPLICATION));
        }
        if self.consortiums.is_some() != next.consortiums.is_some() {
            return Err(SuccessionError::Group(CONSORTIUMS));
        }
        for (group, from) in &self.msp_ids {
            let to = next.msp_ids.get(group).filter(|to| *to != from);
            if let Some(to) = to {
                return Err(SuccessionError::MspId {
                    group: group.clone(),
                    from: from.clone(),
                    to: to.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Whether it is `[a-z][a-z0-9.-]*` of at most 249 characters.
#[must_use]
pub fn is_channel_name(name: &str) -> bool {
    let may_stand =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= MAX_CHANNEL_CHARS
        && name.bytes().all(may_stand)
}

fn check_order_of_capabilities(root: &ConfigGroup) -> Result<(), BundleError> {
    let has = |group: &ConfigGroup| group.values.contains_key(CAPABILITIES);
    let Some(orderer) = root.groups.get(ORDERER) else {
        return Ok(());
    };
    if !has(orderer) && (has(root) || root.groups.get(APPLICATION).is_some_and(has)) {
        return Err(BundleError::CapabilitiesWithoutOrderers);
    }
    Ok(())
}

/// Gathers the organisations of all groups. One that stands in several is there once.
struct Organizations {
    version: MspVersion,
    msps: BTreeMap<String, (bytes::Bytes, Arc<Msp>)>,
    ids: BTreeMap<String, String>,
}

impl Organizations {
    fn new(version: MspVersion) -> Self {
        Self {
            version,
            msps: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    fn add<'c>(
        &mut self,
        parent: &str,
        organizations: impl Iterator<Item = (&'c String, &'c Organization)>,
    ) -> Result<(), BundleError> {
        for (group, organization) in organizations {
            let msp = &organization.msp;
            if msp.r#type != X509_MSP {
                let group = group.clone();
                return Err(BundleError::MspKind {
                    group,
                    kind: msp.r#type,
                });
            }
            let bytes = |source| {
                let group = group.clone();
                BundleError::MspBytes { group, source }
            };
            let config = FabricMspConfig::decode(msp.config.clone()).map_err(bytes)?;
            let id = config.name.clone();
            let unsound = |source| {
                let group = group.clone();
                BundleError::Msp { group, source }
            };
            self.ids.insert(format!("{parent}/{group}"), id.clone());
            match self.msps.get(&id) {
                Some((known, _)) if *known == msp.config => {}
                Some(_) => return Err(unsound(MspError::TwoVersions(id))),
                None => {
                    let judge = Msp::from_config(&config, self.version).map_err(unsound)?;
                    self.msps.insert(id, (msp.config.clone(), Arc::new(judge)));
                }
            }
        }
        Ok(())
    }
}
