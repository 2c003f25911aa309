//! Nodes that were given certificates without an enrolment.

use std::time::{Duration, SystemTime};

use quire_identity::Role;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;

use crate::kit::{NOW, ca, enroll, organization};

#[tokio::test]
async fn what_a_node_was_given_is_revoked_by_its_name_and_nobody_enrols_by_it() {
    let ca = ca().await;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let certificate = |name| {
        let key = KeyPair::generate().unwrap();
        organization().certify(name, Role::Peer, key.der_bytes(), now)
    };
    let certificates = [
        certificate("node2").unwrap(),
        certificate("node2-client").unwrap(),
    ];
    let certificates = certificates.each_ref().map(String::as_str);
    assert!(ca.authority.is_free_for_a_node("node2"));
    ca.authority.admit("node2", &certificates).unwrap();
    // Another one of the same name would be revoked, and let in, together with it.
    let other = certificate("node2").unwrap();
    assert!(!ca.authority.is_free_for_a_node("node2"));
    let refused = ca.authority.admit("node2", &[&other]).unwrap_err();
    assert_eq!(refused.status, 403);
    let refused = enroll(&ca.router, "node2", "", json!({})).await;
    assert!(refused.is_err());

    let body = json!({"id": "node2", "reason": "keycompromise"});
    let revoked = ca.admin.ask(&ca, "POST", "revoke", body).await.result();
    assert_eq!(
        revoked["RevokedCerts"].as_array().unwrap().len(),
        2,
        "{revoked}"
    );
    {
        let state = ca.authority.registry().state();
        let mut all = state.certificates_of("node2");
        assert!(all.all(|one| one.revoked.is_some()));
    }

    assert!(!ca.authority.is_free_for_a_node("node2"));
    let refused = ca.authority.admit("node2", &[&other]).unwrap_err();
    assert_eq!(refused.status, 403);

    ca.admin.register(&ca, json!({"id": "shop"})).await;
    assert!(!ca.authority.is_free_for_a_node("shop"));
    let refused = ca.authority.admit("shop", &certificates).unwrap_err();
    assert_eq!(refused.status, 403);
}
