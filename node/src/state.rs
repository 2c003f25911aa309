//! Which state engine there is, from what the operator said.

use std::path::PathBuf;
use std::time::Duration;

use quire_ledger::{CouchDbServer, CouchDbServerError, OpenError, StateEngine};

use crate::arguments::{CouchDbArguments, StateArguments, StateChoice};

/// The variable with the password of CouchDB's user.
pub(crate) const PASSWORD: &str = "QUIRE_COUCHDB_PASSWORD";

/// Why there is no such engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("--state couchdb needs --couchdb-url")]
    NoUrl,
    #[error(transparent)]
    Server(#[from] CouchDbServerError),
    #[error("{} cannot be read", file.display())]
    PasswordFile {
        file: PathBuf,
        source: std::io::Error,
    },
}

impl From<StateError> for OpenError {
    fn from(error: StateError) -> Self {
        Self::StateEngine(error.into())
    }
}

impl StateArguments {
    /// The engine that is asked for; no server is called.
    pub(crate) fn engine(&self) -> Result<StateEngine, StateError> {
        self.couchdb.engine(self.state)
    }
}

impl CouchDbArguments {
    /// The engine that is chosen; no server is called.
    pub(crate) fn engine(&self, choice: StateChoice) -> Result<StateEngine, StateError> {
        if choice == StateChoice::Fjall {
            return Ok(StateEngine::Fjall);
        }
        let url = self.couchdb_url.as_deref().ok_or(StateError::NoUrl)?;
        let password = match &self.couchdb_password_file {
            None => std::env::var(PASSWORD).ok(),
            Some(file) => {
                let read = std::fs::read_to_string(file);
                let text = read.map_err(|source| StateError::PasswordFile {
                    file: file.clone(),
                    source,
                })?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let mut server = CouchDbServer::new(url, self.couchdb_user.clone(), password)?;
        server.timeout = Duration::from_secs(self.couchdb_timeout.max(1));
        Ok(StateEngine::CouchDb(server))
    }
}
