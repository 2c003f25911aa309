//! What a data directory consists of: one list (`parts`), for a start and for `quire check`.
//!
//! A start reads the parts that it needs and ends at the first that is not as it must be; what is one
//! channel's alone closes that channel, and the others are served. A check reads every part, by
//! the same readers, and tells of all. Before either, a command asks whether there [is](path) a data
//! directory. Settings, and the files that they name (TLS, passwords, a folder of query indexes
//! elsewhere), are not here: [`Config`](crate::config::Config) reads them, and `quire config` says
//! whether a node would start with them.

mod check;
mod finding;
mod next;
mod parts;
pub(crate) mod path;

use std::path::Path;
use std::sync::Arc;

use quire_disk::OsDisk;
use quire_identity::{Given, Joiner, Organization, OrganizationError, SigningIdentity, Tokens};
use quire_ledger::{ChannelRecord, Ledgers, OpenError, Purpose, StateEngine, has_own_blocks};

use crate::backup;
use crate::clock;
use crate::node::NodeError;
pub(crate) use check::check;
pub(crate) use next::{Place, name_next};
pub(crate) use parts::{Part, SUBJECT};

/// A data directory, read for use.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) ledgers: Ledgers,
    pub(crate) organization: Arc<Organization>,
    pub(crate) tokens: Tokens,
    pub(crate) endorser: Arc<SigningIdentity>,
    pub(crate) orderer: Arc<SigningIdentity>,
    pub(crate) client: Arc<SigningIdentity>,
}

impl Directory {
    /// Reads what a start needs. The first start makes it; what cannot be made again is refused where
    /// it is missing or damaged.
    pub(crate) fn open(
        data: &Path,
        (msp_id, given): (&str, Option<Given<'_>>),
        engine: &StateEngine,
        cache_bytes: u64,
    ) -> Result<Self, NodeError> {
        let disk = Arc::new(OsDisk);
        let ledgers = Ledgers::open_sized(disk, data, Purpose::Use, engine, cache_bytes)?;
        backup::begin(&OsDisk, data).map_err(OpenError::from)?;
        let organization = open_organization(&ledgers.list()?, data, msp_id, given)?;
        let organization = Arc::new(organization);
        let own = |name: &str| {
            let identity = organization.identity(name)?;
            identity.ok_or_else(|| NodeError::NoIdentity(name.to_owned()))
        };
        let (endorser, orderer, client) = (own("node")?, own("orderer")?, own("client")?);
        // Last: an identity under another name speaks of a lost identity first, and of lost tokens then.
        let tokens = Tokens::open(&quire_disk::os(), data)?;
        Ok(Self {
            ledgers,
            organization,
            tokens,
            endorser,
            orderer,
            client,
        })
    }
}

/// The organisation of a data directory with these channels; made where there can be none yet. What a crash left
/// half-made is removed.
pub(crate) fn open_organization(
    records: &[ChannelRecord],
    data: &Path,
    msp_id: &str,
    given: Option<Given<'_>>,
) -> Result<Organization, OrganizationError> {
    let (disk, now) = (quire_disk::os(), clock::now());
    Organization::remove_half_made(&OsDisk, data)?;
    let is_whole = Organization::missing(&OsDisk, data)?.is_empty();
    if !is_whole && must_exist(records, data) {
        return Organization::open_existing(&disk, data, msp_id);
    }
    if !is_whole {
        check_joined(data)?;
    }
    match given {
        Some(given) => Organization::open_or_take(&disk, data, msp_id, given, now),
        None if is_whole => Organization::open_existing(&disk, data, msp_id),
        None => Organization::open_or_create(&disk, data, msp_id, now),
    }
}

/// Makes sure that the organisation of a data directory, where it has one, is sound and the one that is
/// named, and that one that is given can be taken. Changes nothing.
pub(crate) fn check_organization(
    data: &Path,
    msp_id: &str,
    given: Option<Given<'_>>,
) -> Result<(), NodeError> {
    if let Some(given) = given {
        Organization::check_given(&quire_disk::os(), data, msp_id, given, clock::now())?;
    }
    check_joined(data)?;
    let missing = Organization::missing(&OsDisk, data).map_err(OrganizationError::from)?;
    if !missing.contains(&data.join("organization")) {
        Organization::open_what_is_there(&quire_disk::os(), data, msp_id)?;
    }
    Ok(())
}

/// Makes sure that nobody was interrupted who joined an organisation there: what is missing comes from another node.
fn check_joined(data: &Path) -> Result<(), OrganizationError> {
    if Joiner::has_begun(&OsDisk, data)? {
        let path = data.to_owned();
        return Err(OrganizationError::Joining { path });
    }
    Ok(())
}

/// Whether a chain names this organisation and these identities: where a node has written a block.
fn must_exist(records: &[ChannelRecord], data: &Path) -> bool {
    // What cannot be read to find out is told of when the channel is opened.
    records
        .iter()
        .any(|record| has_own_blocks(data, record).unwrap_or(false))
}

#[cfg(test)]
mod tests;
