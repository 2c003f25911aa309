//! gRPC's standard health service (`grpc/health/v1/health.proto`).

use std::sync::Arc;

use futures_util::stream::unfold;
use tonic::Status;

use crate::call::{Answers, Caller};
use crate::services::Services;

/// Asks for the health of a service; an empty name means all.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct HealthCheckRequest {
    /// The service's name.
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

/// Whether a service takes calls.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct HealthCheckResponse {
    /// See [`SERVING`].
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
}

/// It takes calls.
const SERVING: i32 = 1;
/// It takes none: the node stops.
const NOT_SERVING: i32 = 2;
/// There is no such service.
const SERVICE_UNKNOWN: i32 = 3;

const SERVED: [&str; 6] = [
    "",
    "gateway.Gateway",
    "protos.Endorser",
    "protos.Deliver",
    "orderer.AtomicBroadcast",
    "discovery.Discovery",
];

/// `Check`.
pub(crate) async fn check(
    services: Arc<Services>,
    request: HealthCheckRequest,
    _: Caller,
) -> Result<HealthCheckResponse, Status> {
    let name = request.service;
    if !SERVED.contains(&name.as_str()) {
        return Err(Status::not_found(format!("there is no service {name}")));
    }
    let status = serving(*services.backend.stopping().borrow());
    Ok(HealthCheckResponse { status })
}

/// `Watch`: the health now, and again when it changes.
pub(crate) async fn watch(
    services: Arc<Services>,
    request: HealthCheckRequest,
) -> Result<Answers<HealthCheckResponse>, Status> {
    let is_known = SERVED.contains(&request.service.as_str());
    let stopping = services.backend.stopping();
    let answers = unfold((stopping, None), move |(mut stopping, told)| async move {
        let status = match told {
            None if is_known => serving(*stopping.borrow_and_update()),
            None => SERVICE_UNKNOWN,
            Some(SERVING) => {
                stopping.wait_for(|stopping| *stopping).await.ok()?;
                NOT_SERVING
            }
            // The node stops, and the stream with it; or nobody will ever serve this.
            Some(_) => return None,
        };
        Some((Ok(HealthCheckResponse { status }), (stopping, Some(status))))
    });
    Ok(Answers::new(answers))
}

fn serving(is_stopping: bool) -> i32 {
    if is_stopping { NOT_SERVING } else { SERVING }
}
