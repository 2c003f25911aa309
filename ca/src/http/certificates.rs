//! Certificates.

use serde_json::json;

use super::envelope::Answer;
use super::request::Asked;
use crate::authority::Authority;
use crate::certificates::{Filter, Range};
use crate::error::Refusal;
use crate::pem;

pub(super) fn list(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    let caller = asked.caller(authority)?;
    asked.check_authority(authority)?;
    let query = &asked.query;
    let now = authority.now();
    let filter = Filter {
        owner: query.get("id").to_owned(),
        serial: query.get("serial").to_owned(),
        authority_key_id: query.get("aki").to_owned(),
        not_expired: query.flag("notexpired")?,
        not_revoked: query.flag("notrevoked")?,
        expired: Range {
            start: query.time("expired_start", now)?,
            end: query.time("expired_end", now)?,
        },
        revoked: Range {
            start: query.time("revoked_start", now)?,
            end: query.time("revoked_end", now)?,
        },
    };
    let found = authority.certificates(&caller, &filter)?.into_iter();
    let items = found.map(|found| json!({"PEM": pem::block("CERTIFICATE", &found.der)}));
    Ok(Answer::list("certs", authority.name(), items))
}
