//! Writes that other organisations must endorse too, as they are answered where these do not.

use quire_peer::{Ended, Failure, NoPlan, NotCollected, SubmitError, Unendorsed, discovery};
use serde_json::json;

use crate::kit::Node;

const KEY: &str = "./state/orders/1001";
const K: &str = "idempotency-key: k";

/// Of a peer of Org2.
fn failure(ended: Ended, text: &str, difference: Option<&'static str>) -> Failure {
    Failure {
        msp_id: "Org2MSP".into(),
        address: "peer0.org2:7051".into(),
        ended,
        text: text.to_owned(),
        difference,
    }
}

fn differs() -> Failure {
    let text = "ProposalResponsePayloads do not match";
    failure(Ended::Differs, text, Some("the read-write sets differ"))
}

fn refused_by(failure: Failure) -> SubmitError {
    Unendorsed::NotCollected(NotCollected(vec![failure])).into()
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_named_and_the_caller_comes_back_later() {
    let node = Node::new();
    let client = node.client();
    let text = "rpc error: code = Unavailable desc = it cannot be reached";
    let away = refused_by(failure(Ended::Unreachable, text, None));
    node.orderer.refuse(away);
    let refused = client.put(KEY, &[K], "1").await;
    refused.assert_problem(503, "ENDORSERS_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let expected = json!([{
        "organization": "Org2MSP",
        "address": "peer0.org2:7051",
        "outcome": "UNREACHABLE",
        "detail": text,
    }]);
    assert_eq!(refused.json()["endorsers"], expected);
    client.put(KEY, &[K], "1").await.assert_status(201);
}

#[tokio::test]
async fn a_write_is_tried_again_while_another_peer_may_only_be_behind() {
    let node = Node::new();
    let client = node.client();
    for _ in 0..3 {
        node.orderer.refuse(refused_by(differs()));
    }
    client.put(KEY, &[K], "1").await.assert_status(201);
    assert_eq!(node.orderer.submitted(), 1);
    client.put(KEY, &[K], "1").await.assert_status(201);

    for _ in 0..100 {
        node.orderer.refuse(refused_by(differs()));
    }
    let refused = client.put(KEY, &[], "2").await;
    refused.assert_problem(502, "ENDORSEMENT_FAILED");
    assert_eq!(refused.header("retry-after"), None);
    let endorser = &refused.json()["endorsers"][0];
    assert_eq!(endorser["outcome"], "DIFFERS");
    let told = "ProposalResponsePayloads do not match: the read-write sets differ";
    assert_eq!(endorser["detail"], told);
    assert_eq!(node.orderer.submitted(), 1);
}

#[tokio::test]
async fn organizations_of_which_no_peer_is_known_are_named() {
    let node = Node::new();
    let no_plan = NoPlan::NoPeers {
        reason: discovery::NoDescriptor::Peers,
        without_peers: vec!["Org2MSP".to_owned(), "Org3MSP".to_owned()],
    };
    node.orderer.refuse(Unendorsed::Nobody(no_plan).into());
    let refused = node.client().put(KEY, &[], "1").await;
    refused.assert_problem(502, "ENDORSEMENT_FAILED");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("no anchor peers of Org2MSP, Org3MSP"),
        "{detail}"
    );
    assert!(refused.json().get("endorsers").is_none());
}
