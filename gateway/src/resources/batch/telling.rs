//! The answers of a batch, which are made when the client reads them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::problem::Problem;
use crate::server::request_id::RequestId;
use crate::write::answer::Teller;
use crate::write::outcome::Told;

/// The number of a line, and a promise of its outcome.
pub(super) type Promise = (usize, oneshot::Receiver<Result<(Teller, Told), Problem>>);

/// The answers, which are made when the client reads them.
pub(super) struct Telling {
    pub(super) told: mpsc::UnboundedReceiver<Promise>,
    pub(super) request_id: RequestId,
    pub(super) pools: Arc<Pools>,
    pub(super) metrics: Arc<Metrics>,
}

#[derive(Serialize)]
struct Answer<'a> {
    line: usize,
    status: u16,
    body: &'a RawValue,
}

impl Telling {
    pub(super) async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
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
        // The body is in memory already.
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
