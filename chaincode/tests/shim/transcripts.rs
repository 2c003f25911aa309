//! The streams between a real peer of Fabric and its chaincodes, played again: what the chaincodes said goes in,
//! and what the peer said must come out, with the read-write sets that went into its blocks.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::{ChaincodeError, Simulated, Transaction};
use quire_disk::OsDisk;
use quire_ledger::{Block, CreateOptions, Ledger, Ledgers, Ordered, Origin, Purpose, Simulator};
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeInput;
use quire_wire::shim::{
    ChaincodeMessage, GetQueryResult, GetState, GetStateByRange, GetStateMultiple, MessageType,
    PutState, PutStateMetadata, QueryResponse, QueryStateClose, QueryStateNext, WriteBatchState,
};
use quire_wire::transaction::Opened;
use serde_json::Value;

use crate::kit::{Together, next, pump};

const CHANNEL: &str = "mychannel";
const CHAINCODES: [&str; 3] = ["labcc", "helper", "labnode"];

/// What was said in one transaction.
struct Case {
    label: String,
    tx_id: String,
    endorsement: Value,
    said: Vec<Said>,
}

struct Said {
    chaincode: String,
    by_peer: bool,
    message: ChaincodeMessage,
}

/// How a case went that was played.
#[derive(Debug)]
enum Played {
    /// As recorded, to its end.
    Whole(Box<Simulated>),
    /// As recorded, up to a request for private data.
    UpToPrivateData,
    Otherwise(String),
}

fn cases(file: &str) -> Vec<Case> {
    let lines = conformance::read_lines(&format!("fabric-network/chaincode-transcripts/{file}"));
    lines.iter().map(case).collect()
}

fn case(line: &Value) -> Case {
    let said = line["messages"].as_array().unwrap().iter().map(|said| {
        let chaincode = said["cc"].as_str().unwrap();
        let bytes = hex::decode(said["hex"].as_str().unwrap()).unwrap();
        Said {
            // A number behind the name is that of the definition.
            chaincode: chaincode.trim_end_matches(char::is_numeric).to_owned(),
            by_peer: said["dir"] == "peer->cc",
            message: ChaincodeMessage::decode(&*bytes).unwrap(),
        }
    });
    Case {
        label: line["label"].as_str().unwrap_or_default().to_owned(),
        tx_id: line["txid"].as_str().unwrap().to_owned(),
        endorsement: line["endorsement"].clone(),
        said: said.collect(),
    }
}

fn kind(message: &ChaincodeMessage) -> MessageType {
    MessageType::try_from(message.r#type).unwrap()
}

/// Whether a chaincode asks for private data.
fn is_private(message: &ChaincodeMessage) -> bool {
    use MessageType as M;
    let payload = message.payload.clone();
    let collection = match kind(message) {
        M::GetPrivateDataHash | M::PurgePrivateData => return true,
        M::WriteBatchState => {
            let batch = WriteBatchState::decode(payload).unwrap();
            return batch.rec.iter().any(|record| !record.collection.is_empty());
        }
        M::GetState | M::DelState | M::GetStateMetadata => {
            GetState::decode(payload).unwrap().collection
        }
        M::GetStateMultiple => GetStateMultiple::decode(payload).unwrap().collection,
        M::PutState => PutState::decode(payload).unwrap().collection,
        M::PutStateMetadata => PutStateMetadata::decode(payload).unwrap().collection,
        M::GetStateByRange => GetStateByRange::decode(payload).unwrap().collection,
        M::GetQueryResult => GetQueryResult::decode(payload).unwrap().collection,
        _ => String::new(),
    };
    !collection.is_empty()
}

/// Names of iterators as the peer gave them, with ours.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// Makes the peer's answer ours but for the name of an iterator, which is learned.
    fn learn(&mut self, recorded: &mut ChaincodeMessage, ours: &ChaincodeMessage) {
        let read = |message: &ChaincodeMessage| QueryResponse::decode(message.payload.clone());
        let (Ok(mut theirs), Ok(own)) = (read(recorded), read(ours)) else {
            return;
        };
        self.0.insert(theirs.id.clone(), own.id.clone());
        theirs.id = own.id;
        recorded.payload = theirs.encode_to_vec().into();
    }

    /// Makes a request for rows one that names our iterator.
    fn translate(&self, message: &mut ChaincodeMessage) {
        let payload = message.payload.clone();
        let ours = |id: String| self.0.get(&id).cloned().unwrap_or(id);
        message.payload = match kind(message) {
            MessageType::QueryStateNext => {
                let id = ours(QueryStateNext::decode(payload).unwrap().id);
                QueryStateNext { id }.encode_to_vec().into()
            }
            MessageType::QueryStateClose => {
                let id = ours(QueryStateClose::decode(payload).unwrap().id);
                QueryStateClose { id }.encode_to_vec().into()
            }
            _ => payload,
        };
    }
}

fn transaction(first: &ChaincodeMessage) -> Transaction {
    Transaction {
        channel: first.channel_id.clone(),
        tx_id: first.txid.clone(),
        input: ChaincodeInput::decode(first.payload.clone()).unwrap(),
        proposal: first.proposal.clone().unwrap(),
        ..Transaction::default()
    }
}

fn is_about_rows(kind: Option<MessageType>) -> bool {
    use MessageType as M;
    matches!(
        kind,
        Some(M::GetStateByRange | M::GetHistoryForKey | M::QueryStateNext | M::QueryStateClose)
    )
}

/// Plays a case on a simulator.
fn play(case: &Case, simulator: Simulator) -> Played {
    let together = Together::new(&CHAINCODES);
    let first = &case.said[0];
    let mut call = together.invoke(&first.chaincode, &transaction(&first.message), simulator);
    let mut names = Names::default();
    let mut asked: HashMap<&str, &ChaincodeMessage> = HashMap::new();
    for (number, said) in case.said.iter().enumerate() {
        let stream = &together.streams[&said.chaincode];
        let mut recorded = said.message.clone();
        if !said.by_peer {
            asked.insert(&said.chaincode, &said.message);
            names.translate(&mut recorded);
            stream.take(recorded).unwrap();
            continue;
        }
        call = pump(call);
        let Some(ours) = next(stream) else {
            return Played::Otherwise(format!("message {number}: none in place of {recorded:?}"));
        };
        let request = asked.get(&*said.chaincode).copied();
        if request.is_some_and(is_private) {
            let text = String::from_utf8(ours.payload.into()).unwrap();
            assert!(
                text.contains("private data are not supported yet"),
                "{text}"
            );
            return Played::UpToPrivateData;
        }
        if is_about_rows(request.map(kind)) {
            names.learn(&mut recorded, &ours);
        }
        let is_same = ours.encode_to_vec() == recorded.encode_to_vec();
        if !is_same && !is_same_but_for_words(request, &recorded, &ours) {
            return Played::Otherwise(format!(
                "message {number}:\n  {ours:?}\nin place of\n  {recorded:?}"
            ));
        }
    }
    match pump(call).done() {
        Some(simulated) => Played::Whole(Box::new(simulated)),
        None => Played::Otherwise("the call is not done".to_owned()),
    }
}

/// Whether both say that a callee could not be called: why, each host says in its own words.
fn is_same_but_for_words(
    request: Option<&ChaincodeMessage>,
    recorded: &ChaincodeMessage,
    ours: &ChaincodeMessage,
) -> bool {
    let prefix = format!(
        "INVOKE_CHAINCODE failed: transaction ID: {}: execute failed: ",
        recorded.txid
    );
    request.map(kind) == Some(MessageType::InvokeChaincode)
        && recorded.payload.starts_with(prefix.as_bytes())
        && ours.payload.starts_with(prefix.as_bytes())
        && ours.r#type == recorded.r#type
}

/// The channel of the network, made again block by block.
struct Network {
    ledger: Ledger,
    blocks: Vec<Block>,
    _dir: tempfile::TempDir,
}

impl Network {
    fn new() -> Self {
        let file = "fabric-network/two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000";
        let files = conformance::block_files(file);
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), &dir.path().join("imported"), Purpose::Use);
        let ledgers = ledgers.unwrap();
        let imported = ledgers.import(CHANNEL, files.path(), false, &mut |_| {});
        let reader = imported.unwrap().0.reader();
        let blocks = (0..reader.height()).map(|n| Block::clone(&reader.block(n).unwrap().unwrap()));
        let blocks: Vec<Block> = blocks.collect();
        let own = Ledgers::open(Arc::new(OsDisk), &dir.path().join("own"), Purpose::Use).unwrap();
        let first = blocks[0].clone();
        let mut ledger = own
            .create(CHANNEL, first, CreateOptions::default())
            .unwrap();
        ledger.judge_signatures(Origin::Fabric);
        Self {
            ledger,
            blocks,
            _dir: dir,
        }
    }

    fn height(&self) -> u64 {
        self.ledger.reader().height()
    }

    /// Commits the next block.
    fn grow(&mut self) {
        let block = self.blocks[usize::try_from(self.height()).unwrap()].clone();
        let ordered = Ordered::by_rules_of(Origin::Fabric, block, CHANNEL);
        self.ledger.commit(vec![ordered]).unwrap();
    }

    fn grow_to(&mut self, height: u64) {
        while self.height() < height {
            self.grow();
        }
    }

    fn simulator(&self) -> Simulator {
        Simulator::new(self.ledger.reader().snapshot())
    }

    /// The block of each transaction, and the read-write set that stands there.
    fn recorded(&self) -> HashMap<String, (u64, Bytes)> {
        let mut recorded = HashMap::new();
        for block in &self.blocks {
            for envelope in &block.envelopes {
                let Ok(opened) = Opened::read(envelope) else {
                    continue;
                };
                let Ok(call) = opened.endorsed_call() else {
                    continue;
                };
                let found = (block.number, call.action.results);
                recorded.entry(opened.indexed_tx_id()).or_insert(found);
            }
        }
        recorded
    }
}

/// A transaction whose read-write set was changed before it went to the orderer.
const TAMPERED: &str = "1ac65e78e9253faa4a2c593672d18aa1e66e07449f2668f995ddaf5fa957cad5";
/// Blocks that may come between what a transaction was endorsed on and the block that it is in.
const MOST_BETWEEN: u64 = 20;

#[test]
fn every_call_that_went_into_a_block_says_the_same_again_and_reads_and_writes_the_same() {
    let mut network = Network::new();
    let recorded = network.recorded();
    let mut waiting = cases("ledger.jsonl");
    let (mut whole, mut private, mut unread) = (0, 0, 0);
    let mut others = Vec::new();
    let mut why: HashMap<String, String> = HashMap::new();
    for height in 1..=233 {
        network.grow_to(height);
        waiting.retain(|case| {
            let Some((block, results)) = recorded.get(&case.tx_id) else {
                // The envelope was made so that it cannot be read.
                unread += 1;
                return false;
            };
            if *block >= height + MOST_BETWEEN {
                return true;
            }
            if *block < height && case.tx_id == TAMPERED {
                return false;
            }
            if *block < height {
                let why = why.get(&case.tx_id).cloned().unwrap_or_default();
                others.push(format!("{} in block {block}: {why}", case.tx_id));
                return false;
            }
            match play(case, network.simulator()) {
                Played::Whole(simulated) => {
                    let set = simulated.simulator.into_read_write_set();
                    if set.encode_to_vec() == results[..] {
                        whole += 1;
                        return false;
                    }
                    let theirs = quire_wire::rwset::TxReadWriteSet::decode(results.clone());
                    why.insert(case.tx_id.clone(), format!("\n  {set:?}\n  {theirs:?}"));
                }
                Played::UpToPrivateData => {
                    private += 1;
                    return false;
                }
                Played::Otherwise(otherwise) => {
                    why.insert(case.tx_id.clone(), otherwise);
                }
            }
            true
        });
    }
    assert!(others.is_empty(), "{}: {}", others.len(), others.join("\n"));
    assert_eq!((whole, private, unread), (161, 39, 3));
}

/// What the endorser answered, as far as it comes from the chaincode.
fn endorsed(simulated: &Simulated) -> (String, String, String) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match &simulated.answer {
        Ok(answer) => (
            answer.status.to_string(),
            answer.message.clone(),
            text(&answer.payload),
        ),
        Err(ChaincodeError::Refused {
            status,
            message,
            payload,
        }) => (status.to_string(), message.clone(), text(payload)),
        Err(error) => panic!("{error}"),
    }
}

fn plays_again(file: &str, height: u64, expected: (usize, usize)) {
    let mut network = Network::new();
    network.grow_to(height);
    let mut others = Vec::new();
    let (mut whole, mut private) = (0, 0);
    for case in cases(file) {
        if case.label.contains("rich query (refused") {
            // By goleveldb, which is not asked here.
            continue;
        }
        match play(&case, network.simulator()) {
            Played::Whole(simulated) => {
                whole += 1;
                let of = |name: &str| case.endorsement[name].as_str().unwrap().to_owned();
                let status = case.endorsement["status"].to_string();
                let theirs = (status, of("message"), of("payload"));
                assert_eq!(endorsed(&simulated), theirs, "{}", case.label);
            }
            Played::UpToPrivateData => private += 1,
            Played::Otherwise(why) => others.push(format!("{}: {why}", case.label)),
        }
    }
    assert!(others.is_empty(), "{}: {}", others.len(), others.join("\n"));
    assert_eq!((whole, private), expected);
}

#[test]
fn each_kind_of_request_of_a_go_chaincode_is_answered_as_a_peer_of_fabric_answers_it() {
    plays_again("go-labcc.jsonl", 211, (35, 9));
}

#[test]
fn each_kind_of_request_of_a_node_chaincode_is_answered_as_a_peer_of_fabric_answers_it() {
    plays_again("node-labnode.jsonl", 233, (29, 5));
}
