//! Functions that make endorser transactions.

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, SignatureHeader, Timestamp, header_type};
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeSpec,
    Endorsement, Response,
};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;

/// Fabric's type of a chaincode whose language is not given (`GOLANG`).
const CHAINCODE_TYPE: i32 = 1;

/// An endorser transaction before anybody has endorsed or signed it.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The channel.
    pub channel: String,
    /// The chaincode that was called.
    pub chaincode: String,
    /// The caller, as a serialized identity.
    pub creator: Bytes,
    /// The nonce and the creator make the transaction id.
    pub nonce: Bytes,
    /// The transaction id, if it is not made of nonce and creator.
    pub tx_id: Option<String>,
    /// The time.
    pub timestamp: Option<Timestamp>,
    /// The arguments of the call, the function's name first.
    pub args: Vec<Bytes>,
    /// What travels with the arguments, by its name.
    pub decorations: Vec<(String, Bytes)>,
    /// A serialized read-write set.
    pub results: Bytes,
    /// What the chaincode answered.
    pub result: Bytes,
    /// The serialized event that it told.
    pub event: Bytes,
}

impl Transaction {
    /// A call of a chaincode by a creator that is not an identity. It read and wrote nothing.
    pub fn new(channel: &str, chaincode: &str, nonce: impl AsRef<[u8]>) -> Self {
        Self {
            channel: channel.to_owned(),
            chaincode: chaincode.to_owned(),
            creator: Bytes::from_static(b"creator"),
            nonce: Bytes::copy_from_slice(nonce.as_ref()),
            tx_id: None,
            timestamp: None,
            args: Vec::new(),
            decorations: Vec::new(),
            results: Bytes::new(),
            result: Bytes::new(),
            event: Bytes::new(),
        }
    }

    /// The envelope, which nobody endorsed or signed: it is for a ledger that judges no signatures.
    pub fn envelope(&self) -> Bytes {
        self.signed(|_| Vec::new(), |_| Bytes::new())
    }

    /// The envelope, with these endorsements of the response and this signature of the payload.
    pub fn signed(
        &self,
        endorse: impl FnOnce(&Bytes) -> Vec<Endorsement>,
        sign: impl FnOnce(&Bytes) -> Bytes,
    ) -> Bytes {
        let proposal = self.proposal();
        let response = proposal.response_payload(&ChaincodeAction {
            results: self.results.clone(),
            events: self.event.clone(),
            response: Some(Response {
                status: 200,
                message: String::new(),
                payload: self.result.clone(),
            }),
            chaincode_id: Some(self.chaincode_id()),
        });
        let endorsements = endorse(&response);
        let payload = proposal.transaction_payload(response, endorsements);
        let signature = sign(&payload);
        seal(payload, signature)
    }

    fn proposal(&self) -> ProposalBytes {
        let extension = ChaincodeHeaderExtension {
            chaincode_id: Some(self.chaincode_id()),
        };
        let own_id = || tx_id(&self.nonce, &self.creator);
        let header = ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            timestamp: self.timestamp,
            channel_id: self.channel.clone(),
            tx_id: self.tx_id.clone().unwrap_or_else(own_id),
            extension: extension.encode_to_vec().into(),
            ..ChannelHeader::default()
        };
        let creator = SignatureHeader {
            creator: self.creator.clone(),
            nonce: self.nonce.clone(),
        };
        let decorations = self.decorations.iter();
        let input = ChaincodeInput {
            args: self.args.clone(),
            decorations: decorations
                .map(|(name, value)| (name.clone(), value.to_vec()))
                .collect(),
            is_init: false,
        };
        let spec = ChaincodeSpec {
            r#type: CHAINCODE_TYPE,
            chaincode_id: Some(self.chaincode_id()),
            input: (!input.args.is_empty()).then_some(input),
            timeout: 0,
        };
        ProposalBytes::new(&header, &creator, spec)
    }

    fn chaincode_id(&self) -> ChaincodeId {
        ChaincodeId {
            name: self.chaincode.clone(),
            ..ChaincodeId::default()
        }
    }
}
