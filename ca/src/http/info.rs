//! What everybody may know of a CA.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::envelope::Answer;
use super::request::Asked;
use crate::authority::Authority;
use crate::error::{Code, Refusal};

pub(super) fn tell(authority: &Authority, asked: &Asked) -> Result<Answer, Refusal> {
    asked.check_authority(authority)?;
    Answer::of(StatusCode::OK, facts(authority))
}

/// Name, certificate and version. The keys of Idemix are empty, which clients take for none.
pub(super) fn facts(authority: &Authority) -> Value {
    json!({
        "CAName": authority.name(),
        "CAChain": STANDARD.encode(authority.certificate_pem()),
        "IssuerPublicKey": "",
        "IssuerRevocationPublicKey": "",
        "Version": concat!("quire-", env!("CARGO_PKG_VERSION")),
    })
}

pub(super) fn no_idemix(_: &Authority, _: &Asked) -> Result<Answer, Refusal> {
    let detail = "Idemix is not supported by this CA: enroll with the type x509";
    Err(Refusal::new(501, Code::Unknown, detail))
}
