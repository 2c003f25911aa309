//! Compares index, state and history as they are with what replay gives.

use std::path::Path;

use fjall::{Database, Keyspace, PersistMode, Readable as _, Snapshot};

use super::report::{CheckError, Finding, Kind};
use crate::block_store::tail::Witness;
use crate::derived::{self, Opened};
use crate::error::{OpenError, ReadError};
use crate::followers::index::{INDEX, Index};
use crate::followers::{Entry, Follower};
use crate::keyspaces::keyspace;
use crate::model::batch::Batch;
use crate::state;
use crate::state::engine::Place;
use crate::state::engines::STATE;
use crate::state::engines::fjall::FjallState;

/// The most damaged entries of a follower that are listed.
const MAX_ENTRIES_TOLD: u64 = 10;

/// A follower as it is in one view.
struct Found {
    kind: Follower,
    savepoint: u64,
    keyspace: Keyspace,
}

/// The followers of a channel, in one view of their engine.
pub(super) struct Live {
    view: Snapshot,
    /// The followers in the data directory.
    embedded: Vec<Found>,
    index: Index,
    pub(super) place: Place,
}

impl Live {
    pub(super) fn new(
        database: &Database,
        channel: &str,
        view: Snapshot,
        place: Place,
    ) -> Result<Self, CheckError> {
        let mut embedded = Vec::new();
        for Opened {
            kind,
            keyspace,
            follower,
        } in derived::followers(database, channel)?
        {
            let savepoint = follower.savepoint(&view)?.height;
            // State here is from a time before CouchDB was used, and catches up when it is used again.
            if kind != STATE || matches!(place, Place::Embedded) {
                embedded.push(Found {
                    kind,
                    savepoint,
                    keyspace,
                });
            }
        }
        Ok(Self {
            view,
            embedded,
            index: Index::new(keyspace(database, channel, INDEX.suffix)?),
            place,
        })
    }

    /// The index, with its view.
    pub(super) fn index(&self) -> (&Index, &Snapshot) {
        (&self.index, &self.view)
    }

    /// The height of each follower that is checked.
    pub(super) fn savepoints(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let embedded = self.embedded.iter();
        let remote = match &self.place {
            Place::Remote(_, view) => Some((state::NAME, view.height())),
            Place::Embedded | Place::Unknown(_) | Place::Away(..) => None,
        };
        embedded
            .map(|follower| (follower.kind.name, follower.savepoint))
            .chain(remote)
    }

    /// The follower with the greatest height.
    pub(super) fn witness(&self) -> Option<Witness> {
        let unseen = match self.place {
            Place::Unknown(height) => Some((state::NAME, height)),
            Place::Embedded | Place::Remote(..) | Place::Away(..) => None,
        };
        let all = self.savepoints().chain(unseen);
        let (follower, height) = all.max_by_key(|(_, savepoint)| *savepoint)?;
        (height > 0).then_some(Witness { follower, height })
    }
}

/// Followers that only this check has written to.
pub(super) struct Replayed {
    database: Database,
    followers: Vec<Opened>,
    index: Index,
    pub(super) state: FjallState,
    _dir: tempfile::TempDir,
}

/// The name of the channel in a scratch engine.
const CHANNEL: &str = "replay";

impl Replayed {
    /// Makes empty followers in a folder below `dir`, which is removed with them.
    pub(super) fn new(dir: &Path) -> Result<Self, OpenError> {
        let (database, dir) = derived::stand_in(dir)?;
        let keyspace = |suffix| keyspace(&database, CHANNEL, suffix);
        Ok(Self {
            followers: derived::followers(&database, CHANNEL)?,
            index: Index::new(keyspace(INDEX.suffix)?),
            state: FjallState::new(database.clone(), keyspace(STATE.suffix)?),
            database,
            _dir: dir,
        })
    }

    pub(super) fn apply(&self, durable: &Batch) -> Result<(), ReadError> {
        let view = self.database.snapshot();
        let mut writes = self.database.batch().durability(Some(PersistMode::Buffer));
        for opened in &self.followers {
            opened.follower.follow(&view, &mut writes, durable)?;
        }
        Ok(writes.commit()?)
    }

    /// Whether an applied block has a transaction with this id.
    pub(super) fn knows(&self, tx_id: &str) -> Result<bool, ReadError> {
        self.index.has_transaction(&self.database.snapshot(), tx_id)
    }

    /// The differences in the followers whose savepoint is `height`: findings and notes.
    pub(super) fn compare(
        &self,
        live: &Live,
        height: u64,
    ) -> Result<(Vec<Finding>, Vec<String>), ReadError> {
        let mut differences = (Vec::new(), Vec::new());
        for follower in &live.embedded {
            let mut replayed = self.followers.iter();
            let replayed = replayed.find(|opened| opened.kind == follower.kind);
            if let Some(replayed) = replayed.filter(|_| follower.savepoint == height) {
                compare(follower, &live.view, &replayed.keyspace, &mut differences)?;
            }
        }
        Ok(differences)
    }
}

/// Walks both in key order, like a merge.
fn compare(
    follower: &Found,
    view: &Snapshot,
    replayed: &Keyspace,
    (findings, notes): &mut (Vec<Finding>, Vec<String>),
) -> Result<(), ReadError> {
    let found = view.iter(&follower.keyspace);
    let mut found = found.map(fjall::Guard::into_inner).peekable();
    let mut expected = replayed.iter().map(fjall::Guard::into_inner).peekable();
    let mut differences = 0;
    loop {
        let left = found.next_if(|left| match (left, expected.peek()) {
            (Ok((left, _)), Some(Ok((right, _)))) => left <= right,
            _ => true,
        });
        let left = left.transpose()?;
        let right = expected.next_if(|right| match (&left, right) {
            (Some((left, _)), Ok((right, _))) => left == right,
            _ => true,
        });
        let right = right.transpose()?;
        if left.is_none() && right.is_none() {
            break;
        }
        if left == right || (follower.kind.is_of_before)(left.as_ref(), right.as_ref()) {
            continue;
        }
        differences += 1;
        if differences <= MAX_ENTRIES_TOLD {
            findings.push(difference(follower.kind.name, left, right));
        }
    }
    if differences > MAX_ENTRIES_TOLD {
        let name = follower.kind.name;
        notes.push(format!("{name}: {differences} entries differ in all"));
    }
    Ok(())
}

fn difference(follower: &str, found: Option<Entry>, expected: Option<Entry>) -> Finding {
    let told = |entry: Option<Entry>| {
        entry.map_or("none".to_owned(), |(key, value)| {
            format!("{} = {}", key.escape_ascii(), hex::encode(value))
        })
    };
    let expected = format!("{follower} entry as replayed: {}", told(expected));
    Finding::new(Kind::Follower, expected, told(found))
}
