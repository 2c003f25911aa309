//! What organisations and identities can be called.

use super::OrganizationError;

/// Most characters of an identity's name: X.509 allows no longer common names.
pub const MAX_NAME_CHARS: usize = 64;

/// Most characters of an MSP id; the CA's common name is `ca.` and the id.
pub const MAX_MSP_ID_CHARS: usize = MAX_NAME_CHARS - 3;

/// Checks what is to be the MSP id of an organisation.
///
/// # Errors
/// [`OrganizationError::MspId`].
pub fn check_msp_id(msp_id: &str) -> Result<(), OrganizationError> {
    if msp_id.len() <= MAX_MSP_ID_CHARS && is_name(msp_id, b".-") {
        return Ok(());
    }
    Err(OrganizationError::MspId(msp_id.to_owned()))
}

/// Whether an identity can have this name.
#[must_use]
pub fn is_identity_name(name: &str) -> bool {
    name.len() <= MAX_NAME_CHARS && is_name(name, b"._-@")
}

/// Letters, digits and `others`, a letter or digit first: no name hides a file or leaves a folder.
fn is_name(name: &str, others: &[u8]) -> bool {
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    starts_well
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
