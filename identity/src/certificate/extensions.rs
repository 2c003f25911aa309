//! The extensions of a certificate, as far as Go reads them.

use super::name_constraints::{AlternativeNames, NameConstraints};
use super::{CertificateError, malformed};
use crate::der::{
    BOOLEAN, Der, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, context_of_elements,
};

const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

/// The bit of a key usage that lets a CA sign certificates.
const KEY_CERT_SIGN: u16 = 1 << 5;

/// What the extensions say. All absent by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    /// `None` without basic constraints.
    pub(crate) is_ca: Option<bool>,
    pub(crate) path_length: Option<u64>,
    /// Bit `n` of X.509 as bit `n` of the number; 0 if there is none, and if none is set.
    key_usage: u16,
    /// Whether there is an extended key usage that names neither servers nor anything at all.
    /// Fabric's validation asks Go for a server's chain, whatever the certificate is used for.
    pub(crate) excludes_servers: bool,
    /// What stands in the octet string; empty if there is no octet string.
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Vec<u8>,
    /// The value of the extension.
    pub(crate) alternative_name: Option<Vec<u8>>,
    pub(crate) alternative_names: AlternativeNames,
    pub(crate) name_constraints: Option<NameConstraints>,
    /// Whether there is an extension that may not be ignored and whose meaning is not known.
    pub(crate) has_unknown_critical: bool,
}

impl Extensions {
    pub(super) fn read(explicit: &[u8]) -> Result<Self, CertificateError> {
        let broken = || malformed("its extensions");
        let mut found = Self::default();
        let mut list = Der::new(explicit).inner(SEQUENCE).ok_or_else(broken)?;
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let mut extension = list.inner(SEQUENCE).ok_or_else(broken)?;
            let oid = extension.oid().ok_or_else(broken)?;
            let mut critical = false;
            if extension.is_next(BOOLEAN) {
                critical = extension.boolean().ok_or_else(broken)?;
            }
            let value = extension.content(OCTET_STRING).ok_or_else(broken)?;
            if seen.contains(&oid) {
                return Err(malformed("it has an extension twice"));
            }
            seen.push(oid);
            let is_known = found
                .add(oid, critical, value)
                .ok_or(malformed("one of its extensions"))?;
            found.has_unknown_critical |= critical && !is_known;
        }
        Ok(found)
    }

    /// Whether a CA with these may sign certificates. Whoever says nothing may.
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.key_usage == 0 || self.key_usage & KEY_CERT_SIGN != 0
    }

    /// Reads one extension; whether its meaning is known, or `None` if it is broken.
    fn add(&mut self, oid: &[u8], critical: bool, value: &[u8]) -> Option<bool> {
        let mut der = Der::new(value);
        match oid {
            [0x55, 0x1d, 14] => {
                let id = der.content(OCTET_STRING).filter(|_| !critical)?;
                self.subject_key_id = Some(id.to_vec());
            }
            [0x55, 0x1d, 15] => self.key_usage = key_usage(der)?,
            [0x55, 0x1d, 17] => {
                self.alternative_names = AlternativeNames::read(value)?;
                self.alternative_name = Some(value.to_vec());
                return Some(!self.alternative_names.is_empty());
            }
            [0x55, 0x1d, 19] => self.read_basic_constraints(der)?,
            [0x55, 0x1d, 30] => {
                let constraints = NameConstraints::read(value)?;
                let is_known = constraints.all_known;
                self.name_constraints = Some(constraints);
                return Some(is_known);
            }
            [0x55, 0x1d, 31] => check_distribution_points(der)?,
            [0x55, 0x1d, 32] => check_policies(der)?,
            [0x55, 0x1d, 33] => check_policy_mappings(der)?,
            [0x55, 0x1d, 35] => {
                let mut id = der.inner(SEQUENCE).filter(|_| !critical)?;
                self.authority_key_id = id.optional(context(0)).ok()?.unwrap_or_default().to_vec();
            }
            [0x55, 0x1d, 36] => check_policy_constraints(der)?,
            [0x55, 0x1d, 37] => self.excludes_servers = excludes_servers(der)?,
            [0x55, 0x1d, 54] => drop(der.count()?),
            AUTHORITY_INFO_ACCESS => {
                if critical {
                    return None;
                }
                check_authority_info_access(der)?;
            }
            _ => return Some(false),
        }
        Some(true)
    }

    fn read_basic_constraints(&mut self, mut der: Der<'_>) -> Option<()> {
        let mut constraints = der.inner(SEQUENCE)?;
        let mut is_ca = false;
        if constraints.is_next(BOOLEAN) {
            is_ca = constraints.boolean()?;
        }
        if constraints.is_next(INTEGER) {
            let length = constraints.count()?;
            self.path_length = Some(i64::try_from(length).ok()?.unsigned_abs());
        }
        self.is_ca = Some(is_ca);
        Some(())
    }
}

fn key_usage(mut der: Der<'_>) -> Option<u16> {
    let (_, bytes) = der.bit_string()?;
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let usage = bits.take(9).enumerate();
    Some(usage.fold(0, |usage, (position, bit)| {
        usage | u16::from(bit) << position
    }))
}

fn excludes_servers(mut der: Der<'_>) -> Option<bool> {
    const SERVERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0];
    let mut list = der.inner(SEQUENCE)?;
    let is_empty = list.is_empty();
    let mut includes = false;
    while !list.is_empty() {
        includes |= matches!(list.oid()?, SERVERS | ANY);
    }
    Some(!is_empty && !includes)
}

fn check_distribution_points(mut der: Der<'_>) -> Option<()> {
    let mut points = der.inner(SEQUENCE)?;
    while !points.is_empty() {
        let mut point = points.inner(SEQUENCE)?;
        if let Some(name) = point.optional(context_of_elements(0)).ok()? {
            let mut names = Der::new(name).inner(context_of_elements(0))?;
            while names.is_next(context(6)) {
                names.content(context(6))?;
            }
        }
    }
    Some(())
}

fn check_policies(mut der: Der<'_>) -> Option<()> {
    let mut policies = der.inner(SEQUENCE)?;
    let mut seen: Vec<&[u8]> = Vec::new();
    while !policies.is_empty() {
        let oid = policies.inner(SEQUENCE)?.content(OBJECT_IDENTIFIER)?;
        if oid.is_empty() || seen.contains(&oid) {
            return None;
        }
        seen.push(oid);
    }
    Some(())
}

fn check_policy_mappings(mut der: Der<'_>) -> Option<()> {
    let mut mappings = der.inner(SEQUENCE)?;
    while !mappings.is_empty() {
        let mut mapping = mappings.inner(SEQUENCE)?;
        mapping.content(OBJECT_IDENTIFIER)?;
        mapping.content(OBJECT_IDENTIFIER)?;
    }
    Some(())
}

fn check_policy_constraints(mut der: Der<'_>) -> Option<()> {
    let mut constraints = der.inner(SEQUENCE)?;
    for number in [0, 1] {
        if let Some(content) = constraints.optional(context(number)).ok()? {
            let fits = crate::der::is_minimal_integer(content) && content.len() <= 8;
            fits.then_some(())?;
        }
    }
    Some(())
}

fn check_authority_info_access(mut der: Der<'_>) -> Option<()> {
    let mut accesses = der.inner(SEQUENCE)?;
    while !accesses.is_empty() {
        let mut access = accesses.inner(SEQUENCE)?;
        access.oid()?;
        access.optional(context(6)).ok()?;
    }
    Some(())
}
