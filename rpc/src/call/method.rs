//! A method of a service as a route: bytes of HTTP to messages, and back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use quire_wire::Message;
use tokio::sync::OwnedSemaphorePermit;
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use super::deadline::Deadline;
use super::held::{Counted, Held, HeldBody};
use super::raw::RawRequests;
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
    request: Request,
    handle: F,
) -> Response
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: FnOnce(Arc<Services>, Q, Caller) -> Fut + Send + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    let opened = match open(&services, &services.calls, request) {
        Ok(opened) => opened,
        Err(refused) => return *refused,
    };
    let Opened {
        request,
        held,
        deadline,
        place,
        observed,
    } = opened;
    let mut grpc = Grpc::new(ProstCodec::<A, Q>::default())
        .max_decoding_message_size(services.limits.message_bytes)
        .max_encoding_message_size(usize::MAX);
    let caller = Caller {
        deadline,
        certificate: shown(&request),
    };
    let answer_held = Held::new(&services.backend);
    let answer_room = answer_held.clone();
    let one = One(Some(move |message| async move {
        let answer: A = handle(services, message, caller).await?;
        answer_room.hold(answer.encoded_len())?;
        Ok(answer)
    }));
    let answered = tokio::select! {
        answered = grpc.unary(one, request) => answered.map(|body| {
            Body::new(HeldBody { body, _held: answer_held })
        }),
        () = deadline.over() => status(&over()),
    };
    // An answer with a message has its status behind it, and that is good.
    let code = Status::from_header_map(answered.headers());
    observed.ended(code.map_or(Code::Ok, |status| status.code()));
    drop((held, place));
    answered
}

/// Answers a call that has one request and a stream of answers, which ends with the deadline.
pub(crate) async fn server_streaming<Q, A, F, Fut>(
    services: Arc<Services>,
    request: Request,
    handle: F,
) -> Response
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: FnOnce(Arc<Services>, Q) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Answers<A>, Status>> + Send + 'static,
{
    let opened = match open(&services, &services.streams, request) {
        Ok(opened) => opened,
        Err(refused) => return *refused,
    };
    let Opened {
        request,
        held: _held,
        deadline,
        place,
        observed,
    } = opened;
    let mut grpc = Grpc::new(ProstCodec::<A, Q>::default())
        .max_decoding_message_size(services.limits.message_bytes)
        .max_encoding_message_size(usize::MAX);
    let one = One(Some(move |message| async move {
        let room = Held::new(&services.backend);
        match handle(services, message).await {
            Ok(answers) => Ok(until(answers, deadline, (place, observed, room))),
            Err(status) => {
                observed.ended(status.code());
                Err(status)
            }
        }
    }));
    tokio::select! {
        answered = grpc.server_streaming(one, request) => answered.map(Body::new),
        () = deadline.over() => status(&over()),
    }
}

/// Answers a call whose requests and answers are both streams. Requests are the bytes of their messages.
pub(crate) async fn streaming<A, F>(
    services: Arc<Services>,
    request: Request,
    handle: F,
) -> Response
where
    A: Message + 'static,
    F: FnOnce(&Services, Requests) -> Answers<A> + Send + 'static,
{
    let opened = match open(&services, &services.streams, request) {
        Ok(opened) => opened,
        Err(refused) => return *refused,
    };
    let Opened {
        request,
        held,
        deadline,
        place,
        observed,
    } = opened;
    let certificate = shown(&request);
    let mut grpc = Grpc::new(RawRequests::<A>::default())
        .max_decoding_message_size(services.limits.message_bytes)
        .max_encoding_message_size(usize::MAX);
    let room = Held::new(&services.backend);
    let many = Many(Some(move |messages| {
        let answers = handle(
            &services,
            Requests {
                messages,
                held,
                has_given: false,
                certificate,
                counted: observed.messages(),
            },
        );
        until(answers, deadline, (place, observed, room))
    }));
    grpc.streaming(many, request).await.map(Body::new)
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
struct Opened {
    request: Request<Counted<Body>>,
    held: Held,
    deadline: Deadline,
    /// Its place among the calls that are worked on, until it ends.
    place: OwnedSemaphorePermit,
    observed: Observed,
}

fn open(
    services: &Arc<Services>,
    places: &Places,
    request: Request,
) -> Result<Opened, Box<Response>> {
    if !is_grpc(request.headers()) {
        let mut refused = Response::new(Body::from("this address serves gRPC\n"));
        *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Box::new(refused));
    }
    let path = request.uri().path();
    let observed = Observed::new(&services.observer, places.kind, path);
    let place = places.take().ok_or_else(|| {
        // Fabric's text.
        let service = path.split('/').nth(1).unwrap_or_default();
        let all = places.all;
        Box::new(status(&Status::resource_exhausted(format!(
            "too many requests for {service}, exceeding concurrency limit ({all})"
        ))))
    })?;
    let deadline = Deadline::of(request.headers());
    let held = Held::new(&services.backend);
    let request = request.map(|body| Counted {
        body,
        held: held.clone(),
    });
    Ok(Opened {
        request,
        held,
        deadline,
        place,
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
    status.clone().into_http::<Body>()
}

/// Go's text, which clients know.
fn over() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

/// Answers that end with the deadline. The call's place goes with them. An answer is held until the next one is asked
/// for.
fn until<A: Message + 'static>(
    answers: Answers<A>,
    deadline: Deadline,
    (place, observed, room): (OwnedSemaphorePermit, Observed, Held),
) -> Answers<A> {
    let ended: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(deadline.over());
    let state = Some((answers, ended, place, observed, room));
    Answers::new(futures_util::stream::unfold(state, |state| async move {
        let (mut answers, mut ended, place, observed, room) = state?;
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
                Some((Ok(answer), Some((answers, ended, place, observed, room))))
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

/// The requests of a stream. What one of them holds is given back when the next is asked for.
pub(crate) struct Requests {
    messages: Streaming<Bytes>,
    held: Held,
    has_given: bool,
    /// The SHA-256 of the certificate that the client showed.
    pub(crate) certificate: Option<[u8; 32]>,
    /// Counts them.
    counted: Box<dyn Fn() + Send>,
}

impl Stream for Requests {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let requests = &mut *self;
        if std::mem::take(&mut requests.has_given) {
            requests.held.release();
        }
        let next = ready!(Pin::new(&mut requests.messages).poll_next(context));
        requests.has_given = true;
        if matches!(next, Some(Ok(_))) {
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
        Box::pin(async move { answer.await.map(tonic::Response::new) })
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
        Box::pin(async move { answer.await.map(tonic::Response::new) })
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
