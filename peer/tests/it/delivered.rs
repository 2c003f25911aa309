//! Blocks that come from elsewhere go through the same door as blocks that are cut here.

use quire_ledger::check::{Depth, check_channel};
use quire_ledger::{Block, CreateOptions};
use quire_peer::{Deliveries, NotTaken, OpenChannel, Origin, SubmitError, Submitter as _};
use quire_wire::Code;

use crate::kit::{CHANNEL, Client, Node, Running, ledgers, outcome, proposal, put};

/// A node with blocks of its own transactions; one has an endorsement that nobody made.
fn with_blocks() -> (Node, Running) {
    let node = Node::new();
    let channel = node.channel(3, CreateOptions::default());
    let mut waiting: Vec<_> = (0..20)
        .map(|n| node.submit(&channel, n).unwrap().outcome)
        .collect();
    let client = Client::new(&node.client, &put(1));
    let mut response = channel.endorse(&client.proposal()).unwrap();
    response.endorsement.as_mut().unwrap().signature = node.client.sign(b"something else");
    let forged = channel
        .peer()
        .order(client.envelope(&response), Origin::Outside);
    waiting.push(forged.unwrap());
    for one in waiting {
        outcome(one).unwrap();
    }
    (node, channel)
}

fn block(channel: &Running, number: u64) -> Block {
    let block = channel.reader().block(number).unwrap().unwrap();
    let mut block = Block::clone(&block);
    // An orderer delivers it without what committers write into it.
    block.metadata.truncate(2);
    block
}

/// Hands a block in as soon as there is room.
fn deliver(deliveries: &Deliveries, block: &Block) -> Result<(), NotTaken> {
    loop {
        match deliveries.deliver(block.clone()) {
            Err(NotTaken::Full) => std::thread::yield_now(),
            other => return other.map(drop),
        }
    }
}

async fn until(channel: &OpenChannel, height: u64) {
    let mut heights = channel.channel.heights.clone();
    heights
        .wait_for(|reached| *reached >= height)
        .await
        .unwrap();
}

#[test]
fn blocks_of_another_node_are_verified_judged_and_committed_as_there() {
    let (node, channel) = with_blocks();
    let height = channel.reader().height();
    let other = ledgers(&node.dir.path().join("joined"));
    let ledger = other
        .create(CHANNEL, block(&channel, 0), CreateOptions::default())
        .unwrap();
    let (joined, deliveries) = OpenChannel::delivered(ledger, &node.host()).unwrap();
    for number in 1..height {
        deliver(&deliveries, &block(&channel, number)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(until(&joined, height));
    let reader = joined.channel.reader.clone();
    let mut codes = Vec::new();
    for number in 0..height {
        let there = channel.reader().block(number).unwrap().unwrap();
        let here = reader.block(number).unwrap().unwrap();
        assert_eq!(here.hash(), there.hash());
        // The slots hold codes and commit hash.
        assert_eq!(here.metadata[2], there.metadata[2]);
        assert_eq!(here.metadata[4], there.metadata[4]);
        codes.extend(here.metadata[2].iter().copied().map(Code));
    }
    let failed = |code: &&Code| **code == Code::ENDORSEMENT_POLICY_FAILURE;
    assert_eq!(codes.iter().filter(failed).count(), 1);

    deliveries.close();
    assert_eq!(
        deliver(&deliveries, &block(&channel, 0)),
        Err(NotTaken::Closed)
    );
    joined.stop().unwrap();
    let depth = Depth {
        signatures: true,
        verdicts: true,
    };
    let report = check_channel(&other, CHANNEL, depth, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    channel.stop();
}

#[test]
fn a_block_that_does_not_follow_is_refused_and_the_next_one_is_still_taken() {
    let (node, channel) = with_blocks();
    let other = ledgers(&node.dir.path().join("joined"));
    let ledger = other
        .create(CHANNEL, block(&channel, 0), CreateOptions::default())
        .unwrap();
    let (joined, deliveries) = OpenChannel::delivered(ledger, &node.host()).unwrap();
    let first = block(&channel, 1);
    let refused = |block: &Block| deliver(&deliveries, block).unwrap_err();
    let not_next = |number| NotTaken::NotNext {
        number,
        expected: 1,
    };
    assert_eq!(refused(&block(&channel, 0)), not_next(0));
    assert_eq!(refused(&block(&channel, 2)), not_next(2));
    let mut wrong = first.clone();
    wrong.previous_hash = first.data_hash.clone();
    assert_eq!(refused(&wrong), NotTaken::PreviousHash);
    let mut wrong = first.clone();
    wrong.envelopes.pop();
    assert_eq!(refused(&wrong), NotTaken::DataHash);
    deliver(&deliveries, &first).unwrap();
    let again = NotTaken::NotNext {
        number: 1,
        expected: 2,
    };
    assert_eq!(refused(&first), again);
    deliveries.close();
    let reader = joined.channel.reader.clone();
    joined.stop().unwrap();
    assert_eq!(reader.height(), 2);
    channel.stop();
}

#[test]
fn a_channel_that_is_ordered_elsewhere_takes_no_transactions() {
    let node = Node::new();
    let ledger = node
        .ledgers
        .create(CHANNEL, node.genesis(3), CreateOptions::default())
        .unwrap();
    let (joined, deliveries) = OpenChannel::delivered(ledger, &node.host()).unwrap();
    let joined = Running(joined);
    let refused = node.submit(&joined, 1).unwrap_err();
    assert!(matches!(refused, SubmitError::ReadOnly), "{refused:?}");
    let evaluated = joined.peer().evaluate(proposal(&node.client, put(1)));
    assert_eq!(evaluated.done().unwrap().unwrap().height, 1);
    deliveries.close();
    joined.stop();
}
