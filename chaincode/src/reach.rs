//! Which channels whoever calls may have told of.

use std::sync::Arc;

/// The channels that whoever calls may have told of: all, where nothing limits it. A token may be for some only, while
/// the identity behind it is a member of more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Option<Arc<[String]>>);

impl Reach {
    /// Some channels; none named is all.
    #[must_use]
    pub fn of(channels: &[String]) -> Self {
        Self(Some(channels).filter(|all| !all.is_empty()).map(Arc::from))
    }

    /// Whether a channel is among them.
    #[must_use]
    pub fn has(&self, channel: &str) -> bool {
        let some = self.0.as_deref();
        some.is_none_or(|some| some.iter().any(|name| name == channel))
    }

    /// Whether it is all channels, those to come too.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }
}
