//! State on servers of CouchDB's protocol, and a CouchDB that somebody else runs.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use quire_ledger::{CouchDbServer, StateEngine};

/// Names a CouchDB for the tests: `http://user:password@127.0.0.1:5984`.
const URL: &str = "QUIRE_TEST_COUCHDB_URL";

/// State on a server that listens on this port of the loopback.
pub(crate) fn at_port(port: u16) -> StateEngine {
    let url = format!("http://127.0.0.1:{port}");
    let mut server = CouchDbServer::new(&url, None, None).unwrap();
    server.timeout = Duration::from_secs(5);
    StateEngine::CouchDb(server)
}

/// A CouchDB that runs already, if one is named.
#[derive(Clone)]
pub(crate) struct CouchDb {
    pub(crate) authority: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl CouchDb {
    pub(crate) fn named() -> Option<Self> {
        let url = std::env::var(URL).ok()?;
        let rest = url
            .trim_end_matches('/')
            .strip_prefix("http://")?
            .to_owned();
        let (account, authority) = rest.rsplit_once('@')?;
        let (user, password) = account.split_once(':')?;
        Some(Self {
            authority: authority.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// State on it, or on a proxy before it at another address.
    pub(crate) fn engine(&self, authority: &str) -> StateEngine {
        let url = format!("http://{authority}");
        let (user, password) = (self.user.clone(), self.password.clone());
        StateEngine::CouchDb(CouchDbServer::new(&url, Some(user), Some(password)).unwrap())
    }
}

/// A name of a channel that no other test has, on a server that keeps what earlier tests left.
pub(crate) fn channel_name() -> String {
    format!("t{:x}", RandomState::new().build_hasher().finish())
}
