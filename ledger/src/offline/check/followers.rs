//! Index, state and history: as they are, as replay gives them, and where the two differ.

use std::path::Path;

use fjall::{Database, Keyspace, PersistMode, Readable as _, Snapshot};

use super::remote::Remote;
use super::{Finding, Kind};
use crate::block_store::index::{self, Index};
use crate::block_store::tail::Witness;
use crate::derived::{self, Keyspaces};
use crate::error::{OpenError, ReadError};
use crate::history::History;
use crate::model::batch::Batch;
use crate::savepoint;
use crate::state::StateDb as _;
use crate::state::fjall::FjallState;

/// Damaged entries of a follower that are told one by one.
const MAX_ENTRIES_TOLD: u64 = 10;

/// A follower as it is in one view.
struct Follower {
    kind: derived::Follower,
    savepoint: u64,
    keyspace: Keyspace,
}

/// Where the channel's state is.
pub(super) enum Place {
    /// In the data directory.
    Embedded,
    /// On CouchDB, at this height at least, as what is beside it tells; nobody said where that is.
    Unknown(u64),
    /// On CouchDB, which can be asked.
    Remote(Remote),
    /// On CouchDB at this address, which cannot be asked for this reason.
    Away(String, ReadError),
}

/// The followers of a channel, in one view of their engine.
pub(super) struct Live {
    view: Snapshot,
    /// Those in the data directory.
    embedded: Vec<Follower>,
    index: Index,
    pub(super) place: Place,
}

impl Live {
    pub(super) fn new(
        keyspaces: Keyspaces,
        view: Snapshot,
        place: Place,
    ) -> Result<Self, ReadError> {
        let Keyspaces {
            index,
            state,
            history,
            query: _,
        } = keyspaces;
        let follower = |kind, savepoint, keyspace| Follower {
            kind,
            savepoint,
            keyspace,
        };
        let at = (
            Index::new(index.clone()).savepoint(&view)?,
            FjallState::savepoint_in(&view, &state)?,
            History::new(history.clone()).savepoint(&view)?,
        );
        let known = Index::new(index.clone());
        let mut embedded = vec![
            follower(derived::Follower::Index, at.0, index),
            follower(derived::Follower::History, at.2, history),
        ];
        // What it holds of state is of a time before CouchDB, and catches up when it is used again.
        if matches!(place, Place::Embedded) {
            embedded.push(follower(derived::Follower::State, at.1, state));
        }
        Ok(Self {
            view,
            embedded,
            index: known,
            place,
        })
    }

    /// Which block lies where, as the index has it.
    pub(super) fn index(&self) -> (&Index, &Snapshot) {
        (&self.index, &self.view)
    }

    /// How far each follower is that is looked at.
    pub(super) fn savepoints(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let embedded = self.embedded.iter();
        let remote = match &self.place {
            Place::Remote(remote) => Some(("state", remote.view.height())),
            Place::Embedded | Place::Unknown(_) | Place::Away(..) => None,
        };
        embedded
            .map(|follower| (follower.kind.name(), follower.savepoint))
            .chain(remote)
    }

    /// The one that has come furthest.
    pub(super) fn witness(&self) -> Option<Witness> {
        let unseen = match self.place {
            Place::Unknown(height) => Some(("state", height)),
            Place::Embedded | Place::Remote(_) | Place::Away(..) => None,
        };
        let all = self.savepoints().chain(unseen);
        let (follower, height) = all.max_by_key(|(_, savepoint)| *savepoint)?;
        (height > 0).then_some(Witness { follower, height })
    }
}

/// Followers of a chain that nobody else has ever written to.
pub(super) struct Replayed {
    database: Database,
    keyspaces: Keyspaces,
    index: Index,
    pub(super) state: FjallState,
    history: History,
    _dir: tempfile::TempDir,
}

impl Replayed {
    /// Empty ones, in a folder below `dir` that goes with them.
    pub(super) fn new(dir: &Path) -> Result<Self, OpenError> {
        let (database, dir) = derived::stand_in(dir)?;
        let keyspaces = derived::keyspaces(&database, "replay")?;
        Ok(Self {
            index: Index::new(keyspaces.index.clone()),
            state: FjallState::new(database.clone(), keyspaces.state.clone()),
            history: History::new(keyspaces.history.clone()),
            database,
            keyspaces,
            _dir: dir,
        })
    }

    pub(super) fn apply(&self, durable: &Batch) -> Result<(), ReadError> {
        self.state.apply(durable)?;
        let view = self.database.snapshot();
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        self.index.follow(&view, &mut batch, &durable.blocks)?;
        self.history.follow(&view, &mut batch, &durable.blocks)?;
        Ok(batch.commit()?)
    }

    /// Whether a block that was applied has a transaction with this id.
    pub(super) fn knows(&self, tx_id: &str) -> Result<bool, ReadError> {
        self.index.has_transaction(&self.database.snapshot(), tx_id)
    }

    /// What is different in the followers whose savepoint is `height`; findings and notes.
    pub(super) fn compare(
        &self,
        live: &Live,
        height: u64,
    ) -> Result<(Vec<Finding>, Vec<String>), ReadError> {
        let Keyspaces {
            index,
            state,
            history,
            query: _,
        } = &self.keyspaces;
        let mut differences = (Vec::new(), Vec::new());
        for follower in &live.embedded {
            let replayed = match follower.kind {
                derived::Follower::Index => index,
                derived::Follower::State => state,
                derived::Follower::History => history,
            };
            if follower.savepoint == height {
                compare(follower, &live.view, replayed, &mut differences)?;
            }
        }
        Ok(differences)
    }
}

type Entry = (fjall::Slice, fjall::Slice);

/// Walks both in key order, as one merges.
fn compare(
    follower: &Follower,
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
        if left == right || is_of_before(follower.kind, left.as_ref(), right.as_ref()) {
            continue;
        }
        differences += 1;
        if differences <= MAX_ENTRIES_TOLD {
            findings.push(difference(follower.kind.name(), left, right));
        }
    }
    if differences > MAX_ENTRIES_TOLD {
        let name = follower.kind.name();
        notes.push(format!("{name}: {differences} entries differ in all"));
    }
    Ok(())
}

/// Whether an entry is as an earlier version left it: without the places of envelopes, whose blocks are
/// read whole then, or with a savepoint that names no block.
fn is_of_before(kind: derived::Follower, found: Option<&Entry>, replayed: Option<&Entry>) -> bool {
    match (found, replayed) {
        (None, Some((key, _))) => kind == derived::Follower::Index && index::is_place(key),
        (Some((key, found)), Some((_, replayed))) => {
            **key == *savepoint::KEY && replayed.starts_with(found)
        }
        _ => false,
    }
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
