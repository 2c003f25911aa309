//! Bytes on a socket, and what must be true of every problem document among them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl RawAnswer {
    /// Takes an answer apart that ended with its connection.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .ok_or_else(|| format!("no complete answer: {text:?}"))?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        Ok(Self {
            status: status.parse().map_err(|_| format!("no status: {head}"))?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = lines.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Checks for this problem, with all that belongs to one.
    pub(crate) fn judge(&self, status: u16, code: &str) -> Result<Value, String> {
        let expected = format!("{status} {code}");
        let problem: Value = serde_json::from_str(&self.body).map_err(|_| {
            let Self { status, body, .. } = self;
            format!("expected {expected}, got {status} with the body {body:?}")
        })?;
        let found = problem["code"].as_str().unwrap_or("without a code");
        let got = format!("{} {found}", self.status);
        if got != expected {
            let detail = &problem["detail"];
            return Err(format!("expected {expected}, got {got}: {detail}"));
        }
        if self.header("content-type") != Some("application/problem+json") {
            return Err(format!("{got} came as {:?}", self.header("content-type")));
        }
        for member in ["type", "title", "detail", "requestId"] {
            if !problem[member].is_string() {
                return Err(format!("{got} has no {member}: {problem}"));
            }
        }
        if problem["status"] != status {
            return Err(format!("{got} says status {}", problem["status"]));
        }
        if self.header("x-request-id") != problem["requestId"].as_str() {
            return Err(format!("{got} has another X-Request-Id than requestId"));
        }
        Ok(problem)
    }
}

/// Sends bytes, and reads at the same time: a server may answer and close before all has arrived.
pub(crate) fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    exchange_and(address, bytes, |_| ())
}

/// [`exchange`] with a last deed of the writer, such as hanging up.
pub(crate) fn exchange_and(
    address: &str,
    bytes: &[u8],
    end: impl FnOnce(&TcpStream) + Send,
) -> Vec<u8> {
    let mut reader = TcpStream::connect(address).unwrap();
    reader
        .set_read_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    let mut writer = reader.try_clone().unwrap();
    writer
        .set_write_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    let mut answer = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A server that has said no need not listen to the end.
            drop(writer.write_all(bytes));
            end(&writer);
        });
        // What came before a reset counts.
        drop(reader.read_to_end(&mut answer));
    });
    answer
}
