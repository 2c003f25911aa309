//! Fabric CA's REST API, as its clients use it.
//!
//! ```text
//! GET, POST          /api/v1/cainfo
//! POST               /api/v1/enroll            name and secret by Basic
//! POST               /api/v1/reenroll          everything from here on: a token, see [`crate::token`]
//! POST               /api/v1/register, /revoke, /gencrl
//! GET, POST          /api/v1/identities        GET, PUT, DELETE   /api/v1/identities/{id}
//! GET, POST          /api/v1/affiliations      GET, PUT, DELETE   /api/v1/affiliations/{affiliation}
//! GET                /api/v1/certificates
//! POST               /api/v1/idemix/...        not supported
//! ```
//!
//! Each path is there without `/api/v1` too, for clients of old. A verb is a plain function from a request
//! to an answer; it may take its time, and runs among the `workers`.

mod affiliations;
mod body;
mod certificates;
mod enroll;
mod envelope;
mod identities;
mod info;
mod query;
mod request;
mod revocation;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::any;

use crate::authority::Authority;
use crate::error::{Code, Refusal};
use envelope::{Answer, render};
use request::Asked;
use workers::Workers;

/// What answers a request.
type Verb = fn(&Authority, &Asked) -> Result<Answer, Refusal>;

/// A path with what each method of it does.
type Resource = (&'static str, &'static [(Method, Verb)]);

const PREFIX: &str = "/api/v1";

const RESOURCES: [Resource; 13] = [
    (
        "/cainfo",
        &[(Method::GET, info::tell), (Method::POST, info::tell)],
    ),
    ("/enroll", &[(Method::POST, enroll::enroll)]),
    ("/reenroll", &[(Method::POST, enroll::reenroll)]),
    ("/register", &[(Method::POST, identities::register)]),
    ("/revoke", &[(Method::POST, revocation::revoke)]),
    ("/gencrl", &[(Method::POST, revocation::generate)]),
    (
        "/identities",
        &[
            (Method::GET, identities::list),
            (Method::POST, identities::add),
        ],
    ),
    (
        "/identities/{id}",
        &[
            (Method::GET, identities::tell),
            (Method::PUT, identities::modify),
            (Method::DELETE, identities::remove),
        ],
    ),
    (
        "/affiliations",
        &[
            (Method::GET, affiliations::list),
            (Method::POST, affiliations::add),
        ],
    ),
    (
        "/affiliations/{affiliation}",
        &[
            (Method::GET, affiliations::tell),
            (Method::PUT, affiliations::rename),
            (Method::DELETE, affiliations::remove),
        ],
    ),
    ("/certificates", &[(Method::GET, certificates::list)]),
    ("/idemix/credential", &[(Method::POST, info::no_idemix)]),
    ("/idemix/cri", &[(Method::POST, info::no_idemix)]),
];

/// What is not signed.
const OPEN: [&str; 2] = ["/cainfo", "/enroll"];

#[derive(Clone)]
struct Served {
    authority: Arc<Authority>,
    /// For what is signed.
    signed: Arc<Workers>,
    /// For what anybody may ask.
    open: Arc<Workers>,
}

/// The routes of a CA.
pub fn router(authority: Arc<Authority>) -> Router {
    let served = Served {
        authority,
        signed: Arc::new(Workers::new()),
        open: Arc::new(Workers::new()),
    };
    let mut router = Router::new();
    for (path, methods) in RESOURCES {
        for prefix in [PREFIX, ""] {
            let handler = move |State(served): State<Served>, request: Request| {
                let workers = if OPEN.contains(&path) {
                    served.open
                } else {
                    served.signed
                };
                serve(served.authority, workers, methods, request)
            };
            router = router.route(&format!("{prefix}{path}"), any(handler));
        }
    }
    router.fallback(nothing).with_state(served)
}

async fn serve(
    authority: Arc<Authority>,
    workers: Arc<Workers>,
    methods: &'static [(Method, Verb)],
    request: Request,
) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answered = answer(authority, &workers, methods, request).await;
    match &answered {
        Ok(_) => tracing::debug!(%method, path = uri.path(), "the CA answered"),
        Err(refusal) => {
            let (status, code) = (refusal.status, refusal.code as u16);
            tracing::info!(%method, path = uri.path(), status, code, %refusal, "the CA refused");
        }
    }
    render(answered)
}

async fn answer(
    authority: Arc<Authority>,
    workers: &Workers,
    methods: &'static [(Method, Verb)],
    request: Request,
) -> Result<Answer, Refusal> {
    let known = methods
        .iter()
        .find(|(method, _)| method == request.method());
    let (_, verb) = known.ok_or_else(|| {
        let detail = format!("Method {} is not allowed", request.method());
        Refusal::new(405, Code::MethodNotAllowed, detail)
    })?;
    let _room = workers.room()?;
    let asked = Asked::read(request).await?;
    workers.run(move || verb(&authority, &asked)).await?
}

async fn nothing(request: Request) -> Response {
    let detail = format!("There is no {}", request.uri().path());
    render(Err(Refusal::new(404, Code::Unknown, detail)))
}
