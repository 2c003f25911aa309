//! `/v1/channels/{channel}/config`: the channel's configuration, and updates of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use quire_identity::config::update_envelope;
use quire_peer::config::{InState, in_state};
use quire_peer::{Channel, Outcome, Promised};
use quire_wire::common::{ChannelHeader, Envelope, Payload, SignatureHeader, header_type};
use quire_wire::config::ConfigUpdateEnvelope;
use quire_wire::{DecodeError, Message as _, json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::accept::{Form, PROTOBUF, negotiate};
use crate::request::body::{self, JSON, content_type};
use crate::request::path;
use crate::request::url_query::UrlQuery;

/// A configuration that is in force.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConfigInForce)]
struct InForce {
    /// The block that holds it.
    block: u64,
    /// The number of updates up to this configuration.
    sequence: u64,
}

/// `GET .../config`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/config",
    tag = "channels",
    operation_id = "getConfig",
    summary = "The channel's configuration",
    responses((
        status = 200,
        description = "Fabric's common.Config, as bytes or as configtxlator prints it. The ETag is its \
            sequence.",
        content(
            (serde_json::Value = "application/json"),
            (Vec<u8> = "application/x-protobuf")
        )
    ))
)]
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    UrlQuery::none(request.uri())?;
    let form = negotiate(request.headers())?;
    let answered = gateway.pools.work(move || show(&channel, form)).await;
    answered.map_err(reply::negotiated_problem)
}

fn show(channel: &Channel, form: Form) -> Result<Response, Problem> {
    let InState { config, .. } = current(channel)?;
    let sequence = config.sequence;
    let bytes = Bytes::from(config.encode_to_vec());
    let response = match form {
        Form::Protobuf => reply::protobuf(bytes),
        Form::Json => {
            let text = printed("common.Config", bytes)?;
            reply::of_type(JSON, Body::from(text), StatusCode::OK)
        }
    };
    let mut response = reply::at_height(response, channel.reader.height());
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{sequence}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(reply::negotiated(response))
}

/// `POST .../config`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/config",
    tag = "channels",
    operation_id = "updateConfig",
    summary = "Change the channel's configuration",
    request_body(
        description = "Fabric's common.Envelope of type CONFIG_UPDATE with the signatures of those who \
            must agree, as bytes or as configtxlator prints it. Where it names no creator, the caller \
            becomes it.",
        content(
            (Vec<u8> = "application/x-protobuf"),
            (serde_json::Value = "application/json", example = json!({
                "payload": {
                    "header": {"channel_header": {"type": 2, "channel_id": "main"}},
                    "data": {
                        "config_update": {
                            "channel_id": "main",
                            "read_set": {"groups": {"Orderer": {}}},
                            "write_set": {"groups": {"Orderer": {"values": {"BatchTimeout": {
                                "version": "1",
                                "mod_policy": "Admins",
                                "value": {"timeout": "1s"}
                            }}}}}
                        },
                        "signatures": []
                    }
                }
            }))
        )
    ),
    responses((status = 201, description = "It is durable and in force.", body = InForce))
)]
pub(crate) async fn update(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let channel = path::channel(&gateway, &parts.uri)?;
    UrlQuery::none(&parts.uri)?;
    let expected = media(&parts.headers);
    let body = body::read(&parts, body, expected, &gateway).await?;
    let submitter = Arc::clone(&channel.submitter);
    let caller = Caller::identity(&parts)?;
    let (nonce, now) = (gateway.backend.random_nonce(), gateway.backend.now());
    let name = Arc::clone(&channel.name);
    let orders_later = submitter.orders_later();
    let ordered = gateway.pools.work(move || {
        let envelope = match expected {
            JSON => envelope_of(&body)?,
            _ => body,
        };
        let envelope = match unsent(&envelope)? {
            Some(update) => update_envelope(&name, &update, &caller, &nonce, now),
            None => envelope,
        };
        submitter.order(envelope).map_err(Problem::from)
    });
    let outcome = outcome(&gateway, ordered.await?, orders_later).await?;
    if !outcome.code.is_valid() {
        let detail = format!(
            "The configuration is in block {} and not in force.",
            outcome.block
        );
        return Err(Problem::new(ProblemKind::Invalid(outcome.code), detail));
    }
    let described = gateway.pools.work(move || {
        let InState { config, .. } = current(&channel)?;
        let document = InForce {
            block: outcome.block,
            sequence: config.sequence,
        };
        let response = reply::json(StatusCode::CREATED, &document)?;
        Ok(reply::at_height(response, channel.reader.height()))
    });
    described.await
}

/// The update in an envelope that nobody has sent yet, as tools write it into a file for others to sign. It
/// names no creator, so the caller becomes its creator. Anything else is refused: transactions have a
/// resource of their own.
fn unsent(envelope: &Bytes) -> Result<Option<ConfigUpdateEnvelope>, Problem> {
    let read = || {
        let payload = Envelope::decode(envelope.clone())?.payload;
        let payload = Payload::decode(payload)?;
        let header = payload.header.unwrap_or_default();
        let kind = ChannelHeader::decode(header.channel_header)?.r#type;
        let creator = SignatureHeader::decode(header.signature_header)?.creator;
        Ok::<_, DecodeError>((kind, creator, payload.data))
    };
    match read() {
        Ok((header_type::CONFIG_UPDATE, creator, data)) if creator.is_empty() => {
            Ok(ConfigUpdateEnvelope::decode(data).ok())
        }
        Ok((header_type::CONFIG_UPDATE, ..)) => Ok(None),
        _ => Err(Problem::invalid_argument(
            "The body is not an envelope of type CONFIG_UPDATE.",
        )),
    }
}

/// The media type of an update. If it is not known, bytes are expected.
fn media(headers: &HeaderMap) -> &'static str {
    match content_type(headers).as_deref() {
        Some(JSON) => JSON,
        _ => PROTOBUF,
    }
}

async fn outcome(
    gateway: &Gateway,
    outcome: Promised,
    orders_later: bool,
) -> Result<Outcome, Problem> {
    let told = tokio::select! {
        told = outcome => told,
        () = gateway.out_of_grace() => return Err(Problem::not_ready()),
    };
    let told = told.map_err(|_| {
        if orders_later {
            return Problem::new(
                ProblemKind::CommitTimeout,
                "It is not known whether the update was ordered: look at the configuration of now.",
            );
        }
        Problem::new(
            ProblemKind::ConfigConflict,
            "Another configuration came before this one, or the channel stopped: compute the update \
             again, from the configuration of now.",
        )
    })?;
    Ok(told?)
}

fn current(channel: &Channel) -> Result<InState, Problem> {
    in_state(&channel.reader)?
        .ok_or_else(|| Problem::internal("the channel's state has no configuration"))
}

fn printed(name: &str, bytes: Bytes) -> Result<String, Problem> {
    let kind = json::message_type(name).ok_or_else(|| Problem::internal("a type is unknown"))?;
    json::print(kind, bytes).map_err(Problem::internal)
}

fn envelope_of(text: &Bytes) -> Result<Bytes, Problem> {
    let kind = json::message_type("common.Envelope");
    let kind = kind.ok_or_else(|| Problem::internal("a type is unknown"))?;
    let envelope = json::read(kind, text);
    let envelope =
        envelope.map_err(|error| Problem::new(ProblemKind::InvalidJson, error.to_string()))?;
    Ok(envelope.into())
}
