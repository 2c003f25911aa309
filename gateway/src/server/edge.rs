//! A connection's bytes between the network and hyper. If hyper would end a connection silently, or with an
//! empty answer, the client gets a problem document here.
//!
//! ```text
//! head does not come in time             408, then the end
//! no memory for the head                503, then the end
//! hyper refuses a head (400, 414, 431)   its empty answer is exchanged for a problem
//! idle between requests                  the end
//! client takes too little of an answer   the end: a slow reader is cut off
//! the end                                what the client still sends is read for a moment, so that
//!                                        the last answer is not lost to a reset
//! ```
//!
//! HTTP/2 has its own ways for the first four, so only the last two apply to it. A connection counts as
//! HTTP/2 once its whole preface has come, and as HTTP/1 until then.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::{Buf, Bytes};
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::pace::Pace;
use crate::memory::{Full, Kind, Memory, Share};
use crate::problem::{Problem, ProblemKind};

/// The times that a connection has, and what writes its refusals.
#[derive(Clone)]
pub(crate) struct Terms {
    /// The time for the head of a request, from its first byte.
    pub(crate) head: Duration,
    /// The time between two requests, and before the first.
    pub(crate) idle: Duration,
    /// The time that an answer may wait for its client; see [`Pace`].
    pub(crate) stall: Duration,
    /// Counts readers that are cut off.
    pub(crate) cut_off: IntCounter,
    /// Gives a share to each head that comes.
    pub(crate) memory: Arc<Memory>,
    /// Makes the bytes of an answer.
    pub(crate) refusal: Arc<dyn Fn(&Problem) -> Bytes + Send + Sync>,
}

/// How long is read after the last answer, and how much.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 16 << 20);

/// The beginning of every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection. The first bytes decide it once, as in hyper.
#[derive(Clone, Copy)]
enum Protocol {
    /// This many bytes have come, and all of them fit the preface.
    Undecided(usize),
    Http1,
    Http2,
}

impl Protocol {
    /// The protocol after these further bytes.
    fn after(self, bytes: &[u8]) -> Self {
        let Self::Undecided(come) = self else {
            return self;
        };
        let rest = PREFACE.get(come..).unwrap_or_default();
        if bytes.starts_with(rest) {
            Self::Http2
        } else if rest.starts_with(bytes) {
            Self::Undecided(come + bytes.len())
        } else {
            Self::Http1
        }
    }
}

/// What the handlers of a connection tell its edge, and what its edge tells the server.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// Requests whose head has come.
    begun: AtomicU64,
    /// Requests whose answer hyper has taken over wholly.
    answered: AtomicU64,
    /// Whether the preface of HTTP/2 has come.
    is_http2: AtomicBool,
}

impl Exchange {
    /// A head has come; the answer is made until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Answering {
        self.begun.fetch_add(1, Ordering::AcqRel);
        Answering(Arc::clone(self))
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    fn is_idle(&self) -> bool {
        self.answered.load(Ordering::Acquire) == self.begun()
    }

    /// Returns when HTTP/2 has had no stream for `idle`, or for at most twice that time.
    pub(crate) async fn http2_idles(&self, idle: Duration) {
        loop {
            let begun = self.begun();
            let was_idle = self.is_http2.load(Ordering::Acquire) && self.is_idle();
            sleep(idle).await;
            if was_idle && self.begun() == begun {
                return;
            }
        }
    }
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Exchange>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::AcqRel);
    }
}

/// The edge of a connection.
pub(crate) struct Edge<T> {
    inner: T,
    terms: Terms,
    exchange: Arc<Exchange>,
    protocol: Protocol,
    /// The request whose head is waited for, and its deadline.
    head: Option<Head>,
    /// The time that the client has left.
    pace: Pace,
    /// The end of that time, while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether all that hyper wrote has gone out.
    is_flushed: bool,
    /// Bytes of our own, which are written before anything else.
    own: Bytes,
    end: End,
}

struct Head {
    number: u64,
    has_begun: bool,
    /// The number of its bytes that have come.
    bytes: usize,
    share: Share,
    deadline: Pin<Box<Sleep>>,
}

/// The steps of ending a connection.
enum End {
    Open,
    /// A refusal was written in hyper's place.
    Refused,
    /// Nothing more is sent, and what comes is dropped.
    Lingering(Pin<Box<Sleep>>, usize),
    Closed,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Edge<T> {
    pub(crate) fn new(inner: T, terms: Terms, exchange: Arc<Exchange>) -> Self {
        Self {
            inner,
            pace: Pace::new(terms.stall),
            terms,
            exchange,
            protocol: Protocol::Undecided(0),
            head: None,
            stalled: None,
            is_flushed: true,
            own: Bytes::new(),
            end: End::Open,
        }
    }

    fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2)
    }

    fn refuse(&mut self, problem: &Problem) {
        self.own = (self.terms.refusal)(problem);
        self.end = End::Refused;
    }

    /// Whether the time for the expected head is over.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let is_between_answers = self.is_flushed && self.exchange.is_idle();
        if is_between_answers {
            self.pace.renew();
        }
        if self.is_http2() || !is_between_answers {
            self.head = None;
            return Poll::Pending;
        }
        let number = self.exchange.begun();
        let idle = self.terms.idle;
        let head = match &mut self.head {
            Some(head) if head.number == number => head,
            head => head.insert(Head {
                number,
                has_begun: false,
                bytes: 0,
                share: self.terms.memory.share(Kind::Heads),
                deadline: Box::pin(sleep(idle)),
            }),
        };
        ready!(head.deadline.as_mut().poll(context));
        Poll::Ready(head.has_begun)
    }

    /// Takes note of bytes that came.
    ///
    /// # Errors
    /// Fails if they belong to a head for which there is no memory.
    fn note_read(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if let Some(stalled) = &mut self.stalled {
            self.pace.moved(bytes.len());
            stalled.as_mut().reset(self.pace.wait());
        }
        self.protocol = self.protocol.after(bytes);
        if self.is_http2() {
            self.exchange.is_http2.store(true, Ordering::Release);
        }
        let Some(head) = &mut self.head else {
            return Ok(());
        };
        if !head.has_begun {
            head.has_begun = true;
            let deadline = Instant::now() + self.terms.head;
            head.deadline.as_mut().reset(deadline);
        }
        head.bytes += bytes.len();
        head.share.set(head.bytes)
    }

    /// Writes our own bytes, says that nothing follows, and reads what the client still sends.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.end {
                End::Open | End::Refused => {
                    ready!(self.poll_own(context))?;
                    ready!(Pin::new(&mut self.inner).poll_flush(context))?;
                    ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
                    self.end = End::Lingering(Box::pin(sleep(LINGER.0)), LINGER.1);
                }
                End::Lingering(deadline, left) => {
                    let mut dropped = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut dropped);
                    let read = Pin::new(&mut self.inner).poll_read(context, &mut buffer);
                    let over = match read {
                        Poll::Ready(Ok(())) => {
                            let read = buffer.filled().len();
                            *left = left.saturating_sub(read);
                            read == 0 || *left == 0
                        }
                        Poll::Ready(Err(_)) => true,
                        Poll::Pending => {
                            ready!(deadline.as_mut().poll(context));
                            true
                        }
                    };
                    if over {
                        self.end = End::Closed;
                    }
                }
                End::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let written = Pin::new(&mut self.inner).poll_write(context, &self.own);
            let written = ready!(self.judge(written, context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends a write whose client takes too little.
    fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.pace.moved(*written.as_ref().unwrap_or(&0));
            self.pace.stop();
            self.stalled = None;
            return Poll::Ready(written);
        }
        let deadline = self.pace.wait();
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(stalled.as_mut().poll(context));
        self.terms.cut_off.inc();
        tracing::debug!("a reader that takes too little is cut off");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether hyper writes an answer of its own. Answers of handlers come while a request is under way or
    /// have more headers, and never begin before earlier bytes are flushed.
    fn refusal_of_hyper(&self, bytes: &[u8]) -> Option<StatusCode> {
        if self.is_http2() || !self.is_flushed || !self.exchange.is_idle() {
            return None;
        }
        let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
        let mut lines = head.strip_prefix("HTTP/1.1 ")?.split("\r\n");
        let status = lines.next()?.get(..3)?.parse().ok()?;
        let bare = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            matches!(
                (name, value),
                ("content-length", "0") | ("connection", "close") | ("date", _)
            )
        };
        lines.all(bare).then_some(status)
    }

    fn exchange_refusal(&mut self, status: StatusCode) {
        let kind = ProblemKind::of_status(status);
        let detail = match kind {
            ProblemKind::HeadersTooLarge => "Target and headers are too large.",
            _ => "The request is not HTTP in a form that is understood here.",
        };
        self.refuse(&Problem::new(kind, detail));
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Edge<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let edge = &mut *self;
        if !matches!(edge.end, End::Open) {
            // A refusal is sent here; for hyper this is the end of the connection.
            return edge.poll_end(context);
        }
        if let Poll::Ready(has_begun) = edge.poll_head(context) {
            if has_begun {
                let detail = "The head of the request did not arrive in time.";
                edge.refuse(&Problem::new(ProblemKind::RequestTimeout, detail));
            }
            return edge.poll_end(context);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut edge.inner).poll_read(context, buffer))?;
        let (_, fresh) = buffer.filled().split_at(before);
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Err(full) = edge.note_read(fresh) {
            // Hyper sees no more bytes.
            buffer.set_filled(before);
            edge.refuse(&full.into());
            return edge.poll_end(context);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Edge<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let edge = &mut *self;
        if let Some(status) = edge.refusal_of_hyper(bytes) {
            edge.exchange_refusal(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        edge.is_flushed = false;
        let written = Pin::new(&mut edge.inner).poll_write(context, bytes);
        edge.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let edge = &mut *self;
        if let [bytes] = slices
            && let Some(status) = edge.refusal_of_hyper(bytes)
        {
            edge.exchange_refusal(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        edge.is_flushed = false;
        let written = Pin::new(&mut edge.inner).poll_write_vectored(context, slices);
        edge.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let edge = &mut *self;
        ready!(edge.poll_own(context))?;
        let flushed = pin!(&mut edge.inner).poll_flush(context);
        edge.is_flushed |= flushed.is_ready();
        // Its bytes were counted when they were written.
        let judged = edge.judge(flushed.map_ok(|()| 0), context);
        judged.map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_decided_once_however_the_bytes_are_cut() {
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let whole = [PREFACE, settings].concat();
        for cut in 0..whole.len() {
            let (first, second) = whole.split_at(cut);
            let begun = Protocol::Undecided(0).after(first);
            assert_eq!(matches!(begun, Protocol::Http2), cut >= PREFACE.len());
            let decided = begun.after(second).after(b"GET / HTTP/1.1\r\n");
            assert!(matches!(decided, Protocol::Http2), "{cut}");
        }
        for cut in 0..PREFACE.len() {
            let (first, rest) = PREFACE.split_at(cut);
            let decided = Protocol::Undecided(0)
                .after(first)
                .after(b"GET")
                .after(rest);
            assert!(matches!(decided, Protocol::Http1), "{cut}");
        }
    }
}
