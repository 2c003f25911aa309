//! What bytes hold, if another field of their message tells it.

use super::error::Error;
use super::message::{Budget, Message};
use super::schema::Found;
use super::tree;
use super::types::{common, config, google, orderer, policies, transaction};

/// `Payload.data` is what the channel header says.
pub(super) fn payload_data(payload: &Message) -> Found {
    let header = payload.message(1);
    let header =
        header.ok_or_else(|| unknown("without a header nothing tells what the data is"))?;
    let channel_header = header.bytes(1);
    let mut budget = Budget::whole();
    let channel_header = Message::decode(&common::CHANNEL_HEADER, channel_header, &mut budget)?;
    match channel_header.int32(1) {
        // Only a sample client of Fabric sends type 0.
        0 => Ok(Some(&config::CONFIG_VALUE)),
        1 => Ok(Some(&config::CONFIG_ENVELOPE)),
        2 => Ok(Some(&config::CONFIG_UPDATE_ENVELOPE)),
        3 => Ok(Some(&transaction::TRANSACTION)),
        4 => Ok(Some(&common::ENVELOPE)),
        other => Err(unknown(format!(
            "data of header type {other} cannot be shown"
        ))),
    }
}

pub(super) fn header_extension(channel_header: &Message) -> Found {
    match channel_header.int32(1) {
        3 => Ok(Some(&transaction::CHAINCODE_HEADER_EXTENSION)),
        other => Err(unknown(format!(
            "only an endorser transaction has an extension, and the header type is {other}"
        ))),
    }
}

pub(super) fn policy(policy: &Message) -> Found {
    match policy.int32(1) {
        1 => Ok(Some(&policies::SIGNATURE_POLICY_ENVELOPE)),
        3 => Ok(Some(&policies::IMPLICIT_META_POLICY)),
        other => Err(unknown(format!("a policy of type {other} cannot be shown"))),
    }
}

pub(super) fn msp_config(msp: &Message) -> Found {
    match msp.int32(1) {
        0 => Ok(Some(&policies::FABRIC_MSP_CONFIG)),
        1 => Ok(Some(&policies::IDEMIX_MSP_CONFIG)),
        other => Err(unknown(format!("an MSP of type {other} cannot be shown"))),
    }
}

pub(super) fn principal(principal: &Message) -> Found {
    match principal.int32(1) {
        0 => Ok(Some(&policies::MSP_ROLE)),
        1 => Ok(Some(&policies::ORGANIZATION_UNIT)),
        2 => Ok(Some(&policies::SERIALIZED_IDENTITY)),
        other => Err(unknown(format!(
            "a principal of class {other} cannot be shown"
        ))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of the rules")]
pub(super) fn consensus_metadata(consensus_type: &Message) -> Found {
    match consensus_type.text(1) {
        "etcdraft" => Ok(Some(&orderer::RAFT_CONFIG_METADATA)),
        "BFT" => Ok(Some(&orderer::BFT_OPTIONS)),
        _ => Ok(Some(&google::EMPTY)),
    }
}

/// The sets of namespaces with an unknown data model are shown as they are.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the rules")]
pub(super) fn namespace_sets(set: &Message) -> Found {
    const KEYS_AND_VALUES: i32 = 0;
    Ok((set.int32(1) == KEYS_AND_VALUES).then_some(&tree::NAMESPACE_SET))
}

/// Fabric lets other packages tell what the data under a name is, but no package does.
pub(super) fn isolated_data(name: &str) -> Found {
    Err(unknown(format!("isolated data {name:?} cannot be shown")))
}

fn unknown(what: impl Into<String>) -> Error {
    Error::unknown(what.into())
}
