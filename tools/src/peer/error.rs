//! Why a verb of `peer` did not do what it was told.

use std::error::Error;
use std::path::PathBuf;

use base64::DecodeError as Base64Error;
use quire_chaincode::lifecycle::{CodeError, PackageError};
use quire_identity::MspError;
use quire_identity::msp::folder::{FolderError, SignerError};
use quire_identity::policy::PolicyTextError;
use quire_rpc::{DialError, NotAssembled, Status, TlsError};
use quire_wire::DecodeError;
use quire_wire::peer::Response;

use super::prototext;
use crate::files::FileError;

/// What went wrong, in Fabric's words where scripts look for them.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("{0}")]
    Usage(String),
    #[error("The required parameter '{name}' is empty. Rerun the command with {flag} flag")]
    Missing {
        name: &'static str,
        flag: &'static str,
    },
    #[error("the variable {0} must be set")]
    NoVariable(&'static str),
    #[error("the variable {name} has {value:?}, which is no duration such as 3s")]
    Duration { name: &'static str, value: String },
    #[error("error obtaining the default signing identity: {}", chain(.0))]
    Folder(#[from] FolderError),
    #[error("error obtaining the default signing identity: {}", chain(.0))]
    Msp(#[from] MspError),
    #[error("error obtaining the default signing identity: {}", chain(.0))]
    Signer(#[from] SignerError),
    #[error("the operating system gave no random numbers")]
    Random,
    #[error("client failed to connect to {address}: {}", chain(source))]
    Dial { address: String, source: DialError },
    #[error("client failed to connect to {address}: {source}")]
    Tls { address: String, source: TlsError },
    #[error("client failed to connect to {0}: it did not answer in time")]
    NoConnection(String),
    #[error("{what}: rpc error: code = {:?} desc = {}", status.code(), status.message())]
    Rpc { what: String, status: Box<Status> },
    #[error("{what} with status: {} - {}", response.status, response.message)]
    Answer {
        what: &'static str,
        response: Response,
    },
    #[error("received bad response, status {}: {}", .0.status, .0.message)]
    BadResponse(Response),
    #[error("proposal failed (err: bad proposal response {}: {})", .0.status, .0.message)]
    NotJoined(Response),
    #[error(
        "endorsement failure during {what}. response: {}",
        prototext::response(response)
    )]
    NotEndorsed {
        what: &'static str,
        response: Response,
    },
    #[error("could not assemble transaction: {0}")]
    NotAssembled(#[from] NotAssembled),
    #[error("got unexpected status: {status} -- {info}")]
    NotOrdered { status: &'static str, info: String },
    #[error(
        "no orderer endpoints retrieved for channel {0}, pass orderer endpoint with -o flag instead"
    )]
    NoOrderer(String),
    #[error("ordering service endpoint {0} is not valid or missing")]
    OrdererAddress(String),
    #[error("transaction invalidated with status ({0})")]
    Invalidated(&'static str),
    #[error("deliver completed with status ({0}) before txid received")]
    DeliverEnded(&'static str),
    #[error("timed out waiting for txid on all peers")]
    WaitedInVain,
    #[error("timeout waiting for channel creation")]
    NotCreated,
    #[error("can't read the block: &{{{0}}}")]
    NoBlock(&'static str),
    #[error("{0}: the answer is none of a peer or an orderer")]
    Stray(String),
    #[error("failed to unmarshal {what}: {source}")]
    Decode {
        what: &'static str,
        source: DecodeError,
    },
    #[error("chaincode argument error: {0}")]
    Input(String),
    #[error("error parsing transient string: {0}")]
    Transient(serde_json::Error),
    #[error("error parsing transient string: {0}")]
    TransientValue(Base64Error),
    #[error("invalid signature policy: {text}: {source}")]
    Policy {
        text: String,
        source: PolicyTextError,
    },
    #[error("invalid collection configuration in file {}: {source}", path.display())]
    Collections {
        path: PathBuf,
        source: Box<PeerError>,
    },
    #[error("could not parse the collection configuration: {0}")]
    CollectionsJson(serde_json::Error),
    #[error("error getting chaincode bytes: {}", chain(.0))]
    Code(#[from] CodeError),
    #[error("could not parse as a chaincode install package: {0}")]
    Package(#[from] PackageError),
    #[error("Invalid channel create transaction : {0}")]
    InvalidUpdate(String),
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Stream(#[from] std::io::Error),
    #[error("failed to marshal output: {0}")]
    Json(serde_json::Error),
}

impl PeerError {
    /// A call that ended with a status.
    pub(super) fn rpc(what: impl Into<String>) -> impl FnOnce(Status) -> Self {
        let what = what.into();
        |status| Self::Rpc {
            what,
            status: Box::new(status),
        }
    }

    /// Bytes that are no message of the kind.
    pub(super) fn decode(what: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Decode { what, source }
    }
}

/// An error with those that it came from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
