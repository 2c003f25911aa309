//! `POST /v1/channels/{channel}/transactions:batch`: a transaction a line, an answer a line.
//!
//! ```text
//! read     takes lines off the connection, as long as there is room for more in flight
//! order    a line waits for those before it that touch one of its keys
//! carry    each line on its own, like a request of its own
//! tell     answers, in the order of the lines, when the client reads them
//! ```
//!
//! Reading never waits for telling: a client may send everything before it reads. What waits to
//! be told is an outcome, which is small; the answer is made from the blocks when it is read. So
//! memory is bounded by [`MAX_LINES`] outcomes and [`IN_FLIGHT`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use quire_chaincode::touched;
use quire_peer::Channel;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::memory::{Kind, Share};
use crate::metrics::Metrics;
use crate::metrics::gauge_guard::GaugeGuard;
use crate::metrics::traffic::Bound;
use crate::pools::Pools;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::accept::admit;
use crate::request::body::{JSON, Members, NDJSON, WORK, check_type, without_mark};
use crate::request::call;
use crate::request::parameters::Waiting;
use crate::request::path;
use crate::request::prefer::Prefer;
use crate::request::query::Query;
use crate::schema::{BatchAnswer, BatchLine};
use crate::server::request_id::RequestId;
use crate::write::answer::{Asked, Teller};
use crate::write::attempts::Write;
use crate::write::idempotency::{self, IdempotencyKey, MAX_ATTEMPTS, Recorded};
use crate::write::outcome::Told;
use crate::write::patience::carry_out;

/// Most lines of a batch.
const MAX_LINES: usize = 10_000;
/// Lines in flight at one time, and the bytes of them.
const IN_FLIGHT: (usize, u32) = (256, 16 << 20);
/// Lines in flight where state is another server's: while one commit waits for it, as many again are read
/// for and signed.
const IN_FLIGHT_REMOTE: usize = 512;

/// When to come back where there are too many batches.
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
        description = "A transaction a line, at most 10,000.",
        example = "{\"chaincode\":\"orders\",\"function\":\"put\",\"args\":[\"1\",1],\"idempotencyKey\":\"batch-1\"}\n"
    ),
    responses((
        status = 200,
        description = "A line for each line, in order.",
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
    Query::none(&parts.uri)?;
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
    let batch = Batch {
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
        order: Order::default(),
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

/// What is to be told of a line: its number, and a promise of its outcome.
type Promise = (usize, oneshot::Receiver<Result<(Teller, Told), Problem>>);

/// A batch being read and carried out. Ends with its client: what is not ordered then never is, but
/// for lines with a key.
struct Batch {
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
    order: Order,
    _in_flight: GaugeGuard,
    _place: OwnedSemaphorePermit,
}

impl Batch {
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
                // Where the line ends is not known: nothing can be read behind it.
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
            // Whose token ended is not heard any further.
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
        // Nobody to tell is nobody's loss.
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
        let write = Write {
            channel: self.channel.clone(),
            identity: Arc::clone(&self.caller.identity),
            call: call::of_transaction(&body)?,
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

    /// Carries a line out, when there is room for it and those before it are done.
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
    turn: Turn,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit, Share),
) -> Result<(Teller, Told), Problem> {
    let Turn {
        before,
        done: _done,
    } = turn;
    for mut line in before {
        // It never says anything: it closes when the line is done.
        drop(line.changed().await);
    }
    // It may have waited for long.
    caller.check_still(gateway)?;
    let teller = Teller::of(&write, Asked::Transaction, prefer)?;
    let told = carry_out(gateway, write, prefer).await?;
    Ok((teller, told.without_result()))
}

/// Which lines wait for which.
#[derive(Default)]
struct Order {
    /// The last line that touched something.
    last: HashMap<Touched, watch::Receiver<()>>,
    /// So many entries are worth a look for those of lines that are done.
    crowded: usize,
    /// The last line of which nobody knows what it touches.
    last_unknown: Option<watch::Receiver<()>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Touched {
    Key(String, String),
    /// Two lines of one idempotency key: the second is a repetition, or a mistake.
    IdempotencyKey(IdempotencyKey),
}

/// A line's turn comes when those before it are done; it is done when this is dropped.
struct Turn {
    before: Vec<watch::Receiver<()>>,
    done: watch::Sender<()>,
}

impl Order {
    /// Queues the next line.
    fn turn(&mut self, write: &Write) -> Turn {
        if self.last.len() > self.crowded {
            self.last.retain(|_, line| line.has_changed().is_ok());
            self.crowded = self.last.len() * 2 + IN_FLIGHT.0;
        }
        let (done, line) = watch::channel(());
        let key = write.key.iter();
        let key = key.map(|(key, _)| Touched::IdempotencyKey(key.clone()));
        let mut before: Vec<_> = self.last_unknown.iter().cloned().collect();
        if let Some(keys) = touched(&write.call) {
            let keys = keys.into_iter();
            let keys = keys.map(|(namespace, key)| Touched::Key(namespace, key));
            for touched in keys.chain(key) {
                // A line may touch a key twice; it does not wait for itself.
                match self.last.insert(touched, line.clone()) {
                    Some(earlier) if !earlier.same_channel(&line) => before.push(earlier),
                    _ => {}
                }
            }
        } else {
            // It waits for all, and all wait for it.
            before.extend(self.last.drain().map(|(_, line)| line));
            self.last_unknown = Some(line.clone());
            self.last.extend(key.map(|key| (key, line.clone())));
        }
        Turn { before, done }
    }
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

/// The lines of a body.
struct Lines {
    body: Body,
    buffer: BytesMut,
    /// For what is in the buffer.
    share: Share,
    /// Bytes at the start of the buffer that hold no line end.
    searched: usize,
    /// When the next line that says anything has to be there; none before it is waited for.
    deadline: Option<Instant>,
    ended: bool,
}

impl Lines {
    fn new(body: Body, share: Share) -> Self {
        Self {
            body,
            share,
            buffer: BytesMut::new(),
            searched: 0,
            deadline: None,
            ended: false,
        }
    }

    /// The next line without its end; none at the end of the body. Only a whole line that is not
    /// blank buys time for another one.
    async fn next(&mut self, gateway: &Gateway) -> Result<Option<Bytes>, Problem> {
        let limits = &gateway.limits;
        let deadline = self.deadline;
        let deadline = deadline.unwrap_or_else(|| Instant::now() + limits.body_timeout);
        self.deadline = Some(deadline);
        loop {
            let fresh = self.buffer.iter().skip(self.searched);
            if let Some(end) = fresh.copied().position(|byte| byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end + 1).freeze();
                self.searched = 0;
                self.share.give_back_to(self.buffer.len());
                // One at the start of the body, or of a file that was appended to another.
                let line = without_mark(line.slice(..line.len() - 1));
                if !line.trim_ascii().is_empty() {
                    self.deadline = None;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > limits.body_bytes {
                let detail = format!("The line exceeds {} bytes.", limits.body_bytes);
                return Err(Problem::new(ProblemKind::TooLarge, detail));
            }
            if self.ended {
                self.searched = 0;
                let rest = self.buffer.split().freeze();
                self.share.give_back_to(0);
                return Ok((!rest.is_empty()).then(|| without_mark(rest)));
            }
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context));
            match timeout_at(deadline, frame).await {
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing here.
                    if let Ok(chunk) = frame.into_data() {
                        let held = self.share.set(self.buffer.len() + chunk.len());
                        held.map_err(|full| gateway.full(full))?;
                        self.buffer.extend_from_slice(&chunk);
                    }
                }
                Ok(None) => self.ended = true,
                Ok(Some(Err(_))) => {
                    return Err(Problem::invalid_argument("The body broke off."));
                }
                Err(_) => {
                    let detail = "The next line did not arrive in time.";
                    return Err(Problem::new(ProblemKind::RequestTimeout, detail));
                }
            }
        }
    }
}

/// The answers, made as the client reads them.
struct Telling {
    told: mpsc::UnboundedReceiver<Promise>,
    request_id: RequestId,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
}

#[derive(Serialize)]
struct Answer<'a> {
    line: usize,
    status: u16,
    body: &'a RawValue,
}

impl Telling {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let (line, promise) = self.told.recv().await?;
        let answered = match promise.await {
            Ok(Ok((teller, told))) => teller.tell(&self.pools, told).await,
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(Problem::internal("the task of a batch line is gone")),
        };
        let text = match answered {
            Ok(response) => self.text(line, response).await,
            Err(problem) => Err(problem),
        };
        let text = text.unwrap_or_else(|problem| self.text_of_problem(line, &problem));
        Some((Ok(text), self))
    }

    async fn text(&self, line: usize, response: Response) -> Result<Bytes, Problem> {
        if let Some(problem) = response.extensions().get::<Problem>() {
            return Ok(self.text_of_problem(line, problem));
        }
        self.metrics.traffic.line_told(None);
        let status = response.status();
        // It is in memory already.
        let body = to_bytes(response.into_body(), usize::MAX).await;
        text(line, status, &body.map_err(Problem::internal)?)
    }

    fn text_of_problem(&self, line: usize, problem: &Problem) -> Bytes {
        self.metrics.traffic.line_told(Some(problem.kind()));
        let (status, _, _) = problem.kind().row();
        let document = problem.document(self.request_id.as_str());
        text(line, status, &document).unwrap_or_default()
    }
}

/// One line of the answer.
fn text(line: usize, status: StatusCode, body: &[u8]) -> Result<Bytes, Problem> {
    let answer = Answer {
        line,
        status: status.as_u16(),
        body: serde_json::from_slice(body).map_err(Problem::internal)?,
    };
    let mut text = serde_json::to_vec(&answer).map_err(Problem::internal)?;
    text.push(b'\n');
    Ok(text.into())
}
