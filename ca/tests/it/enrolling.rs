//! Enrolling and enrolling again.

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_ca::registry::MAX_CERTIFICATES_OF_ONE;
use quire_ca::registry::certificate::{CertificateRecord, Revoked};
use quire_ca::registry::identity::IdentityRecord;
use quire_ca::registry::state::Change;
use quire_identity::Role;
use quire_wire::msp::SerializedIdentity;
use serde_json::{Value, json};
use x509_parser::prelude::*;

use crate::kit::{
    Client, DAY, NOW, ca, enroll, issuer, newcomer, organization, send, signing_request,
};

/// The JSON of the attributes in a certificate.
fn attributes(certificate: &X509Certificate<'_>) -> Option<Value> {
    let oid = x509_parser::oid_registry::Oid::from(&[1, 2, 3, 4, 5, 6, 7, 8, 1]).unwrap();
    let extension = certificate.get_extension_unique(&oid).unwrap()?;
    Some(serde_json::from_slice(extension.value).unwrap())
}

fn units(certificate: &X509Certificate<'_>) -> Vec<String> {
    let units = certificate.subject().iter_organizational_unit();
    let mut units: Vec<_> = units
        .map(|unit| unit.as_str().unwrap().to_owned())
        .collect();
    units.sort();
    units
}

fn serialized(client: &Client) -> Vec<u8> {
    use prost::Message as _;
    SerializedIdentity {
        mspid: "Org1MSP".to_owned(),
        id_bytes: client.certificate.clone().into_bytes().into(),
    }
    .encode_to_vec()
}

#[tokio::test]
async fn what_is_enrolled_is_a_valid_identity_of_its_type() {
    let ca = ca().await;
    for (kind, role) in [
        ("client", Role::Client),
        ("peer", Role::Peer),
        ("orderer", Role::Orderer),
        ("admin", Role::Admin),
    ] {
        let body = json!({"type": kind, "affiliation": "org1.department1"});
        let client = newcomer(&ca, &format!("a-{kind}"), body).await;
        let valid = organization().msp().validate(&serialized(&client)).unwrap();
        assert_eq!(valid.role(), Some(role));
        let der = client.der();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let mut expected = vec!["department1", "org1", kind];
        expected.sort_unstable();
        assert_eq!(units(&certificate), expected);
        let (not_before, not_after) = (
            certificate.validity().not_before,
            certificate.validity().not_after,
        );
        assert_eq!(not_before.timestamp(), i64::try_from(NOW - 300).unwrap());
        assert_eq!(
            not_after.timestamp(),
            i64::try_from(NOW + 365 * DAY).unwrap()
        );
    }
}

#[tokio::test]
async fn attributes_stand_in_certificates_as_asked_for() {
    let ca = ca().await;
    let registered = json!({"id": "alice", "max_enrollments": -1, "affiliation": "org1", "attrs": [
        {"name": "app.color", "value": "red", "ecert": true},
        {"name": "app.size", "value": "9"},
    ]});
    let secret = ca.admin.register(&ca, registered).await;
    let own = json!({"hf.EnrollmentID": "alice", "hf.Type": "client", "hf.Affiliation": "org1", "app.color": "red"});
    for (body, expected) in [
        (json!({}), Ok(json!({"attrs": own}))),
        (json!({"attr_reqs": null}), Ok(json!({"attrs": own}))),
        (
            json!({"attr_reqs": [{"name": "app.size"}, {"name": "app.none", "optional": true}]}),
            Ok(json!({"attrs": {"app.size": "9"}})),
        ),
        (json!({"attr_reqs": [{"name": "app.none"}]}), Err(81)),
    ] {
        let enrolled = enroll(&ca.router, "alice", &secret, body.clone()).await;
        match (enrolled, expected) {
            (Ok(client), Ok(expected)) => {
                let der = client.der();
                let (_, certificate) = X509Certificate::from_der(&der).unwrap();
                assert_eq!(attributes(&certificate), Some(expected), "{body}");
            }
            (Err(reply), Err(code)) => assert_eq!(reply.code(), code, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_secret_is_good_as_often_as_it_says_and_ten_wrong_ones_lock() {
    let ca = ca().await;
    let secret = ca
        .admin
        .register(&ca, json!({"id": "once", "max_enrollments": 1}))
        .await;
    assert!(enroll(&ca.router, "once", &secret, json!({})).await.is_ok());
    let again = enroll(&ca.router, "once", &secret, json!({}))
        .await
        .unwrap_err();
    assert_eq!((again.status.as_u16(), again.code()), (401, 20));

    let secret = ca
        .admin
        .register(&ca, json!({"id": "guessed", "max_enrollments": -1}))
        .await;
    for _ in 0..9 {
        let wrong = enroll(&ca.router, "guessed", "wrong", json!({}))
            .await
            .unwrap_err();
        assert_eq!((wrong.status.as_u16(), wrong.code()), (401, 20));
    }
    assert!(
        enroll(&ca.router, "guessed", &secret, json!({}))
            .await
            .is_ok()
    );
    for _ in 0..10 {
        let wrong = enroll(&ca.router, "guessed", "wrong", json!({}))
            .await
            .unwrap_err();
        assert_eq!(wrong.code(), 20);
    }
    let locked = enroll(&ca.router, "guessed", &secret, json!({}))
        .await
        .unwrap_err();
    assert_eq!((locked.status.as_u16(), locked.code()), (401, 73));
    // A new secret unlocks.
    let changed = ca
        .admin
        .ask(
            &ca,
            "PUT",
            "identities/guessed",
            json!({"secret": "another"}),
        )
        .await;
    assert_eq!(changed.result()["secret"], "another");
    assert!(
        enroll(&ca.router, "guessed", "another", json!({}))
            .await
            .is_ok()
    );
    let nobody = enroll(&ca.router, "nobody", "wrong", json!({}))
        .await
        .unwrap_err();
    assert_eq!((nobody.status.as_u16(), nobody.code()), (401, 20));
}

#[tokio::test]
async fn guesses_at_one_time_count_as_if_one_came_after_the_other() {
    let ca = ca().await;
    let secret = ca
        .admin
        .register(&ca, json!({"id": "guessed", "max_enrollments": -1}))
        .await;
    let guesses = (0..20).map(|_| {
        let router = ca.router.clone();
        tokio::spawn(async move {
            enroll(&router, "guessed", "wrong", json!({}))
                .await
                .unwrap_err()
                .code()
        })
    });
    let guesses: Vec<_> = guesses.collect();
    let mut codes = Vec::new();
    for guess in guesses {
        codes.push(guess.await.unwrap());
    }
    let counted = codes.iter().filter(|code| **code == 20).count();
    assert_eq!(counted, 10, "{codes:?}");
    let locked = enroll(&ca.router, "guessed", &secret, json!({}))
        .await
        .unwrap_err();
    assert_eq!(locked.code(), 73);
}

#[tokio::test]
async fn enrolling_again_takes_a_certificate_and_gives_another() {
    let ca = ca().await;
    let alice = newcomer(&ca, "alice", json!({"affiliation": "org1"})).await;
    let (key, request) = signing_request("alice");
    let body = json!({"certificate_request": request});
    let result = alice.ask(&ca, "POST", "reenroll", body).await.result();
    let again = Client::of(key, &result);
    assert_ne!(again.certificate, alice.certificate);
    let serial = |client: &Client| {
        let der = client.der();
        X509Certificate::from_der(&der)
            .unwrap()
            .1
            .raw_serial()
            .to_vec()
    };
    assert_ne!(serial(&again), serial(&alice));
    // Both are good, each for its own time.
    ca.clock.advance(364 * DAY);
    let (key, request) = signing_request("alice");
    let body = json!({"certificate_request": request});
    let reply = again.ask(&ca, "POST", "reenroll", body.clone()).await;
    let late = Client::of(key, &reply.result());
    ca.clock.advance(2 * DAY);
    assert_eq!(again.ask(&ca, "POST", "reenroll", body).await.code(), 20);
    assert_eq!(
        late.ask(&ca, "POST", "revoke", json!({"id": "alice"}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_name_that_is_not_the_callers_is_not_enrolled() {
    let ca = ca().await;
    let alice = newcomer(&ca, "alice", json!({})).await;
    let (_, request) = signing_request("bob");
    let body = json!({"certificate_request": request});
    let reply = alice.ask(&ca, "POST", "reenroll", body).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (403, 77));
    let (_, request) = signing_request("alice");
    let body = json!({"certificate_request": request, "subject": {"CN": "bob"}});
    assert_eq!(alice.ask(&ca, "POST", "reenroll", body).await.code(), 77);
}

#[tokio::test]
async fn profiles_say_what_a_certificate_is_for() {
    let ca = ca().await;
    let secret = ca
        .admin
        .register(
            &ca,
            json!({"id": "peer0", "type": "peer", "max_enrollments": -1}),
        )
        .await;
    let body = json!({"profile": "tls", "hosts": ["peer0.example", "127.0.0.1"]});
    let tls = enroll(&ca.router, "peer0", &secret, body).await.unwrap();
    let der = tls.der();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth);
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && usage.key_agreement());
    assert!(!usage.key_cert_sign());
    let names = certificate
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value;
    assert_eq!(
        names.general_names,
        [
            GeneralName::DNSName("peer0.example"),
            GeneralName::IPAddress(&[127, 0, 0, 1])
        ]
    );
    let refused = enroll(&ca.router, "peer0", &secret, json!({"profile": "ca"})).await;
    assert_eq!(refused.unwrap_err().code(), 71);
    let unknown = enroll(&ca.router, "peer0", &secret, json!({"profile": "any"})).await;
    assert_eq!(unknown.unwrap_err().code(), 31);
    let intermediate = enroll(&ca.router, "admin", "adminpw", json!({"profile": "ca"})).await;
    let der = intermediate.unwrap().der();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca && constraints.path_len_constraint == Some(0));
}

#[tokio::test]
async fn tokens_of_both_forms_and_paths_of_both_forms_are_understood() {
    let ca = ca().await;
    let body = json!({"id": "alice"}).to_string();
    for (uri, token) in [
        ("/register", ca.admin.token("POST", "/register", &body)),
        ("/api/v1/register", ca.admin.old_token(&body)),
    ] {
        let request = Request::post(uri)
            .header("authorization", token)
            .body(Body::from(body.clone()))
            .unwrap();
        let reply = send(&ca.router, request).await;
        assert!(matches!(reply.status.as_u16(), 201 | 409), "{reply:?}");
    }
    for (method, uri, signed) in [
        ("POST", "/register", "/api/v1/register"),
        ("GET", "/register", "/register"),
    ] {
        let token = ca.admin.token(method, signed, &body);
        let request = Request::post(uri)
            .header("authorization", token)
            .body(Body::from(body.clone()))
            .unwrap();
        assert_eq!(
            send(&ca.router, request).await.code(),
            20,
            "{method} {signed}"
        );
    }
}

#[tokio::test]
async fn what_everybody_may_know_needs_no_token() {
    let ca = ca().await;
    for request in [
        Request::get("/cainfo").body(Body::empty()).unwrap(),
        Request::post("/api/v1/cainfo")
            .body(Body::from(r#"{"caname":"ca-org1"}"#))
            .unwrap(),
        Request::get("/api/v1/cainfo?ca=undefined")
            .body(Body::empty())
            .unwrap(),
    ] {
        let result = send(&ca.router, request).await.result();
        assert_eq!(result["CAName"], "ca-org1");
        let chain = STANDARD
            .decode(result["CAChain"].as_str().unwrap())
            .unwrap();
        assert_eq!(chain, issuer().certificate_pem().as_bytes());
    }
    let other = Request::get("/cainfo?ca=other")
        .body(Body::empty())
        .unwrap();
    let reply = send(&ca.router, other).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (404, 19));
}

#[tokio::test]
async fn an_affiliation_that_names_a_role_gets_no_certificate() {
    let ca = ca().await;
    let secret = ca.admin.register(&ca, json!({"id": "old"})).await;
    // As a registry may have it from before such affiliations were refused.
    let changed = ca.authority.registry().change(|state| {
        let mut identity = IdentityRecord::clone(&state.identities["old"]);
        identity.affiliation = "org1.Admin".to_owned();
        Ok(((), vec![Change::Identity(identity)]))
    });
    changed.unwrap();
    let refused = enroll(&ca.router, "old", &secret, json!({})).await;
    assert_eq!(refused.unwrap_err().status, 400);
}

/// Another certificate beside one, good until a second, and perhaps revoked.
fn issued(beside: &CertificateRecord, serial: usize, not_after: u64, revoked: bool) -> Change {
    Change::Certificate(CertificateRecord {
        serial: format!("1{serial:x}"),
        authority_key_id: beside.authority_key_id.clone(),
        owner: beside.owner.clone(),
        not_before: 0,
        not_after: i64::try_from(not_after).unwrap(),
        der: Vec::new(),
        revoked: revoked.then_some(Revoked { at: 1, reason: 0 }),
    })
}

#[tokio::test]
async fn one_identity_has_a_bounded_number_of_certificates_and_expired_ones_make_room() {
    let ca = ca().await;
    let alice = newcomer(&ca, "alice", json!({"max_enrollments": -1})).await;
    let bob = newcomer(&ca, "bob", json!({"max_enrollments": -1})).await;
    let reenroll = async |client: &Client, name: &str| {
        let body = json!({"certificate_request": signing_request(name).1});
        client.ask(&ca, "POST", "reenroll", body).await
    };
    let count = || ca.authority.registry().state().certificate_count("alice");
    let registry = ca.authority.registry();
    let first = registry.state().certificates_of("alice").next().cloned();
    let first = first.unwrap();
    let more = (1..MAX_CERTIFICATES_OF_ONE).map(|n| issued(&first, n, NOW + DAY, n <= 10));
    let more: Vec<_> = more.collect();
    registry.change(|_| Ok(((), more))).unwrap();
    let refused = reenroll(&alice, "alice").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, 0));
    reenroll(&bob, "bob").await.result();
    assert_eq!(count(), MAX_CERTIFICATES_OF_ONE);
    ca.clock.advance(2 * DAY);
    reenroll(&alice, "alice").await.result();
    // The two that are good, and the ten that were revoked and stay on the list.
    assert_eq!(count(), 12);
    let list = ca
        .authority
        .crl(&quire_ca::crl::Selection::default())
        .unwrap();
    let (_, list) = parse_x509_pem(list.as_bytes()).unwrap();
    let (_, list) = CertificateRevocationList::from_der(&list.contents).unwrap();
    assert_eq!(list.iter_revoked_certificates().count(), 10);
}
