//! Policies in the form that chaincodes, keys and organisations use: serialized `ApplicationPolicy` messages.

use bytes::Bytes;
use quire_identity::{Bundle, Policy};
use quire_wire::Message as _;
use quire_wire::config::{NOutOf, SignaturePolicy, SignaturePolicyEnvelope, SignatureRule};
use quire_wire::msp::{MspPrincipal, MspRole, principal_classification, role};

/// `common.ApplicationPolicy`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ApplicationPolicy {
    #[prost(message, optional, tag = "1")]
    pub(super) signature_policy: Option<SignaturePolicyEnvelope>,
    #[prost(string, optional, tag = "2")]
    pub(super) channel_config_policy_reference: Option<String>,
}

/// The serialized `ApplicationPolicy` that names a policy of the configuration.
pub(super) fn reference(path: &str) -> Bytes {
    let policy = ApplicationPolicy {
        signature_policy: None,
        channel_config_policy_reference: Some(path.to_owned()),
    };
    policy.encode_to_vec().into()
}

/// The serialized `ApplicationPolicy` of this signature policy, as in the metadata of keys.
pub(super) fn of_signatures(envelope: Bytes) -> Bytes {
    let policy = ApplicationPolicy {
        // Nobody satisfies bytes that are not a policy.
        signature_policy: SignaturePolicyEnvelope::decode(envelope).ok(),
        channel_config_policy_reference: None,
    };
    policy.encode_to_vec().into()
}

/// The serialized `ApplicationPolicy` that any members of `count` organisations satisfy.
pub(super) fn members(count: usize, msp_ids: &[String]) -> Bytes {
    let leaf = |index| SignaturePolicy {
        rule: Some(SignatureRule::SignedBy(index)),
    };
    let principal = |msp_id: &String| MspPrincipal {
        principal_classification: principal_classification::ROLE,
        principal: MspRole {
            msp_identifier: msp_id.clone(),
            role: role::MEMBER,
        }
        .encode_to_vec()
        .into(),
    };
    let rule = SignatureRule::NOutOf(NOutOf {
        n: i32::try_from(count).unwrap_or(i32::MAX),
        rules: (0..).take(msp_ids.len()).map(leaf).collect(),
    });
    let envelope = SignaturePolicyEnvelope {
        version: 0,
        rule: Some(SignaturePolicy { rule: Some(rule) }),
        identities: msp_ids.iter().map(principal).collect(),
    };
    let policy = ApplicationPolicy {
        signature_policy: Some(envelope),
        channel_config_policy_reference: None,
    };
    policy.encode_to_vec().into()
}

/// `None` if nobody can satisfy the policy, because it is not a policy or names none.
pub(super) fn compile(policy: &Bytes, bundle: &Bundle) -> Option<Policy> {
    let policy = ApplicationPolicy::decode(policy.clone()).ok()?;
    match (
        policy.signature_policy,
        policy.channel_config_policy_reference,
    ) {
        (Some(envelope), _) => Policy::from_envelope(&envelope).ok(),
        (None, Some(path)) => bundle.policy(&path).ok(),
        (None, None) => None,
    }
}
