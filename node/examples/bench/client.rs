//! One connection that is kept, and as little work a request as can be: the client shares the
//! processors with the server that it measures. All clients are tasks of one thread.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Failure;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one server.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// What every request has: host and, where there is one, credential.
    headers: String,
    request: String,
    line: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            headers: format!("host: {address}\r\n"),
            request: String::new(),
            line: String::new(),
            body: Vec::new(),
        })
    }

    /// The same, with an `Authorization` in every request.
    pub(crate) fn authorized(mut self, authorization: &str) -> Self {
        self.headers.push_str("authorization: ");
        self.headers.push_str(authorization);
        self.headers.push_str("\r\n");
        self
    }

    /// Puts a document, and reads the answer, which must be a good one.
    pub(crate) async fn put(
        &mut self,
        path: &str,
        key: &str,
        document: &str,
    ) -> Result<(), Failure> {
        let header = format!("idempotency-key: {key}\r\n");
        self.send("PUT", path, &header, document).await
    }

    /// Gets something, and reads the answer, which must be a good one.
    pub(crate) async fn get(&mut self, path: &str) -> Result<(), Failure> {
        self.send("GET", path, "", "").await
    }

    /// Posts JSON, and reads the answer, which must be a good one.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Result<(), Failure> {
        self.send("POST", path, "", body).await
    }

    /// Sends a request, and reads the answer, which must be a good one. `header` is none or whole lines.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        header: &str,
        body: &str,
    ) -> Result<(), Failure> {
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\n{}content-type: application/json\r\n\
             {header}content-length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        )?;
        timeout(PATIENCE, self.exchange()).await?
    }

    async fn exchange(&mut self) -> Result<(), Failure> {
        self.stream.write_all(self.request.as_bytes()).await?;
        let status = self.read_line().await?.to_owned();
        let mut length = None;
        let mut is_chunked = false;
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse::<usize>()?);
            }
            is_chunked |= name.eq_ignore_ascii_case("transfer-encoding");
        }
        self.body.clear();
        if is_chunked {
            while self.read_chunk().await? {}
        } else {
            self.read_bytes(length.ok_or("an answer without a length")?)
                .await?;
        }
        if status
            .split(' ')
            .nth(1)
            .is_some_and(|code| code.starts_with('2'))
        {
            Ok(())
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&self.body)).into())
        }
    }

    /// Reads a chunk; false after the last one.
    async fn read_chunk(&mut self) -> Result<bool, Failure> {
        let length = usize::from_str_radix(self.read_line().await?, 16)?;
        self.read_bytes(length).await?;
        self.read_line().await?;
        Ok(length > 0)
    }

    async fn read_bytes(&mut self, length: usize) -> Result<(), Failure> {
        let start = self.body.len();
        self.body.resize(start + length, 0);
        let rest = self.body.get_mut(start..).unwrap_or_default();
        self.stream.read_exact(rest).await?;
        Ok(())
    }

    async fn read_line(&mut self) -> Result<&str, Failure> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(self.line.trim_end())
    }
}
