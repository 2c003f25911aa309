//! A command's side of the socket: one request, answers until the last. HTTP/1.0, because then the
//! answer simply ends with the connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use quire_ledger::Progress;
use serde::Serialize;

use super::{Message, SOCKET, address};

/// Why the node that runs gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the node that uses {} does not answer on admin.sock", .0.display())]
    Connect(PathBuf, #[source] std::io::Error),
    #[error("the node ended before it had answered")]
    Ended(#[source] Option<std::io::Error>),
    #[error("the node refused the request: {0}")]
    Refused(String),
    #[error("the node's answer cannot be read: it may be of another version")]
    Answer(#[from] serde_json::Error),
}

/// Asks the node that has `data` open, and shows how far it is until it has answered.
pub(crate) fn ask(
    data: &Path,
    method: &str,
    path: &str,
    body: &impl Serialize,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Message, AskError> {
    let connect = || -> std::io::Result<UnixStream> {
        let (path, _open) = address(data, SOCKET)?;
        UnixStream::connect(path)
    };
    let stream = connect().map_err(|error| AskError::Connect(data.to_owned(), error))?;
    let ended = |error| AskError::Ended(Some(error));
    let body = serde_json::to_vec(body)?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: admin\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    (&stream)
        .write_all(&[head.as_bytes(), &body].concat())
        .map_err(ended)?;
    let mut lines = BufReader::new(&stream).lines();
    let mut line =
        || -> Result<Option<String>, AskError> { lines.next().transpose().map_err(ended) };
    let status = line()?.ok_or(AskError::Ended(None))?;
    while line()?.is_some_and(|header| !header.is_empty()) {}
    if status.split(' ').nth(1) != Some("200") {
        let reason = line()?.unwrap_or_default();
        return Err(AskError::Refused(format!("{status} {reason}")));
    }
    while let Some(line) = line()? {
        match serde_json::from_str(&line)? {
            Message::Progress {
                stage,
                subject,
                done,
                total,
            } => progress(Progress {
                stage: &stage,
                subject: &subject,
                done,
                total,
            }),
            last => return Ok(last),
        }
    }
    Err(AskError::Ended(None))
}
