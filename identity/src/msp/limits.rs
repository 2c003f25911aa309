//! How much one organisation may hold. A channel's configuration comes from others, and everything
//! in it is read, verified and kept in memory.

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::msp::FabricMspConfig;

use super::error::MspError;

/// Most bytes of an organisation's configuration.
pub const MAX_CONFIG_BYTES: usize = 4 * 1024 * 1024;

/// Most root and intermediate CAs, and as many again for TLS. Each is verified against each.
pub const MAX_AUTHORITIES: usize = 100;

/// Most listed administrators.
pub const MAX_ADMINS: usize = 1_000;

/// Most revocation lists.
pub const MAX_REVOCATION_LISTS: usize = 100;

/// Most organisational units that members must have one of.
pub const MAX_UNITS: usize = 1_000;

/// Most bytes of a serialized identity; certificates of Fabric have about 1,000.
pub const MAX_IDENTITY_BYTES: usize = 64 * 1024;

pub(crate) fn check(config: &FabricMspConfig) -> Result<(), MspError> {
    let within = |what, found, most| {
        let too_large = MspError::TooLarge { what, found, most };
        (found <= most).then_some(()).ok_or(too_large)
    };
    within("bytes", config.encoded_len(), MAX_CONFIG_BYTES)?;
    let both = |roots: &[Bytes], intermediates: &[Bytes]| roots.len() + intermediates.len();
    let authorities = both(&config.root_certs, &config.intermediate_certs);
    within("CAs", authorities, MAX_AUTHORITIES)?;
    let tls = both(&config.tls_root_certs, &config.tls_intermediate_certs);
    within("CAs for TLS", tls, MAX_AUTHORITIES)?;
    within("administrators", config.admins.len(), MAX_ADMINS)?;
    let lists = config.revocation_list.len();
    within("revocation lists", lists, MAX_REVOCATION_LISTS)?;
    let units = config.organizational_unit_identifiers.len();
    within("organisational units", units, MAX_UNITS)
}
