//! What the node that invites has answered, looked at before anything of it is kept or printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use quire_chaincode::name::{NameError, check_channel};
use quire_gateway::joining::GrantedAdmission;
use quire_identity::{OrganizationError, check_msp_id};
use quire_ledger::Block;
use quire_wire::msp::FabricMspConfig;
use quire_wire::transaction::Opened;
use quire_wire::{DecodeError, Message as _, common};

use crate::arguments::DEFAULT_MSP_ID;

/// Most bytes of a list of brokers.
const MAX_BROKERS_BYTES: usize = 4096;

/// Why an answer is not one to join by.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongAnswer {
    #[error("it is not in base64")]
    Base64(#[from] base64::DecodeError),
    #[error("it cannot be decoded")]
    Decode(#[from] DecodeError),
    #[error("its organisation has a name that none has")]
    MspId(#[source] OrganizationError),
    #[error("it is of {msp_id:?}, and its organisation is {name:?}")]
    TwoNames { msp_id: String, name: String },
    #[error("its organisation is {found}, and --msp-id says {wanted}")]
    OtherMspId { found: String, wanted: String },
    #[error("it says that channels are ordered by {0:?}, which this version does not know")]
    Ordering(String),
    #[error(
        "its brokers of Kafka are no list of hosts with ports, or of more than {MAX_BROKERS_BYTES} bytes"
    )]
    Brokers,
    #[error("a channel in it has a name that none has")]
    Channel(#[source] NameError),
    #[error("it has the channels {found:?}, and {asked:?} was asked for")]
    OtherChannels {
        found: Vec<String>,
        asked: Vec<String>,
    },
    #[error("its block for channel {0} is not of that channel")]
    OtherBlock(String),
}

/// Makes sure of an answer, as far as it can be without keeping anything. Answers the organisation in it.
pub(super) fn checked(
    granted: &GrantedAdmission,
    asked: &[String],
    msp_id: &str,
) -> Result<FabricMspConfig, WrongAnswer> {
    let organization = STANDARD.decode(&granted.organization)?;
    let organization = FabricMspConfig::decode(&organization[..])?;
    check_msp_id(&granted.msp_id).map_err(WrongAnswer::MspId)?;
    if organization.name != granted.msp_id {
        return Err(WrongAnswer::TwoNames {
            msp_id: granted.msp_id.clone(),
            name: organization.name,
        });
    }
    // Nobody can tell the default from the same name on the command line.
    if msp_id != DEFAULT_MSP_ID && msp_id != granted.msp_id {
        return Err(WrongAnswer::OtherMspId {
            found: granted.msp_id.clone(),
            wanted: msp_id.to_owned(),
        });
    }
    match (&*granted.ordering, &granted.kafka_brokers) {
        ("kafka", Some(brokers)) if are_brokers(brokers) => {}
        ("remote", None) => {}
        ("kafka" | "remote", _) => return Err(WrongAnswer::Brokers),
        (other, _) => return Err(WrongAnswer::Ordering(other.to_owned())),
    }
    check_channels(granted, asked)?;
    Ok(organization)
}

/// The list becomes a part of a line that somebody copies into a shell.
fn are_brokers(list: &str) -> bool {
    let is_known = |one: char| one.is_ascii_alphanumeric() || ".:,_[]/-".contains(one);
    !list.is_empty()
        && !list.starts_with('-')
        && list.len() <= MAX_BROKERS_BYTES
        && list.chars().all(is_known)
}

fn check_channels(granted: &GrantedAdmission, asked: &[String]) -> Result<(), WrongAnswer> {
    let found = || granted.channels.keys();
    let is_asked = |name: &String| asked.is_empty() || asked.contains(name);
    let is_there = |name: &String| granted.channels.contains_key(name);
    if !found().all(is_asked) || !asked.iter().all(is_there) {
        return Err(WrongAnswer::OtherChannels {
            found: found().cloned().collect(),
            asked: asked.to_vec(),
        });
    }
    for (name, block) in &granted.channels {
        check_channel(name).map_err(WrongAnswer::Channel)?;
        let block = Bytes::from(STANDARD.decode(block)?);
        let block = Block::from(common::Block::decode(block)?);
        let opened = block.envelopes.first().map(Opened::read);
        let is_of_it = |opened: Opened| opened.channel_header.channel_id == *name;
        if !opened.is_some_and(|opened| opened.is_ok_and(is_of_it)) {
            return Err(WrongAnswer::OtherBlock(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn granted() -> GrantedAdmission {
        let organization = FabricMspConfig {
            name: "Org1MSP".to_owned(),
            ..FabricMspConfig::default()
        };
        GrantedAdmission {
            msp_id: "Org1MSP".to_owned(),
            organization: STANDARD.encode(organization.encode_to_vec()),
            certificates: BTreeMap::new(),
            ordering: "kafka".to_owned(),
            kafka_brokers: Some("k1:9092,[::1]:9092".to_owned()),
            channels: BTreeMap::new(),
        }
    }

    fn wrong(change: impl FnOnce(&mut GrantedAdmission)) -> WrongAnswer {
        let mut granted = granted();
        change(&mut granted);
        checked(&granted, &[], DEFAULT_MSP_ID).unwrap_err()
    }

    #[test]
    fn an_answer_that_contradicts_itself_or_the_question_is_refused() {
        checked(&granted(), &[], DEFAULT_MSP_ID).unwrap();
        checked(&granted(), &[], "Org1MSP").unwrap();
        let refused = checked(&granted(), &[], "Org2MSP");
        assert!(matches!(refused, Err(WrongAnswer::OtherMspId { .. })));
        let refused = checked(&granted(), &["main".to_owned()], DEFAULT_MSP_ID);
        assert!(matches!(refused, Err(WrongAnswer::OtherChannels { .. })));
        let refused = wrong(|granted| "Org2MSP".clone_into(&mut granted.msp_id));
        assert!(matches!(refused, WrongAnswer::TwoNames { .. }));
        let refused = wrong(|granted| "embedded".clone_into(&mut granted.ordering));
        assert!(matches!(refused, WrongAnswer::Ordering(_)));
        let refused = wrong(|granted| {
            granted.channels.insert("main".to_owned(), String::new());
        });
        assert!(matches!(refused, WrongAnswer::OtherBlock(_)));
        let refused = wrong(|granted| {
            granted
                .channels
                .insert("a\u{1b}[2J".to_owned(), String::new());
        });
        assert!(matches!(refused, WrongAnswer::Channel(_)));
    }

    #[test]
    fn brokers_are_nothing_that_a_shell_would_run() {
        let long = "k".repeat(MAX_BROKERS_BYTES + 1);
        for list in ["", "k1:9092; rm x", "$(id)", "k1\n", "--data", &long] {
            let refused = wrong(|granted| granted.kafka_brokers = Some(list.to_owned()));
            assert!(matches!(refused, WrongAnswer::Brokers), "{list}");
        }
        let refused = wrong(|granted| granted.kafka_brokers = None);
        assert!(matches!(refused, WrongAnswer::Brokers));
    }
}
