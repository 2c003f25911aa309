//! The definitions of chaincodes by Fabric's `_lifecycle`, or by its `lscc` before Fabric 2.
//!
//! ```text
//! _lifecycle  namespaces/metadata/<name>               StateMetadata: what kind of thing is defined
//!             namespaces/fields/<name>/ValidationInfo  StateData of ChaincodeValidationInfo
//!             namespaces/fields/<name>/Collections     StateData of CollectionConfigPackage
//! lscc        <name>                                   ChaincodeData
//! ```

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::config::SignaturePolicyEnvelope;

use super::policies::ApplicationPolicy;
use crate::error::ReadError;
use crate::model::examined::Origin;
use crate::model::namespace::LIFECYCLE;
use crate::model::updates::Updates;
use crate::validation::pending::Pending;

/// The namespace of definitions before Fabric 2.
pub(super) const LSCC: &str = "lscc";
/// The type of a definition of a chaincode.
const CHAINCODE_DEFINITION: &str = "ChaincodeDefinition";

/// The part of a chaincode's definition that says who must endorse.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Definition {
    /// The serialized `ApplicationPolicy` of the chaincode. Empty if the definition cannot be used.
    pub(super) policy: Bytes,
    /// Its collections; `None` if every collection has the chaincode's rules, as before Fabric 2.
    pub(super) collections: Option<Vec<Collection>>,
}

/// A collection of private data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Collection {
    pub(super) name: String,
    /// The serialized `ApplicationPolicy`; `None` if the chaincode's policy applies.
    pub(super) policy: Option<Bytes>,
}

/// `lifecycle.StateMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
struct StateMetadata {
    #[prost(string, tag = "1")]
    datatype: String,
}

/// `lifecycle.StateData`, of which only bytes matter here.
#[derive(Clone, PartialEq, prost::Message)]
struct StateData {
    #[prost(bytes = "bytes", optional, tag = "2")]
    bytes: Option<Bytes>,
}

/// `lifecycle.ChaincodeValidationInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct ValidationInfo {
    #[prost(string, tag = "1")]
    validation_plugin: String,
    #[prost(bytes = "bytes", tag = "2")]
    validation_parameter: Bytes,
}

/// `peer.CollectionConfigPackage`.
#[derive(Clone, PartialEq, prost::Message)]
struct Collections {
    #[prost(message, repeated, tag = "1")]
    config: Vec<CollectionConfig>,
}

/// `peer.CollectionConfig`.
#[derive(Clone, PartialEq, prost::Message)]
struct CollectionConfig {
    #[prost(message, optional, tag = "1")]
    fixed: Option<FixedCollection>,
}

/// `peer.StaticCollectionConfig`, of which only this matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct FixedCollection {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", optional, tag = "8")]
    endorsement_policy: Option<Bytes>,
}

/// `ccprovider.ChaincodeData` of Fabric 1, of which only the policy matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct ChaincodeData {
    #[prost(bytes = "bytes", tag = "5")]
    policy: Bytes,
}

impl Definition {
    /// The definition that the blocks before leave, by which a block is judged; `None` if there is none.
    /// `lscc` defines nothing in a channel with Quire's rules, where it is an ordinary namespace.
    pub(super) fn read(
        chaincode: &str,
        origin: Origin,
        pending: &Pending<'_>,
    ) -> Result<Option<Self>, ReadError> {
        let metadata = format!("namespaces/metadata/{chaincode}");
        let Some(metadata) = pending.value_before_block(LIFECYCLE, &metadata)? else {
            return match origin {
                Origin::Quire => Ok(None),
                Origin::Fabric => Self::legacy(chaincode, pending),
            };
        };
        let metadata = StateMetadata::decode(metadata).unwrap_or_default();
        if metadata.datatype != CHAINCODE_DEFINITION {
            return Ok(Some(Self::default()));
        }
        let field = |name: &str| -> Result<Option<Bytes>, ReadError> {
            let key = format!("namespaces/fields/{chaincode}/{name}");
            let value = pending.value_before_block(LIFECYCLE, &key)?;
            let data = value.map(|value| StateData::decode(value).unwrap_or_default());
            Ok(data.map(|data| data.bytes.unwrap_or_default()))
        };
        let info = field("ValidationInfo")?.map(ValidationInfo::decode);
        let info = info.and_then(Result::ok).unwrap_or_default();
        // Without a plugin, nothing would be judged.
        let policy = if info.validation_plugin.is_empty() {
            Bytes::new()
        } else {
            info.validation_parameter
        };
        let collections = field("Collections")?.unwrap_or_default();
        let collections = Collections::decode(collections).unwrap_or_default();
        let collections = collections.config.into_iter().filter_map(|one| one.fixed);
        let collections = collections.map(|collection| Collection {
            name: collection.name,
            policy: collection.endorsement_policy,
        });
        Ok(Some(Self {
            policy,
            collections: Some(collections.collect()),
        }))
    }

    fn legacy(chaincode: &str, pending: &Pending<'_>) -> Result<Option<Self>, ReadError> {
        let Some(value) = pending.value_before_block(LSCC, chaincode)? else {
            return Ok(None);
        };
        let policy = ChaincodeData::decode(value).map(|data| data.policy);
        let policy = policy.and_then(SignaturePolicyEnvelope::decode).ok();
        let application = policy.map(|policy| ApplicationPolicy {
            signature_policy: Some(policy),
            channel_config_policy_reference: None,
        });
        Ok(Some(Self {
            policy: application.unwrap_or_default().encode_to_vec().into(),
            collections: None,
        }))
    }
}

/// The keys in state that [`Definition::read`] reads in a channel with Quire's rules.
pub(super) fn keys_of(chaincode: &str) -> [(&'static str, String); 3] {
    [
        (LIFECYCLE, format!("namespaces/metadata/{chaincode}")),
        (
            LIFECYCLE,
            format!("namespaces/fields/{chaincode}/ValidationInfo"),
        ),
        (
            LIFECYCLE,
            format!("namespaces/fields/{chaincode}/Collections"),
        ),
    ]
}

/// Whether changes may change the definition of a chaincode.
pub(super) fn may_be_redefined_by(updates: &Updates) -> bool {
    [LIFECYCLE, LSCC]
        .iter()
        .any(|namespace| updates.namespaces.contains_key(*namespace))
}
