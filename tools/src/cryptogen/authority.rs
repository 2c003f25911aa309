//! A certificate authority of an organisation, new or from its folder.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use super::certificate::{Content, Issuer, Name, Purpose, sign};
use super::error::GenerateError;
use super::key::{Key, KeyError};
use super::spec::NodeSpec;
use crate::{files, pem};

const CERTIFICATE: &str = "CERTIFICATE";

/// Ten years, as Fabric counts them.
const LIFE: Duration = Duration::days(3650);

/// Who issues certificates.
#[derive(Debug)]
pub(super) struct Authority {
    /// What its certificate's file is called after.
    pub(super) name: String,
    /// The certificate, PEM.
    pub(super) certificate: String,
    key: Key,
    subject: Vec<u8>,
    key_id: Vec<u8>,
    spec: NodeSpec,
    begin: OffsetDateTime,
}

/// Whose certificate it is to be.
pub(super) struct Request<'a> {
    pub(super) purpose: Purpose,
    pub(super) name: &'a str,
    pub(super) unit: Option<&'static str>,
    pub(super) hosts: &'a [String],
    pub(super) key: &'a Key,
}

/// The file of a certificate.
pub(super) fn certificate_file(name: &str) -> String {
    format!("{name}-cert.pem")
}

/// When what is made now begins: five minutes ago, by whole minutes.
pub(super) fn beginning(now: OffsetDateTime) -> OffsetDateTime {
    let seconds = now.unix_timestamp() + 30;
    let minute = seconds - seconds.rem_euclid(60) - 5 * 60;
    OffsetDateTime::from_unix_timestamp(minute).unwrap_or(now)
}

impl Authority {
    /// Makes one in a folder.
    pub(super) fn found(
        folder: &Path,
        organization: &str,
        name: String,
        spec: &NodeSpec,
        begin: OffsetDateTime,
    ) -> Result<Self, GenerateError> {
        files::make_folder(folder, 0o755)?;
        let (key, key_pem) = Key::generate(spec.algorithm)?;
        let subject = Name {
            organization: organization.to_owned(),
            units: vec![spec.organizational_unit.clone()],
            common: name.clone(),
            ..place(spec)
        };
        let subject = subject.to_der();
        let key_id = digest(&SHA256, key.public()).as_ref().to_vec();
        let content = Content {
            purpose: Purpose::Authority,
            serial: serial()?,
            not_before: begin,
            not_after: begin + LIFE,
            subject: &subject,
            public_info: key.public_info(),
            subject_key_id: Some(&key_id),
            hosts: &[],
        };
        let issuer = Issuer {
            name: &subject,
            key_id: None,
            key: &key,
        };
        let certificate = pem::encode(CERTIFICATE, &sign(&content, &issuer)?);
        files::write(&folder.join("priv_sk"), key_pem.as_bytes(), 0o600)?;
        let file = folder.join(certificate_file(&name));
        files::write(&file, certificate.as_bytes(), 0o644)?;
        Ok(Self {
            name,
            certificate,
            key,
            subject,
            key_id,
            spec: spec.clone(),
            begin,
        })
    }

    /// Takes one from the folder that it was made in.
    pub(super) fn load(
        folder: &Path,
        name: String,
        spec: &NodeSpec,
        begin: OffsetDateTime,
    ) -> Result<Self, GenerateError> {
        let bad = |path: &Path, reason: String| GenerateError::Authority {
            path: path.to_owned(),
            reason,
        };
        let path = file_ending_with(folder, "_sk")?;
        let key = Key::from_pem(&files::read(&path)?);
        let key = key.map_err(|error| bad(&path, error.to_string()))?;
        let path = file_ending_with(folder, ".pem")?;
        let certificate = files::read(&path)?;
        let no_certificate = || bad(&path, "not a certificate in PEM".to_owned());
        let der = pem::decode(CERTIFICATE, &certificate).ok_or_else(no_certificate)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| no_certificate())?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public() {
            return Err(bad(&path, "it is of another key".to_owned()));
        }
        let mut ids =
            parsed
                .extensions()
                .iter()
                .filter_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                    _ => None,
                });
        Ok(Self {
            name,
            certificate: pem::encode(CERTIFICATE, &der),
            subject: parsed.subject().as_raw().to_vec(),
            key_id: ids.next().unwrap_or_default(),
            key,
            spec: spec.clone(),
            begin,
        })
    }

    /// A certificate in PEM.
    pub(super) fn issue(&self, request: &Request<'_>) -> Result<String, GenerateError> {
        let units = [Some(&*self.spec.organizational_unit), request.unit];
        let subject = Name {
            units: units.into_iter().flatten().map(str::to_owned).collect(),
            common: request.name.to_owned(),
            ..place(&self.spec)
        };
        let content = Content {
            purpose: request.purpose,
            serial: serial()?,
            not_before: self.begin,
            not_after: self.begin + LIFE,
            subject: &subject.to_der(),
            public_info: request.key.public_info(),
            subject_key_id: None,
            hosts: request.hosts,
        };
        let issuer = Issuer {
            name: &self.subject,
            key_id: (!self.key_id.is_empty()).then_some(self.key_id.as_slice()),
            key: &self.key,
        };
        Ok(pem::encode(CERTIFICATE, &sign(&content, &issuer)?))
    }
}

/// Where an authority and all it certifies are.
fn place(spec: &NodeSpec) -> Name {
    let or = |value: &str, default: &str| match value {
        "" => default.to_owned(),
        value => value.to_owned(),
    };
    Name {
        country: or(&spec.country, "US"),
        province: or(&spec.province, "California"),
        locality: or(&spec.locality, "San Francisco"),
        street: spec.street_address.clone(),
        postal_code: spec.postal_code.clone(),
        ..Name::default()
    }
}

fn serial() -> Result<[u8; 16], KeyError> {
    let mut serial = [0; 16];
    let filled = SystemRandom::new().fill(&mut serial);
    filled.map_err(|_| KeyError::Random)?;
    Ok(serial)
}

fn file_ending_with(folder: &Path, end: &str) -> Result<PathBuf, GenerateError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    let found = paths
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(end));
    found.ok_or_else(|| GenerateError::Authority {
        path: folder.to_owned(),
        reason: format!("there is no file in it whose name ends with {end}"),
    })
}
