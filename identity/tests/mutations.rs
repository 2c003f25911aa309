//! Damaged organisations, certificates, revocation lists, policies, configurations and updates: none of them
//! makes a panic, takes long or much memory, and none lets anybody in. `QUIRE_TEST_SEED` chooses the damage,
//! and `QUIRE_TEST_ROUNDS` says how many times as much of it there is. A longer run:
//!
//! ```text
//! QUIRE_TEST_SEED=$RANDOM QUIRE_TEST_ROUNDS=100 cargo test --release -p quire-identity --test mutations
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use quire_identity::config::{
    SignedUpdate, check_configuration_fields, check_update_fields, words,
};
use quire_identity::policy::{read_implicit_policy, read_signature_policy, write_signature_policy};
use quire_identity::{Bundle, Msp, MspVersion, Policy, Principal, check_well_formed};
use quire_testkit::conformance;
use quire_testkit::rng::Rng;
use quire_wire::Message;
use quire_wire::common::Envelope;
use quire_wire::config::{Config, SignaturePolicyEnvelope};
use quire_wire::msp::{FabricMspConfig, MspConfig, MspPrincipal, SerializedIdentity};
use serde_json::Value;

/// How often something is damaged; all of it takes seconds.
const ROUNDS: usize = 20_000;
/// The same of whole configurations, each of which takes a millisecond or so.
const CONFIGURATIONS: usize = 500;
/// Most memory that all of it takes.
const MAX_MEMORY_KIB: u64 = 512 << 10;

/// So many, as often as is asked for.
fn rounds(few: usize) -> usize {
    let times = std::env::var("QUIRE_TEST_ROUNDS").map_or(1, |times| times.parse().unwrap());
    few * times
}

/// Makes sure that no memory was taken without bound.
fn check_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.unwrap().trim().trim_end_matches(" kB");
    let most: u64 = most.parse().unwrap();
    assert!(most < MAX_MEMORY_KIB, "{most} KiB");
}

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
    let rounds = rounds(ROUNDS);
    for _ in 0..rounds {
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
        read > rounds / 200 && refused > rounds / 200,
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
    let rounds = rounds(ROUNDS);
    for _ in 0..rounds {
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
    assert!(let_in < rounds / 10, "{let_in}");
    assert!(well_formed < rounds, "{well_formed}");
}

#[test]
fn damaged_principals_mean_nobody_or_somebody_without_a_panic() {
    let mut rng = rng();
    let (_, identities) = recorded();
    let rounds = rounds(ROUNDS);
    for _ in 0..rounds {
        let content = damage(&identities[rng.below(identities.len())], &mut rng);
        let principal = MspPrincipal {
            principal_classification: i32::try_from(rng.below(6)).unwrap(),
            principal: content.into(),
        };
        assert!(!Principal::of(&principal).to_string().is_empty());
    }
}

/// Texts of policies, and envelopes of them.
fn policies() -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut texts, mut envelopes) = (Vec::new(), Vec::new());
    for case in conformance::read_lines("rules/policies/dsl.jsonl") {
        texts.push(case["dsl"].as_str().unwrap().to_owned());
        envelopes.extend(
            case["envelope_hex"]
                .as_str()
                .map(|hex| hex::decode(hex).unwrap()),
        );
    }
    for case in conformance::read_lines("rules/policies/implicitmeta_dsl.jsonl") {
        texts.push(case["dsl"].as_str().unwrap().to_owned());
    }
    (texts, envelopes)
}

#[test]
fn damaged_policies_are_refused_or_ask_for_somebody_without_a_panic() {
    let mut rng = rng();
    let (texts, envelopes) = policies();
    let (mut read, mut refused) = (0, 0);
    let rounds = rounds(ROUNDS);
    for _ in 0..rounds {
        let text = damage(texts[rng.below(texts.len())].as_bytes(), &mut rng);
        let text = String::from_utf8_lossy(&text);
        drop(read_implicit_policy(&text));
        if let Ok(policy) = read_signature_policy(&text) {
            // What is read is written, and read again as the same.
            let written = write_signature_policy(&policy).unwrap();
            assert_eq!(
                read_signature_policy(&written).as_ref(),
                Ok(&policy),
                "{text}"
            );
        }
        let bytes = damage(&envelopes[rng.below(envelopes.len())], &mut rng);
        let envelope = SignaturePolicyEnvelope::decode(&bytes[..]);
        let policy = envelope.map(|envelope| Policy::from_envelope(&envelope));
        match policy {
            Ok(Ok(policy)) => {
                read += 1;
                let missing = policy.shortfall(&[]);
                assert_eq!(missing.is_none(), policy.is_satisfied_by(&[]));
                drop(missing.map(|missing| missing.to_string()));
            }
            _ => refused += 1,
        }
    }
    assert!(
        read > rounds / 200 && refused > rounds / 200,
        "{read} {refused}"
    );
    check_memory();
}

fn genesis() -> Vec<u8> {
    conformance::read("rules/configtx/bases/genesis.pb")
}

#[test]
fn damaged_configurations_are_refused_or_shown_without_a_panic() {
    let mut rng = rng();
    let genesis = genesis();
    let (mut read, mut refused) = (0, 0);
    let rounds = rounds(CONFIGURATIONS);
    for _ in 0..rounds {
        let bytes = damage(&genesis, &mut rng);
        drop(check_configuration_fields(&bytes.clone().into()));
        let config = Config::decode(&bytes[..]);
        let bundle = config.map(|config| Bundle::new("mychannel", config));
        match bundle {
            Ok(Ok(bundle)) => {
                read += 1;
                assert!(!words(bundle.config()).is_empty());
                drop(bundle.check_capabilities());
            }
            _ => refused += 1,
        }
    }
    assert!(
        read > rounds / 200 && refused > rounds / 200,
        "{read} {refused}"
    );
    check_memory();
}

#[test]
fn damaged_updates_change_nothing_that_their_signers_did_not_sign() {
    let mut rng = rng();
    let genesis = Config::decode(&genesis()[..]).unwrap();
    let base = Bundle::new("mychannel", genesis).unwrap();
    let cases = conformance::read_lines("rules/configtx/updates.jsonl");
    let of_genesis = cases.iter().filter(|case| case["base"] == "genesis");
    let updates: Vec<_> = of_genesis
        .map(|case| decoded(&case["envelope_b64"]))
        .collect();
    let (mut read, mut applied) = (0, 0);
    let rounds = rounds(CONFIGURATIONS);
    for _ in 0..rounds {
        let original = &updates[rng.below(updates.len())];
        let bytes = Bytes::from(damage(original, &mut rng));
        drop(check_update_fields(&bytes));
        let Ok(envelope) = Envelope::decode(bytes) else {
            continue;
        };
        let Ok(update) = SignedUpdate::from_envelope(&envelope) else {
            continue;
        };
        read += 1;
        drop(update.preview(&base).map(|next| update.dropped(&next)));
        if let Ok(next) = update.apply(&base) {
            applied += 1;
            // Only where what was signed is what it was.
            let sound = Envelope::decode(original.clone()).unwrap();
            let sound = SignedUpdate::from_envelope(&sound).unwrap();
            assert_eq!(next, sound.preview(&base).unwrap());
        }
    }
    assert!(
        read > rounds / 50 && applied > 0 && applied < read,
        "{read} {applied}"
    );
    check_memory();
}
