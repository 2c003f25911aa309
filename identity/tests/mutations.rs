//! Damaged organisations, certificates and revocation lists: none of them makes a panic or takes long,
//! and none lets anybody in. `QUIRE_TEST_SEED` chooses the damage.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use quire_identity::{Msp, MspVersion, Principal, check_well_formed};
use quire_testkit::conformance;
use quire_testkit::rng::Rng;
use quire_wire::Message;
use quire_wire::msp::{FabricMspConfig, MspConfig, MspPrincipal, SerializedIdentity};
use serde_json::Value;

/// How often something is damaged; all of it takes seconds.
const ROUNDS: usize = 20_000;

fn rng() -> Rng {
    let seed = std::env::var("QUIRE_TEST_SEED").map_or(22, |seed| seed.parse().unwrap());
    println!("QUIRE_TEST_SEED={seed}");
    Rng::new(seed)
}

fn decoded(value: &Value) -> Bytes {
    BASE64_STANDARD
        .decode(value.as_str().unwrap())
        .unwrap()
        .into()
}

/// The organisations of the recorded cases, and everybody who was tried in them.
fn recorded() -> (Vec<FabricMspConfig>, Vec<Bytes>) {
    let mut configs = Vec::new();
    let mut identities = Vec::new();
    for case in conformance::read_lines("rules/msp/cases.jsonl") {
        let tried = case["identities"].as_array().into_iter().flatten();
        identities.extend(tried.map(|one| decoded(&one["serialized_b64"])));
        if !case["msp_config_b64"].is_null() {
            let config = MspConfig::decode(decoded(&case["msp_config_b64"])).unwrap();
            configs.push(FabricMspConfig::decode(config.config).unwrap());
        }
    }
    (configs, identities)
}

/// Changes, leaves out, doubles or puts in some bytes.
fn damage(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        if damaged.is_empty() {
            return damaged;
        }
        let at = rng.below(damaged.len());
        let end = (at + 1 + rng.below(8)).min(damaged.len());
        match rng.below(5) {
            0 => damaged[at] ^= 1 << rng.below(8),
            1 => damaged[at] = [0, 1, 0x7f, 0x80, 0xff, 0x30, 0xa0][rng.below(7)],
            2 => drop(damaged.drain(at..end)),
            3 => {
                let doubled = damaged[at..end].to_vec();
                damaged.splice(at..at, doubled);
            }
            _ => {
                let put_in = rng.bytes(end - at);
                damaged.splice(at..at, put_in);
            }
        }
    }
    damaged
}

/// Damages what a text of PEM holds, or the text.
fn damage_pem(pem: &[u8], rng: &mut Rng) -> Bytes {
    let text = String::from_utf8_lossy(pem);
    let lines: Vec<&str> = text.lines().collect();
    let [first, body @ .., last] = &lines[..] else {
        return damage(pem, rng).into();
    };
    match BASE64_STANDARD.decode(body.concat()) {
        Ok(content) if !rng.chance(8) => {
            let digits = BASE64_STANDARD.encode(damage(&content, rng));
            format!("{first}\n{digits}\n{last}\n").into()
        }
        _ => damage(pem, rng).into(),
    }
}

#[test]
fn damaged_organisations_are_refused_or_judge_without_a_panic() {
    let mut rng = rng();
    let (configs, identities) = recorded();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let mut config = configs[rng.below(configs.len())].clone();
        let lists = [
            &mut config.root_certs,
            &mut config.intermediate_certs,
            &mut config.admins,
            &mut config.revocation_list,
            &mut config.tls_root_certs,
            &mut config.tls_intermediate_certs,
        ];
        let mut filled: Vec<_> = lists.into_iter().filter(|list| !list.is_empty()).collect();
        let list = rng.below(filled.len());
        let position = rng.below(filled[list].len());
        filled[list][position] = damage_pem(&filled[list][position], &mut rng);
        if rng.chance(4) {
            let bytes = damage(&config.encode_to_vec(), &mut rng);
            config = FabricMspConfig::decode(&bytes[..]).unwrap_or(config);
        }
        let version = MspVersion::ALL[rng.below(MspVersion::ALL.len())];
        let Ok(msp) = Msp::from_config(&config, version) else {
            refused += 1;
            continue;
        };
        read += 1;
        drop(msp.validate(&identities[rng.below(identities.len())]));
    }
    assert!(
        read > ROUNDS / 200 && refused > ROUNDS / 200,
        "{read} {refused}"
    );
}

#[test]
fn damaged_identities_let_nobody_in() {
    let mut rng = rng();
    let cases = conformance::read_lines("rules/msp/cases.jsonl");
    let case = &cases[0];
    assert_eq!(case["name"], "nodeous_all_roles");
    let config = MspConfig::decode(decoded(&case["msp_config_b64"])).unwrap();
    let config = FabricMspConfig::decode(config.config).unwrap();
    let msp = Msp::from_config(&config, MspVersion::V3_0).unwrap();
    let tried = case["identities"].as_array().unwrap();
    let (mut let_in, mut well_formed) = (0, 0);
    for _ in 0..ROUNDS {
        let original = decoded(&tried[rng.below(tried.len())]["serialized_b64"]);
        let decoded = SerializedIdentity::decode(&original[..]).unwrap();
        let damaged = SerializedIdentity {
            id_bytes: damage_pem(&decoded.id_bytes, &mut rng),
            ..decoded
        };
        well_formed += usize::from(check_well_formed(&damaged).is_ok());
        let serialized = damaged.encode_to_vec();
        if let Ok(identity) = msp.deserialize(&serialized) {
            assert_eq!(identity, msp.deserialize(&original).unwrap());
            let_in += 1;
        }
    }
    // Some damage is none to Fabric: another form of the text, or of the certificate's signature.
    assert!(let_in < ROUNDS / 10, "{let_in}");
    assert!(well_formed < ROUNDS, "{well_formed}");
}

#[test]
fn damaged_principals_mean_nobody_or_somebody_without_a_panic() {
    let mut rng = rng();
    let (_, identities) = recorded();
    for _ in 0..ROUNDS {
        let content = damage(&identities[rng.below(identities.len())], &mut rng);
        let principal = MspPrincipal {
            principal_classification: i32::try_from(rng.below(6)).unwrap(),
            principal: content.into(),
        };
        assert!(!Principal::of(&principal).to_string().is_empty());
    }
}
