//! What an operator does next about an error.

use std::io::{self, ErrorKind};
use std::path::Path;

use quire_identity::OrganizationError;
use quire_ledger::{OpenError, ReadError};
use quire_peer::channel::StartError;

use crate::data_directory::Part;
use crate::node::NodeError;

/// What to do about an error that an operator can do something about.
pub(crate) fn of_open(error: &OpenError) -> Option<&'static str> {
    use OpenError as E;
    match error {
        E::InUse(_) => Some("Stop the node that uses this data directory first."),
        E::Corrupt { .. } => Some(
            "Nothing was changed. `quire check` tells all that is wrong, `quire repair` takes blocks \
             from a copy, `quire truncate-tail` accepts the loss.",
        ),
        E::Ahead { .. } => Some(
            "Block files were lost or replaced by older ones: restore them, or take the blocks from a \
             copy with `quire repair`. `quire truncate-tail` accepts the loss.",
        ),
        E::Orphan(_) => Some(
            "Nothing was changed. Restore the channel's record in `id-store` from a copy; or move the \
             folder away, and `derived` too, which is rebuilt, and `quire channel import` it.",
        ),
        E::Lost { .. } => Some(
            "Nothing was changed. Restore the channel's record in `id-store` and its folder in `channels` \
             from one copy; where it is not missed, move the `derived` folder away: it is rebuilt from \
             the blocks of the others.",
        ),
        E::IdStore { .. } => Some("Restore this file from a copy: it cannot be rebuilt."),
        E::Newer { .. } => Some(
            "A newer release of Quire wrote it: start that one, or one that is newer still. Nothing was \
             changed.",
        ),
        E::EngineDamaged(_) => {
            Some("Move the `derived` folder away: it is rebuilt from the blocks.")
        }
        E::Engine(_) => Some(
            "If it is no lack of space, rights or open files: move the `derived` folder away, it is \
             rebuilt from the blocks.",
        ),
        E::Follow {
            source: ReadError::StateRefused(_),
            ..
        } => Some(
            "Nothing is lost. Name the right user and password, or give the user its rights; CouchDB \
             locks an account for five minutes after five failures.",
        ),
        E::Follow {
            source: ReadError::StateObstructed { .. },
            ..
        } => Some("Nothing is lost. Move that database away, or give the node another CouchDB."),
        E::Follow { source, .. } if source.is_unavailable() => {
            Some("Start CouchDB, or use another state engine: nothing is lost.")
        }
        E::Follow {
            source: ReadError::StateForeign(_),
            ..
        } => Some("Give the node another CouchDB, or remove those databases if nobody needs them."),
        E::Follow {
            on_couchdb: true, ..
        } => Some(
            "`quire rebuild --engine couchdb --couchdb-url URL` makes them again from the blocks.",
        ),
        E::Follow { .. } => Some("`quire rebuild` makes them again from the blocks."),
        E::Io { source, .. } => of_io(source),
        E::BelowBase { .. } => Some("Ask a node that has the whole chain."),
        E::NoSuchChannel(_) => Some("`quire channel list` tells which there are."),
        E::Exists(_) | E::Create { .. } | E::StateEngine(_) => None,
    }
}

/// What to do about a part that keeps a node from starting, where it is known which.
pub(crate) fn of_node_part(error: &NodeError) -> Option<&'static str> {
    if let NodeError::Start(StartError::InTopic { .. }) = error {
        return Some(
            "Start the node with --ordering kafka and --kafka-brokers, as the other nodes of the channel.",
        );
    }
    if let NodeError::Start(StartError::Elsewhere { .. }) = error {
        return Some(
            "Start the node with --ordering remote: it sends transactions to the channel's orderers, and takes their \
             blocks in.",
        );
    }
    let path = match error {
        NodeError::Organization(OrganizationError::OtherOrganization { .. }) => {
            return Some("Give the MSP id of the first start: --msp-id or QUIRE_MSP_ID.");
        }
        NodeError::Organization(OrganizationError::MadeHere { .. }) => {
            return Some("Give --msp with a new data directory, or start without it.");
        }
        NodeError::Organization(
            OrganizationError::OtherGiven { .. } | OrganizationError::OtherMember { .. },
        ) => {
            return Some(
                "Start without --msp: what was given first is in the data directory, and stays.",
            );
        }
        NodeError::Organization(OrganizationError::Joining { .. }) => {
            return Some("Run `quire join` again: it goes on where it was interrupted.");
        }
        NodeError::OrderersOnly(_) => {
            return Some("Start it with `quire orderer`.");
        }
        NodeError::FollowsOthers(_) => {
            return Some("Start it with `--ordering remote`.");
        }
        NodeError::NoCaKey => {
            return Some("Serve the CA where it was made, or leave --ca-listen out.");
        }
        NodeError::Organization(
            OrganizationError::MspId(_)
            | OrganizationError::Folder(_)
            | OrganizationError::Signer(_)
            | OrganizationError::Write(_),
        )
        | NodeError::Open(_)
        | NodeError::ClientMspAlone
        | NodeError::Start(_)
        | NodeError::NotOrderedHere(_)
        | NodeError::HasState(_)
        | NodeError::Ordering(_)
        | NodeError::Migrate { .. } => return None,
        NodeError::Identity(_) | NodeError::NoIdentity(_) => "identities",
        NodeError::Packages(_) => "chaincodes/packages",
        NodeError::Tokens(_) => "tokens",
        NodeError::Authority(quire_ca::OpenError::Registry(_)) => "ca",
        NodeError::Organization(_) | NodeError::Authority(_) => "organization",
    };
    Part::of(Path::new(path)).map(|part| part.advice)
}

/// What to do about what the operating system says.
pub(crate) fn of_io(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => {
            Some("Is the path right? --data DIR or QUIRE_DATA names the data directory.")
        }
        ErrorKind::NotADirectory => Some("A data directory is a folder: --data DIR names it."),
        ErrorKind::PermissionDenied => {
            Some("Run this as the user that the data directory belongs to.")
        }
        ErrorKind::StorageFull => Some("Make room on the disk, then start again: nothing is lost."),
        ErrorKind::ReadOnlyFilesystem => {
            Some("The file system takes no writes: `dmesg` tells whether its disk failed.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_to_rebuild_names_the_engine_that_state_is_on() {
        for (on_couchdb, expected) in [(false, false), (true, true)] {
            let error = OpenError::Follow {
                channel: "main".to_owned(),
                on_couchdb,
                source: ReadError::Missing("a document".to_owned()),
            };
            let advice = of_open(&error).unwrap();
            assert!(advice.contains("quire rebuild"), "{advice}");
            assert_eq!(advice.contains("--engine couchdb"), expected, "{advice}");
        }
    }
}
