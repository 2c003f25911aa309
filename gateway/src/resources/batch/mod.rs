//! `POST /v1/channels/{channel}/transactions:batch`: each line is a transaction, and each answer is a line.
//!
//! ```text
//! read     takes lines off the connection, as long as there is room for more in flight
//! order    a line waits for those before it that touch one of its keys
//! carry    each line on its own, like a request of its own
//! tell     answers, in the order of the lines, when the client reads them
//! ```
//!
//! Reading never waits for answering: a client may send everything before it reads. Only outcomes wait, which
//! are small; the answer is made from the blocks when it is read. So memory is bounded by [`MAX_LINES`]
//! outcomes and [`IN_FLIGHT`].

mod lines;
mod order;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use quire_peer::Channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::memory::{Kind, Share};
use crate::metrics::gauge_guard::GaugeGuard;
use crate::metrics::traffic::Bound;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::accept::admit;
use crate::request::body::{JSON, Members, NDJSON, WORK, check_type};
use crate::request::call::{self, RequestedCall};
use crate::request::parameters::Waiting;
use crate::request::path;
use crate::request::prefer::Prefer;
use crate::request::url_query::UrlQuery;
use crate::schema::{BatchAnswer, BatchLine};
use crate::server::request_id::RequestId;
use crate::write::answer::{RequestForm, Teller};
use crate::write::attempts::Write;
use crate::write::idempotency::{self, IdempotencyKey, MAX_ATTEMPTS, Recorded};
use crate::write::outcome::Told;
use crate::write::patience::carry_out;
use lines::Lines;
use order::{LineOrder, LineTurn};
use telling::{Promise, Telling};

/// Most lines of a batch.
const MAX_LINES: usize = 10_000;

/// Lines in flight at one time, and their bytes.
const IN_FLIGHT: (usize, u32) = (256, 16 << 20);

/// Lines in flight if state is on another server: while one commit waits for it, the same number of lines is
/// simulated and signed.
const IN_FLIGHT_REMOTE: usize = 512;

/// When to try again if there are too many batches.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// `POST .../transactions:batch`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/transactions:batch",
    tag = "transactions",
    operation_id = "submitBatch",
    summary = "Submit many transactions",
    params(Waiting),
    request_body(
        content = BatchLine,
        content_type = "application/x-ndjson",
        description = "Each line is a transaction; at most 10,000 lines.",
        example = "{\"chaincode\":\"orders\",\"function\":\"put\",\"args\":[\"1\",1],\"idempotencyKey\":\"batch-1\"}\n"
    ),
    responses((
        status = 200,
        description = "One answer line for each line, in order.",
        content_type = "application/x-ndjson",
        body = BatchAnswer
    ))
)]
pub(crate) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let request_id = RequestId::of(&request);
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let channel = path::channel(&gateway, &parts.uri)?;
    admit(&parts.headers, NDJSON)?;
    check_type(&parts.headers, NDJSON)?;
    if IdempotencyKey::of(&parts.headers)?.is_some() {
        return Err(Problem::invalid_argument(
            "A batch has no Idempotency-Key; each line has its own idempotencyKey.",
        ));
    }
    // The path of the equivalent single request, which the digests of the lines cover.
    let path = path::decoded(&parts.uri)?;
    let path = path.trim_end_matches(":batch").to_owned();
    let place = Arc::clone(&gateway.batches).try_acquire_owned();
    let place = place.map_err(|_| {
        gateway.metrics.traffic.shed(Bound::Batches);
        Problem::overloaded(RETRY_AFTER)
    })?;
    let metrics = Arc::clone(&gateway.metrics);
    let pools = Arc::clone(&gateway.pools);
    let (answers, told) = mpsc::unbounded_channel();
    let in_flight = if channel.reader.is_remote() {
        IN_FLIGHT_REMOTE
    } else {
        IN_FLIGHT.0
    };
    let batch = BatchRequest {
        prefer: Prefer::parse(&parts.headers, &gateway.limits)?,
        caller: Caller::of(&parts.extensions)?.clone(),
        gateway,
        channel,
        path,
        lines: 0,
        answers,
        carried: JoinSet::new(),
        places: Arc::new(Semaphore::new(in_flight)),
        bytes: Arc::new(Semaphore::new(IN_FLIGHT.1 as usize)),
        order: LineOrder::default(),
        _in_flight: GaugeGuard::new(&metrics.traffic.batches),
        _place: place,
    };
    let share = batch.gateway.memory.share(Kind::Batches);
    tokio::spawn(batch.run(Lines::new(body, share)));
    let telling = Telling {
        told,
        request_id,
        pools,
        metrics,
    };
    let body = Body::from_stream(unfold(telling, Telling::next));
    Ok(reply::of_type(NDJSON, body, StatusCode::OK))
}

/// A batch that is being read and carried out. It ends with its client: a line that is not ordered by then is
/// never ordered, unless it has a key.
struct BatchRequest {
    gateway: Arc<Gateway>,
    channel: Channel,
    caller: Caller,
    prefer: Prefer,
    path: String,
    lines: usize,
    /// Bounded by [`MAX_LINES`].
    answers: mpsc::UnboundedSender<Promise>,
    carried: JoinSet<()>,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    order: LineOrder,
    _in_flight: GaugeGuard,
    _place: OwnedSemaphorePermit,
}

impl BatchRequest {
    async fn run(mut self, mut lines: Lines) {
        let gone = self.answers.clone();
        tokio::select! {
            () = self.read(&mut lines) => while self.carried.join_next().await.is_some() {},
            () = gone.closed() => {}
        }
    }

    async fn read(&mut self, lines: &mut Lines) {
        loop {
            let next = tokio::select! {
                next = lines.next(&self.gateway) => next,
                () = self.gateway.out_of_grace() => Err(Problem::not_ready()),
                problem = self.caller.ended(&self.gateway) => Err(problem),
            };
            let line = match next {
                Ok(Some(line)) => line,
                Ok(None) => return,
                // The end of the line is not known, so nothing can be read after it.
                Err(problem) => {
                    self.lines += 1;
                    return self.refuse(problem);
                }
            };
            self.lines += 1;
            if self.lines > MAX_LINES {
                let detail = format!("A batch has at most {MAX_LINES} lines.");
                return self.refuse(Problem::new(ProblemKind::TooLarge, detail));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            // A caller whose token ended is not served any more.
            if let Err(problem) = self.caller.check_still(&self.gateway) {
                return self.refuse(problem);
            }
            match self.write_of(line) {
                Ok((write, size_bytes)) => match self.room(size_bytes) {
                    Ok(share) => self.start(write, size_bytes, share).await,
                    Err(problem) => self.refuse(problem),
                },
                Err(problem) => self.refuse(problem),
            }
        }
    }

    fn refuse(&self, problem: Problem) {
        let (sender, promise) = oneshot::channel();
        // If nobody waits for this, nothing is lost.
        drop(sender.send(Err(problem)));
        drop(self.answers.send((self.lines, promise)));
    }

    /// Takes a line apart.
    fn write_of(&self, line: Bytes) -> Result<(Write, usize), Problem> {
        let size_bytes = line.len();
        let mut body = line;
        let key = take_member::<String>(&mut body, "idempotencyKey")?;
        let attempts = take_member::<u32>(&mut body, "maxAttempts")?;
        if attempts.is_some_and(|attempts| !(1..=MAX_ATTEMPTS).contains(&attempts)) {
            return Err(Problem::invalid_argument(
                "maxAttempts is not a number from 1 to 10.",
            ));
        }
        let key = key.map(|key| IdempotencyKey::parse(&key)).transpose()?;
        let RequestedCall { call, is_init } =
            call::of_transaction(&body, &self.channel.chaincodes)?;
        self.caller.check_call(&call)?;
        let write = Write {
            channel: self.channel.clone(),
            identity: Arc::clone(&self.caller.identity),
            reach: self.caller.reach(),
            call,
            is_init,
            attempts,
            key: key.map(|key| (key, self.request_of(body))),
        };
        Ok((write, size_bytes))
    }

    /// The equivalent single request.
    fn request_of(&self, body: Bytes) -> Recorded {
        Recorded::new(idempotency::Request {
            method: Method::POST,
            path: self.path.clone(),
            query: String::new(),
            content_type: JSON.to_owned(),
            if_match: Vec::new(),
            if_none_match: Vec::new(),
            body,
        })
    }

    /// What a line holds of the budget until it is carried out.
    fn room(&self, size_bytes: usize) -> Result<Share, Problem> {
        let share = self.gateway.memory.take(Kind::Batches, size_bytes * WORK);
        share.map_err(|full| self.gateway.full(full))
    }

    /// Carries a line out when there is room for it and the lines before it are done.
    async fn start(&mut self, write: Write, size_bytes: usize, share: Share) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return;
        };
        let weight = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(weight.min(IN_FLIGHT.1));
        let Ok(bytes) = bytes.await else {
            return;
        };
        while self.carried.try_join_next().is_some() {}
        let (sender, promise) = oneshot::channel();
        // An error means that the client is gone, which ends the batch elsewhere.
        drop(self.answers.send((self.lines, promise)));
        let turn = self.order.turn(&write);
        let (gateway, prefer) = (Arc::clone(&self.gateway), self.prefer);
        let caller = self.caller.clone();
        self.carried.spawn(async move {
            let outcome = carry(
                &gateway,
                &caller,
                write,
                prefer,
                turn,
                (place, bytes, share),
            )
            .await;
            drop(sender.send(outcome));
        });
    }
}

/// One line, from its turn to its outcome.
async fn carry(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    write: Write,
    prefer: Prefer,
    turn: LineTurn,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit, Share),
) -> Result<(Teller, Told), Problem> {
    let LineTurn {
        before,
        done: _done,
    } = turn;
    for mut line in before {
        // It never sends anything: it closes when the line is done.
        drop(line.changed().await);
    }
    // The line may have waited long.
    caller.check_still(gateway)?;
    let teller = Teller::of(&write, RequestForm::Transaction, prefer)?;
    let told = carry_out(gateway, write, prefer).await?;
    Ok((teller, told.without_answer()))
}

/// Takes a member out of an object's text and reads it.
fn take_member<T: for<'de> serde::Deserialize<'de>>(
    object: &mut Bytes,
    name: &str,
) -> Result<Option<T>, Problem> {
    let (value, rest) = {
        let mut members = Members::parse(object)?;
        let Some(raw) = members.peek(name) else {
            return Ok(None);
        };
        let rest = Members::without(object, raw);
        (members.take_as(name)?, rest)
    };
    *object = rest;
    Ok(value)
}
