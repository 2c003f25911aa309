//! `POST /v1/channels/{channel}/evaluate`: a chaincode call that is not ordered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use quire_chaincode::{Invocation, Weight};
use quire_ledger::Meter;
use quire_peer::{Channel, Proposal};
use quire_wire::tx_id::{NONCE_BYTES, tx_id};

use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::reply;
use crate::request::body;
use crate::request::call::{self, RequestedCall};
use crate::request::path;
use crate::request::prefer;
use crate::request::url_query::UrlQuery;
use crate::schema::CallBody;
use crate::write::answer::CallResult;

/// Runs the call and answers with its result.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/evaluate",
    tag = "transactions",
    operation_id = "evaluate",
    summary = "Run a call without ordering it",
    request_body(
        content = CallBody,
        content_type = "application/json",
        example = json!({"chaincode": "orders", "function": "get", "args": ["1001"]})
    ),
    responses((status = 200, description = "What the chaincode answered.", body = CallResult))
)]
pub(crate) async fn evaluate(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let channel = path::channel(&gateway, &parts.uri)?;
    let time = prefer::query_time(&parts.headers, &gateway.limits)?;
    let body = body::read(&parts, body, body::JSON, &gateway).await?;
    let asked = call::of_evaluation(&body, &channel.chaincodes)?;
    let caller = Caller::of(&parts.extensions)?;
    caller.check_call(&asked.call)?;
    let proposal = proposal(caller, gateway.backend.random_nonce(), asked);
    let (chaincodes, reader) = (Arc::clone(&channel.chaincodes), channel.reader.clone());
    let begun = match chaincodes.weight(&proposal.call) {
        Weight::Scan => {
            let asked = gateway.query(time, move |asking| {
                let mut proposal = proposal;
                proposal.meter = asking.meter();
                Ok(begin(&channel, proposal))
            });
            asked.await?
        }
        weight => {
            let work = move || Ok(begin(&channel, proposal));
            let brief = weight == Weight::Brief;
            gateway.pools.in_brief(&reader, brief, work).await?
        }
    };
    gateway.finish(&reader, begun, time).await?
}

/// The call to evaluate, as a proposal of its caller.
fn proposal(caller: &Caller, nonce: [u8; NONCE_BYTES], asked: RequestedCall) -> Proposal {
    Proposal {
        tx_id: tx_id(&nonce, caller.identity.serialized()),
        identity: Arc::clone(&caller.identity),
        reach: caller.reach(),
        nonce,
        call: asked.call,
        is_init: asked.is_init,
        decoration: None,
        meter: Meter::default(),
    }
}

/// Begins the call, which ends with its answer.
fn begin(channel: &Channel, proposal: Proposal) -> Invocation<Result<Response, Problem>> {
    let call = proposal.call.clone();
    let evaluated = channel.submitter.evaluate(proposal);
    let chaincodes = Arc::clone(&channel.chaincodes);
    evaluated.map(move |evaluated| {
        let evaluated =
            evaluated.map_err(|error| Problem::from(error).about_call(&chaincodes, &call))?;
        let response = reply::json(StatusCode::OK, &CallResult::of(&evaluated.result))?;
        Ok(reply::at_height(response, evaluated.height))
    })
}
