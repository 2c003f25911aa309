//! Finds out who asks, and whether they may, after a request has its id and before its handler.

pub(crate) mod caller;
pub(crate) mod credential;
pub(crate) mod local;
pub(crate) mod rights;

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::sleep;

use crate::backend::{AuthenticateError, Credential};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::request::body;
use crate::request::path;
use crate::server::client_info::{ClientCertificate, ClientInfo};
use crate::server::request_log::note_caller;
use caller::Caller;

/// How long a credential that has ended may go unnoticed while its caller waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Caller {
    /// Makes sure that the caller would still be let in: an open stream can outlive its credential.
    pub(crate) fn check_still(&self, gateway: &Gateway) -> Result<(), Problem> {
        if let Some(certificate) = &self.certificate {
            check_not_revoked(gateway, certificate)?;
        }
        match &self.token {
            Some(token) if !gateway.backend.still_holds(token) => {
                Err(Problem::unauthenticated("The token is not valid any more.").bad_token())
            }
            None if needs_credential(gateway) => Err(needs_token()),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns when the caller would no longer be let in, with the problem to tell it. This is for callers
    /// who wait: the end of a token wakes nobody, so this checks regularly.
    pub(crate) async fn ended(&self, gateway: &Gateway) -> Problem {
        loop {
            sleep(LOOK_AGAIN).await;
            if let Err(problem) = self.check_still(gateway) {
                return problem;
            }
        }
    }
}

/// Lets a request through to its handler, with its [`Caller`], or refuses it.
pub(crate) async fn enter(gateway: &Gateway, mut request: Request, next: Next) -> Response {
    let caller = match identify(gateway, &request) {
        Ok(Some(caller)) => caller,
        Ok(None) => return next.run(request).await,
        Err(problem) => return refuse(problem, request).await,
    };
    note_caller(request.extensions(), &caller);
    if let Err(problem) = admit(gateway, &caller, &request) {
        return refuse(problem, request).await;
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Answers without any action.
pub(crate) async fn refuse(problem: Problem, request: Request) -> Response {
    body::discard(request.into_body()).await;
    problem.into_response()
}

/// The caller of a request; `None` if callers need no credential.
fn identify(gateway: &Gateway, request: &Request) -> Result<Option<Caller>, Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    if rights::is_open(request.method(), route, gateway.door.opens_metrics()) {
        return Ok(None);
    }
    authenticate(gateway, request).map(Some)
}

/// Makes sure that a caller may make a request.
fn admit(gateway: &Gateway, caller: &Caller, request: &Request) -> Result<(), Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    let name = caller.token.as_ref().map(|token| &token.id);
    gateway.rate.admit(name)?;
    let needed = rights::needed(request.method(), route);
    if caller.role() < needed {
        let (has, needed) = (caller.role().name(), needed.name());
        return Err(forbidden(format!(
            "This needs the role {needed}; the token has {has}."
        )));
    }
    match route {
        Some(route) if route.starts_with(rights::OF_A_CHANNEL) => {
            // A name that cannot be read is no channel's name: the handler says what is wrong with it.
            if let Ok(channel) = path::channel_name(request.uri()) {
                caller.check_channel(&channel)?;
            }
        }
        // Everybody who may ask for anything may read how to ask.
        Some("/v1/channels" | "/docs" | "/openapi.json") | None => {}
        Some(_) if caller.is_limited() => {
            let detail =
                "The token is for some channels only, but this request is about the whole node.";
            return Err(forbidden(detail));
        }
        Some(_) => {}
    }
    Ok(())
}

fn authenticate(gateway: &Gateway, request: &Request) -> Result<Caller, Problem> {
    let backend = &gateway.backend;
    let client = request.extensions().get::<ClientInfo>();
    let certificate = client.and_then(|client| client.certificate.as_ref());
    let token = credential::token(request.headers())?;
    // A token is shown on purpose; a certificate may belong to the machine.
    let credential = match (&token, certificate) {
        (Some(token), _) => Credential::Token(token),
        (None, Some(shown)) => {
            check_not_revoked(gateway, shown)?;
            Credential::Certificate(&shown.common_name)
        }
        (None, None) if needs_credential(gateway) => {
            return Err(needs_token());
        }
        (None, None) => {
            return Ok(Caller {
                identity: backend.default_identity(),
                token: None,
                certificate: None,
            });
        }
    };
    let certificate = certificate.filter(|_| token.is_none()).cloned();
    let caller = backend.authenticate(credential).map(|caller| Caller {
        certificate,
        ..caller
    });
    caller.map_err(|error| match error {
        AuthenticateError::Not(error) => Problem::unauthenticated(error.to_string()).bad_token(),
        AuthenticateError::NoRights(name) => forbidden(format!(
            "The certificate is for {name}, for which no token was made."
        )),
        AuthenticateError::Failed(error) => Problem::internal(error),
    })
}

fn check_not_revoked(gateway: &Gateway, certificate: &ClientCertificate) -> Result<(), Problem> {
    if !gateway.backend.has_revoked(certificate) {
        return Ok(());
    }
    Err(Problem::unauthenticated("The client certificate was revoked.").bad_token())
}

fn needs_credential(gateway: &Gateway) -> bool {
    let is_required = gateway.backend.authentication_required() || gateway.door.is_remote();
    gateway.limits.local_only && is_required
}

fn needs_token() -> Problem {
    Problem::unauthenticated("This needs a token.")
}

fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Forbidden, detail)
}
