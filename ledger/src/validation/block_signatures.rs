//! Whether orderers who may do so signed a block.

use std::sync::Arc;

use bytes::Bytes;
use quire_identity::{Bundle, Policy, PolicyError};
use quire_wire::common::{
    IdentifierHeader, Metadata, MetadataSignature, SignatureHeader, metadata_slot,
};
use quire_wire::hash::header_der;
use quire_wire::msp::SerializedIdentity;
use quire_wire::{Message as _, tolerant};

use super::trust::signer;
use crate::model::block::Block;

/// Who must sign a block.
const BLOCK_POLICY: &str = "/Channel/Orderer/BlockValidation";

/// Signatures of a block, at most. No channel has so many orderers, and each takes a while to verify.
const MAX_SIGNATURES: usize = 1_000;

/// Verifies who signed blocks, by one configuration of their channel.
#[derive(Debug)]
pub struct BlockVerifier {
    bundle: Arc<Bundle>,
    /// The policy of a block's signers, or why nobody can sign a block.
    policy: Result<Policy, PolicyError>,
}

impl BlockVerifier {
    /// Goes by this configuration.
    #[must_use]
    pub fn new(bundle: Arc<Bundle>) -> Self {
        Self {
            policy: bundle.policy(BLOCK_POLICY),
            bundle,
        }
    }

    /// Whether the orderers' signatures in slot 0 suffice; how many there are. They cover the header, and what
    /// stands beside them in the slot; the hashes in the header are looked at by others. A first block may
    /// have none: no orderer was there yet.
    ///
    /// # Errors
    /// Why they do not suffice.
    pub fn verify(&self, block: &Block) -> Result<u64, String> {
        let slot = block.metadata.get(metadata_slot::SIGNATURES);
        let slot = match slot {
            Some(slot) => slot.clone(),
            None if block.number == 0 => return Ok(0),
            None => return Err("there is no slot 0".to_owned()),
        };
        let metadata: Metadata = tolerant::decode(slot, tolerant::METADATA)
            .map_err(|error| format!("slot 0: {error}"))?;
        if metadata.signatures.is_empty() && block.number == 0 {
            return Ok(0);
        }
        let count = metadata.signatures.len();
        if count > MAX_SIGNATURES {
            return Err(format!(
                "slot 0 has {count} signatures, more than {MAX_SIGNATURES}"
            ));
        }
        let header = header_der(block.number, &block.previous_hash, &block.data_hash);
        let mut signers = Vec::new();
        let mut refused = None;
        for signature in &metadata.signatures {
            let Some((creator, signed_header)) = self.who_signed(signature)? else {
                continue;
            };
            let message = [&metadata.value[..], signed_header, &header].concat();
            match signer(&self.bundle, &creator, || message, &signature.signature) {
                Ok(signer) => signers.push(signer),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        let policy = self.policy.as_ref().map_err(ToString::to_string)?;
        if policy.is_satisfied_by(&signers) {
            return Ok(signers.len() as u64);
        }
        let count = signers.len();
        let reason = refused.map(|reason| format!("; one does not: {reason}"));
        Err(format!(
            "{count} that hold and do not satisfy {BLOCK_POLICY}{}",
            reason.unwrap_or_default()
        ))
    }

    /// The identity whose signature it claims to be, and the header that it covers. None for the number of a
    /// consenter that there is not. As in Fabric, one header that cannot be read makes the block none,
    /// whoever else signed.
    fn who_signed<'s>(
        &self,
        signature: &'s MetadataSignature,
    ) -> Result<Option<(Bytes, &'s [u8])>, String> {
        let (classic, by_number) = (&signature.signature_header, &signature.identifier_header);
        if classic.is_empty() && !by_number.is_empty() && self.has_numbered_consenters() {
            let header = tolerant::decode(by_number.clone(), tolerant::IDENTIFIER_HEADER);
            let header: IdentifierHeader =
                header.map_err(|error| format!("an identifier header: {error}"))?;
            let identity = self.consenter(header.identifier);
            return Ok(identity.map(|identity| (identity, &by_number[..])));
        }
        let header = tolerant::decode(classic.clone(), tolerant::SIGNATURE_HEADER);
        let header: SignatureHeader =
            header.map_err(|error| format!("a signature header: {error}"))?;
        Ok(Some((header.creator, &classic[..])))
    }

    /// Whether a signature can name its signer by number, as those of BFT do.
    fn has_numbered_consenters(&self) -> bool {
        self.bundle.values().capabilities.consensus_type_bft()
    }

    /// The serialized identity of a consenter.
    fn consenter(&self, number: u32) -> Option<Bytes> {
        let consenters = &self.bundle.orderer()?.consenters.consenter_mapping;
        let consenter = consenters.iter().find(|known| known.id == number)?;
        let identity = SerializedIdentity {
            mspid: consenter.msp_id.clone(),
            id_bytes: consenter.identity.clone(),
        };
        Some(identity.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use quire_testkit::conformance;
    use quire_wire::common::{self, Envelope};
    use quire_wire::transaction::Opened;
    use serde_json::Value;

    use super::*;
    use crate::block_store::scan::data_hash_objection;
    use crate::model::examined::Origin;
    use crate::offline::check::form;
    use crate::validation::trust::Trust;

    fn trusts() -> BTreeMap<&'static str, Trust> {
        let trust = |channel: &'static str| {
            let block = conformance::read(&format!("rules/blocks/genesis_{channel}.block"));
            let block: Block = common::Block::decode(Bytes::from(block)).unwrap().into();
            let config = Opened::read(&block.envelopes[0]).unwrap().data;
            (
                channel,
                Trust::new(channel, config, Origin::Fabric).unwrap(),
            )
        };
        ["mychannel", "bftchannel"].map(trust).into()
    }

    fn is_channel(envelope: Option<&Bytes>, channel: &str) -> bool {
        envelope
            .and_then(|envelope| Opened::read(envelope).ok())
            .is_some_and(|opened| opened.channel_header.channel_id == channel)
    }

    /// Whether Fabric refuses a block because of an envelope without payload or signature. Its peers of before that
    /// rule took such a block, and so it is read here: the envelope gets the verdict of one that nobody signed.
    fn is_left_to_its_verdict(error: &Value) -> bool {
        let error = error.as_str().unwrap_or_default();
        error.ends_with("has no payload") || error.ends_with("has no signature")
    }

    #[test]
    fn blocks_are_signed_where_fabrics_verifier_says_so() {
        let trusts = trusts();
        let cases = conformance::read_lines("rules/blocks/verify.jsonl");
        assert_eq!(cases.len(), 41);
        for case in &cases {
            let bytes = STANDARD
                .decode(case["block_b64"].as_str().unwrap())
                .unwrap();
            let block: Block = common::Block::decode(Bytes::from(bytes)).unwrap().into();
            let channel = case["channel"].as_str().unwrap();
            let trust = trusts.get(channel);
            let signed = trust.map_or_else(
                || Err("no such channel".to_owned()),
                |trust| trust.blocks.verify(&block),
            );
            let expected = case["attestation_valid"].as_bool().unwrap();
            assert_eq!(signed.is_ok(), expected, "{case}: {signed:?}");
            // What Fabric asks of a block beside its signatures.
            let is_whole = case["claimed_seq"].as_u64() == Some(block.number)
                && is_channel(block.envelopes.first(), channel)
                && form::objections(&block).is_empty()
                && data_hash_objection(&block).is_none();
            let expected = case["valid"] == true || is_left_to_its_verdict(&case["error"]);
            assert_eq!(is_whole && signed.is_ok(), expected, "{case}: {signed:?}");
        }
    }

    #[test]
    fn envelopes_are_well_formed_where_fabric_says_so() {
        let cases = conformance::read_lines("rules/blocks/data_wellformed.jsonl");
        assert_eq!(cases.len(), 15);
        for case in &cases {
            let envelopes = case["data_hex"].as_array().into_iter().flatten();
            let envelopes = envelopes.map(|text| hex::decode(text.as_str().unwrap()).unwrap());
            let block = Block {
                number: 1,
                previous_hash: Bytes::new(),
                data_hash: Bytes::new(),
                envelopes: envelopes.map(Bytes::from).collect(),
                metadata: Vec::new(),
            };
            let hash = hex::encode(block.computed_data_hash());
            assert_eq!(hash, case["compute_hash_hex"].as_str().unwrap(), "{case}");
            let objections = form::objections(&block);
            assert_eq!(
                objections.is_empty(),
                case["error"].is_null() || is_left_to_its_verdict(&case["error"]),
                "{case}: {objections:?}"
            );
        }
    }

    #[test]
    fn a_first_block_needs_no_signature_and_a_later_one_needs_slot_0() {
        let trusts = trusts();
        let mut block = Block {
            number: 0,
            previous_hash: Bytes::new(),
            data_hash: Bytes::new(),
            envelopes: vec![Envelope::default().encode_to_vec().into()],
            metadata: Vec::new(),
        };
        assert_eq!(trusts["mychannel"].blocks.verify(&block), Ok(0));
        block.number = 1;
        assert!(trusts["mychannel"].blocks.verify(&block).is_err());
    }
}
