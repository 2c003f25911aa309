//! Blocks, from an orderer or a peer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quire_ordering::last_config;
use quire_rpc::Delivering;
use quire_wire::Message as _;
use quire_wire::common::Block;
use quire_wire::deliver::{
    Nothing, Position, Response, SeekInfo, SeekPosition, SeekSpecified, seek_behavior,
    seek_error_response, status,
};

use crate::files;
use crate::peer::caller::Caller;
use crate::peer::endpoint::{Endpoint, peer};
use crate::peer::error::PeerError;
use crate::peer::report::{CHANNEL, Report};

/// How long after an orderer did not have a new channel it is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Whose blocks.
pub(super) struct Source<'a> {
    pub(super) channel: &'a str,
    /// The peer's without.
    pub(super) orderer: Option<Endpoint>,
    pub(super) best_effort: bool,
}

impl Source<'_> {
    /// Writes the block that `target` names to a file.
    pub(super) async fn fetch(
        &self,
        caller: &Caller<'_>,
        target: &str,
        file: Option<&Path>,
        report: &mut Report<'_, '_>,
    ) -> Result<(), PeerError> {
        let block = match target {
            "oldest" => self.block(caller, Position::Oldest(Nothing {})).await?,
            "newest" => self.block(caller, Position::Newest(Nothing {})).await?,
            "config" => {
                let newest = self.block(caller, Position::Newest(Nothing {})).await?;
                let metadata = newest.metadata.unwrap_or_default().metadata;
                let number = last_config(&metadata);
                let number = number.map_err(PeerError::decode("block metadata"))?;
                let line = format!("Retrieving last config block: {number}");
                report.log(CHANNEL, "fetch", &line);
                self.block(caller, specified(number)).await?
            }
            number => {
                let illegal = || PeerError::Usage(format!("fetch target illegal: {number}"));
                let number = number.parse().map_err(|_| illegal())?;
                self.block(caller, specified(number)).await?
            }
        };
        let number = block.header.as_ref().map_or(0, |header| header.number);
        report.log(
            "cli.common",
            "readBlock",
            &format!("Received block: {number}"),
        );
        let named = || PathBuf::from(format!("{}_{target}.block", self.channel));
        let file = file.map_or_else(named, Path::to_path_buf);
        Ok(files::write(&file, &block.encode_to_vec(), 0o644)?)
    }

    async fn block(&self, caller: &Caller<'_>, position: Position) -> Result<Block, PeerError> {
        let (endpoint, service) = match &self.orderer {
            Some(orderer) => (orderer.clone(), Delivering::Orderer),
            None => (peer(caller.settings)?, Delivering::Peer),
        };
        let position = Some(SeekPosition {
            position: Some(position),
        });
        let seek = SeekInfo {
            start: position,
            stop: position,
            behavior: seek_behavior::BLOCK_UNTIL_READY,
            error_response: if self.best_effort {
                seek_error_response::BEST_EFFORT
            } else {
                seek_error_response::STRICT
            },
            ..SeekInfo::default()
        };
        let client = endpoint.connect().await?;
        let envelope = caller.seek(&endpoint, self.channel, &seek)?;
        let what = "error receiving";
        let stream = client.deliver(service, envelope).await;
        let mut stream = stream.map_err(PeerError::rpc(what))?;
        match stream.next().await.map_err(PeerError::rpc(what))? {
            Some(Response::Block(block)) => Ok(block),
            Some(Response::Status(status)) => Err(PeerError::NoBlock(status::name(status))),
            _ => Err(PeerError::Stray(what.to_owned())),
        }
    }
}

fn specified(number: u64) -> Position {
    Position::Specified(SeekSpecified { number })
}

/// Writes the first block of a channel that an orderer is making to a file.
pub(super) async fn first(
    caller: &Caller<'_>,
    orderer: &Endpoint,
    channel: &str,
    patience: Duration,
    file: &Path,
) -> Result<(), PeerError> {
    let source = Source {
        channel,
        orderer: Some(orderer.clone()),
        best_effort: false,
    };
    let made = async {
        loop {
            if let Ok(block) = source.block(caller, specified(0)).await {
                return block;
            }
            // An orderer tells nobody that a channel is there: it can only be asked.
            tokio::time::sleep(PAUSE).await;
        }
    };
    let block = tokio::time::timeout(patience, made).await;
    let block = block.map_err(|_| PeerError::NotCreated)?;
    Ok(files::write(file, &block.encode_to_vec(), 0o644)?)
}
