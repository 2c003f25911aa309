//! `crypto-config.yaml`: which organisations there are, and who is in them.

use serde::{Deserialize, Deserializer};

use super::error::GenerateError;
use super::key::Algorithm;
use super::template::render;

/// A network.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    #[serde(deserialize_with = "or_default")]
    pub(super) orderer_orgs: Vec<OrganizationSpec>,
    #[serde(deserialize_with = "or_default")]
    pub(super) peer_orgs: Vec<OrganizationSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct OrganizationSpec {
    #[serde(deserialize_with = "or_default")]
    pub(super) domain: String,
    #[serde(rename = "EnableNodeOUs", deserialize_with = "or_default")]
    pub(super) enable_node_ous: bool,
    #[serde(rename = "CA", deserialize_with = "or_default")]
    pub(super) authority: NodeSpec,
    #[serde(deserialize_with = "or_default")]
    template: NodeTemplate,
    #[serde(deserialize_with = "or_default")]
    pub(super) specs: Vec<NodeSpec>,
    #[serde(deserialize_with = "or_default")]
    pub(super) users: Users,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NodeSpec {
    #[serde(deserialize_with = "or_default")]
    pub(super) hostname: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) common_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) country: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) province: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) locality: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) organizational_unit: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) street_address: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) postal_code: String,
    #[serde(rename = "SANS", deserialize_with = "or_default")]
    pub(super) hosts: Vec<String>,
    #[serde(rename = "PublicKeyAlgorithm", deserialize_with = "or_default")]
    pub(super) algorithm: Algorithm,
}

/// Nodes that are numbered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NodeTemplate {
    #[serde(deserialize_with = "or_default")]
    count: u32,
    #[serde(deserialize_with = "or_default")]
    start: u32,
    #[serde(deserialize_with = "or_default")]
    hostname: String,
    #[serde(rename = "SANS", deserialize_with = "or_default")]
    hosts: Vec<String>,
    #[serde(rename = "PublicKeyAlgorithm", deserialize_with = "or_default")]
    algorithm: Algorithm,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Users {
    #[serde(deserialize_with = "or_default")]
    pub(super) count: u32,
    #[serde(rename = "PublicKeyAlgorithm", deserialize_with = "or_default")]
    pub(super) algorithm: Algorithm,
}

/// A key without a value says nothing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Network {
    pub(super) fn from_yaml(text: &[u8]) -> Result<Self, GenerateError> {
        let network: Option<Self> = serde_saphyr::from_slice(text)
            .map_err(|error| GenerateError::Yaml(error.to_string()))?;
        Ok(network.unwrap_or_default())
    }
}

impl OrganizationSpec {
    /// Puts names where templates are; `prefix` is what numbered nodes are called.
    pub(super) fn rendered(mut self, prefix: &str) -> Result<Self, GenerateError> {
        for number in 0..self.template.count {
            let index = (u64::from(self.template.start) + u64::from(number)).to_string();
            let values = [
                ("Prefix", prefix),
                ("Index", &index),
                ("Domain", &self.domain),
            ];
            let template = non_empty(&self.template.hostname, "{{.Prefix}}{{.Index}}");
            self.specs.push(NodeSpec {
                hostname: render(template, &values)?,
                hosts: self.template.hosts.clone(),
                algorithm: self.template.algorithm,
                ..NodeSpec::default()
            });
        }
        for spec in &mut self.specs {
            spec.render(&self.domain)?;
        }
        if self.authority.hostname.is_empty() {
            "ca".clone_into(&mut self.authority.hostname);
        }
        self.authority.render(&self.domain)?;
        let names = self.specs.iter().map(|spec| &spec.common_name);
        for name in names.chain([&self.domain, &self.authority.common_name]) {
            check_name(name)?;
        }
        Ok(self)
    }
}

impl NodeSpec {
    fn render(&mut self, domain: &str) -> Result<(), GenerateError> {
        let values = [
            ("Hostname", &*self.hostname),
            ("Domain", domain),
            ("CommonName", ""),
        ];
        let template = non_empty(&self.common_name, "{{.Hostname}}.{{.Domain}}");
        let common_name = render(template, &values)?;
        let values = [values[0], values[1], ("CommonName", &*common_name)];
        // A node answers to its name and to its host's, whatever else it answers to.
        let mut hosts = vec![common_name.clone(), self.hostname.clone()];
        for host in &self.hosts {
            hosts.push(render(host, &values)?);
        }
        self.hosts = hosts;
        self.common_name = common_name;
        Ok(())
    }
}

fn non_empty<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}

/// Names become folders below the one that was asked for, and nowhere else.
fn check_name(name: &str) -> Result<(), GenerateError> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(GenerateError::Name(name.to_owned()));
    }
    Ok(())
}
