//! Makes the next block of a chain out of a batch of envelopes.
//!
//! ```text
//! header     number | previous_hash = hash of the last header | data_hash
//! metadata   0  Metadata { OrdererBlockMetadata { last_config, Metadata { consenter_metadata } }, one signature }
//!            1  Metadata { LastConfig }, unsigned, as Fabric 2 and later write it
//!            2  empty: the committer's validation codes
//!            3  empty
//!            4  empty: the committer's commit hash
//! ```

use std::fmt;

use bytes::Bytes;
use quire_wire::common::{
    Block, BlockData, BlockHeader, BlockMetadata, LastConfig, Metadata, MetadataSignature,
    OrdererBlockMetadata, SignatureHeader, metadata_slot,
};
use quire_wire::hash::{block_hash, data_hash, header_der};
use quire_wire::tx_id::NONCE_BYTES;
use quire_wire::{DecodeError, Message};

use crate::batch::Batch;

/// Signs for the order, as the node's own identity.
pub trait BlockSigner: fmt::Debug {
    /// The signer's serialized identity.
    fn creator(&self) -> &Bytes;
    /// Random bytes, which are new with every call.
    fn nonce(&self) -> [u8; NONCE_BYTES];
    /// Signs `message`.
    fn sign(&self, message: &[u8]) -> Bytes;
}

/// Knows the tip of a chain and makes the block that comes after it.
///
/// It runs ahead of the disk: if a block that it made was never written, its tip does not exist, and it
/// must be made again from the last durable header.
#[derive(Debug)]
pub struct BlockWriter {
    next_number: u64,
    previous_hash: Bytes,
    last_config: u64,
}

impl BlockWriter {
    /// Goes on after `tip`. `last_config` is the number of the newest block at or before the tip that holds
    /// a configuration: [`last_config`] reads it in the tip's metadata.
    ///
    /// # Panics
    /// If `tip` is the last block that a number can name.
    #[must_use]
    pub fn after(tip: &BlockHeader, last_config: u64) -> Self {
        assert!(
            tip.number < u64::MAX,
            "no number is left after block {}",
            tip.number
        );
        assert!(
            last_config <= tip.number,
            "the configuration is ahead of the tip"
        );
        Self {
            next_number: tip.number + 1,
            previous_hash: hash_of(tip),
            last_config,
        }
    }

    /// Block 0 of a new chain, with `config` alone. Fabric's tools leave it unsigned; here the orderer that
    /// it names signs it like any other block, so that a change of block 0 is noticed.
    #[must_use]
    pub fn genesis(config: Bytes, signer: &dyn BlockSigner) -> Block {
        let header = BlockHeader {
            number: 0,
            previous_hash: Bytes::new(),
            data_hash: Bytes::copy_from_slice(&data_hash(&[&config])),
        };
        let orderer = signed(orderer_metadata(0, Bytes::new()), &header, signer);
        assemble(header, vec![config], &orderer, 0)
    }

    /// The number that the next block gets.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Says which block holds the configuration in force, if the newest configuration did not take effect.
    ///
    /// # Panics
    /// If that block is not made yet.
    pub fn set_last_config(&mut self, number: u64) {
        assert!(
            number < self.next_number,
            "the configuration is ahead of the tip"
        );
        self.last_config = number;
    }

    /// Makes the next block out of a batch and moves on to it. A batch with a configuration becomes the
    /// configuration in force.
    ///
    /// # Panics
    /// If the batch is empty: Fabric has no blocks without data, and a [`Cutter`](crate::Cutter) cuts none.
    pub fn next_block(&mut self, batch: Batch, signer: &dyn BlockSigner) -> Block {
        assert!(!batch.envelopes.is_empty(), "a block needs an envelope");
        let header = BlockHeader {
            number: self.next_number,
            previous_hash: self.previous_hash.clone(),
            data_hash: Bytes::copy_from_slice(&data_hash(&batch.envelopes)),
        };
        if batch.is_config {
            self.last_config = header.number;
        }
        let value = orderer_metadata(self.last_config, batch.consenter_metadata);
        let orderer = signed(value, &header, signer);
        self.previous_hash = hash_of(&header);
        self.next_number += 1;
        assemble(header, batch.envelopes, &orderer, self.last_config)
    }
}

/// The number of the newest block that holds a configuration, according to a block's metadata: slot 0, or
/// slot 1 if slot 0 says nothing, as before Fabric 2 and in block 0.
///
/// # Errors
/// A slot does not hold what it should.
pub fn last_config(metadata: &[Bytes]) -> Result<u64, DecodeError> {
    if let Some(signed) = signed_last_config(metadata)? {
        return Ok(signed);
    }
    let value = value(metadata, metadata_slot::LAST_CONFIG)?;
    Ok(LastConfig::decode(value)?.index)
}

/// The same where the orderer's signature covers it: slot 0 alone.
///
/// # Errors
/// The slot does not hold what it should.
pub fn signed_last_config(metadata: &[Bytes]) -> Result<Option<u64>, DecodeError> {
    let orderer = OrdererBlockMetadata::decode(value(metadata, metadata_slot::SIGNATURES)?)?;
    Ok(orderer.last_config.map(|last_config| last_config.index))
}

/// The value in a slot that holds one with signatures.
fn value(metadata: &[Bytes], slot: usize) -> Result<Bytes, DecodeError> {
    let bytes = metadata.get(slot).cloned().unwrap_or_default();
    Metadata::decode(bytes).map(|metadata| metadata.value)
}

/// What the consenter wrote into a block's metadata: slot 0, or slot 3 if slot 0 holds nothing, as before Fabric 1.4.1.
/// It is empty if the consenter wrote nothing.
///
/// # Errors
/// A slot does not hold what it should.
pub fn consenter_metadata(metadata: &[Bytes]) -> Result<Bytes, DecodeError> {
    let value = |slot| value(metadata, slot);
    let orderer = value(metadata_slot::SIGNATURES)?;
    if orderer.is_empty() {
        return value(metadata_slot::ORDERER);
    }
    let orderer = OrdererBlockMetadata::decode(orderer)?;
    Metadata::decode(orderer.consenter_metadata).map(|metadata| metadata.value)
}

fn hash_of(header: &BlockHeader) -> Bytes {
    let hash = block_hash(header.number, &header.previous_hash, &header.data_hash);
    Bytes::copy_from_slice(&hash)
}

fn assemble(
    header: BlockHeader,
    envelopes: Vec<Bytes>,
    orderer: &Metadata,
    last_config: u64,
) -> Block {
    let last_config = unsigned(LastConfig { index: last_config }.encode_to_vec().into());
    let metadata = (0..metadata_slot::COUNT)
        .map(|slot| match slot {
            metadata_slot::SIGNATURES => orderer.encode_to_vec().into(),
            metadata_slot::LAST_CONFIG => last_config.encode_to_vec().into(),
            _ => Bytes::new(),
        })
        .collect();
    Block {
        header: Some(header),
        data: Some(BlockData { data: envelopes }),
        metadata: Some(BlockMetadata { metadata }),
    }
}

fn orderer_metadata(last_config: u64, consenter_metadata: Bytes) -> Bytes {
    // Fabric wraps it once more, so that whoever goes on finds it as the value of a `Metadata`.
    let consenter_metadata = unsigned(consenter_metadata).encode_to_vec().into();
    OrdererBlockMetadata {
        last_config: Some(LastConfig { index: last_config }),
        consenter_metadata,
    }
    .encode_to_vec()
    .into()
}

fn unsigned(value: Bytes) -> Metadata {
    Metadata {
        value,
        signatures: Vec::new(),
    }
}

/// `value` with a signature over `value ‖ signature_header ‖ DER header`.
fn signed(value: Bytes, header: &BlockHeader, signer: &dyn BlockSigner) -> Metadata {
    let signature_header = SignatureHeader {
        creator: signer.creator().clone(),
        nonce: Bytes::copy_from_slice(&signer.nonce()),
    }
    .encode_to_vec();
    let der = header_der(header.number, &header.previous_hash, &header.data_hash);
    let message = [value.as_ref(), &signature_header, &der].concat();
    Metadata {
        value,
        signatures: vec![MetadataSignature {
            signature_header: signature_header.into(),
            signature: signer.sign(&message),
            identifier_header: Bytes::new(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Signs" by giving back the message, so that a test sees what was covered.
    #[derive(Debug)]
    struct Echo(Bytes);

    impl BlockSigner for Echo {
        fn creator(&self) -> &Bytes {
            &self.0
        }
        fn nonce(&self) -> [u8; NONCE_BYTES] {
            [7; NONCE_BYTES]
        }
        fn sign(&self, message: &[u8]) -> Bytes {
            Bytes::copy_from_slice(message)
        }
    }

    fn signer() -> Echo {
        Echo("orderer".into())
    }

    fn normal(envelopes: &[&'static str]) -> Batch {
        Batch {
            envelopes: envelopes.iter().map(|name| (*name).into()).collect(),
            ..Batch::default()
        }
    }

    fn config() -> Batch {
        Batch {
            envelopes: vec!["config".into()],
            is_config: true,
            ..Batch::default()
        }
    }

    fn slots(block: &Block) -> &[Bytes] {
        &block.metadata.as_ref().unwrap().metadata
    }

    /// The configuration that a block names. Both slots must agree on it.
    fn named_config(block: &Block) -> u64 {
        let orderer = Metadata::decode(slots(block)[0].clone()).unwrap();
        let orderer = OrdererBlockMetadata::decode(orderer.value).unwrap();
        let plain = Metadata::decode(slots(block)[1].clone()).unwrap();
        assert_eq!(plain.signatures, []);
        let plain = LastConfig::decode(plain.value).unwrap();
        assert_eq!(orderer.last_config, Some(plain));
        assert_eq!(orderer.consenter_metadata, "");
        assert_eq!(last_config(slots(block)), Ok(plain.index));
        plain.index
    }

    #[test]
    fn blocks_link_to_the_one_before() {
        let genesis = BlockWriter::genesis("config".into(), &signer());
        let first = genesis.header.clone().unwrap();
        assert_eq!(first.number, 0);
        assert_eq!(first.previous_hash, "");
        assert_eq!(first.data_hash, data_hash(&["config"]).as_slice());

        let mut writer = BlockWriter::after(&first, 0);
        let mut previous = first;
        for number in 1..4 {
            assert_eq!(writer.next_number(), number);
            let block = writer.next_block(normal(&["a", "b"]), &signer());
            let header = block.header.unwrap();
            assert_eq!(header.number, number);
            assert_eq!(header.previous_hash, hash_of(&previous));
            assert_eq!(header.data_hash, data_hash(&["a", "b"]).as_slice());
            assert_eq!(block.data.unwrap().data, ["a", "b"]);
            previous = header;
        }
    }

    #[test]
    fn the_signature_covers_value_signature_header_and_header() {
        let tip = BlockHeader {
            number: 299,
            ..Default::default()
        };
        let block = BlockWriter::after(&tip, 5).next_block(normal(&["a"]), &signer());
        let header = block.header.as_ref().unwrap();
        let metadata = Metadata::decode(slots(&block)[0].clone()).unwrap();
        let [signature] = metadata.signatures.as_slice() else {
            panic!("one signature")
        };
        let signature_header = SignatureHeader::decode(signature.signature_header.clone()).unwrap();
        assert_eq!(signature_header.creator, "orderer");
        assert_eq!(signature_header.nonce, [7; NONCE_BYTES].as_slice());
        let der = header_der(300, &header.previous_hash, &header.data_hash);
        let covered = [
            metadata.value.as_ref(),
            signature.signature_header.as_ref(),
            &der,
        ]
        .concat();
        assert_eq!(signature.signature, covered);
    }

    #[test]
    fn what_the_consenter_must_find_again_is_signed_with_the_rest() {
        let mut batch = normal(&["a"]);
        batch.consenter_metadata = "offset 7".into();
        let tip = BlockHeader::default();
        let block = BlockWriter::after(&tip, 0).next_block(batch, &signer());
        let metadata = Metadata::decode(slots(&block)[0].clone()).unwrap();
        let signature = &metadata.signatures[0].signature;
        assert!(signature.starts_with(&metadata.value));
        let orderer = OrdererBlockMetadata::decode(metadata.value).unwrap();
        let consenter = Metadata::decode(orderer.consenter_metadata).unwrap();
        assert_eq!(consenter.value, "offset 7");
        assert_eq!(last_config(slots(&block)), Ok(0));
    }

    #[test]
    fn there_are_five_slots_and_the_committers_are_empty() {
        let genesis = BlockWriter::genesis("config".into(), &signer());
        let next = BlockWriter::after(genesis.header.as_ref().unwrap(), 0)
            .next_block(normal(&["a"]), &signer());
        for block in [genesis, next] {
            let slots = slots(&block);
            assert_eq!(slots.len(), metadata_slot::COUNT);
            assert!(slots[2..].iter().all(Bytes::is_empty));
        }
    }

    #[test]
    fn block_0_names_itself_as_the_configuration_and_is_signed() {
        let genesis = BlockWriter::genesis("config".into(), &signer());
        let metadata = Metadata::decode(slots(&genesis)[0].clone()).unwrap();
        // OrdererBlockMetadata { last_config: LastConfig { index: 0 } }
        assert_eq!(metadata.value, [0x0a, 0].as_slice());
        let header = genesis.header.as_ref().unwrap();
        let der = header_der(0, &[], &header.data_hash);
        assert!(metadata.signatures[0].signature.ends_with(&der));
        assert_eq!(slots(&genesis)[1], "");
    }

    #[test]
    fn the_configuration_is_named_in_the_bytes_of_fabric() {
        let tip = BlockWriter::genesis("config".into(), &signer())
            .header
            .unwrap();
        let mut writer = BlockWriter::after(&tip, 0);
        // In Fabric 3.1 an index of 0 has no bytes, so slot 1 is empty.
        let block = writer.next_block(normal(&["a"]), &signer());
        assert_eq!(slots(&block)[0][..4], [0x0a, 2, 0x0a, 0]);
        assert_eq!(slots(&block)[1], "");
        // This is a config block 2 of Fabric 2.0.
        let block = writer.next_block(config(), &signer());
        assert_eq!(slots(&block)[0][..6], [0x0a, 4, 0x0a, 2, 8, 2]);
        assert_eq!(slots(&block)[1], [0x0a, 2, 8, 2].as_slice());
    }

    #[test]
    fn every_block_names_the_configuration_in_force() {
        let genesis = BlockWriter::genesis("config".into(), &signer());
        assert_eq!(named_config(&genesis), 0);
        let mut writer = BlockWriter::after(genesis.header.as_ref().unwrap(), 0);
        let batches = [
            normal(&["a"]),
            config(),
            normal(&["b"]),
            config(),
            normal(&["c"]),
        ];
        let named = batches.map(|batch| named_config(&writer.next_block(batch, &signer())));
        assert_eq!(named, [0, 2, 2, 4, 4]);
    }

    #[test]
    fn the_configuration_is_found_in_the_metadata_of_any_fabric() {
        let slot = |bytes: &'static [u8]| Bytes::from_static(bytes);
        // Fabric 1 wrote slot 1 alone.
        assert_eq!(last_config(&[slot(b""), slot(b"\x0a\x02\x08\x02")]), Ok(2));
        // Both are empty, as in block 0 of Fabric's own samples.
        assert_eq!(last_config(&[slot(b""), slot(b"")]), Ok(0));
        assert_eq!(last_config(&[]), Ok(0));
        // Slot 0 takes precedence over slot 1.
        let slots = [slot(b"\x0a\x04\x0a\x02\x08\x03"), slot(b"\x0a\x02\x08\x02")];
        assert_eq!(last_config(&slots), Ok(3));
        assert!(last_config(&[slot(b"\xff")]).is_err());
        assert!(last_config(&[slot(b""), slot(b"\x0a\x01\xff")]).is_err());
    }

    #[test]
    fn a_writer_made_anew_from_the_tip_goes_on_alike() {
        let tip = BlockWriter::genesis("config".into(), &signer())
            .header
            .unwrap();
        let mut writer = BlockWriter::after(&tip, 0);
        let one = writer.next_block(config(), &signer()).header.unwrap();
        let mut anew = BlockWriter::after(&one, 1);
        assert_eq!(
            anew.next_block(normal(&["b"]), &signer()),
            writer.next_block(normal(&["b"]), &signer())
        );
    }

    #[test]
    #[should_panic(expected = "a block needs an envelope")]
    fn an_empty_batch_makes_no_block() {
        BlockWriter::after(&BlockHeader::default(), 0).next_block(normal(&[]), &signer());
    }
}
