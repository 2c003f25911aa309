//! What `_lifecycle` goes by in a channel's configuration.

use std::fmt::Debug;

use quire_identity::Bundle;

/// What `_lifecycle` goes by in a channel's configuration.
pub trait ChannelConfig: Send + Sync + Debug {
    /// MSP ids of the organisations whose approvals count; none where the channel is not for applications.
    fn application_organizations(&self) -> Option<Vec<String>>;

    /// Whether the channel's capabilities let it have definitions.
    fn has_lifecycle(&self) -> bool;

    /// Whether there is a policy at this path, such as `/Channel/Application/Endorsement`.
    fn has_policy(&self, path: &str) -> bool;

    /// Whether an organisation is in the channel, also as one that orders only.
    fn has_organization(&self, msp_id: &str) -> bool;

    /// Whether an organisation of the channel stands for this serialized identity.
    fn has_identity(&self, serialized: &[u8]) -> bool;
}

impl ChannelConfig for Bundle {
    fn application_organizations(&self) -> Option<Vec<String>> {
        self.application()?;
        Some(self.application_msp_ids().map(ToOwned::to_owned).collect())
    }

    fn has_lifecycle(&self) -> bool {
        let application = self.application();
        application.is_some_and(|application| application.capabilities.lifecycle_v20())
    }

    fn has_policy(&self, path: &str) -> bool {
        self.policies().absolute(path).is_some()
    }

    fn has_organization(&self, msp_id: &str) -> bool {
        self.msps().get(msp_id).is_some()
    }

    fn has_identity(&self, serialized: &[u8]) -> bool {
        self.msps().deserialize(serialized).is_ok()
    }
}
