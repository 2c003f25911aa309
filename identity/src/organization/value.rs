//! What others are told of an organisation with one CA: its value in a channel's configuration, and the file
//! that says the same to Fabric's tools.

use bytes::Bytes;
use quire_wire::msp::{FabricCryptoConfig, FabricMspConfig, FabricNodeOus, FabricOuIdentifier};

use crate::identity::Role;

/// The file that tells Fabric's tools that units stand for roles, as its cryptogen writes it.
pub(super) const CONFIG_YAML: &str = "\
NodeOUs:
  Enable: true
  ClientOUIdentifier:
    Certificate: cacerts/ca-cert.pem
    OrganizationalUnitIdentifier: client
  PeerOUIdentifier:
    Certificate: cacerts/ca-cert.pem
    OrganizationalUnitIdentifier: peer
  AdminOUIdentifier:
    Certificate: cacerts/ca-cert.pem
    OrganizationalUnitIdentifier: admin
  OrdererOUIdentifier:
    Certificate: cacerts/ca-cert.pem
    OrganizationalUnitIdentifier: orderer
";

/// What a channel configuration says of an organisation with this one CA.
pub(super) fn msp_config(msp_id: &str, authority_pem: &str) -> FabricMspConfig {
    let authority_pem = Bytes::copy_from_slice(authority_pem.as_bytes());
    let unit = |role: Role| {
        Some(FabricOuIdentifier {
            certificate: authority_pem.clone(),
            organizational_unit_identifier: role.unit().to_owned(),
        })
    };
    FabricMspConfig {
        name: msp_id.to_owned(),
        root_certs: vec![authority_pem.clone()],
        crypto_config: Some(FabricCryptoConfig {
            signature_hash_family: "SHA2".to_owned(),
            identity_identifier_hash_function: "SHA256".to_owned(),
        }),
        fabric_node_ous: Some(FabricNodeOus {
            enable: true,
            client_ou_identifier: unit(Role::Client),
            peer_ou_identifier: unit(Role::Peer),
            admin_ou_identifier: unit(Role::Admin),
            orderer_ou_identifier: unit(Role::Orderer),
        }),
        ..FabricMspConfig::default()
    }
}
