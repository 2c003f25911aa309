//! A server of gRPC that answers as a test says, and keeps what it was asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Frame;
use quire_wire::Message;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How a call is answered.
pub(crate) enum Answer {
    /// By a message, and the end.
    Message(Vec<u8>),
    /// By a status, and nothing else.
    Status(u16, &'static str),
    /// By messages as they come, until whoever sends them is gone.
    Stream(UnboundedReceiver<Vec<u8>>),
}

impl Answer {
    pub(crate) fn of(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec())
    }

    /// A stream, with what feeds it.
    pub(crate) fn stream() -> (UnboundedSender<Vec<u8>>, Self) {
        let (sender, receiver) = unbounded_channel();
        (sender, Self::Stream(receiver))
    }
}

/// A server.
pub(crate) struct Served {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl Served {
    /// What it was asked so far: the path of a method, and the request's only message.
    pub(crate) fn asked<M: Message + Default>(&self, path: &str) -> Vec<M> {
        let asked = self.asked.lock().unwrap();
        let of_path = asked.iter().filter(|(asked, _)| asked == path);
        of_path
            .map(|(_, message)| M::decode(message.clone()).unwrap())
            .collect()
    }
}

/// Serves until the process ends.
pub(crate) fn serve(answer: impl Fn(&str, Bytes) -> Answer + Send + Sync + 'static) -> Served {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let answer = Arc::new(answer);
    let handle = move |request: Request| {
        let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
        async move {
            let path = request.uri().path().to_owned();
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let message = body.slice(5..);
            kept.lock().unwrap().push((path.clone(), message.clone()));
            respond(answer(&path, message))
        }
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let router = Router::new().fallback(handle);
            axum::serve(listener, router).await.unwrap();
        });
    });
    Served { address, asked }
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let messages = match answer {
        Answer::Status(code, text) => {
            headers.insert("grpc-status", code.into());
            headers.insert("grpc-message", HeaderValue::from_static(text));
            return response;
        }
        Answer::Message(message) => {
            let (sender, receiver) = unbounded_channel();
            sender.send(message).unwrap();
            receiver
        }
        Answer::Stream(receiver) => receiver,
    };
    let is_ended = false;
    *response.body_mut() = Body::new(Messages { messages, is_ended });
    response
}

struct Messages {
    messages: UnboundedReceiver<Vec<u8>>,
    is_ended: bool,
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        self.messages.poll_recv(context).map(|message| {
            let frame = if let Some(message) = message {
                let mut framed = BytesMut::new();
                framed.put_u8(0);
                framed.put_u32(message.len().try_into().unwrap());
                framed.extend_from_slice(&message);
                Frame::data(framed.freeze())
            } else {
                self.is_ended = true;
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Frame::trailers(trailers)
            };
            Some(Ok(frame))
        })
    }
}
