//! Package `protos`: proposals, their answers, and the transactions made of them.

use super::{chaincode, common, policies, rwset};
use crate::json::schema::Kind::{Bool, Bytes, Int32, Message, Text, Timestamp};
use crate::json::schema::{EnumType, MessageType, many, map, one};

pub(super) static ALL: &[&MessageType] = &[
    &SIGNED_PROPOSAL,
    &PROPOSAL,
    &CHAINCODE_HEADER_EXTENSION,
    &CHAINCODE_PROPOSAL_PAYLOAD,
    &CHAINCODE_ACTION,
    &PROPOSAL_RESPONSE,
    &RESPONSE,
    &PROPOSAL_RESPONSE_PAYLOAD,
    &ENDORSEMENT,
    &CHAINCODE_INTEREST,
    &CHAINCODE_CALL,
    &PROCESSED_TRANSACTION,
    &TRANSACTION,
    &TRANSACTION_ACTION,
    &CHAINCODE_ACTION_PAYLOAD,
    &CHAINCODE_ENDORSED_ACTION,
    &CHAINCODE_EVENT,
];

pub(in crate::json) static SIGNED_PROPOSAL: MessageType = MessageType {
    name: "protos.SignedProposal",
    fields: &[one(1, "proposal_bytes", Bytes), one(2, "signature", Bytes)],
};

pub(in crate::json) static PROPOSAL: MessageType = MessageType {
    name: "protos.Proposal",
    fields: &[
        one(1, "header", Bytes),
        one(2, "payload", Bytes),
        one(3, "extension", Bytes),
    ],
};

pub(in crate::json) static CHAINCODE_HEADER_EXTENSION: MessageType = MessageType {
    name: "protos.ChaincodeHeaderExtension",
    fields: &[one(2, "chaincode_id", Message(&chaincode::CHAINCODE_ID))],
};

pub(in crate::json) static CHAINCODE_PROPOSAL_PAYLOAD: MessageType = MessageType {
    name: "protos.ChaincodeProposalPayload",
    fields: &[
        one(1, "input", Bytes).opaque(&chaincode::CHAINCODE_INVOCATION_SPEC),
        map(2, "TransientMap", Bytes),
    ],
};

pub(in crate::json) static CHAINCODE_ACTION: MessageType = MessageType {
    name: "protos.ChaincodeAction",
    fields: &[
        one(1, "results", Bytes).opaque(&rwset::TX_READ_WRITE_SET),
        one(2, "events", Bytes).opaque(&CHAINCODE_EVENT),
        one(3, "response", Message(&RESPONSE)),
        one(4, "chaincode_id", Message(&chaincode::CHAINCODE_ID)),
    ],
};

pub(in crate::json) static PROPOSAL_RESPONSE: MessageType = MessageType {
    name: "protos.ProposalResponse",
    fields: &[
        one(1, "version", Int32),
        one(2, "timestamp", Timestamp),
        one(4, "response", Message(&RESPONSE)),
        one(5, "payload", Bytes),
        one(6, "endorsement", Message(&ENDORSEMENT)),
        one(7, "interest", Message(&CHAINCODE_INTEREST)),
    ],
};

pub(in crate::json) static RESPONSE: MessageType = MessageType {
    name: "protos.Response",
    fields: &[
        one(1, "status", Int32),
        one(2, "message", Text),
        one(3, "payload", Bytes),
    ],
};

pub(in crate::json) static PROPOSAL_RESPONSE_PAYLOAD: MessageType = MessageType {
    name: "protos.ProposalResponsePayload",
    fields: &[
        one(1, "proposal_hash", Bytes),
        one(2, "extension", Bytes).opaque(&CHAINCODE_ACTION),
    ],
};

pub(in crate::json) static ENDORSEMENT: MessageType = MessageType {
    name: "protos.Endorsement",
    fields: &[one(1, "endorser", Bytes), one(2, "signature", Bytes)],
};

pub(in crate::json) static CHAINCODE_INTEREST: MessageType = MessageType {
    name: "protos.ChaincodeInterest",
    fields: &[many(1, "chaincodes", Message(&CHAINCODE_CALL))],
};

pub(in crate::json) static CHAINCODE_CALL: MessageType = MessageType {
    name: "protos.ChaincodeCall",
    fields: &[
        one(1, "name", Text),
        many(2, "collection_names", Text),
        one(3, "no_private_reads", Bool),
        one(4, "no_public_writes", Bool),
        many(
            5,
            "key_policies",
            Message(&policies::SIGNATURE_POLICY_ENVELOPE),
        ),
        one(6, "disregard_namespace_policy", Bool),
    ],
};

pub(in crate::json) static PROCESSED_TRANSACTION: MessageType = MessageType {
    name: "protos.ProcessedTransaction",
    fields: &[
        one(1, "transactionEnvelope", Message(&common::ENVELOPE)),
        one(2, "validationCode", Int32),
    ],
};

pub(in crate::json) static TRANSACTION: MessageType = MessageType {
    name: "protos.Transaction",
    fields: &[many(1, "actions", Message(&TRANSACTION_ACTION))],
};

pub(in crate::json) static TRANSACTION_ACTION: MessageType = MessageType {
    name: "protos.TransactionAction",
    fields: &[
        one(1, "header", Bytes).opaque(&common::SIGNATURE_HEADER),
        one(2, "payload", Bytes).opaque(&CHAINCODE_ACTION_PAYLOAD),
    ],
};

pub(in crate::json) static CHAINCODE_ACTION_PAYLOAD: MessageType = MessageType {
    name: "protos.ChaincodeActionPayload",
    fields: &[
        one(1, "chaincode_proposal_payload", Bytes).opaque(&CHAINCODE_PROPOSAL_PAYLOAD),
        one(2, "action", Message(&CHAINCODE_ENDORSED_ACTION)),
    ],
};

pub(in crate::json) static CHAINCODE_ENDORSED_ACTION: MessageType = MessageType {
    name: "protos.ChaincodeEndorsedAction",
    fields: &[
        one(1, "proposal_response_payload", Bytes).opaque(&PROPOSAL_RESPONSE_PAYLOAD),
        many(2, "endorsements", Message(&ENDORSEMENT)),
    ],
};

pub(in crate::json) static TX_VALIDATION_CODE: EnumType = EnumType {
    values: &[
        (0, "VALID"),
        (1, "NIL_ENVELOPE"),
        (2, "BAD_PAYLOAD"),
        (3, "BAD_COMMON_HEADER"),
        (4, "BAD_CREATOR_SIGNATURE"),
        (5, "INVALID_ENDORSER_TRANSACTION"),
        (6, "INVALID_CONFIG_TRANSACTION"),
        (7, "UNSUPPORTED_TX_PAYLOAD"),
        (8, "BAD_PROPOSAL_TXID"),
        (9, "DUPLICATE_TXID"),
        (10, "ENDORSEMENT_POLICY_FAILURE"),
        (11, "MVCC_READ_CONFLICT"),
        (12, "PHANTOM_READ_CONFLICT"),
        (13, "UNKNOWN_TX_TYPE"),
        (14, "TARGET_CHAIN_NOT_FOUND"),
        (15, "MARSHAL_TX_ERROR"),
        (16, "NIL_TXACTION"),
        (17, "EXPIRED_CHAINCODE"),
        (18, "CHAINCODE_VERSION_CONFLICT"),
        (19, "BAD_HEADER_EXTENSION"),
        (20, "BAD_CHANNEL_HEADER"),
        (21, "BAD_RESPONSE_PAYLOAD"),
        (22, "BAD_RWSET"),
        (23, "ILLEGAL_WRITESET"),
        (24, "INVALID_WRITESET"),
        (25, "INVALID_CHAINCODE"),
        (254, "NOT_VALIDATED"),
        (255, "INVALID_OTHER_REASON"),
    ],
};

pub(in crate::json) static CHAINCODE_EVENT: MessageType = MessageType {
    name: "protos.ChaincodeEvent",
    fields: &[
        one(1, "chaincode_id", Text),
        one(2, "tx_id", Text),
        one(3, "event_name", Text),
        one(4, "payload", Bytes),
    ],
};
