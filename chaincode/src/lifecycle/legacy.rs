//! What chaincodes have that were deployed before Fabric 2, in the state of `lscc`.

use quire_wire::Message as _;
use quire_wire::collection::CollectionConfigPackage;

use super::error::LifecycleError;
use super::state::{Place, State};

/// The collections of a chaincode; none where it was not deployed so, or has none.
pub(super) fn collections(
    state: &mut dyn State,
    name: &str,
) -> Result<Option<CollectionConfigPackage>, LifecycleError> {
    if state.get(Place::Legacy, name)?.is_none() {
        return Ok(None);
    }
    let key = format!("{name}~collection");
    let found = state.get(Place::Legacy, &key)?;
    let decoded = found.map(CollectionConfigPackage::decode).transpose();
    decoded.map_err(|error| {
        let text = format!("invalid configuration for collection set {key}: {error}");
        LifecycleError::State(text)
    })
}
