//! `quire orderer`: an orderer alone, whose blocks others judge.

use crate::joining::{succeeded, told, words};
use crate::kit::{Node, run};

use super::kit::{Network, ask, block, height, until, write, written};

fn start(network: &Network, further: &[&str]) -> Node {
    let flags = network.flags(2, 0);
    let flags: Vec<&str> = words(&flags).into_iter().take(4).collect();
    let data = network.data("orderer");
    if !data.exists() {
        let block = network.block.to_str().unwrap();
        let join = ["channel", "join", "--as-orderer", "--block", block];
        let told = succeeded(&run(&[&join[..], &flags].concat(), &data));
        assert!(told.contains("Org2MSP: orders"), "{told}");
    }
    let listen = ["--grpc-listen", &network.orderers[0]];
    Node::start_orderer(&data, &[&flags[..], &listen, further].concat())
}

#[test]
fn an_orderer_alone_orders_and_keeps_blocks_and_judges_nothing() {
    let network = Network::new(1);
    let orderer = start(&network, &[]);
    let peer = network.plain_peer("peer");
    let first = written(&peer, "1");
    assert_eq!(first["blockNumber"], 1, "{first}");
    let client = peer.client();
    for key in 2..20 {
        let answer = write(&client, &key.to_string());
        assert_eq!(answer.json()["code"], "VALID", "{}", answer.text());
    }
    // It has an address for whoever looks after it, and no API.
    let there = orderer.client();
    assert_eq!(there.get("/healthz", "*/*").status, 200);
    assert_eq!(ask(&there, "/v1/channels").status, 404);
    let metrics = there.get("/metrics", "*/*");
    assert!(
        metrics
            .text()
            .contains("ledger_blockchain_height{channel=\"ours\"}")
    );
    orderer.kill();
    let orderer = start(&network, &[]);
    written(&peer, "after");
    // A configuration is in force at the orderer too.
    let with = |arguments: &[&str]| {
        let flags = ["--msp-id", "Org1MSP"];
        run(&[arguments, &flags].concat(), &network.data("peer"))
    };
    let admin = network.crypto.msp("org1", "Admin");
    succeeded(&with(&["identity", "import", "org-admin", &admin]));
    for policy in ["Admins", "Readers"] {
        let path = format!("/Channel/Application/{policy}");
        let set = ["channel", "config", "set", "acl.qscc/GetChainInfo", &path];
        let set = succeeded(&with(&[&set[..], &["--channel", "ours"]].concat()));
        assert!(set.contains("is in force from block"), "{set}");
        written(&peer, policy);
    }
    let tip = height(&client);
    // A node that joins late judges what the orderer did not.
    let late = network.plain_peer("late");
    until("all blocks", &late, || {
        (height(&late.client()) == tip).then_some(())
    });
    let newest = |node: &Node| block(&node.client(), tip - 1);
    assert_eq!(newest(&peer)["commitHash"], newest(&late)["commitHash"]);
    assert!(orderer.stop().success());
    network.check("orderer", 2);
    assert!(peer.stop().success());
    network.check("peer", 1);
    drop(late);
    // Nobody takes its blocks for judged ones.
    let as_node = ["run", "--listen", "127.0.0.1:0", "--msp-id", "Org2MSP"];
    let refused = run(&as_node, &network.data("orderer"));
    let said = told(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("were kept by an orderer alone") && said.contains("quire orderer"),
        "{said}"
    );
    let as_orderer = ["orderer", "--listen", "127.0.0.1:0", "--msp-id", "Org1MSP"];
    let refused = run(&as_orderer, &network.data("peer"));
    let said = told(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("channel ours has state"), "{said}");
    let remote = ["orderer", "--listen", "127.0.0.1:0", "--ordering", "remote"];
    let refused = run(&remote, &network.data("orderer"));
    assert!(told(&refused).contains("--ordering remote is nothing that an orderer alone takes"));
}
