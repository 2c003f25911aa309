//! Checks an envelope without a key, a policy or any state: does it parse, and does it agree with itself?

use std::collections::HashSet;

use bytes::Bytes;
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::config::ConfigEnvelope;
use quire_wire::hash::proposal_hash;
use quire_wire::peer::{ChaincodeEvent, ChaincodeHeaderExtension, ChaincodeId};
use quire_wire::transaction::{EndorsedAction, Opened, names_signer};
use quire_wire::{Code, DecodeError, Message as _, tolerant};

use super::record::{self, Records};
use crate::model::examined::{Content, Endorsed, Examined, Objection, Origin, ReadWriteSet, Stage};

/// The rules by which an envelope is judged.
#[derive(Clone, Copy, Debug)]
struct Rules<'a> {
    channel: &'a str,
    hashes: Hashes,
    origin: Origin,
    records: Records,
}

/// Where the transaction id and the proposal hash come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hashes {
    /// The envelope claims them.
    Claimed,
    /// This process computed them.
    MadeHere,
}

impl Examined {
    /// Reads an envelope of `channel` and applies the rules that need only the envelope: Fabric's first phase
    /// of validation without signatures and policies.
    #[must_use]
    pub fn new(envelope: &Bytes, channel: &str) -> Self {
        Self::judged_by(envelope, channel, Origin::Quire, Records::OfNow)
    }

    /// Does the same with an envelope that this process made: its transaction id and its proposal hash were
    /// just computed, and are not computed again.
    #[must_use]
    pub fn made_here(envelope: &Bytes, channel: &str) -> Self {
        let examined = Self::examine(
            envelope,
            Some(Rules {
                channel,
                hashes: Hashes::MadeHere,
                origin: Origin::Quire,
                records: Records::OfNow,
            }),
        );
        debug_assert_eq!(examined.code, Self::new(envelope, channel).code);
        examined
    }

    pub(crate) fn judged_by(
        envelope: &Bytes,
        channel: &str,
        origin: Origin,
        records: Records,
    ) -> Self {
        let hashes = Hashes::Claimed;
        Self::examine(
            envelope,
            Some(Rules {
                channel,
                hashes,
                origin,
                records,
            }),
        )
    }

    /// An envelope of a channel's first block. A configuration is not judged there: nobody could sign it, and
    /// it judges what comes after.
    pub(crate) fn first(envelope: &Bytes, channel: &str) -> Self {
        let read = Self::read(envelope);
        match read.content {
            Content::Config(_) => Self {
                opened: None,
                ..read
            },
            Content::Endorsed(_) | Content::Other => Self::new(envelope, channel),
        }
    }

    /// Reads an envelope without judging it, for blocks whose verdicts are stored.
    #[must_use]
    pub fn read(envelope: &Bytes) -> Self {
        Self::examine(envelope, None)
    }

    fn examine(envelope: &Bytes, rules: Option<Rules<'_>>) -> Self {
        let mut found = Found::default();
        let opened = match Opened::read(envelope) {
            Ok(opened) => opened,
            Err(code) => {
                found.object(Stage::Headers, code);
                return found.in_envelope(claimed_tx_id(envelope), Content::Other, None);
            }
        };
        let tx_id = Some(opened.indexed_tx_id());
        let header_type = opened.channel_header.r#type;
        if rules.is_some() || !is_known(header_type) {
            found.object_if(Stage::Headers, header_objection(&opened));
        }
        match header_type {
            header_type::ENDORSER_TRANSACTION => match endorsed(opened, rules, &mut found) {
                Ok(endorsed) => found.in_envelope(tx_id, Content::Endorsed(endorsed), None),
                Err(opened) => found.in_envelope(tx_id, Content::Other, Some(opened)),
            },
            header_type::CONFIG => {
                let config = ConfigEnvelope::decode(opened.data.clone()).ok();
                if config.is_some_and(|envelope| envelope.config.is_some()) {
                    if let Some(rules) = rules {
                        found.object_if(Stage::Transaction, channel_objection(&opened, rules));
                    }
                    let config = Content::Config(opened.data.clone());
                    return found.in_envelope(tx_id, config, Some(Box::new(opened)));
                }
                found.object(Stage::Transaction, Code::INVALID_CONFIG_TRANSACTION);
                found.in_envelope(tx_id, Content::Other, Some(Box::new(opened)))
            }
            // This is a request for another configuration, which only orderers grant.
            _ => {
                found.object(Stage::Transaction, Code::UNSUPPORTED_TX_PAYLOAD);
                found.in_envelope(tx_id, Content::Other, Some(Box::new(opened)))
            }
        }
    }
}

/// The first objection to an envelope.
#[derive(Debug, Default)]
struct Found(Option<Objection>);

impl Found {
    fn object(&mut self, stage: Stage, code: Code) {
        self.0.get_or_insert(Objection { stage, code });
    }

    fn object_if(&mut self, stage: Stage, code: Option<Code>) {
        if let Some(code) = code {
            self.object(stage, code);
        }
    }

    fn in_envelope(
        self,
        tx_id: Option<String>,
        content: Content,
        opened: Option<Box<Opened>>,
    ) -> Examined {
        Examined {
            tx_id,
            code: self.0.map_or(Code::VALID, |objection| objection.code),
            content,
            objection: self.0,
            opened,
        }
    }
}

fn is_known(header_type: i32) -> bool {
    matches!(
        header_type,
        header_type::ENDORSER_TRANSACTION | header_type::CONFIG | header_type::CONFIG_UPDATE
    )
}

/// The claimed id of an envelope whose headers cannot both be read. Fabric finds the envelope by this id.
fn claimed_tx_id(envelope: &Bytes) -> Option<String> {
    let envelope: Envelope = tolerant::decode(envelope.clone(), tolerant::ENVELOPE).ok()?;
    let payload: Payload = tolerant::decode(envelope.payload, tolerant::PAYLOAD).ok()?;
    let header = payload.header?.channel_header;
    let header: ChannelHeader = tolerant::decode(header, tolerant::CHANNEL_HEADER).ok()?;
    let tx_id = header.tx_id;
    (!tx_id.is_empty()).then_some(tx_id)
}

fn header_objection(opened: &Opened) -> Option<Code> {
    let header = &opened.channel_header;
    let creator = &opened.signature_header;
    let is_sound = is_known(header.r#type)
        && header.epoch == 0
        && !creator.nonce.is_empty()
        && !creator.creator.is_empty();
    (!is_sound).then_some(Code::BAD_COMMON_HEADER)
}

/// Fabric looks for the creator among the organisations of the named channel, and so finds none for a channel
/// that it has not joined.
fn channel_objection(opened: &Opened, rules: Rules<'_>) -> Option<Code> {
    let is_ours = opened.channel_header.channel_id == rules.channel;
    (!is_ours).then_some(Code::TARGET_CHAIN_NOT_FOUND)
}

/// Takes an endorser transaction apart. If it cannot be read, that is an objection, and it is given back.
fn endorsed(
    opened: Opened,
    rules: Option<Rules<'_>>,
    found: &mut Found,
) -> Result<Box<Endorsed>, Box<Opened>> {
    let claims = rules.filter(|rules| rules.hashes == Hashes::Claimed);
    if claims.is_some() && opened.channel_header.tx_id != opened.derived_tx_id() {
        found.object(Stage::Transaction, Code::BAD_PROPOSAL_TXID);
    }
    let action = match opened.endorsed_action() {
        Ok(action) => action,
        Err(code) => {
            found.object(Stage::Transaction, code);
            return Err(Box::new(opened));
        }
    };
    let mut called = None;
    if let Some(rules) = rules {
        found.object_if(
            Stage::Transaction,
            action_objection(&opened, &action, rules),
        );
        found.object_if(Stage::Transaction, channel_objection(&opened, rules));
        match extension_of(&opened) {
            Ok(extension) => called = extension.chaincode_id,
            Err(_) => found.object(Stage::Call, Code::BAD_HEADER_EXTENSION),
        }
    }
    let read = action.call().and_then(|call| {
        let read_write_set = ReadWriteSet::read(call.action.results.clone())?;
        Ok((call, read_write_set))
    });
    match read {
        Ok((call, read_write_set)) => {
            let lacks_version = lacks_version(called.as_ref(), call.action.chaincode_id.as_ref());
            let endorsed = Endorsed {
                opened,
                call,
                read_write_set,
                lacks_version,
            };
            if let Some(rules) = rules {
                found.object_if(Stage::Call, endorsed.objection(called, rules));
            }
            Ok(Box::new(endorsed))
        }
        Err(code) => {
            found.object(Stage::Call, code);
            Err(Box::new(opened))
        }
    }
}

fn lacks_version(called: Option<&ChaincodeId>, ran: Option<&ChaincodeId>) -> bool {
    called.zip(ran).is_some_and(|(called, ran)| {
        !called.name.is_empty() && called.name == ran.name && ran.version.is_empty()
    })
}

fn extension_of(opened: &Opened) -> Result<ChaincodeHeaderExtension, DecodeError> {
    let extension = opened.channel_header.extension.clone();
    tolerant::decode(extension, tolerant::HEADER_EXTENSION)
}

/// Checks what binds a transaction's action to its proposal.
fn action_objection(opened: &Opened, action: &EndorsedAction, rules: Rules<'_>) -> Option<Code> {
    // It is usually the proposal's own header, which is sound.
    let has_signer = action.header == opened.signature_header_bytes || names_signer(&action.header);
    let is_hashed = || {
        rules.hashes == Hashes::MadeHere
            || action.response.proposal_hash[..]
                == proposal_hash(
                    &opened.channel_header_bytes,
                    &action.header,
                    &action.proposal_payload,
                )
    };
    let is_bound = has_signer && !action.proposal_payload.is_empty() && is_hashed();
    (!is_bound).then_some(Code::INVALID_ENDORSER_TRANSACTION)
}

impl Endorsed {
    /// The first of Fabric's rules about a call and its outcome that the transaction itself breaks, and after
    /// them our rules of queries. `called` is the chaincode in the header.
    fn objection(&self, called: Option<ChaincodeId>, rules: Rules<'_>) -> Option<Code> {
        let Self { call, .. } = self;
        let (Some(called), Some(ran)) = (called, &call.action.chaincode_id) else {
            return Some(Code::INVALID_OTHER_REASON);
        };
        let has_version = rules.origin == Origin::Quire || !ran.version.is_empty();
        if called.name.is_empty() || called.name != ran.name || !has_version {
            return Some(Code::INVALID_CHAINCODE);
        }
        if !call.action.events.is_empty() {
            let event = tolerant::decode(call.action.events.clone(), tolerant::EVENT);
            if !event.is_ok_and(|event: ChaincodeEvent| event.chaincode_id == called.name) {
                return Some(Code::INVALID_OTHER_REASON);
            }
        }
        let sets = &self.read_write_set.namespaces;
        let mut namespaces = HashSet::new();
        // Most transactions have one namespace, and need no set of names.
        if sets.len() > 1
            && !sets
                .iter()
                .all(|set| namespaces.insert(set.namespace.as_str()))
        {
            return Some(Code::ILLEGAL_WRITESET);
        }
        record::objection(&self.read_write_set, rules.records)
    }
}
