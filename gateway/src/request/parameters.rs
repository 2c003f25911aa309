//! Parameters that several operations share, for the API's description. Handlers read them out of
//! the request themselves, strictly.
#![expect(dead_code, reason = "these only say what there is")]

use utoipa::IntoParams;

/// Makes the repetition of a write safe.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Retries {
    /// 1 to 255 visible ASCII characters. It makes a repetition of the request safe: the same key always
    /// names the same transaction.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: Option<String>,
    /// How often a transaction that lost a race is tried; the default is 5.
    #[param(rename = "Quire-Max-Attempts", minimum = 1, maximum = 10)]
    quire_max_attempts: Option<u32>,
}

/// How long the caller waits for a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Waiting {
    /// `wait=N` bounds the waiting, in seconds; `respond-async` answers 202 once ordered, and needs
    /// an `Idempotency-Key`.
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

/// What a write demands of the version that it replaces.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct WriteDemands {
    /// A version in quotes, several, or `*`.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: the key must not exist.
    #[param(rename = "If-None-Match", pattern = r"^\*$")]
    if_none_match: Option<String>,
}

/// What a read demands of the version that it gets.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ReadDemands {
    /// A version in quotes, several, or `*`. If none matches, the answer is 412.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// Versions that the caller has, in quotes, or `*`. If one matches, the answer is 304.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// A part of something long.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// The entries of a page; the default is 25.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// The bookmark of the page before; all other parameters but `limit` must be the same as there.
    bookmark: Option<String>,
}

/// How long to wait for an outcome.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LongPoll {
    /// Seconds to wait while the outcome is pending, at most 300.
    wait: Option<u64>,
}
