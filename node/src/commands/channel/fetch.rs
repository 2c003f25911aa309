//! `quire channel fetch`: a block as Fabric's `common.Block` in a file, as `peer channel fetch` writes it.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use quire_ledger::Block;
use quire_ordering::last_config;
use quire_wire::Message as _;

use crate::arguments::DataArguments;
use crate::commands::blocks::{Blocks, BlocksError};
use crate::commands::verb::{Needs, Verb};
use crate::node::FIRST_CHANNEL;
use crate::settings::Settings;

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Oldest,
    Newest,
    /// The newest that holds a configuration.
    Config,
    Number(u64),
}

/// A text that names no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block is oldest, newest, config, or a number, as 12")]
pub(crate) struct NoBlockNamed;

impl FromStr for Wanted {
    type Err = NoBlockNamed;

    fn from_str(text: &str) -> Result<Self, NoBlockNamed> {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        match text {
            "oldest" => Ok(Self::Oldest),
            "newest" => Ok(Self::Newest),
            "config" => Ok(Self::Config),
            _ if is_number => text.parse().map(Self::Number).map_err(|_| NoBlockNamed),
            _ => Err(NoBlockNamed),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oldest => f.write_str("oldest"),
            Self::Newest => f.write_str("newest"),
            Self::Config => f.write_str("config"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Write a block into a file as Fabric's `common.Block`, as `peer channel fetch` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct FetchArguments {
    /// Which block: `oldest`, `newest`, `config` (the newest with a configuration), or its number.
    #[arg(value_name = "BLOCK")]
    wanted: Wanted,
    /// The file, `-` for standard output; without this, `CHANNEL_BLOCK.block` in the current folder.
    file: Option<PathBuf>,
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    channel: String,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for FetchArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let Self {
            wanted,
            channel,
            data,
            ..
        } = self;
        // The name that Fabric's command gives.
        let own_name = PathBuf::from(format!("{channel}_{wanted}.block"));
        let file = self.file.as_ref().unwrap_or(&own_name);
        let fetched =
            refuse_ledgers_own(file, &data.data).and_then(|()| find(wanted, channel, data));
        match fetched.and_then(|block| write(&block, file, channel)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.print(),
        }
    }
}

fn find(wanted: &Wanted, channel: &str, data: &DataArguments) -> Result<Block, BlocksError> {
    let blocks = Blocks::of(channel, data)?;
    match wanted {
        Wanted::Oldest => blocks.one(0),
        Wanted::Newest => blocks.newest(),
        Wanted::Number(number) => blocks.one(*number),
        Wanted::Config => {
            let newest = blocks.newest()?;
            let config = last_config(&newest.metadata);
            blocks.one(config.map_err(|source| BlocksError::NoConfig {
                number: newest.number,
                source,
            })?)
        }
    }
}

/// A file of the ledger's own must not be written over, and none may lie beside them.
fn refuse_ledgers_own(file: &Path, data: &Path) -> Result<(), BlocksError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let is_inside = match (folder.canonicalize(), data.canonicalize()) {
        (Ok(folder), Ok(data)) => file != Path::new("-") && folder.starts_with(data),
        // Neither is there: writing, or looking for the block, says so.
        _ => false,
    };
    if is_inside {
        return Err(BlocksError::InDataDirectory(file.display().to_string()));
    }
    Ok(())
}

/// Writes the block, to standard output or into a file, and says where it is.
fn write(block: &Block, file: &Path, channel: &str) -> Result<(), BlocksError> {
    let bytes = block.to_message().encode_to_vec();
    if file == Path::new("-") {
        let mut out = io::stdout().lock();
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        return written.map_err(BlocksError::Output);
    }
    std::fs::write(file, &bytes).map_err(|source| BlocksError::File {
        file: file.display().to_string(),
        source,
    })?;
    let (number, file) = (block.number, file.display());
    println!("block {number} of channel {channel} is in {file}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_as_fabric_names_it() {
        for text in ["oldest", "newest", "config", "0", "18446744073709551615"] {
            assert_eq!(text.parse::<Wanted>().unwrap().to_string(), text);
        }
        for text in ["", "latest", "+1", "-1", "1.0", "18446744073709551616"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }
}
