//! Orderers that nobody means well with: a node believes no word of theirs, names them, and goes on elsewhere.

use crate::joining::Crypto;

use super::kit::{Network, ask, block, free_address, height, until, write, written};
use super::liar::{Liar, Lie};

/// A channel with blocks, whose orderer is behind two servers: one that lies, and one that does not.
struct Between {
    network: Network,
    real: String,
    height: u64,
    orderer: crate::kit::Node,
}

impl Between {
    fn new() -> Self {
        let (liar, honest, real) = (free_address(), free_address(), free_address());
        let network = Network::at(Crypto::new(), vec![liar, honest]);
        let orderer = network.orderer_at(&real, &[]);
        // Blocks are there before anybody is asked for them.
        let _between = Liar::listen(&network.orderers[1], &real, Lie::None);
        let first = network.plain_peer("first");
        for key in 0..5 {
            written(&first, &key.to_string());
        }
        let height = height(&first.client());
        assert!(first.stop().success());
        Self {
            network,
            real,
            height,
            orderer,
        }
    }

    /// A node that hears this lie first, and then the truth elsewhere.
    fn hears(&self, lie: Lie, reason: &str) {
        let name = format!("{lie:?}");
        let liar = &self.network.orderers[0];
        let _lies = Liar::listen(liar, &self.real, lie);
        let node = self.network.plain_peer(&name);
        let left = |line: &str| {
            line.contains("an orderer is left") && line.contains(liar) && line.contains(reason)
        };
        until(&format!("{lie:?} to be named"), &node, || {
            node.log().lines().any(left).then_some(())
        });
        let client = node.client();
        assert_eq!(height(&client), 1, "{lie:?}");
        let health = ask(&client, "/healthz");
        assert_eq!(health.status, 503, "{}", health.text());
        let refused = until("a refusal", &node, || {
            Some(write(&client, "refused")).filter(|answer| answer.status == 503)
        });
        assert_eq!(refused.json()["code"], "ORDERER_UNAVAILABLE");
        let _honest = Liar::listen(&self.network.orderers[1], &self.real, Lie::None);
        self.catches_up(&node);
        assert!(node.stop().success());
        self.network.check(&name, 1);
    }

    fn catches_up(&self, node: &crate::kit::Node) {
        let client = node.client();
        until("all blocks", node, || {
            (height(&client) >= self.height).then_some(())
        });
    }
}

#[test]
fn a_block_that_is_not_the_next_or_was_changed_is_not_believed_and_whoever_sent_it_is_left() {
    let between = Between::new();
    between.hears(Lie::Number, "block 2 is not the next one: 1 is");
    between.hears(Lie::PreviousHash, "block 1: signatures: 0 that hold");
    between.hears(Lie::Envelopes, "block 1: the block's data hash is not");
    between.hears(Lie::Empty, "envelope 1 of the block is not in the form");
    between.hears(Lie::Moved, "no signature covers the number of the newest");
    between.hears(Lie::Signature, "block 1: signatures: 0 that hold");
    between.hears(Lie::Unsigned, "block 1: signatures: 0 that hold");
    between.hears(Lie::ManySignatures, "slot 0 has 10000 signatures");
    between.hears(Lie::Filtered, "it is no block at all");
}

#[test]
fn an_orderer_that_sends_a_message_without_an_end_or_nothing_is_left() {
    let between = Between::new();
    between.hears(Lie::Huge, "message length too large");
    between.hears(Lie::Crowded, "fields");
    between.hears(Lie::Mute, "it does not answer");
}

#[test]
fn what_a_node_writes_into_its_own_blocks_is_never_taken_from_an_orderer() {
    let between = Between::new();
    let _lies = Liar::listen(&between.network.orderers[0], &between.real, Lie::Slots);
    let node = between.network.plain_peer("forged");
    between.catches_up(&node);
    let honest = Liar::listen(&between.network.orderers[1], &between.real, Lie::None);
    written(&node, "further");
    let client = node.client();
    let tip = height(&client) - 1;
    let there = between.orderer.client();
    for number in 0..=tip {
        let (here, there) = (block(&client, number), block(&there, number));
        assert_eq!(here["commitHash"], there["commitHash"]);
    }
    assert!(node.stop().success());
    between.network.check("forged", 1);
    drop(honest);
}

#[test]
fn an_orderer_that_sends_nothing_while_another_has_more_is_left() {
    let between = Between::new();
    let liar = Liar::listen(&between.network.orderers[0], &between.real, Lie::None);
    let node = between.network.plain_peer("late");
    between.catches_up(&node);
    // From now on it gives nothing out, though it takes what is sent to it.
    liar.tell(Lie::Withheld);
    let client = node.client();
    let waits = std::thread::spawn({
        let client = client.clone();
        move || write(&client, "held")
    });
    let _honest = Liar::listen(&between.network.orderers[1], &between.real, Lie::None);
    let held = |line: &str| line.contains("it sent 0 blocks in") && line.contains("in all");
    until("the one who holds back to be named", &node, || {
        node.log().lines().any(held).then_some(())
    });
    let written = waits.join().unwrap();
    assert!(
        written.status < 300 || written.status == 504,
        "{}",
        written.text()
    );
    let again = super::kit::written(&node, "held");
    assert_eq!(again["code"], "VALID");
    assert!(node.stop().success());
    between.network.check("late", 1);
}

#[test]
fn an_orderer_that_sends_a_block_now_and_then_while_another_has_more_is_left() {
    let between = Between::new();
    let honest = &between.network.orderers[1];
    let through = Liar::listen(honest, &between.real, Lie::None);
    let first = between.network.plain_peer("first");
    for key in 0..20 {
        written(&first, &format!("more-{key}"));
    }
    let all = height(&first.client());
    assert!(first.stop().success());
    drop(through);
    let _lies = Liar::listen(&between.network.orderers[0], &between.real, Lie::Trickle);
    let node = between.network.plain_peer("slow");
    let client = node.client();
    until("a block", &node, || (height(&client) > 1).then_some(()));
    let _honest = Liar::listen(honest, &between.real, Lie::None);
    let left = |line: &str| line.contains("an orderer is left") && line.contains("blocks in");
    until("the slow one to be named", &node, || {
        node.log().lines().any(left).then_some(())
    });
    until("all blocks", &node, || {
        (height(&client) >= all).then_some(())
    });
    assert!(node.stop().success());
    between.network.check("slow", 1);
}
