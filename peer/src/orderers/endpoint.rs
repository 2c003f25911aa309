//! Which orderers a channel's configuration names.

use bytes::Bytes;
use quire_identity::Bundle;
use quire_wire::Message as _;
use quire_wire::msp::FabricMspConfig;

/// An orderer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// The authorities of its organisation for TLS, PEM.
    pub roots: Vec<Bytes>,
}

/// The orderers that a configuration names: those of its organisations, or the channel's where no organisation has any.
pub(crate) fn endpoints(bundle: &Bundle) -> Vec<Endpoint> {
    let Some(orderer) = bundle.orderer() else {
        return Vec::new();
    };
    let mut named = Vec::new();
    let mut all_roots = Vec::new();
    for organization in orderer.organizations.values() {
        // The bundle's own organisations were made of these bytes.
        let msp = FabricMspConfig::decode(organization.msp.config.clone()).unwrap_or_default();
        let roots = [msp.tls_root_certs, msp.tls_intermediate_certs].concat();
        all_roots.extend(roots.iter().cloned());
        let addresses = organization.endpoints.iter();
        named.extend(addresses.map(|address| Endpoint {
            address: address.clone(),
            roots: roots.clone(),
        }));
    }
    if named.is_empty() {
        let addresses = bundle.values().orderer_addresses.iter();
        named.extend(addresses.map(|address| Endpoint {
            address: address.clone(),
            roots: all_roots.clone(),
        }));
    }
    named.sort();
    named.dedup();
    named
}
