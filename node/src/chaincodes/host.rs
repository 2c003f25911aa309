//! The node as its channels' chaincodes see it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use quire_chaincode::Chaincodes as Governing;
use quire_chaincode::lifecycle::{
    Connection, MAX_PACKAGES_BYTES, Package, PackageFiles, Packages as _,
};
use quire_chaincode::shim::{Deadline, Limits};
use quire_disk::FileError;
use quire_ledger::Reader;
use quire_peer::{CHAINCODE_TO_CHAINCODE, ChaincodeHost, Channels, OpenChannel, Peer, Timer};
use quire_rpc::chaincode::Server;
use quire_rpc::{Target, Tls};
use quire_wire::peer::SignedProposal;
use tokio::runtime::Handle;

use super::processes::{Found, Home, Processes, Source};

/// How long a call waits for a process that is not connected.
const GRACE: Duration = Duration::from_secs(10);
/// Folders of a data directory.
const FOLDER: &str = "chaincodes";
const PACKAGES: &str = "packages";
const CODE: &str = "code";
const KEYS: &str = "keys";

/// The chaincodes of a node: their packages and their processes.
#[derive(Debug)]
pub(crate) struct Chaincodes {
    pub(crate) packages: Arc<PackageFiles>,
    pub(crate) processes: Processes,
    open: Arc<OpenChannels>,
    timer: Arc<Clock>,
}

impl Chaincodes {
    /// Those of an organisation's data directory. Nothing runs yet.
    pub(crate) fn open(
        data: &Path,
        msp_id: &str,
        timeout: Duration,
        runtime: &Handle,
    ) -> Result<Self, FileError> {
        let folder = data.join(FOLDER);
        let disk = quire_disk::os();
        let (packages, damaged) =
            PackageFiles::open(disk, &folder.join(PACKAGES), MAX_PACKAGES_BYTES)?;
        for package in damaged {
            let (file, reason) = (package.file.display(), package.reason);
            tracing::error!(%file, reason, "a chaincode package is damaged: install it again");
        }
        let packages = Arc::new(packages);
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let message_bytes = limits.message_bytes;
        let known = Arc::clone(&packages);
        let find = Arc::new(move |package_id: &str| find(&known, package_id, message_bytes));
        Ok(Self {
            packages,
            processes: Processes::new(
                Home {
                    code: folder.join(CODE),
                    keys: folder.join(KEYS),
                    msp_id: msp_id.to_owned(),
                },
                limits,
                find,
                runtime.clone(),
            ),
            open: Arc::default(),
            timer: Arc::new(Clock {
                timeout,
                runtime: runtime.clone(),
            }),
        })
    }

    /// What channels are opened with.
    pub(crate) fn host(&self) -> ChaincodeHost {
        ChaincodeHost {
            packages: Arc::clone(&self.packages) as _,
            processes: Arc::new(self.processes.clone()),
            timer: Arc::clone(&self.timer) as _,
            channels: Arc::clone(&self.open) as _,
        }
    }

    /// Lets chaincodes of other channels read this one.
    pub(crate) fn opened(&self, open: &OpenChannel) {
        if let Some(peer) = open.peer() {
            let chaincodes = Arc::downgrade(&open.channel.chaincodes);
            let theirs = (
                Arc::downgrade(peer),
                open.channel.reader.clone(),
                chaincodes,
            );
            let name = open.channel.name.to_string();
            self.open.0.write().insert(name, theirs);
        }
    }
}

/// What is in a package; none where it is not installed.
fn find(
    packages: &PackageFiles,
    package_id: &str,
    message_bytes: usize,
) -> Result<Option<Found>, String> {
    let told = |error: &dyn std::error::Error| quire_ledger::chain_of(error);
    let Some(bytes) = packages.get(package_id).map_err(|error| told(&error))? else {
        return Ok(None);
    };
    let package = Package::read(&bytes).map_err(|error| told(&error))?;
    let connection = package.connection().map_err(|error| told(&error))?;
    let source = match connection {
        None => Source::Code(package.code.to_vec()),
        Some(connection) => {
            let server = server(connection, message_bytes);
            Source::Service(server.map_err(|error| told(&error))?)
        }
    };
    let indexes = package.index_files().unwrap_or_else(|error| {
        let reason = told(&error);
        tracing::error!(package_id, reason, "no index of the package is made");
        Vec::new()
    });
    Ok(Some(Found { source, indexes }))
}

fn server(connection: Connection, message_bytes: usize) -> Result<Server, quire_rpc::TlsError> {
    let host = connection.address.rsplit_once(':');
    let host = host.map_or(&*connection.address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tls = connection.tls.as_ref().map(|tls| {
        let client = tls.client.as_ref();
        let name = client.and_then(|client| client.domain.as_deref());
        let pair = client.map(|client| (client.certificate.as_bytes(), client.key.as_bytes()));
        Tls::new(tls.root_cert.as_bytes(), pair, name.unwrap_or(host))
    });
    Ok(Server {
        target: Target {
            tls: tls.transpose()?,
            address: connection.address,
            dial_timeout: connection.dial_timeout,
        },
        message_bytes,
    })
}

/// The channels that are open, by name.
#[derive(Default)]
struct OpenChannels(RwLock<BTreeMap<String, Theirs>>);

/// Weak, for a channel's chaincodes have the others.
type Theirs = (Weak<Peer>, Reader, Weak<Governing>);

impl std::fmt::Debug for OpenChannels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenChannels").finish_non_exhaustive()
    }
}

impl Channels for OpenChannels {
    fn names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }

    fn reader(&self, channel: &str) -> Option<Reader> {
        let open = self.0.read();
        open.get(channel).map(|(_, reader, _)| reader.clone())
    }

    fn check_access(
        &self,
        channel: &str,
        resource: &str,
        proposal: &SignedProposal,
    ) -> Result<(), String> {
        let open = self.0.read();
        let found = open.get(channel).and_then(|(peer, _, _)| peer.upgrade());
        let peer = found.ok_or_else(|| not_open(channel))?;
        peer.may_use(resource, proposal)
    }

    fn open(
        &self,
        channel: &str,
        proposal: &SignedProposal,
    ) -> Result<(Reader, Arc<Governing>), String> {
        let open = self.0.read();
        let found = open.get(channel).and_then(|(peer, reader, chaincodes)| {
            Some((peer.upgrade()?, reader.clone(), chaincodes.upgrade()?))
        });
        let (peer, reader, chaincodes) = found.ok_or_else(|| not_open(channel))?;
        peer.may_use(CHAINCODE_TO_CHAINCODE, proposal)?;
        Ok((reader, chaincodes))
    }
}

fn not_open(channel: &str) -> String {
    format!("channel {channel} is not open here")
}

/// Ends calls that take too long.
#[derive(Debug)]
struct Clock {
    timeout: Duration,
    runtime: Handle,
}

impl Timer for Clock {
    fn deadline(&self) -> Deadline {
        // Calls begin on threads of the gateway's own too.
        let _entered = self.runtime.enter();
        Box::pin(tokio::time::sleep(self.timeout))
    }

    fn grace(&self) -> Deadline {
        let _entered = self.runtime.enter();
        Box::pin(tokio::time::sleep(self.timeout.min(GRACE)))
    }
}
