//! Guards folders of tools against being read in part without a word.

use std::fs;
use std::time::{Duration, SystemTime};

use super::*;
use crate::authority::{found_authority, issue};
use crate::identity::Role;
use crate::key::Key;
use crate::msp::{Msp, MspVersion};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A folder with a CA, and a peer that it made.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority = found_authority("Org", NOW).unwrap();
    let key = Key::from_pem(authority.key_pem.as_bytes()).unwrap();
    let peer = issue("Org", (&key, 0), "peer0", Role::Peer, NOW).unwrap();
    put(&folder, "cacerts/ca.pem", &authority.certificate_pem);
    put(&folder, "admincerts/admin.pem", &peer.certificate_pem);
    put(&folder, "signcerts/cert.pem", &peer.certificate_pem);
    put(&folder, "keystore/another_sk", &authority.key_pem);
    put(&folder, "keystore/priv_sk", &peer.key_pem);
    folder
}

fn put(folder: &tempfile::TempDir, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn signer(folder: &tempfile::TempDir) -> Result<crate::SigningIdentity, SignerError> {
    let read = MspFolder::read(folder.path(), "Org").unwrap();
    let msp = Msp::from_config(&read.config, MspVersion::V3_0).unwrap();
    read.signer(&msp, NOW)
}

#[test]
fn files_that_fabric_passes_over_are_told() {
    let folder = folder();
    put(&folder, "cacerts/notes.txt", "ours");
    put(&folder, "cacerts/below/ca.pem", "passed over, and no file");
    let der = [0x30, 0].repeat(2);
    put(&folder, "crls/list.crl", der);
    put(
        &folder,
        "config.yaml",
        "NodeOUs: {Enable: on, PeerOUIdentifier: {Certificate: none.pem, OrganizationalUnitIdentifier: peer}}",
    );
    let read = MspFolder::read(folder.path(), "Org").unwrap();
    let ignored: Vec<_> = read
        .ignored
        .iter()
        .map(|one| {
            let path = one.path.strip_prefix(folder.path()).unwrap();
            format!("{}: {}", path.display(), one.reason)
        })
        .collect();
    assert_eq!(
        ignored,
        [
            "cacerts/notes.txt: no PEM in it",
            "crls/list.crl: no PEM in it",
            "none.pem: No such file or directory (os error 2): every CA may give the unit \"peer\"",
        ]
    );
}

#[test]
fn keys_are_found_under_any_name_and_in_both_forms() {
    let folder = folder();
    assert_eq!(signer(&folder).unwrap().name(), "peer0");
    // As `openssl ecparam -genkey` and fabric-ca of old write it.
    let path = folder.path().join("keystore/priv_sk");
    let pkcs8 = pem::Block::first(&fs::read(&path).unwrap())
        .unwrap()
        .content;
    let start = pkcs8
        .windows(5)
        .position(|five| five == [2, 1, 1, 4, 32])
        .unwrap();
    let scalar = &pkcs8[start + 5..start + 37];
    let curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let sec1 = [&[0x30, 49, 2, 1, 1, 4, 32][..], scalar, &curve].concat();
    put(
        &folder,
        "keystore/priv_sk",
        pem::encode("EC PRIVATE KEY", &sec1),
    );
    assert_eq!(signer(&folder).unwrap().role(), Role::Admin, "it is listed");
    fs::remove_file(&path).unwrap();
    assert!(matches!(signer(&folder), Err(SignerError::NoKey { .. })));
    fs::remove_dir_all(folder.path().join("keystore")).unwrap();
    assert!(matches!(signer(&folder), Err(SignerError::NoKey { .. })));
}

#[test]
fn an_expired_signer_is_refused() {
    let folder = folder();
    let read = MspFolder::read(folder.path(), "Org").unwrap();
    let msp = Msp::from_config(&read.config, MspVersion::V3_0).unwrap();
    let century = Duration::from_secs(100 * 366 * 24 * 60 * 60);
    let refused = read.signer(&msp, NOW + century).unwrap_err();
    assert!(matches!(refused, SignerError::Expired { .. }), "{refused}");
}

#[test]
fn what_a_folder_cannot_hold_is_not_written() {
    let folder = folder();
    let read = MspFolder::read(folder.path(), "Org").unwrap();
    let target = folder.path().join("copy");
    let disk = quire_disk::os();
    let mut other = read.config.clone();
    other.crypto_config.as_mut().unwrap().signature_hash_family = "SHA3".to_owned();
    let refused = write(disk.as_ref(), &target, &other).unwrap_err();
    assert!(matches!(refused, WriteError::HashFunctions), "{refused}");
    let mut other = read.config.clone();
    other.revocation_list = vec![Bytes::from_static(&[0x30, 0])];
    let refused = write(disk.as_ref(), &target, &other).unwrap_err();
    assert!(matches!(refused, WriteError::NotPem), "{refused}");
    assert!(!target.exists());
}

#[test]
fn a_folder_without_a_ca_is_none() {
    let folder = folder();
    fs::remove_file(folder.path().join("cacerts/ca.pem")).unwrap();
    let refused = MspFolder::read(folder.path(), "Org").unwrap_err();
    assert!(matches!(refused, FolderError::NoCertificate { .. }));
    put(&folder, "cacerts/ca.pem", vec![b'x'; 5 << 20]);
    let refused = MspFolder::read(folder.path(), "Org").unwrap_err();
    assert!(matches!(refused, FolderError::File(_)), "{refused}");
}
