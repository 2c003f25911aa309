//! System chaincodes in a channel: endorsed as others, by rights of their own; and a channel without the built-in one.

use bytes::Bytes;
use quire_chaincode::{Call, ChaincodeError};
use quire_identity::{Role, SigningIdentity};
use quire_ledger::CreateOptions;
use quire_peer::{Origin, ProposalError, SubmitError, Submitter as _};
use quire_wire::config::{Acls, ApiResource, ConfigValue};
use quire_wire::peer::{ChaincodeAction, ProposalResponsePayload, Response};
use quire_wire::query::{BlockchainInfo, ChannelQueryResponse};
use quire_wire::{Code, Message as _};

use crate::kit::{CHANNEL, Client, Node, Running, outcome, proposal, put};

fn call(chaincode: &str, args: &[&str]) -> Call {
    Call {
        chaincode: chaincode.to_owned(),
        function: args[0].to_owned(),
        args: args[1..]
            .iter()
            .map(|one| Bytes::copy_from_slice(one.as_bytes()))
            .collect(),
    }
}

/// What the peer answers somebody, without looking at an endorsement.
fn answer(channel: &Running, who: &SigningIdentity, call: &Call) -> Response {
    let answer = channel.endorse(&Client::new(who, call).proposal()).unwrap();
    answer.response.unwrap()
}

/// Names a policy for a resource in the channel's configuration.
pub(crate) fn guard(node: &Node, channel: &Running, resource: &str, policy: &str) {
    let acls = Acls {
        acls: [(
            resource.to_owned(),
            ApiResource {
                policy_ref: policy.to_owned(),
            },
        )]
        .into(),
    };
    let admin = node.admin();
    let change = |root: &mut quire_wire::config::ConfigGroup| {
        let application = root.groups.get_mut("Application").unwrap();
        let value = application.values.entry("ACLs".to_owned());
        let value = value.or_insert_with(|| ConfigValue {
            mod_policy: "Admins".to_owned(),
            ..ConfigValue::default()
        });
        value.value = acls.encode_to_vec().into();
    };
    let update = node.update(channel, change, &[&admin]);
    let ordered = channel.peer().order(update, Origin::Outside).unwrap();
    assert!(outcome(ordered).unwrap().code.is_valid());
}

#[test]
fn a_call_of_a_system_chaincode_is_endorsed_and_reads_and_writes_nothing() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let info = call("qscc", &["GetChainInfo", CHANNEL]);
    let answer = channel
        .endorse(&Client::new(&node.client, &info).proposal())
        .unwrap();
    assert!(answer.endorsement.is_some());
    let payload = ProposalResponsePayload::decode(answer.payload).unwrap();
    let action = ChaincodeAction::decode(payload.extension).unwrap();
    assert!(action.results.is_empty() && action.events.is_empty());
    let id = action.chaincode_id.unwrap();
    assert_eq!((&*id.name, &*id.version), ("qscc", "syscc"));
    let response = answer.response.unwrap();
    assert_eq!(action.response.as_ref(), Some(&response));
    let told = BlockchainInfo::decode(response.payload.clone()).unwrap();
    assert_eq!(told.height, 1);
    assert!(told.previous_block_hash.is_empty());

    // The same by REST, which has the node's own clients.
    let evaluated = channel.peer().evaluate(proposal(&node.client, info)).done();
    assert_eq!(evaluated.unwrap().unwrap().result, response.payload);
    channel.stop();
}

#[test]
fn system_chaincodes_are_for_those_who_may_read_and_not_only_for_those_who_may_propose() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let peer = node.identity("somepeer", Role::Peer);
    let refused = channel.endorse(&Client::new(&peer, &put(1)).proposal());
    assert!(matches!(refused, Err(ProposalError::NotAProposer(_))));
    for args in [
        &["qscc", "GetChainInfo", CHANNEL][..],
        &["cscc", "GetConfigBlock", CHANNEL],
        &["cscc", "GetChannels"],
        &["lscc", "getchaincodes"],
    ] {
        let answer = answer(&channel, &peer, &call(args[0], &args[1..]));
        assert_eq!(answer.status, 200, "{args:?}: {}", answer.message);
    }
    // Of the node's own resources, some are for its administrators.
    for args in [
        &["cscc", "JoinChain", "block"][..],
        &["lscc", "getinstalledchaincodes"],
        &["_lifecycle", "QueryInstalledChaincodes", ""],
    ] {
        let call = call(args[0], &args[1..]);
        let refused = answer(&channel, &node.client, &call);
        assert_eq!(refused.status, 500);
        let text = "the administrators of Org1MSP";
        assert!(refused.message.contains(text), "{}", refused.message);
        let admitted = answer(&channel, &node.admin(), &call);
        assert!(!admitted.message.contains(text), "{}", admitted.message);
    }
    let unknown = answer(&channel, &node.client, &call("_lifecycle", &["Nope", ""]));
    assert!(
        unknown
            .message
            .ends_with("Unmapped policy for _lifecycle/Nope")
    );
    channel.stop();
}

#[test]
fn a_node_tells_the_channels_that_it_has() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let told = answer(&channel, &node.client, &call("cscc", &["GetChannels"]));
    let told = ChannelQueryResponse::decode(told.payload).unwrap().channels;
    let names: Vec<_> = told.iter().map(|one| &*one.channel_id).collect();
    assert_eq!(names, [CHANNEL]);
    channel.stop();
}

#[test]
fn a_channel_says_who_may_use_a_function() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    guard(
        &node,
        &channel,
        "qscc/GetChainInfo",
        "/Channel/Application/Admins",
    );
    let info = call("qscc", &["GetChainInfo", CHANNEL]);
    let refused = answer(&channel, &node.client, &info);
    assert_eq!(refused.status, 500);
    let text = "access denied for [GetChainInfo][main]: [";
    assert!(refused.message.starts_with(text), "{}", refused.message);
    assert_eq!(answer(&channel, &node.admin(), &info).status, 200);
    let block = call("qscc", &["GetBlockByNumber", CHANNEL, "0"]);
    assert_eq!(answer(&channel, &node.client, &block).status, 200);
    channel.stop();
}

#[test]
fn a_channel_may_forbid_the_built_in_chaincode() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let before = node.submit(&channel, 1).unwrap();
    assert!(outcome(before.outcome).unwrap().code.is_valid());
    guard(
        &node,
        &channel,
        "documents/Submit",
        "/Channel/Application/Nobody",
    );
    for who in [&node.client, &node.admin()] {
        let refused = channel.submit_as(who, 2).unwrap_err();
        let not_allowed = SubmitError::Chaincode(ChaincodeError::NotAllowed(String::new()));
        assert_eq!(
            std::mem::discriminant(&refused),
            std::mem::discriminant(&not_allowed),
            "{refused:?}"
        );
        let proposed = channel
            .endorse(&Client::new(who, &put(2)).proposal())
            .unwrap();
        assert!(proposed.endorsement.is_none());
        assert_eq!(proposed.response.unwrap().status, 403);
    }
    // What is there can be read, and other chaincodes are called as before.
    let get = call("orders", &["get", "\"1\""]);
    let read = channel.peer().evaluate(proposal(&node.client, get)).done();
    assert_eq!(read.unwrap().unwrap().result, "1");
    let info = call("qscc", &["GetChainInfo", CHANNEL]);
    assert_eq!(answer(&channel, &node.client, &info).status, 200);

    guard(
        &node,
        &channel,
        "documents/Submit",
        "/Channel/Application/Admins",
    );
    assert!(channel.submit_as(&node.client, 2).is_err());
    let admitted = channel.submit_as(&node.admin(), 2).unwrap();
    assert!(outcome(admitted.outcome).unwrap().code.is_valid());
    channel.stop();
}

/// Peers of Fabric that follow the channel know no built-in chaincode, and would come to another state.
#[test]
fn where_nobody_may_call_the_built_in_chaincode_the_verdicts_are_those_of_fabric() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let verdict = |envelope: Bytes| {
        let ordered = channel.peer().order(envelope, Origin::Outside).unwrap();
        outcome(ordered).unwrap().code
    };
    let alice = node.identity("alice", Role::Client);
    let [one, two] = [&node.client, &alice].map(|who| {
        let client = Client::new(who, &put(1));
        let response = channel.endorse(&client.proposal()).unwrap();
        client.envelope(&response)
    });
    let info = Client::new(&node.client, &call("qscc", &["GetChainInfo", CHANNEL]));
    let mut response = channel.endorse(&info.proposal()).unwrap();
    let mut payload = ProposalResponsePayload::decode(response.payload).unwrap();
    let mut action = ChaincodeAction::decode(payload.extension).unwrap();
    action.chaincode_id.as_mut().unwrap().version.clear();
    // Fabric asks for the version before it looks at the event.
    action.events = b"no event"[..].into();
    payload.extension = action.encode_to_vec().into();
    response.payload = payload.encode_to_vec().into();
    let without_version = info.envelope(&response);

    let nobody = "/Channel/Application/Nobody";
    guard(&node, &channel, "documents/Submit", nobody);
    assert_eq!(verdict(one), Code::INVALID_CHAINCODE);
    assert_eq!(verdict(without_version), Code::INVALID_CHAINCODE);
    let read = channel.reader().snapshot().get("orders", "1").unwrap();
    assert!(read.is_none());

    let admins = "/Channel/Application/Admins";
    guard(&node, &channel, "documents/Submit", admins);
    assert_eq!(verdict(two), Code::VALID);
    channel.stop();
}
