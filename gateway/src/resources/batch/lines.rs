//! The lines of a batch's body, as they come.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use crate::gateway::Gateway;
use crate::memory::Share;
use crate::problem::{Problem, ProblemKind};
use crate::request::body::without_mark;

/// The lines of a body.
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// The share of what is in the buffer.
    share: Share,
    /// Bytes at the start of the buffer that hold no line end.
    searched: usize,
    /// When the next line that is not blank must be there; `None` before it is waited for.
    deadline: Option<Instant>,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body, share: Share) -> Self {
        Self {
            body,
            share,
            buffer: BytesMut::new(),
            searched: 0,
            deadline: None,
            ended: false,
        }
    }

    /// The next line without its end; `None` at the end of the body. Only a whole line that is not blank
    /// gives time for another one.
    pub(super) async fn next(&mut self, gateway: &Gateway) -> Result<Option<Bytes>, Problem> {
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
                // A mark is at the start of the body, or of a file that was appended to another.
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
                    // Trailers are ignored here.
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
