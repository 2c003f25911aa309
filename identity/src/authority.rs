//! Making certificates: the organisation's own, and those of its identities.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;

use crate::identity::Role;
use crate::key::Key;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an identity's certificate is valid: 30 years, leap days included. It is never reissued.
const IDENTITY_LIFE: Duration = DAY.saturating_mul(30 * 365 + 8);

/// How long the organisation's certificate is valid: twice as long, so that an identity made in
/// the last of the first 30 years does not outlive it.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(60 * 365 + 15);

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The clock stands before 1970, or so late that no date can be written.
    #[error("the clock is wrong: a certificate cannot begin now")]
    Clock,
    /// The library that writes certificates failed.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The operating system has no random numbers.
    #[error("the operating system gave no random numbers")]
    Random,
    /// Somebody else's key is of another kind.
    #[error("the key is no point of P-256")]
    KeyKind,
}

/// A new certificate with its key, both in PEM.
pub(crate) struct Issued {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// Makes a CA for an organisation.
pub(crate) fn found_authority(msp_id: &str, now: SystemTime) -> Result<Issued, IssueError> {
    let (key, key_pem) = Key::generate()?;
    let mut params = authority_params(msp_id);
    set_dates_and_serial(&mut params, seconds(now)?, AUTHORITY_LIFE)?;
    let certificate_pem = params.self_signed(&&key)?.pem();
    Ok(Issued {
        certificate_pem,
        key_pem,
    })
}

/// Makes an identity's key and its certificate.
pub(crate) fn issue(
    msp_id: &str,
    authority: (&Key, i64),
    name: &str,
    role: Role,
    now: SystemTime,
) -> Result<Issued, IssueError> {
    let (key, key_pem) = Key::generate()?;
    let certificate_pem = certify(msp_id, authority, name, role, &&key, now)?;
    Ok(Issued {
        certificate_pem,
        key_pem,
    })
}

/// Makes a certificate for somebody's key. It begins now, or with the CA's where that is later: a
/// clock that was set back must not make an identity that its own CA does not cover.
pub(crate) fn certify(
    msp_id: &str,
    (authority_key, authority_not_before): (&Key, i64),
    name: &str,
    role: Role,
    key: &impl PublicKeyData,
    now: SystemTime,
) -> Result<String, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(msp_id, Some(role), name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::Sha256;
    let begin = seconds(now)?.max(authority_not_before);
    set_dates_and_serial(&mut params, begin, IDENTITY_LIFE)?;
    let issuer = Issuer::new(authority_params(msp_id), authority_key);
    Ok(params.signed_by(key, &issuer)?.pem())
}

/// Everything about the CA that does not change; its name is written into what it issues.
fn authority_params(msp_id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(msp_id, None, &format!("ca.{msp_id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

fn distinguished_name(msp_id: &str, role: Option<Role>, name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::OrganizationName, msp_id);
    if let Some(role) = role {
        distinguished_name.push(DnType::OrganizationalUnitName, role.unit());
    }
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn set_dates_and_serial(
    params: &mut CertificateParams,
    begin: i64,
    life: Duration,
) -> Result<(), IssueError> {
    let life = i64::try_from(life.as_secs()).map_err(|_| IssueError::Clock)?;
    let date = |second| OffsetDateTime::from_unix_timestamp(second).map_err(|_| IssueError::Clock);
    params.not_before = date(begin)?;
    params.not_after = date(begin.saturating_add(life))?;
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| IssueError::Random)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(())
}

fn seconds(now: SystemTime) -> Result<i64, IssueError> {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or(IssueError::Clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use crate::curve::Curve;

    #[test]
    fn certificates_are_signed_with_a_low_s_and_have_serials_of_their_own() {
        let mut serials = Vec::new();
        for _ in 0..40 {
            let issued = found_authority("Org", SystemTime::UNIX_EPOCH).unwrap();
            let text = issued.certificate_pem.as_bytes();
            let certificate = Certificate::from_pem(text).unwrap();
            assert!(certificate.is_signed_by(&certificate));
            let low = certificate.with_low_s(Curve::P256).unwrap();
            assert_eq!(low.der, certificate.der);
            serials.push(certificate.serial);
        }
        serials.sort_unstable();
        serials.dedup();
        assert_eq!(serials.len(), 40);
    }

    #[test]
    fn clocks_that_no_certificate_can_name_are_refused() {
        let century = DAY * 36_525;
        for now in [
            SystemTime::UNIX_EPOCH - DAY,
            SystemTime::UNIX_EPOCH + century * 79 + DAY * 36_524,
            SystemTime::UNIX_EPOCH + century * 1_000,
        ] {
            let refused = found_authority("Org", now).err();
            assert!(matches!(refused, Some(IssueError::Clock)), "{now:?}");
        }
    }
}
