//! Other peers, as this node asks them for endorsements.

use std::path::PathBuf;
use std::time::Duration;

use quire_rpc::{PeerOverride, PeerSecurity, PeerSettings};

use crate::arguments::RunArguments;
use crate::listen::{ListenAddress, NotAnAddress};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndorsersError {
    #[error("--peer-override {0:?}: {1}")]
    Address(String, NotAnAddress),
    #[error("--peer-override {0:?} asks for TLS: it needs --peer-override-ca")]
    NoAuthorities(String),
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Reads the settings.
pub(crate) fn peer_settings(arguments: &RunArguments) -> Result<PeerSettings, EndorsersError> {
    let own = &arguments.endorsers;
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| EndorsersError::Read {
            path: path.clone(),
            source,
        })
    };
    let authorities = own.peer_override_ca.as_ref().map(read).transpose()?;
    let overrides = own.peer_override.iter().map(|(anchor, address)| {
        let told = || format!("{anchor}={address}");
        let plain = address.strip_prefix("grpc://");
        let by_tls = address.strip_prefix("grpcs://");
        let security = match (plain, by_tls, &authorities) {
            (Some(_), ..) => PeerSecurity::Plain,
            (_, Some(_), Some(authorities)) => PeerSecurity::Tls(authorities.clone().into()),
            (_, Some(_), None) => return Err(EndorsersError::NoAuthorities(told())),
            (None, None, _) => PeerSecurity::AsConfigured,
        };
        let address: ListenAddress = plain
            .or(by_tls)
            .unwrap_or(address)
            .parse()
            .map_err(|error| EndorsersError::Address(told(), error))?;
        let there = PeerOverride {
            address: address.to_string(),
            security,
        };
        Ok((anchor.clone(), there))
    });
    let client = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        _ => None,
    };
    Ok(PeerSettings {
        timeout: Duration::from_secs(own.endorsement_timeout),
        overrides: overrides.collect::<Result<_, _>>()?,
        client,
    })
}
