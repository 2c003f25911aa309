//! Blocks by Fabric's Deliver service, to one reader and to many, beside the block files themselves.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use quire_rpc::{Client, Delivering};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader, header_type};
use quire_wire::deliver::{
    Nothing, Position, Response, SeekInfo, SeekPosition, SeekSpecified, status,
};
use serde_json::{Value, json};

use crate::application::{CHANNEL, Signer, connect, nonce, now};
use crate::load::Processor;
use crate::{Failure, probes};

/// Bytes that are read of a file at a time.
const PIECE: usize = 1 << 20;

/// What is asked for.
pub(crate) struct Deliver<'a> {
    pub(crate) address: &'a str,
    pub(crate) signer: &'a Signer,
    /// Readers at a time, each on a connection of its own, run by run.
    pub(crate) readers: &'a [u64],
    /// The node's data directory.
    pub(crate) data: &'a Path,
    /// How long each run takes.
    pub(crate) seconds: f64,
    pub(crate) pid: Option<u32>,
}

/// What readers got.
#[derive(Default)]
struct Got {
    blocks: u64,
    bytes: u64,
}

impl Deliver<'_> {
    /// Runs all of it. The files are read twice, so that the second time they come from where the node has them too.
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let files = block_files(&self.data.join("channels").join(CHANNEL))?;
        read(&files)?;
        let (bytes, took) = read(&files)?;
        let by_files = megabytes(bytes, took);
        println!(
            "{}",
            json!({
                "name": "block files, read one after the other, in memory",
                "megabytes": megabytes(bytes, Duration::from_secs(1)),
                "megabytesPerSecond": by_files,
            })
        );
        for &readers in self.readers {
            println!("{}", self.readers(readers, by_files).await?);
        }
        Ok(())
    }

    async fn readers(&self, readers: u64, by_files: f64) -> Result<Value, Failure> {
        let mut clients = Vec::new();
        for _ in 0..readers {
            clients.push(connect(self.address).await?);
        }
        let processor = Processor::begin(self.pid);
        let begun = Instant::now();
        let until = begun + Duration::from_secs_f64(self.seconds);
        let got = try_join_all(clients.iter().map(|client| self.reader(client, until))).await?;
        let took = begun.elapsed();
        let blocks: u64 = got.iter().map(|one| one.blocks).sum();
        let bytes: u64 = got.iter().map(|one| one.bytes).sum();
        let rate = megabytes(bytes, took);
        let [node, client] = processor.micros(usize::try_from(blocks)?);
        #[expect(clippy::cast_precision_loss, reason = "a count of blocks")]
        let per_second = (blocks as f64 / took.as_secs_f64()).round();
        Ok(json!({
            "name": format!("Deliver, {readers} readers"),
            "blocksPerSecond": per_second,
            "megabytesPerSecond": rate,
            "filesMegabytesPerSecond": by_files,
            "nodeMicrosPerBlock": node,
            "clientMicrosPerBlock": client,
            "commit": probes::commit(),
            "machine": probes::machine(),
        }))
    }

    /// One reader, who begins again behind the newest block.
    async fn reader(&self, client: &Client, until: Instant) -> Result<Got, Failure> {
        let mut got = Got::default();
        while Instant::now() < until {
            let mut blocks = client.deliver(Delivering::Peer, self.seek()?).await?;
            while let Some(response) = blocks.next().await? {
                match response {
                    Response::Block(block) => {
                        got.blocks += 1;
                        got.bytes += block.encoded_len() as u64;
                    }
                    Response::Status(status::SUCCESS) => break,
                    other => return Err(format!("{other:?} in place of a block").into()),
                }
                if Instant::now() >= until {
                    break;
                }
            }
        }
        Ok(got)
    }

    /// Asks for all blocks that there are.
    fn seek(&self) -> Result<Envelope, Failure> {
        let place = |position| {
            Some(SeekPosition {
                position: Some(position),
            })
        };
        let info = SeekInfo {
            start: place(Position::Specified(SeekSpecified { number: 0 })),
            stop: place(Position::Newest(Nothing {})),
            ..SeekInfo::default()
        };
        let channel_header = ChannelHeader {
            r#type: header_type::DELIVER_SEEK_INFO,
            timestamp: Some(now().into()),
            channel_id: CHANNEL.to_owned(),
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader {
            creator: self.signer.0.serialized().clone(),
            nonce: nonce()?.to_vec().into(),
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec().into(),
                signature_header: signature_header.encode_to_vec().into(),
            }),
            data: info.encode_to_vec().into(),
        };
        let payload = payload.encode_to_vec();
        Ok(Envelope {
            signature: self.signer.0.sign(&payload),
            payload: payload.into(),
        })
    }
}

fn block_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("blockfile_") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// How many bytes the files have, and how long it took to read them.
fn read(files: &[PathBuf]) -> Result<(u64, Duration), Failure> {
    let begun = Instant::now();
    let mut piece = vec![0; PIECE];
    let mut all = 0;
    for file in files {
        let mut file = File::open(file)?;
        loop {
            match file.read(&mut piece)? {
                0 => break,
                bytes => all += bytes as u64,
            }
        }
    }
    Ok((all, begun.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
fn megabytes(bytes: u64, took: Duration) -> f64 {
    (bytes as f64 / took.as_secs_f64() / 1e5).round() / 10.0
}
