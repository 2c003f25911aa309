//! `quire blocks`: the blocks of a channel as its files have them. A node that runs is only asked how
//! far they can be believed.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_chaincode::name::{NameError, check_channel};
use quire_disk::{Disk, OsDisk};
use quire_gateway::decoded;
use quire_ledger::{Block, Corruption, Next, OpenError, Progress, StoredBlocks};
use quire_wire::DecodeError;
use quire_wire::common::{Timestamp, header_type};
use quire_wire::transaction::Opened;

use crate::admin::Message;
use crate::admin::client::{self, AskError};
use crate::advice;
use crate::arguments::DataArguments;
use crate::arguments::values::block_number;
use crate::commands::verb::{Needs, Verb};
use crate::exit::{DAMAGED, FAILED, print_failure, print_not_asked};
use crate::node::FIRST_CHANNEL;
use crate::settings::Settings;
use crate::terminal::print_error;

/// Stands for a hash, an id or a time that there is none of.
const NONE: &str = "-";

/// Why blocks were not read, or not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlocksError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("channel {channel} has no block {number}: it has {height}, from 0 on")]
    NoBlock {
        channel: String,
        number: u64,
        height: u64,
    },
    #[error("--to {to} lies before --from {from}")]
    Range { from: u64, to: u64 },
    #[error("{0}")]
    Damaged(Corruption),
    #[error("block {number} does not say where the newest configuration is")]
    NoConfig { number: u64, source: DecodeError },
    #[error("the running node was not asked")]
    Ask(#[from] AskError),
    #[error("the running node says no")]
    Failed(Box<crate::admin::Failure>),
    #[error("a block cannot be put into words")]
    Json(#[from] serde_json::Error),
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    #[error("{file} cannot be written")]
    File { file: String, source: io::Error },
    #[error("{0} lies in the data directory, where nothing but the ledger's own files may be")]
    InDataDirectory(String),
}

impl BlocksError {
    /// Prints it; the code that the command ends with.
    pub(crate) fn print(&self) -> ExitCode {
        let advice = match self {
            // Whoever read the output has seen enough.
            Self::Output(source) if source.kind() == ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Ask(error) => return print_not_asked(error),
            Self::Failed(failure) => return print_failure(failure),
            Self::Open(error) => advice::of_open(error),
            Self::Damaged(_) => Some(
                "Where a node was killed these may be blocks that nobody was told of, and a start cuts \
                 them; `quire check` tells.",
            ),
            _ => None,
        };
        print_error(self, advice);
        let damaged = matches!(self, Self::Damaged(_));
        ExitCode::from(if damaged { DAMAGED } else { FAILED })
    }
}

/// The blocks of a channel, as far as they can be believed.
pub(crate) struct Blocks {
    channel: String,
    stored: StoredBlocks,
    /// How many there are where a node runs: what it writes further is not durable yet.
    height: Option<u64>,
}

impl Blocks {
    pub(crate) fn of(channel: &str, data: &DataArguments) -> Result<Self, BlocksError> {
        check_channel(channel)?;
        let height = height(channel, data)?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        Ok(Self {
            channel: channel.to_owned(),
            stored: StoredBlocks::open(&disk, &data.data, channel)?,
            height,
        })
    }

    /// Gives blocks from `from` to `to`, or to the newest.
    pub(crate) fn each(
        &self,
        from: u64,
        to: Option<u64>,
        mut take: impl FnMut(&Block) -> Result<(), BlocksError>,
    ) -> Result<(), BlocksError> {
        let end = to.map_or(u64::MAX, |to| to.saturating_add(1));
        let end = end.min(self.height.unwrap_or(u64::MAX));
        let mut blocks = self.stored.from(from)?;
        let mut number = from;
        while number < end {
            match blocks.next()? {
                Next::Block(block) => take(&block)?,
                Next::Damaged(corruption) => return Err(BlocksError::Damaged(corruption)),
                Next::End => break,
            }
            number += 1;
        }
        if number > from {
            return Ok(());
        }
        Err(BlocksError::NoBlock {
            channel: self.channel.clone(),
            number: from,
            height: self.height.unwrap_or_else(|| blocks.number()),
        })
    }

    pub(crate) fn one(&self, number: u64) -> Result<Block, BlocksError> {
        let mut found = None;
        self.each(number, Some(number), |block| {
            found = Some(block.clone());
            Ok(())
        })?;
        found.ok_or_else(|| BlocksError::NoBlock {
            channel: self.channel.clone(),
            number,
            height: self.height.unwrap_or(number),
        })
    }

    pub(crate) fn newest(&self) -> Result<Block, BlocksError> {
        if let Some(newest) = self.height.and_then(|height| height.checked_sub(1)) {
            return self.one(newest);
        }
        match self.stored.newest()? {
            (Some(block), None) => Ok(block),
            (None, None) => self.one(0),
            (_, Some(corruption)) => Err(BlocksError::Damaged(corruption)),
        }
    }
}

/// The height of a channel that a running node has; none where no node answers, or has not opened it.
fn height(channel: &str, data: &DataArguments) -> Result<Option<u64>, BlocksError> {
    let mut no_progress = |_: Progress<'_>| ();
    match client::ask(&data.data, "GET", "/heights", &(), &mut no_progress) {
        Ok(Message::Heights(heights)) => Ok(heights.get(channel).copied()),
        Ok(Message::Failed(failure)) => Err(BlocksError::Failed(Box::new(failure))),
        Ok(other) => Err(AskError::Refused(format!("{other:?}")).into()),
        // None runs, or it is starting, or it is somebody else's: what the files have is what can be
        // told.
        Err(AskError::Connect(..)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// List a channel's blocks, of a stopped node or of a running one: number, hash, previous hash and
/// time of its first transaction, then each transaction with its verdict. Changes nothing. Exits
/// with 1 where a damaged block ends the list.
#[derive(Clone, Debug, Args)]
pub(crate) struct BlocksArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    pub(crate) channel: String,
    /// The first block to list.
    #[arg(long, value_name = "N", value_parser = block_number, default_value_t = 0)]
    pub(crate) from: u64,
    /// The last block to list; without this, the newest.
    #[arg(long, value_name = "N", value_parser = block_number)]
    pub(crate) to: Option<u64>,
    /// Print each block as the API gives it, a JSON text a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Verb for BlocksArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match list(self) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.print(),
        }
    }
}

fn list(arguments: &BlocksArguments) -> Result<(), BlocksError> {
    let from = arguments.from;
    if let Some(to) = arguments.to.filter(|to| *to < from) {
        return Err(BlocksError::Range { from, to });
    }
    let blocks = Blocks::of(&arguments.channel, &arguments.data)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let listed = blocks.each(from, arguments.to, |block| {
        if arguments.json {
            let text = serde_json::to_string(&decoded(block))?;
            writeln!(out, "{text}").map_err(BlocksError::Output)
        } else {
            print(block, &mut out).map_err(BlocksError::Output)
        }
    });
    // What was read before the damage is told all the same.
    out.flush().map_err(BlocksError::Output)?;
    listed
}

fn print(block: &Block, out: &mut impl Write) -> io::Result<()> {
    let transactions: Vec<_> = block.envelopes.iter().map(Opened::read).collect();
    let time = transactions.first().and_then(|first| {
        let header = &first.as_ref().ok()?.channel_header;
        header.timestamp.as_ref().and_then(Timestamp::rfc3339)
    });
    let previous = hex::encode(&block.previous_hash);
    writeln!(
        out,
        "{}\t{}\t{}\t{}\t{} transaction{}",
        block.number,
        time.as_deref().unwrap_or(NONE),
        hex::encode(block.hash()),
        if previous.is_empty() { NONE } else { &previous },
        transactions.len(),
        if transactions.len() == 1 { "" } else { "s" },
    )?;
    for (number, opened) in transactions.iter().enumerate() {
        let code = block.code(number);
        let (id, kind) = match opened {
            Ok(opened) => (
                opened.indexed_tx_id(),
                header_type::name(opened.channel_header.r#type),
            ),
            Err(_) => (String::new(), NONE),
        };
        let id = if id.is_empty() { NONE } else { &id };
        // A peer's ledger may have any text there, and a terminal obeys some.
        let id = id.escape_debug();
        writeln!(out, "\t{number}\t{id}\t{code}\t{kind}")?;
    }
    Ok(())
}
