//! The organisations and orderers of a channel.

use std::collections::BTreeMap;

use quire_wire::config::{ConfigGroup, ConfigValue, OrdererAddresses};
use quire_wire::discovery::{ConfigResult, Endpoint, Endpoints, OrderersEntry};
use quire_wire::msp::{FabricMspConfig, MspConfig};
use quire_wire::{DecodeError, Message as _};

const APPLICATION: &str = "Application";
const ORDERER: &str = "Orderer";
const MSP: &str = "MSP";
const ENDPOINTS: &str = "Endpoints";
const ORDERER_ADDRESSES: &str = "OrdererAddresses";
/// The type of an MSP with X.509 certificates. Others are left out.
const X509: i32 = 0;

/// Why a configuration has no such form.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConfig {
    /// A part of it is missing.
    #[error("the configuration has no {0}")]
    Missing(&'static str),
    /// A value of it cannot be read.
    #[error("a value of the configuration cannot be read")]
    Decode(#[from] DecodeError),
    /// An address of all orderers is none.
    #[error("{0:?} is no address of the form host:port")]
    Address(String),
}

/// Who is in a channel, and where its orderers answer: each organisation's own, or else those that are named for all.
pub(super) fn config(root: &ConfigGroup) -> Result<ConfigResult, NoConfig> {
    let group = |name: &'static str| root.groups.get(name).ok_or(NoConfig::Missing(name));
    let (orderers, applications) = (group(ORDERER)?, group(APPLICATION)?);
    let mut msps = BTreeMap::new();
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for organization in orderers.groups.values() {
        if let Some(msp) = msp(organization)? {
            let own = organization.values.get(ENDPOINTS);
            addresses.insert(
                msp.name.clone(),
                own.map_or(Ok(Vec::new()), read_addresses)?,
            );
            msps.entry(msp.name.clone()).or_insert(msp);
        }
    }
    for organization in applications.groups.values() {
        if let Some(msp) = msp(organization)? {
            msps.entry(msp.name.clone()).or_insert(msp);
        }
    }
    let of_all = root.values.get(ORDERER_ADDRESSES);
    let of_all = of_all.map_or(Ok(Vec::new()), read_addresses)?;
    let have_own = addresses.values().any(|addresses| !addresses.is_empty());
    let mut orderers = Vec::with_capacity(addresses.len());
    for (msp_id, own) in addresses {
        let endpoints = if have_own {
            own.iter().filter_map(|address| endpoint(address)).collect()
        } else {
            let all = of_all.iter().map(|address| {
                let bad = || NoConfig::Address(address.clone());
                endpoint(address).ok_or_else(bad)
            });
            all.collect::<Result<_, _>>()?
        };
        orderers.push(OrderersEntry {
            msp_id,
            endpoints: Some(Endpoints {
                endpoint: endpoints,
            }),
        });
    }
    Ok(ConfigResult { msps, orderers })
}

/// An organisation's MSP; none if it has not one with X.509 certificates.
fn msp(organization: &ConfigGroup) -> Result<Option<FabricMspConfig>, NoConfig> {
    let value = organization.values.get(MSP);
    let value = value.ok_or(NoConfig::Missing(MSP))?.value.clone();
    let config = MspConfig::decode(value)?;
    if config.r#type != X509 {
        return Ok(None);
    }
    Ok(Some(FabricMspConfig::decode(config.config)?))
}

fn read_addresses(value: &ConfigValue) -> Result<Vec<String>, NoConfig> {
    Ok(OrdererAddresses::decode(value.value.clone())?.addresses)
}

/// Reads `host:port`; an IPv6 address stands in brackets.
fn endpoint(address: &str) -> Option<Endpoint> {
    let (host, port) = address.rsplit_once(':')?;
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match in_brackets {
        Some(host) => host,
        None if host.contains([':', '[', ']']) => return None,
        None => host,
    };
    Some(Endpoint {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_at_their_port() {
        let split = |address| endpoint(address).map(|found| (found.host, found.port));
        let found = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(
            split("orderer.example.com:7050"),
            found("orderer.example.com", 7050)
        );
        assert_eq!(split("[::1]:7050"), found("::1", 7050));
        assert_eq!(split(":7050"), found("", 7050));
        for none in [
            "",
            "orderer",
            "::1:7050",
            "orderer:",
            "orderer:port",
            "orderer:-1",
        ] {
            assert_eq!(split(none), None, "{none}");
        }
    }
}
