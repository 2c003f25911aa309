//! Which stream of blocks.

/// Which stream of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// `protos.Deliver/Deliver`: blocks as the peer has them.
    Blocks,
    /// `protos.Deliver/DeliverFiltered`: verdicts alone.
    Filtered,
    /// `protos.Deliver/DeliverWithPrivateData`: blocks with the private data that this node has.
    WithPrivateData,
    /// `orderer.AtomicBroadcast/Deliver`: blocks as the orderer made them.
    Orderer,
}

impl Service {
    /// What somebody who reads must have access to.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Blocks | Self::WithPrivateData => "event/Block",
            Self::Filtered => "event/FilteredBlock",
            Self::Orderer => "orderer/Deliver",
        }
    }
}
