//! Nodes whose orderers are elsewhere: transactions go there, and blocks come from there.

mod hostile;
mod kit;
mod liar;
mod orderer;

use crate::joining::{succeeded, words};
use crate::kit::run;
use kit::{Network, ask, block, height, until, write, written, written_at};

#[test]
fn what_is_written_at_a_node_is_ordered_elsewhere_and_committed_here() {
    let network = Network::new(1);
    let orderer = network.orderer(&[]);
    let peer = network.plain_peer("peer");
    let first = written(&peer, "1");
    assert_eq!(first["blockNumber"], 1, "{first}");
    let client = peer.client();
    assert_eq!(client.json("/v1/channels/ours/state/orders/1")["n"], 1);
    for key in 2..20 {
        let answer = write(&client, &key.to_string());
        assert_eq!(answer.json()["code"], "VALID", "{}", answer.text());
    }
    // The orderer is a node too, and has judged alike.
    let there = orderer.client();
    let heights = (height(&client), height(&there));
    assert_eq!(heights.0, heights.1);
    for number in 0..heights.0 {
        let (here, there) = (block(&client, number), block(&there, number));
        assert_eq!(here["hash"], there["hash"]);
        assert_eq!(here["commitHash"], there["commitHash"]);
    }
    // A retry after a restart is answered from the block.
    assert!(peer.stop().success());
    let peer = network.plain_peer("peer");
    let again = write(&peer.client(), "1");
    assert_eq!(again.json()["transactionId"], first["transactionId"]);
    assert_eq!(height(&peer.client()), heights.0);
    assert!(peer.stop().success());
    network.check("peer", 1);
    assert!(orderer.stop().success());
    network.check("orderer", 2);
}

#[test]
fn an_orderer_that_is_killed_and_comes_back_is_found_again_and_nothing_is_lost_or_doubled() {
    let network = Network::new(1);
    let orderer = network.orderer(&[]);
    let peer = network.plain_peer("peer");
    written(&peer, "1");
    orderer.kill();
    let client = peer.client();
    let refused = until("a refusal", &peer, || {
        Some(write(&client, "2")).filter(|answer| answer.status == 503)
    });
    assert_eq!(refused.json()["code"], "ORDERER_UNAVAILABLE");
    let ready = ask(&client, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("the order cannot be reached"),
        "{}",
        ready.text()
    );
    // Reads go on.
    assert_eq!(client.json("/v1/channels/ours/state/orders/1")["n"], 1);
    let orderer = network.orderer(&[]);
    written(&peer, "2");
    written(&peer, "3");
    let ready = until("ready", &peer, || {
        Some(ask(&client, "/readyz")).filter(|answer| answer.status == 200)
    });
    drop(ready);
    let history = client.json("/v1/channels/ours/history/orders/2");
    assert_eq!(
        history["entries"].as_array().map(Vec::len),
        Some(1),
        "{history}"
    );
    assert!(peer.stop().success());
    network.check("peer", 1);
    drop(orderer);
}

#[test]
fn a_node_that_joins_late_takes_all_blocks_in_and_is_another_chain_to_nobody() {
    let network = Network::new(1);
    let orderer = network.orderer(&[]);
    let first = network.plain_peer("peer");
    for key in 0..50 {
        written(&first, &key.to_string());
    }
    let late = network.plain_peer("late");
    let tip = height(&first.client());
    until("all blocks", &late, || {
        (height(&late.client()) == tip).then_some(())
    });
    let newest = |node: &crate::kit::Node| block(&node.client(), tip - 1);
    assert_eq!(newest(&first)["commitHash"], newest(&late)["commitHash"]);
    written(&late, "late");
    assert!(late.stop().success());
    drop((first, orderer));
    // Once it has followed others, it does not begin to order by itself.
    let flags = ["run", "--listen", "127.0.0.1:0", "--msp-id", "Org1MSP"];
    let alone = run(&flags, &network.data("late"));
    let told = crate::joining::told(&alone);
    assert_eq!(alone.status.code(), Some(2), "{told}");
    assert!(
        told.contains("orderers elsewhere make the blocks of channel ours"),
        "{told}"
    );
    assert!(told.contains("--ordering remote"), "{told}");
    network.check("late", 1);
}

#[test]
fn a_node_whose_orderers_are_elsewhere_makes_no_channel_and_says_so() {
    let network = Network::new(1);
    let data = network.data("empty");
    let node = crate::kit::Node::start_with(&data, &["--ordering", "remote"]);
    let channels = node.client().json("/v1/channels");
    assert_eq!(
        channels["channels"].as_array().map(Vec::len),
        Some(0),
        "{channels}"
    );
    let create = run(&["channel", "create", "mine"], &data);
    let told = crate::joining::told(&create);
    assert_eq!(create.status.code(), Some(2), "{told}");
    assert!(
        told.contains("the orderers of this node's channels are elsewhere"),
        "{told}"
    );
    drop(node);
    // What it had ordered itself before stays, and is not served.
    let own = network.data("own");
    succeeded(&run(&["channel", "create", "main"], &own));
    let refused = run(
        &["run", "--listen", "127.0.0.1:0", "--ordering", "remote"],
        &own,
    );
    let told = crate::joining::told(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("names no orderers"), "{told}");
}

#[test]
fn orderers_are_spoken_with_by_tls_that_their_organisation_vouches_for() {
    let network = Network::new(1);
    let tls = |org: &str, name: &str| {
        let peer = network
            .crypto
            .org(org)
            .join(format!("peers/peer0.{org}.example.com"));
        peer.join("tls").join(name).to_str().unwrap().to_owned()
    };
    let (certificate, key) = (tls("org2", "server.crt"), tls("org2", "server.key"));
    let clients = tls("org1", "ca.crt");
    let orderer = network.orderer(&[
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
        "--tls-client-ca",
        &clients,
    ]);
    let peer = network.peer("peer", &[]);
    written(&peer, "1");
    assert!(peer.stop().success());
    // One that shows a certificate, to which its requests are bound.
    let (certificate, key) = (tls("org1", "server.crt"), tls("org1", "server.key"));
    let shows = [
        "--orderer-tls-cert",
        &certificate,
        "--orderer-tls-key",
        &key,
    ];
    let peer = network.peer("peer", &shows);
    written(&peer, "2");
    assert!(peer.stop().success());
    // Nobody else vouches for them.
    let peer = network.peer("peer", &["--orderer-ca", &clients]);
    until("the certificate to be refused", &peer, || {
        let log = peer.log();
        let refused =
            |line: &&str| line.contains("an orderer is left") && line.contains("UnknownIssuer");
        log.lines().find(refused).map(drop)
    });
    assert_eq!(write(&peer.client(), "3").status, 503);
    drop(orderer);
}

#[test]
fn an_update_of_the_configuration_is_made_by_the_orderers_and_told_when_it_is_in_force_here() {
    let network = Network::at(
        crate::joining::Crypto::new(),
        vec!["orderer.example.com:7050".to_owned()],
    );
    let address = kit::free_address();
    let orderer = network.orderer_at(&address, &[]);
    let at = format!("orderer.example.com:7050={address}");
    let peer = network.peer(
        "peer",
        &["--insecure-plain-orderers", "--orderer-override", &at],
    );
    written(&peer, "1");
    let data = network.data("peer");
    let with = |arguments: &[&str]| run(&[arguments, &["--msp-id", "Org1MSP"]].concat(), &data);
    let admin = network.crypto.msp("org1", "Admin");
    succeeded(&with(&["identity", "import", "org-admin", &admin]));
    let set = [
        "channel",
        "config",
        "set",
        "acl.qscc/GetChainInfo",
        "/Channel/Application/Admins",
    ];
    let told = succeeded(&with(&[&set[..], &["--channel", "ours"]].concat()));
    assert!(told.contains("is in force from block 2"), "{told}");
    written(&peer, "2");
    let set = [
        "channel",
        "config",
        "set",
        "acl.qscc/GetChainInfo",
        "/Channel/Application/Readers",
    ];
    let told = succeeded(&with(&[&set[..], &["--channel", "ours"]].concat()));
    assert!(told.contains("is in force from block 4"), "{told}");
    // A transaction that the orderers do not let in is told in their words.
    assert_eq!(height(&peer.client()), height(&orderer.client()));
    assert!(peer.stop().success());
    network.check("peer", 1);
}

#[test]
fn where_one_of_two_orderers_dies_the_other_one_is_asked_and_no_write_is_lost_or_doubled() {
    let network = Network::new(2);
    let real = kit::free_address();
    let orderer = network.orderer_at(&real, &[]);
    let listen = |n: usize| liar::Liar::listen(&network.orderers[n], &real, liar::Lie::None);
    let mut fronts = [Some(listen(0)), Some(listen(1))];
    let peer = network.plain_peer("peer");
    written(&peer, "first");
    let done = std::sync::atomic::AtomicBool::new(false);
    let written_by = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (client, done) = (peer.client(), &done);
                scope.spawn(move || {
                    let mut count = 0;
                    while !done.load(std::sync::atomic::Ordering::SeqCst) {
                        written_at(&client, &format!("w{writer}-{count}"));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for turn in 0..6 {
            let front = turn % 2;
            drop(fronts[front].take());
            // Something is written without it.
            let before = height(&peer.client());
            until("a block without it", &peer, || {
                (height(&peer.client()) > before + 2).then_some(())
            });
            fronts[front] = Some(listen(front));
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect::<Vec<u32>>()
    });
    let client = peer.client();
    for (writer, count) in written_by.into_iter().enumerate() {
        assert!(count > 0);
        for n in 0..count {
            let history = client.json(&format!("/v1/channels/ours/history/orders/w{writer}-{n}"));
            assert_eq!(
                history["entries"].as_array().map(Vec::len),
                Some(1),
                "{history}"
            );
        }
    }
    assert!(peer.stop().success());
    network.check("peer", 1);
    drop(orderer);
}

#[test]
fn a_channel_that_follows_orderers_elsewhere_is_never_ordered_here() {
    // Org2MSP orders, so nothing in the configuration forbids its nodes to make blocks.
    let network = Network::new(1);
    let flags = network.flags(2, 0);
    let flags = words(&flags);
    let block = network.block.to_str().unwrap();
    let join = ["channel", "join", "--block", block, "--ordering", "remote"];
    let data = network.data("follower");
    succeeded(&run(&[&join, &flags[..]].concat(), &data));
    let alone = ["run", "--listen", "127.0.0.1:0", "--grpc-listen", "none"];
    let alone = run(&[&alone, &flags[..]].concat(), &data);
    let told = crate::joining::told(&alone);
    assert_eq!(alone.status.code(), Some(2), "{told}");
    assert!(
        told.contains("orderers elsewhere make the blocks of channel ours"),
        "{told}"
    );
}
