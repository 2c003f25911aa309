//! Runs calls on a snapshot, and endorses what came of them.

use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::{Call, Chaincode as _, ChaincodeError, Documents};
use quire_identity::SigningIdentity;
use quire_ledger::{Meter, Reader, Simulator};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, SignatureHeader, Timestamp, header_type};
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeSpec,
    Endorsement, Response,
};
use quire_wire::transaction::ProposalBytes;

use crate::submit::{DECORATION, Evaluated, Proposal};

/// The version of the built-in chaincode that transactions name.
const CHAINCODE_VERSION: &str = "1";
/// Fabric's type of a chaincode whose language is not said (`GOLANG`).
const CHAINCODE_TYPE: i32 = 1;
/// A chaincode's answer to a call that went well.
pub(crate) const OK: i32 = 200;

/// The endorser of a channel.
#[derive(Debug)]
pub(crate) struct Endorser {
    channel: Arc<str>,
    reader: Reader,
    documents: Documents,
    identity: Arc<SigningIdentity>,
}

/// What a call gave, and an endorsement of it.
#[derive(Debug)]
pub(crate) struct Endorsed {
    /// What was signed.
    pub(crate) response_payload: Bytes,
    pub(crate) endorsement: Endorsement,
    /// What the chaincode answered; the payload has it too.
    pub(crate) result: Bytes,
}

impl Endorser {
    pub(crate) fn new(
        reader: Reader,
        documents: Documents,
        identity: Arc<SigningIdentity>,
    ) -> Self {
        Self {
            channel: reader.channel().into(),
            reader,
            documents,
            identity,
        }
    }

    pub(crate) fn evaluate(&self, call: &Call, meter: Meter) -> Result<Evaluated, ChaincodeError> {
        evaluate(&self.documents, &self.reader, call, meter)
    }

    /// Runs a proposal's chaincode on a snapshot, writes down what came of it, and signs that.
    pub(crate) fn endorse(
        &self,
        call: &Call,
        proposal: &ProposalBytes,
        meter: Meter,
    ) -> Result<Endorsed, ChaincodeError> {
        let mut simulator = Simulator::new(self.reader.snapshot()).with_meter(meter);
        let result = self.documents.invoke(call, &mut simulator)?;
        simulator.check_writes()?;
        let action = ChaincodeAction {
            results: simulator.into_read_write_set().encode_to_vec().into(),
            events: Bytes::new(),
            response: Some(Response {
                status: OK,
                message: String::new(),
                payload: result.clone(),
            }),
            chaincode_id: Some(chaincode_id(call, CHAINCODE_VERSION)),
        };
        let response_payload = proposal.response_payload(&action);
        let endorser = self.identity.serialized();
        let signed = [response_payload.as_ref(), endorser.as_ref()].concat();
        Ok(Endorsed {
            endorsement: Endorsement {
                endorser: endorser.clone(),
                signature: self.identity.sign(&signed),
            },
            response_payload,
            result,
        })
    }

    /// The bytes of a proposal by an identity of this node.
    pub(crate) fn proposal(&self, proposal: &Proposal, timestamp: Timestamp) -> ProposalBytes {
        let call = &proposal.call;
        let header = ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            timestamp: Some(timestamp),
            channel_id: self.channel.as_ref().to_owned(),
            tx_id: proposal.tx_id.clone(),
            extension: ChaincodeHeaderExtension {
                chaincode_id: Some(chaincode_id(call, "")),
            }
            .encode_to_vec()
            .into(),
            ..ChannelHeader::default()
        };
        let creator = SignatureHeader {
            creator: proposal.identity.serialized().clone(),
            nonce: Bytes::copy_from_slice(&proposal.nonce),
        };
        let function = Bytes::copy_from_slice(call.function.as_bytes());
        let decoration = proposal.decoration.iter();
        let spec = ChaincodeSpec {
            r#type: CHAINCODE_TYPE,
            chaincode_id: Some(chaincode_id(call, "")),
            input: Some(ChaincodeInput {
                args: std::iter::once(function)
                    .chain(call.args.iter().cloned())
                    .collect(),
                decorations: decoration
                    .map(|bytes| (DECORATION.to_owned(), bytes.to_vec()))
                    .collect(),
                is_init: false,
            }),
            timeout: 0,
        };
        ProposalBytes::new(&header, &creator, spec)
    }
}

/// Runs a call that is not to be ordered.
pub(crate) fn evaluate(
    documents: &Documents,
    reader: &Reader,
    call: &Call,
    meter: Meter,
) -> Result<Evaluated, ChaincodeError> {
    let mut simulator = Simulator::new(reader.snapshot()).with_meter(meter);
    let height = simulator.snapshot().height();
    let result = documents.invoke(call, &mut simulator)?;
    Ok(Evaluated { result, height })
}

fn chaincode_id(call: &Call, version: &str) -> ChaincodeId {
    ChaincodeId {
        path: String::new(),
        name: call.chaincode.clone(),
        version: version.to_owned(),
    }
}
