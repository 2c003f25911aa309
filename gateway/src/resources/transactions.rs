//! `/v1/channels/{channel}/transactions`: submit, ask for the outcome, see the envelope.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::Response;
use bytes::Bytes;
use quire_identity::SigningIdentity;
use quire_peer::Channel;
use quire_wire::common::Timestamp;
use quire_wire::transaction::Opened;
use quire_wire::tx_id::tx_id;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::block_json;
use super::creator::Creator;
use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::reply::event::{EventDocument, event_of};
use crate::request::accept::{Form, negotiate};
use crate::request::body::{self, content_type};
use crate::request::call::{self, RequestedCall};
use crate::request::parameters::{LongPoll, Retries, Waiting};
use crate::request::path;
use crate::request::prefer::{self, Prefer};
use crate::request::url_query::UrlQuery;
use crate::schema::TransactionBody;
use crate::write::answer::{Accepted, CallResult, RequestForm, ValidTransaction, answer};
use crate::write::attempts::Write;
use crate::write::idempotency::{self, IdempotencyKey, Record, Recorded};
use crate::write::outcome::{
    CommittedTransaction, TransactionStatus, is_final_loss, is_lost_race, look, next_commit,
    poll_outcome,
};
use crate::write::patience::flight_key;

/// The longest pause between two checks of what a key names.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// `POST .../transactions`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/transactions",
    tag = "transactions",
    operation_id = "submitTransaction",
    summary = "Submit a transaction",
    params(Retries, Waiting),
    request_body(
        content = TransactionBody,
        content_type = "application/json",
        example = json!({"operations": [
            {"op": "put", "namespace": "orders", "key": "1001", "value": {"total": 12.5}}
        ]})
    ),
    responses(
        (
            status = 201,
            description = "Final and valid: it is on disk, and reads see it.",
            body = ValidTransaction
        ),
        (status = 202, description = "Ordered, not durable yet.", body = Accepted)
    )
)]
pub(crate) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let channel = path::channel(&gateway, &parts.uri)?;
    let prefer = Prefer::parse(&parts.headers, &gateway.limits)?;
    let body = body::read(&parts, body, body::JSON, &gateway).await?;
    let caller = Caller::of(&parts.extensions)?;
    let RequestedCall { call, is_init } = call::of_transaction(&body, &channel.chaincodes)?;
    caller.check_call(&call)?;
    let write = Write {
        identity: Arc::clone(&caller.identity),
        reach: caller.reach(),
        call,
        is_init,
        channel,
        attempts: prefer::max_attempts(&parts.headers)?,
        key: keyed(&parts, body)?,
    };
    answer(&gateway, write, RequestForm::Transaction, prefer).await
}

/// The idempotency key of a request, with everything that a retry must repeat.
pub(crate) fn keyed(
    parts: &Parts,
    body: Bytes,
) -> Result<Option<(IdempotencyKey, Recorded)>, Problem> {
    let Some(key) = IdempotencyKey::of(&parts.headers)? else {
        return Ok(None);
    };
    let request = idempotency::Request {
        method: parts.method.clone(),
        path: path::decoded(&parts.uri)?,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        content_type: content_type(&parts.headers).unwrap_or_default(),
        if_match: idempotency::joined(&parts.headers, &header::IF_MATCH),
        if_none_match: idempotency::joined(&parts.headers, &header::IF_NONE_MATCH),
        body,
    };
    Ok(Some((key, Recorded::new(request))))
}

/// `GET .../transactions/{id}`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/transactions/{id}",
    tag = "transactions",
    operation_id = "getTransaction",
    summary = "A transaction",
    params(LongPoll),
    responses((
        status = 200,
        description = "The outcome, PENDING until it is final.",
        body = Outcome
    ))
)]
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    let tx_id = path::item(request.uri())?;
    let query = UrlQuery::parse(request.uri(), &["wait"])?;
    let wait = prefer::wait(&query, &gateway.limits)?;
    let caller = Caller::of(request.extensions())?;
    let mut seen = look_for(&gateway, &channel, &tx_id).await?;
    if seen == TransactionStatus::Pending && !wait.is_zero() {
        let committed = tokio::select! {
            committed = timeout(wait, poll_outcome(&gateway.pools, &channel, &tx_id)) => committed.ok().flatten(),
            () = gateway.out_of_grace() => None,
            problem = caller.ended(&gateway) => return Err(problem),
        };
        // The caller's token may have ended as well.
        caller.check_still(&gateway)?;
        seen = committed.map_or(seen, TransactionStatus::Committed);
    }
    answer_seen(&gateway, channel, tx_id, seen).await
}

async fn look_for(
    gateway: &Gateway,
    channel: &Channel,
    tx_id: &str,
) -> Result<TransactionStatus, Problem> {
    let (channel, tx_id) = (channel.clone(), tx_id.to_owned());
    gateway.pools.work(move || look(&channel, &tx_id)).await
}

/// `GET .../transactions?idempotencyKey=K`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/transactions",
    tag = "transactions",
    operation_id = "getOutcomeOfKey",
    summary = "The outcome that a key names",
    params(
        ("idempotencyKey" = String, Query, description = "The key.", example = "order-1001"),
        LongPoll
    ),
    responses((
        status = 200,
        description = "The outcome, PENDING while attempts remain.",
        body = Outcome
    ))
)]
pub(crate) async fn get_by_key(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    let query = UrlQuery::parse(request.uri(), &["idempotencyKey", "wait"])?;
    let wait = prefer::wait(&query, &gateway.limits)?;
    let key = query.get("idempotencyKey");
    let key = key.ok_or_else(|| Problem::invalid_argument("idempotencyKey is missing."))?;
    let key = IdempotencyKey::parse(key)?;
    let caller = Caller::of(request.extensions())?;
    let identity = Arc::clone(&caller.identity);
    let named = || named_outcome(&gateway, &channel, &key, &identity);
    let (mut tx_id, mut seen) = named().await?;
    if seen == TransactionStatus::Pending && !wait.is_zero() {
        let settled = async {
            let mut heights = channel.heights.clone();
            loop {
                heights.mark_unchanged();
                let (tx_id, seen) = named().await?;
                if seen != TransactionStatus::Pending {
                    return Ok::<_, Problem>((tx_id, seen));
                }
                // A key also becomes final when the last attempt is given up, without a commit.
                next_commit(&mut heights, LOOK_AGAIN).await;
            }
        };
        let settled = tokio::select! {
            settled = timeout(wait, settled) => settled.ok(),
            () = gateway.out_of_grace() => None,
            problem = caller.ended(&gateway) => return Err(problem),
        };
        caller.check_still(&gateway)?;
        if let Some(settled) = settled {
            (tx_id, seen) = settled?;
        }
    }
    answer_seen(&gateway, channel, tx_id, seen).await
}

/// The transaction that a key names, and what is known of it.
async fn named_outcome(
    gateway: &Gateway,
    channel: &Channel,
    key: &IdempotencyKey,
    identity: &Arc<SigningIdentity>,
) -> Result<(String, TransactionStatus), Problem> {
    let under_way = gateway
        .flights
        .is_under_way(&flight_key(channel, key, identity));
    let (channel, key, identity) = (channel.clone(), key.clone(), Arc::clone(identity));
    let followed = gateway
        .pools
        .work(move || follow_attempts(&channel, &key, &identity));
    let (tx_id, seen) = followed.await?;
    let seen = if under_way && seen == TransactionStatus::Never {
        TransactionStatus::Pending
    } else {
        seen
    };
    Ok((tx_id, seen))
}

/// Follows the attempts of a key through the blocks: the last one decides. Blocks.
fn follow_attempts(
    channel: &Channel,
    key: &IdempotencyKey,
    identity: &SigningIdentity,
) -> Result<(String, TransactionStatus), Problem> {
    let mut last = None;
    for attempt in 0..idempotency::MAX_ATTEMPTS {
        let tx_id = tx_id(&key.nonce(attempt), identity.serialized());
        let committed = match (look(channel, &tx_id)?, last) {
            (TransactionStatus::Committed(committed), _) => committed,
            (TransactionStatus::Pending, _) => return Ok((tx_id, TransactionStatus::Pending)),
            // Attempts remain, and somebody may make them.
            (TransactionStatus::Never, Some(last)) => {
                return Ok((last, TransactionStatus::Pending));
            }
            (TransactionStatus::Never, None) => return Ok((tx_id, TransactionStatus::Never)),
        };
        if is_final(channel, &committed, attempt)? {
            return Ok((tx_id, TransactionStatus::Committed(committed)));
        }
        last = Some(tx_id);
    }
    let last = last.unwrap_or_default();
    let seen = look(channel, &last)?;
    Ok((last, seen))
}

/// Whether this attempt is the last.
fn is_final(
    channel: &Channel,
    committed: &CommittedTransaction,
    attempt: u32,
) -> Result<bool, Problem> {
    if !is_lost_race(committed.code) {
        return Ok(true);
    }
    let envelope = channel.reader.envelope(committed.height)?;
    let envelope = envelope.unwrap_or_default();
    let (Some(record), Some(call)) = (Record::of_envelope(&envelope), call::of_envelope(&envelope))
    else {
        return Ok(true);
    };
    Ok(attempt + 1 >= record.allowed || is_final_loss(channel, &call, committed)?)
}

async fn answer_seen(
    gateway: &Gateway,
    channel: Channel,
    tx_id: String,
    seen: TransactionStatus,
) -> Result<Response, Problem> {
    let height = channel.reader.height();
    let response = match seen {
        TransactionStatus::Never => {
            let detail = format!("There is no transaction {tx_id}.");
            return Err(Problem::new(ProblemKind::TransactionNotFound, detail));
        }
        TransactionStatus::Pending => {
            let document = Pending {
                transaction_id: &tx_id,
                status: "PENDING",
            };
            reply::json(StatusCode::OK, &document)?
        }
        TransactionStatus::Committed(committed) => {
            let seen_channel = channel.clone();
            let described = gateway
                .pools
                .work(move || describe(&seen_channel, &committed));
            described.await?
        }
    };
    Ok(reply::at_height(
        response,
        height.max(channel.reader.height()),
    ))
}

/// What is known of a transaction.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "either is serialized by itself")]
enum Outcome<'a> {
    #[schema(title = "Pending")]
    Pending(Pending<'a>),
    #[schema(title = "Final")]
    Final(Described<'a>),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Pending<'a> {
    transaction_id: &'a str,
    #[schema(pattern = "^PENDING$")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Transaction)]
struct Described<'a> {
    transaction_id: &'a str,
    #[schema(pattern = "^(IN)?VALID$")]
    status: &'static str,
    code: String,
    block_number: u64,
    tx_number: u64,
    timestamp: Option<String>,
    chaincode: Option<&'a str>,
    creator: Option<&'a str>,
    creator_msp_id: Option<&'a str>,
    #[serde(flatten)]
    result: Option<CallResult<'a>>,
    /// Only of a valid transaction whose chaincode told one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event: Option<EventDocument<'a>>,
}

/// The document of a transaction in a block. Blocks.
fn describe(channel: &Channel, committed: &CommittedTransaction) -> Result<Response, Problem> {
    let height = committed.height;
    let envelope = channel.reader.envelope(height)?;
    // An imported ledger may hold envelopes that cannot be read: their code says so.
    let opened = envelope.and_then(|envelope| Opened::read(&envelope).ok());
    let creator = opened
        .as_ref()
        .and_then(|opened| Creator::read(&opened.signature_header.creator));
    let call = opened
        .as_ref()
        .and_then(|opened| opened.endorsed_call().ok());
    let chaincode = call.as_ref().and_then(|call| call.spec()?.chaincode_id);
    let timestamp = opened
        .as_ref()
        .and_then(|opened| opened.channel_header.timestamp);
    let is_valid = committed.code.is_valid();
    let event = call.as_ref().and_then(|call| event_of(&call.action));
    let response = call.as_ref().and_then(|call| call.action.response.as_ref());
    let document = Described {
        transaction_id: &committed.tx_id,
        status: if is_valid { "VALID" } else { "INVALID" },
        code: committed.code.to_string(),
        block_number: height.block,
        tx_number: height.tx,
        timestamp: timestamp.as_ref().and_then(Timestamp::rfc3339),
        chaincode: chaincode.as_ref().map(|chaincode| chaincode.name.as_str()),
        creator: creator.as_ref().and_then(|creator| creator.name.as_deref()),
        creator_msp_id: creator.as_ref().map(|creator| creator.msp_id.as_str()),
        result: response
            .filter(|_| is_valid)
            .map(|response| CallResult::of(&response.payload)),
        event: event.as_ref().filter(|_| is_valid).map(EventDocument::of),
    };
    reply::json(StatusCode::OK, &document)
}

/// `GET .../transactions/{id}/envelope`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/transactions/{id}/envelope",
    tag = "transactions",
    operation_id = "getEnvelope",
    summary = "A transaction as it is signed",
    responses((
        status = 200,
        description = "Decoded, or Fabric's common.Envelope.",
        content(
            (serde_json::Value = "application/json"),
            (Vec<u8> = "application/x-protobuf")
        )
    ))
)]
pub(crate) async fn envelope(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    let tx_id = path::item(request.uri())?;
    UrlQuery::none(request.uri())?;
    let form = negotiate(request.headers())?;
    let answered = gateway.pools.work(move || {
        let height = channel.reader.height();
        let not_found = || {
            let detail = format!("There is no transaction {tx_id} in a block.");
            Problem::new(ProblemKind::TransactionNotFound, detail)
        };
        let at = channel.reader.transaction(&tx_id)?.ok_or_else(not_found)?;
        let envelope = channel.reader.envelope(at.height)?.ok_or_else(not_found)?;
        let response = match form {
            Form::Protobuf => reply::protobuf(envelope),
            Form::Json => {
                let document = block_json::transaction(&envelope, at.height.tx, at.code);
                reply::json(StatusCode::OK, &document)?
            }
        };
        let response = reply::at_height(response, height);
        Ok(reply::negotiated(response))
    });
    answered.await.map_err(reply::negotiated_problem)
}
