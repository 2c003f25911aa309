//! Revoking, and the lists that tell of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_ca::Code;
use quire_ca::register::{Modification, NewIdentity};
use quire_ca::revoke::Revocation;
use quire_ca::token::Signed;
use serde_json::{Value, json};
use x509_parser::prelude::*;

use crate::kit::{Ca, Client, DAY, ca, enroll, issuer, newcomer, number_and_key};

/// The serial numbers of a list in an answer, which the CA must have signed.
fn serials(result: &Value) -> Vec<String> {
    let pem = STANDARD.decode(result["CRL"].as_str().unwrap()).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    assert_eq!(block.label, "X509 CRL");
    let (rest, list) = CertificateRevocationList::from_der(&block.contents).unwrap();
    assert!(rest.is_empty());
    let authority = issuer();
    let authority = authority.certificate_pem().as_bytes();
    let (_, authority) = x509_parser::pem::parse_x509_pem(authority).unwrap();
    let authority = authority.parse_x509().unwrap();
    list.verify_signature(authority.public_key()).unwrap();
    let names_its_key = list.extensions().iter().any(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::AuthorityKeyIdentifier(_)
        )
    });
    assert!(
        names_its_key,
        "Fabric refuses every certificate where a list does not"
    );
    let serials = list.iter_revoked_certificates();
    serials.map(|one| hex::encode(one.raw_serial())).collect()
}

async fn crl(ca: &Ca, body: Value) -> Vec<String> {
    serials(&ca.admin.ask(ca, "POST", "gencrl", body).await.result())
}

async fn revoke_one(ca: &Ca, caller: &Client, whose: &Client) -> Value {
    let (serial, key) = number_and_key(whose);
    let body = json!({"serial": serial, "aki": key, "reason": "keycompromise", "gencrl": true});
    caller.ask(ca, "POST", "revoke", body).await.result()
}

#[tokio::test]
async fn a_revoked_certificate_is_good_for_nothing_and_stands_on_every_list() {
    let ca = ca().await;
    assert!(crl(&ca, json!({})).await.is_empty());
    let body = json!({"id": "alice", "max_enrollments": -1});
    let secret = ca.admin.register(&ca, body).await;
    let alice = enroll(&ca.router, "alice", &secret, json!({}))
        .await
        .unwrap();
    let other = enroll(&ca.router, "alice", &secret, json!({}))
        .await
        .unwrap();
    let (serial, key) = number_and_key(&alice);
    let revoked = revoke_one(&ca, &ca.admin, &alice).await;
    assert_eq!(
        revoked["RevokedCerts"],
        json!([{"Serial": serial.trim_start_matches('0'), "AKI": key.trim_start_matches('0')}])
    );
    assert_eq!(serials(&revoked), std::slice::from_ref(&serial));
    assert!(
        ca.authority
            .has_revoked(&hex::decode(&serial).unwrap(), &hex::decode(&key).unwrap())
    );
    assert!(
        !ca.authority
            .has_revoked(&hex::decode(&serial).unwrap(), &[1])
    );
    assert_eq!(
        alice
            .ask(&ca, "POST", "revoke", json!({"id": "alice"}))
            .await
            .code(),
        20
    );
    assert_eq!(other.ask(&ca, "POST", "gencrl", json!({})).await.code(), 71);
    let twice = json!({"serial": serial, "aki": key});
    let twice = ca.admin.ask(&ca, "POST", "revoke", twice).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (404, 66));
    // What was revoked is on the list when its time is over, too.
    ca.clock.advance(360 * DAY);
    assert_eq!(crl(&ca, json!({})).await, std::slice::from_ref(&serial));
    for (body, expected) in [
        (json!({"revokedAfter": "2020-01-01T00:00:00.000Z"}), 1),
        (json!({"revokedbefore": "2020-01-01T00:00:00Z"}), 0),
        (
            json!({"revokedafter": "0001-01-01T00:00:00Z", "expirebefore": null}),
            1,
        ),
        (json!({"expireafter": "2099-01-01T00:00:00Z"}), 0),
    ] {
        assert_eq!(crl(&ca, body.clone()).await.len(), expected, "{body}");
    }
    for (body, code) in [
        (
            json!({"revokedafter": "2026-01-02T00:00:00Z", "revokedbefore": "2026-01-01T00:00:00Z"}),
            36,
        ),
        (
            json!({"expireafter": "2026-01-02T00:00:00Z", "expirebefore": "2026-01-01T00:00:00Z"}),
            37,
        ),
        (json!({"expireafter": "soon"}), 5),
    ] {
        assert_eq!(ca.admin.ask(&ca, "POST", "gencrl", body).await.code(), code);
    }
}

#[tokio::test]
async fn a_revoked_identity_enrolls_no_more_and_none_of_its_certificates_is_good() {
    let ca = ca().await;
    let body = json!({"id": "alice", "max_enrollments": -1});
    let secret = ca.admin.register(&ca, body).await;
    let one = enroll(&ca.router, "alice", &secret, json!({}))
        .await
        .unwrap();
    let two = enroll(&ca.router, "alice", &secret, json!({"profile": "tls"}))
        .await
        .unwrap();
    let result = ca
        .admin
        .ask(&ca, "POST", "revoke", json!({"id": "alice"}))
        .await
        .result();
    assert_eq!(result["RevokedCerts"].as_array().unwrap().len(), 2);
    assert_eq!(result["CRL"], "");
    for client in [&one, &two] {
        assert_eq!(
            client
                .ask(&ca, "GET", "identities", Value::Null)
                .await
                .code(),
            20
        );
    }
    let again = enroll(&ca.router, "alice", &secret, json!({}))
        .await
        .unwrap_err();
    assert_eq!(again.code(), 20);
    assert_eq!(crl(&ca, json!({})).await.len(), 2);
    // Removing one revokes what is left, and forgets nothing that was revoked.
    let bob = newcomer(&ca, "bob", json!({})).await;
    for name in ["alice", "bob"] {
        let removed = ca
            .admin
            .ask(&ca, "DELETE", &format!("identities/{name}"), Value::Null)
            .await;
        assert_eq!(removed.status, 200);
    }
    assert_eq!(
        bob.ask(&ca, "GET", "identities", Value::Null).await.code(),
        20
    );
    assert_eq!(crl(&ca, json!({})).await.len(), 3);
}

#[tokio::test]
async fn only_a_revoker_revokes_what_is_not_its_own() {
    let ca = ca().await;
    let alice = newcomer(&ca, "alice", json!({"affiliation": "org1"})).await;
    let bob = newcomer(&ca, "bob", json!({"affiliation": "org2"})).await;
    let revoker = json!([{"name": "hf.Revoker", "value": "true"},
        {"name": "hf.Registrar.Roles", "value": "client"}]);
    let clerk = newcomer(
        &ca,
        "clerk",
        json!({"affiliation": "org1", "attrs": revoker}),
    )
    .await;
    assert_eq!(
        alice
            .ask(&ca, "POST", "revoke", json!({"id": "bob"}))
            .await
            .code(),
        71
    );
    assert_eq!(
        clerk
            .ask(&ca, "POST", "revoke", json!({"id": "bob"}))
            .await
            .code(),
        71
    );
    let (serial, key) = number_and_key(&bob);
    let body = json!({"serial": serial, "aki": key});
    assert_eq!(
        alice.ask(&ca, "POST", "revoke", body.clone()).await.code(),
        71
    );
    let mut named = body;
    named["id"] = json!("alice");
    let reply = ca.admin.ask(&ca, "POST", "revoke", named).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, 9));
    for (body, status, code) in [
        (json!({}), 400, 15),
        (json!({"serial": "1"}), 400, 15),
        (json!({"serial": "1", "aki": "2"}), 404, 8),
        (json!({"id": "nobody"}), 404, 10),
    ] {
        let reply = ca.admin.ask(&ca, "POST", "revoke", body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (status, code),
            "{body}"
        );
    }
    revoke_one(&ca, &clerk, &alice).await;
    revoke_one(&ca, &bob, &bob).await;
}

#[tokio::test]
async fn whoever_was_revoked_while_asking_changes_nothing() {
    let ca = ca().await;
    let rights = json!([
        {"name": "hf.Registrar.Roles", "value": "client"},
        {"name": "hf.Revoker", "value": "true"},
        {"name": "hf.AffiliationMgr", "value": "true"},
    ]);
    let body = json!({"affiliation": "org1", "attrs": rights});
    let clerk = newcomer(&ca, "clerk", body).await;
    newcomer(&ca, "alice", json!({"affiliation": "org1"})).await;
    let token = clerk.token("POST", "/x", "");
    let signed = Signed {
        method: "POST",
        uri: "/x",
        body: b"",
    };
    let caller = ca.authority.authenticate(&token, &signed).unwrap();
    let revoked = ca
        .admin
        .ask(&ca, "POST", "revoke", json!({"id": "clerk"}))
        .await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let authority = &ca.authority;
    let new = NewIdentity {
        name: "bob".to_owned(),
        secret: "s".to_owned(),
        kind: String::new(),
        affiliation: String::new(),
        attributes: Vec::new(),
        max_enrollments: -1,
    };
    let change = Modification {
        secret: "mine".to_owned(),
        kind: String::new(),
        affiliation: String::new(),
        attributes: Vec::new(),
        max_enrollments: 0,
    };
    let alice = Revocation {
        name: "alice".to_owned(),
        ..Revocation::default()
    };
    for refused in [
        authority.register(&caller, new).err(),
        authority.modify(&caller, "alice", &change).err(),
        authority.remove(&caller, "alice", false).err(),
        authority.revoke(&caller, &alice).err(),
        authority.add_affiliation(&caller, "org1.x", false).err(),
        authority
            .remove_affiliation(&caller, "org1.department1", true)
            .err(),
        authority
            .rename_affiliation(&caller, "org1.department2", "org1.y", true)
            .err(),
    ] {
        assert_eq!(refused.unwrap().code, Code::CertificateRevoked);
    }
}
