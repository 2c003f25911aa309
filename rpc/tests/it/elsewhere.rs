//! Calls of the Gateway that this node cannot answer, or that are meant for others: peers elsewhere run them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::post;
use quire_identity::config::edit;
use quire_identity::{Role, SigningIdentity};
use quire_rpc::{Application, Client, Code, Proposing, Status, Target};
use quire_wire::Message as _;
use quire_wire::gateway::{EndorseRequest, ErrorDetail, EvaluateRequest, RpcStatus};
use quire_wire::hash::sha256;
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CommitChaincodeDefinitionArgs,
    LocalPackage, SourceKind,
};
use quire_wire::peer::{
    ChaincodeAction, ChaincodeCall, ChaincodeId, ChaincodeInterest, Endorsement, ProposalResponse,
    ProposalResponsePayload, Response as Answer,
};

use crate::network::{CHANNEL, Network, answered, framed, place, serve};

const PATH: &str = "/protos.Endorser/ProcessProposal";
/// A chaincode that the channel defines, and whose process is not connected here.
const CHAINCODE: &str = "trade";
const OWN: &str = "127.0.0.1:21151";

/// Two organisations; the first has a second peer.
struct Asked {
    network: Network,
    client: Client,
    /// What the first organisation's second peer, and the second organisation's peer, were asked.
    own: Arc<AtomicUsize>,
    other: Arc<AtomicUsize>,
    own_address: String,
    other_address: String,
}

fn peer(answer: impl Fn() -> ProposalResponse + Clone + Send + Sync + 'static) -> Router {
    let answer = move |_: Request| {
        let answer = answer().encode_to_vec();
        async move { answered(framed(&answer), 0, "") }
    };
    Router::new().route(PATH, post(answer))
}

/// A success that a peer has signed.
fn success(signer: &SigningIdentity) -> ProposalResponse {
    let said = |text: &'static str| Answer {
        status: 200,
        payload: Bytes::from_static(text.as_bytes()),
        ..Answer::default()
    };
    let action = ChaincodeAction {
        response: Some(said("done")),
        chaincode_id: Some(ChaincodeId {
            name: CHAINCODE.to_owned(),
            version: "1".to_owned(),
            ..ChaincodeId::default()
        }),
        ..ChaincodeAction::default()
    };
    let payload = ProposalResponsePayload {
        extension: action.encode_to_vec().into(),
        ..ProposalResponsePayload::default()
    };
    let payload = Bytes::from(payload.encode_to_vec());
    let endorser = signer.serialized().clone();
    let call = ChaincodeCall {
        name: CHAINCODE.to_owned(),
        ..ChaincodeCall::default()
    };
    ProposalResponse {
        response: Some(said("what nobody signed")),
        endorsement: Some(Endorsement {
            signature: signer.sign(&[&payload[..], &endorser].concat()),
            endorser,
        }),
        payload,
        interest: Some(ChaincodeInterest {
            chaincodes: vec![call],
        }),
        ..ProposalResponse::default()
    }
}

fn failure(text: &str) -> ProposalResponse {
    ProposalResponse {
        response: Some(Answer {
            status: 500,
            message: text.to_owned(),
            ..Answer::default()
        }),
        ..ProposalResponse::default()
    }
}

async fn connected(router: Router) -> Client {
    let (listener, address) = place().await;
    serve(listener, router);
    let target = Target {
        address,
        dial_timeout: Duration::from_secs(3),
        tls: None,
    };
    Client::connect(&target).await.unwrap()
}

fn proposing(network: &Network, chaincode: &str, name: &str, args: Vec<Bytes>) -> Proposing {
    Proposing {
        chaincode: chaincode.to_owned(),
        args: [vec![Bytes::copy_from_slice(name.as_bytes())], args].concat(),
        is_init: false,
        transient: BTreeMap::new(),
        nonce: sha256([name.as_bytes(), chaincode.as_bytes()])[..24]
            .try_into()
            .unwrap(),
        now: quire_peer::Clock::now(&*network.one.clock),
    }
}

impl Asked {
    /// The second peer of the first organisation answers so.
    async fn new(answer: impl FnOnce(&Network) -> ProposalResponse) -> Self {
        let (own_listener, own_address) = place().await;
        let (other_listener, other_address) = place().await;
        let network = Network::new(std::slice::from_ref(&other_address)).await;
        let answer = answer(&network);
        let own = serve(own_listener, peer(move || answer.clone()));
        let other = serve(other_listener, network.two.router());
        let anchors = format!("{OWN} {own_address}");
        let either = "OR('Org1MSP.peer', 'Org2MSP.peer')";
        network
            .configure(either, |config| {
                edit::set(config, "anchor-peers.Org1MSP", &anchors).unwrap();
                let lifecycle = "/Channel/Application/LifecycleEndorsement";
                edit::set_policy(config, lifecycle, either).unwrap();
            })
            .await;
        let client = connected(network.one.router()).await;
        let asked = Self {
            network,
            client,
            own,
            other,
            own_address,
            other_address,
        };
        asked.define().await;
        asked
    }

    async fn define(&self) {
        let admin = self.network.one.identity("admin", Role::Admin);
        let application = Application::new(self.client.clone(), admin, CHANNEL);
        let package = LocalPackage {
            package_id: "trade:1".to_owned(),
        };
        let approve = ApproveChaincodeDefinitionForMyOrgArgs {
            sequence: 1,
            name: CHAINCODE.to_owned(),
            version: "1".to_owned(),
            source: Some(ChaincodeSource {
                r#type: Some(SourceKind::LocalPackage(package)),
            }),
            ..ApproveChaincodeDefinitionForMyOrgArgs::default()
        };
        let commit = CommitChaincodeDefinitionArgs {
            sequence: 1,
            name: CHAINCODE.to_owned(),
            version: "1".to_owned(),
            ..CommitChaincodeDefinitionArgs::default()
        };
        for (function, args) in [
            (
                "ApproveChaincodeDefinitionForMyOrg",
                approve.encode_to_vec(),
            ),
            ("CommitChaincodeDefinition", commit.encode_to_vec()),
        ] {
            let call = proposing(&self.network, "_lifecycle", function, vec![args.into()]);
            let verdict = application.submit(call).await.unwrap();
            assert_eq!(verdict.result, 0, "{function}");
        }
        self.own.store(0, Ordering::SeqCst);
        self.other.store(0, Ordering::SeqCst);
    }

    async fn evaluate(
        &self,
        chaincode: &str,
        args: &[&str],
        named: &[&str],
    ) -> Result<Answer, Status> {
        let given = args.iter().skip(1);
        let given = given.map(|arg| Bytes::copy_from_slice(arg.as_bytes()));
        let call = proposing(&self.network, chaincode, args[0], given.collect());
        let call = call.sign(&self.network.one.client, CHANNEL);
        let request = EvaluateRequest {
            transaction_id: call.transaction_id,
            channel_id: CHANNEL.to_owned(),
            proposed_transaction: Some(call.proposal),
            target_organizations: named.iter().map(|id| (*id).to_owned()).collect(),
        };
        let answered = self.client.evaluate(request).await?;
        Ok(answered.result.unwrap())
    }

    async fn endorse(&self, named: &[&str]) -> Result<Vec<Endorsement>, Status> {
        let call = proposing(&self.network, CHAINCODE, "sell", Vec::new());
        let call = call.sign(&self.network.one.client, CHANNEL);
        let request = EndorseRequest {
            transaction_id: call.transaction_id,
            channel_id: CHANNEL.to_owned(),
            proposed_transaction: Some(call.proposal),
            endorsing_organizations: named.iter().map(|id| (*id).to_owned()).collect(),
        };
        let endorsed = self.client.endorse(request).await?;
        let envelope = endorsed.prepared_transaction.unwrap().encode_to_vec();
        let opened = quire_wire::transaction::Opened::read(&envelope.into()).unwrap();
        Ok(opened.endorsed_call().unwrap().endorsements)
    }

    /// How often the first organisation's second peer was asked, and the second organisation's peer.
    fn counts(&self) -> (usize, usize) {
        let count = |asked: &AtomicUsize| asked.swap(0, Ordering::SeqCst);
        (count(&self.own), count(&self.other))
    }
}

/// Who failed, and what they said.
fn details(status: &Status) -> Vec<(String, String)> {
    let status = RpcStatus::decode(status.details()).unwrap();
    let details = status.details.iter().map(|detail| {
        let detail = ErrorDetail::decode(detail.value.clone()).unwrap();
        (detail.address, detail.message)
    });
    details.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_another_organization_is_answered_by_its_peer() {
    let asked = Asked::new(|_| failure("not here")).await;
    let height = asked.network.first.channel.reader.height();
    asked.network.reach(&asked.network.second).await;
    for (named, expected) in [
        (&["Org2MSP"][..], (0, 1)),
        (&["Org1MSP"], (0, 0)),
        (&["Org2MSP", "Org1MSP"], (0, 0)),
        (&[], (0, 0)),
    ] {
        let info = asked
            .evaluate("qscc", &["GetChainInfo", CHANNEL], named)
            .await
            .unwrap();
        let info = quire_wire::query::BlockchainInfo::decode(info.payload).unwrap();
        assert_eq!(
            (info.height, asked.counts()),
            (height, expected),
            "{named:?}"
        );
    }
    let nobody = asked.evaluate("qscc", &["GetChainInfo", CHANNEL], &["Org3MSP"]);
    let nobody = nobody.await.unwrap_err();
    let text = "no peers available to evaluate chaincode qscc in channel main";
    assert_eq!(
        (nobody.code(), nobody.message()),
        (Code::FailedPrecondition, text)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_this_node_cannot_run_a_chaincode_another_peer_of_its_organization_does() {
    let asked = Asked::new(|network| success(&network.one.identity("peer1", Role::Peer))).await;
    let answer = asked.evaluate(CHAINCODE, &["look"], &[]).await.unwrap();
    assert_eq!(answer.payload, "done", "what the peer has signed");
    assert_eq!(asked.counts(), (1, 0));
    for named in [&[][..], &["Org1MSP"]] {
        let endorsements = asked.endorse(named).await.unwrap();
        let peer = asked.network.one.organization.identity("peer1");
        let peer = peer.unwrap().unwrap();
        assert_eq!(endorsements.len(), 1);
        assert_eq!(endorsements[0].endorser, peer.serialized());
        assert_eq!(asked.counts(), (1, 0), "{named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_peer_that_could_not_run_it_is_named() {
    let asked = Asked::new(|_| failure("not here")).await;
    let refused = asked.evaluate(CHAINCODE, &["look"], &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let text = "failed to evaluate transaction, see attached details for more info";
    assert_eq!(refused.message(), text);
    let told = details(&refused);
    let who: Vec<&str> = told.iter().map(|(address, _)| &**address).collect();
    assert_eq!(who, [OWN, &asked.own_address, &asked.other_address]);
    assert_eq!(told[1].1, "not here");

    for (named, others) in [
        (&[][..], 1),
        (&["Org1MSP"], 1),
        (&["Org1MSP", "Org2MSP"], 2),
    ] {
        let refused = asked.endorse(named).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted, "{named:?}");
        assert_eq!(details(&refused).len(), 1 + others, "{named:?}");
        assert_eq!(details(&refused)[0].0, OWN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_organization_has_not_signed_is_none() {
    let asked = Asked::new(|network| success(&network.two.endorser())).await;
    let refused = asked.evaluate(CHAINCODE, &["look"], &[]).await.unwrap_err();
    let told = details(&refused);
    assert!(told[1].1.contains("is a member of Org2MSP"), "{told:?}");
    let refused = asked.endorse(&[]).await.unwrap_err();
    let told = details(&refused);
    assert!(told[1].1.contains("is a member of Org2MSP"), "{told:?}");
}
