//! Who may register as the process of a package.

use std::sync::Arc;

use parking_lot::Mutex;
use quire_chaincode::lifecycle::IndexFile;
use quire_chaincode::shim::{Callee, Deadline, Host, Limits, ShimChaincode, ShimError, Stream};
use quire_chaincode::{Invocation, Simulated};
use quire_ledger::Simulator;
use quire_peer::{Attached, MakeIndexes, Processes as _};
use quire_rpc::Target;
use quire_rpc::chaincode::{Accept as _, Server};
use quire_wire::Message as _;
use quire_wire::lifecycle::ReferencedChaincode;
use quire_wire::peer::ChaincodeId;
use quire_wire::shim::{ChaincodeMessage, MessageType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::runtime::Handle;

use super::credentials::Authority;
use super::processes::{Children, Found, Home, Processes, Source};

/// Its chaincodes are never called.
#[derive(Debug)]
struct Nobody;

impl Host for Nobody {
    fn deadline(&self) -> Deadline {
        Box::pin(std::future::pending())
    }

    fn call(&self, _: Callee, _: Simulator) -> Invocation<Simulated> {
        Invocation::wait(std::future::pending())
    }
}

/// The indexes that were made, by the names of their files.
#[derive(Debug, Default)]
struct Made(Mutex<Vec<String>>);

impl MakeIndexes for Made {
    fn make(&self, files: &[IndexFile]) {
        self.0
            .lock()
            .extend(files.iter().map(|file| file.name.clone()));
    }
}

/// The processes of packages that are in use: `code:1` and `code:2` are run here, `service:1` is dialled, and `absent:1`
/// is not installed.
fn processes(dir: &std::path::Path) -> Processes {
    let find = |package_id: &str| {
        let source = match package_id.split_once(':').map(|(label, _)| label) {
            // It cannot be unpacked, and so no child gets in the way.
            Some("code") => Some(Source::Code(b"nothing".to_vec())),
            Some("service") => Some(Source::Service(Server {
                target: Target {
                    tls: None,
                    address: "127.0.0.1:9".to_owned(),
                    dial_timeout: std::time::Duration::from_secs(1),
                },
                message_bytes: 1,
            })),
            _ => None,
        };
        let index = IndexFile {
            name: package_id.to_owned(),
            content: Vec::new(),
        };
        Ok(source.map(|source| Found {
            source,
            indexes: vec![index],
        }))
    };
    let home = Home {
        code: dir.join("code"),
        keys: dir.join("keys"),
        msp_id: "Org1MSP".to_owned(),
    };
    let processes = Processes::new(home, Limits::default(), Arc::new(find), Handle::current());
    for package in ["code:1", "code:2", "service:1", "absent:1"] {
        processes.attach(package, attached("main", &Arc::default()));
    }
    processes
}

fn attached(channel: &str, made: &Arc<Made>) -> Attached {
    let chaincode = ShimChaincode::new("cc".to_owned(), "1".to_owned(), Arc::new(Nobody));
    Attached {
        channel: channel.into(),
        reference: ReferencedChaincode {
            name: "cc".to_owned(),
            version: "1".to_owned(),
        },
        chaincode: Arc::new(chaincode),
        indexes: Arc::clone(made) as _,
    }
}

fn register(stream: &Stream, package: &str) -> Result<(), ShimError> {
    let id = ChaincodeId {
        name: package.to_owned(),
        ..ChaincodeId::default()
    };
    stream.take(ChaincodeMessage {
        r#type: MessageType::Register.into(),
        payload: id.encode_to_vec().into(),
        ..ChaincodeMessage::default()
    })
}

fn is_refused(registered: &Result<(), ShimError>) -> bool {
    matches!(registered, Err(ShimError::OtherName { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_not_be_the_process_of_a_package_that_runs_here() {
    let dir = tempfile::tempdir().unwrap();
    let processes = processes(dir.path());
    for package in ["service:1", "absent:1"] {
        // Until what is in its package is known, nobody may.
        let stream = loop {
            let stream = processes.accept(None);
            if register(&stream, package).is_ok() {
                break stream;
            }
            tokio::task::yield_now().await;
        };
        while !processes.is_running(package) {
            tokio::task::yield_now().await;
        }
        let second = register(&processes.accept(None), package);
        assert!(is_refused(&second), "{second:?}");
        drop(stream);
    }
    // It is known of these by now, too: they were looked at first.
    for package in ["code:1", "code:2", "unknown:1"] {
        let registered = register(&processes.accept(None), package);
        assert!(is_refused(&registered), "{package}: {registered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_registers_as_the_package_that_its_certificate_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::new().unwrap());
    let children = Children(processes(dir.path()), Arc::clone(&authority));
    let credential = authority.issue("code:1", dir.path().join("keys/1"));
    let credential = credential.unwrap();
    let env = credential.env();
    let file = env
        .iter()
        .find(|(name, _)| *name == "CORE_TLS_CLIENT_CERT_FILE");
    let shown = CertificateDer::from_pem_file(&file.unwrap().1).unwrap();
    let register = |certificate: Option<&[u8]>, package: &str| {
        let stream = children.accept(certificate);
        register(&stream, package).map(|()| stream)
    };
    for (certificate, package) in [
        (Some(shown.as_ref()), "code:2"),
        (Some(shown.as_ref()), "absent:1"),
        (Some(b"another".as_slice()), "code:1"),
        (None, "code:1"),
    ] {
        let refused = register(certificate, package).map(drop);
        assert!(is_refused(&refused), "{package}: {refused:?}");
    }
    drop(register(Some(&shown), "code:1").unwrap());
    drop(credential);
    assert!(is_refused(&register(Some(&shown), "code:1").map(drop)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_indexes_of_a_package_are_made_once_in_every_channel_that_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let processes = processes(dir.path());
    let mut channels = Vec::new();
    // Some come before the package is read, and some after.
    for channel in ["a", "b", "c"] {
        let made = Arc::new(Made::default());
        processes.attach("service:1", attached(channel, &made));
        while made.0.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        channels.push(made);
    }
    let absent = Arc::new(Made::default());
    processes.attach("absent:1", attached("a", &absent));
    let references: Vec<_> = processes.references("service:1").into_iter().collect();
    let channels_of: Vec<_> = references.iter().map(|(channel, _)| &**channel).collect();
    assert_eq!(channels_of, ["a", "b", "c", "main"]);
    assert!(
        references
            .iter()
            .all(|(_, those)| those.len() == 1 && those[0].version == "1")
    );
    processes.stop().await;
    for made in channels {
        assert_eq!(*made.0.lock(), ["service:1"]);
    }
    assert!(absent.0.lock().is_empty());
}
