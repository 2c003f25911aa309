//! An endorser transaction taken apart, and put together.
//!
//! ```text
//! Envelope { payload, signature }
//!   Payload { header { channel_header, signature_header }, data }
//!     Transaction { actions: [ TransactionAction { header, payload } ] }
//!       ChaincodeActionPayload { chaincode_proposal_payload, action }
//!         ChaincodeEndorsedAction { proposal_response_payload, endorsements }
//!           ProposalResponsePayload { proposal_hash, extension: ChaincodeAction }
//! ```

use bytes::Bytes;
use prost::Message;

use crate::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader, header_type};
use crate::hash::proposal_hash;
use crate::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ChaincodeSpec, Endorsement, ProposalResponsePayload, Transaction,
};
use crate::{Code, tolerant, tx_id::tx_id};

/// An envelope with both its headers read; the header type tells what its data is.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The payload's bytes: what the creator signed.
    pub payload: Bytes,
    /// The creator's signature over `payload`.
    pub signature: Bytes,
    /// The channel header's bytes, part of the proposal hash.
    pub channel_header_bytes: Bytes,
    /// The signature header's bytes, part of the proposal hash.
    pub signature_header_bytes: Bytes,
    /// What this is and where it belongs.
    pub channel_header: ChannelHeader,
    /// Who made it.
    pub signature_header: SignatureHeader,
    /// The payload's data.
    pub data: Bytes,
}

impl Opened {
    /// Reads an envelope down to its headers.
    ///
    /// # Errors
    /// Returns the validation code that Fabric gives an envelope whose headers cannot be read.
    pub fn read(envelope: &Bytes) -> Result<Self, Code> {
        let envelope: Envelope = tolerant::decode(envelope.clone(), tolerant::ENVELOPE)
            .map_err(|_| Code::INVALID_OTHER_REASON)?;
        let payload: Payload = tolerant::decode(envelope.payload.clone(), tolerant::PAYLOAD)
            .map_err(|_| Code::BAD_PAYLOAD)?;
        let bad = |_| Code::BAD_COMMON_HEADER;
        let header = payload.header.ok_or(Code::BAD_COMMON_HEADER)?;
        let channel_header: ChannelHeader =
            tolerant::decode(header.channel_header.clone(), tolerant::CHANNEL_HEADER)
                .map_err(bad)?;
        let signature_header: SignatureHeader =
            tolerant::decode(header.signature_header.clone(), tolerant::SIGNATURE_HEADER)
                .map_err(bad)?;
        Ok(Self {
            payload: envelope.payload,
            signature: envelope.signature,
            channel_header_bytes: header.channel_header,
            signature_header_bytes: header.signature_header,
            channel_header,
            signature_header,
            data: payload.data,
        })
    }

    /// The transaction id made of nonce and creator, whatever the header claims.
    #[must_use]
    pub fn derived_tx_id(&self) -> String {
        tx_id(&self.signature_header.nonce, &self.signature_header.creator)
    }

    /// The id under which Fabric indexes the transaction: the header's id, or the derived id if the header
    /// has none (configuration transactions).
    #[must_use]
    pub fn indexed_tx_id(&self) -> String {
        if self.channel_header.tx_id.is_empty() {
            self.derived_tx_id()
        } else {
            self.channel_header.tx_id.clone()
        }
    }

    /// Whether the data is an [`EndorsedCall`].
    #[must_use]
    pub fn is_endorser_transaction(&self) -> bool {
        self.channel_header.r#type == header_type::ENDORSER_TRANSACTION
    }

    /// Reads the chaincode call and its outcome out of an endorser transaction.
    ///
    /// # Errors
    /// See [`Opened::endorsed_action`] and [`EndorsedAction::call`].
    pub fn endorsed_call(&self) -> Result<EndorsedCall, Code> {
        self.endorsed_action()?.call()
    }

    /// Reads an endorser transaction down to what was endorsed. The outcome stays serialized: Fabric looks
    /// at this part first, then at the transaction's id, and then at the outcome.
    ///
    /// # Errors
    /// Returns the validation code that Fabric gives a transaction that cannot be read so far, and
    /// `NIL_TXACTION` if there is no endorsed action, which would stop a peer of Fabric.
    pub fn endorsed_action(&self) -> Result<EndorsedAction, Code> {
        let invalid = Code::INVALID_ENDORSER_TRANSACTION;
        let transaction: Transaction =
            tolerant::decode(self.data.clone(), tolerant::TRANSACTION).map_err(|_| invalid)?;
        let mut actions = transaction.actions.into_iter();
        let (Some(action), None) = (actions.next(), actions.next()) else {
            return Err(invalid);
        };
        let payload: ChaincodeActionPayload =
            tolerant::decode(action.payload.clone(), tolerant::ACTION_PAYLOAD)
                .map_err(|_| invalid)?;
        let endorsed = payload.action.ok_or_else(|| {
            if names_signer(&action.header) {
                Code::NIL_TXACTION
            } else {
                invalid
            }
        })?;
        let response: ProposalResponsePayload = tolerant::decode(
            endorsed.proposal_response_payload.clone(),
            tolerant::RESPONSE_PAYLOAD,
        )
        .map_err(|_| invalid)?;
        Ok(EndorsedAction {
            header: action.header,
            proposal_payload: payload.chaincode_proposal_payload,
            proposal_response_payload: endorsed.proposal_response_payload,
            response,
            endorsements: endorsed.endorsements,
        })
    }
}

/// Whether a serialized [`SignatureHeader`] names a creator and has a nonce.
#[must_use]
pub fn names_signer(signature_header: &Bytes) -> bool {
    tolerant::decode(signature_header.clone(), tolerant::SIGNATURE_HEADER)
        .is_ok_and(|header: SignatureHeader| !header.nonce.is_empty() && !header.creator.is_empty())
}

/// What was endorsed, with its outcome still serialized.
#[derive(Clone, Debug, PartialEq)]
pub struct EndorsedAction {
    /// The action's own signature header, part of the proposal hash.
    pub header: Bytes,
    /// A serialized [`ChaincodeProposalPayload`], part of the proposal hash.
    pub proposal_payload: Bytes,
    /// What the endorsers signed.
    pub proposal_response_payload: Bytes,
    /// `proposal_response_payload`, read.
    pub response: ProposalResponsePayload,
    /// Who endorsed it.
    pub endorsements: Vec<Endorsement>,
}

impl EndorsedAction {
    /// Reads the outcome.
    ///
    /// # Errors
    /// Returns `BAD_RESPONSE_PAYLOAD` if there is no outcome, or if it cannot be read.
    pub fn call(self) -> Result<EndorsedCall, Code> {
        let extension = self.response.extension;
        if extension.is_empty() {
            return Err(Code::BAD_RESPONSE_PAYLOAD);
        }
        let action: ChaincodeAction = tolerant::decode(extension, tolerant::CHAINCODE_ACTION)
            .map_err(|_| Code::BAD_RESPONSE_PAYLOAD)?;
        Ok(EndorsedCall {
            action_header: self.header,
            proposal_payload: self.proposal_payload,
            proposal_response_payload: self.proposal_response_payload,
            proposal_hash: self.response.proposal_hash,
            endorsements: self.endorsements,
            action,
        })
    }
}

/// A chaincode call, its outcome, and who endorsed it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndorsedCall {
    /// The action's own signature header, part of the proposal hash.
    pub action_header: Bytes,
    /// A serialized [`ChaincodeProposalPayload`], part of the proposal hash.
    pub proposal_payload: Bytes,
    /// What the endorsers signed.
    pub proposal_response_payload: Bytes,
    /// The proposal hash that the endorsers saw.
    pub proposal_hash: Bytes,
    /// Who endorsed it.
    pub endorsements: Vec<Endorsement>,
    /// The outcome.
    pub action: ChaincodeAction,
}

impl EndorsedCall {
    /// The call itself: chaincode, function, arguments, decorations.
    #[must_use]
    pub fn spec(&self) -> Option<ChaincodeSpec> {
        let payload = ChaincodeProposalPayload::decode(self.proposal_payload.clone()).ok()?;
        ChaincodeInvocationSpec::decode(payload.input)
            .ok()?
            .chaincode_spec
    }
}

/// A proposal that is to become a transaction: the bytes to which everything later refers.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposalBytes {
    /// A serialized [`ChannelHeader`].
    pub channel_header: Bytes,
    /// A serialized [`SignatureHeader`].
    pub signature_header: Bytes,
    /// A serialized [`ChaincodeProposalPayload`] without a transient map.
    pub payload: Bytes,
}

impl ProposalBytes {
    /// Serializes a proposal.
    #[must_use]
    pub fn new(
        channel_header: &ChannelHeader,
        signature_header: &SignatureHeader,
        spec: ChaincodeSpec,
    ) -> Self {
        let payload = nested::ProposalPayload {
            input: Some(ChaincodeInvocationSpec {
                chaincode_spec: Some(spec),
            }),
        };
        Self {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
            payload: payload.encode_to_vec().into(),
        }
    }

    /// The serialized [`crate::peer::Proposal`], which its creator signs.
    #[must_use]
    pub fn proposal(&self) -> Bytes {
        let proposal = nested::Proposal {
            header: Some(Header {
                channel_header: self.channel_header.clone(),
                signature_header: self.signature_header.clone(),
            }),
            payload: self.payload.clone(),
        };
        proposal.encode_to_vec().into()
    }

    /// What an endorser signs, with its identity appended, if `action` is the outcome.
    #[must_use]
    pub fn response_payload(&self, action: &ChaincodeAction) -> Bytes {
        let hash = proposal_hash(&self.channel_header, &self.signature_header, &self.payload);
        ProposalResponsePayload {
            proposal_hash: Bytes::copy_from_slice(&hash),
            extension: action.encode_to_vec().into(),
        }
        .encode_to_vec()
        .into()
    }

    /// The payload of the finished transaction, for its creator to sign.
    #[must_use]
    pub fn transaction_payload(
        self,
        proposal_response_payload: Bytes,
        endorsements: Vec<Endorsement>,
    ) -> Bytes {
        let action = nested::Action {
            header: self.signature_header.clone(),
            payload: Some(ChaincodeActionPayload {
                chaincode_proposal_payload: self.payload,
                action: Some(ChaincodeEndorsedAction {
                    proposal_response_payload,
                    endorsements,
                }),
            }),
        };
        let payload = nested::Payload {
            header: Some(Header {
                channel_header: self.channel_header,
                signature_header: self.signature_header,
            }),
            data: Some(nested::Transaction {
                action: Some(action),
            }),
        };
        payload.encode_to_vec().into()
    }
}

/// Fabric's messages, but with fields that hold messages instead of their bytes. Both have the same
/// serialized form, but these are serialized once, not once for each message around them.
mod nested {
    use bytes::Bytes;

    use crate::common::Header;
    use crate::peer::{ChaincodeActionPayload, ChaincodeInvocationSpec};

    /// [`crate::peer::ChaincodeProposalPayload`].
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ProposalPayload {
        #[prost(message, optional, tag = "1")]
        pub(super) input: Option<ChaincodeInvocationSpec>,
    }

    /// [`crate::peer::Proposal`].
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Proposal {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<Header>,
        #[prost(bytes = "bytes", tag = "2")]
        pub(super) payload: Bytes,
    }

    /// [`crate::common::Payload`].
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Payload {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<Header>,
        #[prost(message, optional, tag = "2")]
        pub(super) data: Option<Transaction>,
    }

    /// [`crate::peer::Transaction`], which has one action.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Transaction {
        #[prost(message, optional, tag = "1")]
        pub(super) action: Option<Action>,
    }

    /// [`crate::peer::TransactionAction`].
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Action {
        #[prost(bytes = "bytes", tag = "1")]
        pub(super) header: Bytes,
        #[prost(message, optional, tag = "2")]
        pub(super) payload: Option<ChaincodeActionPayload>,
    }
}

/// The bytes of an envelope.
#[must_use]
pub fn seal(payload: Bytes, signature: Bytes) -> Bytes {
    Envelope { payload, signature }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{ChaincodeId, ChaincodeInput};

    fn proposal() -> ProposalBytes {
        ProposalBytes::new(
            &ChannelHeader {
                r#type: header_type::ENDORSER_TRANSACTION,
                channel_id: "main".into(),
                tx_id: tx_id(b"nonce", b"creator"),
                ..Default::default()
            },
            &SignatureHeader {
                creator: "creator".into(),
                nonce: "nonce".into(),
            },
            ChaincodeSpec {
                r#type: 1,
                chaincode_id: Some(ChaincodeId {
                    name: "orders".into(),
                    ..Default::default()
                }),
                input: Some(ChaincodeInput {
                    args: vec!["put".into(), "k".into()],
                    decorations: [("quire".to_owned(), vec![1])].into(),
                    is_init: false,
                }),
                timeout: 0,
            },
        )
    }

    #[test]
    fn a_transaction_put_together_comes_apart_again() {
        let proposal = proposal();
        let action = ChaincodeAction {
            results: "rwset".into(),
            ..Default::default()
        };
        let response_payload = proposal.response_payload(&action);
        let endorsement = Endorsement {
            endorser: "peer".into(),
            signature: "sig".into(),
        };
        let payload = proposal
            .clone()
            .transaction_payload(response_payload.clone(), vec![endorsement.clone()]);

        let opened = Opened::read(&seal(payload.clone(), "creator's".into())).unwrap();
        assert_eq!(opened.payload, payload);
        assert_eq!(opened.signature, "creator's");
        assert_eq!(opened.channel_header.tx_id, opened.derived_tx_id());
        let call = opened.endorsed_call().unwrap();
        assert_eq!(call.action, action);
        assert_eq!(call.action_header, opened.signature_header_bytes);
        assert_eq!(call.proposal_response_payload, response_payload);
        assert_eq!(call.endorsements, [endorsement]);
        assert_eq!(
            call.proposal_hash,
            proposal_hash(
                &opened.channel_header_bytes,
                &opened.signature_header_bytes,
                &call.proposal_payload
            )
            .as_slice()
        );
        let spec = call.spec().unwrap();
        assert_eq!(spec.input.unwrap().decorations["quire"], [1]);
    }

    #[test]
    fn what_cannot_be_opened_gets_the_code_of_fabric() {
        let cases: [(&[u8], Code); 4] = [
            (b"", Code::BAD_COMMON_HEADER),
            (b"\xff", Code::INVALID_OTHER_REASON),
            (b"\x0a\x01\xff", Code::BAD_PAYLOAD),
            (b"\x0a\x00", Code::BAD_COMMON_HEADER),
        ];
        for (envelope, code) in cases {
            let read = Opened::read(&Bytes::from_static(envelope));
            assert_eq!(read, Err(code), "{envelope:x?}");
        }
    }
}
