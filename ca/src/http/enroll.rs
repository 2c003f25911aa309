//! Enrolling and enrolling again.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::body::or_default;
use super::envelope::Answer;
use super::info::facts;
use super::request::Asked;
use crate::attribute::Wanted;
use crate::authority::Authority;
use crate::enroll::Enrollment;
use crate::error::Refusal;
use crate::pem;

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "or_default")]
    certificate_request: String,
    #[serde(default, deserialize_with = "or_default")]
    profile: String,
    #[serde(default, deserialize_with = "or_default")]
    hosts: Vec<String>,
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    attr_reqs: Option<Vec<AttributeRequest>>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default, deserialize_with = "or_default")]
    cn: String,
}

#[derive(Deserialize)]
struct AttributeRequest {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    optional: bool,
}

impl From<Body> for Enrollment {
    fn from(body: Body) -> Self {
        let wanted = body.attr_reqs.map(|asked| {
            let asked = asked.into_iter();
            let asked = asked.map(|AttributeRequest { name, optional }| Wanted { name, optional });
            asked.collect()
        });
        Self {
            signing_request: body.certificate_request,
            profile: body.profile,
            hosts: body.hosts,
            subject: body.subject.map(|subject| subject.cn),
            attributes: wanted,
        }
    }
}

pub(super) fn enroll(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let (name, secret) = asked.name_and_secret()?;
    asked.check_authority(authority)?;
    let body: Body = asked.body()?;
    let der = authority.enroll(&name, &secret, body.into())?;
    enrolled(authority, &der)
}

pub(super) fn reenroll(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let body: Body = asked.body()?;
    let der = authority.reenroll(&caller, body.into())?;
    enrolled(authority, &der)
}

fn enrolled(authority: &Authority, der: &[u8]) -> Result<Answer, Refusal> {
    let certificate = STANDARD.encode(pem::block("CERTIFICATE", der));
    let result = json!({"Cert": certificate, "ServerInfo": facts(authority)});
    Answer::of(StatusCode::CREATED, result)
}
