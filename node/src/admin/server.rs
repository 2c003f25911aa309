//! The node's side of the socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_core::Stream;
use quire_chaincode::name::check_channel;
use quire_gateway::backend::Backend as _;
use quire_identity::MovedIdentities;
use quire_ledger::check::CheckError;
use quire_ledger::{OpenError, Progress};
use quire_peer::config::InState;
use quire_peer::join::MAX_BLOCK_BYTES;
use quire_wire::Message as _;
use quire_wire::config::ConfigUpdateEnvelope;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::{
    BackUp, Check, CreateChannel, Failure, Import, ImportIdentity, Join, Message, Migrate,
    OfChannel, SOCKET, Update, address,
};
use crate::advice;
use crate::invitations::Invite;
use crate::node::{ConfigurationError, DeployError, ImportError, JoinError, Node, Wanted};
use crate::{clock, migrations, tokens};

/// Lines that may wait for a command that reads slowly; then it is not told how far the work is, which goes on.
const LINES: usize = 64;

/// Most bytes of a request: a block that is joined, in base64.
const MAX_REQUEST_BYTES: usize = 2 * MAX_BLOCK_BYTES;

/// The socket, which is removed again when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Socket {
    /// Listens in a data directory whose lock is held: a socket that is there already is a dead
    /// one's. Nobody else can connect at any moment.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        // Made in a directory that only the owner may enter, and moved when it has its mode.
        let private = data.join(".admin");
        if private.exists() {
            std::fs::remove_dir_all(&private)?;
        }
        std::fs::create_dir(&private)?;
        std::fs::set_permissions(&private, PermissionsExt::from_mode(0o700))?;
        let made = private.join(SOCKET);
        let (short, _open) = address(&private, SOCKET)?;
        let listener = UnixListener::bind(short)?;
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o600))?;
        let path = data.join(SOCKET);
        #[expect(
            clippy::disallowed_methods,
            reason = "a socket holds no data to be synced"
        )]
        std::fs::rename(made, &path)?;
        std::fs::remove_dir(private)?;
        Ok(Self {
            listener: Some(listener),
            path,
        })
    }

    /// Answers commands until the task is aborted.
    pub(crate) async fn serve(mut self, node: Arc<Node>) -> io::Result<()> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let router = Router::new()
            .route("/channels", get(list).post(create))
            .route("/channels/import", post(import))
            .route("/channels/join", post(join))
            .route("/identities/import", post(import_identity))
            .route("/identities/take", post(take_identities))
            .route("/invitations", post(invite))
            .route("/heights", get(heights))
            .route("/migrate", post(migrate))
            .route("/check", post(check))
            .route("/backup", post(back_up))
            .route("/config", post(configuration))
            .route("/config/sign", post(sign_update))
            .route("/config/submit", post(submit_update))
            .route("/chaincodes", post(chaincodes))
            .route("/chaincodes/deploy", post(deploy))
            .route("/tokens", post(create_token))
            .route("/tokens/rotate", post(rotate_token))
            .route("/tokens/revoke", post(revoke_token))
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(node);
        axum::serve(listener, router).await
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "admin.sock");
        }
    }
}

async fn list(State(node): State<Arc<Node>>) -> Response {
    answer(move |_| match node.list() {
        Ok(records) => Message::Channels(records),
        Err(error) => failed(&error, Some(&error)),
    })
}

async fn heights(State(node): State<Arc<Node>>) -> Response {
    answer(move |_| Message::Heights(node.heights()))
}

async fn migrate(State(node): State<Arc<Node>>, Json(request): Json<Migrate>) -> Response {
    answer(move |_| {
        let migrations = match migrations::read(&request.migrations) {
            Ok(migrations) => migrations,
            Err(error) => return Message::Failed(Failure::new(&error, error.advice())),
        };
        match node.migrate(&migrations) {
            Ok(migrated) => Message::Migrated(migrated),
            Err(error) => failed(&error, error.open()),
        }
    })
}

async fn chaincodes(State(node): State<Arc<Node>>, Json(request): Json<OfChannel>) -> Response {
    answer(move |_| {
        let Some(channel) = node.channel(&request.channel) else {
            return failed(&DeployError::NoChannel(request.channel), None);
        };
        match node.defined(&channel) {
            Ok(defined) => Message::Chaincodes(defined),
            Err(error) => failed(&error, None),
        }
    })
}

async fn deploy(State(node): State<Arc<Node>>, Json(wanted): Json<Wanted>) -> Response {
    answer(move |_| match node.deploy(&wanted) {
        Ok(deployed) => Message::Deployed(deployed),
        Err(error) => failed(&error, None),
    })
}

async fn create(State(node): State<Arc<Node>>, Json(request): Json<CreateChannel>) -> Response {
    answer(move |_| {
        let name = request.name;
        if let Err(error) = check_channel(&name) {
            return failed(&error, None);
        }
        match node.create(&name) {
            Ok(()) => Message::Created { name },
            Err(error) => failed(&error, error.open()),
        }
    })
}

async fn import(State(node): State<Arc<Node>>, Json(request): Json<Import>) -> Response {
    answer(move |progress| {
        let Import {
            blockfiles,
            channel,
            writable,
        } = request;
        if let Err(error) = check_channel(&channel) {
            return failed(&error, None);
        }
        match node.import(&channel, &blockfiles, writable, progress) {
            Ok(imported) => Message::Imported(imported),
            Err(ImportError::Import(quire_ledger::ImportError::Damaged(report))) => {
                Message::Damaged(report)
            }
            Err(ImportError::Import(error)) => failed(&error, None),
            Err(error @ ImportError::Start(_)) => failed(&error, None),
        }
    })
}

async fn join(State(node): State<Arc<Node>>, Json(request): Json<Join>) -> Response {
    answer(move |_| {
        let block = match STANDARD.decode(&request.block) {
            Ok(block) => block,
            Err(error) => return failed(&error, None),
        };
        match node.join(block.into()) {
            Ok(joined) => Message::Joined(joined),
            Err(error) => {
                let open = if let JoinError::Node(error) = &error {
                    error.open()
                } else {
                    None
                };
                failed(&error, open)
            }
        }
    })
}

async fn import_identity(
    State(node): State<Arc<Node>>,
    Json(request): Json<ImportIdentity>,
) -> Response {
    answer(move |_| {
        let ImportIdentity { name, folder } = request;
        let organization = node.organization();
        match organization.import_identity(&name, &folder, clock::now()) {
            Ok(imported) => Message::IdentityImported {
                name,
                role: imported.role().to_string(),
            },
            Err(error) => failed(&error, None),
        }
    })
}

async fn take_identities(
    State(node): State<Arc<Node>>,
    Json(moved): Json<MovedIdentities>,
) -> Response {
    answer(move |_| match node.organization().take_identities(&moved) {
        Ok(arrived) => Message::IdentitiesArrived(arrived),
        Err(error) => failed(&error, None),
    })
}

async fn invite(State(node): State<Arc<Node>>, Json(request): Json<Invite>) -> Response {
    answer(move |_| match node.invite(request) {
        Ok(invited) => Message::Invited(invited),
        Err(error) => failed(&error, None),
    })
}

async fn check(State(node): State<Arc<Node>>, Json(request): Json<Check>) -> Response {
    answer(
        move |progress| match node.check(request.channel.as_deref(), request.depth, progress) {
            Ok(reports) => Message::Reports(reports),
            Err(error) => {
                let open = if let CheckError::Open(open) = &error {
                    Some(open)
                } else {
                    None
                };
                failed(&error, open)
            }
        },
    )
}

async fn back_up(State(node): State<Arc<Node>>, Json(request): Json<BackUp>) -> Response {
    answer(move |progress| {
        let BackUp { target, identities } = request;
        match node.back_up(&target, identities, clock::now(), progress) {
            Ok(made) => Message::BackedUp(made),
            Err(error) => Message::Failed(Failure::new(&error, error.advice())),
        }
    })
}

async fn configuration(State(node): State<Arc<Node>>, Json(request): Json<OfChannel>) -> Response {
    answer(move |_| in_force(node.configuration(&request.channel)))
}

async fn sign_update(State(node): State<Arc<Node>>, Json(request): Json<Update>) -> Response {
    answer(move |_| {
        let mut update = match decoded(&request.update) {
            Ok(update) => update,
            Err(failed) => return failed,
        };
        match node.sign_update(&mut update) {
            Ok(()) => Message::SignedUpdate {
                update: STANDARD.encode(update.encode_to_vec()),
            },
            Err(error) => failed(&error, None),
        }
    })
}

async fn submit_update(State(node): State<Arc<Node>>, Json(request): Json<Update>) -> Response {
    answer(move |_| match decoded(&request.update) {
        Ok(update) => in_force(node.submit_update(&request.channel, &update)),
        Err(failed) => failed,
    })
}

fn in_force(configuration: Result<InState, ConfigurationError>) -> Message {
    match configuration {
        Ok(InState { number, config }) => Message::Config {
            block: number,
            config: STANDARD.encode(config.encode_to_vec()),
        },
        Err(error) => failed(&error, None),
    }
}

fn decoded(update: &str) -> Result<ConfigUpdateEnvelope, Message> {
    let bytes = STANDARD.decode(update);
    let bytes = bytes.map_err(|error| failed(&error, None))?;
    ConfigUpdateEnvelope::decode(&bytes[..]).map_err(|error| failed(&error, None))
}

async fn create_token(
    State(node): State<Arc<Node>>,
    Json(request): Json<tokens::CreateToken>,
) -> Response {
    answer(move |_| {
        let made = tokens::create(node.organization(), node.tokens(), request, clock::now());
        made.map_or_else(|error| failed(&error, None), Message::Token)
    })
}

async fn rotate_token(
    State(node): State<Arc<Node>>,
    Json(request): Json<tokens::Rotate>,
) -> Response {
    answer(move |_| {
        let made = tokens::rotate(node.tokens(), &request, clock::now());
        made.map_or_else(|error| failed(&error, None), Message::Token)
    })
}

async fn revoke_token(
    State(node): State<Arc<Node>>,
    Json(request): Json<tokens::Revoke>,
) -> Response {
    answer(move |_| {
        let row = tokens::revoke(node.tokens(), &request, clock::now());
        row.map_or_else(|error| failed(&error, None), Message::TokenRevoked)
    })
}

fn failed(error: &(dyn std::error::Error + 'static), open: Option<&OpenError>) -> Message {
    Message::Failed(Failure::new(error, open.and_then(advice::of_open)))
}

/// Does work on a thread of its own, and answers with how far it is, and with what came of it.
fn answer(work: impl FnOnce(&mut dyn FnMut(Progress<'_>)) -> Message + Send + 'static) -> Response {
    let (sender, lines) = mpsc::channel(LINES);
    tokio::task::spawn_blocking(move || {
        let line = |message: &Message| {
            let mut line = serde_json::to_vec(message).unwrap_or_default();
            line.push(b'\n');
            Bytes::from(line)
        };
        let last = work(&mut |progress| {
            let progress = Message::Progress {
                stage: progress.stage.to_owned(),
                subject: progress.subject.to_owned(),
                done: progress.done,
                total: progress.total,
            };
            // A command that is suspended keeps no work waiting.
            drop(sender.try_send(line(&progress)));
        });
        // Nobody reads any more: the work is done all the same.
        drop(sender.blocking_send(line(&last)));
    });
    let mut response = Response::new(Body::from_stream(Lines(lines)));
    let kind = header::HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The lines of an answer as they come.
struct Lines(mpsc::Receiver<Bytes>);

impl Stream for Lines {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|line| line.map(Ok))
    }
}
