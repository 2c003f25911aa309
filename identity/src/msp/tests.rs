//! Guards against accepting what Fabric refuses. Organisations here have CAs of every shape.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use bytes::Bytes;
use quire_wire::msp::{FabricNodeOus, FabricOuIdentifier};

use super::*;
use crate::certificate::{Certificate, CertificateError};
use crate::identity::Role;

/// A CA, or whatever else has a key and signs.
struct Signer {
    params: CertificateParams,
    key: KeyPair,
    pem: Bytes,
}

type Change = fn(&mut CertificateParams);

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Signer {
    fn root(name: &str, change: Change) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params(name);
        change(&mut params);
        let pem = params.self_signed(&key).unwrap().pem().into();
        Self { params, key, pem }
    }

    fn below(&self, name: &str, change: Change) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params(name);
        change(&mut params);
        let pem = params.signed_by(&key, &self.issuer()).unwrap().pem().into();
        Self { params, key, pem }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A serialized identity of `Org` with these units.
    fn identity(&self, units: &[&str], change: Change) -> Bytes {
        let key = KeyPair::generate().unwrap();
        let mut params = params("someone");
        // rcgen keeps one entry a type, so the second unit comes as a type of our own.
        let types = [
            DnType::OrganizationalUnitName,
            DnType::CustomDnType(vec![2, 5, 4, 11]),
        ];
        assert!(units.len() <= types.len());
        for (dn_type, unit) in types.into_iter().zip(units) {
            params.distinguished_name.push(dn_type, (*unit).to_owned());
        }
        params.not_before = date_time_ymd(2025, 1, 1);
        change(&mut params);
        let pem = params.signed_by(&key, &self.issuer()).unwrap().pem();
        crate::signing::serialize("Org", &pem)
    }

    fn revoking(&self, serial: u8) -> Bytes {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[serial]),
            revocation_time: date_time_ymd(2039, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2039, 1, 1),
            next_update: date_time_ymd(2039, 2, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer())
            .unwrap()
            .pem()
            .unwrap()
            .into()
    }
}

fn unit(name: &str, ca: Option<&Signer>) -> FabricOuIdentifier {
    FabricOuIdentifier {
        certificate: ca.map(|ca| ca.pem.clone()).unwrap_or_default(),
        organizational_unit_identifier: name.to_owned(),
    }
}

fn config(roots: &[&Signer], intermediates: &[&Signer]) -> FabricMspConfig {
    let pems = |signers: &[&Signer]| signers.iter().map(|signer| signer.pem.clone()).collect();
    FabricMspConfig {
        name: "Org".to_owned(),
        root_certs: pems(roots),
        intermediate_certs: pems(intermediates),
        fabric_node_ous: Some(FabricNodeOus {
            enable: true,
            client_ou_identifier: Some(unit("client", None)),
            peer_ou_identifier: Some(unit("peer", None)),
            admin_ou_identifier: Some(unit("admin", None)),
            orderer_ou_identifier: Some(unit("orderer", None)),
        }),
        ..FabricMspConfig::default()
    }
}

fn role_in(config: &FabricMspConfig, identity: &[u8]) -> Result<Option<Role>, IdentityError> {
    let msp = Msp::from_config(config, MspVersion::V1_4_3).unwrap();
    Ok(msp.validate(identity)?.role())
}

fn unchanged(_: &mut CertificateParams) {}

#[test]
fn an_identity_is_exactly_one_of_client_peer_admin_and_orderer() {
    let ca = Signer::root("ca", unchanged);
    let config = config(&[&ca], &[]);
    let cases = [
        ("client", Ok(Some(Role::Client))),
        ("peer", Ok(Some(Role::Peer))),
        ("admin", Ok(Some(Role::Admin))),
        ("orderer", Ok(Some(Role::Orderer))),
        ("sales", Err(IdentityError::NotOneRole)),
        ("CLIENT", Err(IdentityError::NotOneRole)),
    ];
    for (unit, expected) in cases {
        let identity = ca.identity(&[unit], unchanged);
        assert_eq!(role_in(&config, &identity), expected, "{unit}");
    }
    let role = |units: &[&str]| role_in(&config, &ca.identity(units, unchanged));
    assert_eq!(role(&[]), Err(IdentityError::NotOneRole));
    assert_eq!(role(&["sales", "client"]), Ok(Some(Role::Client)));
    assert_eq!(role(&["peer", "client"]), Err(IdentityError::NotOneRole));
}

#[test]
fn units_may_be_bound_to_a_ca() {
    let (one, two) = (
        Signer::root("one", unchanged),
        Signer::root("two", unchanged),
    );
    let mut config = config(&[&one, &two], &[]);
    let node_ous = config.fabric_node_ous.as_mut().unwrap();
    node_ous.client_ou_identifier = Some(unit("client", Some(&one)));
    let role = |ca: &Signer| role_in(&config, &ca.identity(&["client"], unchanged));
    assert_eq!(role(&one), Ok(Some(Role::Client)));
    let other = Err(IdentityError::UnitOfAnotherCa("client".to_owned()));
    assert_eq!(role(&two), other);

    let stranger = Signer::root("stranger", unchanged);
    let node_ous = config.fabric_node_ous.as_mut().unwrap();
    node_ous.client_ou_identifier = Some(unit("client", Some(&stranger)));
    let refused = Msp::from_config(&config, MspVersion::V1_4_3).unwrap_err();
    assert_eq!(refused, MspError::UnitOfStranger("client".to_owned()));
}

#[test]
fn without_node_units_members_have_no_role_but_may_need_a_unit() {
    let ca = Signer::root("ca", unchanged);
    let mut config = config(&[&ca], &[]);
    config.fabric_node_ous.as_mut().unwrap().enable = false;
    let refused = Msp::from_config(&config, MspVersion::V1_4_3).unwrap_err();
    assert_eq!(refused, MspError::NoAdmins);
    let sales = ca.identity(&["sales"], unchanged);
    config.admins = vec![SerializedIdentity::decode(&sales[..]).unwrap().id_bytes];
    let client = ca.identity(&["client"], unchanged);
    assert_eq!(role_in(&config, &client), Ok(None));
    config.organizational_unit_identifiers = vec![unit("sales", Some(&ca))];
    assert_eq!(role_in(&config, &sales), Ok(None));
    assert_eq!(role_in(&config, &client), Err(IdentityError::NoUnit));
    // A listed administrator is one without any unit.
    let msp = Msp::from_config(&config, MspVersion::V1_4_3).unwrap();
    assert!(msp.validate(&sales).unwrap().is_admin());
}

#[test]
fn the_chain_goes_through_intermediates_and_only_its_lowest_ca_signs_identities() {
    let root = Signer::root("root", unchanged);
    let upper = root.below("upper", unchanged);
    let lower = upper.below("lower", unchanged);
    let config = config(&[&root], &[&lower, &upper]);
    let role = |ca: &Signer| role_in(&config, &ca.identity(&["peer"], unchanged));
    assert_eq!(role(&lower), Ok(Some(Role::Peer)));
    let inner = Err(IdentityError::Chain(ChainError::IssuerIsInnerNode));
    assert_eq!(role(&upper), inner);
    assert_eq!(role(&root), inner);
}

#[test]
fn nobody_else_makes_identities() {
    let root = Signer::root("root", unchanged);
    let no_chain = Err(IdentityError::Chain(ChainError::NoChain));
    let config = config(&[&root], &[]);
    let role = |identity: &[u8]| role_in(&config, identity);
    // A CA of the same name, one that the organisation does not list, and a member who signs.
    let namesake = Signer::root("root", unchanged);
    assert_eq!(role(&namesake.identity(&["peer"], unchanged)), no_chain);
    let unlisted = root.below("unlisted", unchanged);
    assert_eq!(role(&unlisted.identity(&["peer"], unchanged)), no_chain);
    assert_eq!(
        role(&root.identity(&["peer"], unchanged)),
        Ok(Some(Role::Peer))
    );
    let is_ca = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    assert_eq!(
        role(&root.identity(&["peer"], is_ca)),
        Err(IdentityError::IsCa)
    );
}

#[test]
fn a_chain_is_judged_when_the_certificate_began() {
    let root = Signer::root("root", unchanged);
    let config = config(&[&root], &[]);
    let role = |change| role_in(&config, &root.identity(&["peer"], change));
    let past = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 2);
    };
    assert_eq!(
        role(past),
        Ok(Some(Role::Peer)),
        "long expired, and valid for ever"
    );
    let no_chain = Err(IdentityError::Chain(ChainError::NoChain));
    assert_eq!(
        role(|params| params.not_before = date_time_ymd(2019, 12, 31)),
        no_chain
    );
    assert_eq!(
        role(|params| params.not_before = date_time_ymd(2040, 1, 2)),
        no_chain
    );
    assert_eq!(
        role(|params| params.not_after = date_time_ymd(2024, 12, 31)),
        no_chain
    );
}

#[test]
fn limits_in_certificates_are_kept() {
    let no_chain = Err(IdentityError::Chain(ChainError::NoChain));
    let root = Signer::root("root", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let upper = root.below("upper", unchanged);
    let direct = root.identity(&["peer"], unchanged);
    assert_eq!(
        role_in(&config(&[&root], &[]), &direct),
        Ok(Some(Role::Peer))
    );
    // The path length forbids the identities of the CA below, not the CA itself.
    let config = config(&[&root], &[&upper]);
    assert_eq!(
        role_in(&config, &upper.identity(&["peer"], unchanged)),
        no_chain
    );

    let not_for_certificates = |params: &mut CertificateParams| {
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
    };
    let root = Signer::root("root", not_for_certificates);
    let config = self::config(&[&root], &[]);
    let refused = Msp::from_config(&config, MspVersion::V1_4_3).unwrap_err();
    assert_eq!(refused, MspError::Chain(ChainError::NoIssuer));
    let root = Signer::root("root", unchanged);
    let mut lower = root.below("lower", not_for_certificates);
    let config = self::config(&[&root], &[&lower]);
    lower.params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    assert_eq!(
        role_in(&config, &lower.identity(&["peer"], unchanged)),
        no_chain
    );

    let root = Signer::root("root", unchanged);
    let config = self::config(&[&root], &[]);
    let client_only = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    assert_eq!(
        role_in(&config, &root.identity(&["peer"], client_only)),
        no_chain
    );
    let critical = |params: &mut CertificateParams| {
        let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    };
    let refused = role_in(&config, &root.identity(&["peer"], critical));
    assert_eq!(refused, no_chain);
}

#[test]
fn what_the_issuer_took_back_is_refused_at_once() {
    let ca = Signer::root("ca", unchanged);
    let serial = |params: &mut CertificateParams| {
        params.serial_number = Some(SerialNumber::from_slice(&[7]));
    };
    let identity = ca.identity(&["peer"], serial);
    let mut config = config(&[&ca], &[]);
    for (list, expected) in [
        (ca.revoking(7), Err(IdentityError::Revoked)),
        (ca.revoking(8), Ok(Some(Role::Peer))),
        (
            Signer::root("ca", unchanged).revoking(7),
            Ok(Some(Role::Peer)),
        ),
    ] {
        config.revocation_list = vec![list];
        assert_eq!(role_in(&config, &identity), expected);
    }
    // A CA whose key identifier is the same, but not its key.
    let mut forger = Signer::root("ca", unchanged);
    let id = Certificate::from_pem(&ca.pem)
        .unwrap()
        .extensions
        .subject_key_id
        .unwrap();
    forger.params.key_identifier_method = KeyIdMethod::PreSpecified(id);
    config.revocation_list = vec![forger.revoking(7)];
    assert_eq!(role_in(&config, &identity), Ok(Some(Role::Peer)));

    config.revocation_list = vec![Bytes::from_static(b"no list")];
    assert_eq!(
        Msp::from_config(&config, MspVersion::V1_4_3).unwrap_err(),
        MspError::RevocationList
    );
}

#[test]
fn an_intermediate_ca_may_be_taken_back_too() {
    let root = Signer::root("root", unchanged);
    let lower = root.below("lower", |params| {
        params.serial_number = Some(SerialNumber::from_slice(&[7]));
    });
    let mut config = config(&[&root], &[&lower]);
    config.revocation_list = vec![root.revoking(7)];
    let refused = Msp::from_config(&config, MspVersion::V1_4_3).unwrap_err();
    assert_eq!(refused, MspError::Revoked("lower".to_owned()));
}

#[test]
fn what_is_no_organisation_is_refused() {
    let root = Signer::root("root", unchanged);
    let stranger = Signer::root("stranger", unchanged).below("lower", unchanged);
    let no_ca = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    let no_root = Signer::root("no root", no_ca);
    let no_intermediate = root.below("no ca", no_ca);
    let no_chain = MspError::Chain(ChainError::NoChain);
    let cases = [
        (config(&[], &[]), MspError::NoRoots),
        (config(&[&root], &[&stranger]), no_chain),
        (
            config(&[&no_root], &[]),
            MspError::Chain(ChainError::NoIssuer),
        ),
        (
            config(&[&root], &[&no_intermediate]),
            MspError::NotCa("no ca".to_owned()),
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(
            Msp::from_config(&config, MspVersion::V1_4_3).unwrap_err(),
            expected
        );
    }
    let mut nameless = config(&[&root], &[]);
    nameless.name.clear();
    assert_eq!(
        Msp::from_config(&nameless, MspVersion::V1_4_3).unwrap_err(),
        MspError::NoName
    );
    let mut broken = config(&[&root], &[]);
    broken.root_certs = vec![Bytes::from_static(b"no certificate")];
    let not_pem = MspError::Certificate(CertificateError::NotPem);
    assert_eq!(
        Msp::from_config(&broken, MspVersion::V1_4_3).unwrap_err(),
        not_pem
    );
}

#[test]
fn bytes_that_are_no_identity_are_refused() {
    let root = Signer::root("root", unchanged);
    let msp = Msp::from_config(&config(&[&root], &[]), MspVersion::V1_4_3).unwrap();
    let good = root.identity(&["peer"], unchanged);
    let too_large = vec![0; MAX_IDENTITY_BYTES + 1];
    assert_eq!(msp.validate(&too_large), Err(IdentityError::Malformed));
    assert_eq!(msp.validate(b"\xff"), Err(IdentityError::Malformed));
    let unknown = IdentityError::UnknownMsp(String::new());
    assert_eq!(msp.validate(b""), Err(unknown));
    // Whichever byte of the certificate is damaged, there is no panic, and nobody is let in.
    for position in 5..good.len() {
        let mut damaged = good.to_vec();
        damaged[position] ^= 0x10;
        if let Ok(valid) = msp.validate(&damaged) {
            assert_eq!(valid, msp.validate(&good).unwrap(), "byte {position}");
        }
    }
}

#[test]
fn an_organisation_that_is_larger_than_any_is_refused() {
    let root = Signer::root("root", unchanged);
    let sound = config(&[&root], &[]);
    let mut large = sound.clone();
    large.revocation_list = vec![vec![b'x'; 10 << 20].into()];
    let mut many = [
        large,
        sound.clone(),
        sound.clone(),
        sound.clone(),
        sound.clone(),
        sound,
    ];
    many[1].root_certs = vec![root.pem.clone(); limits::MAX_AUTHORITIES + 1];
    many[2].tls_intermediate_certs = vec![root.pem.clone(); limits::MAX_AUTHORITIES + 1];
    many[3].admins = vec![root.pem.clone(); limits::MAX_ADMINS + 1];
    many[4].revocation_list = vec![Bytes::new(); limits::MAX_REVOCATION_LISTS + 1];
    let unit = unit("sales", None);
    many[5].organizational_unit_identifiers = vec![unit; limits::MAX_UNITS + 1];
    let found = many.map(
        |config| match Msp::from_config(&config, MspVersion::V1_4_3) {
            Err(MspError::TooLarge { what, .. }) => what,
            other => panic!("{other:?}"),
        },
    );
    let expected = [
        "bytes",
        "CAs",
        "CAs for TLS",
        "administrators",
        "revocation lists",
        "organisational units",
    ];
    assert_eq!(found, expected);
}

#[test]
fn cas_of_one_name_cost_no_more_than_their_number() {
    // Each is above and below each other, so paths through them are without number.
    let key = KeyPair::generate().unwrap();
    let pems = (0..40).map(|number: u8| {
        let mut params = ca_params("same");
        params.serial_number = Some(SerialNumber::from_slice(&[number + 1]));
        params.subject_alt_names = vec![rcgen::SanType::DnsName(
            format!("ca{number}").try_into().unwrap(),
        )];
        let issuer = ca_params("same");
        let issuer = Issuer::from_params(&issuer, &key);
        params.signed_by(&key, &issuer).unwrap().pem().into()
    });
    let pems: Vec<Bytes> = pems.collect();
    let root = Signer::root("root", unchanged);
    let mut config = config(&[&root], &[]);
    config.intermediate_certs = pems;
    assert!(Msp::from_config(&config, MspVersion::V1_4_3).is_err());
}
