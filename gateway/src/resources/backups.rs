//! `/v1/backups`: those that the node makes by itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::access::caller::Caller;
use crate::backups::Backups;
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::url_query::UrlQuery;

/// `GET /v1/backups`.
#[utoipa::path(
    get,
    path = "/v1/backups",
    tag = "operations",
    operation_id = "listBackups",
    summary = "The backups that the node makes by itself",
    responses(
        (status = 200, description = "Those that there are, and how the next one is.", body = Backups),
        (status = 404, description = "It makes none: `--backup-to` names where they go.")
    )
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    UrlQuery::none(request.uri())?;
    Caller::of(request.extensions())?.check_all_channels()?;
    let pools = Arc::clone(&gateway.pools);
    pools.change(move || answer(&gateway, StatusCode::OK)).await
}

/// `POST /v1/backups`.
#[utoipa::path(
    post,
    path = "/v1/backups",
    tag = "operations",
    operation_id = "makeBackup",
    summary = "Make a backup",
    responses(
        (
            status = 202,
            description = "One begins, when one that is under way has ended. `GET` says how far it is.",
            body = Backups
        ),
        (status = 404, description = "The node makes none: `--backup-to` names where they go.")
    )
)]
pub(crate) async fn make(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    UrlQuery::none(request.uri())?;
    Caller::of(request.extensions())?.check_all_channels()?;
    let pools = Arc::clone(&gateway.pools);
    let begun = pools.change(move || {
        if !gateway.backend.want_backup() {
            return Err(none());
        }
        answer(&gateway, StatusCode::ACCEPTED)
    });
    begun.await
}

fn answer(gateway: &Gateway, status: StatusCode) -> Result<Response, Problem> {
    let backups: Option<Backups> = gateway.backend.backups().map_err(Problem::internal)?;
    reply::json(status, &backups.ok_or_else(none)?)
}

fn none() -> Problem {
    let detail = "The node makes no backups by itself: it was started without --backup-to.";
    Problem::new(ProblemKind::RouteNotFound, detail)
}
