//! Errors of everything below the gateway, as the problems that clients see.

use quire_chaincode::ChaincodeError;
use quire_chaincode::name::NameError;
use quire_identity::config::UpdateError;
use quire_ledger::{FindError, IndexError, KeepError, QueryError, ReadError, TooExpensive};
use quire_peer::{NoPlan, NotCollected, SubmitError, Unendorsed, UpdateRefused};
use quire_wire::deliver::status;

use super::{Problem, ProblemKind, RETRY_AFTER, RETRY_AFTER_STORAGE};
use crate::backend::CreateChannelError;

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let cause = chain(&error);
        match error {
            ReadError::Corrupt(corruption) => {
                let detail = corruption.block.map_or_else(
                    || "A block file is damaged.".to_owned(),
                    |block| format!("Block {block} is damaged."),
                );
                let problem = Self::new(ProblemKind::BlockCorrupt, detail).because(cause);
                match corruption.block {
                    Some(block) => problem.with_block(block),
                    None => problem,
                }
            }
            ReadError::BelowBase { number, .. } => {
                Self::new(ProblemKind::BlockNotKept, cause).with_block(number)
            }
            ReadError::KeyTooLong(_) => Self::new(ProblemKind::InvalidName, cause),
            ReadError::StateUnavailable(_) => Self::state_unavailable().because(cause),
            ReadError::StateForeign(_) => {
                let detail = "The state database holds data that is not of this channel; nothing was ordered.";
                Self::unavailable(ProblemKind::StateUnavailable, detail, RETRY_AFTER_STORAGE)
                    .because(cause)
            }
            ReadError::StateRefused(_) => {
                let detail = "The state database refuses authentication; nothing was ordered.";
                Self::unavailable(ProblemKind::StateUnavailable, detail, RETRY_AFTER_STORAGE)
                    .because(cause)
            }
            ReadError::StateObstructed {
                namespace,
                database,
            } => {
                let detail = format!(
                    "Namespace {namespace:?} would have database {database}, which is there, not empty, \
                     and not of this channel; nothing was ordered."
                );
                Self::unavailable(ProblemKind::StateUnavailable, &detail, RETRY_AFTER_STORAGE)
                    .because(cause)
            }
            ReadError::StateDocument {
                namespace,
                key,
                rule,
                ..
            } => {
                let detail = format!(
                    "The state database holds a damaged document: key {key:?} of namespace \
                     {namespace:?}: {rule}."
                );
                Self::new(ProblemKind::StateCorrupt, detail).because(cause)
            }
            ReadError::Io { .. }
            | ReadError::Config(_)
            | ReadError::Engine(_)
            | ReadError::DerivedDamaged { .. }
            | ReadError::PrivateMissing { .. }
            | ReadError::Missing(_) => Self::internal(cause),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let kind = match error {
            QueryError::InvalidJson | QueryError::RefusedJson(_) => ProblemKind::InvalidJson,
            QueryError::InvalidOperator(_)
            | QueryError::UnsupportedOperator(_)
            | QueryError::BadArgument { .. }
            | QueryError::BadRegex(_)
            | QueryError::BadField(_)
            | QueryError::MissingFieldName => ProblemKind::InvalidSelector,
            QueryError::NotAnObject
            | QueryError::InvalidKey(_)
            | QueryError::MissingKey(_)
            | QueryError::InvalidOption { .. }
            | QueryError::InvalidFieldName(_)
            | QueryError::MixedSort
            | QueryError::NoUsableIndex
            | QueryError::InvalidIndex(_)
            | QueryError::NoFallback
            | QueryError::InvalidBookmark(_) => ProblemKind::InvalidArgument,
            QueryError::TooLarge(_) => ProblemKind::QueryTooExpensive,
        };
        let reason = error.to_string();
        // CouchDB's texts are kept as they are.
        let detail = match right(&error) {
            Some(right) => format!("{}. {right}", reason.trim_end_matches('.')),
            None => reason.clone(),
        };
        Self::new(kind, detail).with_couch(error.error(), Some(reason))
    }
}

/// The known names, for an error that is about an unknown name.
fn right(error: &QueryError) -> Option<&'static str> {
    match error {
        QueryError::InvalidKey(_) => Some(
            "A query has selector, limit, skip, sort, fields, use_index, bookmark, execution_stats, \
             allow_fallback; the definition of an index has index (of fields and \
             partial_filter_selector), ddoc, name, type.",
        ),
        QueryError::InvalidOperator(_) => Some(
            "There are $and, $or, $not, $nor, $all, $elemMatch, $allMatch, $keyMapMatch, $lt, $lte, \
             $eq, $ne, $gte, $gt, $exists, $type, $in, $nin, $size, $mod, $regex, $beginsWith.",
        ),
        _ => None,
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Query(error) => error.into(),
            FindError::Read(error) => error.into(),
            FindError::TooExpensive(why) => why.into(),
        }
    }
}

impl From<TooExpensive> for Problem {
    fn from(why: TooExpensive) -> Self {
        if matches!(why, TooExpensive::Memory { .. }) {
            return Self::busy(&sentence(&format!("{why} (--memory-budget)")), RETRY_AFTER);
        }
        let detail = format!("{why}. An index on what it asks for makes it cheaper.");
        Self::new(ProblemKind::QueryTooExpensive, sentence(&detail))
            .with_couch("query_too_expensive", Some(why.to_string()))
    }
}

/// The text with a capital first letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        let cause = chain(&error);
        match error {
            IndexError::NotFound => {
                let problem = Self::new(ProblemKind::IndexNotFound, "There is no such index.");
                problem.with_couch("not_found", Some("missing".to_owned()))
            }
            IndexError::TooMany => Self::new(ProblemKind::InvalidArgument, cause),
            IndexError::Closed => Self::not_ready(),
            IndexError::Failed | IndexError::Store(_) => Self::storage_failed().because(cause),
        }
    }
}

impl From<KeepError> for Problem {
    fn from(error: KeepError) -> Self {
        let cause = chain(&error);
        match error {
            KeepError::TooLarge(_) => Self::new(ProblemKind::TooLarge, cause),
            KeepError::Full => Self::busy(&sentence(&cause), RETRY_AFTER),
            // This node makes the ids of the transactions of its callers.
            KeepError::Differs(_) => Self::internal(cause),
            KeepError::NotAnId(_) => Self::new(ProblemKind::InvalidArgument, cause),
            KeepError::Io(_) => Self::storage_failed().because(cause),
            KeepError::Read(error) => error.into(),
        }
    }
}

impl From<ChaincodeError> for Problem {
    fn from(error: ChaincodeError) -> Self {
        let detail = error.to_string();
        let kind = match error {
            ChaincodeError::Read(error) => return error.into(),
            ChaincodeError::InvalidQuery(error) => return error.into(),
            ChaincodeError::TooExpensive(why) => return why.into(),
            ChaincodeError::NotKept(error) => return error.into(),
            ChaincodeError::InvalidArgument(_) | ChaincodeError::UnknownFunction { .. } => {
                ProblemKind::InvalidArgument
            }
            ChaincodeError::InvalidJson(_) => ProblemKind::InvalidJson,
            ChaincodeError::InvalidName(_) => ProblemKind::InvalidName,
            ChaincodeError::ReservedMember(_) => ProblemKind::ReservedMember,
            ChaincodeError::TooLarge { .. } => ProblemKind::TooLarge,
            ChaincodeError::KeyNotFound { .. } => ProblemKind::KeyNotFound,
            ChaincodeError::PreconditionFailed {
                operation,
                namespace,
                key,
                found,
                ..
            } => {
                return Self::new(ProblemKind::PreconditionFailed, detail)
                    .at_operation(operation)
                    .about_key(namespace, key)
                    .at_version(found);
            }
            ChaincodeError::Refused { .. }
            | ChaincodeError::NotRun(_)
            | ChaincodeError::PrivateData { .. } => ProblemKind::ChaincodeError,
            ChaincodeError::Unavailable { source, .. } => {
                return Self::new(
                    ProblemKind::ChaincodeUnavailable,
                    format!("{detail}: {source}."),
                );
            }
            ChaincodeError::NotAllowed(_) => ProblemKind::Forbidden,
            ChaincodeError::TimedOut { .. } => ProblemKind::ChaincodeTimeout,
            ChaincodeError::NotFound { .. } => ProblemKind::ChaincodeNotFound,
        };
        Self::new(kind, detail)
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(ProblemKind::InvalidName, error.to_string())
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::ReadOnly => {
                Self::new(ProblemKind::ChannelReadOnly, "The channel takes no writes.")
            }
            SubmitError::Refused(refused) => Self::new(
                ProblemKind::Forbidden,
                format!("The channel does not let the transaction in: {refused}."),
            ),
            SubmitError::Overloaded { retry_after } => Self::overloaded(retry_after),
            SubmitError::NotReady => Self::not_ready(),
            SubmitError::StateUnavailable => Self::state_unavailable(),
            SubmitError::OrdererUnavailable(reason) => Self::orderer_unavailable().because(reason),
            SubmitError::RefusedByOrderer { status, info } => {
                let kind = match status {
                    status::FORBIDDEN => ProblemKind::Forbidden,
                    status::REQUEST_ENTITY_TOO_LARGE => ProblemKind::TooLarge,
                    _ => ProblemKind::InvalidArgument,
                };
                let detail = format!("The channel's orderers refuse the transaction: {info}");
                Self::new(kind, detail)
            }
            SubmitError::StorageFailed => Self::storage_failed(),
            SubmitError::TooLarge(_) => Self::new(
                ProblemKind::TooLarge,
                "The transaction is larger than the channel allows.",
            ),
            SubmitError::Duplicate => Self::internal(error),
            SubmitError::Config(refused) => refused.into(),
            SubmitError::Chaincode(error) => error.into(),
            SubmitError::Unendorsed(unendorsed) => unendorsed.into(),
        }
    }
}

impl From<Unendorsed> for Problem {
    fn from(unendorsed: Unendorsed) -> Self {
        let (without_peers, cause) = match unendorsed {
            Unendorsed::NotCollected(NotCollected(failures)) => {
                let detail = "Too few other organisations have endorsed the transaction; nothing was ordered.";
                return Self::not_endorsed(detail, failures);
            }
            Unendorsed::Nobody(no_plan @ NoPlan::Read(_)) => return Self::internal(no_plan),
            Unendorsed::Nobody(NoPlan::NoPeers {
                reason,
                without_peers,
            }) => (without_peers, reason.to_string()),
        };
        let unknown = if without_peers.is_empty() {
            String::new()
        } else {
            let named = without_peers.join(", ");
            format!(" (the channel's configuration has no anchor peers of {named})")
        };
        let detail = format!(
            "Other organisations must endorse the transaction, and no peers that could are known: {cause}{unknown}; \
             nothing was ordered."
        );
        Self::not_endorsed(&detail, Vec::new())
    }
}

impl From<UpdateRefused> for Problem {
    fn from(refused: UpdateRefused) -> Self {
        let kind = match &refused {
            UpdateRefused::Decode(_) => ProblemKind::InvalidArgument,
            UpdateRefused::Update(error) => match error {
                UpdateError::NotSatisfied { .. } => ProblemKind::Forbidden,
                UpdateError::ReadMissing(_)
                | UpdateError::ReadVersion { .. }
                | UpdateError::Version { .. }
                | UpdateError::Sequence { .. } => ProblemKind::ConfigConflict,
                UpdateError::Type(_)
                | UpdateError::Decode(_)
                | UpdateError::Malformed(_)
                | UpdateError::NoHeader
                | UpdateError::Channel(_)
                | UpdateError::TooLarge
                | UpdateError::Name(_) => ProblemKind::InvalidArgument,
                UpdateError::NoChange
                | UpdateError::ModPolicy { .. }
                | UpdateError::NoPolicy { .. }
                | UpdateError::Lost(_)
                | UpdateError::Unknown(_)
                | UpdateError::NotTheResult => ProblemKind::InvalidConfig,
            },
            UpdateRefused::Bundle(_)
            | UpdateRefused::Succession(_)
            | UpdateRefused::Dropped(_)
            | UpdateRefused::Unsound { .. }
            | UpdateRefused::NoEndorsement(_)
            | UpdateRefused::Unguarded(_)
            | UpdateRefused::NotOrderer(_)
            | UpdateRefused::ConsensusType { .. }
            | UpdateRefused::Signatures(_)
            | UpdateRefused::TooLarge(_) => ProblemKind::InvalidConfig,
        };
        Self::new(kind, sentence(&chain(&refused)))
    }
}

impl From<CreateChannelError> for Problem {
    fn from(error: CreateChannelError) -> Self {
        let cause = chain(&error);
        match error {
            CreateChannelError::Exists(_) => Self::new(ProblemKind::ChannelExists, cause),
            CreateChannelError::InvalidName(detail) => Self::new(ProblemKind::InvalidName, detail),
            CreateChannelError::NotHere(detail) => {
                Self::new(ProblemKind::InvalidArgument, sentence(&detail))
            }
            CreateChannelError::State { source, .. } => Self::from(source).because(cause),
            CreateChannelError::StorageFailed { .. } => Self::storage_failed().because(cause),
        }
    }
}

/// An error and its causes, in one line for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quire_chaincode::Expect;
    use quire_chaincode::shim::ShimError;

    use super::*;

    #[test]
    fn refusals_of_the_chaincode_have_their_codes() {
        use ChaincodeError as E;
        let text = String::new;
        for (error, kind) in [
            (E::InvalidArgument(text()), ProblemKind::InvalidArgument),
            (E::InvalidJson(text()), ProblemKind::InvalidJson),
            (E::InvalidName(text()), ProblemKind::InvalidName),
            (E::ReservedMember(text()), ProblemKind::ReservedMember),
            (
                E::TooLarge {
                    size_bytes: 2,
                    limit_bytes: 1,
                },
                ProblemKind::TooLarge,
            ),
            (
                E::KeyNotFound {
                    namespace: text(),
                    key: text(),
                },
                ProblemKind::KeyNotFound,
            ),
            (
                E::PreconditionFailed {
                    operation: 0,
                    namespace: text(),
                    key: text(),
                    expected: Expect::Absent,
                    found: None,
                },
                ProblemKind::PreconditionFailed,
            ),
            (
                E::UnknownFunction {
                    functions: &["put"],
                    chaincode: text(),
                    function: text(),
                },
                ProblemKind::InvalidArgument,
            ),
            (E::refused("no"), ProblemKind::ChaincodeError),
            (
                E::InvalidQuery(QueryError::InvalidOperator(text())),
                ProblemKind::InvalidSelector,
            ),
            (
                E::Read(ReadError::Missing("x".into())),
                ProblemKind::Internal,
            ),
        ] {
            assert_eq!(Problem::from(error).kind(), kind);
        }
    }

    #[test]
    fn a_chaincode_that_is_not_there_or_does_not_answer_has_codes_of_its_own() {
        use ChaincodeError as E;
        let text = String::new;
        for (error, kind) in [
            (
                E::Unavailable {
                    chaincode: text(),
                    source: ShimError::Gone,
                },
                ProblemKind::ChaincodeUnavailable,
            ),
            (
                E::TimedOut {
                    chaincode: text(),
                    timeout: Duration::from_secs(30),
                },
                ProblemKind::ChaincodeTimeout,
            ),
            (
                E::NotFound {
                    channel: text(),
                    chaincode: text(),
                },
                ProblemKind::ChaincodeNotFound,
            ),
        ] {
            assert_eq!(Problem::from(error).kind(), kind);
        }
    }

    #[test]
    fn only_what_will_be_ready_is_called_not_ready() {
        for (error, kind) in [
            (IndexError::NotFound, ProblemKind::IndexNotFound),
            (IndexError::TooMany, ProblemKind::InvalidArgument),
            (IndexError::Closed, ProblemKind::NotReady),
            (IndexError::Failed, ProblemKind::StorageFailed),
        ] {
            assert_eq!(Problem::from(error).kind(), kind);
        }
    }

    #[test]
    fn a_damaged_block_is_named_and_its_place_is_for_the_log() {
        let corruption = quire_ledger::Corruption {
            file: "/secret/blockfile_000000".into(),
            offset: 7,
            block: Some(12),
            expected: "a".into(),
            found: "b".into(),
        };
        let problem = Problem::from(ReadError::Corrupt(corruption));
        let document = String::from_utf8(problem.document("id-1")).unwrap();
        assert!(document.contains(r#""code":"BLOCK_CORRUPT""#), "{document}");
        assert!(document.contains(r#""blockNumber":12"#), "{document}");
        assert!(!document.contains("secret"), "{document}");
    }
}
