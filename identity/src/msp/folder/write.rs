//! Writing an organisation's folder.

use std::path::Path;

use bytes::Bytes;
use quire_disk::{Disk, FileError, NewFile, create_folder};
use quire_wire::msp::{FabricMspConfig, FabricOuIdentifier};

use super::usual_hash_functions;

/// Why an organisation could not be written into a folder.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// Folders have no place for other hash functions than SHA-256.
    #[error("the organisation has hash functions that a folder cannot name")]
    HashFunctions,
    /// Certificates and revocation lists are texts in a folder.
    #[error("the organisation has a certificate or a revocation list that is not in PEM")]
    NotPem,
}

/// Writes what others need to know of an organisation into a folder, which does not exist; there whole
/// or not at all, durable on return. No keys are written.
///
/// # Errors
/// If something of it could not be read back, or files cannot be written.
pub fn write(disk: &dyn Disk, folder: &Path, config: &FabricMspConfig) -> Result<(), WriteError> {
    let files = files_of(config)?;
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| NewFile { path, content })
        .collect();
    Ok(create_folder(disk, folder, &files)?)
}

/// The files of such a folder: path and content of each.
///
/// # Errors
/// If something of it could not be read back.
pub(crate) fn files_of(config: &FabricMspConfig) -> Result<Vec<(String, String)>, WriteError> {
    let usual = usual_hash_functions();
    if config
        .crypto_config
        .as_ref()
        .is_some_and(|one| *one != usual)
    {
        return Err(WriteError::HashFunctions);
    }
    let mut files = Files::default();
    files.add_all("cacerts", "ca", &config.root_certs)?;
    files.add_all("intermediatecerts", "ca", &config.intermediate_certs)?;
    files.add_all("admincerts", "admin", &config.admins)?;
    files.add_all("crls", "crl", &config.revocation_list)?;
    files.add_all("tlscacerts", "ca", &config.tls_root_certs)?;
    files.add_all("tlsintermediatecerts", "ca", &config.tls_intermediate_certs)?;
    let yaml = files.config_yaml(config)?;
    if !yaml.is_empty() {
        files.files.push(("config.yaml".to_owned(), yaml));
    }
    Ok(files.files)
}

#[derive(Default)]
struct Files {
    /// Path and content of each.
    files: Vec<(String, String)>,
}

impl Files {
    /// Numbered, so that they are read back in their order.
    fn add_all(&mut self, folder: &str, name: &str, contents: &[Bytes]) -> Result<(), WriteError> {
        for (position, content) in contents.iter().enumerate() {
            let path = format!("{folder}/{name}-{:04}.pem", position + 1);
            self.files.push((path, text(content)?));
        }
        Ok(())
    }

    fn config_yaml(&mut self, config: &FabricMspConfig) -> Result<String, WriteError> {
        let mut yaml = String::new();
        if !config.organizational_unit_identifiers.is_empty() {
            yaml.push_str("OrganizationalUnitIdentifiers:\n");
        }
        for unit in &config.organizational_unit_identifiers {
            self.push_unit(&mut yaml, "  - ", unit)?;
        }
        let Some(node_ous) = &config.fabric_node_ous else {
            return Ok(yaml);
        };
        yaml.push_str("NodeOUs:\n");
        push_line(&mut yaml, format_args!("  Enable: {}", node_ous.enable));
        let units = [
            ("Client", &node_ous.client_ou_identifier),
            ("Peer", &node_ous.peer_ou_identifier),
            ("Admin", &node_ous.admin_ou_identifier),
            ("Orderer", &node_ous.orderer_ou_identifier),
        ];
        for (kind, unit) in units {
            if let Some(unit) = unit {
                push_line(&mut yaml, format_args!("  {kind}OUIdentifier:"));
                self.push_unit(&mut yaml, "    ", unit)?;
            }
        }
        Ok(yaml)
    }

    fn push_unit(
        &mut self,
        yaml: &mut String,
        indent: &str,
        unit: &FabricOuIdentifier,
    ) -> Result<(), WriteError> {
        let mut indent = indent.to_owned();
        if !unit.certificate.is_empty() {
            let path = self.path_of(&unit.certificate)?;
            push_line(yaml, format_args!("{indent}Certificate: {path}"));
            indent = indent.replace('-', " ");
        }
        // A text of JSON is one of YAML.
        let name = serde_json::Value::from(&*unit.organizational_unit_identifier);
        let line = format_args!("{indent}OrganizationalUnitIdentifier: {name}");
        push_line(yaml, line);
        Ok(())
    }

    /// Where a certificate stands, which is among those of the CAs as a rule.
    fn path_of(&mut self, certificate: &Bytes) -> Result<String, WriteError> {
        let content = text(certificate)?;
        let known = self.files.iter().find(|(_, known)| *known == content);
        if let Some((path, _)) = known {
            return Ok(path.clone());
        }
        let path = format!("unitcerts/ca-{:04}.pem", self.files.len() + 1);
        self.files.push((path.clone(), content));
        Ok(path)
    }
}

fn push_line(yaml: &mut String, line: std::fmt::Arguments<'_>) {
    yaml.push_str(&line.to_string());
    yaml.push('\n');
}

fn text(content: &Bytes) -> Result<String, WriteError> {
    let has_block = crate::pem::Block::first(content).is_some();
    let text = str::from_utf8(content).ok().filter(|_| has_block);
    text.map(str::to_owned).ok_or(WriteError::NotPem)
}
