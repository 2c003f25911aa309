//! What [`Verifier`] says of transactions that were signed well, badly, by strangers and by too few.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message as _;
use quire_identity::channel_config::genesis_group;
use quire_identity::{ChannelConfig, Organization, Policy, Role, SigningIdentity};
use quire_ledger::{Block, Ordered, Signatures, Verifier};
use quire_wire::Code;
use quire_wire::common::{ChannelHeader, SignatureHeader, header_type};
use quire_wire::config::BatchSize;
use quire_wire::hash::data_hash;
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeSpec, Endorsement,
};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;

const CHANNEL: &str = "main";
/// More than a thread takes at a time, and no multiple of it.
const TRANSACTIONS: usize = 45;

struct Signers {
    _dir: tempfile::TempDir,
    client: Arc<SigningIdentity>,
    peer: Arc<SigningIdentity>,
    stranger: Arc<SigningIdentity>,
    verifier: Verifier,
}

impl Signers {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let organization = |name: &str| {
            let made =
                Organization::open_or_create(&quire_disk::os(), &dir.path().join(name), name, now);
            made.unwrap()
        };
        let (ours, theirs) = (organization("OursMSP"), organization("TheirsMSP"));
        let limits = BatchSize {
            max_message_count: 500,
            absolute_max_bytes: 10 << 20,
            preferred_max_bytes: 2 << 20,
        };
        let root = genesis_group(&[ours.msp_config()], limits, "2s");
        let config = ChannelConfig::from_group(&root).unwrap();
        let policy = Policy::at(&root, "/Channel/Application/Endorsement").unwrap();
        let identity = |organization: &Organization, name: &str, role| {
            organization.create_identity(name, role, now).unwrap()
        };
        Self {
            client: identity(&ours, "someone", Role::Client),
            peer: identity(&ours, "somepeer", Role::Peer),
            stranger: identity(&theirs, "stranger", Role::Peer),
            verifier: Verifier::new(config.msps().unwrap(), policy),
            _dir: dir,
        }
    }

    /// Transactions `0..TRANSACTIONS`; what is wrong with each fourth one depends on its number.
    fn ordered(&self) -> (Ordered, Vec<Code>) {
        let transactions = (0..TRANSACTIONS).map(|n| match n % 20 {
            3 => self.transaction(n, &self.client, &self.peer, Wrong::Creator),
            7 => self.transaction(n, &self.client, &self.peer, Wrong::Endorsement),
            11 => self.transaction(n, &self.stranger, &self.peer, Wrong::Nothing),
            15 => self.transaction(n, &self.client, &self.stranger, Wrong::Nothing),
            _ => self.transaction(n, &self.client, &self.peer, Wrong::Nothing),
        });
        let envelopes: Vec<Bytes> = transactions.collect();
        let block = Block {
            number: 0,
            previous_hash: Bytes::new(),
            data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
            envelopes,
            metadata: Vec::new(),
        };
        let codes = (0..TRANSACTIONS).map(|n| match n % 20 {
            3 | 11 => Code::BAD_CREATOR_SIGNATURE,
            7 | 15 => Code::ENDORSEMENT_POLICY_FAILURE,
            _ => Code::VALID,
        });
        (Ordered::new(block, CHANNEL), codes.collect())
    }

    fn transaction(
        &self,
        n: usize,
        creator: &SigningIdentity,
        endorser: &SigningIdentity,
        wrong: Wrong,
    ) -> Bytes {
        let chaincode = || {
            Some(ChaincodeId {
                name: "orders".into(),
                ..ChaincodeId::default()
            })
        };
        let nonce = Bytes::copy_from_slice(&n.to_be_bytes());
        let extension = ChaincodeHeaderExtension {
            chaincode_id: chaincode(),
        };
        let header = ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            channel_id: CHANNEL.into(),
            tx_id: tx_id(&nonce, creator.serialized()),
            extension: extension.encode_to_vec().into(),
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader {
            creator: creator.serialized().clone(),
            nonce,
        };
        let spec = ChaincodeSpec {
            chaincode_id: chaincode(),
            ..ChaincodeSpec::default()
        };
        let proposal = ProposalBytes::new(&header, &signature_header, spec);
        let response = proposal.response_payload(&ChaincodeAction {
            chaincode_id: chaincode(),
            ..ChaincodeAction::default()
        });
        let signed = [response.as_ref(), endorser.serialized().as_ref()].concat();
        let endorsement = Endorsement {
            endorser: endorser.serialized().clone(),
            signature: match wrong {
                Wrong::Endorsement => self.peer.sign(b"something else"),
                Wrong::Nothing | Wrong::Creator => endorser.sign(&signed),
            },
        };
        let payload = proposal.transaction_payload(response, vec![endorsement]);
        let signature = match wrong {
            Wrong::Creator => creator.sign(b"something else"),
            Wrong::Nothing | Wrong::Endorsement => creator.sign(&payload),
        };
        seal(payload, signature)
    }
}

#[derive(Clone, Copy)]
enum Wrong {
    Nothing,
    Creator,
    Endorsement,
}

fn codes(ordered: &mut Ordered) -> Vec<Code> {
    let transactions = ordered.transactions_mut().iter();
    transactions.map(|transaction| transaction.code).collect()
}

#[test]
fn each_transaction_gets_the_code_of_its_own_signatures_whichever_thread_looks() {
    let signers = Signers::new();
    let (ordered, expected) = signers.ordered();
    let mut batch = vec![ordered.clone(), ordered];
    signers.verifier.verify(&mut batch, Signatures::OfOthers);
    for verified in &mut batch {
        assert_eq!(codes(verified), expected);
    }
}

#[test]
fn of_signatures_made_here_only_who_made_them_is_asked() {
    let signers = Signers::new();
    let (ordered, expected) = signers.ordered();
    let mut batch = vec![ordered];
    signers.verifier.verify(&mut batch, Signatures::MadeHere);
    let forged = |n: usize| matches!(n % 20, 3 | 7);
    let expected = expected.into_iter().enumerate();
    let expected: Vec<Code> = expected
        .map(|(n, code)| if forged(n) { Code::VALID } else { code })
        .collect();
    assert_eq!(codes(&mut batch[0]), expected);
}

#[test]
fn a_code_that_a_transaction_has_already_stays() {
    let signers = Signers::new();
    let (mut ordered, _) = signers.ordered();
    for transaction in ordered.transactions_mut() {
        transaction.code = Code::BAD_RWSET;
    }
    let mut batch = vec![ordered];
    signers.verifier.verify(&mut batch, Signatures::OfOthers);
    assert_eq!(codes(&mut batch[0]), [Code::BAD_RWSET; TRANSACTIONS]);
}
