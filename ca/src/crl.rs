//! Revocation lists, and the reasons that certificates are revoked for.

use time::OffsetDateTime;
use yasna::{DERWriterSeq, Tag, construct_der};

use crate::authority::Authority;
use crate::der::{signed, time, write_algorithm, write_extension, write_time};
use crate::error::{Code, Refusal};
use crate::issuer::{Issuer, IssuerFacts};
use crate::pem;
use crate::registry::certificate::{CertificateRecord, Revoked};
use crate::registry::state::State;
use crate::template::write_authority_key_id;

/// The number of a list: later lists have higher ones.
const CRL_NUMBER: &[u64] = &[2, 5, 29, 20];
/// Why a certificate stands on it.
const CRL_REASON: &[u64] = &[2, 5, 29, 21];

/// Reasons by the names that clients know, with RFC 5280's numbers.
const REASONS: [(&str, u8); 10] = [
    ("unspecified", 0),
    ("keycompromise", 1),
    ("cacompromise", 2),
    ("affiliationchanged", 3),
    ("superseded", 4),
    ("cessationofoperation", 5),
    ("certificatehold", 6),
    ("removefromcrl", 8),
    ("privilegewithdrawn", 9),
    ("aacompromise", 10),
];

/// The reason of whoever says none.
const UNSPECIFIED: u8 = 0;
/// Why certificates are revoked when their identity is removed.
pub const CESSATION_OF_OPERATION: u8 = 5;
/// Why they are when its affiliation is.
pub const AFFILIATION_CHANGED: u8 = 3;

/// The number of a reason; of one that is not known, that of none.
#[must_use]
pub fn reason(name: &str) -> u8 {
    let name = name.to_ascii_lowercase();
    let known = REASONS.iter().find(|(known, _)| *known == name);
    known.map_or(UNSPECIFIED, |(_, number)| *number)
}

/// Which revoked certificates a list tells: all, where nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// Revoked after that second.
    pub revoked_after: Option<i64>,
    /// Revoked before it.
    pub revoked_before: Option<i64>,
    /// Whose time is over after that second.
    pub expire_after: Option<i64>,
    /// Whose time is over before it.
    pub expire_before: Option<i64>,
}

impl Selection {
    /// Makes sure that no end lies before its beginning.
    ///
    /// # Errors
    /// If one does.
    pub fn check(&self) -> Result<(), Refusal> {
        let is_turned = |after: Option<i64>, before: Option<i64>| matches!((after, before), (Some(after), Some(before)) if after > before);
        if is_turned(self.revoked_after, self.revoked_before) {
            let detail = "Invalid 'revokedafter' value. It must not be a timestamp greater than 'revokedbefore'";
            return Err(Refusal::new(400, Code::InvalidRevokedAfter, detail));
        }
        if is_turned(self.expire_after, self.expire_before) {
            let detail = "Invalid 'expireafter' value. It must not be a timestamp greater than 'expirebefore'";
            return Err(Refusal::new(400, Code::InvalidExpiredAfter, detail));
        }
        Ok(())
    }

    fn has(&self, certificate: &CertificateRecord) -> bool {
        let within = |value: i64, after: Option<i64>, before: Option<i64>| {
            after.is_none_or(|after| value > after) && before.is_none_or(|before| value < before)
        };
        certificate.revoked.is_some_and(|revoked| {
            within(revoked.at, self.revoked_after, self.revoked_before)
                && within(certificate.not_after, self.expire_after, self.expire_before)
        })
    }
}

/// When a list was made, and until when it says that it is good: seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Dates {
    /// Now.
    pub this_update: i64,
    /// When there will be another.
    pub next_update: i64,
}

impl Authority {
    /// A revocation list in PEM, good from now on. What was revoked stays on it when its time is over: what
    /// an identity signed is judged at the certificate's own time.
    ///
    /// # Errors
    /// If the selection is turned round, or the clock is wrong.
    pub fn crl(&self, selection: &Selection) -> Result<String, Refusal> {
        selection.check()?;
        let life = i64::try_from(self.settings.crl_life.as_secs()).unwrap_or(i64::MAX);
        let now = self.now();
        let dates = Dates {
            this_update: now,
            next_update: now.saturating_add(life),
        };
        // Signing takes its time with a long list: nobody waits for that.
        let state = self.registry.state();
        let revoked = entries(&state, &self.facts, selection)?;
        drop(state);
        list(&revoked, self.issuer.as_ref(), &self.facts, dates)
    }
}

/// The revocation list of everything that a registry says was revoked, in PEM.
///
/// # Errors
/// If a date cannot be written.
pub fn whole(
    state: &State,
    issuer: &dyn Issuer,
    facts: &IssuerFacts,
    dates: Dates,
) -> Result<String, Refusal> {
    let revoked = entries(state, facts, &Selection::default())?;
    list(&revoked, issuer, facts, dates)
}

/// A line of a list: a number, when, and why.
type Entry = (Vec<u8>, OffsetDateTime, u8);

fn entries(
    state: &State,
    facts: &IssuerFacts,
    selection: &Selection,
) -> Result<Vec<Entry>, Refusal> {
    let mut entries = Vec::new();
    for certificate in state.certificates.values() {
        // Those of an earlier key are not this key's to revoke.
        let is_ours = certificate.authority_key_id == facts.key_id_hex;
        if let Some(Revoked { at, reason }) = certificate.revoked
            && is_ours
            && selection.has(certificate)
        {
            entries.push((number(&certificate.serial)?, time(at)?, reason));
        }
    }
    Ok(entries)
}

fn list(
    entries: &[Entry],
    issuer: &dyn Issuer,
    facts: &IssuerFacts,
    dates: Dates,
) -> Result<String, Refusal> {
    let (this_update, next_update) = (time(dates.this_update)?, time(dates.next_update)?);
    let content = construct_der(|writer| {
        writer.write_sequence(|writer| {
            // Version 2.
            writer.next().write_u8(1);
            write_algorithm(writer.next());
            writer.next().write_der(&facts.subject);
            write_time(writer.next(), this_update);
            write_time(writer.next(), next_update);
            if !entries.is_empty() {
                writer.next().write_sequence(|writer| {
                    for (serial, at, reason) in entries {
                        writer.next().write_sequence(|writer| {
                            writer.next().write_bigint_bytes(serial, true);
                            write_time(writer.next(), *at);
                            write_reason(writer, *reason);
                        });
                    }
                });
            }
            writer.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|writer| {
                    write_authority_key_id(writer, facts);
                    let number = construct_der(|writer| writer.write_i64(dates.this_update));
                    write_extension(writer, CRL_NUMBER, false, &number);
                });
            });
        });
    });
    let der = signed(&content, &issuer.sign(&content));
    Ok(pem::block("X509 CRL", &der))
}

/// Says why, where there is anything to say.
fn write_reason(writer: &mut DERWriterSeq<'_>, reason: u8) {
    if reason == UNSPECIFIED {
        return;
    }
    writer.next().write_sequence(|writer| {
        let reason = construct_der(|writer| writer.write_enum(reason.into()));
        write_extension(writer, CRL_REASON, false, &reason);
    });
}

/// The bytes of a number in hex without leading zeros.
fn number(hex_digits: &str) -> Result<Vec<u8>, Refusal> {
    let padded = if hex_digits.len().is_multiple_of(2) {
        hex_digits.to_owned()
    } else {
        format!("0{hex_digits}")
    };
    let failed = |_| Refusal::new(500, Code::MakingCrl, "a serial number is not hex");
    hex::decode(padded).map_err(failed)
}
