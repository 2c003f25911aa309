//! A method of a service as a route: bytes of HTTP to messages, and back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use quire_wire::Message;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Sleep, sleep, timeout};
use tonic::codec::Codec;
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Code, Status, Streaming};

use super::deadline::Deadline;
use super::held::{Counted, Held, HeldBody};
use super::raw::{Messages, RawRequests};
use crate::failure::capped;
use crate::observer::Observed;
use crate::services::{Places, Services, ShownCertificate};

/// The answers of a call that has several.
pub(crate) struct Answers<A>(Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>);

impl<A> Answers<A> {
    pub(crate) fn new(answers: impl Stream<Item = Result<A, Status>> + Send + 'static) -> Self {
        Self(Box::pin(answers))
    }
}

impl<A> Stream for Answers<A> {
    type Item = Result<A, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

/// Answers a call that has one request and one answer.
pub(crate) async fn unary<Q, A, F, Fut>(
    services: Arc<Services>,
    call: Opened,
    handle: F,
) -> Response
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: FnOnce(Arc<Services>, Q, Caller) -> Fut + Send + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    let mut grpc = call.grpc(Messages::<A, Q>::default());
    let Opened {
        request,
        held,
        caller,
        arriving,
        late,
        places,
        observed,
        ..
    } = call;
    let answer_held = Held::new(&services.backend);
    let answer_room = answer_held.clone();
    let one = One(Some(move |message| async move {
        drop(arriving);
        let _place = places.take()?;
        let answer: A = handle(services, message, caller).await?;
        answer_room.hold(answer.encoded_len())?;
        Ok(answer)
    }));
    let answered = tokio::select! {
        answered = grpc.unary(one, request) => answered.map(|body| {
            Body::new(HeldBody { body, _held: answer_held })
        }),
        () = caller.deadline.over() => status(&over()),
        () = late => status(&too_late()),
    };
    // An answer with a message has its status behind it, and that is good.
    let code = Status::from_header_map(answered.headers());
    observed.ended(code.map_or(Code::Ok, |status| status.code()));
    drop(held);
    answered
}

/// Answers a call that has one request and a stream of answers, which ends with the deadline.
pub(crate) async fn server_streaming<Q, A, F, Fut>(
    services: Arc<Services>,
    call: Opened,
    handle: F,
) -> Response
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: FnOnce(Arc<Services>, Q) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Answers<A>, Status>> + Send + 'static,
{
    let mut grpc = call.grpc(Messages::<A, Q>::default());
    let Opened {
        request,
        held,
        caller,
        arriving,
        late,
        places,
        observed,
        ..
    } = call;
    let one = One(Some(move |message| async move {
        drop(arriving);
        let room = Held::new(&services.backend);
        let answers = match places.take() {
            Ok(place) => {
                let answers = handle(services, message).await;
                answers.map(|answers| (answers, place))
            }
            Err(status) => Err(status),
        };
        match answers {
            // What the request holds may be held by whoever answers it.
            Ok((answers, place)) => Ok(until(
                answers,
                caller.deadline,
                observed,
                room,
                (place, held),
            )),
            Err(status) => {
                observed.ended(status.code());
                Err(status)
            }
        }
    }));
    tokio::select! {
        answered = grpc.server_streaming(one, request) => answered.map(Body::new),
        () = caller.deadline.over() => status(&over()),
        () = late => status(&too_late()),
    }
}

/// Answers a call whose requests and answers are both streams. Requests are the bytes of their messages.
pub(crate) async fn streaming<A, F>(services: Arc<Services>, call: Opened, handle: F) -> Response
where
    A: Message + 'static,
    F: FnOnce(&Services, Requests) -> Answers<A> + Send + 'static,
{
    let mut grpc = call.grpc(RawRequests::<A>::default());
    let Opened {
        request,
        held,
        caller,
        arriving,
        places,
        observed,
        ..
    } = call;
    let room = Held::new(&services.backend);
    let many = Many(Some(move |messages| {
        let requests = Requests {
            messages,
            held,
            has_given: false,
            place: Place::Arriving {
                _arriving: arriving,
                places,
            },
            late: None,
            message_timeout: services.limits.message_timeout,
            certificate: caller.certificate,
            counted: observed.messages(),
        };
        let answers = handle(&services, requests);
        until(answers, caller.deadline, observed, room, ())
    }));
    grpc.streaming(many, request).await.map(Body::new)
}

/// The place of a call whose request arrives, until it is there.
struct Arriving {
    _place: OwnedSemaphorePermit,
    _until: oneshot::Sender<()>,
}

/// Returns when a request has not arrived in time, and never if it has.
async fn late(arrival: oneshot::Receiver<()>, time: Duration) {
    // Its sender is dropped, and never sends, when the request is there.
    if timeout(time, arrival).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("the request did not arrive in time")
}

/// The answer to a call of a method that there is not.
pub(crate) fn unknown(path: &str) -> Response {
    let (service, method) = path
        .trim_start_matches('/')
        .rsplit_once('/')
        .unwrap_or_default();
    status(&Status::unimplemented(format!(
        "unknown method {method} for service {service}"
    )))
}

/// What a handler may know of its caller, beside the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) deadline: Deadline,
    /// The SHA-256 of the certificate that the client showed.
    pub(crate) certificate: Option<[u8; 32]>,
}

fn shown<B>(request: &http::Request<B>) -> Option<[u8; 32]> {
    let shown = request.extensions().get::<ShownCertificate>();
    shown.map(|shown| shown.0)
}

/// A call whose head is sound.
pub(crate) struct Opened {
    request: Request<Counted<Body>>,
    held: Held,
    caller: Caller,
    /// Its place among the calls whose requests arrive.
    arriving: Arriving,
    /// Returns when its request is late.
    late: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Places among the calls that are worked on.
    places: Places,
    message_bytes: usize,
    observed: Observed,
}

impl Opened {
    /// What reads the call's requests and writes its answers.
    fn grpc<T: Codec>(&self, codec: T) -> Grpc<T> {
        Grpc::new(codec)
            .max_decoding_message_size(self.message_bytes)
            .max_encoding_message_size(usize::MAX)
    }
}

/// Begins a call of whatever kind.
///
/// # Errors
/// The answer to a call that is not taken on.
pub(crate) fn open(services: &Arc<Services>, request: Request) -> Result<Opened, Box<Response>> {
    if !is_grpc(request.headers()) {
        let mut refused = Response::new(Body::from("this address serves gRPC\n"));
        *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Box::new(refused));
    }
    let path = request.uri().path();
    let (places, message_bytes) = services.terms(path);
    let observed = Observed::new(&services.observer, places.kind, path);
    let arriving = services.arriving.take();
    let place = arriving.map_err(|refused| Box::new(status(&refused)))?;
    let (until, arrival) = oneshot::channel();
    let caller = Caller {
        deadline: Deadline::of(request.headers()),
        certificate: shown(&request),
    };
    let held = Held::new(&services.backend);
    let request = request.map(|body| Counted {
        body,
        held: held.clone(),
    });
    Ok(Opened {
        request,
        held,
        caller,
        arriving: Arriving {
            _place: place,
            _until: until,
        },
        late: Box::pin(late(arrival, services.limits.message_timeout)),
        places: places.clone(),
        message_bytes,
        observed,
    })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let rest = kind.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// An answer that is a status and nothing else.
fn status(status: &Status) -> Response {
    capped(status.clone()).into_http::<Body>()
}

/// Go's text, which clients know.
fn over() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

/// Answers that end with the deadline, and what is kept with them. An answer is held until the next one is asked for.
fn until<A: Message + 'static>(
    answers: Answers<A>,
    deadline: Deadline,
    observed: Observed,
    room: Held,
    kept: impl Send + 'static,
) -> Answers<A> {
    let ended: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(deadline.over());
    let state = Some((answers, ended, kept, observed, room));
    Answers::new(futures_util::stream::unfold(state, |state| async move {
        let (mut answers, mut ended, kept, observed, room) = state?;
        room.release();
        let answer = tokio::select! {
            biased;
            () = &mut ended => Some(Err(over())),
            answer = answers.next() => answer,
        };
        let answer = answer.map(|answer| {
            let answer = answer?;
            room.hold(answer.encoded_len())?;
            Ok(answer)
        });
        match answer {
            Some(Ok(answer)) => {
                observed.sent();
                Some((Ok(answer), Some((answers, ended, kept, observed, room))))
            }
            Some(Err(status)) => {
                observed.ended(Status::code(&status));
                Some((Err(status), None))
            }
            None => {
                observed.ended(Code::Ok);
                None
            }
        }
    }))
}

/// The requests of a stream. What one of them holds is given back when the next is asked for. The first has a time to
/// arrive, and so has each that has begun to.
pub(crate) struct Requests {
    messages: Streaming<Bytes>,
    held: Held,
    has_given: bool,
    place: Place,
    /// When the request that is waited for is late.
    late: Option<Pin<Box<Sleep>>>,
    message_timeout: Duration,
    /// The SHA-256 of the certificate that the client showed.
    pub(crate) certificate: Option<[u8; 32]>,
    /// Counts them.
    counted: Box<dyn Fn() + Send>,
}

/// Where a stream stands.
enum Place {
    /// Among those whose first request arrives.
    Arriving { _arriving: Arriving, places: Places },
    /// Among those that are open.
    Open { _place: OwnedSemaphorePermit },
}

impl Requests {
    /// Takes the stream's place, now that its first request is there.
    fn begin(&mut self) -> Result<(), Status> {
        if let Place::Arriving { places, .. } = &self.place {
            let place = places.take()?;
            self.place = Place::Open { _place: place };
        }
        Ok(())
    }

    /// Whether the request that is waited for is late.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let has_begun = matches!(self.place, Place::Arriving { .. }) || self.held.is_used();
        if !has_begun {
            return Poll::Pending;
        }
        let time = self.message_timeout;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(time)));
        late.as_mut().poll(context)
    }
}

impl Stream for Requests {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let requests = &mut *self;
        if std::mem::take(&mut requests.has_given) {
            requests.held.release();
        }
        let next = match Pin::new(&mut requests.messages).poll_next(context) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                ready!(requests.poll_late(context));
                return Poll::Ready(Some(Err(too_late())));
            }
        };
        requests.late = None;
        requests.has_given = true;
        if matches!(next, Some(Ok(_))) {
            requests.begin()?;
            (requests.counted)();
        }
        Poll::Ready(next)
    }
}

/// A handler of one call, for tonic.
struct One<F>(Option<F>);

/// The same with requests that are a stream.
struct Many<F>(Option<F>);

type Answering<A> = Pin<Box<dyn Future<Output = Result<tonic::Response<A>, Status>> + Send>>;

/// tonic asks a service once a call.
fn twice() -> Status {
    Status::internal("a call has one request")
}

impl<Q, A, F, Fut> UnaryService<Q> for One<F>
where
    A: Send + Sync + 'static,
    F: FnOnce(Q) -> Fut,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = A;
    type Future = Answering<A>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let Some(handle) = self.0.take() else {
            return Box::pin(std::future::ready(Err(twice())));
        };
        let answer = handle(request.into_inner());
        Box::pin(async move { answer.await.map(tonic::Response::new).map_err(capped) })
    }
}

impl<Q, A, F, Fut> ServerStreamingService<Q> for One<F>
where
    A: 'static,
    F: FnOnce(Q) -> Fut,
    Fut: Future<Output = Result<Answers<A>, Status>> + Send + 'static,
{
    type Response = A;
    type ResponseStream = Answers<A>;
    type Future = Answering<Answers<A>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let Some(handle) = self.0.take() else {
            return Box::pin(std::future::ready(Err(twice())));
        };
        let answer = handle(request.into_inner());
        Box::pin(async move { answer.await.map(tonic::Response::new).map_err(capped) })
    }
}

impl<Q, A, F> StreamingService<Q> for Many<F>
where
    A: 'static,
    F: FnOnce(Streaming<Q>) -> Answers<A>,
{
    type Response = A;
    type ResponseStream = Answers<A>;
    type Future = std::future::Ready<Result<tonic::Response<Answers<A>>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Q>>) -> Self::Future {
        let answers = self.0.take().map(|handle| handle(request.into_inner()));
        std::future::ready(answers.map(tonic::Response::new).ok_or_else(twice))
    }
}
