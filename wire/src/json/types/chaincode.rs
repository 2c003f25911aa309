//! Package `protos`: chaincodes, their packages and their collections.

use super::{policies, transaction};
use crate::json::schema::Kind::{Bool, Bytes, Enum, Int32, Message, Text, Uint32, Uint64};
use crate::json::schema::{EnumType, MessageType, choice, many, map, one};

pub(super) static ALL: &[&MessageType] = &[
    &CHAINCODE_ID,
    &CHAINCODE_INPUT,
    &CHAINCODE_SPEC,
    &CHAINCODE_DEPLOYMENT_SPEC,
    &CHAINCODE_INVOCATION_SPEC,
    &LIFECYCLE_EVENT,
    &CDS_DATA,
    &CHAINCODE_DATA,
    &CHAINCODE_ADDITIONAL_PARAMS,
    &COLLECTION_CONFIG_PACKAGE,
    &COLLECTION_CONFIG,
    &STATIC_COLLECTION_CONFIG,
    &COLLECTION_POLICY_CONFIG,
    &APPLICATION_POLICY,
    &SIGNED_CHAINCODE_DEPLOYMENT_SPEC,
];

pub(in crate::json) static CHAINCODE_ID: MessageType = MessageType {
    name: "protos.ChaincodeID",
    fields: &[
        one(1, "path", Text),
        one(2, "name", Text),
        one(3, "version", Text),
    ],
};

pub(in crate::json) static CHAINCODE_INPUT: MessageType = MessageType {
    name: "protos.ChaincodeInput",
    fields: &[
        many(1, "args", Bytes),
        map(2, "decorations", Bytes),
        one(3, "is_init", Bool),
    ],
};

pub(in crate::json) static CHAINCODE_SPEC: MessageType = MessageType {
    name: "protos.ChaincodeSpec",
    fields: &[
        one(1, "type", Enum(&CHAINCODE_SPEC_TYPE)),
        one(2, "chaincode_id", Message(&CHAINCODE_ID)),
        one(3, "input", Message(&CHAINCODE_INPUT)),
        one(4, "timeout", Int32),
    ],
};

static CHAINCODE_SPEC_TYPE: EnumType = EnumType {
    values: &[
        (0, "UNDEFINED"),
        (1, "GOLANG"),
        (2, "NODE"),
        (3, "CAR"),
        (4, "JAVA"),
    ],
};

pub(in crate::json) static CHAINCODE_DEPLOYMENT_SPEC: MessageType = MessageType {
    name: "protos.ChaincodeDeploymentSpec",
    fields: &[
        one(1, "chaincode_spec", Message(&CHAINCODE_SPEC)),
        one(3, "code_package", Bytes),
    ],
};

pub(in crate::json) static CHAINCODE_INVOCATION_SPEC: MessageType = MessageType {
    name: "protos.ChaincodeInvocationSpec",
    fields: &[one(1, "chaincode_spec", Message(&CHAINCODE_SPEC))],
};

pub(in crate::json) static LIFECYCLE_EVENT: MessageType = MessageType {
    name: "protos.LifecycleEvent",
    fields: &[one(1, "chaincode_name", Text)],
};

pub(in crate::json) static CDS_DATA: MessageType = MessageType {
    name: "protos.CDSData",
    fields: &[one(1, "hash", Bytes), one(2, "metadatahash", Bytes)],
};

pub(in crate::json) static CHAINCODE_DATA: MessageType = MessageType {
    name: "protos.ChaincodeData",
    fields: &[
        one(1, "name", Text),
        one(2, "version", Text),
        one(3, "escc", Text),
        one(4, "vscc", Text),
        one(5, "policy", Message(&policies::SIGNATURE_POLICY_ENVELOPE)),
        one(6, "data", Bytes),
        one(7, "id", Bytes),
        one(
            8,
            "instantiation_policy",
            Message(&policies::SIGNATURE_POLICY_ENVELOPE),
        ),
    ],
};

pub(in crate::json) static CHAINCODE_ADDITIONAL_PARAMS: MessageType = MessageType {
    name: "protos.ChaincodeAdditionalParams",
    fields: &[
        one(1, "use_write_batch", Bool),
        one(2, "max_size_write_batch", Uint32),
        one(3, "use_get_multiple_keys", Bool),
        one(4, "max_size_get_multiple_keys", Uint32),
    ],
};

pub(in crate::json) static COLLECTION_CONFIG_PACKAGE: MessageType = MessageType {
    name: "protos.CollectionConfigPackage",
    fields: &[many(1, "config", Message(&COLLECTION_CONFIG))],
};

pub(in crate::json) static COLLECTION_CONFIG: MessageType = MessageType {
    name: "protos.CollectionConfig",
    fields: &[choice(
        1,
        "static_collection_config",
        Message(&STATIC_COLLECTION_CONFIG),
    )],
};

pub(in crate::json) static STATIC_COLLECTION_CONFIG: MessageType = MessageType {
    name: "protos.StaticCollectionConfig",
    fields: &[
        one(1, "name", Text),
        one(2, "member_orgs_policy", Message(&COLLECTION_POLICY_CONFIG)),
        one(3, "required_peer_count", Int32),
        one(4, "maximum_peer_count", Int32),
        one(5, "block_to_live", Uint64),
        one(6, "member_only_read", Bool),
        one(7, "member_only_write", Bool),
        one(8, "endorsement_policy", Message(&APPLICATION_POLICY)),
    ],
};

pub(in crate::json) static COLLECTION_POLICY_CONFIG: MessageType = MessageType {
    name: "protos.CollectionPolicyConfig",
    fields: &[choice(
        1,
        "signature_policy",
        Message(&policies::SIGNATURE_POLICY_ENVELOPE),
    )],
};

pub(in crate::json) static APPLICATION_POLICY: MessageType = MessageType {
    name: "protos.ApplicationPolicy",
    fields: &[
        choice(
            1,
            "signature_policy",
            Message(&policies::SIGNATURE_POLICY_ENVELOPE),
        ),
        choice(2, "channel_config_policy_reference", Text),
    ],
};

pub(in crate::json) static SIGNED_CHAINCODE_DEPLOYMENT_SPEC: MessageType = MessageType {
    name: "protos.SignedChaincodeDeploymentSpec",
    fields: &[
        one(1, "chaincode_deployment_spec", Bytes),
        one(2, "instantiation_policy", Bytes),
        many(3, "owner_endorsements", Message(&transaction::ENDORSEMENT)),
    ],
};
