//! The same documents by Fabric's Gateway: an application that signs what it proposes, orders and asks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::try_join_all;
use quire_identity::{Msp, MspFolder, MspVersion, SigningIdentity};
use quire_rpc::{Application, Client, Proposing, Target};
use quire_wire::Code;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::Failure;

/// Clients that share a connection, as the callers of one application do.
const SHARE: u64 = 100;
pub(crate) const CHANNEL: &str = "main";

/// The key that signs.
#[derive(Clone)]
pub(crate) struct Signer(pub(crate) Arc<SigningIdentity>);

impl Signer {
    /// Reads an MSP folder.
    pub(crate) fn read(folder: &Path, msp_id: &str) -> Result<Self, Failure> {
        let folder = MspFolder::read(folder, msp_id)?;
        let msp = Msp::from_config(&folder.config, MspVersion::V1_4_3)?;
        Ok(Self(Arc::new(folder.signer(&msp, now())?)))
    }
}

/// One client.
pub(crate) struct Caller(Application);

impl Caller {
    /// So many clients.
    pub(crate) async fn connect(
        address: &str,
        signer: &Signer,
        clients: u64,
    ) -> Result<Vec<Self>, Failure> {
        let connections = (0..clients.div_ceil(SHARE)).map(|_| connect(address));
        let connections = try_join_all(connections).await?;
        let shared = connections.iter().cycle();
        let callers = (0..clients).zip(shared).map(|(_, connection)| {
            let signer = Arc::clone(&signer.0);
            Self(Application::new(connection.clone(), signer, CHANNEL))
        });
        Ok(callers.collect())
    }

    /// Calls a chaincode, by a function and its arguments: endorsed, ordered and committed.
    pub(crate) async fn submit(&self, chaincode: &str, args: &[&str]) -> Result<(), Failure> {
        let status = self.0.submit(call(chaincode, args)?).await?;
        if status.result == i32::from(Code::VALID.0) {
            return Ok(());
        }
        Err(format!("{args:?} got the code {}", status.result).into())
    }

    /// The same, and nothing is ordered.
    pub(crate) async fn evaluate(&self, chaincode: &str, args: &[&str]) -> Result<(), Failure> {
        self.0.evaluate(call(chaincode, args)?).await?;
        Ok(())
    }
}

/// A connection.
pub(crate) async fn connect(address: &str) -> Result<Client, Failure> {
    let target = Target {
        address: address.to_owned(),
        dial_timeout: Duration::from_secs(10),
        tls: None,
    };
    Ok(Client::connect(&target).await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is signed has the true time"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

fn call(chaincode: &str, args: &[&str]) -> Result<Proposing, Failure> {
    Ok(Proposing {
        chaincode: chaincode.to_owned(),
        args: args
            .iter()
            .map(|arg| Bytes::copy_from_slice(arg.as_bytes()))
            .collect(),
        is_init: false,
        transient: BTreeMap::new(),
        nonce: nonce()?,
        now: now(),
    })
}

/// Fresh randomness.
pub(crate) fn nonce() -> Result<[u8; 24], Failure> {
    let mut nonce = [0; 24];
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| "no randomness")?;
    Ok(nonce)
}
