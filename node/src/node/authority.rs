//! The CA of the node's organisation.

use std::path::Path;
use std::sync::Arc;

use quire_ca::{Authority, Issuer, Outside, Registry, Settings};
use quire_identity::Organization;
use ring::rand::SystemRandom;

use super::error::NodeError;
use crate::clock;

/// Opens the CA, if there is one; where one is `wanted`, it is made. What it has revoked counts also where
/// nobody is served by it.
pub(super) fn open(
    organization: &Arc<Organization>,
    data: &Path,
    name: &str,
    wanted: bool,
) -> Result<Option<Arc<Authority>>, NodeError> {
    let disk = quire_disk::os();
    if !wanted && !Registry::exists(disk.as_ref(), data).map_err(quire_ca::OpenError::from)? {
        return Ok(None);
    }
    let outside = Outside {
        now: Arc::new(clock::now),
        random: Arc::new(SystemRandom::new()),
    };
    let issuer = organization.ca().ok_or(NodeError::NoCaKey)?;
    let issuer = Arc::clone(issuer) as Arc<dyn Issuer>;
    let settings = Settings::named(name.to_owned());
    let authority = Authority::open(issuer, &disk, data, settings, outside)?;
    Ok(Some(Arc::new(authority)))
}
