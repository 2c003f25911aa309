//! The folders of an organisation.
//!
//! ```text
//! peerOrganizations/org1.example.com/
//!   ca/  tlsca/            an authority each: priv_sk, ca.org1.example.com-cert.pem
//!   msp/                   what others know the organisation by
//!   peers/peer0.org1.example.com/
//!     msp/                 keystore, signcerts, cacerts, tlscacerts, admincerts, config.yaml
//!     tls/                 ca.crt, server.crt, server.key
//!   users/Admin@org1.example.com/
//!     msp/  tls/           the same, with client.crt and client.key
//! ```

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::authority::{Authority, Request, certificate_file};
use super::certificate::Purpose;
use super::error::GenerateError;
use super::key::{Algorithm, Key};
use super::spec::{NodeSpec, OrganizationSpec};
use crate::files;

/// What the nodes of an organisation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Peer,
    Orderer,
}

/// What a member is, as its certificate's organisational unit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Admin,
    Peer,
    Orderer,
}

impl Kind {
    /// The folder that has the organisations of this kind.
    fn folder(self) -> &'static str {
        match self {
            Self::Peer => "peerOrganizations",
            Self::Orderer => "ordererOrganizations",
        }
    }

    /// What nodes are called, alone and in a folder.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Peer => ("peer", "peers"),
            Self::Orderer => ("orderer", "orderers"),
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Peer => Role::Peer,
            Self::Orderer => Role::Orderer,
        }
    }
}

impl Role {
    fn unit(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Admin => "admin",
            Self::Peer => "peer",
            Self::Orderer => "orderer",
        }
    }

    fn serves(self) -> bool {
        matches!(self, Self::Peer | Self::Orderer)
    }
}

/// An organisation whose folders are made.
struct Organization<'a> {
    spec: &'a OrganizationSpec,
    kind: Kind,
    folder: PathBuf,
    signing: Authority,
    tls: Authority,
}

/// The folder of an organisation below that of the network.
pub(super) fn folder(network: &Path, spec: &OrganizationSpec, kind: Kind) -> PathBuf {
    network.join(kind.folder()).join(&spec.domain)
}

/// Makes an organisation.
pub(super) fn generate(
    network: &Path,
    spec: &OrganizationSpec,
    kind: Kind,
    begin: OffsetDateTime,
) -> Result<(), GenerateError> {
    let folder = folder(network, spec, kind);
    if folder.exists() {
        return Err(GenerateError::Exists(folder));
    }
    let domain = &spec.domain;
    let (name, tls_name) = authority_names(spec);
    let found =
        |at: &str, name| Authority::found(&folder.join(at), domain, name, &spec.authority, begin);
    let organization = Organization {
        spec,
        kind,
        signing: found("ca", name)?,
        tls: found("tlsca", tls_name)?,
        folder: folder.clone(),
    };
    let msp = folder.join("msp");
    organization.make_msp(&msp)?;
    organization.make_nodes()?;
    let users = if kind == Kind::Peer {
        organization.users()
    } else {
        Vec::new()
    };
    organization.make_users(users)?;
    organization.make_admin()?;
    organization.copy_admin_certificates(Some(&msp))
}

/// Adds to an organisation what is not there yet of its nodes and users, or makes it.
pub(super) fn extend(
    network: &Path,
    spec: &OrganizationSpec,
    kind: Kind,
    begin: OffsetDateTime,
) -> Result<(), GenerateError> {
    let folder = folder(network, spec, kind);
    if !folder.exists() {
        return generate(network, spec, kind, begin);
    }
    let (name, tls_name) = authority_names(spec);
    let load = |at: &str, name| Authority::load(&folder.join(at), name, &spec.authority, begin);
    let organization = Organization {
        spec,
        kind,
        signing: load("ca", name)?,
        tls: load("tlsca", tls_name)?,
        folder: folder.clone(),
    };
    organization.make_nodes()?;
    organization.copy_admin_certificates(None)?;
    let users = if kind == Kind::Peer {
        organization.users()
    } else {
        Vec::new()
    };
    organization.make_users(users)
}

fn authority_names(spec: &OrganizationSpec) -> (String, String) {
    let name = spec.authority.common_name.clone();
    let tls_name = format!("tls{name}");
    (name, tls_name)
}

impl Organization<'_> {
    fn admin_name(&self) -> String {
        format!("Admin@{}", self.spec.domain)
    }

    fn nodes_folder(&self) -> PathBuf {
        self.folder.join(self.kind.names().1)
    }

    fn users(&self) -> Vec<NodeSpec> {
        let numbers = 1..=self.spec.users.count;
        let users = numbers.map(|number| NodeSpec {
            common_name: format!("User{number}@{}", self.spec.domain),
            algorithm: self.spec.users.algorithm,
            ..NodeSpec::default()
        });
        users.collect()
    }

    fn make_nodes(&self) -> Result<(), GenerateError> {
        for spec in &self.spec.specs {
            let folder = self.nodes_folder().join(&spec.common_name);
            self.make_member(&folder, spec, self.kind.role())?;
        }
        Ok(())
    }

    fn make_users(&self, users: Vec<NodeSpec>) -> Result<(), GenerateError> {
        for user in users {
            let folder = self.folder.join("users").join(&user.common_name);
            self.make_member(&folder, &user, Role::Client)?;
        }
        Ok(())
    }

    fn make_admin(&self) -> Result<(), GenerateError> {
        let admin = NodeSpec {
            common_name: self.admin_name(),
            algorithm: Algorithm::Ecdsa,
            ..NodeSpec::default()
        };
        let folder = self.folder.join("users").join(&admin.common_name);
        let role = if self.spec.enable_node_ous {
            Role::Admin
        } else {
            Role::Client
        };
        self.make_member(&folder, &admin, role)
    }

    /// Makes a member that is not there yet: its MSP, and what it speaks TLS with.
    fn make_member(&self, folder: &Path, spec: &NodeSpec, role: Role) -> Result<(), GenerateError> {
        if folder.exists() {
            return Ok(());
        }
        let msp = folder.join("msp");
        self.make_msp(&msp)?;
        let (key, key_pem) = Key::generate(spec.algorithm)?;
        let certificate = self.signing.issue(&Request {
            purpose: Purpose::Signing,
            name: &spec.common_name,
            unit: self.spec.enable_node_ous.then(|| role.unit()),
            hosts: &[],
            key: &key,
        })?;
        let file = certificate_file(&spec.common_name);
        write(&msp.join("keystore"), "priv_sk", &key_pem, 0o600)?;
        write(&msp.join("signcerts"), &file, &certificate, 0o644)?;
        if !self.spec.enable_node_ous {
            write(&msp.join("admincerts"), &file, &certificate, 0o644)?;
        }
        self.make_tls(&folder.join("tls"), spec, role)
    }

    fn make_tls(&self, folder: &Path, spec: &NodeSpec, role: Role) -> Result<(), GenerateError> {
        let (key, key_pem) = Key::generate(spec.algorithm)?;
        let certificate = self.tls.issue(&Request {
            purpose: Purpose::Tls,
            name: &spec.common_name,
            unit: None,
            hosts: &spec.hosts,
            key: &key,
        })?;
        let name = if role.serves() { "server" } else { "client" };
        write(folder, "ca.crt", &self.tls.certificate, 0o644)?;
        write(folder, &format!("{name}.crt"), &certificate, 0o644)?;
        write(folder, &format!("{name}.key"), &key_pem, 0o600)
    }

    /// What every MSP folder has: the authorities, and how units tell roles apart.
    fn make_msp(&self, folder: &Path) -> Result<(), GenerateError> {
        files::make_folder(&folder.join("admincerts"), 0o755)?;
        let file = certificate_file(&self.signing.name);
        write(
            &folder.join("cacerts"),
            &file,
            &self.signing.certificate,
            0o644,
        )?;
        let tls_file = certificate_file(&self.tls.name);
        write(
            &folder.join("tlscacerts"),
            &tls_file,
            &self.tls.certificate,
            0o644,
        )?;
        if self.spec.enable_node_ous {
            let units = node_units(&format!("cacerts/{file}"));
            write(folder, "config.yaml", &units, 0o644)?;
        }
        Ok(())
    }

    /// Without organisational units an administrator is who has a certificate in `admincerts`.
    fn copy_admin_certificates(&self, msp: Option<&Path>) -> Result<(), GenerateError> {
        if self.spec.enable_node_ous {
            return Ok(());
        }
        let name = self.admin_name();
        let file = certificate_file(&name);
        let admin = self
            .folder
            .join("users")
            .join(&name)
            .join("msp/signcerts")
            .join(&file);
        let certificate = files::read(&admin)?;
        let nodes = self.spec.specs.iter();
        let nodes = nodes.map(|spec| self.nodes_folder().join(&spec.common_name).join("msp"));
        for msp in msp.map(Path::to_owned).into_iter().chain(nodes) {
            let folder = msp.join("admincerts");
            if !folder.join(&file).exists() {
                files::remove_folder(&folder)?;
                files::make_folder(&folder, 0o755)?;
                files::write(&folder.join(&file), &certificate, 0o644)?;
            }
        }
        Ok(())
    }
}

fn write(folder: &Path, file: &str, content: &str, mode: u32) -> Result<(), GenerateError> {
    files::make_folder(folder, 0o755)?;
    files::write(&folder.join(file), content.as_bytes(), mode)?;
    Ok(())
}

/// `config.yaml`: each role by its unit, below one authority.
fn node_units(certificate: &str) -> String {
    let mut text = "NodeOUs:\n    Enable: true\n".to_owned();
    for (name, role) in [
        ("Client", Role::Client),
        ("Peer", Role::Peer),
        ("Admin", Role::Admin),
        ("Orderer", Role::Orderer),
    ] {
        let unit = role.unit();
        text.push_str(
            &[
                "    ",
                name,
                "OUIdentifier:\n",
                "        Certificate: ",
                certificate,
                "\n",
                "        OrganizationalUnitIdentifier: ",
                unit,
                "\n",
            ]
            .concat(),
        );
    }
    text
}
