//! Revoking, and revocation lists.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::body::or_default;
use super::envelope::Answer;
use super::query::moment;
use super::request::Asked;
use crate::attribute::GEN_CRL;
use crate::authority::Authority;
use crate::crl::Selection;
use crate::error::{Code, Refusal};
use crate::revoke::Revocation;

#[derive(Deserialize)]
struct RevokeBody {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    serial: String,
    #[serde(default, deserialize_with = "or_default")]
    aki: String,
    #[serde(default, deserialize_with = "or_default")]
    reason: String,
    #[serde(default, deserialize_with = "or_default")]
    gencrl: bool,
}

#[derive(Deserialize)]
struct GenerateBody {
    #[serde(default, deserialize_with = "or_default")]
    revokedafter: String,
    #[serde(default, deserialize_with = "or_default")]
    revokedbefore: String,
    #[serde(default, deserialize_with = "or_default")]
    expireafter: String,
    #[serde(default, deserialize_with = "or_default")]
    expirebefore: String,
}

pub(super) fn revoke(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let body: RevokeBody = asked.body()?;
    let revocation = Revocation {
        name: body.id,
        serial: body.serial,
        authority_key_id: body.aki,
        reason: body.reason,
    };
    let revoked = authority.revoke(&caller, &revocation)?;
    let list = if body.gencrl && !revoked.is_empty() {
        STANDARD.encode(authority.crl(&Selection::default())?)
    } else {
        String::new()
    };
    let revoked: Vec<_> = revoked
        .iter()
        .map(|one| json!({"Serial": one.serial, "AKI": one.authority_key_id}))
        .collect();
    Answer::of(
        StatusCode::OK,
        json!({"RevokedCerts": revoked, "CRL": list}),
    )
}

pub(super) fn generate(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let body: GenerateBody = asked.body()?;
    caller.check_right(GEN_CRL, Code::NoCrlRight)?;
    let selection = Selection {
        revoked_after: time(&body.revokedafter)?,
        revoked_before: time(&body.revokedbefore)?,
        expire_after: time(&body.expireafter)?,
        expire_before: time(&body.expirebefore)?,
    };
    let list = STANDARD.encode(authority.crl(&selection)?);
    Answer::of(StatusCode::OK, json!({"CRL": list}))
}

/// A time; none where Go's clients say nothing, which is the first second of the year 1.
fn time(text: &str) -> Result<Option<i64>, Refusal> {
    const NOTHING: i64 = -62_135_596_800;
    if text.is_empty() {
        return Ok(None);
    }
    let second = moment(text).ok_or_else(|| {
        let detail = format!("Invalid request body: {text:?} is no time");
        Refusal::new(400, Code::BadBody, detail)
    })?;
    Ok(Some(second).filter(|second| *second != NOTHING))
}
