//! `/v1/channels`: list, create, describe.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use quire_chaincode::name::check_channel;
use quire_peer::Channel;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::reply;
use crate::request::body::{self, Members};
use crate::request::path;
use crate::request::url_query::UrlQuery;

#[derive(Serialize, ToSchema)]
struct ChannelRow {
    name: String,
    /// How many blocks it has; null if it is not open.
    height: Option<u64>,
    /// Missing if the channel is open; `failed` if it did not open when the node started.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct ChannelRows {
    channels: Vec<ChannelRow>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Channel)]
struct Info<'a> {
    name: &'a str,
    height: u64,
    current_block_hash: String,
    previous_block_hash: String,
}

/// The body of a creation, for its description.
#[derive(ToSchema)]
#[expect(dead_code, reason = "bodies are read member by member, see `Members`")]
struct NewChannel {
    /// `[a-z][a-z0-9.-]{0,248}`
    name: String,
}

/// `GET /v1/channels`.
#[utoipa::path(
    get,
    path = "/v1/channels",
    tag = "channels",
    operation_id = "listChannels",
    summary = "The channels",
    responses((status = 200, description = "All channels.", body = ChannelRows))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    UrlQuery::none(request.uri())?;
    let caller = Caller::of(request.extensions())?.clone();
    let pools = Arc::clone(&gateway.pools);
    let answered = pools.work(move || {
        let open = gateway.backend.channels().into_iter().filter_map(|name| {
            let height = gateway.backend.channel(&name)?.reader.height();
            Some(ChannelRow {
                name,
                height: Some(height),
                state: None,
            })
        });
        let closed = gateway.backend.closed_channels().into_iter();
        let closed = closed.map(|closed| ChannelRow {
            name: closed.component,
            height: None,
            state: Some("failed"),
        });
        let mut channels: Vec<ChannelRow> = open.chain(closed).collect();
        channels.retain(|row| caller.reaches(&row.name));
        channels.sort_by(|one, other| one.name.cmp(&other.name));
        let document = ChannelRows { channels };
        reply::json(StatusCode::OK, &document)
    });
    answered.await
}

/// `POST /v1/channels`.
#[utoipa::path(
    post,
    path = "/v1/channels",
    tag = "channels",
    operation_id = "createChannel",
    summary = "Create a channel",
    request_body(content = NewChannel, example = json!({"name": "archive"})),
    responses((
        status = 201,
        description = "It is durable and takes transactions.",
        body = Info
    ))
)]
pub(crate) async fn create(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let body = body::read(&parts, body, body::JSON, &gateway).await?;
    let mut members = Members::parse(&body)?;
    let name = members.take_as::<String>("name")?;
    members.finish(&["name"])?;
    let name = name.ok_or_else(|| Problem::invalid_argument("The member name is missing."))?;
    check_channel(&name)?;
    Caller::of(&parts.extensions)?.check_channel(&name)?;
    let pools = Arc::clone(&gateway.pools);
    let created = pools.change(move || {
        gateway.backend.create_channel(&name)?;
        let channel = gateway.channel(&name)?;
        let mut response = describe(&channel, StatusCode::CREATED)?;
        let location = reply::location(&format!("/v1/channels/{name}"));
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    });
    created.await
}

/// `GET /v1/channels/{channel}`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}",
    tag = "channels",
    operation_id = "getChannel",
    summary = "A channel",
    responses((status = 200, description = "Height and hashes of the chain.", body = Info))
)]
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    UrlQuery::none(request.uri())?;
    let described = gateway
        .pools
        .work(move || describe(&channel, StatusCode::OK));
    described.await
}

fn describe(channel: &Channel, status: StatusCode) -> Result<Response, Problem> {
    let info = channel.reader.info()?;
    let document = Info {
        name: &channel.name,
        height: info.height,
        current_block_hash: hex::encode(info.current_hash),
        previous_block_hash: hex::encode(info.previous_hash),
    };
    let response = reply::json(status, &document)?;
    Ok(reply::at_height(response, info.height))
}
