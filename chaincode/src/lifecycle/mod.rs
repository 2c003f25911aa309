//! How chaincodes come to a channel: packages, approvals and definitions, by Fabric's rules.
//!
//! * [`Lifecycle`]: `_lifecycle`, the chaincode that does it, over a [`State`]; it asks a [`Host`].
//! * [`Package`]: an archive of a chaincode, and [`Connection`] where one that is a service answers; [`pack_code`] makes
//!   what is in it of a folder.
//! * [`Packages`]: the packages of a node, as [`PackageFiles`] on its disk.
//! * [`Definition`]: what a channel knows of a chaincode; [`Approval`]: what an organisation agreed to.

mod archive;
mod chaincode;
mod code;
mod collections;
mod config;
mod connection;
mod definition;
mod definitions;
mod deployment;
mod error;
mod function;
mod host;
mod index_files;
mod layout;
mod legacy;
mod members;
#[cfg(test)]
mod memory;
mod name;
mod package;
mod packages;
mod simulated;
mod state;

pub use archive::ArchiveError;
pub use chaincode::{Lifecycle, VERSION};
pub use code::{CodeError, pack as pack_code, unpack as unpack_code};
pub use collections::{CollectionError, CollectionRule};
pub use config::ChannelConfig;
pub use connection::{ClientPair, Connection, ConnectionError, ConnectionTls};
pub use definition::{Approval, Definition, Parameters};
pub(crate) use definitions::definition;
pub use definitions::definitions;
pub use deployment::{Deployment, approvals, deployments};
pub use error::{DefinitionError, LifecycleError};
pub use host::Host;
pub use index_files::IndexFile;
pub use package::{
    MAX_LABEL_BYTES, MAX_PACKAGE_BYTES, Metadata, Package, PackageError, package_id,
};
pub use packages::{
    DamagedPackage, Installed, MAX_PACKAGES, MAX_PACKAGES_BYTES, OnInstall, PackageFiles, Packages,
    PackagesError,
};
pub use simulated::SimulatedState;
pub use state::{NAMESPACE, Place, State, implicit_collection};
