//! Why nobody can say who must endorse.

/// Why nobody can say who must endorse. Who asks learns only that it is so, as in Fabric; the log has the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDescriptor {
    /// The chaincode is not defined, or not as Fabric would define it.
    #[error("there is no chaincode {0:?}")]
    Chaincode(String),
    /// The chaincode has no such collection.
    #[error("chaincode {chaincode:?} has no collection {collection:?}")]
    Collection {
        /// The chaincode.
        chaincode: String,
        /// The collection.
        collection: String,
    },
    /// A policy has no rule, no identities, or a branch that nobody can satisfy.
    #[error("a policy cannot be satisfied")]
    Unsatisfiable,
    /// A principal is of a kind that is not known here.
    #[error("a policy names somebody in a way that is not known here")]
    Principal,
    /// No policy is left that would say who must endorse.
    #[error("chaincode {0:?} is asked for without its policy, and without another one")]
    NothingLeft(String),
    /// Too many combinations of endorsers would do.
    #[error("the policies allow too many combinations")]
    TooMany,
    /// The peers that there are do not suffice.
    #[error("no combination of peers satisfies the policies")]
    Peers,
    /// Those of them that run the chaincodes do not suffice.
    #[error("the chaincodes run on too few peers")]
    Installed,
}
