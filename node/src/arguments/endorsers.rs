//! How other peers are asked for endorsements.

use std::path::PathBuf;

use clap::Args;

use super::values::seconds;

/// What says how the peers of other organisations are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct EndorserArguments {
    /// Seconds that a peer may take to endorse a transaction that needs its organisation's endorsement too; then another
    /// one is asked.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_ENDORSEMENT_TIMEOUT",
        value_parser = seconds(1),
        default_value_t = 10
    )]
    pub(crate) endorsement_timeout: u64,
    /// Where a peer is reached from here that the channel's configuration names otherwise: `HOST:PORT=ADDRESS`, with the
    /// address of its anchor peer first. ADDRESS is `HOST:PORT`, `grpc://HOST:PORT` in plain, or `grpcs://HOST:PORT` by
    /// TLS with the authorities of --peer-override-ca; may be repeated.
    #[arg(
        long,
        value_name = "ANCHOR=ADDRESS",
        env = "QUIRE_PEER_OVERRIDE",
        value_delimiter = ',',
        value_parser = peer_override
    )]
    pub(crate) peer_override: Vec<(String, String)>,
    /// The authorities, PEM, that vouch for peers at `grpcs://` addresses of --peer-override.
    #[arg(long, value_name = "FILE", env = "QUIRE_PEER_OVERRIDE_CA")]
    pub(crate) peer_override_ca: Option<PathBuf>,
}

fn peer_override(text: &str) -> Result<(String, String), String> {
    let both = text.split_once('=');
    let both = both.filter(|(anchor, address)| !anchor.is_empty() && !address.is_empty());
    let (anchor, address) = both.ok_or_else(|| {
        "it is the address of an anchor peer and where that is, as \
         peer0.org2.example.com:7051=10.0.0.7:7051"
            .to_owned()
    })?;
    Ok((anchor.to_owned(), address.to_owned()))
}
