//! Tokens as an operator handles them: the same work for a stopped node's files and for the socket of
//! a running one.

use std::time::{Duration, SystemTime};

use quire_chaincode::name::{NameError, check_channel};
use quire_identity::token::ChangeTokenError;
use quire_identity::{
    AccessRole, CreateIdentityError, LoadIdentityError, NewToken, Organization, Role, Token,
    Tokens, utc,
};
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// A token to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateToken {
    pub(crate) identity: String,
    pub(crate) role: AccessRole,
    #[serde(default)]
    pub(crate) channels: Vec<String>,
    /// See [`expiry`].
    #[serde(default)]
    pub(crate) expires: Option<String>,
    #[serde(default)]
    pub(crate) certificate: bool,
}

/// A token to give a new secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    pub(crate) id: String,
    /// See [`expiry`].
    #[serde(default)]
    pub(crate) expires: Option<String>,
}

/// A token to end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    pub(crate) id: String,
}

/// What is told of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    pub(crate) id: String,
    pub(crate) identity: String,
    pub(crate) role: AccessRole,
    pub(crate) channels: Vec<String>,
    pub(crate) created: String,
    pub(crate) expires: Option<String>,
    pub(crate) expired: bool,
    pub(crate) certificate: bool,
}

/// A token that was made or rotated, with what its holder must know.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) row: TokenRow,
    /// None where the holder shows a certificate.
    pub(crate) secret: Option<String>,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made")
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}

/// Why a token was not made, rotated or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Change(#[from] ChangeTokenError),
    #[error(transparent)]
    CreateToken(#[from] CreateIdentityError),
    #[error(transparent)]
    Load(#[from] LoadIdentityError),
    #[error("the identity {0} is the node's own: what callers sign must not be signed by it")]
    NotAClient(String),
    #[error(transparent)]
    Channel(#[from] NameError),
    #[error("{0:?} is no time to come: 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z")]
    Expiry(String),
}

/// Makes a token, and its identity where there is none of that name.
pub(crate) fn create(
    organization: &Organization,
    tokens: &Tokens,
    request: CreateToken,
    now: SystemTime,
) -> Result<Made, TokenError> {
    for channel in &request.channels {
        check_channel(channel)?;
    }
    let expires = expiry(request.expires.as_deref(), now)?;
    let name = request.identity;
    let identity = match organization.identity(&name)? {
        Some(identity) => identity,
        None => organization.create_identity(&name, Role::Client, now)?,
    };
    if identity.role() != Role::Client {
        return Err(TokenError::NotAClient(name));
    }
    let new = NewToken {
        identity: name,
        role: request.role,
        channels: request.channels,
        expires,
        certificate: request.certificate,
    };
    let (token, secret) = tokens.create(new, now)?;
    let (id, identity, role) = (&token.id, &token.identity, token.role.name());
    tracing::info!(token = %id, identity, role, "token made");
    Ok(Made {
        row: row(&token, now),
        secret: secret.map(|secret| secret.expose().to_owned()),
    })
}

pub(crate) fn rotate(
    tokens: &Tokens,
    request: &Rotate,
    now: SystemTime,
) -> Result<Made, TokenError> {
    let expires = expiry(request.expires.as_deref(), now)?;
    let (token, secret) = tokens.rotate(&request.id, expires)?;
    tracing::info!(token = %token.id, identity = token.identity, "token rotated");
    Ok(Made {
        row: row(&token, now),
        secret: Some(secret.expose().to_owned()),
    })
}

pub(crate) fn revoke(
    tokens: &Tokens,
    request: &Revoke,
    now: SystemTime,
) -> Result<TokenRow, TokenError> {
    let token = tokens.revoke(&request.id)?;
    tracing::info!(token = %token.id, identity = token.identity, "token revoked");
    Ok(row(&token, now))
}

pub(crate) fn list(tokens: &Tokens, now: SystemTime) -> Vec<TokenRow> {
    tokens.list().iter().map(|token| row(token, now)).collect()
}

fn row(token: &Token, now: SystemTime) -> TokenRow {
    let text = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    TokenRow {
        id: token.id.to_string(),
        identity: token.identity.clone(),
        role: token.role,
        channels: token.channels.clone(),
        created: text(token.created),
        expires: token.expires.map(text),
        expired: token.is_expired(now),
        certificate: token.is_certificate(),
    }
}

/// A time to come: a number with `m`, `h`, `d` or `w`, a day (which is when it begins, in UTC), or
/// an RFC 3339 time.
fn expiry(text: Option<&str>, now: SystemTime) -> Result<Option<OffsetDateTime>, TokenError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let now = utc(now);
    let day = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    let time = duration(text)
        .and_then(|duration| now.checked_add(duration.try_into().ok()?))
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .or_else(|| Some(day()?.midnight().assume_utc()));
    let to_come = time.filter(|time| *time > now);
    to_come
        .map(Some)
        .ok_or_else(|| TokenError::Expiry(text.to_owned()))
}

fn duration(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let seconds: u64 = match unit {
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let count: u64 = text.get(..unit_at)?.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_duration_a_day_or_a_time_and_lies_ahead() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (text, expected) in [
            ("1m", Some("2027-01-15T08:01:00Z")),
            ("12h", Some("2027-01-15T20:00:00Z")),
            ("90d", Some("2027-04-15T08:00:00Z")),
            ("2w", Some("2027-01-29T08:00:00Z")),
            ("2027-02-01", Some("2027-02-01T00:00:00Z")),
            (
                "2027-01-15T10:00:00+01:00",
                Some("2027-01-15T10:00:00+01:00"),
            ),
            ("2027-01-15", None),
            ("2026-02-01", None),
            ("0d", None),
            ("-1d", None),
            ("1", None),
            ("d", None),
            ("", None),
            ("ü", None),
            ("2027-02-30", None),
            ("99999999999999999w", None),
            ("9999999w", None),
        ] {
            let time = expiry(Some(text), now).ok().flatten();
            let time = time.map(|time| time.format(&Rfc3339).unwrap());
            assert_eq!(time.as_deref(), expected, "{text}");
        }
        assert!(expiry(None, now).unwrap().is_none());
    }
}
