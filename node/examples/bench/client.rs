//! One connection that is kept, and as little work a request as can be: the client shares the
//! processors with the node that it measures.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::Failure;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of the node's HTTP API.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
    request: Vec<u8>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            address: address.to_owned(),
            request: Vec::new(),
            line: String::new(),
            body: Vec::new(),
        })
    }

    /// Puts a document, and reads the answer, which must be a good one.
    pub(crate) fn put(&mut self, path: &str, key: &str, document: &str) -> Result<(), Failure> {
        let header = format!("idempotency-key: {key}\r\n");
        self.send("PUT", path, &header, document)
    }

    /// Posts JSON, and reads the answer, which must be a good one.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<(), Failure> {
        self.send("POST", path, "", body)
    }

    fn send(&mut self, method: &str, path: &str, header: &str, body: &str) -> Result<(), Failure> {
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             {header}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        self.stream.get_mut().write_all(&self.request)?;
        let status = self.read_line()?.to_owned();
        let mut length = None;
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        self.body
            .resize(length.ok_or("an answer without a length")?, 0);
        self.stream.read_exact(&mut self.body)?;
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

    fn read_line(&mut self) -> Result<&str, Failure> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            return Err("the node closed the connection".into());
        }
        Ok(self.line.trim_end())
    }
}
