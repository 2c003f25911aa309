//! Packages `common` and `msp`: policies, identities, and what an organisation is made of.

use crate::json::rules;
use crate::json::schema::Kind::{Bool, Bytes, Enum, Int32, Int64, Message, Text};
use crate::json::schema::{EnumType, MessageType, choice, many, one};

pub(super) static ALL: &[&MessageType] = &[
    &POLICY,
    &SIGNATURE_POLICY_ENVELOPE,
    &SIGNATURE_POLICY,
    &SIGNATURE_POLICY_N_OUT_OF,
    &IMPLICIT_META_POLICY,
    &APPLICATION_POLICY,
    &SERIALIZED_IDENTITY,
    &SERIALIZED_IDEMIX_IDENTITY,
    &MSP_CONFIG,
    &FABRIC_MSP_CONFIG,
    &FABRIC_CRYPTO_CONFIG,
    &IDEMIX_MSP_CONFIG,
    &IDEMIX_MSP_SIGNER_CONFIG,
    &SIGNING_IDENTITY_INFO,
    &KEY_INFO,
    &FABRIC_OU_IDENTIFIER,
    &FABRIC_NODE_OUS,
    &MSP_PRINCIPAL,
    &ORGANIZATION_UNIT,
    &MSP_ROLE,
    &MSP_IDENTITY_ANONYMITY,
    &COMBINED_PRINCIPAL,
];

pub(in crate::json) static POLICY: MessageType = MessageType {
    name: "common.Policy",
    fields: &[
        one(1, "type", Int32),
        one(2, "value", Bytes).variable(rules::policy),
    ],
};

pub(in crate::json) static SIGNATURE_POLICY_ENVELOPE: MessageType = MessageType {
    name: "common.SignaturePolicyEnvelope",
    fields: &[
        one(1, "version", Int32),
        one(2, "rule", Message(&SIGNATURE_POLICY)),
        many(3, "identities", Message(&MSP_PRINCIPAL)),
    ],
};

pub(in crate::json) static SIGNATURE_POLICY: MessageType = MessageType {
    name: "common.SignaturePolicy",
    fields: &[
        choice(1, "signed_by", Int32),
        choice(2, "n_out_of", Message(&SIGNATURE_POLICY_N_OUT_OF)),
    ],
};

pub(in crate::json) static SIGNATURE_POLICY_N_OUT_OF: MessageType = MessageType {
    name: "common.SignaturePolicy.NOutOf",
    fields: &[
        one(1, "n", Int32),
        many(2, "rules", Message(&SIGNATURE_POLICY)),
    ],
};

pub(in crate::json) static IMPLICIT_META_POLICY: MessageType = MessageType {
    name: "common.ImplicitMetaPolicy",
    fields: &[
        one(1, "sub_policy", Text),
        one(2, "rule", Enum(&IMPLICIT_META_POLICY_RULE)),
    ],
};

static IMPLICIT_META_POLICY_RULE: EnumType = EnumType {
    values: &[(0, "ANY"), (1, "ALL"), (2, "MAJORITY")],
};

pub(in crate::json) static APPLICATION_POLICY: MessageType = MessageType {
    name: "common.ApplicationPolicy",
    fields: &[
        choice(1, "signature_policy", Message(&SIGNATURE_POLICY_ENVELOPE)),
        choice(2, "channel_config_policy_reference", Text),
    ],
};

pub(in crate::json) static SERIALIZED_IDENTITY: MessageType = MessageType {
    name: "msp.SerializedIdentity",
    fields: &[one(1, "mspid", Text), one(2, "id_bytes", Bytes)],
};

pub(in crate::json) static SERIALIZED_IDEMIX_IDENTITY: MessageType = MessageType {
    name: "msp.SerializedIdemixIdentity",
    fields: &[
        one(1, "nym_x", Bytes),
        one(2, "nym_y", Bytes),
        one(3, "ou", Bytes),
        one(4, "role", Bytes),
        one(5, "proof", Bytes),
    ],
};

pub(in crate::json) static MSP_CONFIG: MessageType = MessageType {
    name: "msp.MSPConfig",
    fields: &[
        one(1, "type", Int32),
        one(2, "config", Bytes).variable(rules::msp_config),
    ],
};

pub(in crate::json) static FABRIC_MSP_CONFIG: MessageType = MessageType {
    name: "msp.FabricMSPConfig",
    fields: &[
        one(1, "name", Text),
        many(2, "root_certs", Bytes),
        many(3, "intermediate_certs", Bytes),
        many(4, "admins", Bytes),
        many(5, "revocation_list", Bytes),
        one(6, "signing_identity", Message(&SIGNING_IDENTITY_INFO)),
        many(
            7,
            "organizational_unit_identifiers",
            Message(&FABRIC_OU_IDENTIFIER),
        ),
        one(8, "crypto_config", Message(&FABRIC_CRYPTO_CONFIG)),
        many(9, "tls_root_certs", Bytes),
        many(10, "tls_intermediate_certs", Bytes),
        one(11, "fabric_node_ous", Message(&FABRIC_NODE_OUS)),
    ],
};

pub(in crate::json) static FABRIC_CRYPTO_CONFIG: MessageType = MessageType {
    name: "msp.FabricCryptoConfig",
    fields: &[
        one(1, "signature_hash_family", Text),
        one(2, "identity_identifier_hash_function", Text),
    ],
};

pub(in crate::json) static IDEMIX_MSP_CONFIG: MessageType = MessageType {
    name: "msp.IdemixMSPConfig",
    fields: &[
        one(1, "name", Text),
        one(2, "ipk", Bytes),
        one(3, "signer", Message(&IDEMIX_MSP_SIGNER_CONFIG)),
        one(4, "revocation_pk", Bytes),
        one(5, "epoch", Int64),
    ],
};

pub(in crate::json) static IDEMIX_MSP_SIGNER_CONFIG: MessageType = MessageType {
    name: "msp.IdemixMSPSignerConfig",
    fields: &[
        one(1, "cred", Bytes),
        one(2, "sk", Bytes),
        one(3, "organizational_unit_identifier", Text),
        one(4, "role", Int32),
        one(5, "enrollment_id", Text),
        one(6, "credential_revocation_information", Bytes),
    ],
};

pub(in crate::json) static SIGNING_IDENTITY_INFO: MessageType = MessageType {
    name: "msp.SigningIdentityInfo",
    fields: &[
        one(1, "public_signer", Bytes),
        one(2, "private_signer", Message(&KEY_INFO)),
    ],
};

pub(in crate::json) static KEY_INFO: MessageType = MessageType {
    name: "msp.KeyInfo",
    fields: &[
        one(1, "key_identifier", Text),
        one(2, "key_material", Bytes),
    ],
};

pub(in crate::json) static FABRIC_OU_IDENTIFIER: MessageType = MessageType {
    name: "msp.FabricOUIdentifier",
    fields: &[
        one(1, "certificate", Bytes),
        one(2, "organizational_unit_identifier", Text),
    ],
};

pub(in crate::json) static FABRIC_NODE_OUS: MessageType = MessageType {
    name: "msp.FabricNodeOUs",
    fields: &[
        one(1, "enable", Bool),
        one(2, "client_ou_identifier", Message(&FABRIC_OU_IDENTIFIER)),
        one(3, "peer_ou_identifier", Message(&FABRIC_OU_IDENTIFIER)),
        one(4, "admin_ou_identifier", Message(&FABRIC_OU_IDENTIFIER)),
        one(5, "orderer_ou_identifier", Message(&FABRIC_OU_IDENTIFIER)),
    ],
};

pub(in crate::json) static MSP_PRINCIPAL: MessageType = MessageType {
    name: "common.MSPPrincipal",
    fields: &[
        one(
            1,
            "principal_classification",
            Enum(&MSP_PRINCIPAL_CLASSIFICATION),
        ),
        one(2, "principal", Bytes).variable(rules::principal),
    ],
};

static MSP_PRINCIPAL_CLASSIFICATION: EnumType = EnumType {
    values: &[
        (0, "ROLE"),
        (1, "ORGANIZATION_UNIT"),
        (2, "IDENTITY"),
        (3, "ANONYMITY"),
        (4, "COMBINED"),
    ],
};

pub(in crate::json) static ORGANIZATION_UNIT: MessageType = MessageType {
    name: "common.OrganizationUnit",
    fields: &[
        one(1, "msp_identifier", Text),
        one(2, "organizational_unit_identifier", Text),
        one(3, "certifiers_identifier", Bytes),
    ],
};

pub(in crate::json) static MSP_ROLE: MessageType = MessageType {
    name: "common.MSPRole",
    fields: &[
        one(1, "msp_identifier", Text),
        one(2, "role", Enum(&MSP_ROLE_MSP_ROLE_TYPE)),
    ],
};

static MSP_ROLE_MSP_ROLE_TYPE: EnumType = EnumType {
    values: &[
        (0, "MEMBER"),
        (1, "ADMIN"),
        (2, "CLIENT"),
        (3, "PEER"),
        (4, "ORDERER"),
    ],
};

pub(in crate::json) static MSP_IDENTITY_ANONYMITY: MessageType = MessageType {
    name: "common.MSPIdentityAnonymity",
    fields: &[one(
        1,
        "anonymity_type",
        Enum(&MSP_IDENTITY_ANONYMITY_MSP_IDENTITY_ANONYMITY_TYPE),
    )],
};

static MSP_IDENTITY_ANONYMITY_MSP_IDENTITY_ANONYMITY_TYPE: EnumType = EnumType {
    values: &[(0, "NOMINAL"), (1, "ANONYMOUS")],
};

pub(in crate::json) static COMBINED_PRINCIPAL: MessageType = MessageType {
    name: "common.CombinedPrincipal",
    fields: &[many(1, "principals", Message(&MSP_PRINCIPAL))],
};
