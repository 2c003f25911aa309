//! `peer channel`.

use std::fs;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::common::{
    Block, BlockHeader, BlockMetadata, ChannelHeader, Envelope, Header, LastConfig, Metadata,
    OrdererBlockMetadata, Payload, header_type,
};
use quire_wire::config::ConfigUpdateEnvelope;
use quire_wire::deliver::{
    BroadcastResponse, DeliverResponse, Position, Response as Event, SeekInfo,
};
use quire_wire::peer::SignedProposal;
use quire_wire::query::{BlockchainInfo, ChannelInfo, ChannelQueryResponse};

use super::{BROADCAST, PROCESS, User, answered, opened, proposed, response};
use crate::grpc::{Answer, Served, serve};

const ORDERERS: &str = "/orderer.AtomicBroadcast/Deliver";
const PEERS: &str = "/protos.Deliver/Deliver";

#[test]
fn a_peers_channels_and_their_heights_are_printed_as_fabrics_tool_prints_them() {
    let user = User::new();
    let served = serve(|_, message| {
        let call = proposed(&SignedProposal::decode(message).unwrap());
        assert_eq!(call.channel.channel_id, "");
        let answer = if call.chaincode == "cscc" {
            assert_eq!(call.args, ["GetChannels"]);
            let channels = ["main", "other"].map(|name| ChannelInfo {
                channel_id: name.to_owned(),
            });
            let channels = channels.into();
            ChannelQueryResponse { channels }.encode_to_vec()
        } else {
            assert_eq!(call.chaincode, "qscc");
            assert_eq!(call.args, ["GetChainInfo", "main"]);
            let info = BlockchainInfo {
                height: 3,
                current_block_hash: "<>".into(),
                ..BlockchainInfo::default()
            };
            info.encode_to_vec()
        };
        answered(response(200, "", answer))
    });
    let run = user.run(&served.address, &["channel", "list"]).done();
    assert_eq!(run.text(), "Channels peers has joined: \nmain\nother\n");
    let run = user
        .run(&served.address, &["channel", "getinfo", "-c", "main"])
        .done();
    assert_eq!(
        run.text(),
        "Blockchain info: {\"height\":3,\"currentBlockHash\":\"PD4=\"}\n"
    );

    let served = serve(|_, _| answered(response(500, "Invalid chain ID, main", "")));
    let run = user.run(&served.address, &["channel", "getinfo", "-c", "main"]);
    let expected = "Error: received bad response, status 500: Invalid chain ID, main\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
}

#[test]
fn a_peer_joins_by_a_block_and_may_refuse() {
    let user = User::new();
    let block = user.path("main.block");
    fs::write(&block, "a block").unwrap();
    let join = ["channel", "join", "-b", &block];
    let served = serve(|_, _| answered(response(200, "", "")));
    let run = user.run(&served.address, &join).done();
    assert!(
        run.errors
            .ends_with("executeJoin -> Successfully submitted proposal to join channel\n")
    );
    let call = proposed(&served.asked::<SignedProposal>(PROCESS)[0]);
    assert_eq!(
        (&*call.chaincode, &call.args[..]),
        ("cscc", &["JoinChain".into(), Bytes::from("a block")][..])
    );

    let served = serve(|_, _| answered(response(500, "it exists", "")));
    let run = user.run(&served.address, &join);
    let expected = "Error: proposal failed (err: bad proposal response 500: it exists)\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
}

fn block(number: u64) -> Block {
    let last_config = Some(LastConfig { index: 4 });
    let orderer = OrdererBlockMetadata {
        last_config,
        ..OrdererBlockMetadata::default()
    };
    let signatures = Metadata {
        value: orderer.encode_to_vec().into(),
        ..Metadata::default()
    };
    Block {
        header: Some(BlockHeader {
            number,
            ..BlockHeader::default()
        }),
        metadata: Some(BlockMetadata {
            metadata: vec![signatures.encode_to_vec().into()],
        }),
        ..Block::default()
    }
}

/// A chain of ten blocks.
fn chain() -> Served {
    serve(|_, message| {
        let seek = seek(&Envelope::decode(message).unwrap());
        assert_eq!(seek.start, seek.stop);
        let event = match seek.start.unwrap().position.unwrap() {
            Position::Oldest(_) => Event::Block(block(0)),
            Position::Newest(_) => Event::Block(block(9)),
            Position::Specified(at) if at.number < 10 => Event::Block(block(at.number)),
            _ => Event::Status(404),
        };
        Answer::of(&DeliverResponse::from(event))
    })
}

fn seek(envelope: &Envelope) -> SeekInfo {
    SeekInfo::decode(opened(envelope).data).unwrap()
}

#[test]
fn blocks_come_from_the_orderer_that_is_named_or_else_from_the_peer() {
    let user = User::new();
    let (peer, orderer) = (chain(), chain());
    let file = user.path("out.block");
    let number = || {
        let block = Block::decode(Bytes::from(fs::read(&file).unwrap())).unwrap();
        block.header.unwrap().number
    };
    for (target, expected) in [("oldest", 0), ("newest", 9), ("config", 4), ("7", 7)] {
        let fetch = ["channel", "fetch", target, &file, "-c", "main"];
        user.run(&peer.address, &fetch).done();
        assert_eq!(number(), expected, "{target}");
    }
    assert_eq!(peer.asked::<Envelope>(PEERS).len(), 5);
    let fetch = [
        "channel",
        "fetch",
        "3",
        &file,
        "-c",
        "main",
        "-o",
        &orderer.address,
        "--bestEffort",
    ];
    user.run(&peer.address, &fetch).done();
    assert_eq!(number(), 3);
    let asked = orderer.asked::<Envelope>(ORDERERS);
    assert_eq!(seek(&asked[0]).error_response, 1);
    assert_eq!(opened(&asked[0]).channel_header.channel_id, "main");
    assert_eq!(peer.asked::<Envelope>(PEERS).len(), 5);

    for (target, expected) in [
        ("99", "Error: can't read the block: &{NOT_FOUND}\n"),
        ("last", "Error: fetch target illegal: last\n"),
    ] {
        let run = user.run(
            &peer.address,
            &["channel", "fetch", target, &file, "-c", "main"],
        );
        assert_eq!((run.status, &*run.errors), (1, expected));
    }
}

/// An envelope of a type, for a channel.
fn envelope(kind: i32, channel: &str, data: &[u8]) -> Vec<u8> {
    let header = ChannelHeader {
        r#type: kind,
        channel_id: channel.to_owned(),
        ..ChannelHeader::default()
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: header.encode_to_vec().into(),
            ..Header::default()
        }),
        data: Bytes::copy_from_slice(data),
    };
    let payload = payload.encode_to_vec().into();
    let signature = Bytes::new();
    Envelope { payload, signature }.encode_to_vec()
}

#[test]
fn an_update_is_signed_in_its_file_and_again_by_whoever_sends_it() {
    let user = User::new();
    let file = user.path("update.tx");
    let update = ConfigUpdateEnvelope {
        config_update: "an update".into(),
        ..ConfigUpdateEnvelope::default()
    };
    let update = update.encode_to_vec();
    fs::write(&file, envelope(header_type::CONFIG_UPDATE, "one", &update)).unwrap();
    let served = serve(|path, _| match path {
        BROADCAST => Answer::of(&BroadcastResponse {
            status: 200,
            info: String::new(),
        }),
        _ => Answer::of(&DeliverResponse::from(Event::Block(block(0)))),
    });
    let to = ["-o", &served.address];
    let sign = ["channel", "signconfigtx", "-f", &file];
    user.run("127.0.0.1:1", &sign).done();
    let update = [&["channel", "update", "-c", "one", "-f", &file], &to[..]].concat();
    let run = user.run("127.0.0.1:1", &update).done();
    assert!(
        run.errors
            .ends_with("update -> Successfully submitted channel update\n")
    );
    let sent = opened(&served.asked::<Envelope>(BROADCAST)[0]);
    let update = ConfigUpdateEnvelope::decode(sent.data).unwrap();
    assert_eq!(update.signatures.len(), 2);
    assert_eq!(sent.channel_header.channel_id, "one");

    let output = user.path("first.block");
    let create = [
        "channel",
        "create",
        "-c",
        "one",
        "-f",
        &file,
        "--outputBlock",
    ];
    let create = [&create[..], &[&output], &to].concat();
    user.run("127.0.0.1:1", &create).done();
    assert_eq!(fs::read(&output).unwrap(), block(0).encode_to_vec());

    let other = [&["channel", "update", "-c", "two", "-f", &file], &to[..]].concat();
    let run = user.run("127.0.0.1:1", &other);
    let expected = "Error: Invalid channel create transaction : mismatched channel ID one != two\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
    let run = user.run(
        "127.0.0.1:1",
        &["channel", "update", "-c", "one", "-f", &file],
    );
    let expected = "Error: ordering service endpoint  is not valid or missing\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
}

#[test]
fn what_is_no_update_is_not_signed() {
    let user = User::new();
    let file = user.path("update.tx");
    for (content, expected) in [
        (envelope(3, "one", b""), "bad type"),
        (envelope(2, "", b""), "empty channel id"),
        (Envelope::default().encode_to_vec(), "bad header"),
    ] {
        fs::write(&file, &content).unwrap();
        let run = user.run("127.0.0.1:1", &["channel", "signconfigtx", "-f", &file]);
        let expected = format!("Error: Invalid channel create transaction : {expected}\n");
        assert_eq!((run.status, run.errors), (1, expected));
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}
