//! `/v1/join`: another node of the organisation, by its invitation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;

use crate::access::credential;
use crate::gateway::Gateway;
use crate::joining::{AdmitNodeError, GrantedAdmission, WantedAdmission};
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::body::{self, Members};
use crate::request::url_query::UrlQuery;

/// Most channels that one request names.
const MAX_CHANNELS: usize = 1000;

/// The body, for its description.
#[derive(ToSchema)]
#[schema(as = WantedAdmission)]
#[expect(dead_code, reason = "bodies are read member by member, see `Members`")]
struct WantedBody {
    /// A signing request (PKCS#10, PEM) for each of `node`, `orderer` and `client`. Without it, only channels are
    /// answered.
    #[schema(nullable = false)]
    requests: Option<BTreeMap<String, String>>,
    /// The channels whose block 0 is wanted. Without it, all that the invitation is for.
    #[schema(nullable = false)]
    channels: Option<Vec<String>>,
}

/// `POST /v1/join`.
#[utoipa::path(
    post,
    path = "/v1/join",
    tag = "operations",
    operation_id = "join",
    summary = "Become a node of the organisation",
    description = "For `quire join`. The token is one of `quire org invite`. Its first use decides what it is good for: with \
        signing requests, those are answered with the same certificates again and others are not; without, it gives no \
        certificates. The first blocks of channels are answered to whoever has it until its time is over.",
    request_body(content = WantedBody, content_type = "application/json", example = json!({"channels": ["main"]})),
    responses((
        status = 200,
        description = "Certificates for its keys, what others know the organisation by, and the first block of each channel.",
        body = GrantedAdmission
    ))
)]
pub(crate) async fn join(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let token = credential::token(&parts.headers)?.map(Cow::into_owned);
    let Some(token) = token else {
        let detail = "This needs the token of an invitation: `quire org invite`.";
        return Err(Problem::unauthenticated(detail));
    };
    // Nobody is let send a body who was not invited.
    let invited = gateway.backend.is_invited(&token);
    if !invited {
        return Err(AdmitNodeError::NotInvited.into());
    }
    // An answer may be large. Whoever was not invited uses nothing up of what those have who were.
    gateway.rate.admit(None)?;
    let body = body::read(&parts, body, body::JSON, &gateway).await?;
    let wanted = wanted(Members::parse(&body)?)?;
    let pools = Arc::clone(&gateway.pools);
    let admitted = pools.change(move || {
        let admitted = gateway.backend.admit(&token, &wanted)?;
        reply::json(StatusCode::OK, &admitted)
    });
    admitted.await
}

fn wanted(mut members: Members<'_>) -> Result<WantedAdmission, Problem> {
    let requests = members.take_as::<BTreeMap<String, String>>("requests")?;
    let channels = members.take_as::<Vec<String>>("channels")?;
    members.finish(&["requests", "channels"])?;
    let channels = channels.unwrap_or_default();
    if channels.len() > MAX_CHANNELS {
        let detail = format!("At most {MAX_CHANNELS} channels are named at a time.");
        return Err(Problem::invalid_argument(detail));
    }
    Ok(WantedAdmission {
        requests: requests.unwrap_or_default(),
        channels,
    })
}

impl From<AdmitNodeError> for Problem {
    fn from(error: AdmitNodeError) -> Self {
        let detail = format!("{error}.");
        match error {
            AdmitNodeError::NotInvited => Self::unauthenticated(detail).bad_token(),
            AdmitNodeError::Used => Self::new(ProblemKind::InvitationUsed, detail),
            AdmitNodeError::NotForChannel(_) => Self::new(ProblemKind::Forbidden, detail),
            AdmitNodeError::NoChannel(_) => Self::new(ProblemKind::ChannelNotFound, detail),
            AdmitNodeError::Invalid(_) => Self::invalid_argument(detail),
            AdmitNodeError::NotHere(_) => Self::new(ProblemKind::CannotJoin, detail),
            AdmitNodeError::TooLarge(_) => Self::new(ProblemKind::TooLarge, detail),
            AdmitNodeError::Failed(source) => Self::internal(quire_ledger::chain_of(&*source)),
        }
    }
}
