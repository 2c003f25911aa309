//! The channels of a peer.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::deliver::status;
use quire_wire::peer::Response;
use quire_wire::query::{BlockchainInfo, ChannelQueryResponse};
use serde_json::{Map, Value, json};

use crate::files;
use crate::peer::caller::Caller;
use crate::peer::endpoint::peer;
use crate::peer::error::PeerError;
use crate::peer::report::{CHANNEL, Report};

/// Has the peer take in a channel, by its first block.
pub(super) async fn join(
    caller: &Caller<'_>,
    block: &Path,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let block = Bytes::from(files::read(block)?);
    let args = vec!["JoinChain".into(), block];
    let what = "proposal failed";
    let peer = peer(caller.settings)?;
    let asked = caller.ask(&peer, "", "cscc", args, what);
    let response = asked.await?.response.unwrap_or_default();
    if !matches!(response.status, 0 | status::SUCCESS) {
        return Err(PeerError::NotJoined(response));
    }
    let text = "Successfully submitted proposal to join channel";
    report.log(CHANNEL, "executeJoin", text);
    Ok(())
}

/// The names of the peer's channels.
pub(super) async fn list(
    caller: &Caller<'_>,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let response = ask(caller, "cscc", vec!["GetChannels".into()]).await?;
    let answer = ChannelQueryResponse::decode(response.payload);
    let answer = answer.map_err(PeerError::decode("channels list response"))?;
    report.print(format_args!("Channels peers has joined: \n"))?;
    for channel in answer.channels {
        report.print(format_args!("{}\n", channel.channel_id))?;
    }
    Ok(())
}

/// How high a channel of the peer is.
pub(super) async fn info(
    caller: &Caller<'_>,
    channel: &str,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let args = vec!["GetChainInfo".into(), channel.to_owned().into()];
    let response = ask(caller, "qscc", args).await?;
    let info = BlockchainInfo::decode(response.payload);
    let info = info.map_err(PeerError::decode("qscc response"))?;
    report.print(format_args!("Blockchain info: {}\n", as_json(&info)))
}

async fn ask(
    caller: &Caller<'_>,
    chaincode: &str,
    args: Vec<Bytes>,
) -> Result<Response, PeerError> {
    let what = "failed sending proposal";
    let peer = peer(caller.settings)?;
    let asked = caller.ask(&peer, "", chaincode, args, what);
    let response = asked.await?.response.unwrap_or_default();
    match response.status {
        status::SUCCESS => Ok(response),
        _ => Err(PeerError::BadResponse(response)),
    }
}

/// In Go's form: without what is empty.
fn as_json(info: &BlockchainInfo) -> Value {
    let mut members = Map::new();
    if info.height != 0 {
        members.insert("height".to_owned(), info.height.into());
    }
    for (name, hash) in [
        ("currentBlockHash", &info.current_block_hash),
        ("previousBlockHash", &info.previous_block_hash),
    ] {
        if !hash.is_empty() {
            members.insert(name.to_owned(), STANDARD.encode(hash).into());
        }
    }
    if let Some(snapshot) = &info.bootstrapping_snapshot_info {
        let mut inner = Map::new();
        if snapshot.last_block_in_snapshot != 0 {
            let last = snapshot.last_block_in_snapshot;
            inner.insert("lastBlockInSnapshot".to_owned(), last.into());
        }
        members.insert("bootstrappingSnapshotInfo".to_owned(), json!(inner));
    }
    members.into()
}
