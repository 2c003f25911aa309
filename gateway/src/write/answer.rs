//! The answer to a write. It is made of the blocks alone, so that a retry years later gets the same answer.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use quire_ledger::Height;
use quire_peer::Channel;
use quire_wire::Code;
use quire_wire::transaction::Opened;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::attempts::Write;
use super::idempotency::IdempotencyKey;
use super::outcome::{CommittedTransaction, Returned, Settled, Told, first_broken};
use super::patience::carry_out;
use crate::gateway::Gateway;
use crate::pools::Pools;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::reply::event::{EventDocument, event_of};
use crate::reply::value::{base64, json_text};
use crate::request::call;
use crate::request::conditions::etag;
use crate::request::prefer::Prefer;
use crate::server::request_log::LoggedTransaction;

/// The form of a write's request, as far as the answer depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestForm {
    /// A transaction.
    Transaction,
    /// A `PUT` of this key.
    Put { namespace: Arc<str>, key: Arc<str> },
    /// A `PATCH` or `DELETE`.
    Change,
}

/// Carries a write out and answers it.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    write: Write,
    asked: RequestForm,
    prefer: Prefer,
) -> Result<Response, Problem> {
    let teller = Teller::of(&write, asked, prefer)?;
    let told = carry_out(gateway, write, prefer).await?;
    teller.tell(&gateway.pools, told).await
}

/// What an answer needs to know of a request besides its outcome. It is small, unlike the request, because
/// answers can be made long after the request is forgotten.
#[derive(Debug)]
pub(crate) struct Teller {
    channel: Channel,
    key: Option<IdempotencyKey>,
    asked: RequestForm,
    respond_async: bool,
}

impl Teller {
    /// Refuses what could not be answered.
    pub(crate) fn of(write: &Write, asked: RequestForm, prefer: Prefer) -> Result<Self, Problem> {
        let key = write.key.as_ref().map(|(key, _)| key.clone());
        if prefer.respond_async && key.is_none() {
            return Err(Problem::invalid_argument(
                "Prefer: respond-async needs an Idempotency-Key.",
            ));
        }
        Ok(Self {
            channel: write.channel.clone(),
            key,
            asked,
            respond_async: prefer.respond_async,
        })
    }

    /// Makes the answer.
    pub(crate) async fn tell(self, pools: &Pools, told: Told) -> Result<Response, Problem> {
        match told {
            Told::Settled(Settled::Final {
                committed,
                returned,
                replayed,
            }) => self.tell_final(pools, committed, returned, replayed).await,
            Told::Settled(Settled::Refused(problem)) => Err(problem),
            Told::Pending { tx_id: Some(tx_id) } if self.respond_async => {
                accepted(&tx_id, self.location(Some(&tx_id)))
            }
            Told::Pending { tx_id } | Told::Settled(Settled::Unknown { tx_id }) => {
                let mut problem = Problem::commit_timeout();
                if let Some(location) = self.location(tx_id.as_deref()) {
                    problem = problem.with_header(header::LOCATION, location);
                }
                Err(match tx_id {
                    Some(tx_id) => problem.with_transaction(tx_id),
                    None => problem,
                })
            }
        }
    }

    async fn tell_final(
        self,
        pools: &Pools,
        committed: CommittedTransaction,
        returned: Option<Returned>,
        replayed: bool,
    ) -> Result<Response, Problem> {
        let tx_id = committed.tx_id.clone();
        let reader = self.channel.reader.clone();
        // A new commit is still in memory.
        let answered = pools.in_brief(&reader, !replayed, move || {
            final_answer(&self.channel, &self.asked, &committed, returned)
        });
        let answered = answered.await;
        let mut response = answered.map_err(|problem| problem.with_transaction(tx_id))?;
        if replayed {
            let value = HeaderValue::from_static("true");
            response
                .headers_mut()
                .insert(reply::IDEMPOTENCY_REPLAYED, value);
        }
        Ok(response)
    }

    /// The URL of the outcome.
    fn location(&self, tx_id: Option<&str>) -> Option<HeaderValue> {
        let channel = &self.channel.name;
        match (&self.key, tx_id) {
            (Some(key), _) => Some(reply::key_location(channel, key)),
            (None, tx_id) => tx_id.map(|id| reply::transaction_location(channel, id)),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
/// What is known of a transaction that is not final.
pub(crate) struct Accepted<'a> {
    transaction_id: &'a str,
    status: &'static str,
}

/// 202: the transaction is ordered, but not durable.
fn accepted(tx_id: &str, location: Option<HeaderValue>) -> Result<Response, Problem> {
    let document = Accepted {
        transaction_id: tx_id,
        status: "PENDING",
    };
    let mut response = reply::json(StatusCode::ACCEPTED, &document)?;
    let logged = LoggedTransaction(tx_id.to_owned());
    response.extensions_mut().insert(logged);
    let headers = response.headers_mut();
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    let applied = HeaderValue::from_static("respond-async");
    headers.insert(reply::PREFERENCE_APPLIED, applied);
    Ok(response)
}

/// The answer to a write whose outcome is final. Blocks.
fn final_answer(
    channel: &Channel,
    asked: &RequestForm,
    committed: &CommittedTransaction,
    returned: Option<Returned>,
) -> Result<Response, Problem> {
    if !committed.code.is_valid() {
        return Ok(invalid(channel, committed)?.into_response());
    }
    let Returned { result, event } = match returned {
        Some(returned) => returned,
        None => recorded(channel, committed.height)?,
    };
    let document = ValidTransaction {
        transaction_id: &committed.tx_id,
        status: "VALID",
        code: "VALID",
        block_number: committed.height.block,
        tx_number: committed.height.tx,
        result: CallResult::of(&result),
        event: event.as_ref().map(EventDocument::of),
    };
    let status = match asked {
        RequestForm::Transaction => StatusCode::CREATED,
        RequestForm::Put { namespace, key } => {
            let snapshot = channel.reader.snapshot();
            match snapshot.version_before(namespace, key, committed.height)? {
                None => StatusCode::CREATED,
                Some(_) => StatusCode::OK,
            }
        }
        RequestForm::Change => StatusCode::OK,
    };
    let mut response = reply::json(status, &document)?;
    let logged = LoggedTransaction(committed.tx_id.clone());
    response.extensions_mut().insert(logged);
    let headers = response.headers_mut();
    let location = reply::transaction_location(&channel.name, &committed.tx_id);
    headers.insert(header::LOCATION, location);
    if *asked != RequestForm::Transaction {
        headers.insert(header::ETAG, etag(committed.height));
    }
    Ok(response)
}

/// 412 if a version that the caller named did not hold, otherwise 409 with the code.
fn invalid(channel: &Channel, committed: &CommittedTransaction) -> Result<Problem, Problem> {
    let mut problem = Problem::new(
        ProblemKind::Invalid(committed.code),
        format!("The transaction is final and invalid: {}.", committed.code),
    );
    if committed.code == Code::MVCC_READ_CONFLICT {
        let envelope = channel.reader.envelope(committed.height)?;
        let call = envelope.as_ref().and_then(call::of_envelope);
        let hints = call.map(|call| channel.chaincodes.hints(&call));
        let conditions = hints.unwrap_or_default().conditions;
        if let Some((condition, found)) = first_broken(channel, &conditions, committed.height)? {
            let (namespace, key) = (&condition.namespace, &condition.key);
            problem = Problem::new(
                ProblemKind::PreconditionFailed,
                format!("The condition on {key:?} in {namespace:?} did not hold."),
            )
            .at_operation(condition.operation)
            .about_key(namespace, key)
            .at_version(found);
        }
    }
    Ok(problem
        .with_transaction(committed.tx_id.as_str())
        .with_block(committed.height.block))
}

/// The recorded answer of the chaincode.
fn recorded(channel: &Channel, at: Height) -> Result<Returned, Problem> {
    let envelope = channel.reader.envelope(at)?;
    let envelope = envelope.ok_or_else(|| Problem::internal(format!("no envelope at {at}")))?;
    let call = Opened::read(&envelope).and_then(|opened| opened.endorsed_call());
    let call = call.map_err(|code| Problem::internal(format!("envelope at {at}: {code}")))?;
    let event = event_of(&call.action);
    let response = call.action.response.unwrap_or_default();
    Ok(Returned {
        result: response.payload,
        event,
    })
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidTransaction<'a> {
    transaction_id: &'a str,
    status: &'static str,
    code: &'static str,
    block_number: u64,
    tx_number: u64,
    #[serde(flatten)]
    result: CallResult<'a>,
    /// Only if the chaincode told one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event: Option<EventDocument<'a>>,
}

/// A chaincode's answer: `result` if it is JSON, as with our own chaincode, `null` if it is empty, and
/// otherwise `resultBase64`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum CallResult<'a> {
    Json {
        #[schema(value_type = serde_json::Value)]
        result: Option<&'a RawValue>,
    },
    Bytes {
        #[serde(rename = "resultBase64")]
        result: String,
    },
}

impl<'a> CallResult<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        match json_text(bytes) {
            None if !bytes.is_empty() => Self::Bytes {
                result: base64(bytes),
            },
            result => Self::Json { result },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_embedded_as_they_are() {
        let text = |bytes: &'static [u8]| {
            let document = ValidTransaction {
                transaction_id: "t",
                status: "VALID",
                code: "VALID",
                block_number: 1,
                tx_number: 2,
                result: CallResult::of(bytes),
                event: None,
            };
            serde_json::to_string(&document).unwrap()
        };
        assert!(text(br#"{"a":1.10}"#).ends_with(r#""txNumber":2,"result":{"a":1.10}}"#));
        assert!(text(b"").ends_with(r#""result":null}"#));
        assert!(text(b"\xff").ends_with(r#""resultBase64":"/w=="}"#));
    }
}
