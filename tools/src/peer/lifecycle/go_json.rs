//! Answers of `_lifecycle` as JSON, in the form that Go gives the messages: fields in their order, without those that are
//! empty, bytes in base64, and the kind of a field with several kinds as a member of its own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_wire::collection::{
    ApplicationPolicy, CollectionConfigPackage, PolicyKind, StaticCollectionConfig,
};
use quire_wire::config::{SignaturePolicy, SignaturePolicyEnvelope, SignatureRule};
use quire_wire::lifecycle::{
    ChaincodeSource, CheckCommitReadinessResult, QueryInstalledChaincodesResult, SourceKind,
};
use serde::Serialize as _;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use crate::peer::error::PeerError;

/// The text of a value, with a tabulator a level.
pub(super) fn indented(value: &Value) -> Result<String, PeerError> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, formatter));
    written.map_err(PeerError::Json)?;
    let text = String::from_utf8_lossy(&text);
    // These stand in texts only, and Go escapes them there.
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
    Ok(text.replace('&', "\\u0026"))
}

/// An object whose empty fields are left out.
#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn text(self, name: &str, text: &str) -> Self {
        self.unless(text.is_empty(), name, text.into())
    }

    pub(super) fn number(self, name: &str, number: impl Into<i128>) -> Self {
        let number = number.into();
        let value =
            i64::try_from(number).map_or_else(|_| json!(number.unsigned_abs()), Value::from);
        self.unless(number == 0, name, value)
    }

    pub(super) fn flag(self, name: &str, flag: bool) -> Self {
        self.unless(!flag, name, flag.into())
    }

    pub(super) fn bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.unless(bytes.is_empty(), name, STANDARD.encode(bytes).into())
    }

    pub(super) fn list(self, name: &str, list: impl Iterator<Item = Value>) -> Self {
        let list: Vec<_> = list.collect();
        self.unless(list.is_empty(), name, list.into())
    }

    pub(super) fn map<T>(
        self,
        name: &str,
        map: &BTreeMap<String, T>,
        value: impl Fn(&T) -> Value,
    ) -> Self {
        let values = map.iter().map(|(key, one)| (key.clone(), value(one)));
        let values: Map<_, _> = values.collect();
        self.unless(values.is_empty(), name, values.into())
    }

    pub(super) fn maybe(self, name: &str, value: Option<Value>) -> Self {
        let is_none = value.is_none();
        self.unless(is_none, name, value.unwrap_or_default())
    }

    fn unless(mut self, is_empty: bool, name: &str, value: Value) -> Self {
        if !is_empty {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    pub(super) fn done(self) -> Value {
        self.0.into()
    }
}

pub(super) fn installed(result: &QueryInstalledChaincodesResult) -> Value {
    let packages = result.installed_chaincodes.iter().map(|package| {
        Object::default()
            .text("package_id", &package.package_id)
            .text("label", &package.label)
            .map("references", &package.references, |references| {
                let each = references.chaincodes.iter().map(|one| {
                    Object::default()
                        .text("name", &one.name)
                        .text("version", &one.version)
                        .done()
                });
                Object::default().list("chaincodes", each).done()
            })
            .done()
    });
    Object::default()
        .list("installed_chaincodes", packages)
        .done()
}

pub(super) fn readiness(result: &CheckCommitReadinessResult) -> Value {
    Object::default()
        .map("approvals", &result.approvals, |approves| {
            (*approves).into()
        })
        .map("mismatches", &result.mismatches, |mismatches| {
            let items = mismatches.items.iter().map(|item| item.as_str().into());
            Object::default().list("items", items).done()
        })
        .done()
}

pub(super) fn source(source: &ChaincodeSource) -> Value {
    let kind = match &source.r#type {
        None => Value::Null,
        Some(SourceKind::Unavailable(_)) => json!({"Unavailable": {}}),
        Some(SourceKind::LocalPackage(package)) => {
            let package = Object::default().text("package_id", &package.package_id);
            json!({"LocalPackage": package.done()})
        }
    };
    json!({"Type": kind})
}

pub(super) fn collections(package: &CollectionConfigPackage) -> Value {
    let each = package.config.iter().map(|config| {
        let payload = config.static_collection_config.as_ref();
        let payload = payload.map(|one| json!({"StaticCollectionConfig": collection(one)}));
        json!({"Payload": payload})
    });
    Object::default().list("config", each).done()
}

fn collection(one: &StaticCollectionConfig) -> Value {
    let members = one.member_orgs_policy.as_ref().map(|policy| {
        let policy = policy.signature_policy.as_ref();
        let policy = policy.map(|policy| json!({"SignaturePolicy": signature_policy(policy)}));
        json!({"Payload": policy})
    });
    Object::default()
        .text("name", &one.name)
        .maybe("member_orgs_policy", members)
        .number("required_peer_count", one.required_peer_count)
        .number("maximum_peer_count", one.maximum_peer_count)
        .number("block_to_live", one.block_to_live)
        .flag("member_only_read", one.member_only_read)
        .flag("member_only_write", one.member_only_write)
        .maybe(
            "endorsement_policy",
            one.endorsement_policy.as_ref().map(application_policy),
        )
        .done()
}

fn application_policy(policy: &ApplicationPolicy) -> Value {
    let kind = match &policy.r#type {
        None => Value::Null,
        Some(PolicyKind::SignaturePolicy(policy)) => {
            json!({"SignaturePolicy": signature_policy(policy)})
        }
        Some(PolicyKind::ChannelConfigPolicyReference(path)) => {
            json!({"ChannelConfigPolicyReference": path})
        }
    };
    json!({"Type": kind})
}

fn signature_policy(policy: &SignaturePolicyEnvelope) -> Value {
    let identities = policy.identities.iter().map(|principal| {
        Object::default()
            .number(
                "principal_classification",
                principal.principal_classification,
            )
            .bytes("principal", &principal.principal)
            .done()
    });
    Object::default()
        .number("version", policy.version)
        .maybe("rule", policy.rule.as_ref().map(rule))
        .list("identities", identities)
        .done()
}

/// As deep as the message, which is read no deeper than its reader goes.
fn rule(policy: &SignaturePolicy) -> Value {
    let kind = match &policy.rule {
        None => Value::Null,
        Some(SignatureRule::SignedBy(identity)) => json!({"SignedBy": identity}),
        Some(SignatureRule::NOutOf(gate)) => {
            let rules = gate.rules.iter().map(rule);
            let gate = Object::default().number("n", gate.n).list("rules", rules);
            json!({"NOutOf": gate.done()})
        }
    };
    json!({"Type": kind})
}
