//! What the environment says: which peer, who asks, and how TLS is spoken. The names are those of Fabric's variables.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use quire_identity::config::parse_duration;
use quire_identity::{Msp, MspFolder, MspVersion, SigningIdentity};

use super::error::PeerError;
use crate::Environment;

/// The peer where none is named: a node's own default.
const ADDRESS: &str = "127.0.0.1:7051";
/// How long connecting may take where nobody says.
const CONNECT: Duration = Duration::from_secs(3);

/// The variables, read when they are needed.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a>(Environment<'a>);

/// A certificate and its key to show a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl<'a> Settings<'a> {
    pub(super) fn new(environment: Environment<'a>) -> Self {
        Self(environment)
    }

    fn text(self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// True where the variable says so as Go says it.
    fn flag(self, name: &str) -> bool {
        let value = self.text(name).unwrap_or_default();
        matches!(&*value, "1" | "t" | "T" | "true" | "TRUE" | "True")
    }

    /// A file or folder. A relative path is relative to the folder of the configuration, as with Fabric, where one is
    /// named.
    fn path(self, name: &'static str) -> Result<PathBuf, PeerError> {
        let path = self.text(name).ok_or(PeerError::NoVariable(name))?;
        let folder = self.text("FABRIC_CFG_PATH").unwrap_or_default();
        Ok(Path::new(&folder).join(path))
    }

    /// The peer that is meant where no other is named.
    pub(super) fn address(self) -> String {
        self.text("CORE_PEER_ADDRESS")
            .unwrap_or_else(|| ADDRESS.to_owned())
    }

    pub(super) fn connect_timeout(self) -> Result<Duration, PeerError> {
        let name = "CORE_PEER_CLIENT_CONNTIMEOUT";
        let Some(value) = self.text(name) else {
            return Ok(CONNECT);
        };
        parse_duration(&value).ok_or(PeerError::Duration { name, value })
    }

    pub(super) fn is_tls_enabled(self) -> bool {
        self.flag("CORE_PEER_TLS_ENABLED")
    }

    /// The certificates of whoever vouches for the peer.
    pub(super) fn root_certificates(self) -> Result<PathBuf, PeerError> {
        self.path("CORE_PEER_TLS_ROOTCERT_FILE")
    }

    /// The name that the peer's certificate has, where that is not its host's.
    pub(super) fn host_override(self) -> Option<String> {
        self.text("CORE_PEER_TLS_SERVERHOSTOVERRIDE")
    }

    /// What to show a peer that asks who connects.
    pub(super) fn client_files(self) -> Result<Option<ClientFiles>, PeerError> {
        if !self.flag("CORE_PEER_TLS_CLIENTAUTHREQUIRED") {
            return Ok(None);
        }
        Ok(Some(ClientFiles {
            certificate: self.path("CORE_PEER_TLS_CLIENTCERT_FILE")?,
            key: self.path("CORE_PEER_TLS_CLIENTKEY_FILE")?,
        }))
    }

    /// Whoever asks.
    pub(super) fn signer(self, now: SystemTime) -> Result<SigningIdentity, PeerError> {
        const ID: &str = "CORE_PEER_LOCALMSPID";
        let id = self.text(ID).ok_or(PeerError::NoVariable(ID))?;
        let folder = MspFolder::read(&self.path("CORE_PEER_MSPCONFIGPATH")?, &id)?;
        let msp = Msp::from_config(&folder.config, MspVersion::V3_0)?;
        Ok(folder.signer(&msp, now)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], read: impl FnOnce(Settings<'_>)) {
        let lookup = |name: &str| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read(Settings::new(&lookup));
    }

    #[test]
    fn paths_are_relative_to_the_folder_of_the_configuration_where_one_is_named() {
        let name = "CORE_PEER_TLS_ROOTCERT_FILE";
        for (folder, path, expected) in [
            ("", "ca.crt", "ca.crt"),
            ("/etc/fabric", "ca.crt", "/etc/fabric/ca.crt"),
            ("/etc/fabric", "/ca.crt", "/ca.crt"),
        ] {
            of(&[("FABRIC_CFG_PATH", folder), (name, path)], |settings| {
                assert_eq!(
                    settings.root_certificates().unwrap(),
                    PathBuf::from(expected)
                );
            });
        }
        of(&[(name, "")], |settings| {
            let refused = settings.root_certificates().unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("the variable {name} must be set")
            );
        });
    }

    #[test]
    fn flags_are_true_as_go_has_it_and_durations_must_be_some() {
        for (value, expected) in [("true", true), ("1", true), ("yes", false), ("", false)] {
            of(&[("CORE_PEER_TLS_ENABLED", value)], |settings| {
                assert_eq!(settings.is_tls_enabled(), expected, "{value}");
            });
        }
        of(&[], |settings| {
            assert_eq!(settings.connect_timeout().unwrap(), CONNECT);
            assert_eq!(settings.client_files().unwrap(), None);
        });
        of(&[("CORE_PEER_CLIENT_CONNTIMEOUT", "soon")], |settings| {
            assert!(settings.connect_timeout().is_err());
        });
    }
}
