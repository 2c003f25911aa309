use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _, SanType, SigningKey as _,
};

use super::*;

fn request(params: &CertificateParams) -> String {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[test]
fn a_request_says_who_what_and_where() {
    let mut params = params("alice");
    let name = &mut params.distinguished_name;
    name.push(DnType::CountryName, "SE");
    name.push(DnType::OrganizationName, "Org1");
    name.push(DnType::OrganizationalUnitName, "admin");
    params.subject_alt_names = vec![
        SanType::DnsName("node.example".try_into().unwrap()),
        SanType::IpAddress("127.0.0.1".parse().unwrap()),
        SanType::IpAddress("::1".parse().unwrap()),
    ];
    let read = SigningRequest::from_pem(&request(&params)).unwrap();
    assert_eq!(read.common_name, "alice");
    assert_eq!(read.chosen.countries, ["SE"]);
    assert_eq!(read.chosen.organizations, ["Org1"]);
    assert_eq!(
        read.other_names,
        ["node.example", "127.0.0.1", "::1"].map(OtherName::of_host)
    );
    assert!(!read.wants_authority);
}

#[test]
fn a_request_that_cannot_be_used_says_why() {
    let good = request(&params("alice"));
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let ed25519 = params("alice").serialize_request(&ed25519).unwrap();
    let mut nobody = params("x");
    nobody.distinguished_name = rcgen::DistinguishedName::new();
    let mut far = params("alice");
    far.distinguished_name.push(DnType::CountryName, "Sweden");
    let mut many = params("alice");
    let name = SanType::DnsName("a".try_into().unwrap());
    many.subject_alt_names = vec![name; MAX_OTHER_NAMES + 1];
    for (text, expected) in [
        ("", "no PEM block"),
        (&good.replace("REQUEST", "THING"), "no PEM block"),
        (
            &pem::block("CERTIFICATE REQUEST", b"nothing"),
            "not PKCS#10",
        ),
        (&ed25519.pem().unwrap(), "not ECDSA"),
        (&request(&nobody), "one common name"),
        (&request(&far), "country exceeds"),
        (&request(&many), "at most 64"),
        (&request(&params(&"a".repeat(65))), "common name exceeds"),
    ] {
        let refusal = SigningRequest::from_pem(text).unwrap_err();
        assert!(refusal.detail.contains(expected), "{expected}: {refusal}");
    }
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = params("alice").serialize_request(&p384).unwrap();
    assert!(SigningRequest::from_pem(&p384.pem().unwrap()).is_ok());
    let mut authority = params("alice");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = SigningRequest::from_pem(&request(&authority));
    assert!(authority.unwrap().wants_authority);
}

/// A request for `alice` with this key as it is written, signed by the key.
fn request_of(key: &KeyPair, key_info: &[u8]) -> String {
    use crate::der::{COMMON_NAME, signed, write_name};
    use yasna::Tag;
    let name = ["alice".to_owned()];
    let content = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            write_name(writer.next(), &[(COMMON_NAME, &name)]);
            writer.next().write_der(key_info);
            writer
                .next()
                .write_tagged_implicit(Tag::context(0), |writer| writer.write_set(|_| ()));
        });
    });
    let signature = key.sign(&content).unwrap();
    pem::block("CERTIFICATE REQUEST", &signed(&content, &signature))
}

#[test]
fn nothing_that_follows_a_key_gets_into_a_certificate() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let plain = key.subject_public_key_info();
    let read = SigningRequest::from_pem(&request_of(&key, &plain)).unwrap();
    assert_eq!(read.key_info, plain);
    // The same, with an extension after the key, within the same sequence.
    let more = construct_der(|writer| {
        writer.write_sequence(|writer| {
            let (_, parts) = plain.split_at(2);
            writer.next().write_der(parts);
            writer
                .next()
                .write_tagged(yasna::Tag::context(3), |writer| {
                    writer.write_sequence(|_| ());
                });
        });
    });
    let (_, parsed) = SubjectPublicKeyInfo::from_der(&more).unwrap();
    assert_eq!(parsed.subject_public_key.data, read.key_bits);
    let refusal = SigningRequest::from_pem(&request_of(&key, &more)).unwrap_err();
    assert!(refusal.detail.contains("with its key"), "{refusal}");
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let der = pem::first(
        request(&params("alice")).as_bytes(),
        &["CERTIFICATE REQUEST"],
    )
    .unwrap();
    let other = pem::first(
        request(&params("alice")).as_bytes(),
        &["CERTIFICATE REQUEST"],
    )
    .unwrap();
    // The signature is at the end of both, of about the same length.
    let mut forged = der.clone();
    let tail = der.len() - 60;
    forged[tail..].copy_from_slice(&other[other.len() - 60..]);
    let refusal = SigningRequest::from_pem(&pem::block("CERTIFICATE REQUEST", &forged));
    assert!(refusal.unwrap_err().detail.contains("signature"));
}

#[test]
fn a_request_that_was_changed_anywhere_is_never_taken_for_another() {
    let mut params = params("alice");
    params.subject_alt_names = vec![SanType::DnsName("node.example".try_into().unwrap())];
    let good = pem::first(request(&params).as_bytes(), &["CERTIFICATE REQUEST"]).unwrap();
    let read = |der: &[u8]| SigningRequest::from_pem(&pem::block("CERTIFICATE REQUEST", der));
    let as_it_is = read(&good).unwrap();
    proptest!(ProptestConfig::with_cases(4000), |(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..5),
    )| {
        let mut der = good.clone();
        for (at, byte, kind) in edits {
            if der.is_empty() {
                break;
            }
            let at = at.index(der.len());
            match kind {
                0 => der[at] = byte,
                1 => der.insert(at, byte),
                _ => drop(der.remove(at)),
            }
        }
        // Only what the signature does not cover may differ: then nothing that is read does.
        if let Ok(found) = read(&der) {
            prop_assert_eq!(found, as_it_is.clone());
        }
    });
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(-----BEGIN CERTIFICATE REQUEST-----\n)?[A-Za-z0-9+/=\n-]{0,400}") {
        prop_assert!(SigningRequest::from_pem(&text).is_err());
    }
}
