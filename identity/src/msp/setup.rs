//! From the configuration of an organisation to what it judges by.
//!
//! The steps are Fabric's. What it refuses at one of them is refused here, by the version's rules.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::msp::{FabricMspConfig, FabricNodeOus, FabricOuIdentifier};

use super::MspVersion;
use super::chain::{Canonical, Trust};
use super::error::{IdentityError, MspError};
use super::limits;
use super::principal::has_unit_of;
use super::revocation::RevocationList;
use super::rules::{Rules, canonical};
use super::units::{NodeUnits, Unit};
use crate::certificate::Certificate;
use crate::hash::HashFunction;
use crate::identity::{Identity, Role};
use crate::signature::HashFamily;

impl Rules {
    /// What a configuration says, and its lists of certificates of CAs for TLS are sound.
    pub(crate) fn from_config(
        config: &FabricMspConfig,
        version: MspVersion,
    ) -> Result<Arc<Self>, MspError> {
        limits::check(config)?;
        if config.name.is_empty() {
            return Err(MspError::NoName);
        }
        let (hash_family, identifier_hash) = hash_functions(config)?;
        let authorities = Authorities::read(config)?;
        let revocation_lists = config
            .revocation_list
            .iter()
            .map(|list| RevocationList::read(list).ok_or(MspError::RevocationList));
        let mut rules = Self {
            id: config.name.as_str().into(),
            version,
            trust: authorities.trust,
            inner_nodes: Vec::new(),
            revocation_lists: revocation_lists.collect::<Result<_, _>>()?,
            admins: Vec::new(),
            tells_kinds_apart: false,
            node_units: NodeUnits::default(),
            units: Vec::new(),
            hash_family,
            identifier_hash,
        };
        rules.check_authorities(&authorities.roots, &authorities.intermediates)?;
        check_tls_authorities(config, &rules)?;
        rules.read_units(config)?;
        let admins = config.admins.iter().map(|pem| {
            let certificate = Certificate::from_pem(pem)?;
            rules.canonical(certificate).map_err(of_authority)
        });
        let admins: Vec<Canonical> = admins.collect::<Result<_, MspError>>()?;
        let certificates = admins.iter().map(|admin| admin.certificate.der.clone());
        rules.admins = certificates.collect();
        let rules = Arc::new(rules);
        rules.check_admins(admins)?;
        Ok(rules)
    }

    fn check_authorities(
        &mut self,
        roots: &[Arc<Certificate>],
        intermediates: &[Arc<Certificate>],
    ) -> Result<(), MspError> {
        for certificate in roots.iter().chain(intermediates) {
            check_is_ca(certificate)?;
            let chain = self.trust.chain_of(certificate)?;
            if let Some(issuer) = chain.first() {
                self.check_not_revoked(certificate, issuer)
                    .map_err(|error| revoked(&error, certificate))?;
            }
        }
        for certificate in intermediates {
            let chain = self.trust.chain_of(certificate)?;
            self.inner_nodes.extend(chain);
        }
        self.inner_nodes
            .sort_by(|one, other| one.der.cmp(&other.der));
        self.inner_nodes.dedup_by(|one, other| one.der == other.der);
        Ok(())
    }

    fn read_units(&mut self, config: &FabricMspConfig) -> Result<(), MspError> {
        let mut certifiers = Certifiers::default();
        for unit in &config.organizational_unit_identifiers {
            let unit = Unit {
                name: unit.organizational_unit_identifier.clone(),
                certifiers: certifiers.of(self, unit)?,
            };
            self.units.push(unit);
        }
        let Some(node_ous) = &config.fabric_node_ous else {
            return Ok(());
        };
        if self.version == MspVersion::V1_0 {
            return Ok(());
        }
        for (role, identifier) in self.known_kinds(node_ous)? {
            let unit = Unit {
                name: identifier.organizational_unit_identifier.clone(),
                certifiers: if identifier.certificate.is_empty() {
                    Vec::new()
                } else {
                    certifiers.of(self, identifier)?
                },
            };
            self.node_units.set(role, unit);
        }
        self.tells_kinds_apart = node_ous.enable && !self.node_units.is_empty();
        Ok(())
    }

    /// The kinds of members that have a unit, as far as the version knows them.
    fn known_kinds<'a>(
        &self,
        node_ous: &'a FabricNodeOus,
    ) -> Result<Vec<(Role, &'a FabricOuIdentifier)>, MspError> {
        let kinds = [
            (Role::Client, &node_ous.client_ou_identifier),
            (Role::Peer, &node_ous.peer_ou_identifier),
            (Role::Admin, &node_ous.admin_ou_identifier),
            (Role::Orderer, &node_ous.orderer_ou_identifier),
        ];
        let is_old = self.version < MspVersion::V1_4_3;
        let mut known = Vec::new();
        for (role, identifier) in kinds {
            match identifier {
                _ if is_old && matches!(role, Role::Admin | Role::Orderer) => {}
                Some(identifier)
                    if !is_old || !identifier.organizational_unit_identifier.is_empty() =>
                {
                    known.push((role, identifier));
                }
                _ if is_old => return Err(MspError::NoClientOrPeerUnit),
                _ => {}
            }
        }
        Ok(known)
    }

    /// Checks that there may be administrators, and that those who are listed are members.
    fn check_admins(self: &Arc<Self>, admins: Vec<Canonical>) -> Result<(), MspError> {
        let is_new = self.version >= MspVersion::V1_4_3;
        let may_have_unit = self.tells_kinds_apart && self.node_units.get(Role::Admin).is_some();
        if is_new && admins.is_empty() && !may_have_unit {
            return Err(MspError::NoAdmins);
        }
        for admin in admins {
            let admin = self.identity(admin);
            let is = |role| self.tells_kinds_apart && has_unit_of(&admin, role);
            let source = if self.tells_kinds_apart && is_new {
                // Not asked whether it is valid: a revoked administrator stays one.
                let is_one = is(Role::Client) || is(Role::Admin);
                (!is_one).then_some(None)
            } else {
                let invalid = admin.validity().err().cloned().map(Some);
                let is_one = !self.tells_kinds_apart || is(Role::Client);
                invalid.or((!is_one).then_some(None))
            };
            if let Some(source) = source {
                let name = Identity::name(&admin).to_owned();
                return Err(MspError::Admin { name, source });
            }
        }
        Ok(())
    }
}

/// The CAs in the form that counts.
struct Authorities {
    trust: Trust,
    roots: Vec<Arc<Certificate>>,
    intermediates: Vec<Arc<Certificate>>,
}

impl Authorities {
    fn read(config: &FabricMspConfig) -> Result<Self, MspError> {
        if config.root_certs.is_empty() {
            return Err(MspError::NoRoots);
        }
        let roots = certificates(&config.root_certs)?;
        let intermediates = certificates(&config.intermediate_certs)?;
        // Which form counts is found out with the CAs as they were given.
        let given = trust(&roots, &intermediates);
        let form = |certificates: Vec<Arc<Certificate>>| -> Result<Vec<_>, MspError> {
            let forms = certificates.into_iter().map(|certificate| {
                let form = canonical(&given, Arc::unwrap_or_clone(certificate));
                Ok(Arc::new(form.map_err(of_authority)?.certificate))
            });
            forms.collect()
        };
        let roots = form(roots)?;
        let intermediates = form(intermediates)?;
        Ok(Self {
            trust: trust(&roots, &intermediates),
            roots,
            intermediates,
        })
    }
}

fn trust(roots: &[Arc<Certificate>], intermediates: &[Arc<Certificate>]) -> Trust {
    let mut trust = Trust::default();
    for root in roots {
        trust.add_root(Arc::clone(root));
    }
    for intermediate in intermediates {
        trust.add_intermediate(Arc::clone(intermediate));
    }
    trust
}

fn certificates(pems: &[Bytes]) -> Result<Vec<Arc<Certificate>>, MspError> {
    let certificates = pems
        .iter()
        .map(|pem| Ok(Arc::new(Certificate::from_pem(pem)?)));
    certificates.collect()
}

fn check_is_ca(certificate: &Certificate) -> Result<(), MspError> {
    let name = || certificate.common_name.clone();
    if !certificate.is_ca() {
        return Err(MspError::NotCa(name()));
    }
    if certificate.extensions.subject_key_id.is_none() {
        return Err(MspError::NoKeyIdentifier(name()));
    }
    Ok(())
}

/// The CAs for TLS hang on each other like the others; of which kind their keys are does not matter.
fn check_tls_authorities(config: &FabricMspConfig, rules: &Rules) -> Result<(), MspError> {
    let roots = certificates(&config.tls_root_certs)?;
    let intermediates = certificates(&config.tls_intermediate_certs)?;
    let trust = trust(&roots, &intermediates);
    for certificate in roots.iter().chain(&intermediates) {
        check_is_ca(certificate)?;
        if let Some(issuer) = trust.chain_of(certificate)?.first() {
            rules
                .check_not_revoked(certificate, issuer)
                .map_err(|error| revoked(&error, certificate))?;
        }
    }
    Ok(())
}

fn hash_functions(config: &FabricMspConfig) -> Result<(HashFamily, HashFunction), MspError> {
    let (family, identifier) = match &config.crypto_config {
        Some(crypto) => (
            crypto.signature_hash_family.as_str(),
            crypto.identity_identifier_hash_function.as_str(),
        ),
        None => ("", ""),
    };
    let family = match family {
        "" | "SHA2" => HashFamily::Sha2,
        "SHA3" => HashFamily::Sha3,
        _ => HashFamily::Unknown,
    };
    let function = match identifier {
        "" => Some(HashFunction::Sha256),
        name => HashFunction::named(name),
    };
    let unknown = || MspError::HashFunction(identifier.to_owned());
    Ok((family, function.ok_or_else(unknown)?))
}

/// The digests of CAs and those above them, each made once.
#[derive(Default)]
struct Certifiers<'a> {
    known: HashMap<&'a [u8], Vec<u8>>,
}

impl<'a> Certifiers<'a> {
    fn of(&mut self, rules: &Rules, unit: &'a FabricOuIdentifier) -> Result<Vec<u8>, MspError> {
        if let Some(known) = self.known.get(&unit.certificate[..]) {
            return Ok(known.clone());
        }
        let certificate = Certificate::from_pem(&unit.certificate)?;
        let certificate = canonical(&rules.trust, certificate).map_err(of_authority)?;
        let certificate = Arc::new(certificate.certificate);
        let chain = if rules.trust.is_root(&certificate) {
            vec![certificate]
        } else if rules.trust.is_intermediate(&certificate) {
            let above = rules.trust.chain_of(&certificate)?;
            if rules.is_inner_node(&certificate) {
                return Err(super::ChainError::IssuerIsInnerNode.into());
            }
            std::iter::once(certificate).chain(above).collect()
        } else {
            let name = unit.organizational_unit_identifier.clone();
            return Err(MspError::UnitOfStranger(name));
        };
        let digest = rules.certifiers(&chain);
        self.known.insert(&unit.certificate, digest.clone());
        Ok(digest)
    }
}

/// What is wrong with a certificate of the organisation itself.
fn of_authority(error: IdentityError) -> MspError {
    match error {
        IdentityError::Certificate(error) => error.into(),
        IdentityError::Chain(error) => error.into(),
        _ => crate::certificate::CertificateError::KeyKind.into(),
    }
}

fn revoked(error: &IdentityError, certificate: &Certificate) -> MspError {
    match error {
        IdentityError::RevocationList => MspError::RevocationList,
        _ => MspError::Revoked(certificate.common_name.clone()),
    }
}
