//! Identities judged a second, for the first time and again, beside the verifications that ring does in
//! the same time: a certificate that is new costs at least one.
//!
//! `cargo bench -p quire-identity` prints them, on one core.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench stops where something is wrong, and reads the clock"
)]

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quire_identity::{Msp, MspVersion};
use quire_testkit::conformance;
use quire_wire::Message;
use quire_wire::msp::{FabricMspConfig, MspConfig};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

/// Each figure is the best of so many.
const ROUNDS: usize = 5;
const NEW: usize = 2_000;
const KNOWN: usize = 500_000;

fn main() {
    let case = &conformance::read_lines("rules/msp/cases.jsonl")[0];
    let decode = |value: &serde_json::Value| BASE64_STANDARD.decode(value.as_str().unwrap());
    let config = MspConfig::decode(&decode(&case["msp_config_b64"]).unwrap()[..]).unwrap();
    let config = FabricMspConfig::decode(config.config).unwrap();
    let identity = decode(&case["identities"][1]["serialized_b64"]).unwrap();
    let (mut limit, mut first, mut again) = (0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        limit = limit.max(rate(NEW, verifications()));
        let msps: Vec<Msp> = (0..NEW)
            .map(|_| Msp::from_config(&config, MspVersion::V1_4_3).unwrap())
            .collect();
        let mut msps = msps.iter();
        first = first.max(rate(NEW, || {
            black_box(msps.next().unwrap().validate(&identity).unwrap());
        }));
        let msp = Msp::from_config(&config, MspVersion::V1_4_3).unwrap();
        again = again.max(rate(KNOWN, || {
            black_box(msp.validate(&identity).unwrap());
        }));
    }
    println!("verifications by ring, one core        {limit:>12.0} /s");
    println!(
        "identities validated for the first time {first:>11.0} /s  {:.2} of the limit",
        first / limit
    );
    println!(
        "identities validated again              {again:>11.0} /s  {:.1} times the limit",
        again / limit
    );
}

fn rate(count: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// A verification of a signature over about as many bytes as a certificate has.
fn verifications() -> impl FnMut() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let message = [7; 400];
    let signature = key.sign(&random, &message).unwrap();
    let point = key.public_key().as_ref().to_vec();
    move || {
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point);
        public.verify(&message, signature.as_ref()).unwrap();
    }
}
