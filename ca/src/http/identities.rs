//! Identities.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::or_default;
use super::envelope::Answer;
use super::request::Asked;
use crate::authority::Authority;
use crate::error::{Code, Refusal};
use crate::register::{Modification, NewIdentity};
use crate::registry::identity::{Attribute, IdentityRecord};

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    secret: String,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    affiliation: String,
    #[serde(default, deserialize_with = "or_default")]
    attrs: Vec<Attribute>,
    #[serde(default, deserialize_with = "or_default")]
    max_enrollments: i64,
}

impl From<Body> for NewIdentity {
    fn from(body: Body) -> Self {
        Self {
            name: body.id,
            secret: body.secret,
            kind: body.kind,
            affiliation: body.affiliation,
            attributes: body.attrs,
            max_enrollments: body.max_enrollments,
        }
    }
}

/// An identity as it is told.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    affiliation: &'a str,
    attrs: &'a [Attribute],
    max_enrollments: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caname: Option<&'a str>,
}

impl<'a> From<&'a IdentityRecord> for Told<'a> {
    fn from(identity: &'a IdentityRecord) -> Self {
        Self {
            id: &identity.name,
            kind: &identity.kind,
            affiliation: &identity.affiliation,
            attrs: &identity.attributes,
            max_enrollments: identity.max_enrollments,
            secret: None,
            caname: None,
        }
    }
}

fn told(
    status: StatusCode,
    authority: &Authority,
    identity: &IdentityRecord,
    secret: Option<&str>,
) -> Result<Answer, Refusal> {
    let told = Told {
        secret: secret.filter(|secret| !secret.is_empty()),
        caname: Some(authority.name()),
        ..Told::from(identity)
    };
    Answer::of(status, told)
}

fn create(
    authority: &Authority,
    asked: &Asked,
) -> Result<(Arc<IdentityRecord>, String, String), Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let body: Body = asked.body()?;
    if body.id.is_empty() {
        let detail = "Missing 'ID' in request to add a new identity";
        return Err(Refusal::new(400, Code::AddIdentity, detail));
    }
    let (identity, secret) = authority.register(&caller, body.into())?;
    let location = format!("/api/v1/identities/{}", identity.name);
    Ok((identity, secret, location))
}

pub(super) fn register(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let (_, secret, location) = create(authority, asked)?;
    let answer = Answer::of(StatusCode::CREATED, json!({"secret": secret}))?;
    Ok(answer.at(location))
}

pub(super) fn add(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let (identity, secret, location) = create(authority, asked)?;
    let answer = told(StatusCode::CREATED, authority, &identity, Some(&secret))?;
    Ok(answer.at(location))
}

pub(super) fn list(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let identities = authority.identities(&caller)?.into_iter();
    let items = identities.map(|identity| json!(Told::from(&*identity)));
    Ok(Answer::list("identities", authority.name(), items))
}

pub(super) fn tell(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let identity = authority.identity(&caller, &asked.name()?)?;
    told(StatusCode::OK, authority, &identity, None)
}

pub(super) fn modify(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let body: Body = asked.body()?;
    let new = Modification {
        secret: body.secret,
        kind: body.kind,
        affiliation: body.affiliation,
        attributes: body.attrs,
        max_enrollments: body.max_enrollments,
    };
    let identity = authority.modify(&caller, &asked.name()?, &new)?;
    told(StatusCode::OK, authority, &identity, Some(&new.secret))
}

pub(super) fn remove(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let force = asked.query.flag("force")?;
    let identity = authority.remove(&caller, &asked.name()?, force)?;
    told(StatusCode::OK, authority, &identity, None)
}
