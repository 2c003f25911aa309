//! The verdicts of a commit on transactions that are signed rightly, wrongly, by strangers and by too few.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message as _;
use quire_identity::config::{
    SignedUpdate, compute_update, genesis_group, sign_update, update_envelope,
};
use quire_identity::{Bundle, Organization, Role, SigningIdentity};
use quire_ledger::{
    Block, CommitError, CreateOptions, Examined, Ledger, Ledgers, Ordered, Origin, ReadError,
    Signatures,
};
use quire_testkit::Transaction;
use quire_testkit::chain::{config_envelope, envelope_of};
use quire_wire::Code;
use quire_wire::common::{Envelope, Payload, SignatureHeader};
use quire_wire::config::{BatchSize, Config, ConfigEnvelope, ConfigGroup, ConfigUpdateEnvelope};
use quire_wire::hash::data_hash;
use quire_wire::msp::FabricMspConfig;
use quire_wire::peer::Endorsement;
use quire_wire::rwset::{KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet};
use quire_wire::transaction::seal;

use crate::kit::open;

const CHANNEL: &str = "main";
const LIMITS: BatchSize = BatchSize {
    max_message_count: 500,
    absolute_max_bytes: 10 << 20,
    preferred_max_bytes: 2 << 20,
};
/// This is more than a thread takes at a time, and not a multiple of it.
const TRANSACTIONS: usize = 45;

struct Signers {
    _dir: tempfile::TempDir,
    client: Arc<SigningIdentity>,
    peer: Arc<SigningIdentity>,
    admin: Arc<SigningIdentity>,
    stranger: Arc<SigningIdentity>,
    root: ConfigGroup,
    msps: [FabricMspConfig; 2],
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
        let root = genesis_group(&[ours.msp_config()], LIMITS, "2s");
        let identity = |organization: &Organization, name: &str, role| {
            organization.create_identity(name, role, now).unwrap()
        };
        Self {
            client: identity(&ours, "someone", Role::Client),
            peer: identity(&ours, "somepeer", Role::Peer),
            admin: identity(&ours, "someadmin", Role::Admin),
            stranger: identity(&theirs, "stranger", Role::Peer),
            root,
            msps: [ours.msp_config(), theirs.msp_config()],
            _dir: dir,
        }
    }

    /// The configuration with both organisations.
    fn root_with_theirs(&self) -> ConfigGroup {
        genesis_group(&self.msps, LIMITS, "2s")
    }

    /// The envelope of the configuration after an update of the administrator; the client signed it.
    fn config(&self, root: ConfigGroup) -> Bytes {
        let config = |root| Config {
            sequence: 0,
            channel_group: Some(root),
        };
        let current = config(self.root.clone());
        let mut update = compute_update(&current, &config(root)).unwrap();
        CHANNEL.clone_into(&mut update.channel_id);
        let mut update = ConfigUpdateEnvelope {
            config_update: update.encode_to_vec().into(),
            signatures: Vec::new(),
        };
        sign_update(&mut update, &self.admin, b"nonce");
        let now = SystemTime::UNIX_EPOCH;
        let update = update_envelope(CHANNEL, &update, &self.client, b"nonce", now);
        let update = Envelope::decode(update).unwrap();
        let bundle = Bundle::new(CHANNEL, current).unwrap();
        let signed = SignedUpdate::from_envelope(&update).unwrap();
        self.signed_config(&ConfigEnvelope {
            config: Some(signed.apply(&bundle).unwrap()),
            last_update: Some(update),
        })
    }

    /// The envelope of a configuration that the client signed.
    fn signed_config(&self, config: &ConfigEnvelope) -> Bytes {
        let envelope = Envelope::decode(envelope_of(CHANNEL, config)).unwrap();
        let mut payload = Payload::decode(envelope.payload).unwrap();
        let header = SignatureHeader {
            creator: self.client.serialized().clone(),
            nonce: Bytes::from_static(b"configuration"),
        };
        let headers = payload.header.as_mut().unwrap();
        headers.signature_header = header.encode_to_vec().into();
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = self.client.sign(&payload);
        seal(payload, signature)
    }

    /// A ledger that judges by our organisation alone.
    fn ledger(&self, data: &Path) -> (Ledgers, Ledger) {
        let genesis = block(None, vec![config_envelope(CHANNEL, self.root.clone())]);
        let ledgers = open(data);
        let mut ledger = ledgers
            .create(CHANNEL, genesis, CreateOptions::default())
            .unwrap();
        ledger.judge_signatures(Origin::Quire);
        (ledgers, ledger)
    }

    /// Transactions `from..from + TRANSACTIONS`; what is wrong with each fourth one depends on its number.
    fn envelopes(&self, from: usize) -> (Vec<Bytes>, Vec<Code>) {
        let numbers = from..from + TRANSACTIONS;
        let transactions = numbers.clone().map(|n| match n % 20 {
            3 => self.transaction(n, &self.client, &self.peer, Wrong::Creator),
            7 => self.transaction(n, &self.client, &self.peer, Wrong::Endorsement),
            11 => self.transaction(n, &self.stranger, &self.peer, Wrong::Nothing),
            15 => self.transaction(n, &self.client, &self.stranger, Wrong::Nothing),
            _ => self.transaction(n, &self.client, &self.peer, Wrong::Nothing),
        });
        let codes = numbers.map(|n| match n % 20 {
            3 | 11 => Code::BAD_CREATOR_SIGNATURE,
            7 | 15 => Code::ENDORSEMENT_POLICY_FAILURE,
            _ => Code::VALID,
        });
        (transactions.collect(), codes.collect())
    }

    fn transaction(
        &self,
        n: usize,
        creator: &SigningIdentity,
        endorser: &SigningIdentity,
        wrong: Wrong,
    ) -> Bytes {
        self.transaction_with(n, (creator, endorser), wrong, Bytes::new())
    }

    /// A sound transaction that writes one key.
    fn writing(&self, n: usize, namespace: &str, key: &str, value: &'static str) -> Bytes {
        let set = KvRwSet {
            writes: vec![KvWrite {
                key: key.into(),
                is_delete: false,
                value: value.into(),
            }],
            ..KvRwSet::default()
        };
        let results = TxReadWriteSet {
            data_model: 0,
            ns_rwset: vec![NsReadWriteSet {
                namespace: namespace.into(),
                rwset: set.encode_to_vec().into(),
                collection_hashed_rwset: Vec::new(),
            }],
        };
        let signers = (&*self.client, &*self.peer);
        self.transaction_with(n, signers, Wrong::Nothing, results.encode_to_vec().into())
    }

    fn transaction_with(
        &self,
        n: usize,
        (creator, endorser): (&SigningIdentity, &SigningIdentity),
        wrong: Wrong,
        results: Bytes,
    ) -> Bytes {
        let transaction = Transaction {
            creator: creator.serialized().clone(),
            results,
            ..Transaction::new(CHANNEL, "orders", n.to_be_bytes())
        };
        let endorse = |response: &Bytes| {
            let signed = [response.as_ref(), endorser.serialized().as_ref()].concat();
            vec![Endorsement {
                endorser: endorser.serialized().clone(),
                signature: match wrong {
                    Wrong::Endorsement => self.peer.sign(b"something else"),
                    Wrong::Nothing | Wrong::Creator => endorser.sign(&signed),
                },
            }]
        };
        let sign = |payload: &Bytes| match wrong {
            Wrong::Creator => creator.sign(b"something else"),
            Wrong::Nothing | Wrong::Endorsement => creator.sign(payload),
        };
        transaction.signed(endorse, sign)
    }
}

#[derive(Clone, Copy)]
enum Wrong {
    Nothing,
    Creator,
    Endorsement,
}

/// The block after this one, or the first.
fn block(before: Option<&Block>, envelopes: Vec<Bytes>) -> Block {
    let previous = before.map(|block| Bytes::copy_from_slice(&block.hash()));
    Block {
        number: before.map_or(0, |block| block.number + 1),
        previous_hash: previous.unwrap_or_default(),
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: Vec::new(),
    }
}

fn tip(ledger: &Ledger) -> Block {
    let reader = ledger.reader();
    let block = reader.block(reader.height() - 1).unwrap().unwrap();
    Block::clone(&block)
}

/// Commits blocks together, and returns the verdicts of each.
fn commit(ledger: &mut Ledger, batch: Vec<Ordered>) -> Vec<Vec<Code>> {
    let committed = ledger.commit(batch).unwrap().into_iter();
    let codes = committed.map(|block| block.transactions.into_iter().map(|(_, code)| code));
    codes.map(Iterator::collect).collect()
}

#[test]
fn each_transaction_gets_the_code_of_its_own_signatures_whichever_thread_looks() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = signers.ledger(data.path());
    let (first, first_codes) = signers.envelopes(0);
    let (second, second_codes) = signers.envelopes(TRANSACTIONS);
    let first = block(Some(&tip(&ledger)), first);
    let second = block(Some(&first), second);
    let batch = [first, second].map(|block| Ordered::new(block, CHANNEL));
    let codes = commit(&mut ledger, batch.into());
    assert_eq!(codes, [first_codes, second_codes]);
}

#[test]
fn of_signatures_made_here_only_who_made_them_is_asked() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = signers.ledger(data.path());
    let (envelopes, expected) = signers.envelopes(0);
    let examined = envelopes.iter();
    let examined = examined.map(|envelope| Examined::new(envelope, CHANNEL));
    let examined = examined.collect();
    let ordered = Ordered::made_here(
        block(Some(&tip(&ledger)), envelopes),
        examined,
        Signatures::Proven,
    );
    let codes = commit(&mut ledger, vec![ordered]);
    let forged = |n: usize| matches!(n % 20, 3 | 7);
    let expected = expected.into_iter().enumerate();
    let expected: Vec<Code> = expected
        .map(|(n, code)| if forged(n) { Code::VALID } else { code })
        .collect();
    assert_eq!(codes, [expected]);
}

#[test]
fn an_unendorsed_repeat_of_an_earlier_blocks_transaction_is_a_duplicate() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = signers.ledger(data.path());
    let Signers { client, peer, .. } = &signers;
    let sound = signers.transaction(0, client, peer, Wrong::Nothing);
    let unendorsed = signers.transaction(0, client, peer, Wrong::Endorsement);
    let first = block(Some(&tip(&ledger)), vec![sound]);
    // A repeat in the same block is looked for after the endorsements.
    let twice = [1, 1].map(|n| signers.transaction(n, client, peer, Wrong::Endorsement));
    let repeats = [vec![unendorsed], twice.into()].concat();
    let second = block(Some(&first), repeats);
    for blocks in [[first], [second]] {
        let batch = blocks.map(|block| Ordered::new(block, CHANNEL));
        let codes = commit(&mut ledger, batch.into());
        println!("{codes:?}");
        if codes[0].len() == 3 {
            let unendorsed = Code::ENDORSEMENT_POLICY_FAILURE;
            assert_eq!(codes, [[Code::DUPLICATE_TXID, unendorsed, unendorsed]]);
        }
    }
}

#[test]
fn a_block_is_judged_by_the_configuration_of_the_block_before() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (ledgers, mut ledger) = signers.ledger(data.path());
    let theirs = signers.root_with_theirs();
    let config = signers.config(theirs);
    let by_stranger = |n| signers.transaction(n, &signers.stranger, &signers.peer, Wrong::Nothing);
    let first = block(Some(&tip(&ledger)), vec![by_stranger(1)]);
    let second = block(Some(&first), vec![config]);
    let third = block(Some(&second), vec![by_stranger(2)]);
    let batch = [first, second, third].map(|block| Ordered::new(block, CHANNEL));
    let codes = commit(&mut ledger, batch.into());
    // The majority of two organisations needs two endorsements.
    let expected = [
        Code::BAD_CREATOR_SIGNATURE,
        Code::VALID,
        Code::ENDORSEMENT_POLICY_FAILURE,
    ];
    assert_eq!(codes.concat(), expected);
    // It is the same after a restart.
    let before = tip(&ledger);
    drop(ledger);
    let (mut ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    ledger.judge_signatures(Origin::Quire);
    let next = Ordered::new(block(Some(&before), vec![by_stranger(3)]), CHANNEL);
    let codes = commit(&mut ledger, vec![next]);
    assert_eq!(codes, [[Code::ENDORSEMENT_POLICY_FAILURE]]);
}

/// Fabric's peers do the same. A node that accepted it differently from all others would have another ledger.
#[test]
fn the_channel_stops_before_a_configuration_that_does_not_follow_and_changes_nothing() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = signers.ledger(data.path());
    let mut without_orderers = signers.root.clone();
    without_orderers.groups.remove("Orderer");
    let not_made_by_an_update = ConfigEnvelope {
        config: Some(Config {
            sequence: 1,
            channel_group: Some(signers.root_with_theirs()),
        }),
        last_update: None,
    };
    let sound = signers.transaction(1, &signers.client, &signers.peer, Wrong::Nothing);
    let sound = block(Some(&tip(&ledger)), vec![sound]);
    for config in [
        signers.config(without_orderers),
        signers.signed_config(&not_made_by_an_update),
    ] {
        let refused = block(Some(&sound), vec![config]);
        let batch = [sound.clone(), refused].map(|block| Ordered::new(block, CHANNEL));
        let error = ledger.commit(batch.into()).unwrap_err();
        let cause = match error {
            CommitError::Judge(ReadError::Config(cause)) => cause,
            other => panic!("{other}"),
        };
        assert!(cause.contains("block 2"), "{cause}");
        assert_eq!(ledger.reader().height(), 1);
    }
    let codes = commit(&mut ledger, vec![Ordered::new(sound, CHANNEL)]);
    assert_eq!(codes, [[Code::VALID]]);
}

#[test]
fn what_users_write_to_a_namespace_called_lscc_defines_no_chaincode() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = signers.ledger(data.path());
    let lscc = signers.writing(1, "lscc", "orders", r#"{"a":1}"#);
    let orders = signers.writing(2, "orders", "1", r#"{"a":2}"#);
    let first = block(Some(&tip(&ledger)), vec![lscc]);
    let second = block(Some(&first), vec![orders]);
    for block in [first, second] {
        let codes = commit(&mut ledger, vec![Ordered::new(block, CHANNEL)]);
        assert_eq!(codes, [[Code::VALID]]);
    }
}

#[test]
fn an_endorsed_transaction_writes_neither_the_configuration_nor_the_hashes_of_private_data() {
    let signers = Signers::new();
    let data = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = signers.ledger(data.path());
    let config = signers.writing(1, "", "CHANNEL_CONFIG_ENV_BYTES", "not a configuration");
    let hashes = signers.writing(2, "orders$$hsecrets", "aGFzaA==", "1");
    let sound = signers.writing(3, "orders", "1", "1");
    let first = block(Some(&tip(&ledger)), vec![config, hashes]);
    let second = block(Some(&first), vec![sound]);
    let batch = [first, second].map(|block| Ordered::new(block, CHANNEL));
    let codes = commit(&mut ledger, batch.into());
    let expected = [
        Code::INVALID_CHAINCODE,
        Code::INVALID_CHAINCODE,
        Code::VALID,
    ];
    assert_eq!(codes.concat(), expected);
}
