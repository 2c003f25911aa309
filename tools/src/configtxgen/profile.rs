//! What `configtx.yaml` says of a channel, with Fabric's defaults in place of what it does not say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quire_identity::config::parse_duration;

use super::consensus::Consensus;
use super::error::GenerateError;
use super::yaml::{Node, Section};

/// A channel.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) consortium: String,
    pub(super) application: Option<Application>,
    pub(super) orderer: Option<Orderer>,
    pub(super) consortiums: Option<Vec<(String, Vec<Organization>)>>,
    pub(super) capabilities: Capabilities,
    pub(super) policies: Policies,
}

#[derive(Debug)]
pub(super) struct Application {
    pub(super) organizations: Vec<Organization>,
    pub(super) capabilities: Capabilities,
    pub(super) policies: Policies,
    pub(super) access_rules: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Orderer {
    pub(super) consensus: Consensus,
    pub(super) addresses: Vec<String>,
    pub(super) batch_timeout: Duration,
    pub(super) max_message_count: u32,
    pub(super) absolute_max_bytes: u32,
    pub(super) preferred_max_bytes: u32,
    pub(super) max_channels: u64,
    pub(super) organizations: Vec<Organization>,
    pub(super) capabilities: Capabilities,
    pub(super) policies: Policies,
}

#[derive(Debug)]
pub(super) struct Organization {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) msp_folder: PathBuf,
    pub(super) msp_type: String,
    pub(super) policies: Policies,
    pub(super) anchor_peers: Vec<(String, u32)>,
    pub(super) endpoints: Vec<String>,
    /// Nothing is known of it here but its name.
    pub(super) is_foreign: bool,
}

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) kind: String,
    pub(super) rule: String,
}

/// By name; none if nothing is said of policies at all.
pub(super) type Policies = Option<Vec<(String, Policy)>>;

/// Those that are switched on.
#[derive(Debug, Default)]
pub(super) struct Capabilities(pub(super) Vec<String>);

impl Capabilities {
    fn read(node: &Node<'_>) -> Result<Self, GenerateError> {
        let mut on = Vec::new();
        for (name, value) in node.entries()? {
            if value.flag()? {
                on.push(name);
            }
        }
        Ok(Self(on))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|on| on == name)
    }
}

/// The parts of the file.
const PARTS: &[&str] = &[
    "Profiles",
    "Organizations",
    "Channel",
    "Application",
    "Orderer",
    "Capabilities",
];

/// The profile of a name; paths are relative to `folder`.
pub(super) fn read_profile(
    root: Node<'_>,
    name: &str,
    folder: &Path,
) -> Result<Profile, GenerateError> {
    let profiles = root.section(PARTS)?.get("Profiles").entries()?;
    let mut profiles = profiles.into_iter().filter(|(known, _)| known == name);
    let (_, profile) = profiles
        .next()
        .ok_or_else(|| GenerateError::NoProfile(name.to_owned()))?;
    let profile = profile.section(&[
        "Consortium",
        "Application",
        "Orderer",
        "Consortiums",
        "Capabilities",
        "Policies",
    ])?;
    Ok(Profile {
        consortium: profile.get("Consortium").text()?,
        application: present(profile.get("Application"), |node| {
            Application::read(node, folder)
        })?,
        orderer: present(profile.get("Orderer"), |node| Orderer::read(node, folder))?,
        consortiums: present(profile.get("Consortiums"), |node| {
            consortiums(&node, folder)
        })?,
        capabilities: Capabilities::read(&profile.get("Capabilities"))?,
        policies: policies(&profile.get("Policies"))?,
    })
}

/// An organisation that is defined beside the profiles, and the capabilities of channels that are.
pub(super) fn read_organization(
    root: Node<'_>,
    name: &str,
    folder: &Path,
) -> Result<(Organization, Capabilities), GenerateError> {
    let parts = root.section(PARTS)?;
    let capabilities = parts.get("Capabilities").entries()?;
    let channel = capabilities.iter().find(|(name, _)| name == "Channel");
    let capabilities = match channel {
        Some((_, channel)) => Capabilities::read(channel)?,
        None => Capabilities::default(),
    };
    let organizations = organizations(&parts.get("Organizations"), folder)?;
    let mut organizations = organizations.into_iter();
    let found = organizations.find(|organization| organization.name == name);
    let found = found.ok_or_else(|| GenerateError::NoOrganization(name.to_owned()))?;
    Ok((found, capabilities))
}

fn present<'a, T>(
    node: Node<'a>,
    read: impl FnOnce(Node<'a>) -> Result<T, GenerateError>,
) -> Result<Option<T>, GenerateError> {
    if node.is_null() {
        Ok(None)
    } else {
        read(node).map(Some)
    }
}

fn consortiums(
    node: &Node<'_>,
    folder: &Path,
) -> Result<Vec<(String, Vec<Organization>)>, GenerateError> {
    let mut consortiums = Vec::new();
    for (name, consortium) in node.entries()? {
        let consortium = consortium.section(&["Organizations"])?;
        consortiums.push((
            name,
            organizations(&consortium.get("Organizations"), folder)?,
        ));
    }
    Ok(consortiums)
}

fn organizations(node: &Node<'_>, folder: &Path) -> Result<Vec<Organization>, GenerateError> {
    let nodes = node.list()?.into_iter();
    nodes.map(|node| Organization::read(node, folder)).collect()
}

fn policies(node: &Node<'_>) -> Result<Policies, GenerateError> {
    if node.is_null() {
        return Ok(None);
    }
    let mut policies = Vec::new();
    for (name, policy) in node.entries()? {
        let policy = policy.section(&["Type", "Rule"])?;
        let kind = policy.get("Type").text()?;
        let rule = policy.get("Rule").text()?;
        policies.push((name, Policy { kind, rule }));
    }
    Ok(Some(policies))
}

impl Application {
    fn read(node: Node<'_>, folder: &Path) -> Result<Self, GenerateError> {
        let section = node.section(&["Organizations", "Capabilities", "Policies", "ACLs"])?;
        let mut access_rules = Vec::new();
        for (name, rule) in section.get("ACLs").entries()? {
            access_rules.push((name, rule.text()?));
        }
        Ok(Self {
            organizations: organizations(&section.get("Organizations"), folder)?,
            capabilities: Capabilities::read(&section.get("Capabilities"))?,
            policies: policies(&section.get("Policies"))?,
            access_rules,
        })
    }
}

impl Organization {
    fn read(node: Node<'_>, folder: &Path) -> Result<Self, GenerateError> {
        let section = node.section(&[
            "Name",
            "ID",
            "MSPDir",
            "MSPType",
            "Policies",
            "AnchorPeers",
            "OrdererEndpoints",
            "AdminPrincipal",
            "SkipAsForeign",
        ])?;
        let mut anchor_peers = Vec::new();
        for peer in section.get("AnchorPeers").list()? {
            let peer = peer.section(&["Host", "Port"])?;
            anchor_peers.push((peer.get("Host").text()?, peer.get("Port").number32()?));
        }
        let msp_type = section.get("MSPType").text()?;
        Ok(Self {
            name: section.get("Name").text()?,
            id: section.get("ID").text()?,
            msp_folder: folder.join(section.get("MSPDir").text()?),
            msp_type: if msp_type.is_empty() {
                "bccsp".to_owned()
            } else {
                msp_type
            },
            policies: policies(&section.get("Policies"))?,
            anchor_peers,
            endpoints: section.get("OrdererEndpoints").texts()?,
            is_foreign: section.get("SkipAsForeign").flag()?,
        })
    }
}

impl Orderer {
    fn read(node: Node<'_>, folder: &Path) -> Result<Self, GenerateError> {
        let section = node.section(&[
            "OrdererType",
            "Addresses",
            "BatchTimeout",
            "BatchSize",
            "ConsenterMapping",
            "EtcdRaft",
            "SmartBFT",
            "Kafka",
            "Organizations",
            "MaxChannels",
            "Capabilities",
            "Policies",
        ])?;
        let batch_size = section.get("BatchSize").section(&[
            "MaxMessageCount",
            "AbsoluteMaxBytes",
            "PreferredMaxBytes",
        ])?;
        Ok(Self {
            consensus: Consensus::read(&section, folder)?,
            addresses: section.get("Addresses").texts()?,
            batch_timeout: batch_timeout(&section)?,
            max_message_count: or(batch_size.get("MaxMessageCount").number32()?, 500),
            absolute_max_bytes: or(batch_size.get("AbsoluteMaxBytes").size()?, 10 << 20),
            preferred_max_bytes: or(batch_size.get("PreferredMaxBytes").size()?, 2 << 20),
            max_channels: section.get("MaxChannels").number()?,
            organizations: organizations(&section.get("Organizations"), folder)?,
            capabilities: Capabilities::read(&section.get("Capabilities"))?,
            policies: policies(&section.get("Policies"))?,
        })
    }
}

/// A bare number is one of nanoseconds.
fn batch_timeout(section: &Section<'_>) -> Result<Duration, GenerateError> {
    const DEFAULT: Duration = Duration::from_secs(2);
    let node = section.get("BatchTimeout");
    let text = node.text()?;
    let timeout = match text.parse() {
        Ok(nanoseconds) => Some(Duration::from_nanos(nanoseconds)),
        Err(_) if text.is_empty() => Some(Duration::ZERO),
        Err(_) => parse_duration(&text),
    };
    match timeout {
        Some(Duration::ZERO) => Ok(DEFAULT),
        Some(timeout) => Ok(timeout),
        None => Err(node.wrong(format!("should be a duration such as 2s, not {text:?}"))),
    }
}

/// 0 is what Fabric takes for nothing said.
fn or(number: u32, default: u32) -> u32 {
    if number == 0 { default } else { number }
}
