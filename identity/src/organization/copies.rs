//! The copies for Fabric's tools, of what an organisation is known by.

use std::path::PathBuf;

use quire_disk::{FileError, read_file};

use super::value::CONFIG_YAML;
use super::{MAX_FILE_BYTES, Organization, read_certificate};

impl Organization {
    /// The files that are for Fabric's tools alone and not what this organisation put there: copies of
    /// the CA's certificate, and what the units stand for. Each with what is wrong with it. An organisation
    /// that was made elsewhere has no such copies.
    ///
    /// # Errors
    /// If the folder of identities cannot be listed.
    pub fn changed_copies(&self) -> Result<Vec<(PathBuf, String)>, FileError> {
        let mut changed = Vec::new();
        let Some(ca) = &self.ca else {
            return Ok(changed);
        };
        let mut folders = vec![self.folder.join("msp")];
        let identities = self.identities()?.into_iter();
        folders.extend(identities.map(|name| self.identities_folder.join(name).join("msp")));
        for folder in folders {
            let path = folder.join("cacerts/ca-cert.pem");
            let other = || "another certificate than the organisation's".to_owned();
            match read_certificate(self.disk.as_ref(), &path) {
                Ok(Ok((_, pem))) if pem == ca.certificate_pem() => {}
                Ok(Ok(_)) => changed.push((path, other())),
                Ok(Err(error)) => changed.push((path, error.to_string())),
                Err(error) => changed.push((path, error.source.to_string())),
            }
            let path = folder.join("config.yaml");
            match read_file(self.disk.as_ref(), &path, MAX_FILE_BYTES) {
                Ok(content) if content == CONFIG_YAML.as_bytes() => {}
                Ok(_) => changed.push((path, "something else".to_owned())),
                Err(error) => changed.push((path, error.source.to_string())),
            }
        }
        Ok(changed)
    }
}
