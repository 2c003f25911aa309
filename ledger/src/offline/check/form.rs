//! Fabric's rule that an envelope is its own canonical encoding, so that where one envelope ends and the next
//! begins is beyond doubt: the data hash is taken without lengths between them.

use bytes::Bytes;
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::tolerant;

use crate::model::block::Block;

/// What is expected and found where an envelope is in another form. One without payload or signature is left to its
/// verdict: peers of Fabric that do not know this rule yet take a block with such.
pub(crate) fn objections(block: &Block) -> Vec<(String, String)> {
    if block.envelopes.is_empty() {
        return vec![("envelopes".to_owned(), "none".to_owned())];
    }
    if is_config_alone(block) {
        return Vec::new();
    }
    let envelopes = block.envelopes.iter().enumerate();
    let objections = envelopes.filter_map(|(tx, bytes)| {
        let expected = format!("transaction {tx} as a canonical envelope");
        objection(bytes).map(|found| (expected, found))
    });
    objections.collect()
}

/// The number of the first envelope that is empty, or in another form than Fabric writes it in: the block's data hash does
/// not say where it ends.
#[must_use]
pub fn first_in_other_form(block: &Block) -> Option<usize> {
    if is_config_alone(block) {
        return None;
    }
    let mut envelopes = block.envelopes.iter();
    envelopes.position(|bytes| bytes.is_empty() || objection(bytes).is_some())
}

/// The block with every envelope in its canonical encoding, where it has one.
pub(crate) fn canonical(block: &Block) -> Block {
    let mut canonical = block.clone();
    if !is_config_alone(block) {
        for bytes in &mut canonical.envelopes {
            if let Ok(encoded) = tolerant::canonical_envelope(bytes.clone()) {
                *bytes = encoded;
            }
        }
    }
    canonical
}

fn objection(bytes: &Bytes) -> Option<String> {
    let Ok(canonical) = tolerant::canonical_envelope(bytes.clone()) else {
        return Some("bytes that are not an envelope".to_owned());
    };
    if canonical == *bytes {
        return None;
    }
    let trailing = bytes.len().checked_sub(canonical.len());
    Some(match trailing.filter(|trailing| *trailing > 0) {
        Some(trailing) => format!("{trailing} trailing bytes"),
        None => "another encoding".to_owned(),
    })
}

/// Fabric does not ask for the form of an envelope that stands alone and says that it is a configuration:
/// there is no other whose bytes could be taken for its own.
fn is_config_alone(block: &Block) -> bool {
    let [alone] = &block.envelopes[..] else {
        return false;
    };
    let read = || {
        let envelope: Envelope = tolerant::decode(alone.clone(), tolerant::ENVELOPE).ok()?;
        let payload: Payload = tolerant::decode(envelope.payload, tolerant::PAYLOAD).ok()?;
        let header = payload.header?.channel_header;
        let header: ChannelHeader = tolerant::decode(header, tolerant::CHANNEL_HEADER).ok()?;
        Some(header.r#type == header_type::CONFIG)
    };
    read().unwrap_or(false)
}
