//! Fabric's system chaincodes beside `_lifecycle`: what a node tells of its channels, by Fabric's functions, rights
//! and texts.
//!
//! * [`Qscc`]: blocks and transactions.
//! * [`Cscc`]: the channels and their configurations.
//! * [`Lscc`]: chaincodes, for clients from before Fabric 2.
//!
//! What they ask of the node, a [`Host`] answers. Each answers a call within a channel as a
//! [`Chaincode`](crate::Chaincode), and with `answer` one that names no channel.

mod call;
mod cscc;
mod host;
mod lscc;
mod qscc;

pub use cscc::Cscc;
pub use host::Host;
pub use lscc::Lscc;
pub use qscc::Qscc;

use std::borrow::Cow;

use crate::Call;
use crate::lifecycle::NAMESPACE as LIFECYCLE;

/// Names of the system chaincodes.
pub const CSCC: &str = "cscc";
/// See [`CSCC`].
pub const LSCC: &str = "lscc";
/// See [`CSCC`].
pub const QSCC: &str = "qscc";

/// Whether this is a system chaincode. Who calls one need not be one of those who may propose: it asks itself for the
/// right to each of its functions.
#[must_use]
pub fn is_system(chaincode: &str) -> bool {
    [LIFECYCLE, CSCC, LSCC, QSCC].contains(&chaincode)
}

/// What a call tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The channel that it is made in.
    Here,
    /// The channel that it names, which may be any.
    Channel(Cow<'a, str>),
    /// All channels of the node.
    Node,
}

impl<'a> Subject<'a> {
    /// What a call tells of. Those whose callers may not see all channels go by it.
    #[must_use]
    pub fn of(call: &'a Call) -> Self {
        let named = || match call.args.first() {
            Some(channel) => Self::Channel(String::from_utf8_lossy(channel)),
            None => Self::Here,
        };
        match (&*call.chaincode, &*call.function) {
            (QSCC, _) | (CSCC, cscc::CONFIG_BLOCK | cscc::CHANNEL_CONFIG) => named(),
            (CSCC, _) => Self::Node,
            _ => Self::Here,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_tells_of_the_channel_that_it_names_or_of_the_node() {
        for (chaincode, function, args, subject) in [
            (
                QSCC,
                "GetChainInfo",
                &["b"][..],
                Subject::Channel("b".into()),
            ),
            (QSCC, "GetChainInfo", &[], Subject::Here),
            (CSCC, "GetConfigBlock", &["b"], Subject::Channel("b".into())),
            (CSCC, "GetChannels", &["b"], Subject::Node),
            (CSCC, "JoinBySnapshotStatus", &[], Subject::Node),
            (LSCC, "getid", &["b", "orders"], Subject::Here),
            ("orders", "GetChainInfo", &["b"], Subject::Here),
        ] {
            let call = Call {
                chaincode: chaincode.to_owned(),
                function: function.to_owned(),
                args: args.iter().map(|one| (*one).into()).collect(),
            };
            assert_eq!(Subject::of(&call), subject, "{call:?}");
        }
    }
}
