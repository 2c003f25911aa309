//! `/v1/channels/{channel}/chaincodes`: what a channel defines, and to deploy.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quire_chaincode::lifecycle::LifecycleError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::caller::Caller;
use crate::chaincodes::{
    DefinedChaincode, DeployChaincodeError, DeployedChaincode, Deployment, DeploymentSource,
};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::body::{self, Members};
use crate::request::path;
use crate::request::url_query::UrlQuery;

#[derive(Serialize, ToSchema)]
#[schema(as = Chaincodes)]
struct Rows {
    chaincodes: Vec<DefinedChaincode>,
}

/// A deployment, for its description.
#[derive(ToSchema)]
#[schema(as = Deployment)]
#[expect(dead_code, reason = "bodies are read member by member, see `Members`")]
struct DeploymentBody {
    /// The chaincode's name, which is the namespace that it governs.
    name: String,
    /// A package that is installed on the node. One of `packageId`, `package` and `address` is there.
    #[schema(nullable = false)]
    package_id: Option<String>,
    /// A package (.tar.gz) in base64, as `peer lifecycle chaincode package` makes it; it is installed.
    #[schema(nullable = false)]
    package: Option<String>,
    /// `HOST:PORT` where the chaincode waits to be dialled, in plain, if somebody else runs it.
    #[schema(nullable = false)]
    address: Option<String>,
    /// Any text; without it, the number of the definition.
    #[schema(nullable = false)]
    version: Option<String>,
    /// Who must endorse, such as `AND('Org1MSP.peer','Org2MSP.peer')`, or the path of one of the channel's policies.
    /// Without it, the policy of the definition in force; for a first one, the channel's default.
    #[schema(nullable = false)]
    policy: Option<String>,
    /// Whether the first call of this version must be an initialisation. Without it, as in the definition in force.
    #[schema(nullable = false)]
    init_required: Option<bool>,
}

/// `GET .../chaincodes`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/chaincodes",
    tag = "chaincodes",
    operation_id = "listChaincodes",
    summary = "The chaincodes that the channel defines",
    responses((status = 200, description = "In the order of their names.", body = Rows))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    UrlQuery::none(request.uri())?;
    let pools = Arc::clone(&gateway.pools);
    let listed = pools.work(move || {
        let chaincodes = gateway.backend.chaincodes(&channel)?;
        reply::json(StatusCode::OK, &Rows { chaincodes })
    });
    listed.await
}

/// `GET .../chaincodes/{name}`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/chaincodes/{chaincode}",
    tag = "chaincodes",
    operation_id = "getChaincode",
    summary = "A chaincode that the channel defines",
    responses((status = 200, description = "As its definition is committed.", body = DefinedChaincode))
)]
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    let name = path::item(request.uri())?;
    UrlQuery::none(request.uri())?;
    let pools = Arc::clone(&gateway.pools);
    let found = pools.work(move || {
        let mut chaincodes = gateway.backend.chaincodes(&channel)?.into_iter();
        let found = chaincodes.find(|one| one.name == name);
        let found = found.ok_or_else(|| {
            let detail = format!("Channel {} defines no chaincode {name:?}.", channel.name);
            Problem::new(ProblemKind::ChaincodeNotFound, detail)
        })?;
        reply::json(StatusCode::OK, &found)
    });
    found.await
}

/// `POST .../chaincodes`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/chaincodes",
    tag = "chaincodes",
    operation_id = "deployChaincode",
    summary = "Install, approve and commit a chaincode",
    request_body(
        content = DeploymentBody,
        content_type = "application/json",
        example = json!({"name": "orders", "packageId": "orders_1:5241f22a9b9d99f1"})
    ),
    responses(
        (status = 200, description = "All was so before.", body = DeployedChaincode),
        (status = 201, description = "The definition is in force now.", body = DeployedChaincode),
        (
            status = 202,
            description = "This organisation approves; `approvals` says who has yet to, and one of them commits.",
            body = DeployedChaincode
        )
    )
)]
pub(crate) async fn deploy(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let channel = path::channel(&gateway, &parts.uri)?;
    let body = body::read(&parts, body, body::JSON, &gateway).await?;
    let wanted = deployment(Members::parse(&body)?)?;
    if !matches!(wanted.source, DeploymentSource::Installed(_)) {
        Caller::of(&parts.extensions)?.check_installs()?;
    }
    let pools = Arc::clone(&gateway.pools);
    let deployed = pools.change(move || {
        let name = wanted.name.clone();
        let deployed = gateway.backend.deploy(&channel, wanted)?;
        let status = match &deployed {
            DeployedChaincode {
                was_there: true, ..
            } => StatusCode::OK,
            DeployedChaincode {
                is_committed: true, ..
            } => StatusCode::CREATED,
            _ => StatusCode::ACCEPTED,
        };
        let mut response = reply::json(status, &deployed)?;
        let location = reply::chaincode_location(&channel.name, &name);
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    });
    deployed.await
}

fn deployment(mut members: Members<'_>) -> Result<Deployment, Problem> {
    let name = members.take_as::<String>("name")?;
    let package_id = members.take_as::<String>("packageId")?;
    let package = members.take_as::<String>("package")?;
    let address = members.take_as::<String>("address")?;
    let version = members.take_as::<String>("version")?;
    let policy = members.take_as::<String>("policy")?;
    let init_required = members.take_as::<bool>("initRequired")?;
    members.finish(&[
        "name",
        "packageId",
        "package",
        "address",
        "version",
        "policy",
        "initRequired",
    ])?;
    let source = match (package_id, package, address) {
        (Some(package_id), None, None) => DeploymentSource::Installed(package_id),
        (None, Some(package), None) => {
            let bytes = BASE64.decode(package);
            let refused = |_| Problem::invalid_argument("package is not base64.");
            DeploymentSource::Package(bytes.map_err(refused)?.into())
        }
        (None, None, Some(address)) => DeploymentSource::Service(address),
        _ => {
            let detail = "One of packageId, package and address must be there.";
            return Err(Problem::invalid_argument(detail));
        }
    };
    Ok(Deployment {
        name: name.ok_or_else(|| Problem::invalid_argument("The member name is missing."))?,
        source,
        version,
        policy,
        init_required,
    })
}

impl From<LifecycleError> for Problem {
    fn from(error: LifecycleError) -> Self {
        match error {
            LifecycleError::Read(error) => error.into(),
            error => Self::internal(quire_ledger::chain_of(&error)),
        }
    }
}

impl From<DeployChaincodeError> for Problem {
    fn from(error: DeployChaincodeError) -> Self {
        let detail = format!("{error}.");
        match error {
            DeployChaincodeError::Invalid(_) => Self::invalid_argument(detail),
            DeployChaincodeError::NotInstalled(_) => {
                Self::new(ProblemKind::ChaincodeNotFound, detail)
            }
            DeployChaincodeError::NoHost => Self::new(ProblemKind::ChaincodeUnavailable, detail),
            DeployChaincodeError::Refused(error) => error.into(),
            DeployChaincodeError::NotOrdered(error) => error.into(),
            DeployChaincodeError::NotValid { block, code, .. } => {
                Self::new(ProblemKind::Invalid(code), detail).with_block(block)
            }
            DeployChaincodeError::Unknown(_) => Self::new(ProblemKind::CommitTimeout, detail),
            DeployChaincodeError::Failed(source) => {
                Self::internal(quire_ledger::chain_of(&*source))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_names_one_source() {
        let read = |body: &str| deployment(Members::parse(body.as_bytes()).unwrap());
        let read = |body: &str| read(body).map_err(|problem| problem.kind());
        let installed = read(r#"{"name":"a","packageId":"a:1","initRequired":true}"#).unwrap();
        assert_eq!(installed.init_required, Some(true));
        assert!(matches!(installed.source, DeploymentSource::Installed(id) if id == "a:1"));
        let given = read(r#"{"name":"a","package":"AP8=","version":"2"}"#).unwrap();
        assert_eq!(given.version.as_deref(), Some("2"));
        assert!(matches!(given.source, DeploymentSource::Package(bytes) if *bytes == [0, 255]));
        let service = read(r#"{"name":"a","address":"h:1","policy":"/Channel/p"}"#).unwrap();
        assert!(matches!(service.source, DeploymentSource::Service(address) if address == "h:1"));
        for body in [
            r#"{"name":"a"}"#,
            r#"{"packageId":"a:1"}"#,
            r#"{"name":"a","packageId":"a:1","address":"h:1"}"#,
            r#"{"name":"a","package":"?"}"#,
            r#"{"name":"a","packageId":"a:1","sequence":1}"#,
        ] {
            assert_eq!(
                read(body).unwrap_err(),
                ProblemKind::InvalidArgument,
                "{body}"
            );
        }
    }
}
